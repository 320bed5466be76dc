#!/usr/bin/env bash
# Prepares SmolLM2-135M-Instruct as a Hugging Face folder, with the Python environment of benchmarks/python/install.sh, which it installs if need be.
# Usage: prepare.sh [FOLDER]   default ${XDG_CACHE_HOME:-$HOME/.cache}/jqlora/smollm2-135m-instruct
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=${JQLORA_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/jqlora/peers}
"$here/../../benchmarks/python/install.sh" "$peers"
exec "$peers/bin/python" "$here/prepare.py" "$@"
