"""The corpus generator: cleaning, paragraphs, facts, and what must never meet in training and validation."""
import random
import re
import sys
import types
import unittest
from collections import Counter
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[3] / "models" / "corpus"))

import build_corpus  # noqa: E402
import cleaning  # noqa: E402
import facts  # noqa: E402
import themes  # noqa: E402
from sources import gutenberg, wordnet, woz  # noqa: E402


class Normal(unittest.TestCase):
    def test_english(self):
        self.assertEqual("\"It's late,\" she said.", cleaning.normal("en", " “It’s late,”\u00a0 she said . "))
        self.assertEqual("No end.", cleaning.normal("en", "No end"))

    def test_chinese_punctuation_is_full_width(self):
        self.assertEqual("你好，世界！（真的）3.5元。", cleaning.normal("zh", "你好, 世界!(真的) 3.5 元."))

    def test_figures_are_ascii(self):
        self.assertEqual("1985年にABCへ。", cleaning.normal("ja", "１９８５年にＡＢＣへ"))

    def test_japanese_comma(self):
        self.assertEqual("はい、そうです。", cleaning.normal("ja", "はい，そうです"))


class Fault(unittest.TestCase):
    def test_reasons(self):
        cases = [("en", "She plays tennis on Sundays.", None), ("zh", "他在学校读书。", None), ("ja", "彼は学校で本を読む。", None),
                 ("en", "Go.", "length"), ("en", "See http://example.com for it.", "markup"), ("en", "when it is called.", "fragment"),
                 ("zh", "使用 electron-builder 打包。", "letters"), ("zh", "他在學校讀書。", "charset"), ("zh", "日本有一种文字叫カナ。", "script"),
                 ("ja", "共同責任無責任。", "script"), ("en", "The naked truth is known.", "sensitive"), ("en", "THE DOG SLEEPS ALL DAY LONG.", "capitals")]
        for language, line, why in cases:
            with self.subTest(line):
                self.assertEqual(why, cleaning.fault(language, line))

    def test_words_that_hold_a_sensitive_one(self):
        for line in ("The grapes are ripe.", "He lives in a skyscraper.", "The cockpit is small."):
            self.assertIsNone(cleaning.fault("en", line))


class Clean(unittest.TestCase):
    def clean(self, texts, seen=()):
        self.dropped = Counter()
        return build_corpus.clean(texts, {"en": set(seen), "zh": set(), "ja": set()}, self.dropped)

    def test_a_run_is_split_where_a_line_is_left_out(self):
        run = ("The first line stays.", "A <b>bad</b> line.", "The third line stays.")
        self.assertEqual({"en": [run[:1], run[2:]]}, self.clean({"en": [run]}))
        self.assertEqual({"markup": 1}, self.dropped)

    def test_repeated_lines_differ_by_more_than_punctuation(self):
        self.assertEqual({"en": [("He is tall.",)]}, self.clean({"en": [("He is tall.",), ("He is tall!",)]}))
        self.assertEqual({"en": []}, self.clean({"en": [("He is tall.",)]}, [cleaning.key("he is tall")]))

    def test_pairs_give_their_sides(self):
        texts = self.clean({"ja-en": [("彼は背が高い。", "He is tall."), ("彼は長身だ。", "He is tall.")]})
        self.assertEqual(2, len(texts["ja-en"]))
        self.assertEqual([("彼は背が高い。",), ("彼は長身だ。",)], texts["ja"])
        self.assertEqual([("He is tall.",)], texts["en"])


class Documents(unittest.TestCase):
    def test_cut_keeps_every_paragraph_and_the_limit(self):
        paragraphs = tuple(f"Paragraph {i} has a few plain words." for i in range(100)) + ("A long one. " * 200,)
        pieces = build_corpus.cut("en", paragraphs)
        self.assertLessEqual(max(sum(map(len, p)) for p in pieces), build_corpus.LONGEST["en"])
        self.assertEqual(list(paragraphs[:100]), [line for piece in pieces for line in piece][:100])
        self.assertEqual(200, sum(line.count("A long one.") for piece in pieces for line in piece))

    def test_translations_have_both_orders(self):
        pairs = [(f"猫が{i}匹いる。", f"There are {i} cats.") for i in range(200)]
        made = build_corpus.translations("x", "ja-en", pairs, random.Random(1))
        first = [d.lines[0].isascii() for d in made]
        self.assertTrue(0.3 < sum(first) / len(first) < 0.7)
        self.assertEqual(sorted(line for pair in pairs for line in pair), sorted(line for d in made for line in d.lines))

    def test_theme_paragraphs_hold_each_sentence_once(self):
        sentences = [f"The guitar number {i} is old." for i in range(20)] + [f"My window number {i} is clean." for i in range(20)] + ["So be it."]
        made = themes.paragraphs("en", list(sentences), random.Random(1))
        self.assertEqual(sorted(sentences), sorted(s for p in made for s in p))
        self.assertTrue(all(len({"guitar" in s for s in p}) == 1 for p in made))


