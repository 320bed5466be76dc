"""Starts an installed kernel, runs a cell in it, restarts it and says how long each took.

usage: kernel_check.py [--name NAME] [--prefix DIR]
"""
import argparse
import os
import subprocess
import sys
import time

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import KernelManager


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="java-qlora")
    parser.add_argument("--prefix")
    name = parser.parse_args().name
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        sys.exit(f"no kernel \"{name}\" is installed; ./jqlora kernel install does it")
    print(f"kernelspec   {spec.resource_dir}")
    print(f"java         {spec.argv[0]}")
    missing = [path for path in (spec.argv[0], spec.argv[1].lstrip("@")) if not os.path.exists(path)]
    if missing:
        sys.exit(f"{', '.join(missing)}: missing; ./jqlora kernel install writes the kernelspec anew")
    manager = KernelManager(kernel_name=name)
    begin = time.perf_counter()
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        print(f"ready        {time.perf_counter() - begin:.1f} s")
        print(f"1 + 1        {execute(client, '1 + 1')} after {time.perf_counter() - begin:.1f} s")
        print(f"heap         {execute(client, 'Runtime.getRuntime().maxMemory() / 1_000_000')} MB at most")
        begin = time.perf_counter()
        manager.restart_kernel(now=False)
        client.wait_for_ready(timeout=60)
        execute(client, "1 + 1")
        print(f"restart      {time.perf_counter() - begin:.1f} s")
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    print("the kernel works")


if __name__ == "__main__":
    main()
