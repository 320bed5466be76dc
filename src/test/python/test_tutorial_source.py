import contextlib
import io
import os
import shutil
import tempfile
import unittest
from unittest import mock

import nbformat

import committed_notebook
import refresh_notebooks
import tutorial_source
from notebook_runner import Run
from tutorial_source import SourceError, build, parse

HOME = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
TEXT = """<!-- en -->
# Title

```python
not run
```
<!-- zh -->
# 标题

```java
int x = 1;
```
```java solution
x + 1
```
<!-- en -->
end
<!-- zh -->
完
"""


class TutorialSourceTest(unittest.TestCase):
    def test_prose_in_two_languages_and_code_once(self):
        cells = parse(TEXT)
        english, chinese = build(cells, "en"), build(cells, "zh")
        self.assertEqual(["markdown", "code", "code", "markdown"], [cell.cell_type for cell in english.cells])
        self.assertEqual("# Title\n\n```python\nnot run\n```", english.cells[0].source)
        self.assertEqual("# 标题", chinese.cells[0].source)
        for number in (1, 2):
            self.assertEqual(english.cells[number], chinese.cells[number])
        self.assertTrue(english.cells[2].metadata.jupyter.source_hidden)
        self.assertNotIn("jupyter", english.cells[1].metadata)
        nbformat.validate(english)

    def test_outputs_are_shared(self):
        cells = parse(TEXT)
        executed = build(cells, "en")
        executed.cells[2].outputs = [nbformat.v4.new_output("stream", text="2")]
        chinese = tutorial_source.with_outputs(build(cells, "zh"), executed)
        self.assertEqual("2", chinese.cells[2].outputs[0].text)
        executed.cells[1].source = "other"
        with self.assertRaisesRegex(ValueError, "cell-01: the code differs"):
            tutorial_source.with_outputs(build(cells, "zh"), executed)

    def test_what_is_wrong_is_said_with_its_line(self):
        for text, message in ((TEXT.replace("<!-- zh -->\n完", "more"), "line 18: <!-- zh --> is missing"),
                              ("<!-- zh -->\nx", "line 1: <!-- en --> is missing"),
                              ("<!-- en -->\n<!-- zh -->\nx", r"line 1: no text after <!-- en -->"),
                              ("```java\nint x;", "line 1: the code has no end"),
                              ("```java hidden\n```", 'line 1: "hidden" after ```java'),
                              ("text", 'line 1: "text" stands outside'), ("", "has no cell")):
            with self.assertRaisesRegex(SourceError, message):
                parse(text)

    def test_every_committed_tutorial_is_what_its_source_says(self):
        wrong = []
        for source in tutorial_source.sources(os.path.join(HOME, "notebooks")):
            for language in tutorial_source.LANGUAGES:
                wrong += tutorial_source.differences(source, language)
        self.assertEqual([], wrong)
        for language in tutorial_source.LANGUAGES[1:]:
            folder = os.path.join(HOME, "notebooks", language)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                self.assertIsNotNone(tutorial_source.source_of(os.path.join(folder, name)), f"{language}/{name} has no source")


class RefreshTest(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.home)
        os.makedirs(os.path.join(self.home, "notebooks", "source"))
        self.source = os.path.join(self.home, "notebooks", "source", "03-a.md")
        self.write(TEXT)
        self.paths = [os.path.join(self.home, "notebooks", *at) for at in (("03-a.ipynb",), ("zh", "03-a.ipynb"))]

    def write(self, text):
        with open(self.source, "w", encoding="utf-8") as file:
            file.write(text)

    def refresh(self, action, path, failure=None):
        def ran(path, log, report, notebook):
            notebook.metadata.language_info = {"name": "java", "version": "25"}
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text=f"{self.home}/x of {cell.source}")], 1
            return Run(notebook, log, failure=failure, failed_cell=1)
        said = io.StringIO()
        with mock.patch.object(refresh_notebooks, "run", ran), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = refresh_notebooks.main(action, self.home, path)
        return status, said.getvalue()

    def test_one_run_gives_both_languages_their_outputs(self):
        for path in (self.source, *self.paths):
            status, said = self.refresh("run", path)
            self.assertEqual(0, status, said)
            english, chinese = (nbformat.read(each, as_version=4) for each in self.paths)
            self.assertEqual("./x of int x = 1;", english.cells[1].outputs[0].text)
            self.assertEqual([cell.get("outputs") for cell in english.cells], [cell.get("outputs") for cell in chinese.cells])
            self.assertTrue(committed_notebook.is_marked(english) and committed_notebook.is_marked(chinese))
            self.assertEqual([], tutorial_source.differences(self.source, "en") + tutorial_source.differences(self.source, "zh"))

    def test_what_drifted_is_told(self):
        self.refresh("run", self.source)
        self.write(TEXT.replace("标题", "题").replace("x + 1", "x + 2"))
        self.assertRegex("\n".join(tutorial_source.differences(self.source, "zh")), "(?s)cell-00 differs.*cell-02 differs")
        self.refresh("run", self.source)
        other = nbformat.read(self.paths[1], as_version=4)
        other.cells[1].outputs = []
        other.cells[2].metadata = nbformat.from_dict({})
        nbformat.write(other, self.paths[1])
        self.assertRegex("\n".join(tutorial_source.differences(self.source, "zh")), "(?s)cell-02 differs.*cell-01 has other outputs")
        os.remove(self.paths[1])
        self.assertRegex(tutorial_source.differences(self.source, "zh")[0], "is missing; ./jqlora notebooks .*03-a.ipynb makes it")

    def test_a_failing_cell_leaves_both_as_they_were(self):
        status, said = self.refresh("run", self.source, failure="no")
        self.assertEqual(1, status)
        self.assertIn("cell 1 of", said)
        self.assertFalse(any(os.path.exists(path) for path in self.paths))
        self.write("text")
        self.assertEqual((1, True), (lambda status, said: (status, "line 1" in said))(*self.refresh("run", self.paths[0])))

    def test_building_keeps_the_outputs_of_cells_that_are_the_same(self):
        self.assertEqual(0, self.refresh("build", self.source)[0])
        self.refresh("run", self.source)
        self.write(TEXT.replace("x + 1", "x + 2").replace("# Title", "# Other"))
        self.assertEqual(0, self.refresh("build", self.paths[1])[0])
        for path in self.paths:
            built = nbformat.read(path, as_version=4)
            self.assertEqual(["./x of int x = 1;"], [output.text for cell in built.cells for output in cell.get("outputs", [])])
        self.assertEqual([], tutorial_source.differences(self.source, "en"))
        self.assertEqual(1, self.refresh("build", os.path.join(self.home, "notebooks", "04-b.ipynb"))[0])


if __name__ == "__main__":
    unittest.main()
