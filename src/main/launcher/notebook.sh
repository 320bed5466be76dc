# shellcheck shell=bash
# ./jqlora run | lab | notebooks

run_usage() {
  cat <<'EOF'
usage: ./jqlora run [NOTEBOOK] [--model FOLDER] [--device DEVICE] [--timeout SECONDS] [--out FOLDER]

Runs a notebook (default notebooks/01-qlora-walkthrough.ipynb) cell by cell without a browser. The executed notebook, a
web page of it and a report with its charts go to .jqlora/runs/TIME-NAME. Status 1 if a cell fails.

  --model FOLDER      reaches the notebook as the environment variable JQLORA_MODEL
  --device DEVICE     auto (an NVIDIA GPU where one can be used, else the processor; the default), cpu, cuda or cuda:N
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
      --timeout) needs_value "$1" $#; options+=(--timeout "$2"); shift ;;
      --out) needs_value "$1" $#; out=$2; shift ;;
      -h|--help) run_usage; return 0 ;;
      -*) run_usage >&2; die "run: unknown option \"$1\"" ;;
      *) [ -z "$notebook" ] || die "run: one notebook at a time, got \"$notebook\" and \"$1\""; notebook=$1 ;;
    esac
    shift
  done
  notebook=${notebook:-$JQLORA_HOME/notebooks/01-qlora-walkthrough.ipynb}
  [ -f "$notebook" ] || die "run: $notebook: no such notebook"
  need_kernel
  out=${out:-$STATE/runs/$(date +%Y%m%d-%H%M%S)-$(basename "$notebook" .ipynb)}
  export_for_kernel
  "$VENV/bin/python" "$LAUNCHER/run_notebook.py" "$notebook" --out "$out" ${options[@]+"${options[@]}"}
}

lab_usage() {
  cat <<'EOF'
usage: ./jqlora lab [--model FOLDER] [--device DEVICE] [ARGUMENT ...]

Opens JupyterLab on the notebooks. DEVICE is auto, cpu, cuda or cuda:N. Other arguments go to jupyter lab, such as --no-browser --port 8890.
EOF
}

command_lab() {
  local arguments=()
  while [ $# -gt 0 ]; do
    case $1 in
      --model) needs_value "$1" $#; set_model "$2"; shift ;;
      --device) needs_value "$1" $#; set_device "$2"; shift ;;
      -h|--help) lab_usage; return 0 ;;
      *) arguments+=("$1") ;;
    esac
    shift
  done
  need_kernel
  export_for_kernel
  cd "$JQLORA_HOME" || die "$JQLORA_HOME: cannot go there"
  step "starting JupyterLab; Ctrl-C ends it"
  JUPYTER_CONFIG_PATH=$LAUNCHER/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH} \
    exec "$VENV/bin/python" -m jupyterlab ${arguments[@]+"${arguments[@]}"}
}

notebooks_usage() {
  cat <<'EOF'
usage: ./jqlora notebooks [--model FOLDER] [--device DEVICE] [NOTEBOOK ...]

Runs the tutorials in notebooks/ (or those named) and writes them back with their outputs: no timings in the metadata, no paths
of this machine, at most 1 MB each. They compute on the processor unless --device says otherwise. A notebook with a cell that fails stays as it was.
EOF
}

command_notebooks() {
  local notebooks=()
  while [ $# -gt 0 ]; do
    case $1 in
      --model) needs_value "$1" $#; set_model "$2"; shift ;;
      --device) needs_value "$1" $#; set_device "$2"; shift ;;
      -h|--help) notebooks_usage; return 0 ;;
      -*) notebooks_usage >&2; die "notebooks: unknown option \"$1\"" ;;
      *) notebooks+=("$1") ;;
    esac
    shift
  done
  [ ${#notebooks[@]} -gt 0 ] || list_tutorials
  export JQLORA_DEVICE=${JQLORA_DEVICE:-cpu}                      # what is kept is the same whatever the machine has
  [ ${#notebooks[@]} -gt 0 ] || die "notebooks: $JQLORA_HOME/notebooks has no notebook"
  need_kernel
  export_for_kernel
  "$VENV/bin/python" "$LAUNCHER/refresh_notebooks.py" "$JQLORA_HOME" "${notebooks[@]}"
}

# list_tutorials: appends the numbered notebooks to the caller's array "notebooks"
list_tutorials() {
  local found
  for found in "$JQLORA_HOME"/notebooks/*.ipynb; do
    [ ! -f "$found" ] || notebooks+=("$found")
  done
}

set_model() {
  [ -d "$1" ] || die "--model is \"$1\", which is no folder"
  JQLORA_MODEL=$(cd "$1" && pwd -P)
  export JQLORA_MODEL
}

set_device() {
  [[ $1 =~ ^(auto|cpu|cuda|cuda:[0-9]{1,3})$ ]] || die "--device is \"$1\", it must be auto, cpu, cuda or cuda:N"
  export JQLORA_DEVICE=$1
}

# export_for_kernel: what the kernel's process finds in its environment
export_for_kernel() {
  export DJL_CACHE_DIR=${DJL_CACHE_DIR:-$STATE/djl}
  export PYDEVD_DISABLE_FILE_VALIDATION=1 JUPYTER_PLATFORM_DIRS=1
}
