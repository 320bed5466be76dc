"""Token files, as the training program reads them. Needs the tokenizers package: run with .jqlora/corpus-venv/bin/python."""
import json
import sys
import tempfile
import unittest
from array import array
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "models" / "corpus"))

INSTALLED = find_spec("tokenizers") is not None
if INSTALLED:
    import encode
    import train_tokenizer


@unittest.skipUnless(INSTALLED, "the tokenizers package is not installed here; models/corpus/build.sh makes an environment that has it")
class Encode(unittest.TestCase):
    TEXTS = [("en", "It was the year 1999."), ("zh", "他在学校读书。"), ("ja-en", "猫がいる。\nThere is a cat.")]

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        lines = [json.dumps({"source": "x", "language": language, "text": text}) + "\n" for language, text in self.TEXTS]
        (self.folder / "train.jsonl").write_text("".join(lines))
        self.tokenizer = train_tokenizer.train([text for _, text in self.TEXTS] * 5, 300)
        self.part = encode.encode(self.folder / "train.jsonl", self.tokenizer, self.folder / "train.bin")
        self.ids = array("H", (self.folder / "train.bin").read_bytes())

    def test_documents_stand_between_separators(self):
        self.assertEqual((0, 0), (self.ids[0], self.ids[-1]))
        texts = self.tokenizer.decode(list(self.ids), skip_special_tokens=False).split("<|endoftext|>")
        self.assertEqual(sorted(text for _, text in self.TEXTS), sorted(text for text in texts if text))

    def test_counts(self):
        self.assertEqual((len(self.ids), 3), (self.part["tokens"], self.part["documents"]))
        self.assertEqual(len(self.ids) - 1, sum(self.part["tokens_by_language"].values()))
        self.assertEqual(len(self.ids) - 1, sum(p["tokens"] for p in self.part["parts"]))

    def test_translations_are_counted_in_both_languages(self):
        counted = encode.counted({"language": "ja-en", "text": "猫がいる。\nThere is a cat."}, 100)      # 15 and 15 bytes, one line feed
        self.assertEqual({"ja": 52, "en": 48}, counted)

    def test_special_tokens_and_digits(self):
        self.assertEqual([0, 1], [self.tokenizer.token_to_id(t) for t in ("<|endoftext|>", "<|pad|>")])
        self.assertEqual(["1", "9", "9", "9"], self.tokenizer.encode("1999").tokens)

    def test_folder_has_what_transformers_reads(self):
        train_tokenizer.write(self.tokenizer, self.folder / "tokenizer")
        config = json.loads((self.folder / "tokenizer" / "tokenizer_config.json").read_text())
        self.assertEqual(("<|endoftext|>", "<|endoftext|>", "<|pad|>"), (config["bos_token"], config["eos_token"], config["pad_token"]))
        generation = json.loads((self.folder / "tokenizer" / "generation_config.json").read_text())
        self.assertEqual({"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}, generation)


if __name__ == "__main__":
    unittest.main()
