"""Writes the corpus as token ids, for the training program.

    python encode.py CORPUS TOKENIZER OUT

OUT/train.bin and OUT/valid.bin are unsigned 16-bit little-endian ids and nothing else: id 0 before each document and after the last one,
the documents in random order. OUT/corpus.json says what is in them.
"""
import hashlib
import json
import random
import re
import sys
from array import array
from collections import defaultdict
from pathlib import Path

from tokenizers import Tokenizer

from build_corpus import MIX, read_documents
from train_tokenizer import SEPARATOR

BATCH = 1000
OWN_TEXT = {"name": "facts", "package": "datasets/sources", "licence": "Apache-2.0", "credit": "the jqlora project"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def counted(document: dict, tokens: int) -> dict[str, int]:
    """The tokens of a document by language. Translations stand on alternate lines; their tokens are shared out by bytes."""
    codes = document["language"].split("-")
    if len(codes) == 1:
        return {codes[0]: tokens}
    english = sum(len(line.encode()) for line in document["text"].split("\n") if not re.search("[\u3041-\u30fa\u4e00-\u9fff]", line))
    share = round(tokens * english / len(document["text"].encode()))
    return {codes[0]: tokens - share, codes[1]: share}


def encode(path: Path, tokenizer: Tokenizer, out: Path) -> dict:
    """Writes one file of ids and describes it."""
    documents = read_documents(path)
    random.Random(f"{MIX['seed']} {path.name}").shuffle(documents)
    separator = tokenizer.token_to_id(SEPARATOR)
    ids, by_source, by_language = array("H"), defaultdict(lambda: {"documents": 0, "bytes": 0, "tokens": 0}), defaultdict(int)
    for start in range(0, len(documents), BATCH):
        batch = documents[start:start + BATCH]
        for document, encoded in zip(batch, tokenizer.encode_batch([d["text"] for d in batch])):
            ids.append(separator)
            ids.extend(encoded.ids)
            tokens = len(encoded.ids) + 1
            entry = by_source[document["source"], document["language"]]
            entry["documents"] += 1
            entry["bytes"] += len(document["text"].encode())
            entry["tokens"] += tokens
            for language, count in counted(document, tokens).items():
                by_language[language] += count
    ids.append(separator)
    if sys.byteorder == "big":
        ids.byteswap()
    out.write_bytes(ids.tobytes())
    return {"file": out.name, "tokens": len(ids), "documents": len(documents), "sha256": sha256(out),
            "tokens_by_language": dict(sorted(by_language.items())),
            "parts": [{"source": source, "language": language, **entry} for (source, language), entry in sorted(by_source.items())]}


def main(corpus: str, tokenizer: str, out: str) -> None:
    tokenizer_file = Path(tokenizer) / "tokenizer.json"
    loaded = Tokenizer.from_file(str(tokenizer_file))
    parts = {name: encode(Path(corpus) / f"{name}.jsonl", loaded, Path(out) / f"{name}.bin") for name in ("train", "valid")}
    sources = [{key: value for key, value in source.items() if key in OWN_TEXT} for source in [*MIX["sources"], OWN_TEXT]]
    description = {"format": "unsigned 16-bit little-endian token ids", "separator": loaded.token_to_id(SEPARATOR), "vocab_size": loaded.get_vocab_size(),
                   "tokenizer_sha256": sha256(tokenizer_file), "seed": MIX["seed"], "fact_rounds": MIX["fact_rounds"], **parts, "sources": sources}
    (Path(out) / "corpus.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(parts["train"]))


def table(part: dict) -> str:
    """Tokens by source and language, as in models/README.md."""
    total = part["tokens"]
    lines = ["| source | language | documents | tokens | share | bytes per token |", "|---|---|---:|---:|---:|---:|"]
    for p in part["parts"]:
        lines.append(f"| {p['source']} | {p['language']} | {p['documents']:,} | {p['tokens']:,} | {p['tokens'] / total:.1%} "
                     f"| {p['bytes'] / (p['tokens'] - p['documents']):.2f} |")
    languages = ", ".join(f"{language} {count / total:.1%}" for language, count in part["tokens_by_language"].items())
    return "\n".join([*lines, "", f"{total:,} tokens in {part['documents']:,} documents: {languages}."])


if __name__ == "__main__":
    main(*sys.argv[1:])
