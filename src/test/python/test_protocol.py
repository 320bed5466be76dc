"""The kernel against jupyter_kernel_test, Jupyter's own tests of its messaging protocol, which lies in the folder JQLORA_KERNEL_TEST."""
import os
import sys
import unittest

FOLDER = os.environ.get("JQLORA_KERNEL_TEST")
if FOLDER:
    sys.path.insert(0, FOLDER)
    import jupyter_kernel_test


@unittest.skipUnless(FOLDER, "./jqlora test --fast leaves jupyter_kernel_test out")
class ProtocolTest(jupyter_kernel_test.KernelTests if FOLDER else unittest.TestCase):
    kernel_name = "java-qlora"
    language_name = "java"
    file_extension = ".java"
    code_hello_world = 'System.out.println("hello, world");'
    code_stderr = 'System.err.println("something red");'
    completion_samples = [
        {"text": "System.ou", "matches": {"out"}},
        {"text": "String.valueO", "matches": {"valueOf("}},
        {"text": "dataSe", "matches": {"dataSet("}},
    ]
    complete_code_samples = ["1 + 1", "int x = 3;", "void f() { }", "for (int i = 0; i < 3; i++) System.out.println(i);", "%lsmagic"]
    incomplete_code_samples = ["void f() {", "int y = (3 +", 'String s = """\ntext']
    invalid_code_samples = ["int x = ) 3;", "f(1]"]
    code_generate_error = 'throw new IllegalStateException("no");'
    code_execute_result = [{"code": "6 * 7", "result": "42"}, {"code": '"a" + 1', "result": "a1"}, {"code": "Tables.of(\"\", \"n\").row(1)", "mime": "text/html"}]
    code_display_data = [{"code": 'show(Tables.of("", "n").row(1));', "mime": "text/html"},
                         {"code": 'var chart = new XYChartBuilder().width(300).height(200).build();\nchart.addSeries("a", new double[] {1, 2}, new double[] {2, 1});\nshow(chart);',
                          "mime": "image/png"}]
    code_history_pattern = "6 ? 7"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "String"
    code_page_something = "String?"
    code_clear_output = 'System.out.println("gone");\nclearOutput();'


if __name__ == "__main__":
    unittest.main()
