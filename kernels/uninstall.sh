#!/usr/bin/env bash
# Removes the kernelspecs that kernels/install.sh has written, and nothing else.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: kernels/uninstall.sh [--name NAME] [--prefix DIR]
  --name NAME    folder name of the kernelspec (default java-qlora)
  --prefix DIR   look below DIR/share/jupyter as well
EOF
}
die() { printf 'uninstall.sh: %s\n' "$*" >&2; exit 1; }

# shellcheck source=src/main/launcher/words.sh
. "$(dirname "${BASH_SOURCE[0]}")/../src/main/launcher/words.sh"
name="java-qlora"
prefix=
while [ $# -gt 0 ]; do
  case $1 in
    --name) [ $# -ge 2 ] || die "$1 needs a value"; name=$2; shift ;;
    --prefix) [ $# -ge 2 ] || die "$1 needs a value"; prefix=$2; shift ;;
    -h|--help) usage; exit 0 ;;
    *) die "unknown option \"$1\"$(did_you_mean "$1" --name --prefix) (./jqlora kernel --help tells what there is)" ;;
  esac
  shift
done

removed=0
for data_dir in "${JUPYTER_DATA_DIR:-}" "${XDG_DATA_HOME:-$HOME/.local/share}/jupyter" "$HOME/Library/Jupyter" \
    ${VIRTUAL_ENV:+"$VIRTUAL_ENV/share/jupyter"} ${CONDA_PREFIX:+"$CONDA_PREFIX/share/jupyter"} ${prefix:+"$prefix/share/jupyter"}; do
  spec_dir=$data_dir/kernels/$name
  [ -n "$data_dir" ] && [ -e "$spec_dir/installed-by-jqlora" ] || continue
  rm -rf "$spec_dir"
  printf 'removed %s\n' "$spec_dir"
  removed=$((removed + 1))
done
[ "$removed" -gt 0 ] || printf 'no kernelspec "%s" of ours was found\n' "$name"
