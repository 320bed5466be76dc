"""The report of a notebook run: report.md with cells, seconds and charts, and the charts as files."""
import base64
import os
import platform
import re

from notebook_runner import code_cells, first_line


def write(result, name, folder):
    """Writes ``report.md`` and ``charts/`` for a run into ``folder``."""
    lines = [f"# {name}", ""]
    state = "every cell ran" if result.failure is None else f"cell {result.failed_cell} failed"
    lines += [f"- Result: {state}", f"- Time: {result.total_seconds:.1f} s, start of the kernel included",
              f"- Peak memory of the kernel: {result.peak_bytes / 2**20:,.0f} MB", f"- Machine: {_machine()}"]
    if os.environ.get("JQLORA_MODEL"):
        lines.append(f"- Model: {os.environ['JQLORA_MODEL']}")
    lines += ["", "| cell | first line | seconds | outputs |", "|---:|---|---:|---|"]
    charts = []
    for number, index, cell in code_cells(result.notebook):
        seconds = f"{result.seconds[index]:.1f}" if index in result.seconds else "not run"
        kinds, pictures = _outputs(cell, number, folder)
        charts += pictures
        lines.append(f"| {number} | `{_cell_text(first_line(cell))}` | {seconds} | {kinds} |")
    if result.failure is not None:
        lines += ["", f"## Cell {result.failed_cell} failed", "", "```", re.sub(r"\x1b\[[0-9;]*m", "", result.failure), "```"]
    if charts:
        lines += ["", "## Charts", ""] + [f"![{title}]({path})\n" for title, path in charts]
    with open(os.path.join(folder, "report.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines).rstrip() + "\n")


def _outputs(cell, number, folder):
    """What kinds of output a cell has, and (title, path) of its pictures, which are written."""
    kinds, pictures = [], []
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            path = f"charts/cell-{number:02d}-{len(pictures) + 1}.png"
            os.makedirs(os.path.join(folder, "charts"), exist_ok=True)
            with open(os.path.join(folder, path), "wb") as file:
                file.write(base64.b64decode(data["image/png"]))
            pictures.append((_cell_text(str(data.get("text/plain", path)).splitlines()[0]), path))
            kinds.append("chart")
        elif "text/html" in data:
            kinds.append("table" if "<table" in data["text/html"] else "html")
        else:
            kinds.append({"stream": output.get("name", ""), "error": "error"}.get(output.output_type, "text"))
    return ", ".join(sorted(set(kinds))), pictures


def _cell_text(text):
    return text.replace("|", "\\|").replace("`", "'")


def _machine():
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
