"""FastAPI's documentation in English, Chinese and Japanese, without code, tables and notes."""
import re

from archives import members

MARKERS = (r"!\[[^\]]*\]\([^)]*\)", r"<[^>]+>", r"\*\*|__|`", r"[\U0001F000-\U0001FAFF\u2600-\u27bf\ufe0f\u2b50]|:\w+:", r"^([*+>-]|\d+\.)\s+")


def read(packages):
    return {language: [text for page in pages(packages, language) if (text := paragraphs(page))] for language in ("en", "zh", "ja")}


def pages(packages, language):
    files = members(packages / "fastapi-0.110.0.tar.gz", rf"fastapi-0\.110\.0/docs/{language}/docs/.*\.md")
    return [content.decode() for name, content in files.items() if not re.search(r"release-notes|fastapi-people|external-links|/reference/", name)]


def paragraphs(page):
    page = re.sub(r"(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$", "\n\n", page)
    page = re.sub(r"(?s)<(style|script|div|table|svg)\b.*?</\1>", "\n", page)
    page = re.sub(r"(?m)^\s*(!!!|\?\?\?|///|===|<|#|\||\{).*$", "\n", page)
    kept = []
    for block in re.split(r"\n\s*\n|\n(?=\s*[*+-] )|\n(?=\s*\d+\. )", page):
        block = re.sub(r"\[([^\]]*)\]\([^)]*\)(\{[^}]*\})?", r"\1", " ".join(block.split()))     # links
        for marker in MARKERS:
            block = re.sub(marker, "", block).strip()
        block = re.sub(r"\*([^*]+)\*", r"\1", block)
        if re.search(r"[.!?。！？]$", block):     # what ends in a colon had code after it
            kept.append(block)
    return tuple(kept)