class Facts(unittest.TestCase):
    ROWS = [{"topic": f"topic {i % 3}", "instruction": f"What is fact {i}?", "facts": [f"Fact {i} {word} of the planet." for word in ("one", "two", "three")]} for i in range(10)]

    def test_each_fact_once_a_round(self):
        made = facts.documents("en", self.ROWS, 20, ["The planet is round.", "A planet turns."], random.Random(1))
        counts = Counter(line for lines in made for line in lines)
        self.assertEqual({20}, {counts[fact] for row in self.ROWS for fact in row["facts"]})

    def test_company_shares_a_word(self):
        made = facts.in_company("en", "Mars is a planet.", {"planet": ["The planet is round."]}, random.Random(1))
        self.assertEqual({"Mars is a planet.", "The planet is round."}, set(made))

    def test_clues_are_words_of_the_facts_below_them(self):
        frequency = Counter({"mars": 9, "planet": 9, "round": 1, "turn": 1})
        for seed in range(40):
            heading, *below = facts.under_clues("en", ["Mars is round.", "A planet turns."], frequency, random.Random(seed))
            self.assertEqual(["Mars is round.", "A planet turns."], below)
            words = re.findall("[a-z]{4,}", re.sub("^(What about|Think of) ", "", heading))
            self.assertTrue(1 <= len(words) <= 4 and set(words) <= {"mars", "round", "planet", "turns"}, heading)
        self.assertEqual(["42."], facts.under_clues("en", ["42."], frequency, random.Random(1)))

    def test_a_plain_statement_follows_a_question_that_it_answers(self):
        questions = {facts.asked("en", "The heart pumps blood.", set(), random.Random(seed)) is None for seed in range(4)}
        self.assertEqual({True}, questions)     # "pumps" is none of the verbs of plain statements
        made = {facts.asked("en", "The blue whale is a mammal.", set(), random.Random(seed))[0] for seed in range(20)}
        self.assertEqual({"What is a mammal?", "What do we know about the blue whale?"}, made)
        self.assertEqual("「ありがとう」は、お礼の言葉です。", facts.asked("ja", "「ありがとう」は、お礼の言葉です。", set(), random.Random(1))[1])
        self.assertIn(facts.asked("zh", "猫是动物。", set(), random.Random(1))[0], ("什么是动物？", "猫是什么？"))

    def test_no_question_is_an_instruction_of_a_row(self):
        instructions = {cleaning.key("What is a mammal?")}
        made = [facts.asked("en", "The blue whale is a mammal.", instructions, random.Random(seed)) for seed in range(20)]
        self.assertEqual({"What do we know about the blue whale?"}, {one[0] for one in made if one})
        self.assertIn(None, made)

    def test_a_fact_without_company_stands_alone(self):
        self.assertEqual(["Mars is red."], facts.in_company("en", "Mars is red.", {"moon": ["A moon."]}, random.Random(1)))


class Build(unittest.TestCase):
    """The whole way with a made-up source."""

    @classmethod
    def setUpClass(cls):
        rows = facts.rows("en")
        source = types.ModuleType("sources.made_up")
        sentences = [(f"The {a} {b} is {c}.",) for a in ("old", "red", "big", "new") for b in ("house", "garden", "river", "street") for c in range(30)]
        source.read = lambda packages: {"en": sentences + [(rows[0]["output"],), (rows[1]["instruction"],), (rows[2]["facts"][0],)]}
        cls.row = rows[0]
        mix = {"seed": 1, "fact_rounds": {"en": 3}, "sources": [{"name": "made_up", "characters": {"en": 10 ** 6}}]}
        with patch.dict(sys.modules, {"sources.made_up": source}), patch.object(build_corpus, "MIX", mix):
            cls.train, cls.valid, cls.dropped = build_corpus.build(Path("."))
            cls.again = build_corpus.build(Path("."))[:2]

    def test_is_deterministic(self):
        self.assertEqual((self.train, self.valid), self.again)

    def test_instruction_rows_are_left_out_and_facts_come_by_rounds(self):
        self.assertEqual(3, self.dropped["repeated"])
        lines = Counter(line for d in self.train for line in d.lines)
        self.assertNotIn(self.row["output"], lines)
        self.assertEqual(3, lines[self.row["facts"][0]])

    def test_validation_shares_no_line_with_training(self):
        lines = {line for d in self.valid for line in d.lines}
        self.assertTrue(lines)
        self.assertFalse(lines & {line for d in self.train for line in d.lines})


class Sources(unittest.TestCase):
    def test_wordnet_definitions(self):
        self.assertEqual("a cave is an opening in the ground.", wordnet.define("noun", "cave", "an opening in the ground"))
        self.assertEqual("kindness is the quality of being kind.", wordnet.define("noun", "kindness", "the quality of being kind"))
        self.assertEqual("to bark means to speak loudly.", wordnet.define("verb", "bark", "speak loudly"))
        self.assertEqual('the word "snug" means warm and safe.', wordnet.define("adj", "snug", "warm and safe"))

    def test_gutenberg_leaves_out_headings_and_the_publishers_terms(self):
        book = "CHAPTER I\n\nOnce there was\na _little_ tulip.\n\nShe slept.\n\nII\n\nIt rained.\n\nEnd of Project Gutenberg's Book\n\nTerms of use."
        self.assertEqual([("Once there was a little tulip.", "She slept."), ("It rained.",)], list(gutenberg.chapters(book)))

    def test_woz_tokens_are_joined(self):
        self.assertEqual("I don't know. That's all, thanks!", woz.joined("i do n't know . that ' s all , thanks !"))


if __name__ == "__main__":
    unittest.main()
