"""Runs notebooks again and writes them back with their outputs, free of this machine's paths; a cell whose outputs differ in times
only keeps those that it had, and what JupyterLab would add at opening is there already.

A notebook with a source (notebooks/source) is made from it before, and once more in the other language with the outputs of the same run.

usage: refresh_notebooks.py run HOME NOTEBOOK ...      runs them
       refresh_notebooks.py build HOME NOTEBOOK ...    makes them from their sources only; cells that are the same keep their outputs
"""
import json
import os
import re
import sys
import tempfile

import nbformat

import tutorial_source
from committed_notebook import mark
from notebook_runner import NotANotebook, print_progress, read, run
from steady_outputs import keep_steady
from tutorial_source import LANGUAGES, SourceError

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


def main(action, home, *paths):
    refresh = {"run": run_again, "build": build_only}[action]
    failed = 0
    for path in dict.fromkeys(english(path) for path in paths):
        try:
            refresh(home, path)
        except (NotANotebook, Refused, SourceError) as refused:
            print(refused, file=sys.stderr)
            failed += 1
    return 1 if failed else 0


class Refused(Exception):
    """A notebook stays as it was; the message says why."""


def english(path):
    """The notebook that is run for ``path``: of a tutorial with a source the one in English, which may not be there yet."""
    source = path if path.endswith(".md") else tutorial_source.source_of(path)
    return tutorial_source.target(source, LANGUAGES[0]) if source else path


def run_again(home, path):
    print(f"running {path}", flush=True)
    source = tutorial_source.source_of(path)
    cells = tutorial_source.read(source) if source else None
    notebook = tutorial_source.build(cells, LANGUAGES[0]) if source else None
    with tempfile.TemporaryDirectory() as folder:
        result = run(path, os.path.join(folder, "kernel.log"), report=print_progress, notebook=notebook)
    if result.failure is not None:
        raise Refused(f"cell {result.failed_cell} of {path} failed, the notebook stays as it was:\n{result.failure}")
    before = read(path) if os.path.isfile(path) else None
    done = normalised(result.notebook, home, before)
    made = {path: done}
    for language in LANGUAGES[1:] if source else ():
        made[tutorial_source.target(source, language)] = tutorial_source.with_outputs(tutorial_source.build(cells, language), done)
    texts = {each: text_of(each, notebook) for each, notebook in made.items()}
    for each, text in texts.items():
        write(each, text)
        print(f"written: {each}, {result.total_seconds:.1f} s, {len(text.encode()) / 1000:.0f} kB", flush=True)


def build_only(home, path):
    source = tutorial_source.source_of(path)
    if source is None:
        raise Refused(f"{path} has no source in notebooks/source that it could be built from")
    made = {tutorial_source.target(source, language): tutorial_source.without_running(source, language) for language in LANGUAGES}
    for each, notebook in made.items():
        write(each, text_of(each, notebook))
        print(f"built: {each}", flush=True)


def text_of(path, notebook):
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MAX_BYTES:
        raise Refused(f"{path} would be {len(text.encode()):,} bytes with its outputs, it must be at most {MAX_BYTES:,}; it stays as it was")
    return text


def write(path, text):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
