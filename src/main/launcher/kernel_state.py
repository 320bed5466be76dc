"""What an installed kernelspec of ours says of itself, and whether it can still start. Needs no Jupyter.

usage: kernel_state.py HOME SPEC_DIR ...    a line for each: "ok" or "bad", a tab, a sentence; HOME is this checkout
"""
import json
import os
import re
import subprocess
import sys

MARKER = "installed-by-jqlora"
USAGE = 2                                                # with which the kernel ends that is given no connection file
AGAIN = "./jqlora kernel install writes it anew"


def home_of(spec_dir):
    """The checkout that the kernelspec was installed from, or None where it is not ours."""
    try:
        with open(os.path.join(spec_dir, MARKER), encoding="utf-8") as file:
            return file.read().strip().partition(" ")[2]
    except OSError:
        return None


def class_path(spec_dir):
    """The entries of the class path in its argument file."""
    with open(os.path.join(spec_dir, "kernel.args"), encoding="utf-8") as file:
        quoted = re.search(r'^-cp "((?:[^"\\]|\\.)*)"$', file.read(), re.MULTILINE)
    return re.sub(r"\\(.)", r"\1", quoted[1]).split(os.pathsep) if quoted else []


def java_of(spec_dir):
    """The Java that it starts."""
    with open(os.path.join(spec_dir, "kernel.json"), encoding="utf-8") as file:
        arguments = json.load(file)["argv"]
    return next((each for each in arguments if re.search(r"[/\\]bin[/\\]java(\.exe)?$", each)), arguments[0])


def quick_start(spec_dir, options):
    """How the quick start of a running kernel of this folder is, whose JVM was given ``options``: a few words.

    A JVM says nothing of a cache that it does not like, and starts without it; so another one is asked, which must have it.
    """
    quick = os.path.join(home_of(spec_dir), ".jqlora", "quick")
    if f"-XX:AOTCache={quick}/start.aot" not in options:
        jar, arguments = os.path.join(quick, "jqlora.jar"), os.path.join(spec_dir, "quick.args")
        prepared = os.path.isfile(jar) and os.path.isfile(arguments)
        return f"not in use ({'a class is newer than its jar, or it was switched off' if prepared else 'not prepared'}); {AGAIN}"
    asked = subprocess.run([java_of(spec_dir), f"-XX:AOTCache={quick}/start.aot", "-XX:AOTMode=on", f"@{spec_dir}/quick.args"],
                           capture_output=True, text=True)
    return "in use" if asked.returncode == USAGE else f"not in use (this Java does not take the cache); {AGAIN}"


def problem(spec_dir):
    """Why the kernel of this folder cannot start, in a sentence that says what would do; None where nothing is missing."""
    home = home_of(spec_dir)
    if home is None:
        return f"{spec_dir} was not written by jqlora (it has no {MARKER}); --name says another name"
    if not os.path.isfile(os.path.join(home, "jqlora")):
        return f"{spec_dir} was installed from {home}, where jqlora is no more; {AGAIN}"
    try:
        java, entries = java_of(spec_dir), class_path(spec_dir)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        return f"{spec_dir} cannot be read ({type(error).__name__}: {error}); {AGAIN}"
    if not os.access(java, os.X_OK):
        return f"{spec_dir} starts {java}, which is gone; {AGAIN}"
    missing = [entry for entry in entries if not os.path.exists(entry)]
    if missing or not entries:
        more = f" and {len(missing) - 1} more of its class path are" if len(missing) > 1 else " of its class path is"
        return f"{spec_dir}: {missing[0] + more + ' gone' if missing else 'it has no class path'}; {AGAIN}"
    return None


def main(home, spec_dirs):
    for spec_dir in spec_dirs:
        wrong = problem(spec_dir)
        if wrong is None and os.path.realpath(home_of(spec_dir)) != os.path.realpath(home):
            wrong = f"{spec_dir} belongs to another checkout, {home_of(spec_dir)}; {AGAIN} for this one"
        print("bad\t" + wrong if wrong else f"ok\t{spec_dir}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
