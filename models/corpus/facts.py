"""Documents out of the facts behind the instruction data sets: each fact many times, each time in other company.

A fact that always stands between the same neighbours is learned as a part of that string, and is not found by a question. The rows'
instructions, inputs and outputs are never used here.
"""
import json
import random
import re
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import cleaning
import themes

SOURCES = Path(__file__).parents[2] / "datasets" / "sources"
# one entry a round; in each round every fact stands in one document
ROUNDS = ("row", "clues", "question", "clue", "company", "clues", "rows", "question", "alone", "topic")
# a few words of what follows, as headings have them: without them a fact is known, but not found from its words
CLUES = {"en": ("{}:", "{}?", "What about {}?", "Think of {}."), "zh": ("{}：", "{}？", "说说{}。"), "ja": ("{}：", "{}？", "{}について。")}
BETWEEN = {"en": ", ", "zh": "、", "ja": "、"}
MOST_CLUES = 4
# subject, verb, rest of a plain statement, and what may be asked about it: a text of any size has questions that the next sentence answers
STATEMENTS = {
    "en": (r"((?!(?:In|On|When|If|After|Before|With|From|At|For|Because|To|By|No|Not|There|It|They|This|These|Many|Some|Most|Each|Every|Only|During|Without|As|Under|"
           r"Over|People|We|You)\b)(?:[\w'-]+ ){0,3}[\w'-]+) (is|are|was|were|has|have|had|can|lives?|eats?|makes?|made|uses?|gives?|helps?|grows?|keeps?|flows?|comes?|"
           r"means?|stands?|lies|lie|became|begins?|began|wrote|shows?|needs?|turns?|protects?|feeds?|moves?|holds?|drinks?|covers?|produces?|contains?|belongs?) (.+)\."),
    "zh": r"([^，。、：？“”的是有会能在]{1,8})(是|有|会|能|在)(.+)。",
    "ja": r"(「[^」]+」|[^、。「」]{1,16}?)(は)、?(.+)。"}
QUESTIONS = {"en": ("What {1} {2}?", "What do we know about {0}?"), "zh": ("什么{1}{2}？", "{0}{1}什么？"), "ja": ("{0}は何ですか。", "{0}とは？")}


def rows(language: str) -> list[dict]:
    return [json.loads(line) for line in (SOURCES / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()]


def documents(language: str, rows: list[dict], rounds: int, sentences: list[str], rng: random.Random) -> list[list[str]]:
    """Lists of sentences; ``sentences`` are the ordinary ones that may keep a fact company."""
    companions = defaultdict(list)
    for sentence in sentences:
        for word in themes.words(language, sentence):
            companions[word].append(sentence)
    frequency = Counter(word for row in rows for fact in row["facts"] for word in clue_words(language, fact))
    instructions = {cleaning.key(row["instruction"]) for row in rows}
    made = []
    for number in range(rounds):
        kind = ROUNDS[number % len(ROUNDS)]
        if kind == "topic":
            made += by_topic(rows, rng)
        elif kind == "company":
            made += [in_company(language, fact, companions, rng) for row in rows for fact in row["facts"]]
        elif kind == "clue":
            made += [under_clues(language, [fact], frequency, rng) for row in rows for fact in row["facts"]]
        elif kind == "question":
            made += [asked(language, fact, instructions, rng) or under_clues(language, [fact], frequency, rng) for row in rows for fact in row["facts"]]
        elif kind == "clues":
            made += [under_clues(language, shuffled(row["facts"], rng), frequency, rng) for row in rows]
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


def clue_words(language: str, fact: str) -> list[str]:
    return sorted(set(re.findall(themes.WORDS[language], fact.lower())))


def under_clues(language: str, facts: list[str], frequency: Counter, rng: random.Random) -> list[str]:
    """The facts under one to four of their words, the rarer ones more often."""
    words = sorted({word for fact in facts for word in clue_words(language, fact)})
    if not words:
        return facts
    # Efraimidis and Spirakis: a sample without replacement in which a weight is an exponent
    words.sort(key=lambda word: rng.random() ** frequency[word])
    chosen = words[-rng.randint(1, MOST_CLUES):]
    return [rng.choice(CLUES[language]).format(BETWEEN[language].join(shuffled(chosen, rng))), *facts]


def asked(language: str, fact: str, instructions: set[str], rng: random.Random) -> list[str] | None:
    """The fact after a question that it answers; None if it is no plain statement, or the question is an instruction of a row."""
    statement = re.fullmatch(STATEMENTS[language], fact)
    if not statement:
        return None
    subject, *rest = statement.groups()
    if subject.startswith(("A ", "An ", "The ")):
        subject = subject[0].lower() + subject[1:]
    question = rng.choice(QUESTIONS[language]).format(subject, *rest)
    return None if cleaning.key(question) in instructions else [question, fact]


def in_company(language: str, fact: str, companions: dict[str, list[str]], rng: random.Random) -> list[str]:
    """The fact among one to three ordinary sentences that share its rarest word, if there are any."""
    shared = [(len(companions[w]), w) for w in themes.words(language, fact) if w in companions]
    if not shared:
        return [fact]
    others = companions[min(shared)[1]]
    return shuffled([fact, *rng.sample(others, min(len(others), rng.randint(1, 3)))], rng)
