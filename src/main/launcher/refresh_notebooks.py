"""Runs notebooks again and writes them back with their outputs, free of this machine's paths; a cell whose outputs differ in times
only keeps those that it had, and what JupyterLab would add at opening is there already.

usage: refresh_notebooks.py HOME NOTEBOOK ...
"""
import json
import os
import re
import sys
import tempfile

import nbformat

from committed_notebook import mark
from notebook_runner import NotANotebook, print_progress, read, run
from steady_outputs import keep_steady

MAX_BYTES = 1_000_000


def normalised(notebook, home, before=None):
    """The notebook as it is committed; ``home`` is the project's folder, which becomes a dot; ``before`` is the one that it replaces."""
    notebook.metadata = nbformat.NotebookNode({
        "kernelspec": {"display_name": "Java 25 (QLoRA)", "language": "java", "name": "java-qlora"},
        "language_info": notebook.metadata["language_info"]})     # as the kernel has sent it: JupyterLab compares
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    text = json.dumps(notebook, ensure_ascii=False)
    for folder, name in ((os.path.realpath(home), "."), (home, "."), (os.path.expanduser("~"), "~")):
        text = re.sub(re.escape(json.dumps(folder, ensure_ascii=False)[1:-1]) + r"(?![\w.-])", name, text)
    result = nbformat.from_dict(json.loads(text))
    if before is not None:
        keep_steady(result, before)
    result.metadata.jqlora = {"outputs": mark(result)}
    return result


def main(home, paths):
    failed = []
    for path in paths:
        print(f"running {path}", flush=True)
        try:
            before = read(path)
            with tempfile.TemporaryDirectory() as folder:
                result = run(path, os.path.join(folder, "kernel.log"), report=print_progress)
        except NotANotebook as error:
            print(error, file=sys.stderr)
            failed.append(path)
            continue
        if result.failure is not None:
            print(f"cell {result.failed_cell} of {path} failed, the notebook stays as it was:\n{result.failure}", file=sys.stderr)
            failed.append(path)
            continue
        text = nbformat.writes(normalised(result.notebook, home, before)) + "\n"
        if len(text.encode()) > MAX_BYTES:
            print(f"{path} would be {len(text.encode()):,} bytes with its outputs, it must be at most {MAX_BYTES:,}; it stays as it was", file=sys.stderr)
            failed.append(path)
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"written: {path}, {result.total_seconds:.1f} s, {len(text.encode()) / 1000:.0f} kB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
