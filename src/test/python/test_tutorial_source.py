import os
import unittest

import nbformat

import tutorial_source
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


if __name__ == "__main__":
    unittest.main()
