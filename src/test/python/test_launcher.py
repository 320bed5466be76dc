"""The launcher's Python parts, and its installers, with the real kernel where one is needed."""
import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
from unittest import mock

import nbformat

import fetch_jdk
import has_packages
import notebook_runner
import refresh_notebooks
import run_notebook
from kernel_session import slow

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
NOTEBOOKS = os.path.join(HOME, "src", "test", "resources", "notebooks")


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="jqlora test ")
        self.addCleanup(shutil.rmtree, self.folder)


class RunTest(InFolder):
    def run_notebook(self, name, folder=None):
        out, err = io.StringIO(), io.StringIO()
        arguments = ["run_notebook.py", os.path.join(NOTEBOOKS, name), "--out", folder or self.folder]
        with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_notebook.main()
        return status, out.getvalue(), err.getvalue()

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.read()

    def test_a_run_writes_notebook_page_report_and_charts(self):
        status, out, _ = self.run_notebook("outputs.ipynb")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"  cell  1/5  var modules = Table.* \d+\.\d s\n")
        self.assertEqual(sorted(os.listdir(self.folder)), ["charts", "kernel.log", "outputs.html", "outputs.ipynb", "report.md"])
        self.assertEqual(len(os.listdir(os.path.join(self.folder, "charts"))), 2)
        report = self.read("report.md")
        self.assertRegex(report, r"- Peak memory of the kernel: [1-9][\d,]+ MB")
        self.assertIn("![XYChart '损失 Loss' 560x320](charts/cell-02-1.png)", report)
        cells = nbformat.read(os.path.join(self.folder, "outputs.ipynb"), as_version=4).cells
        outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
        self.assertFalse([output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"])
        self.assertEqual(sum("<table" in output.get("data", {}).get("text/html", "") for output in outputs), 2)
        live = [output for output in outputs if "Live" in str(output.get("data", {}).get("text/plain", ""))]
        self.assertEqual([len(live), "image/png" in live[0].data, live[0].data["text/plain"]], [1, True, "Live: train 0.05 at step 60; eval 0.35 at step 60"])

    def test_a_failing_cell_ends_the_run_with_its_error(self):
        status, out, err = self.run_notebook("fails.ipynb")
        self.assertEqual(status, 1)
        self.assertRegex(out, r"  cell  2/3  void check.*   failed\n")
        self.assertIn("cell 2 failed:\nIllegalArgumentException: r must be at least 1, got 0\nin cell 2, line 3\n", err)
        self.assertIn("| 3 | `System.out.println(\"not reached\");` | not run |", self.read("report.md"))

    def test_what_cannot_be_run_is_said_in_a_sentence(self):
        broken = os.path.join(self.folder, "broken.ipynb")
        for content, reason in (("no json", "NotJSONError"), ("", "NotJSONError"), ("[1]", ""), ('{"cells": 3}', "")):
            with open(broken, "w", encoding="utf-8") as file:
                file.write(content)
            with self.assertRaises(SystemExit) as refused:
                self.run_notebook(broken)
            self.assertRegex(str(refused.exception), rf"\A{broken} is no notebook that can be read \({reason}.*\)\Z")
        taken = os.path.join(self.folder, "a file")
        with open(taken, "w", encoding="utf-8"):
            pass
        with self.assertRaises(SystemExit) as refused:
            self.run_notebook("outputs.ipynb", taken)
        self.assertEqual(str(refused.exception), f'--out is "{taken}", which cannot be a folder (File exists); name another')

    def test_a_kernel_that_does_not_start_is_named_with_its_last_words(self):
        with mock.patch.dict(os.environ, JDK_JAVA_OPTIONS="-XX:NoSuchOption"):
            status, _, err = self.run_notebook("outputs.ipynb")
        self.assertEqual(status, 1)
        self.assertIn("the kernel did not start:\n", err)
        self.assertIn("Unrecognized VM option 'NoSuchOption'", err)

    def test_a_flood_is_complete_in_the_executed_notebook(self):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('for (int i = 0; i < 50_000; i++) System.out.println("line " + i);')])
        path = os.path.join(self.folder, "flood.ipynb")
        nbformat.write(notebook, path)
        result = notebook_runner.run(path, os.path.join(self.folder, "kernel.log"), timeout=60)
        self.assertIsNone(result.failure)
        self.assertEqual(result.notebook.cells[0].outputs[0].text, "".join(f"line {i}\n" for i in range(50_000)))

    def test_a_display_of_an_earlier_cell_is_updated_in_its_place(self):
        codes = ['System.out.print("a"); System.err.print("b"); System.out.print("c"); Display d = display("old");', 'd.update("new"); System.out.print("e");']
        path = os.path.join(self.folder, "display.ipynb")
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes]), path)
        first, second = notebook_runner.run(path, os.path.join(self.folder, "kernel.log"), timeout=60).notebook.cells
        self.assertEqual(first.outputs[-1].data["text/plain"], "new")
        self.assertEqual([output.text for output in second.outputs], ["e"])

    def test_lines_that_were_overwritten_are_left_out(self):
        stream = lambda name, text: nbformat.v4.new_output("stream", name=name, text=text)
        merged = notebook_runner.merged([stream("stdout", "1%\r2%"), stream("stdout", "\r3%\r\nend"), stream("stderr", "e"), stream("stdout", "f")])
        self.assertEqual([output.text for output in merged], ["3%\nend", "e", "f"])

    @slow
    def test_a_cell_beyond_its_time_and_a_kernel_that_dies_are_reported(self):
        kill = 'new ProcessBuilder("kill", "-9", "" + ProcessHandle.current().pid()).start().waitFor();'
        for code, seconds, expected in (("Thread.sleep(60_000);", 3, "CellTimeoutError"), (kill, 60, "DeadKernelError")):
            path = os.path.join(self.folder, "stuck.ipynb")
            nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
            result = notebook_runner.run(path, os.path.join(self.folder, "kernel.log"), timeout=seconds)
            self.assertEqual(result.failed_cell, 1)
            self.assertTrue(result.failure.startswith(expected), result.failure)


