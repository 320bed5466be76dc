#!/usr/bin/env bash
# Makes the Python environment that the benchmarks, the peer tests and models/smollm2 use. Downloads about 3 GB, takes 5 GB.
# Usage: install.sh [FOLDER]   default ${XDG_CACHE_HOME:-$HOME/.cache}/jqlora/peers; a finished environment is left as it is
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/jqlora/peers}
if [ -x "$folder/bin/python" ] && cmp -s "$here/requirements.txt" "$folder/requirements.txt"; then
    echo "install.sh: $folder is up to date"
    exit 0
fi
echo "install.sh: installing $(tr '\n' ' ' < "$here/requirements.txt")into $folder"
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$folder/requirements.txt"   # last, so that a broken install is not taken for a finished one
echo "install.sh: $folder is ready"
