"""Our extension in a stock JJava kernel, as pip installs it, in the folder JQLORA_JJAVA."""
import json
import os
import tempfile
import unittest
from unittest import mock

import kernel_state
from kernel_session import KernelSession

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def specification(folder):
    """JJava's own kernelspec, with our class path and our JDK."""
    java = os.path.dirname(kernel_state.java_of(os.path.join(HOME, ".jqlora", "venv", "share", "jupyter", "kernels", "java-qlora")))
    with open(os.path.join(HOME, ".jqlora", "classpath.txt"), encoding="utf-8") as file:
        class_path = file.read().strip()
    source = os.path.join(os.environ["JQLORA_JJAVA"], "share", "jupyter", "kernels", "java")
    with open(os.path.join(source, "kernel.json"), encoding="utf-8") as file:
        spec = json.load(file)
    spec["argv"] = [word.replace("{resource_dir}", source) for word in spec["argv"]]
    spec["env"] = {"JJAVA_CLASSPATH": class_path, "PATH": java + os.pathsep + os.environ["PATH"], "JJAVA_JVM_OPTS": "-Djava.awt.headless=true"}
    target = os.path.join(folder, "kernels", "stock-jjava")
    os.makedirs(target)
    with open(os.path.join(target, "kernel.json"), "w", encoding="utf-8") as file:
        json.dump(spec, file)


@unittest.skipUnless("JQLORA_JJAVA" in os.environ, "./jqlora test --fast leaves JJava out")
class StockKernelTest(unittest.TestCase):
    def test_tables_charts_and_displays(self):
        with tempfile.TemporaryDirectory() as folder:
            specification(folder)
            with mock.patch.dict(os.environ, JUPYTER_PATH=folder):
                kernel = KernelSession("stock-jjava")
        self.addCleanup(kernel.close)
        kernel.run("import static jqlora.notebook.Qlora.*; import tech.tablesaw.api.*; import org.knowm.xchart.*;")
        table = kernel.run('Table.create("t", StringColumn.create("name", "a<b"))').of("execute_result")[0]["data"]
        self.assertIn("a&lt;b", table["text/html"])
        chart = kernel.run('var chart = new XYChartBuilder().width(300).height(200).build();\n'
                           'chart.addSeries("a", new double[] {1, 2}, new double[] {2, 1});\nchart').of("execute_result")[0]
        self.assertEqual(chart["metadata"]["image/png"], {"width": 300, "height": 200})
        progress = kernel.run('try (var bar = jqlora.notebook.Qlora.progress("work", 2)) { bar.step(); bar.step(); }')
        self.assertIn("work [####################] 2/2", progress.of("update_display_data")[-1]["data"]["text/plain"])


if __name__ == "__main__":
    unittest.main()
