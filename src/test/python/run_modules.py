"""Runs the test modules of this folder, each in a process of its own, two at a time where there are two processors.

    python run_modules.py [MODULE ...]      all test_*.py without an argument

What a module prints is shown when it has ended; the last lines say which failed. Ends with status 1 if one did.
"""
import concurrent.futures
import os
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
AT_ONCE = 2                                            # many tests look at a clock


def modules():
    """All test modules, the longest files first: they take longest, more or less."""
    names = [name for name in os.listdir(FOLDER) if name.startswith("test_") and name.endswith(".py")]
    return [name[:-3] for name in sorted(names, key=lambda name: -os.path.getsize(os.path.join(FOLDER, name)))]


def run(module):
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "unittest", "-v", module], cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return module, done.returncode, done.stdout, time.perf_counter() - began


def main(names):
    failed = []
    with concurrent.futures.ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, name) for name in names or modules()]):
            module, status, printed, seconds = future.result()
            print(f"{printed.rstrip()}\n{module}: {'FAILED' if status else 'passed'} after {seconds:.0f} s\n", flush=True)
            if status:
                failed.append(module)
    if failed:
        print("failed: " + ", ".join(sorted(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
