# shellcheck shell=bash
# ./jqlora run | lab | notebooks

run_usage() {
  cat <<'EOF'
usage: ./jqlora run [NOTEBOOK] [--model FOLDER] [--device DEVICE] [--threads N] [--timeout SECONDS] [--out FOLDER]

Runs a notebook (default notebooks/01-qlora-walkthrough.ipynb) cell by cell without a browser. The executed notebook, a
web page of it and a report with its charts go to .jqlora/runs/TIME-NAME. Status 1 if a cell fails.

  --model FOLDER      reaches the notebook as the environment variable JQLORA_MODEL
  --device DEVICE     auto (an NVIDIA GPU where one can be used, else the processor; the default), cpu, cuda or cuda:N
  --threads N         on the processor; default: one for each processor that this process may use (./jqlora doctor says how many)
  --timeout SECONDS   for one cell (default 3600)
  --out FOLDER        instead of .jqlora/runs/TIME-NAME
EOF
}

command_run() {
  local notebook='' out='' options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --model) needs_value "$1" $#; set_model "$2"; shift ;;
      --device) needs_value "$1" $#; set_device "$2"; shift ;;
      --threads) needs_value "$1" $#; set_threads "$2"; shift ;;
      --timeout) needs_value "$1" $#; need_seconds "$1" "$2"; options+=(--timeout "$2"); shift ;;
      --out) needs_value "$1" $#; out=$2; shift ;;
      -h|--help) run_usage; return 0 ;;
      -*) unknown_option run "$1" ;;
      *) [ -z "$notebook" ] || die "run: one notebook at a time, got \"$notebook\" and \"$1\""; notebook=$1 ;;
    esac
    shift
  done
  notebook=${notebook:-$JQLORA_HOME/notebooks/01-qlora-walkthrough.ipynb}
  [ -f "$notebook" ] || no_such_notebook run "$notebook"
  need_kernel
  out=${out:-$STATE/runs/$(date +%Y%m%d-%H%M%S)-$(basename "$notebook" .ipynb)}
  export_for_kernel
  "$VENV/bin/python" "$LAUNCHER/run_notebook.py" "$notebook" --out "$out" ${options[@]+"${options[@]}"}
}

lab_usage() {
  cat <<'EOF'
usage: ./jqlora lab [--model FOLDER] [--device DEVICE] [--threads N] [ARGUMENT ...]

Opens JupyterLab on the first tutorial. DEVICE is auto, cpu, cuda or cuda:N; N threads compute on the processor. Other arguments go to jupyter lab, such as --no-browser --port 8890.
As root, in a container for instance: ./jqlora lab --allow-root. It listens on this machine only (127.0.0.1) unless --ip names another address.
EOF
}

command_lab() {
  local arguments=()
  while [ $# -gt 0 ]; do
    case $1 in
      --model) needs_value "$1" $#; set_model "$2"; shift ;;
      --device) needs_value "$1" $#; set_device "$2"; shift ;;
      --threads) needs_value "$1" $#; set_threads "$2"; shift ;;
      -h|--help) lab_usage; return 0 ;;
      *) [ -z "$(near_name "$1" --model --device --threads)" ] || unknown_option lab "$1"
         arguments+=("$1") ;;
    esac
    shift
  done
  refuse_root ${arguments[@]+"${arguments[@]}"}
  need_kernel
  need_quiet_git
  export_for_kernel
  cd "$JQLORA_HOME" || die "$JQLORA_HOME: cannot go there"
  case " ${arguments[*]-} " in
    *App.default_url=*) ;;
    *) arguments=("--LabApp.default_url=/lab/tree/$(first_tutorial)" ${arguments[@]+"${arguments[@]}"}) ;;
  esac
  step "starting JupyterLab; Ctrl-C ends it"
  JUPYTER_CONFIG_PATH=$LAUNCHER/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH} \
    exec "$VENV/bin/python" -m jupyterlab "${arguments[@]}"
}

# refuse_root ARGUMENT...: JupyterLab does not start as root unless told; better said before the setup than after it
refuse_root() {
  [ "$(id -u)" = 0 ] || return 0
  case " $* " in
    *" --allow-root "*|*App.allow_root=[Tt]rue*) say "As root every cell may do everything on this machine; JupyterLab listens on 127.0.0.1 unless told otherwise." ;;
    *" --version "*|*" --help-all "*|*" list "*|*" stop "*) ;;
    *) die "lab: you are root, and JupyterLab does not start as root unless told; ./jqlora lab --allow-root does it (right in a container, elsewhere use an account of your own)" ;;
  esac
}

