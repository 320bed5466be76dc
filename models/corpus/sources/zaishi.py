"""The stories 再试一试 by 王梓明: modern Chinese narration and dialogue."""
import html
import io
import re
import zipfile

from archives import members

HEADING = re.compile(r"\d$|（\d+）|（特别）|——.{1,12}篇$")


def read(packages):
    files = members(packages / "zaishiyishiheji-0.1.13-py3-none-any.whl", r".*\.docx")
    texts = []
    for content in files.values():
        document = zipfile.ZipFile(io.BytesIO(content)).read("word/document.xml").decode()
        run = []
        for block in document.split("</w:p>"):
            paragraph = html.unescape("".join(re.findall(r"<w:t(?: [^>]*)?>([^<]*)</w:t>", block))).strip()
            if HEADING.search(paragraph) or len(paragraph) > 400:     # contents, chapter titles, the cast's biographies
                texts.append(tuple(run))
                run = []
            elif re.search(r"[。！？…”：』」）]$", paragraph):
                run.append(paragraph)
        texts.append(tuple(run))
    return {"zh": [text for text in texts if text]}