class RefreshTest(InFolder):
    def test_notebooks_are_written_back_without_timings_and_paths(self):
        path = os.path.join(self.folder, "a.ipynb")
        code = 'System.out.println("%s/x " + System.getProperty("user.home") + "/y");' % HOME
        cell = nbformat.v4.new_code_cell(code.replace(HOME + "/x", "\" + System.getenv(\"QLORA_HOME\") + \"/x"), metadata={"execution": {"iopub.status.busy": "now"}})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(refresh_notebooks.main("run", HOME, path), 0)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(json.loads(text)["cells"][0]["outputs"][0]["text"], ["./x ~/y\n"])
        self.assertNotIn("iopub", text)
        self.assertEqual(json.loads(text)["metadata"]["kernelspec"]["name"], "java-qlora")
        self.assertTrue(text.endswith("}\n"))

    @slow
    def test_a_notebook_that_fails_or_grows_too_large_stays_as_it_was(self):
        for code, said in (("int x = 1 / 0;", "cell 1 of"), ('System.out.println("x".repeat(1_100_000));', "it must be at most 1,000,000")):
            path = os.path.join(self.folder, "b.ipynb")
            nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
            with open(path, encoding="utf-8") as file:
                before = file.read()
            err = io.StringIO()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
                self.assertEqual(refresh_notebooks.main("run", HOME, path), 1)
            self.assertIn(said, err.getvalue())
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), before)


