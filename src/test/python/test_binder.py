"""binder/ and .devcontainer/: what can be known of them without Docker."""
import json
import os
import re
import subprocess
import sys
import unittest

from kernel_session import slow

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
REPO2DOCKER = os.environ.get("JQLORA_REPO2DOCKER")
sys.path.insert(0, os.path.join(HOME, "src", "test", "binder"))


def read(*path):
    with open(os.path.join(HOME, *path), encoding="utf-8") as file:
        return file.read()


def tutorials(*folder):
    return sorted(name for name in os.listdir(os.path.join(HOME, *folder)) if name.endswith(".ipynb"))


class BadgeTest(unittest.TestCase):
    def test_the_badges_open_the_first_tutorial_of_this_version(self):
        version = re.search(r"<version>([^<]+?)(?:-SNAPSHOT)?</version>", read("pom.xml"))[1]
        first = tutorials("notebooks")[0]
        in_chinese = os.path.isfile(os.path.join(HOME, "notebooks", "zh", first))
        for page, folder in {"README.md": "notebooks", "README.zh-CN.md": "notebooks/zh" if in_chinese else "notebooks"}.items():
            expected = f"https://mybinder.org/v2/gh/jqlora/jqlora/v{version}?urlpath=lab/tree/{folder}/{first}"
            self.assertIn(f"[![Binder](https://mybinder.org/badge_logo.svg)]({expected})", read(page), page)


class FolderTest(unittest.TestCase):
    def test_scripts_are_strict_and_executable(self):
        for script in ("postBuild", "start"):
            self.assertTrue(os.access(os.path.join(HOME, "binder", script), os.X_OK), script)
        self.assertIn("\nset -euo pipefail\n", read("binder", "postBuild"))
        self.assertTrue(read("binder", "start").endswith('\nexec "$@"\n'))

    def test_nothing_of_the_repository_stands_beside_it(self):
        self.assertFalse(os.path.exists(os.path.join(HOME, ".binder")))           # both together are an error there
        self.assertFalse(os.path.exists(os.path.join(HOME, "binder", "Dockerfile")))     # it would make the rest inert

    def test_start_passes_on_what_it_is_given(self):
        shown = subprocess.run([os.path.join(HOME, "binder", "start"), "sh", "-c", 'printf "%s|%s|%s" "$1" "$MALLOC_ARENA_MAX" "$JQLORA_DEVICE"', "sh", "a b"],
                               capture_output=True, text=True, check=True)
        self.assertEqual(shown.stdout, "a b|2|cpu")

    def test_the_development_container_opens_the_first_tutorial(self):
        settings = json.loads(read(".devcontainer", "devcontainer.json"))
        self.assertEqual(settings["customizations"]["codespaces"]["openFiles"], ["README.md", f"notebooks/{tutorials('notebooks')[0]}"])
        self.assertIn("ms-toolsai.jupyter", settings["customizations"]["vscode"]["extensions"])
        self.assertTrue(os.path.isfile(os.path.join(HOME, ".devcontainer", settings["build"]["dockerfile"])))


@unittest.skipUnless(REPO2DOCKER, "JQLORA_REPO2DOCKER does not name a repo2docker")
class DryRunTest(unittest.TestCase):
    def test_repo2docker_takes_every_file_as_mybinder_sets_it(self):
        dry = subprocess.run([REPO2DOCKER, "--no-build", "--debug", "--Repo2Docker.default_buildpack=None", HOME], capture_output=True, text=True)
        self.assertEqual(dry.returncode, 0, dry.stderr)
        dockerfile = dry.stderr + dry.stdout
        for line in (r"FROM \S*buildpack-deps", r"fontconfig\s.*fonts-dejavu-core\s.*fonts-wqy-microhei", r'env update .*--file "?binder/environment\.yml',
                     r"RUN \S*binder/postBuild", r'ENV R2D_ENTRYPOINT="?\S*binder/start'):
            self.assertRegex(dockerfile, re.compile(line, re.DOTALL if "fonts" in line else 0))


class RehearsalTest(unittest.TestCase):
    @slow
    def test_build_and_visit_fit_into_two_gigabytes_and_one_core(self):
        import rehearse
        jdk = os.path.dirname(os.path.dirname(java_of_our_kernel()))
        repository = os.path.expanduser("~/.m2/repository")
        peak = rehearse.rehearse(jdk, 2048, ["binder/smoke.ipynb"], repository if os.path.isdir(repository) else None)
        self.assertLess(peak, 1200 * 2**20)


def java_of_our_kernel():
    import kernel_state
    return kernel_state.java_of(os.path.join(sys.prefix, "share", "jupyter", "kernels", "java-qlora"))


if __name__ == "__main__":
    unittest.main()
