"""Puts sentences that share an uncommon word into one paragraph, so that reading on in a document is worth something.

Lists of unconnected sentences would teach a model that what stands before says nothing about what follows.
"""
import random
import re
from collections import Counter, defaultdict

WORDS = {"en": r"[a-z]{4,}", "zh": r"(?=([\u4e00-\u9fff]{2}))", "ja": r"[\u4e00-\u9fff]{2,}|[\u30a1-\u30fa\u30fc]{3,}"}
RAREST = 4        # a word in fewer sentences makes no paragraph
SENTENCES = (1, 1, 2, 3, 4, 5, 6)


def words(language: str, sentence: str) -> set[str]:
    """What may make two sentences belong together: English words without their plural s, pairs of Chinese characters,
    Japanese runs of kanji or katakana."""
    found = re.findall(WORDS[language], sentence.lower())
    return {w.removesuffix("s") for w in found} if language == "en" else set(found)


def paragraphs(language: str, sentences: list[str], rng: random.Random) -> list[list[str]]:
    """Each sentence once, with up to five others of its theme: the rarest of its words that is not too rare."""
    frequency = Counter(w for s in sentences for w in words(language, s))
    by_theme = defaultdict(list)
    for sentence in sentences:
        themes = [(frequency[w], w) for w in words(language, sentence) if frequency[w] >= RAREST]
        by_theme[min(themes)[1] if themes else ""].append(sentence)
    made = []
    for theme, members in by_theme.items():
        rng.shuffle(members)
        while members:
            size = rng.choice(SENTENCES) if theme else 1
            made.append(members[:size])
            members = members[size:]
    return made
