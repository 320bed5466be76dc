"""Says by its status whether this environment has every package of a requirements file at exactly its version.

usage: has_packages.py REQUIREMENTS
"""
import re
import sys
from importlib.metadata import PackageNotFoundError, version


def missing(requirements):
    for line in requirements:
        pin = re.match(r"\s*([A-Za-z0-9._-]+)==([^\s;#]+)", line)
        if pin:
            try:
                if version(pin[1]).split("+")[0] != pin[2].split("+")[0]:
                    yield line
            except PackageNotFoundError:
                yield line


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.exit(1 if any(missing(file)) else 0)
