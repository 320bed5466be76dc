"""What a newcomer meets: misspelt words, missing networks, odd folders and locales, checkouts that were moved."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import kernel_check
import kernel_state

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
LAUNCHER = os.path.join(HOME, "src", "main", "launcher")
OWN_SPEC = os.path.join(sys.prefix, "share", "jupyter", "kernels", "java-qlora")


def jqlora(*arguments, home=HOME, **environment):
    return subprocess.run([os.path.join(home, "jqlora"), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=os.environ | environment)


def shell(code, *arguments, **environment):
    """Runs lines of bash with the launcher's small parts."""
    parts = f'JQLORA_HOME={HOME!r}; LAUNCHER={LAUNCHER!r}; JQLORA_YES=; for part in common words failure java python; do . "$LAUNCHER/$part.sh"; done\n'
    return subprocess.run(["bash", "-c", "set -euo pipefail\n" + parts + code, "bash", *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=os.environ | environment)


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="jqlora 中 文 ")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8") as file:
            return file.read()


class WordsTest(unittest.TestCase):
    COMMANDS = "run train lab test notebooks kernel setup doctor pretrain bench".split()

    def near(self, word, names):
        return shell('near_name "$@"', word, *names).stdout.strip()

    def test_the_near_name(self):
        for word, name in (("rnu", "run"), ("runn", "run"), ("ru", "run"), ("RUN", "run"), ("tests", "test"), ("tset", "test"), ("lba", "lab"), ("notebok", "notebooks"),
                           ("note", "notebooks"), ("kernal", "kernel"), ("docter", "doctor"), ("pretrian", "pretrain"), ("benhc", "bench"), ("stup", "setup")):
            self.assertEqual(self.near(word, self.COMMANDS), name, word)

    def test_far_words_have_none(self):
        for word in ("fly", "x", "", "compile", "*", "a\\b"):
            self.assertEqual(self.near(word, self.COMMANDS), "", word)

    def test_misspelt_words_are_answered_in_a_sentence(self):
        for arguments, said in ((["rnu"], 'jqlora: unknown command "rnu"; did you mean run? (./jqlora --help tells what there is)\n'),
                                (["kernel", "instal"], 'jqlora: kernel: unknown action "instal"; did you mean install? (./jqlora kernel --help tells what there is)\n'),
                                (["run", "--modle", "x"], 'jqlora: run: unknown option "--modle"; did you mean --model? (./jqlora run --help tells what there is)\n'),
                                (["lab", "--divice", "cpu"], 'jqlora: lab: unknown option "--divice"; did you mean --device? (./jqlora lab --help tells what there is)\n'),
                                (["test", "--fst"], 'jqlora: test: unknown option "--fst"; did you mean --fast? (./jqlora test --help tells what there is)\n'),
                                (["setup", "--gpus"], 'jqlora: setup: unknown option "--gpus"; did you mean --gpu? (./jqlora setup --help tells what there is)\n'),
                                (["doctor", "--all"], 'jqlora: doctor: unknown option "--all" (./jqlora doctor --help tells what there is)\n'),
                                (["kernel", "uninstall", "--nmae", "x"],
                                 'uninstall.sh: unknown option "--nmae"; did you mean --name? (./jqlora kernel --help tells what there is)\n'),
                                (["kernel", "doctor", "--prefx", "x"], 'jqlora: kernel: unknown option "--prefx"; did you mean --prefix? (./jqlora kernel --help tells what there is)\n'),
                                (["run", "01-qlora-walkthrough"], "jqlora: run: 01-qlora-walkthrough: no such notebook; did you mean notebooks/01-qlora-walkthrough.ipynb?\n"),
                                (["notebooks", "no.ipynb"], "jqlora: notebooks: no.ipynb: no such notebook\n"),
                                (["run", "--timeout", "abc"], 'jqlora: --timeout is "abc", it must be a whole number of seconds, 1 or more\n'),
                                (["run", "--timeout", "0"], 'jqlora: --timeout is "0", it must be a whole number of seconds, 1 or more\n'),
                                (["run", "--timeout", "-5"], 'jqlora: --timeout is "-5", it must be a whole number of seconds, 1 or more\n')):
            answer = jqlora(*arguments)
            self.assertEqual([answer.returncode, answer.stderr, answer.stdout], [1, said, ""], arguments)


class RootTest(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "this user is not root")
    def test_lab_says_to_root_at_once_what_to_do(self):
        answer = jqlora("lab", "--no-browser")
        self.assertEqual(answer.returncode, 1)
        self.assertEqual(answer.stdout, "")
        self.assertRegex(answer.stderr, r"\Ajqlora: lab: you are root, .*; \./jqlora lab --allow-root does it .*\n\Z")

    def test_version_needs_no_permission(self):
        self.assertRegex(jqlora("lab", "--version").stdout, r"\n\d+\.\d+\.\d+\n\Z")


