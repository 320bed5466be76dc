"""Tanaka corpus (Tatoeba, EDRDG): Japanese sentences and their English translations."""
import lzma
import re

from archives import members


def read(packages):
    file = members(packages / "tanaka-0.1.0.crate", r".*/examples\.utf\.xz")
    pairs = []
    for line in lzma.decompress(*file.values()).decode().splitlines():
        if not (pair := re.match(r"A: (.*?)\t(.*?)#ID=\S+$", line)):     # B lines hold a dictionary's index
            continue
        ja = re.sub(r"\[[MFmf]\]|【.*?】|\s", "", pair[1])                # sex of the speaker, name of the speaker
        en = re.sub(r"\s*\[[MFmf]\]", "", pair[2]).strip()
        pairs.append((ja, en[:1].upper() + en[1:]))
    return {"ja-en": pairs}
