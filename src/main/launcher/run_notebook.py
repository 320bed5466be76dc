"""Runs a notebook without a browser and writes what came of it: executed notebook, web page, report with charts.

usage: run_notebook.py NOTEBOOK --out FOLDER [--timeout SECONDS]
"""
import argparse
import os
import re
import sys

import nbformat

import report
from notebook_runner import NotANotebook, code_cells, print_progress, read, run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("notebook")
    parser.add_argument("--out", required=True)
    parser.add_argument("--timeout", type=int, default=3600)
    options = parser.parse_args()
    try:
        count = len(code_cells(read(options.notebook)))
        os.makedirs(options.out, exist_ok=True)
    except NotANotebook as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"--out is \"{options.out}\", which cannot be a folder ({error.strerror}); name another")
    name = os.path.splitext(os.path.basename(options.notebook))[0]
    print(f"running {options.notebook}: {count} cells", flush=True)

    kernel_log = os.path.join(options.out, "kernel.log")
    result = run(options.notebook, kernel_log, options.timeout, print_progress)
    executed = os.path.join(options.out, name + ".ipynb")
    nbformat.write(result.notebook, executed)
    write_page(result.notebook, name, options.out)
    report.write(result, name, options.out)

    print(f"{result.total_seconds:.1f} s, peak memory {result.peak_bytes / 2**20:,.0f} MB; written to {options.out}")
    for file in sorted(os.listdir(options.out)):
        print(f"  {file}")
    if result.failure is not None:
        what = f"cell {result.failed_cell} failed" if result.failed_cell else "the kernel did not start"
        print(f"\n{what}:\n{_readable(result.failure)}", file=sys.stderr)
        if not result.failed_cell or "DeadKernelError" in result.failure:
            _show_end(kernel_log)
        return 1
    return 0


def write_page(notebook, name, folder):
    """Writes the notebook as a web page that needs no other file."""
    from nbconvert import HTMLExporter  # takes a second to import, so not before the cells have run
    page, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": name}})
    with open(os.path.join(folder, name + ".html"), "w", encoding="utf-8") as file:
        file.write(page)


def _readable(text):
    """Colours only where a terminal shows them."""
    return text if sys.stderr.isatty() else re.sub(r"\x1b\[[0-9;]*m", "", text)


def _show_end(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        print("the kernel's last words:\n" + "".join(file.readlines()[-20:]), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
