"""Outputs that say the same as before, but for how long it took: the old ones are kept, so that a new run leaves no trace in git.

What counts as "how long it took": seconds, minutes and clock times, rates such as tokens/s with the memory named after them, and in
tables the columns whose heading says so. Numbers that are results are never passed over.
"""
import json
import re

TIMES = re.compile(r"(?:\d[\d.,]*\s?[kMG]?(?:B|tokens|steps|rows|it)/s(?:, \d[\d.,]* [kMG]B)?"
                   r"|\d[\d.,]*(?:\s?(?:ms|µs|ns|min)|\s(?:s|h|seconds?|minutes?|hours?))\b|\b\d+:\d\d(?::\d\d)?\b)")
HEADING = re.compile(r"seconds?|time|[a-z]+/s|peak (?:[kMG]B|memory)|秒|耗时|用时", re.IGNORECASE)


def keep_steady(new, old):
    """Gives each code cell of ``new`` the outputs that the same cell has in ``old`` where they differ in times only."""
    before = {key: cell for key, cell in _cells(old)}
    for key, cell in _cells(new):
        kept = before.get(key)
        if kept is not None and kept.source == cell.source and masked(kept.outputs) == masked(cell.outputs):
            cell.outputs = kept.outputs


def masked(outputs):
    """The outputs as one text with every time replaced by a mark."""
    return [_masked_output(json.loads(json.dumps(output))) for output in outputs]


def _cells(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.get("id") or number, cell) for number, cell in enumerate(code)]


def _masked_output(output):
    output.pop("execution_count", None)
    if "text" in output:
        output["text"] = _mask_text(joined(output["text"]))
    for kind, value in output.get("data", {}).items():
        if kind == "text/html":
            output["data"][kind] = _mask_html(joined(value))
        elif kind.startswith("text/"):
            output["data"][kind] = _mask_text(joined(value))
        elif isinstance(value, list):
            output["data"][kind] = joined(value)
    return output


def joined(text):
    """nbformat keeps a text of several lines as a list of them."""
    return "".join(text) if isinstance(text, list) else text


def _mask_text(text):
    """Plain text; a table in it has its headings over a line of dashes."""
    lines, spans = text.split("\n"), []
    for number, line in enumerate(lines):
        if number > 0 and re.fullmatch(r"-+(?:  -+)*", line.rstrip()):
            runs = [match.span() for match in re.finditer("-+", line)]
            spans = [span for span in runs if HEADING.fullmatch(lines[number - 1][slice(*span)].strip())]
        elif spans and not line.strip():
            spans = []
        else:
            for begin, end in reversed(spans):
                line = line[:begin] + "#" + line[end:]
            lines[number] = TIMES.sub("#", line)
    return "\n".join(lines)


def _mask_html(text):
    return TIMES.sub("#", re.sub(r"<table.*?</table>", lambda table: _mask_table(table[0]), text, flags=re.DOTALL))


def _mask_table(table):
    headings = [re.sub(r"<[^>]*>", "", heading).strip() for heading in re.findall(r"<th[^>]*>(.*?)</th>", table, re.DOTALL)]
    timed = {number for number, heading in enumerate(headings) if HEADING.fullmatch(heading)}

    def row(match):
        cells = iter(range(len(headings)))
        return re.sub(r"(<td[^>]*>)(.*?)(</td>)", lambda cell: cell[1] + ("#" if next(cells, -1) in timed else cell[2]) + cell[3],
                      match[0], flags=re.DOTALL)

    return re.sub(r"<tr.*?</tr>", row, table, flags=re.DOTALL) if timed else table
