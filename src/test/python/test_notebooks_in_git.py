"""What git sees of notebooks that are run again: nothing, unless a cell was changed or ./jqlora notebooks wrote them."""
import contextlib
import copy
import glob
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import nbformat

import committed_notebook
import refresh_notebooks
from kernel_session import KernelSession
from steady_outputs import keep_steady, masked

SCRIPT = committed_notebook.__file__
JAVA = {"name": "java", "version": "25"}


def output(text, html=None):
    data = {"text/plain": text}
    if html is not None:
        data["text/html"] = html
    return nbformat.v4.new_output("display_data", data=data)


def notebook(*cells):
    """A notebook of (source, outputs) with ids a, b, c ..."""
    made = [nbformat.v4.new_code_cell(source, outputs=outputs, id="abcdef"[number], execution_count=number + 1)
            for number, (source, outputs) in enumerate(cells)]
    return nbformat.v4.new_notebook(cells=made, metadata={"language_info": dict(JAVA)})


def text(value):
    return nbformat.writes(value) + "\n"


class FilterTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="jqlora 中 test ")
        self.addCleanup(shutil.rmtree, self.folder)
        self.git("init", "-q")
        self.git("config", "user.name", "n")
        self.git("config", "user.email", "e")
        self.git("config", "filter.jqlora-notebook.clean", f"'{sys.executable}' '{SCRIPT}' clean %f")
        os.makedirs(os.path.join(self.folder, "notebooks", "zh"))
        with open(os.path.join(os.path.dirname(SCRIPT), "..", "..", "..", ".gitattributes"), encoding="utf-8") as file:
            self.write(".gitattributes", file.read())
        self.first = refresh_notebooks.normalised(notebook(("a", [output("loss 1.5 in 3 s")]), ("b", [])), "/home/x")
        for name in ("notebooks/a b.ipynb", "notebooks/zh/a.ipynb"):
            self.write(name, text(self.first))
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "first")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(content)

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.read()

    def run_by_hand(self, name="notebooks/a b.ipynb"):
        again = copy.deepcopy(self.first)
        again.cells[0].outputs = [output("loss 1.5 in 4 s")]
        again.cells[0].execution_count = 17
        again.metadata.language_info.version = "26"
        self.write(name, text(again))
        return again

    def test_a_notebook_that_was_only_run_again_is_no_change(self):
        for name in ("notebooks/a b.ipynb", "notebooks/zh/a.ipynb"):
            self.run_by_hand(name)
        self.assertEqual(self.git("diff"), "")
        for name in ("notebooks/a b.ipynb", "notebooks/zh/a.ipynb"):
            self.assertTrue(committed_notebook.settle(os.path.join(self.folder, name)))
        self.assertEqual(self.git("status", "--short"), "")
        self.git("commit", "-q", "--allow-empty", "-a", "-m", "second")
        self.assertEqual(self.git("diff", "HEAD~1", "HEAD", "--stat"), "")

    def test_a_changed_cell_is_a_change_with_all_that_lies_there(self):
        again = self.run_by_hand()
        again.cells[1].source = "c"
        self.write("notebooks/a b.ipynb", text(again))
        self.git("add", "-A")
        self.assertEqual(json.loads(self.git("show", ":notebooks/a b.ipynb")), json.loads(text(again)))

    def test_outputs_that_the_launcher_wrote_are_a_change(self):
        again = refresh_notebooks.normalised(self.run_by_hand(), "/home/x")
        self.write("notebooks/a b.ipynb", text(again))
        self.assertFalse(committed_notebook.settle(os.path.join(self.folder, "notebooks", "a b.ipynb")))
        self.assertEqual(self.git("status", "--short"), ' M "notebooks/a b.ipynb"\n')

    def test_without_the_filter_and_outside_of_git_nothing_is_settled(self):
        self.git("config", "--remove-section", "filter.jqlora-notebook")
        self.run_by_hand()
        self.assertFalse(committed_notebook.settle(os.path.join(self.folder, "notebooks", "a b.ipynb")))
        self.assertEqual(self.git("diff", "--cached"), "")
        with tempfile.TemporaryDirectory() as other:
            self.assertFalse(committed_notebook.settle(os.path.join(other, "x.ipynb")))

    def test_what_is_no_notebook_is_kept_as_it_is(self):
        for content in ("no json", "[]", '{"cells": 3, "metadata": {}}', '{"cells": [{}], "metadata": []}'):
            self.write("notebooks/a b.ipynb", content)
            self.git("add", "-A")
            self.assertEqual(self.git("show", ":notebooks/a b.ipynb"), content)

    def test_restore_puts_back_the_outputs_of_cells_that_did_not_change(self):
        path = os.path.join(self.folder, "notebooks", "a b.ipynb")
        again = self.run_by_hand()
        self.assertEqual(self.restore(path), (0, f"restored: {path}\n", ""))
        self.assertEqual(self.read(path), text(self.first))
        again.cells[1].source, again.cells[1].outputs = "c", [output("new")]
        self.write(path, text(again))
        self.assertEqual(self.restore(path), (0, f"restored: {path}; 1 changed cells stay as they are\n", ""))
        cells = nbformat.reads(self.read(path), 4).cells
        self.assertEqual([cells[0].outputs, cells[0].execution_count, cells[1].outputs], [self.first.cells[0].outputs, 1, [output("new")]])

    def test_restore_says_what_it_cannot_do(self):
        new = os.path.join(self.folder, "notebooks", "new.ipynb")
        self.write(new, text(self.first))
        self.assertEqual(self.restore(new), (1, "", f"{new}: git has no version of it; git add it first\n"))
        broken = os.path.join(self.folder, "notebooks", "a b.ipynb")
        self.write(broken, "no json")
        status, _, said = self.restore(broken)
        self.assertEqual(status, 1)
        self.assertRegex(said, r"a b.ipynb is no notebook that can be read .*; git checkout -- .* brings back the kept one")

    def restore(self, path):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = committed_notebook.restore([path])
        return status, out.getvalue(), err.getvalue()


