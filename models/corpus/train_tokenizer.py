"""Trains the tokenizer: byte-level BPE, so that every text can be written, on a sample in which no language crowds out another.

    python train_tokenizer.py CORPUS OUT [--vocabulary 6144]

CORPUS is build_corpus.py's folder; OUT gets the files that Hugging Face's AutoTokenizer and DJL's HuggingFaceTokenizer read.
"""
import argparse
import json
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from build_corpus import read_documents

SEPARATOR, PAD = "<|endoftext|>", "<|pad|>"      # ids 0 and 1; padding is not the end of a text: a model must learn to end
SAMPLE_BYTES = {"en": 9_000_000, "zh": 6_000_000, "ja": 6_000_000}      # half of the corpus is English, in fewer bytes a word
SHARE_OF_FACTS = 0.05                            # they stand in the corpus many times over
FREQUENT = 500                                   # a Chinese or Japanese character that stands so often in the corpus ...
COPIES = 300                                     # ... is put into the sample so often on its own
CONTEXT = 512                                    # tokens that the model can read


def sample(corpus: Path) -> list[str]:
    """SAMPLE_BYTES of documents in one language, and the frequent characters.

    By bytes alone, frequent phrases would take the places of characters, and every sixth character of a riddle would be
    spelled in two or three tokens; a small model learns a word more easily if its characters are tokens."""
    texts, characters = defaultdict(list), Counter()
    rng = random.Random("tokenizer sample")
    for document in read_documents(corpus / "train.jsonl"):
        characters.update(re.findall("[\u3041-\u30fa\u4e00-\u9fff]", document["text"]))
        if document["source"] != "facts" or rng.random() < SHARE_OF_FACTS:
            texts[document["language"]].append(document["text"])
    taken = []
    for language, limit in SAMPLE_BYTES.items():
        rng.shuffle(texts[language])
        size = 0
        for text in texts[language]:
            if size >= limit:
                break
            taken.append(text)
            size += len(text.encode())
    return taken + [character for character, count in sorted(characters.items()) if count >= FREQUENT] * COPIES


def train(texts: list[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    # every digit alone, so that a number is spelled one way only; then GPT-2's rule: a word with the blank before it
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[SEPARATOR, PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def write(tokenizer: Tokenizer, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    special = {"bos_token": SEPARATOR, "eos_token": SEPARATOR, "pad_token": PAD}
    ids = {name + "_id": tokenizer.token_to_id(token) for name, token in special.items()}
    files = {
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **special, "model_max_length": CONTEXT,
                                  "clean_up_tokenization_spaces": False},
        "special_tokens_map.json": special,
        "generation_config.json": ids,
    }
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def bytes_per_token(tokenizer: Tokenizer, corpus: Path) -> dict[str, float]:
    """On the validation documents of each language."""
    size, tokens = defaultdict(int), defaultdict(int)
    for document in read_documents(corpus / "valid.jsonl"):
        encoded = tokenizer.encode(document["text"])
        if tokenizer.decode(encoded.ids) != document["text"]:
            raise ValueError(f"valid.jsonl: {document['text'][:60]!r} decodes to {tokenizer.decode(encoded.ids)[:60]!r}, it must come back unchanged")
        size[document["language"]] += len(document["text"].encode())
        tokens[document["language"]] += len(encoded.ids)
    return {language: size[language] / tokens[language] for language in sorted(size)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocabulary", type=int, default=6144)
    arguments = parser.parse_args()
    tokenizer = train(sample(arguments.corpus), arguments.vocabulary)
    write(tokenizer, arguments.out)
    measured = bytes_per_token(tokenizer, arguments.corpus)
    print(f"{tokenizer.get_vocab_size()} tokens; bytes per token:", ", ".join(f"{language} {value:.2f}" for language, value in measured.items()))


if __name__ == "__main__":
    main()
