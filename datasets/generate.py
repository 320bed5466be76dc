#!/usr/bin/env python3
"""Checks the authored rows in sources/ and writes the data sets that users load.

    python3 datasets/generate.py            writes <data set>/{train,test}.jsonl and the tables in README.md
    python3 datasets/generate.py --check    writes nothing; fails if a file differs from what would be written

Python 3.11, standard library only. The result depends on the source files alone.
"""
import argparse
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TEST_ROWS = 100
OVERLAP_LIMIT = 0.5  # above it two rows are near-duplicates, and neither may be a test row
TEXT_KEYS = ("instruction", "input", "output")
ROW_KEYS = ("id", "topic", *TEXT_KEYS, "facts")


@dataclass(frozen=True)
class Language:
    """How one data set is written: the length limits are characters, and the charset holds every letter that may occur."""
    code: str
    data_set: str
    charset: str  # GB 2312 has no traditional forms, Shift JIS no simplified ones: a wrong script cannot be encoded
    extra_letters: str
    instruction_length: tuple[int, int]
    output_length: tuple[int, int]
    fact_length: tuple[int, int]
    script: str  # what each output must have
    banned_in_facts: str
    solution: str = r"(?!)"  # group 1 is what an output names; rows that name the same thing count as near-duplicates


LANGUAGES = (
    Language("en", "en-wiki-questions", "latin-1", "", (8, 120), (20, 200), (15, 150), r"[A-Za-z]", r"\?|\briddle|\bquestion is|\banswer is"),
    Language("zh", "zh-riddles", "gb2312", "鹮跶", (4, 60), (10, 60), (5, 40), r"[\u4e00-\u9fff]", r"？|谜底|谜语|猜谜", r"谜底是(.+?)[。，]"),
    Language("ja", "ja-phrases", "cp932", "ãêàèü", (6, 60), (10, 80), (6, 80), r"[\u3041-\u3096\u30a1-\u30fa]", r"問い|次の文"),
)


def read_rows(language: Language) -> list[dict]:
    path = HERE / "sources" / f"{language.code}.jsonl"
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except ValueError as e:
            raise SystemExit(f"{path.name}:{number}: not a JSON object: {e}") from e
    return rows


def faults(language: Language, rows: list[dict]) -> list[str]:
    """Everything wrong with the rows, one message each; empty if they may be published."""
    found, seen = [], {}

    def once(kind, value, where):
        first = seen.setdefault((kind, value), where)
        if first != where:
            found.append(f"{where}: {kind} is that of {first}, it must be unique: {value}")

    def length(kind, value, limits, where):
        if not limits[0] <= len(value) <= limits[1]:
            found.append(f"{where}: {kind} has {len(value)} characters, it must have {limits[0]} to {limits[1]}: {value}")

    for number, row in enumerate(rows, 1):
        where = f"{language.code}.jsonl:{number}"
        if tuple(row) != ROW_KEYS or len(row["facts"]) != 3:
            found.append(f"{where}: keys are {list(row)}, they must be {list(ROW_KEYS)} with 3 facts")
            continue
        where += f" ({row['id']})"
        if not re.fullmatch(rf"{language.code}-\d{{4}}", row["id"]):
            found.append(f"{where}: id is {row['id']}, it must be {language.code}- and four digits")
        once("id", row["id"], where)
        once("instruction with input", row["instruction"] + "\n" + row["input"], where)
        once("output", row["output"], where)
        length("instruction", row["instruction"], language.instruction_length, where)
        length("output", row["output"], language.output_length, where)
        if not re.search(language.script, row["output"]):
            found.append(f"{where}: output has no letter of its language: {row['output']}")
        for fact in row["facts"]:
            once("fact", fact, where + f", fact {row['facts'].index(fact) + 1}")
            length("fact", fact, language.fact_length, where)
            if fact == row["output"]:
                found.append(f"{where}: fact repeats the output, it must use other words: {fact}")
            if re.search(language.banned_in_facts, fact):
                found.append(f"{where}: fact must be a statement that stands on its own: {fact}")
        for text in (row["topic"], *(row[k] for k in TEXT_KEYS), *row["facts"]):
            if text != text.strip() or re.search(r"[ \t]{2}|\t", text):
                found.append(f"{where}: stray blanks in: {text!r}")
            strange = [c for c in text if not encodable(c, language)]
            if strange:
                found.append(f"{where}: {''.join(strange)} not in {language.charset}, a letter of another script? {text}")
    return found


def encodable(letter: str, language: Language) -> bool:
    if letter in language.extra_letters:
        return True
    try:
        letter.encode(language.charset)
        return True
    except UnicodeEncodeError:
        return False


def grams(text: str) -> frozenset[str]:
    """The runs of three letters and digits of a text, without case, blanks and punctuation."""
    letters = re.sub(r"[\W_]+", "", text.lower())
    return frozenset(letters[i:i + 3] for i in range(len(letters) - 2))