# first_tutorial: its path below the project's folder as in an address; in Chinese where the language is Chinese and it is there
first_tutorial() {
  local notebooks=() folder=notebooks name
  list_tutorials
  [ ${#notebooks[@]} -gt 0 ] || { say notebooks; return 0; }
  name=$(basename "${notebooks[0]}")
  case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in zh*) [ ! -f "$JQLORA_HOME/notebooks/zh/$name" ] || folder=notebooks/zh ;; esac
  "$VENV/bin/python" -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$folder/$name"
}

notebooks_usage() {
  cat <<'EOF'
usage: ./jqlora notebooks [--model FOLDER] [--device DEVICE] [--threads N] [NOTEBOOK ...]
       ./jqlora notebooks --build|--restore [NOTEBOOK ...]

Runs the tutorials in notebooks/ (or those named) and writes them back with their outputs: no timings in the metadata, no paths
of this machine, at most 1 MB each; outputs that differ in times only stay as they were. They compute on the processor unless
--device says otherwise. A notebook with a cell that fails stays as it was. A tutorial with a source in notebooks/source (prose in
English and Chinese, code once) is made from it before it runs, and written in both languages with the outputs of one run.

  --build      makes the notebooks from their sources and runs nothing; cells that are the same keep their outputs
  --restore    puts back the outputs that git keeps, after notebooks were run by hand; changed cells stay as they are
EOF
}

command_notebooks() {
  local notebooks=() action=run notebook
  while [ $# -gt 0 ]; do
    case $1 in
      --model) needs_value "$1" $#; set_model "$2"; shift ;;
      --device) needs_value "$1" $#; set_device "$2"; shift ;;
      --threads) needs_value "$1" $#; set_threads "$2"; shift ;;
      --build|--restore) action=${1#--} ;;
      -h|--help) notebooks_usage; return 0 ;;
      -*) unknown_option notebooks "$1" ;;
      *) notebooks+=("$1") ;;
    esac
    shift
  done
  [ ${#notebooks[@]} -gt 0 ] || list_tutorials_and_sources
  export JQLORA_DEVICE=${JQLORA_DEVICE:-cpu}                      # what is kept is the same whatever the machine has
  [ ${#notebooks[@]} -gt 0 ] || die "notebooks: $JQLORA_HOME/notebooks has no notebook$([ "$action" != build ] || printf ' with a source')"
  for notebook in "${notebooks[@]}"; do
    [ -f "$notebook" ] || { [ "$action" != restore ] && has_source "$notebook"; } || no_such_notebook notebooks "$notebook"
  done
  if [ "$action" = restore ]; then restore_notebooks "${notebooks[@]}"; return; fi
  need_kernel
  export_for_kernel
  "$VENV/bin/python" "$LAUNCHER/refresh_notebooks.py" "$action" "$JQLORA_HOME" "${notebooks[@]}"
}

# list_tutorials [FOLDER]: appends the notebooks of notebooks/, or of another folder here, to the caller's array "notebooks"
list_tutorials() {
  local found
  for found in "$JQLORA_HOME/${1:-notebooks}"/*.ipynb; do
    [ ! -f "$found" ] || notebooks+=("$found")
  done
}

# has_source NOTEBOOK: whether a tutorial, which need not be there yet, has a source
has_source() { [ -f "$(dirname "$1")/source/$(basename "$1" .ipynb).md" ]; }

# list_tutorials_and_sources: as list_tutorials; of a tutorial that was never built, its source; --build takes those with a source only,
# --restore those that are there, the Chinese ones too
list_tutorials_and_sources() {
  local all=() found
  all=("$JQLORA_HOME"/notebooks/*.ipynb)
  [ "$action" != restore ] || all+=("$JQLORA_HOME"/notebooks/zh/*.ipynb)
  for found in "${all[@]}"; do
    [ ! -f "$found" ] || { [ "$action" = build ] && ! has_source "$found"; } || notebooks+=("$found")
  done
  [ "$action" != restore ] || return 0
  for found in "$JQLORA_HOME"/notebooks/source/*.md; do
    [ ! -f "$found" ] || [ -f "$JQLORA_HOME/notebooks/$(basename "$found" .md).ipynb" ] || notebooks+=("$found")
  done
}

# no_such_notebook COMMAND NOTEBOOK: ends, and names the tutorial that was probably meant
no_such_notebook() {
  local names
  names=$(cd "$JQLORA_HOME" && printf '%s\n' notebooks/*.ipynb)
  # shellcheck disable=SC2086  # one word each
  die "$1: $2: no such notebook$(did_you_mean "notebooks/$(basename "$2" .ipynb)" $names)"
}

need_seconds() { [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || die "$1 is \"$2\", it must be a whole number of seconds, 1 or more"; }

set_model() {
  [ -d "$1" ] || die "--model is \"$1\", which is no folder"
  JQLORA_MODEL=$(cd "$1" && pwd -P)
  export JQLORA_MODEL
}

set_device() {
  [[ $1 =~ ^(auto|cpu|cuda|cuda:[0-9]{1,3})$ ]] || die "--device is \"$1\", it must be auto, cpu, cuda or cuda:N"
  export JQLORA_DEVICE=$1
}

set_threads() {
  { [[ $1 =~ ^0*[1-9][0-9]{0,3}$ ]] && [ "$((10#$1))" -le 4096 ]; } || die "--threads is \"$1\", it must be a number of threads, 1 to 4096; without it there is one for each processor"
  export JQLORA_THREADS=$1
}

# export_for_kernel: what the kernel's process finds in its environment
export_for_kernel() {
  export DJL_CACHE_DIR=${DJL_CACHE_DIR:-$STATE/djl}
  export PYDEVD_DISABLE_FILE_VALIDATION=1 JUPYTER_PLATFORM_DIRS=1
}
