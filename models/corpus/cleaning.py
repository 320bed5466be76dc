"""Brings a line of text into one form, and says what speaks against using it.

The lines come from many hands; the model should see one way of writing: composed Unicode (NFC), single blanks, ASCII digits,
straight quotation marks in English, full-width punctuation in Chinese and Japanese.
"""
import re
import unicodedata
from functools import cache
from pathlib import Path

HAN = "\u3400-\u4dbf\u4e00-\u9fff々"
KANA = "\u3041-\u3096\u30a1-\u30fa\u30fc"
WIDE = HAN + KANA + "，。、！？：；“”‘’「」『』（）《》…"
FULL_WIDTH_ALPHANUMERICS = {c: c - 0xFEE0 for r in ("０９", "Ａｚ") for c in range(ord(r[0]), ord(r[1]) + 1) if chr(c - 0xFEE0).isalnum()}
STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "`": "'", "´": "'", "–": "-", "—": "--", "…": "..."})
FULL_WIDTH_PUNCTUATION = str.maketrans(",?!:;", "，？！：；")
LENGTHS = {"en": (8, 4000), "zh": (4, 1500), "ja": (4, 1500)}
# GB 2312 has no traditional forms and Shift JIS no simplified ones, so a wrong script or a rare character cannot be encoded
CHARSETS = {"en": "latin-1", "zh": "gb2312", "ja": "cp932"}
LETTERS = {"en": "A-Za-z", "zh": HAN, "ja": HAN + KANA}
MARKUP = re.compile(r"https?:|www\.|[{}<>|@#*_=\\\[\]^~]|&\w+;|\w+\.\w+\(|\(\)|（）|“”|\ufffd")


def normal(language: str, line: str) -> str:
    line = unicodedata.normalize("NFC", line)
    line = re.sub(r"[\u200b-\u200f\u2028-\u202e\u2060\ufeff\u00ad]", "", line)     # invisible marks
    line = re.sub(r"\s+", " ", line).strip().translate(FULL_WIDTH_ALPHANUMERICS)
    if language == "en":
        line = re.sub(r"\s+([,.?!;:])(?=\s|$)", r"\1", line.translate(STRAIGHT))
        return line if re.search(r"[.?!:;,\"')-]$", line) else line + "."
    blanks = re.compile(rf"(?<=[{WIDE}]) | (?=[{WIDE}])")
    line = blanks.sub("", line)
    line = re.sub(rf"(?<=[{WIDE}])[,?!:;]|[,?!:;](?=[{WIDE}])", lambda m: m[0].translate(FULL_WIDTH_PUNCTUATION), line)
    line = re.sub(rf"(?<=[{WIDE}])\.(?=$|[{WIDE}])", "。", line)
    line = re.sub(rf"\((?=[{WIDE}])|(?<=[{WIDE}])\(", "（", line)
    line = re.sub(rf"\)(?=[{WIDE}])|(?<=[{WIDE}])\)", "）", line)
    line = blanks.sub("", line)                           # beside what has become wide just now
    if language == "ja":
        line = line.replace("，", "、")
    return line if re.search(r"[。！？…：；」』”’）—]$", line) else re.sub(r"[,，、]$", "", line) + "。"


def fault(language: str, line: str) -> str | None:
    """Why a line in normal form is not used; None if it is."""
    low, high = LENGTHS[language]
    if not low <= len(line) <= high:
        return "length"
    if MARKUP.search(line):
        return "markup"
    # names and figures may stand in any language, but most of a line must be written in its own letters
    if len(re.findall(f"[{LETTERS[language]}]", line)) < 0.6 * len(re.findall(r"\w", line)):
        return "letters"
    if language == "en" and line[0].islower():
        return "fragment"
    if language == "zh" and re.search("[\u3041-\u3096\u30a1-\u30fa]", line) or language == "ja" and not re.search(f"[{KANA}]", line):
        return "script"
    if language == "en" and len(line) > 20 and line.upper() == line:
        return "capitals"
    try:
        re.sub("[—…“”‘’·々～〜−]", "", line).encode(CHARSETS[language])
    except UnicodeEncodeError:
        return "charset"
    if sensitive_words()[language].search(line):
        return "sensitive"
    return None


@cache
def sensitive_words() -> dict[str, re.Pattern]:
    """Per language one pattern of the words in sensitive_words.txt: English ones whole, the others anywhere in a line."""
    lists, language = {"en": [], "zh": [], "ja": []}, None
    for entry in (Path(__file__).parent / "sensitive_words.txt").read_text(encoding="utf-8").splitlines():
        if entry.startswith("["):
            language = entry.strip("[]")
        elif entry and not entry.startswith("#"):
            lists[language] += entry.split()
    return {"en": re.compile(r"\b(?:" + "|".join(lists["en"]) + r")\b", re.IGNORECASE),
            "zh": re.compile("|".join(lists["zh"])), "ja": re.compile("|".join(lists["ja"]))}


def key(line: str) -> str:
    """What two lines share that differ only in case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", line.lower())