class FailureTest(InFolder):
    """Each usual reason in one sentence; what is not usual comes with the end of the log."""

    def failed(self, log):
        self.write("log", log)
        return shell('quietly "doing it" "$1" false_with "$1"', self.path("new.log"), PATH=f"{self.folder}:{os.environ['PATH']}")

    def setUp(self):
        super().setUp()
        self.write("false_with", f"#!/bin/sh\ncat '{self.folder}/log'; exit 3\n", 0o755)

    def test_reasons(self):
        pip = "ERROR: Could not find a version that satisfies the requirement anyio==4.16.0 (from versions: none)\nERROR: No matching distribution found for anyio==4.16.0\n"
        maven = ("[ERROR] Plugin org.apache.maven.plugins:maven-resources-plugin:3.3.1 or one of its dependencies could not be resolved:\n"
                 "[ERROR] Could not transfer artifact ai.djl:api:jar:0.36.0 from/to central: Unknown host\n")
        for log, reason in ((pip, "pip found no index of packages that has anyio==4.16.0; connect to the network, or name an index that can be reached in PIP_INDEX_URL"),
                            (maven, f"Maven cannot fetch ai.djl:api:jar:0.36.0; connect to the network, or name a mirror that can be reached in {os.environ['HOME']}/.m2/settings.xml"),
                            ("curl: (6) Could not resolve host: a\ncurl: Failed to fetch https://a/apache-maven-3.9.11-bin.zip\n",
                             "Maven itself cannot be fetched from https://a/apache-maven-3.9.11-bin.zip; connect to the network, name a mirror of Maven Central in MVNW_REPOURL, "
                             f"or install it: {shell('maven_advice').stdout.strip()}"),
                            ("x\nfetch_jdk: no server; do that\n", "no server; do that"),
                            ("[ERROR] /a/B.java:[3,4] ';' expected\n[ERROR] more\n", "/a/B.java:[3,4] ';' expected"),
                            ("npm error code ENOTFOUND\n", "npm cannot reach its registry; connect to the network, or name one that can be reached in npm_config_registry"),
                            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device: '/x/y'\n",
                             f"the disk is full (Could not install packages due to an OSError: [Errno 28] No space left on device: '/x/y'); df -h {HOME} shows how full")):
            answer = self.failed(log)
            self.assertEqual(answer.returncode, 1)
            self.assertEqual(answer.stderr, f"jqlora: doing it failed: {reason} (all of it is in {self.path('new.log')})\n")

    def test_an_unusual_reason_comes_with_the_end_of_the_log(self):
        answer = self.failed("first\n" + "x\n" * 40 + "boom\n")
        self.assertEqual(answer.stderr, "x\n" * 29 + f"boom\njqlora: doing it failed: status 3 (all of it is in {self.path('new.log')})\n")

    def test_pip_and_the_jdk_without_a_network(self):
        pip = subprocess.run([sys.executable, "-m", "pip", "download", "--no-input", "--retries", "0", "--index-url", "http://127.0.0.1:9/", "no-such-package-of-ours"],
                             capture_output=True, text=True, cwd=self.folder)
        self.assertIn("pip found no index of packages that has no-such-package-of-ours;", self.failed(pip.stdout + pip.stderr).stderr)
        jdk = subprocess.run([sys.executable, os.path.join(LAUNCHER, "fetch_jdk.py"), "25", self.path("jdk")], capture_output=True, text=True,
                             env=os.environ | {"JQLORA_ADOPTIUM": "http://127.0.0.1:9"})
        self.assertRegex(jdk.stderr, r"\Afetch_jdk: http://127.0.0.1:9 cannot be reached \(.*refused.*\); connect to the network, name a mirror in JQLORA_ADOPTIUM, or .*\n\Z")

    def test_the_wrapper_is_the_one_without_a_jar(self):
        with open(os.path.join(HOME, ".mvn", "wrapper", "maven-wrapper.properties"), encoding="utf-8") as file:
            self.assertIn("distributionType=only-script\n", file.read())
        self.assertEqual(os.listdir(os.path.join(HOME, ".mvn", "wrapper")), ["maven-wrapper.properties"])
        self.assertTrue(os.access(os.path.join(HOME, "mvnw"), os.X_OK))

    def test_doctor_tells_which_maven_it_takes(self):
        code = '. "$LAUNCHER/doctor.sh"; find_jdk() { false; }\nPROBLEMS=0; doctor_java; echo "$PROBLEMS"'
        for find, said in (('MAVEN="$JQLORA_HOME/mvnw"', r"  note     Maven      \./mvnw, which fetches one .*\n1\n\Z"),
                           ("MAVEN=/usr/bin/mvn", r"  ok       Maven      /usr/bin/mvn\n1\n\Z"), ("false", r"  MISSING  Maven      .+\n2\n\Z")):
            self.assertRegex(shell(f"find_maven() {{ {find}; }}\n{code}").stdout, said)

    def test_no_jdk_maven_or_python(self):
        os.mkdir(self.path("bin"))
        for tool in ("bash", "uname", "dirname", "cat", "grep", "sed", "awk", "locale", "readlink"):
            os.symlink(shutil.which(tool), self.path("bin", tool))
        without = {"PATH": self.path("bin"), "HOME": self.folder}
        hidden = "jdk_candidates() { :; }\n"
        self.assertRegex(shell(hidden + "need_jdk", **without).stderr, r"\Ajqlora: no JDK 25 was found .*; to get one: .+, or \./jqlora --yes setup, .*\n\Z")
        self.assertEqual(shell('need_maven; printf %s "$MAVEN"', **without).stdout, os.path.join(HOME, "mvnw"))
        self.assertRegex(shell('JQLORA_HOME="$1"\nneed_maven', self.folder, **without).stderr, r"\Ajqlora: Maven \(mvn\), .* was not found; to get it: .+\n\Z")
        self.assertRegex(shell("is_python() { false; }\nneed_python", **without).stderr, r"\Ajqlora: no Python 3.11 or newer .*; to get it: .+\n\Z")


