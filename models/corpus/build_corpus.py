"""Makes the training text: reads the sources, cleans, removes duplicates, mixes, and adds the facts of the data sets.

    python build_corpus.py PACKAGES OUT      writes OUT/train.jsonl and OUT/valid.jsonl

One document a line: {"source", "language", "text"}; the language of sentences with translations is a pair such as "ja-en".
mix.json names the sources, in the order in which they are read, with the characters that each may give at most to a language, and how
often it gives them ("times", once if not said).
The result depends on the packages, on datasets/sources and on mix.json alone.
"""
import hashlib
import importlib
import json
import random
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import cleaning
import facts
import themes

MIX = json.loads((Path(__file__).parent / "mix.json").read_text(encoding="utf-8"))
LONGEST = {"en": 1000, "zh": 300, "ja": 300}          # characters a document; about 300 tokens
PAIRS = (1, 1, 1, 2, 3)                               # sentences with translations in one document
HELD_OUT = 50                                         # one text in so many is for validation; with the facts, about 1 % of all


@dataclass(frozen=True)
class Document:
    source: str
    language: str
    lines: tuple[str, ...]
    glue: str = "\n"

    @property
    def text(self) -> str:
        return self.glue.join(self.lines)


def held_out(text: tuple[str, ...]) -> bool:
    return int.from_bytes(hashlib.sha256(text[0].encode()).digest()[:8]) % HELD_OUT == 0


def clean(texts: dict[str, list], seen: dict[str, set], dropped: Counter) -> dict[str, list[tuple[str, ...]]]:
    """The texts without unfit lines and without those whose key is in ``seen``, which the kept ones are added to.
    A run of paragraphs is split where one is left out. A pair is given as such, and its sides as sentences too."""
    kept = defaultdict(list)

    def fit(language, line):
        line = cleaning.normal(language, line)
        why = cleaning.fault(language, line)
        if why:
            dropped[why] += 1
        return None if why else line

    def new(language, line):
        known = cleaning.key(line) in seen[language]
        seen[language].add(cleaning.key(line))
        if known:
            dropped["repeated"] += 1
        return not known

    for language, group in texts.items():
        for text in group:
            if "-" in language:
                codes = language.split("-")
                pair = tuple(map(fit, codes, text))
                if all(pair) and new(codes[0], pair[0]):
                    kept[language].append(pair)
                    kept[codes[0]].append(pair[:1])
                    if new(codes[1], pair[1]):
                        kept[codes[1]].append(pair[1:])
                continue
            run = []
            for line in map(fit, [language] * len(text), text):
                if line and new(language, line):
                    run.append(line)
                else:
                    kept[language].append(tuple(run))
                    run = []
            kept[language].append(tuple(run))
    return {language: [text for text in group if text] for language, group in kept.items()}


def seeded(*purpose) -> random.Random:
    """Random numbers of their own for each purpose, so that a change in one source leaves the others as they are."""
    return random.Random(" ".join(map(str, (MIX["seed"], *purpose))))


def glue(language: str) -> str:
    return " " if language == "en" else ""


def documents(source: str, language: str, texts: list[tuple[str, ...]], rng: random.Random) -> list[Document]:
    """Documents of one source and language, in random order."""
    if "-" in language:
        made = translations(source, language, texts, rng)
    else:
        short = LONGEST[language] // 4
        alone = [text[0] for text in texts if len(text) == 1 and len(text[0]) <= short]
        made = [Document(source, language, tuple(lines), glue(language)) for lines in themes.paragraphs(language, alone, rng)]
        made += [Document(source, language, lines) for text in texts if len(text) > 1 or len(text[0]) > short for lines in cut(language, text)]
    rng.shuffle(made)
    return made


def translations(source: str, language: str, pairs: list[tuple[str, str]], rng: random.Random) -> list[Document]:
    """Sentences with their translations, each on its own line; half the documents have the English line first."""
    pairs, made = rng.sample(pairs, len(pairs)), []
    while pairs:
        size, step = rng.choice(PAIRS), rng.choice((1, -1))
        made.append(Document(source, language, tuple(line for pair in pairs[:size] for line in pair[::step])))
        pairs = pairs[size:]
    return made


def cut(language: str, paragraphs: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A run of paragraphs in pieces of at most LONGEST characters; a longer paragraph is cut after a sentence."""
    pieces, piece = [], []
    for paragraph in paragraphs:
        for part in sentences_within(LONGEST[language], paragraph):
            if piece and sum(map(len, piece)) + len(part) > LONGEST[language]:
                pieces.append(tuple(piece))
                piece = []
            piece.append(part)
    return pieces + [tuple(piece)] if piece else pieces


def sentences_within(limit: int, paragraph: str) -> list[str]:
    parts = [""]
    for sentence in re.findall(r".+?(?:[.!?][\"')]*\s+|[。！？][」』”’]*|$)", paragraph):
        if parts[-1] and len(parts[-1]) + len(sentence) > limit:
            parts.append("")
        parts[-1] += sentence
    return [part.strip() for part in parts]


def take(documents: list[Document], characters: float) -> list[Document]:
    """The first documents that together have about so many characters."""
    taken, total = [], 0
    for document in documents:
        if total >= characters:
            break
        taken.append(document)
        total += len(document.text)
    return taken


def read_documents(path: Path) -> list[dict]:
    """What ``main`` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def build(packages: Path) -> tuple[list[Document], list[Document], Counter]:
    """Training documents, validation documents, and how many lines were left out for what."""
    rows = {language: facts.rows(language) for language in LONGEST}
    # an instruction row must not be read before it is taught; a fact comes in documents of its own
    seen = {language: {cleaning.key(s) for r in rows[language] for s in (r["instruction"], r["input"], r["output"], *r["facts"])} for language in rows}
    train, valid, dropped, sentences = [], [], Counter(), defaultdict(list)
    for entry in MIX["sources"]:
        source = entry["name"]
        texts = importlib.import_module(f"sources.{source}").read(packages)
        # cleaned in this order, validation gets no line that training has
        kept, out = (clean({code: [t for t in group if held_out(t) == is_out] for code, group in texts.items()}, seen, dropped) for is_out in (False, True))
        for language, limit in entry["characters"].items():
            for turn in range(entry.get("times", {}).get(language, 1)):
                train += take(documents(source, language, kept[language], seeded(source, language, turn)), limit)
            valid += take(documents(source, language, out.get(language, []), seeded(source, language, "valid")), limit / HELD_OUT)
            if "-" not in language:
                sentences[language] += [t[0] for t in kept[language] if len(t) == 1 and len(t[0]) <= LONGEST[language] // 4]
    for language, rounds in MIX["fact_rounds"].items():
        made = facts.documents(language, rows[language], rounds, sentences[language], seeded("facts", language))
        train += [Document("facts", language, tuple(lines), glue(language)) for lines in made]
    return train, valid, dropped


def main(packages: str, out: str) -> None:
    train, valid, dropped = build(Path(packages))
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, made in (("train", train), ("valid", valid)):
        lines = [json.dumps({"source": d.source, "language": d.language, "text": d.text}, ensure_ascii=False) + "\n" for d in made]
        (Path(out) / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
        print(f"{name}: {len(made)} documents, {sum(len(d.text) for d in made)} characters")
    print("lines left out:", ", ".join(f"{why} {count}" for why, count in dropped.most_common()))


if __name__ == "__main__":
    main(*sys.argv[1:])
