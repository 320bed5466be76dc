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

python_advice() { for_system "sudo apt-get install python3 python3-venv" "sudo dnf install python3" "brew install python@3.13" "https://www.python.org/downloads"; }

need_python() {
  find_python || die "no Python 3.11 or newer with venv, which Jupyter needs, was found (JQLORA_PYTHON names one in an unusual place); to get it: $(python_advice)"
}

# environment TEXT FOLDER REQUIREMENTS [PIP ARGUMENT...]: a virtual environment with exactly these packages; does nothing if it stands
environment() {
  local text=$1 folder=$2 requirements=$3 stamp
  shift 3
  stamp="$folder $(checksum < "$requirements")"
  if has_environment "$folder" "$requirements"; then return 0; fi
  need_python
  rm -f "$folder/jqlora.stamp"
  quietly "making the environment for $text" "$STATE/log/venv.log" "$PYTHON" -m venv --clear "$folder"
  quietly "installing $text" "$STATE/log/pip.log" "$folder/bin/python" -m pip install --disable-pip-version-check --no-input -r "$requirements" "$@"
  printf '%s' "$stamp" > "$folder/jqlora.stamp"
}

# has_environment FOLDER REQUIREMENTS: it stands, was made in this place, and its Python still starts
has_environment() {
  same_as "$1/jqlora.stamp" "$1 $(checksum < "$2")" && "$1/bin/python" -c '' >/dev/null 2>&1
}

need_jupyter() { environment "JupyterLab and nbclient" "$VENV" "$LAUNCHER/requirements.txt"; }
