"""Documents out of the facts behind the instruction data sets: each fact many times, each time in other company.

A fact that always stands between the same neighbours is learned as a part of that string, and is not found by a question. The rows'
instructions, inputs and outputs are never used here.
"""
import json
import random
from collections import defaultdict
from itertools import chain
from pathlib import Path

import themes

SOURCES = Path(__file__).parents[2] / "datasets" / "sources"
# one entry a round; in each round every fact stands in one document
ROUNDS = ("row", "topic", "company", "topic", "rows", "row", "topic", "alone", "company", "topic")


def rows(language: str) -> list[dict]:
    return [json.loads(line) for line in (SOURCES / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()]


def documents(language: str, rows: list[dict], rounds: int, sentences: list[str], rng: random.Random) -> list[list[str]]:
    """Lists of sentences; ``sentences`` are the ordinary ones that may keep a fact company."""
    companions = defaultdict(list)
    for sentence in sentences:
        for word in themes.words(language, sentence):
            companions[word].append(sentence)
    made = []
    for number in range(rounds):
        kind = ROUNDS[number % len(ROUNDS)]
        if kind == "topic":
            made += by_topic(rows, rng)
        elif kind == "company":
            made += [in_company(language, fact, companions, rng) for row in rows for fact in row["facts"]]
        elif kind == "alone":
            made += [[fact] for row in rows for fact in row["facts"]]
        else:
            together = 1 if kind == "row" else 3
            order = rng.sample(rows, len(rows))
            made += [shuffled(chain(*(row["facts"] for row in order[i:i + together])), rng) for i in range(0, len(order), together)]
    return made


def shuffled(items, rng: random.Random) -> list:
    items = list(items)
    return rng.sample(items, len(items))


def by_topic(rows: list[dict], rng: random.Random) -> list[list[str]]:
    """Paragraphs of four to seven facts of one topic."""
    topics = defaultdict(list)
    for row in rows:
        topics[row["topic"]] += row["facts"]
    made = []
    for facts in topics.values():
        facts = shuffled(facts, rng)
        while facts:
            size = rng.randint(4, 7)
            made.append(facts[:size])
            facts = facts[size:]
    return made


def in_company(language: str, fact: str, companions: dict[str, list[str]], rng: random.Random) -> list[str]:
    """The fact among one to three ordinary sentences that share its rarest word, if there are any."""
    shared = [(len(companions[w]), w) for w in themes.words(language, fact) if w in companions]
    if not shared:
        return [fact]
    others = companions[min(shared)[1]]
    return shuffled([fact, *rng.sample(others, min(len(others), rng.randint(1, 3)))], rng)