class InstallTest(InFolder):
    def jqlora(self, *arguments, **environment):
        return subprocess.run([os.path.join(HOME, "jqlora"), *arguments], capture_output=True, text=True, env=os.environ | environment)

    def test_install_doctor_and_uninstall_in_a_folder_with_spaces(self):
        installed = self.jqlora("kernel", "install", "--prefix", self.folder, "--name", "java-qlora-test", "--profile", "binder")
        self.assertEqual(installed.returncode, 0, installed.stderr)
        spec = os.path.join(self.folder, "share", "jupyter", "kernels", "java-qlora-test")
        self.assertEqual(sorted(os.listdir(spec)),
                         ["installed-by-jqlora", "kernel.args", "kernel.json", "kernel.sh", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg", "quick.args"])
        with open(os.path.join(spec, "kernel.args"), encoding="utf-8") as file:
            self.assertIn("-Xmx512m", file.read())
        doctor = self.jqlora("kernel", "doctor", "--prefix", self.folder, "--name", "java-qlora-test")
        self.assertEqual(doctor.returncode, 0, doctor.stderr)
        self.assertIn("1 + 1        2 after", doctor.stdout)
        self.assertRegex(doctor.stdout, r"heap         5\d\d MB")
        self.assertIn("\nquick start  in use\n", doctor.stdout)
        removed = self.jqlora("kernel", "uninstall", "--prefix", self.folder, "--name", "java-qlora-test")
        self.assertIn(f"removed {spec}", removed.stdout)
        self.assertFalse(os.path.exists(spec))

    def test_a_kernelspec_of_others_is_left_alone(self):
        spec = os.path.join(self.folder, "share", "jupyter", "kernels", "java")
        os.makedirs(spec)
        refused = self.jqlora("kernel", "install", "--prefix", self.folder, "--name", "java")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"{spec} exists and is not ours", refused.stderr)
        self.assertIn("no kernelspec \"java\" of ours was found", self.jqlora("kernel", "uninstall", "--prefix", self.folder, "--name", "java").stdout)
        self.assertTrue(os.path.isdir(spec))

    def test_wrong_words_are_answered(self):
        for arguments, said in ((["fly"], 'unknown command "fly"'), (["run", "no.ipynb"], "no.ipynb: no such notebook"),
                                (["run", "--model", "/no/such"], '--model is "/no/such", which is no folder'), (["run", "--model"], "--model needs a value"),
                                (["run", "--device", "gpu"], '--device is "gpu", it must be auto, cpu, cuda or cuda:N'), (["setup", "--tpu"], 'setup: unknown option "--tpu"'),
                                (["run", "--threads", "0"], '--threads is "0", it must be a number of threads, 1 to 4096'), (["lab", "--threads", "two"], '--threads is "two"'),
                                (["notebooks", "--threads"], "--threads needs a value"),
                                (["test", "--quick"], 'test: unknown option "--quick"'), (["kernel", "eat"], 'kernel: unknown action "eat"'),
                                (["kernel", "install", "--profile", "huge"], '--profile is "huge", it must be standard or binder')):
            answer = self.jqlora(*arguments)
            self.assertEqual(answer.returncode, 1, arguments)
            self.assertIn(said, answer.stderr)
        answer = self.jqlora("doctor", JQLORA_JAVA_HOME="/no/jdk")
        self.assertEqual(answer.returncode, 1)
        self.assertIn('JQLORA_JAVA_HOME is "/no/jdk", it must be the folder of a JDK 25', answer.stderr)

    def test_every_command_explains_itself(self):
        for command in ("run", "train", "lab", "test", "notebooks", "kernel", "setup", "doctor", "pretrain", "bench"):
            answer = self.jqlora(command, "--help")
            self.assertEqual(answer.returncode, 0, command)
            self.assertIn(f"usage: ./jqlora {command}", answer.stdout)


class FetchTest(InFolder):
    def serve(self, checksum=None):
        archive = os.path.join(self.folder, "jdk.tar.gz")
        os.makedirs(os.path.join(self.folder, "jdk-25.0.1+8", "bin"))
        with open(os.path.join(self.folder, "jdk-25.0.1+8", "release"), "w", encoding="utf-8") as file:
            file.write('JAVA_VERSION="25.0.1"\n')
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(os.path.join(self.folder, "jdk-25.0.1+8"), "jdk-25.0.1+8")
        with open(archive, "rb") as file:
            content = file.read()
        checksum = checksum or hashlib.sha256(content).hexdigest()

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                link = f"http://127.0.0.1:{self.server.server_port}/jdk.tar.gz"
                package = {"name": "jdk.tar.gz", "size": len(content), "link": link, "checksum": checksum}
                body = content if self.path == "/jdk.tar.gz" else json.dumps([{"binary": {"package": package}}]).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def fetch(self, server, target):
        with mock.patch.dict(os.environ, JQLORA_ADOPTIUM=server), contextlib.redirect_stdout(io.StringIO()):
            fetch_jdk.main("25", target)

    def test_a_jdk_is_unpacked_where_its_checksum_is_right(self):
        target = os.path.join(self.folder, ".jqlora", "jdk")
        self.fetch(self.serve(), target)
        self.assertTrue(os.path.isfile(os.path.join(target, "release")))
        self.assertEqual(os.listdir(os.path.dirname(target)), ["jdk"])

    def test_a_jdk_with_another_checksum_is_refused(self):
        target = os.path.join(self.folder, ".jqlora", "jdk")
        with self.assertRaises(SystemExit) as refused:
            self.fetch(self.serve(checksum="0" * 64), target)
        self.assertRegex(str(refused.exception), r"SHA-256 is [0-9a-f]{64}, it must be 0{64}")
        self.assertFalse(os.path.exists(target))


class PackagesTest(unittest.TestCase):
    def test_missing_and_other_versions_are_found(self):
        self.assertEqual(list(has_packages.missing([f"nbformat=={nbformat.__version__}", "# a note"])), [])
        self.assertEqual(list(has_packages.missing(["nbformat==0.0.1", "no-such-package==1"])), ["nbformat==0.0.1", "no-such-package==1"])


if __name__ == "__main__":
    unittest.main()