class InstalledKernelTest(InFolder):
    """Kernelspecs that lost what they start."""

    @property
    def prefix(self):
        return self.path("Jupyter's 前缀")

    def install(self, home=HOME, class_path=None):
        with open(os.path.join(OWN_SPEC, "kernel.args"), encoding="utf-8") as file:
            own = re.search(r'^-cp "(.*)"$', file.read(), re.MULTILINE)[1]
        self.write("class path", class_path(own) if class_path else own)
        java = os.path.dirname(os.path.dirname(kernel_state.java_of(OWN_SPEC)))
        done = subprocess.run([os.path.join(home, "kernels", "install.sh"), "--prefix", os.path.basename(self.prefix), "--java", java, "--class-path", self.path("class path")],
                              cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return os.path.join(self.prefix, "share", "jupyter", "kernels", "java-qlora")

    def doctor(self, **environment):
        return jqlora("kernel", "doctor", "--prefix", self.prefix, **environment)

    def small_checkout(self):
        shutil.copytree(os.path.join(HOME, "kernels"), self.path("old", "kernels"))
        shutil.copytree(LAUNCHER, self.path("old", "src", "main", "launcher"))
        shutil.copy(os.path.join(HOME, "jqlora"), self.path("old"))
        return self.path("old")

    def test_after_uninstall_the_copy_of_the_launcher_is_not_reported(self):
        self.install()
        self.assertEqual(jqlora("kernel", "uninstall", "--prefix", self.prefix).returncode, 0)
        answer = self.doctor()
        self.assertEqual([answer.returncode, answer.stdout], [1, ""])
        self.assertEqual(answer.stderr, f"no kernel \"java-qlora\" is installed below {self.prefix}; ./jqlora kernel install does it\n")
        answer = jqlora("kernel", "doctor", HOME=self.folder, JUPYTER_DATA_DIR=self.path("data"))
        self.assertEqual(answer.returncode, 1, answer.stdout)
        self.assertIn('no kernel "java-qlora" is installed in your own Jupyter, and ./jqlora lab needs none there', answer.stderr)

    def test_a_moved_checkout_is_named(self):
        spec = self.install(home=self.small_checkout())
        os.rename(self.path("old"), self.path("new"))
        said = f"{spec} was installed from {self.path('old')}, where jqlora is no more; ./jqlora kernel install writes it anew"
        answer = self.doctor()
        self.assertEqual([answer.returncode, answer.stderr], [1, said + "\n"])
        listed = subprocess.run([sys.executable, os.path.join(LAUNCHER, "kernel_state.py"), HOME, spec], capture_output=True, text=True)
        self.assertEqual(listed.stdout, f"bad\t{said}\n")
        started = subprocess.run([os.path.join(spec, "kernel.sh"), "java", "args", "connection"], capture_output=True, text=True, env=os.environ | {"QLORA_HOME": self.path("old")})
        self.assertEqual(started.returncode, 1)
        self.assertIn(f"jqlora kernel: {self.path('old')}, from which it was installed, is gone;", started.stderr)

    def test_the_kernelspec_of_another_checkout_is_told_by_doctor(self):
        spec = self.install(home=self.small_checkout())
        listed = subprocess.run([sys.executable, os.path.join(LAUNCHER, "kernel_state.py"), HOME, spec, OWN_SPEC], capture_output=True, text=True)
        self.assertEqual(listed.stdout, f"bad\t{spec} belongs to another checkout, {self.path('old')}; ./jqlora kernel install writes it anew for this one\nok\t{OWN_SPEC}\n")

    def test_what_else_can_be_missing(self):
        spec = self.install(class_path=lambda own: "/no/a.jar:/no/b.jar:" + own)
        self.assertEqual(kernel_state.problem(spec), f"{spec}: /no/a.jar and 1 more of its class path are gone; ./jqlora kernel install writes it anew")
        spec = self.install()
        self.assertIsNone(kernel_state.problem(spec))
        with open(os.path.join(spec, "kernel.json"), encoding="utf-8") as file:
            content = json.load(file)
        content["argv"][2] = "/no/bin/java"
        self.write(os.path.join(spec, "kernel.json"), json.dumps(content))
        self.assertEqual(self.doctor().stderr, f"{spec} starts /no/bin/java, which is gone; ./jqlora kernel install writes it anew\n")
        self.write(os.path.join(spec, "kernel.json"), "{")
        self.assertRegex(self.doctor().stderr, r"cannot be read .*; \./jqlora kernel install writes it anew\n\Z")
        os.remove(os.path.join(spec, kernel_state.MARKER))
        self.assertIn("was not written by jqlora", kernel_state.problem(spec))

    def test_a_kernel_that_ends_at_once_is_no_traceback(self):
        spec = self.install()
        os.remove(os.path.join(spec, "quick.args"))
        self.write(os.path.join(spec, "kernel.args"), '-cp "/tmp"\njqlora.kernel.NoSuchMain\n')
        answer = self.doctor()
        self.assertEqual(answer.returncode, 1)
        self.assertRegex(answer.stderr, r"\Athe kernel does not work \(.*\); it said: .*Could not find or load main class jqlora.kernel.NoSuchMain.*\n\Z")

    def test_it_starts_in_the_c_locale_from_a_folder_outside_of_ascii(self):
        shutil.copytree(os.path.join(HOME, "target", "classes"), self.path("类 classes"))
        spec = self.install(class_path=lambda own: f"{self.path('类 classes')}:" + own.partition(":")[2])
        for environment in ({"LC_ALL": "C"}, {"LC_ALL": "", "LANG": "xx_YY.UTF-8", "LC_CTYPE": ""}):
            begun = subprocess.run([sys.executable, kernel_check.__file__, "--prefix", self.prefix], capture_output=True, text=True,
                                   env=os.environ | environment | {"PYTHONUTF8": "1"})
            self.assertEqual([begun.returncode, begun.stderr], [0, ""], environment)
            self.assertIn("the kernel works", begun.stdout)
        self.assertIn("the kernel works", self.doctor(LC_ALL="C").stdout)
        self.assertIsNone(kernel_state.problem(spec))


class MovedCheckoutTest(InFolder):
    def test_doctor_tells_of_an_environment_that_was_made_elsewhere(self):
        shutil.copytree(os.path.join(HOME, "kernels"), self.path("here", "kernels"))
        for folder in ("src/main/launcher", "src/main/resources"):
            shutil.copytree(os.path.join(HOME, folder), self.path("here", folder))
        for file in ("jqlora", "pom.xml"):
            shutil.copy(os.path.join(HOME, file), self.path("here"))
        os.makedirs(self.path("here", "src", "main", "java"))
        told = jqlora("doctor", home=self.path("here"), DJL_CACHE_DIR="").stdout
        self.assertIn("Jupyter    not set up yet", told)
        self.assertIn("natives    PyTorch (430 MB) is unpacked at its first use", told)
        self.assertRegex(told, r"disk .*\n.* browser .*\n(Nothing is missing|\d of these must be put right first)\.\n\Z")
        os.makedirs(self.path("here", ".jqlora", "venv", "bin"))
        os.symlink(sys.executable, self.path("here", ".jqlora", "venv", "bin", "python"))
        self.write(self.path("here", ".jqlora", "venv", "jqlora.stamp"), "/elsewhere/.jqlora/venv 1 2")
        self.assertIn("Jupyter    .jqlora/venv was made in another place", jqlora("doctor", home=self.path("here")).stdout)


if __name__ == "__main__":
    unittest.main()
