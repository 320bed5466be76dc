"""The source of a tutorial: one text with its prose in English and in Chinese and its code once, and the two notebooks made from it.

A source is Markdown. `<!-- en -->` alone on a line begins the prose of a cell in English, `<!-- zh -->` the same in Chinese, in this order.
A block fenced by ```java is a code cell, the same in both notebooks; ```java solution makes one that is folded until a reader opens it.
Other fences belong to the prose around them.
"""
import os
import re

import nbformat

LANGUAGES = ("en", "zh")
MARK = re.compile(r"<!-- (\w+) -->\s*")
FENCE = re.compile(r"```java(?: (\w+))?\s*")


class SourceError(ValueError):
    """A source that is not written as it must be; the message names file and line."""


def parse(text, name="source"):
    """The cells of a source: ``("prose", {"en": ..., "zh": ...})`` or ``("code", text, is_solution)``."""
    cells, lines, at = [], text.splitlines(), 0

    def fail(line, what):
        raise SourceError(f"{name}: line {line + 1}: {what}")

    while at < len(lines):
        fence, mark = FENCE.fullmatch(lines[at]), MARK.fullmatch(lines[at])
        if fence:
            if fence[1] not in (None, "solution"):
                fail(at, f'"{fence[1]}" after ```java, it must be "solution" or nothing')
            end = next((i for i in range(at + 1, len(lines)) if lines[i].rstrip() == "```"), None)
            if end is None:
                fail(at, "the code has no end: ``` alone on a line")
            cells.append(("code", "\n".join(lines[at + 1:end]), fence[1] == "solution"))
            at = end + 1
        elif mark:
            prose = {}
            for language in LANGUAGES:
                began = at
                if at == len(lines) or not (found := MARK.fullmatch(lines[at])) or found[1] != language:
                    fail(min(at, len(lines) - 1), f"<!-- {language} --> is missing: a cell's prose is {' and '.join(LANGUAGES)}, in this order")
                at += 1
                while at < len(lines) and not MARK.fullmatch(lines[at]) and not FENCE.fullmatch(lines[at]):
                    at += 1
                prose[language] = "\n".join(lines[began + 1:at]).strip()
                if not prose[language]:
                    fail(began, f"no text after <!-- {language} -->")
            cells.append(("prose", prose))
        elif lines[at].strip():
            fail(at, f'"{lines[at].strip()[:40]}" stands outside of a cell: begin with <!-- en --> or ```java')
        else:
            at += 1
    if not cells:
        raise SourceError(f"{name}: has no cell")
    return cells


def build(cells, language):
    """The notebook in one language, without outputs; ids are the cells' numbers, so that an unchanged cell stays unchanged."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Java 25 (QLoRA)", "language": "java", "name": "java-qlora"}, "language_info": {"name": "java"}})
    for number, cell in enumerate(cells):
        if cell[0] == "prose":
            made = nbformat.v4.new_markdown_cell(cell[1][language])
        else:
            made = nbformat.v4.new_code_cell(cell[1])
            if cell[2]:
                made.metadata = nbformat.from_dict({"jupyter": {"source_hidden": True}, "tags": ["solution"]})
        made.id = f"cell-{number:02d}"
        notebook.cells.append(made)
    return notebook


def with_outputs(notebook, executed):
    """``notebook`` with the outputs and counts of ``executed``, which has the same code."""
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            if cell.source != done.source:
                raise ValueError(f"{cell.id}: the code differs from what was run")
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    notebook.metadata = executed.metadata
    return notebook


def sources(notebooks):
    """The sources in the folder ``notebooks``, in order of their numbers."""
    folder = os.path.join(notebooks, "source")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if name.endswith(".md")]


def target(source, language):
    """Where the notebook of ``source`` in ``language`` lies."""
    folder, name = os.path.split(source)
    notebooks = os.path.dirname(folder)
    file = os.path.splitext(name)[0] + ".ipynb"
    return os.path.join(notebooks, file) if language == "en" else os.path.join(notebooks, language, file)


def source_of(notebook):
    """The source that a notebook is made from, in whatever language it is, or None."""
    folder, name = os.path.split(os.path.abspath(notebook))
    if os.path.basename(folder) in LANGUAGES[1:]:
        folder = os.path.dirname(folder)
    source = os.path.join(folder, "source", os.path.splitext(name)[0] + ".md")
    return source if os.path.isfile(source) else None


def read(source):
    with open(source, encoding="utf-8") as file:
        return parse(file.read(), os.path.basename(source))


def without_running(source, language):
    """The notebook in ``language``; a code cell that is the same as in the one in English that lies there keeps what it has put out."""
    made, path = build(read(source), language), target(source, "en")
    if os.path.isfile(path):
        before = nbformat.read(path, as_version=4)
        ran = {cell.source: cell for cell in before.cells if cell.cell_type == "code"}
        for cell in made.cells:
            if cell.cell_type == "code" and cell.source in ran:
                cell.outputs, cell.execution_count = ran[cell.source].outputs, ran[cell.source].execution_count
        made.metadata = before.metadata
    return made


def differences(source, language):
    """What the committed notebook says that its source does not, or puts out otherwise than the one in English, as sentences; none if they agree."""
    path = target(source, language)
    if not os.path.isfile(path):
        return [f"{path} is missing; ./jqlora notebooks {target(source, LANGUAGES[0])} makes it"]
    made, committed = build(read(source), language), nbformat.read(path, as_version=4)
    if len(made.cells) != len(committed.cells):
        return [f"{path} has {len(committed.cells)} cells, its source {len(made.cells)}"]
    wrong = [f"{path}: {want.id} differs from its source" for want, have in zip(made.cells, committed.cells)
             if (want.cell_type, want.source, want.metadata) != (have.cell_type, have.source, have.metadata)]
    first = target(source, LANGUAGES[0])
    if path != first and os.path.isfile(first):
        english = nbformat.read(first, as_version=4)
        wrong += [f"{path}: {have.id} has other outputs than in {first}" for have, want in zip(committed.cells, english.cells)
                  if have.get("outputs") != want.get("outputs")]
    return wrong
