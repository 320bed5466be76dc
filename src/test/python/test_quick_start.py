"""The kernel's quick start: a jar and a JVM's cache that are used while they are of the classes that are built, and never in the way."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

import kernel_check
import kernel_state
from kernel_session import slow

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
OWN_SPEC = os.path.join(sys.prefix, "share", "jupyter", "kernels", "java-qlora")
OPTIONS = 'String.join("\\n", java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments())'


@slow
class QuickStartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A checkout of its own, with the classes of this one, installed as ./jqlora kernel install does it."""
        cls.folder = tempfile.mkdtemp(prefix="jqlora 中 文 ")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.home = os.path.join(cls.folder, "home")
        for part in ("kernels", "src/main/launcher", "target/classes"):
            shutil.copytree(os.path.join(HOME, part), os.path.join(cls.home, part))
        shutil.copy(os.path.join(HOME, "jqlora"), cls.home)
        cls.classes, cls.quick = os.path.join(cls.home, "target", "classes"), os.path.join(cls.home, ".jqlora", "quick")
        with open(os.path.join(cls.folder, "class path"), "w", encoding="utf-8") as file:
            file.write(":".join([cls.classes, *kernel_state.class_path(OWN_SPEC)[1:]]))
        cls.java = kernel_state.java_of(OWN_SPEC)
        cls.installed = cls.install()
        cls.spec = os.path.join(cls.folder, "share", "jupyter", "kernels", "java-qlora")

    @classmethod
    def install(cls):
        return subprocess.run([os.path.join(cls.home, "kernels", "install.sh"), "--prefix", cls.folder, "--java", os.path.dirname(os.path.dirname(cls.java)),
                               "--class-path", os.path.join(cls.folder, "class path")], capture_output=True, text=True, check=True)

    def start(self):
        """The first entry of the class path of a kernel, what the doctor says of its quick start, and what it has printed."""
        specs = KernelSpecManager(kernel_dirs=[os.path.dirname(self.spec)], ensure_native_kernel=False)
        manager = KernelManager(kernel_name="java-qlora", kernel_spec_manager=specs)
        with tempfile.TemporaryFile() as log:
            manager.start_kernel(stdout=log, stderr=log)
            client = manager.client()
            try:
                client.start_channels()
                client.wait_for_ready(timeout=60)
                self.assertEqual(kernel_check.execute(client, "1 + 1"), "2")
                first = kernel_check.execute(client, 'System.getProperty("java.class.path")').split(":")[0]
                state = kernel_state.quick_start(self.spec, kernel_check.execute(client, OPTIONS).splitlines())
            finally:
                client.stop_channels()
                manager.shutdown_kernel(now=True)
            log.seek(0)
            return first, state, log.read().decode()

    def setUp(self):
        self.install()                                   # prepares again what the test before has spoilt, and only that

    def cache(self):
        with open(os.path.join(self.quick, "start.aot"), "rb") as file:
            return file.read()

    def write_cache(self, content):
        with open(os.path.join(self.quick, "start.aot"), "wb") as file:
            file.write(content)

    def test_it_is_prepared_once_and_used(self):
        self.assertRegex(self.installed.stdout, r"\npreparing a quick start of the kernel\nthe kernel starts quickly \(prepared in \d+ s\)\n\Z")
        self.assertEqual(self.install().stdout, f'kernel "Java 25 (QLoRA)" is in {self.spec}\n')
        self.assertEqual(self.start(), (os.path.join(self.quick, "jqlora.jar"), "in use", ""))
        self.assertEqual(sorted(os.listdir(self.quick)), ["jqlora.jar", "stamp", "start.aot"])

    def test_classes_that_are_built_later_are_run_and_then_prepared(self):
        before = os.stat(os.path.join(self.quick, "start.aot")).st_mtime
        time.sleep(0.05)
        os.utime(os.path.join(self.classes, "jqlora", "kernel", "KernelMain.class"))
        first, state, printed = self.start()
        self.assertEqual(first, self.classes)
        self.assertRegex(state, r"\Anot in use \(a class is newer .*\); \./jqlora kernel install writes it anew\Z")
        self.assertEqual([line for line in printed.splitlines() if "Using incubator modules" not in line], [])
        self.install()
        self.assertGreater(os.stat(os.path.join(self.quick, "start.aot")).st_mtime, before)
        self.assertEqual(self.start()[:2], (os.path.join(self.quick, "jqlora.jar"), "in use"))

    def test_a_cache_that_is_broken_is_no_error(self):
        whole = self.cache()
        self.addCleanup(self.write_cache, whole)
        for broken in (b"", whole[:1_000_000], b"no cache" * 100_000):
            self.write_cache(broken)
            first, state, printed = self.start()
            self.assertEqual([first, printed], [os.path.join(self.quick, "jqlora.jar"), ""])
            self.assertEqual(state, "not in use (this Java does not take the cache); ./jqlora kernel install writes it anew")

    def test_without_a_cache_or_with_options_for_another_the_jar_is_run(self):
        whole = self.cache()
        with mock.patch.dict(os.environ, JDK_JAVA_OPTIONS="-Xshare:off"):
            first, state, _ = self.start()
        self.assertEqual(first, os.path.join(self.quick, "jqlora.jar"))
        self.assertRegex(state, r"\Anot in use ")
        self.addCleanup(self.write_cache, whole)
        os.remove(os.path.join(self.quick, "start.aot"))
        self.assertEqual(self.start()[0], os.path.join(self.quick, "jqlora.jar"))

    def test_a_failed_preparation_is_told_once_and_leaves_a_kernel_that_starts(self):
        arguments = os.path.join(self.spec, "quick.args")
        with open(arguments, encoding="utf-8") as file:
            text = file.read()
        with open(arguments, "w", encoding="utf-8") as file:
            file.write(re.sub(r"jqlora\.kernel\.KernelMain", "jqlora.kernel.NoSuchMain", text))
        prepare = [os.path.join(self.home, "kernels", "quick.sh"), self.java, self.spec]
        told = subprocess.run(prepare, capture_output=True, text=True, check=True)
        self.assertRegex(told.stdout, r"\Apreparing a quick start of the kernel\nthe kernel starts without a cache of its classes; the reason is in .*quick\.log\n\Z")
        self.assertEqual(subprocess.run(prepare, capture_output=True, text=True, check=True).stdout, "")
        with open(os.path.join(self.home, ".jqlora", "log", "quick.log"), encoding="utf-8") as file:
            self.assertIn("NoSuchMain", file.read())

    def test_a_class_path_with_a_hole_changes_nothing(self):
        arguments, whole = os.path.join(self.spec, "quick.args"), self.cache()
        with open(arguments, encoding="utf-8") as file:
            text = file.read()
        with open(arguments, "w", encoding="utf-8") as file:
            file.write(text.replace('-cp "', '-cp "/no/a.jar:'))
        told = subprocess.run([os.path.join(self.home, "kernels", "quick.sh"), self.java, self.spec], capture_output=True, text=True, check=True)
        self.assertEqual([told.stdout, told.stderr], ["", ""])
        self.assertEqual(self.cache(), whole)

    def test_the_vector_api_is_there(self):
        specs = KernelSpecManager(kernel_dirs=[os.path.dirname(self.spec)], ensure_native_kernel=False)
        manager = KernelManager(kernel_name="java-qlora", kernel_spec_manager=specs)
        manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=60)
            self.assertEqual(kernel_check.execute(client, "FourBitCodec.vectorModulePresent()"), "true")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    unittest.main()
