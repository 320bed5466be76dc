"""The data sets' generator: what it refuses, how it splits, and that the committed files are what it writes."""
import json
import shutil
import sys
import tempfile
import unittest
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

DATASETS = Path(__file__).parents[3] / "datasets"
sys.path.insert(0, str(DATASETS))

import generate  # noqa: E402

ENGLISH, CHINESE, JAPANESE = generate.LANGUAGES


def row(number, **changes):
    return {"id": f"en-{number:04d}", "topic": "animals", "instruction": f"Which animal has the number {number}?", "input": "",
            "output": f"The animal with the number {number} is a cat.",
            "facts": [f"Cat {number} has soft fur.", f"Cat {number} hunts mice at night.", f"Cat {number} likes to sleep."], **changes}


class Faults(unittest.TestCase):
    def fault(self, language, *rows):
        found = generate.faults(language, list(rows))
        self.assertEqual(1, len(found), found)
        return found[0]

    def test_good_rows_have_none(self):
        self.assertEqual([], generate.faults(ENGLISH, [row(1), row(2)]))

    def test_missing_fact(self):
        message = self.fault(ENGLISH, row(1, facts=["Cats have soft fur."]))
        self.assertIn("en.jsonl:1: keys are", message)
        self.assertIn("3 facts", message)

    def test_same_question(self):
        message = self.fault(ENGLISH, row(1), row(2, instruction=row(1)["instruction"]))
        self.assertIn("en.jsonl:2 (en-0002): instruction with input is that of en.jsonl:1 (en-0001)", message)

    def test_length(self):
        message = self.fault(ENGLISH, row(1, instruction="Why?"))
        self.assertIn("instruction has 4 characters, it must have 8 to 120: Why?", message)

    def test_id_of_another_language(self):
        self.assertIn("id is zh-0001, it must be en- and four digits", self.fault(ENGLISH, row(1, id="zh-0001")))

    def test_traditional_characters(self):
        riddle = row(1, id="zh-0001", topic="animal", instruction="打一种动物。", output="谜底是貓。它有软软的毛，夜里捉老鼠。",
                     facts=["猫有软软的毛。", "猫在夜里捉老鼠。", "猫喜欢睡觉。"])
        self.assertIn("貓 not in gb2312", self.fault(CHINESE, riddle))

    def test_output_without_kana(self):
        phrase = row(1, id="ja-0001", topic="animal", instruction="猫は動物ですか。", output="猫動物、猫動物、猫動物。",
                     facts=["猫は動物です。", "猫は夜に起きます。", "猫は魚が好きです。"])
        self.assertIn("no letter of its language: 猫動物", self.fault(JAPANESE, phrase))

    def test_fact_that_repeats_the_output(self):
        self.assertIn("repeats the output", self.fault(ENGLISH, row(1, facts=[row(1)["output"], *row(1)["facts"][1:]])))

    def test_fact_that_asks(self):
        self.assertIn("stands on its own: Do cats have fur?", self.fault(ENGLISH, row(1, facts=["Do cats have fur?", *row(1)["facts"][1:]])))


class Split(unittest.TestCase):
    def setUp(self):
        # words of their own for every row, or they would all be near-duplicates
        self.rows = [row(i, instruction=f"{i:x}{i * 7919:b} or {i * 104729:o}?", output=f"{i * 15485863:x} is {i * 32452843:b}.") for i in range(1, 401)]

    def ids(self, rows):
        return {rows[i]["id"] for i in generate.split(rows, generate.nearest(ENGLISH, rows))}

    def test_one_more_row_moves_at_most_one(self):
        before, after = self.ids(self.rows[:-1]), self.ids(self.rows)
        self.assertEqual(generate.TEST_ROWS, len(after))
        self.assertLessEqual(len(before - after), 1)

    def test_near_duplicates_are_training_rows(self):
        victim = next(r for r in self.rows if r["id"] in self.ids(self.rows))
        twin = row(999, instruction=victim["instruction"], output=victim["output"] + " Yes.")
        ids = self.ids([*self.rows, twin])
        self.assertNotIn(victim["id"], ids)
        self.assertNotIn(twin["id"], ids)

    def test_riddles_with_one_solution_are_near_duplicates(self):
        riddles = [("白天睡觉晚上忙", "谜底是猫。它会捉老鼠。"), ("走路没有声音", "谜底是猫。胡子长长的。"), ("见了主人摇尾巴", "谜底是狗。它会看门。")]
        near = generate.nearest(CHINESE, [row(i, instruction=asked, output=output) for i, (asked, output) in enumerate(riddles)])
        self.assertEqual([1.0, 1.0], [score for score, _ in near[:2]])
        self.assertLess(near[2][0], generate.OVERLAP_LIMIT)


class Published(unittest.TestCase):
    def test_files_are_what_the_sources_give(self):
        self.assertEqual(0, generate.main(["--check"]))

    def test_rows_are_alpaca_rows(self):
        for language in generate.LANGUAGES:
            with self.subTest(language.code):
                train, test = ([json.loads(line) for line in (DATASETS / language.data_set / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()] for part in ("train", "test"))
                self.assertEqual(generate.TEST_ROWS, len(test))
                self.assertEqual({("instruction", "input", "output")}, {tuple(r) for r in train + test})
                self.assertFalse({r["output"] for r in train} & {r["output"] for r in test})

    def test_check_fails_on_a_changed_file(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "datasets"
            shutil.copytree(DATASETS, copy, ignore=shutil.ignore_patterns("__pycache__"))
            with (copy / "zh-riddles" / "train.jsonl").open("a") as file:
                file.write("{}\n")
            here, generate.HERE = generate.HERE, copy
            self.addCleanup(setattr, generate, "HERE", here)
            with redirect_stderr(StringIO()) as messages:
                self.assertEqual(1, generate.main(["--check"]))
            self.assertEqual("zh-riddles/train.jsonl: differs from what the sources give; run python3 datasets/generate.py\n", messages.getvalue())


if __name__ == "__main__":
    unittest.main()
