# shellcheck shell=bash
# Python and the virtual environments: the notebooks' own in .jqlora/venv, the comparison partners' outside of the tree.

readonly VENV=$STATE/venv

# is_python COMMAND: 3.11 or newer, able to make virtual environments
is_python() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && "$1" -c 'import venv, ensurepip' >/dev/null 2>&1
}

# find_python: sets PYTHON, or fails
find_python() {
  local candidate
  if [ -n "${JQLORA_PYTHON:-}" ]; then
    is_python "$JQLORA_PYTHON" || die "JQLORA_PYTHON is \"$JQLORA_PYTHON\", it must be a Python 3.11 or newer with venv and ensurepip"
    PYTHON=$JQLORA_PYTHON
    return 0
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python /usr/bin/python3 /opt/homebrew/bin/python3; do
    if command -v "$candidate" >/dev/null && is_python "$candidate"; then
      PYTHON=$(command -v "$candidate")
      return 0
    fi
  done
  return 1
}

need_python() {
  find_python && return 0
  say "Python 3.11 or newer with venv was not found. To get it:" >&2
  for_system "  sudo apt-get install python3 python3-venv" "  sudo dnf install python3" "  brew install python@3.13" "  https://www.python.org/downloads" >&2
  die "Python is needed for JupyterLab and for running notebooks; JQLORA_PYTHON names one in an unusual place"
}

# environment TEXT FOLDER REQUIREMENTS [PIP ARGUMENT...]: a virtual environment with exactly these packages; does nothing if it stands
environment() {
  local text=$1 folder=$2 requirements=$3 stamp
  shift 3
  stamp="$folder $(checksum < "$requirements")"
  if [ -x "$folder/bin/python" ] && same_as "$folder/jqlora.stamp" "$stamp"; then return 0; fi
  need_python
  rm -f "$folder/jqlora.stamp"
  quietly "making the environment for $text" "$STATE/log/venv.log" "$PYTHON" -m venv --clear "$folder"
  quietly "installing $text" "$STATE/log/pip.log" "$folder/bin/python" -m pip install --disable-pip-version-check --no-input -r "$requirements" "$@"
  printf '%s' "$stamp" > "$folder/jqlora.stamp"
}

need_jupyter() { environment "JupyterLab and nbclient" "$VENV" "$LAUNCHER/requirements.txt"; }
