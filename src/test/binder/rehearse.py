"""Binder without Docker: the steps of binder/ in a fresh copy of the project, within 2 GB and one core, and the memory that they took.

usage: rehearse.py [--jdk DIR] [--memory MB] [NOTEBOOK ...]     run by the Python of .jqlora/venv, whose JupyterLab stands for Binder's
Builds as binder/postBuild does, starts JupyterLab as a visit does, and runs the notebooks beside it (default: binder/smoke.ipynb once more).
The limits are those of a control group where this user may make one (cgroup v1 or v2); else one core by affinity, and the memory is only measured.
"""
import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager

import psutil

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
CGROUPS = "/sys/fs/cgroup"
TOKEN = "rehearsal"


class Limits:
    """Processes started with ``preexec_fn=limits.enter`` share one core and ``memory_bytes``; ``peak_bytes`` is what they held at most."""

    def __init__(self, memory_bytes):
        self.peak_bytes, self._roots, self._end = 0, [], threading.Event()
        self._groups = self._make(memory_bytes)
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def enforced(self):
        return bool(self._groups)

    def _make(self, memory_bytes):
        name = f"jqlora-rehearsal-{os.getpid()}"
        if os.path.exists(f"{CGROUPS}/cgroup.controllers"):
            folders = {f"{CGROUPS}/{name}": {"memory.max": memory_bytes, "memory.swap.max": 0, "cpu.max": "100000 100000"}}
        else:
            folders = {f"{CGROUPS}/memory/{name}": {"memory.limit_in_bytes": memory_bytes},
                       f"{CGROUPS}/cpu/{name}": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": 100_000}}
        made = []
        try:
            for folder, settings in folders.items():
                os.mkdir(folder)
                made.append(folder)
                for key, value in settings.items():
                    with open(f"{folder}/{key}", "w", encoding="ascii") as file:
                        file.write(str(value))
        except OSError:
            self._remove(made)
            return []
        return made

    def enter(self):
        for folder in self._groups:
            with open(f"{folder}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def watch(self, process):
        self._roots.append(psutil.Process(process.pid))

    def _watch(self):
        while not self._end.wait(0.2):
            held = 0
            for root in list(self._roots):
                try:
                    held += sum(each.memory_info().rss for each in [root, *root.children(recursive=True)])
                except psutil.Error:
                    pass
            self.peak_bytes = max(self.peak_bytes, held)

    def close(self):
        self._end.set()
        self._remove(self._groups)

    @staticmethod
    def _remove(folders):
        for folder in folders:
            for _ in range(50):
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.1)


def fresh_copy(folder):
    """What is committed or about to be, without what binder/.dockerignore names."""
    with open(os.path.join(HOME, "binder", ".dockerignore"), encoding="utf-8") as file:
        ignored = tuple(line.strip() for line in file if line.strip())
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=HOME, capture_output=True, check=True).stdout
    for name in sorted(set(listed.decode().split("\0")) - {""}):
        source = os.path.join(HOME, name)
        if os.path.isfile(source) and not any(name == each or name.startswith(each + "/") for each in ignored):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            shutil.copy2(source, os.path.join(folder, name))


def base_environment(folder, jdk):
    """What stands for Binder's conda environment: a Python with JupyterLab, and the JDK at lib/jvm."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = glob.glob(os.path.join(folder, "lib", "python*", "site-packages"))
    (ours,) = glob.glob(os.path.join(sys.prefix, "lib", "python*", "site-packages"))
    with open(os.path.join(packages, "ours.pth"), "w", encoding="utf-8") as file:
        file.write(ours + "\n")
    for script in ("jupyter", "jupyter-execute", "jupyter-trust", "jupyter-lab"):
        with open(os.path.join(sys.prefix, "bin", script), encoding="utf-8") as file:
            body = file.read().split("\n", 1)[1]
        with open(os.path.join(folder, "bin", script), "w", encoding="utf-8") as file:
            file.write(f"#!{folder}/bin/python\n{body}")
        os.chmod(file.name, 0o755)
    os.symlink(jdk, os.path.join(folder, "lib", "jvm"))


def environment(home, prefix):
    return {"HOME": home, "PATH": f"{prefix}/bin:{prefix}/lib/jvm/bin:/usr/local/bin:/usr/bin:/bin", "NB_PYTHON_PREFIX": prefix, "REPO_DIR": home,
            "LANG": "C.UTF-8", "CONDA_PREFIX": prefix}


@contextmanager
def visit(home, prefix, limits):
    """JupyterLab as a visitor finds it; gives its first page's address."""
    log = os.path.join(home, "..", "lab.log")
    root = ["--allow-root"] if os.geteuid() == 0 else []
    with open(log, "wb") as output:
        server = subprocess.Popen(["binder/start", "jupyter", "lab", "--no-browser", "--port=0", f"--IdentityProvider.token={TOKEN}", *root],
                                  cwd=home, env=environment(home, prefix), preexec_fn=limits.enter, stdout=output, stderr=output)
    limits.watch(server)
    try:
        for _ in range(300):
            with open(log, encoding="utf-8", errors="replace") as file:
                found = [word for word in file.read().split() if word.startswith("http://") and "token=" in word]
            if found:
                yield found[0]
                return
            if server.poll() is not None:
                break
            time.sleep(0.2)
        with open(log, encoding="utf-8", errors="replace") as file:
            sys.exit("JupyterLab did not start:\n" + file.read())
    finally:
        server.terminate()
        server.wait(30)