class CommittedTest(unittest.TestCase):
    """Every tutorial is written as JupyterLab would write it with our kernel, so that opening it changes nothing."""

    @classmethod
    def setUpClass(cls):
        session = KernelSession()
        cls.addClassCleanup(session.close)
        cls.language = session.client.kernel_info(reply=True, timeout=60)["content"]["language_info"]

    def test_metadata_format_and_mark(self):
        home = os.path.join(os.path.dirname(SCRIPT), "..", "..", "..")
        paths = sorted(glob.glob(os.path.join(home, "notebooks", "**", "*.ipynb"), recursive=True))
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(notebook=os.path.basename(path)), open(path, encoding="utf-8") as file:
                content = file.read()
                kept = nbformat.reads(content, as_version=4)
                self.assertEqual(kept.metadata.language_info, self.language)
                self.assertEqual(kept.metadata.kernelspec, {"display_name": "Java 25 (QLoRA)", "language": "java", "name": "java-qlora"})
                self.assertEqual((kept.nbformat, kept.nbformat_minor), (4, 5))
                self.assertTrue(committed_notebook.is_marked(kept), "its outputs are not those of ./jqlora notebooks")
                self.assertTrue(content == text(kept), "JupyterLab would write it in another form")


class MarkTest(unittest.TestCase):
    def test_the_mark_is_the_same_however_texts_are_split(self):
        made = refresh_notebooks.normalised(notebook(("a\nb", [output("x\ny", "<b>x\ny</b>"), nbformat.v4.new_output("stream", text="1\n2\n")])), "/home/x")
        self.assertTrue(committed_notebook.is_marked(made))
        self.assertTrue(committed_notebook.is_marked(json.loads(text(made))))
        made.cells[0].outputs[1].text = "1\n3\n"
        self.assertFalse(committed_notebook.is_marked(made))


class SteadyTest(unittest.TestCase):
    def kept(self, old, new):
        """Whether the new output leaves the old one in its place."""
        before, after = notebook(("a", [old])), notebook(("a", [new]))
        keep_steady(after, before)
        self.assertIn(after.cells[0].outputs[0], (old, new))
        return after.cells[0].outputs[0] == old

    def test_times_and_rates_alone_are_no_difference(self):
        bar = "loading jqlora-tiny [####] 100/100 in {0} s, model.norm.weight, 100 % of 0.01 GB, {1} GB/s"
        self.assertTrue(self.kept(output(bar.format("0.3", "0.44")), output(bar.format("12", "0.01"))))
        training = "244/244 in {} s, loss 1.788, held out 2.278, {} tokens/s, {} MB"
        self.assertTrue(self.kept(output(training.format(51, 4602, 138)), output(training.format(320, 719, 141))))
        self.assertTrue(self.kept(output("1:43:45 left, 10 ms"), output("2:01 left, 7.5 ms")))
        self.assertTrue(self.kept(output("x", "<progress value=\"1\"></progress> in 3 s"), output("x", "<progress value=\"1\"></progress> in 4 s")))

    def test_columns_of_times_alone_are_no_difference(self):
        plain = "Runs\nset  loss  seconds  peak MB\n---  ----  -------  -------\nen   {}  {:>7}  {:>7}"
        html = "<table><tr><th>set</th><th>loss</th><th>seconds</th></tr><tr><td>en</td><td>{}</td><td>{}</td></tr></table>"
        self.assertTrue(self.kept(output(plain.format("1.50", "9", "131"), html.format("1.50", "9")), output(plain.format("1.50", "12.5", "7"), html.format("1.50", "12.5"))))
        self.assertFalse(self.kept(output(plain.format("1.50", "9", "131")), output(plain.format("1.51", "9", "131"))))
        self.assertFalse(self.kept(output("x", html.format("1.50", "9")), output("x", html.format("1.51", "9"))))

    def test_results_are_differences(self):
        for old, new in (("loss 1.788", "loss 1.789"), ("weights 12.3 MB", "weights 12.4 MB"), ("3 steps", "4 steps"), ("[1, 3]", "[1, 4]"), ("4 s1", "5 s1")):
            self.assertFalse(self.kept(output(old), output(new)), old)
        picture = lambda data: nbformat.v4.new_output("display_data", data={"image/png": data, "text/plain": "chart"})
        self.assertFalse(self.kept(picture("iVBORw0KGgo=\n"), picture("iVBORw0KGgp=\n")))

    def test_other_cells_and_other_numbers_of_outputs_are_taken_anew(self):
        before, after = notebook(("a", [output("1 s")])), notebook(("b", [output("2 s")]))
        keep_steady(after, before)
        self.assertEqual(after.cells[0].outputs, [output("2 s")])
        self.assertNotEqual(masked([output("1 s")]), masked([output("1 s"), output("1 s")]))


if __name__ == "__main__":
    unittest.main()
