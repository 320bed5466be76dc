"""Runs a notebook cell by cell in its kernel: complete outputs, seconds per cell, peak memory of the kernel's process."""
import atexit
import os
import sys
import threading
import time
from dataclasses import dataclass, field

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

STARTUP_SECONDS = 60


@dataclass
class Run:
    """What came of running a notebook; ``failure`` is None if every cell ran to its end."""

    notebook: nbformat.NotebookNode
    kernel_log: str
    seconds: dict = field(default_factory=dict)
    total_seconds: float = 0.0
    peak_bytes: int = 0
    failed_cell: int | None = None
    failure: str | None = None


class NotANotebook(Exception):
    """A file that is no notebook; the message says which and why."""


def read(path):
    """The notebook at ``path``."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:   # all that nbformat raises
        raise NotANotebook(f"{path} is no notebook that can be read ({type(error).__name__}: {' '.join(str(error).split())[:100]})") from error


def first_line(cell):
    """The first line of a cell that says something, shortened."""
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith(("//", "%%"))]
    line = (code or lines or [""])[0]
    return line if len(line) <= 60 else line[:57] + "..."


def code_cells(notebook):
    """(number from 1, index, cell) of the code cells that are not empty."""
    filled = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    return [(number, index, cell) for number, (index, cell) in enumerate(filled, start=1)]


def merged(outputs):
    """The outputs with neighbouring pieces of one stream joined and overwritten lines left out.

    nbclient's own coalesce_streams takes minutes for a line of a megabyte.
    """
    result = []
    for output in outputs:
        if output.output_type == "stream" and result and result[-1].get("name") == output.name:
            result[-1].text += output.text
        else:
            result.append(output)
    for output in result:
        if output.output_type == "stream" and "\r" in output.text:
            lines = output.text.replace("\r\n", "\n").split("\n")
            output.text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return result


class MemoryWatch:
    """Samples the memory that a process and its children hold until told to stop."""

    def __init__(self, pid):
        self.peak_bytes = 0
        self._process = psutil.Process(pid)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._end.wait(0.2):
            try:
                processes = [self._process, *self._process.children(recursive=True)]
                self.peak_bytes = max(self.peak_bytes, sum(each.memory_info().rss for each in processes))
            except psutil.Error:
                return

    def stop(self):
        self._end.set()
        self._thread.join()
        return self.peak_bytes


def print_progress(text, done):
    """A line for every cell that is done; on a terminal also one for the cell that runs."""
    if done:
        print(("\r\033[K" if sys.stdout.isatty() else "") + text, flush=True)
    elif sys.stdout.isatty():
        print("\r\033[K" + text, end="", flush=True)


def run(path, kernel_log, timeout=3600, report=lambda text, done: None, notebook=None):
    """Runs the notebook at ``path`` where it lies, or ``notebook`` as if it lay there; its kernel prints its own messages into ``kernel_log``.

    ``report`` is given a line of text when a cell begins and, with ``done`` true, when it has ended.
    """
    notebook = read(path) if notebook is None else notebook
    result = Run(notebook, kernel_log)
    cells = code_cells(notebook)
    numbers = {index: number for number, index, _ in cells}
    started = {}
    watch = None

    def line(cell, cell_index):
        return f"  cell {numbers[cell_index]:>2}/{len(cells)}  {first_line(cell)}"

    def before(cell, cell_index):
        nonlocal watch
        if watch is None:
            watch = MemoryWatch(client.km.provisioner.pid)
        started[cell_index] = time.perf_counter()
        report(line(cell, cell_index) + " ...", False)

    def after(cell, cell_index, execute_reply):
        result.seconds[cell_index] = time.perf_counter() - started[cell_index]
        state = "" if execute_reply["content"]["status"] == "ok" else "   failed"
        report(f"{line(cell, cell_index):<72} {result.seconds[cell_index]:6.1f} s{state}", True)

    client = NotebookClient(
        notebook, kernel_name="java-qlora", timeout=timeout, startup_timeout=STARTUP_SECONDS,
        raise_on_iopub_timeout=True, record_timing=False, resources={"metadata": {"path": os.path.dirname(os.path.abspath(path))}},
        on_cell_execute=before, on_cell_executed=after)
    begin = time.perf_counter()
    with open(kernel_log, "wb") as log:
        try:
            client.execute(stdout=log, stderr=log)
        except CellExecutionError as error:
            failed = max(started)
            result.failed_cell = numbers[failed]
            result.failure = "\n".join(_error_lines(notebook.cells[failed])) or str(error)
        except (CellTimeoutError, DeadKernelError, RuntimeError) as error:
            result.failed_cell = numbers[max(started)] if started else 0
            result.failure = f"{type(error).__name__}: {error}"
            if client.km is None:                        # cleaned up; nbclient would do it again at exit, and print how that fails
                atexit.unregister(client._cleanup_kernel)
    for _, _, cell in cells:                                     # at the end: until then a display of an earlier cell can change
        cell.outputs = merged(cell.outputs)
    result.total_seconds = time.perf_counter() - begin
    result.peak_bytes = watch.stop() if watch else 0
    return result


def _error_lines(cell):
    for output in cell.outputs:
        if output.output_type == "error":
            yield from output.traceback