def answers(address, path):
    """The JSON of the server's interface at ``path``."""
    root = address.partition("?")[0].split("/lab")[0].rstrip("/")
    with urllib.request.urlopen(f"{root}{path}?token={TOKEN}", timeout=30) as reply:
        return json.load(reply)


def step(text, command, home, prefix, limits):
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=home, env=environment(home, prefix), preexec_fn=limits.enter)
    limits.watch(process)
    if process.wait() != 0:
        sys.exit(f"{text}: status {process.returncode}")
    print(f"{text}: {time.perf_counter() - begin:.0f} s, {limits.peak_bytes / 2**20:,.0f} MB at most so far", flush=True)


def rehearse(jdk, memory_mb, notebooks, maven_repository):
    with tempfile.TemporaryDirectory(prefix="jqlora-binder-") as folder:
        home, prefix = os.path.join(folder, "jovyan"), os.path.join(folder, "env")
        fresh_copy(home)
        base_environment(prefix, jdk)
        if maven_repository:                                           # saves the download; a hard link, removed by postBuild
            os.makedirs(os.path.join(home, ".m2"))
            subprocess.run(["cp", "-al", maven_repository, os.path.join(home, ".m2", "repository")], check=True)
        limits = Limits(memory_mb * 2**20)
        try:
            print(f"limits: {memory_mb} MB and one core, {'enforced' if limits.enforced else 'the memory measured only: no control group can be made here'}", flush=True)
            step("binder/postBuild", ["binder/postBuild"], home, prefix, limits)
            if os.path.exists(os.path.join(home, ".m2", "repository")):
                sys.exit("binder/postBuild has left Maven's repository")
            limits.peak_bytes = 0
            with visit(home, prefix, limits) as address:
                default = answers(address, "/api/kernelspecs")["default"]
                if default != "java-qlora":
                    sys.exit(f"the first kernel is {default}, it must be java-qlora")
                for notebook in notebooks:
                    step(f"{notebook} beside JupyterLab", ["binder/start", "jupyter", "execute", "--timeout=3600", notebook], home, prefix, limits)
            print(f"a visit: {limits.peak_bytes / 2**20:,.0f} MB at most", flush=True)
            size = sum(os.path.getsize(os.path.join(each, file)) for each, _, files in os.walk(home) for file in files
                       if not os.path.islink(os.path.join(each, file)))
            print(f"the project's folder in the image: {size / 1e6:,.0f} MB", flush=True)
            return limits.peak_bytes
        finally:
            limits.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("notebooks", nargs="*", default=["binder/smoke.ipynb"])
    parser.add_argument("--jdk", default=os.environ.get("JQLORA_JAVA_HOME"), help="folder of a JDK 25")
    parser.add_argument("--memory", type=int, default=2048, metavar="MB")
    parser.add_argument("--maven-repository", metavar="DIR", help="one to take libraries from instead of fetching them")
    options = parser.parse_args()
    if not options.jdk:
        parser.error("--jdk or JQLORA_JAVA_HOME must name a JDK 25")
    rehearse(options.jdk, options.memory, options.notebooks, options.maven_repository)


if __name__ == "__main__":
    main()
