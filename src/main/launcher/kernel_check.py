"""Starts an installed kernel, runs a cell in it, restarts it and says how long each took.

usage: kernel_check.py [--name NAME] [--prefix DIR]
Looks where Jupyter looks, or only below DIR; never at the copy in this environment, which ./jqlora lab and run use.
"""
import argparse
import os
import sys
import tempfile
import time

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import KernelManager
from jupyter_core.paths import jupyter_path

import kernel_state


def folders(prefix):
    """The folders with kernelspecs, the first one that has a name wins."""
    if prefix is not None:
        return [os.path.join(os.path.abspath(prefix), "share", "jupyter", "kernels")]
    environments = [os.path.join(os.environ[name], "share", "jupyter") for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(name)]
    own = os.path.realpath(sys.prefix)
    found = [os.path.join(folder, "kernels") for folder in [*environments, *jupyter_path()]]
    return [folder for folder in dict.fromkeys(found) if not os.path.realpath(folder).startswith(own + os.sep)]


def execute(client, code):
    """The text of the value of ``code``."""
    values = []

    def keep(message):
        if message["msg_type"] == "execute_result":
            values.append(message["content"]["data"]["text/plain"])

    reply = client.execute_interactive(code, timeout=30, output_hook=keep)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{reply['content']['ename']}: {reply['content']['evalue']}")
    return values[0]


def try_out(manager, log, spec_dir):
    begin = time.perf_counter()
    manager.start_kernel(stdout=log, stderr=log)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        print(f"ready        {time.perf_counter() - begin:.1f} s")
        print(f"1 + 1        {execute(client, '1 + 1')} after {time.perf_counter() - begin:.1f} s")
        print(f"heap         {execute(client, 'Runtime.getRuntime().maxMemory() / 1_000_000')} MB at most")
        options = execute(client, "String.join(\"\\n\", java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments())")
        print(f"quick start  {kernel_state.quick_start(spec_dir, options.splitlines())}")
        begin = time.perf_counter()
        manager.restart_kernel(now=False)
        client.wait_for_ready(timeout=60)
        execute(client, "1 + 1")
        print(f"restart      {time.perf_counter() - begin:.1f} s")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def last_words(log):
    """The last lines that the kernel printed, as one."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or "it printed nothing"


def main():
    parser = argparse.ArgumentParser(prog="./jqlora kernel doctor")
    parser.add_argument("--name", default="java-qlora")
    parser.add_argument("--prefix")
    options = parser.parse_args()
    specs = KernelSpecManager(kernel_dirs=folders(options.prefix), ensure_native_kernel=False)
    try:
        spec = specs.get_kernel_spec(options.name)
    except NoSuchKernel:
        where = f"below {options.prefix}" if options.prefix is not None else "in your own Jupyter, and ./jqlora lab needs none there"
        sys.exit(f"no kernel \"{options.name}\" is installed {where}; ./jqlora kernel install does it")
    except (OSError, ValueError) as error:
        sys.exit(f"the kernelspec \"{options.name}\" cannot be read ({error}); {kernel_state.AGAIN}")
    wrong = kernel_state.problem(spec.resource_dir)
    if wrong:
        sys.exit(wrong)
    print(f"kernelspec   {spec.resource_dir}")
    print(f"checkout     {kernel_state.home_of(spec.resource_dir)}")
    print(f"java         {kernel_state.java_of(spec.resource_dir)}")
    with tempfile.TemporaryFile() as log:
        try:
            try_out(KernelManager(kernel_name=options.name, kernel_spec_manager=specs), log, spec.resource_dir)
        except (RuntimeError, TimeoutError, OSError) as error:
            sys.exit(f"the kernel does not work ({error}); it said: {last_words(log)}")
    print("the kernel works")


if __name__ == "__main__":
    main()