def closest(texts: list[str]) -> list[tuple[float, int]]:
    """For each text the highest overlap with another, and that one's index.
    Overlap is the share of common runs among all runs of both (Jaccard index), 0 to 1."""
    runs = [grams(text) for text in texts]
    texts_with, best = defaultdict(list), [(0.0, i) for i in range(len(texts))]
    for i, mine in enumerate(runs):
        common = Counter()
        for run in mine:
            common.update(texts_with[run])
            texts_with[run].append(i)
        for j, count in common.items():
            score = count / (len(mine) + len(runs[j]) - count)
            best[i] = max(best[i], (score, j))
            best[j] = max(best[j], (score, i))
    return best


def nearest(language: Language, rows: list[dict]) -> list[tuple[float, int]]:
    """For each row the highest overlap with another row, and that row's index: the overlap of the whole rows or of
    the mere outputs, whichever is higher, and 1 if both name the same solution."""
    whole = closest([" ".join(row[k] for k in TEXT_KEYS) for row in rows])
    near = [max(pair) for pair in zip(whole, closest([row["output"] for row in rows]))]
    first_with = {}
    for i, row in enumerate(rows):
        solution = re.search(language.solution, row["output"])
        j = first_with.setdefault(solution[1], i) if solution else i
        if j != i:
            near[i], near[j] = (1.0, j), (1.0, i)
    return near


def split(rows: list[dict], near: list[tuple[float, int]]) -> set[int]:
    """Indices of the test rows: the smallest hashes of the id among the rows without a near-duplicate.
    A row added later moves at most one other row from one side to the other."""
    alone = [i for i in range(len(rows)) if near[i][0] < OVERLAP_LIMIT]
    return set(sorted(alone, key=lambda i: hashlib.sha256(rows[i]["id"].encode()).digest())[:TEST_ROWS])


def json_lines(rows: list[dict]) -> str:
    return "".join(json.dumps({k: row[k] for k in TEXT_KEYS}, ensure_ascii=False) + "\n" for row in rows)


def topic_table(rows: list[dict], test: set[int]) -> list[str]:
    topics = sorted({r["topic"] for r in rows}, key=lambda t: (-sum(r["topic"] == t for r in rows), t))
    cell = {t: f"{t} {sum(r['topic'] == t for r in rows)} ({sum(rows[i]['topic'] == t for i in test)})" for t in topics}
    return ["Rows by topic, test rows in brackets: " + ", ".join(cell.values()) + "."]


def overlap_report(rows: list[dict], test: set[int], near: list[tuple[float, int]]) -> list[str]:
    twins = sum(score >= OVERLAP_LIMIT for score, _ in near)
    score, i, j = max((near[i][0], i, near[i][1]) for i in test)
    return [f"Near-duplicates (overlap of {OVERLAP_LIMIT} or more with any other row, or the same solution): {twins} rows, none of them a test row. "
            f"The closest test row is {rows[i]['id']}, which overlaps {score:.2f} with {rows[j]['id']}."]


def samples(rows: list[dict], test: set[int]) -> list[str]:
    """Three rows of different topics, the first of their kind in the training set."""
    first = {}
    for i, row in enumerate(rows):
        if i not in test:
            first.setdefault(row["topic"], row)
    picked = list(first.values())
    step = max(1, len(picked) // 3)
    return ["```json", json_lines(picked[::step][:3]).rstrip("\n"), "```"]


def outputs() -> dict[Path, str]:
    """Every file that follows from the sources, with its text."""
    files, section = {}, []
    for language in LANGUAGES:
        rows = read_rows(language)
        wrong = faults(language, rows)
        if wrong:
            raise SystemExit("\n".join(wrong))
        near = nearest(language, rows)
        test = split(rows, near)
        folder = HERE / language.data_set
        files[folder / "train.jsonl"] = json_lines([r for i, r in enumerate(rows) if i not in test])
        files[folder / "test.jsonl"] = json_lines([r for i, r in enumerate(rows) if i in test])
        section += [f"### {language.data_set}", "", f"{len(rows) - len(test)} training rows, {len(test)} test rows.", ""]
        for block in (topic_table(rows, test), overlap_report(rows, test, near), samples(rows, test)):
            section += [*block, ""]
    readme = HERE / "README.md"
    head, rest = readme.read_text(encoding="utf-8").split("<!-- counts -->\n")
    tail = rest.split("<!-- end of counts -->\n")[1]
    files[readme] = f"{head}<!-- counts -->\n" + "\n".join(section) + f"<!-- end of counts -->\n{tail}"
    return files


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not as the sources give it")
    check = parser.parse_args(arguments).check
    stale = {path: text.encode() for path, text in outputs().items() if not path.exists() or path.read_bytes() != text.encode()}
    for path, content in stale.items():
        if check:
            print(f"{path.relative_to(HERE)}: differs from what the sources give; run python3 datasets/generate.py", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            print(f"wrote {path.relative_to(HERE)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
