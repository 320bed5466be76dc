# shellcheck shell=bash
# The kernel in Jupyter: ./jqlora kernel install | uninstall | doctor, and the copy in our own environment.

kernel_usage() {
  cat <<'EOF'
usage: ./jqlora kernel install [--user | --sys-prefix | --prefix DIR] [--name NAME] [--java DIR] [--profile binder] [--dry-run]
       ./jqlora kernel uninstall [--name NAME] [--prefix DIR]
       ./jqlora kernel doctor [--name NAME] [--prefix DIR]

install     builds and makes the kernel "Java 25 (QLoRA)" known to your own Jupyter
uninstall   removes what install has written, and nothing else
doctor      starts the installed kernel and runs a cell in it
EOF
}

command_kernel() {
  local action=${1:-help}
  [ $# -eq 0 ] || shift
  case $action in
    install) kernel_install "$@" ;;
    uninstall) "$JQLORA_HOME/kernels/uninstall.sh" "$@" ;;
    doctor) kernel_doctor "$@" ;;
    help|-h|--help) kernel_usage ;;
    *) kernel_usage >&2; die "kernel: unknown action \"$action\"" ;;
  esac
}

kernel_install() {
  local argument dry=false
  for argument in "$@"; do
    case $argument in
      -h|--help) kernel_usage; return 0 ;;
      --dry-run) dry=true ;;
    esac
  done
  need_build
  "$JQLORA_HOME/kernels/install.sh" --java "$JDK" --class-path "$CLASS_PATH_FILE" "$@"
  $dry || say "Choose \"Java 25 (QLoRA)\" in Jupyter's list of kernels; ./jqlora kernel doctor tries it."
}

kernel_doctor() {
  need_jupyter
  JUPYTER_PATH=$(kernel_search_path "$@") "$VENV/bin/python" "$LAUNCHER/kernel_check.py" "$@"
}

# the data folders of the Jupyters that install may have written to
kernel_search_path() {
  local path="${VIRTUAL_ENV:+$VIRTUAL_ENV/share/jupyter:}${CONDA_PREFIX:+$CONDA_PREFIX/share/jupyter:}"
  while [ $# -gt 0 ]; do
    if [ "$1" = --prefix ] && [ $# -ge 2 ]; then path=$2/share/jupyter:$path; fi
    shift
  done
  printf '%s%s\n' "$path" "${JUPYTER_PATH:-}"
}

# need_kernel: our own environment knows the kernel as it is built now
need_kernel() {
  local stamp
  need_build
  need_jupyter
  stamp="$JDK $VENV $(cat "$CLASS_PATH_FILE" "$JQLORA_HOME"/kernels/install.sh "$JQLORA_HOME"/kernels/spec/java-qlora/* "$LAUNCHER"/jupyter/* | checksum)"
  if same_as "$STATE/kernel.stamp" "$stamp" && [ -f "$VENV/share/jupyter/kernels/java-qlora/kernel.json" ]; then return 0; fi
  "$JQLORA_HOME/kernels/install.sh" --prefix "$VENV" --java "$JDK" --class-path "$CLASS_PATH_FILE" > "$STATE/log/kernel.log"
  mkdir -p "$VENV/share/jupyter/lab/settings"
  cp "$LAUNCHER/jupyter/overrides.json" "$VENV/share/jupyter/lab/settings/"
  step "kernel installed into .jqlora/venv"
  printf '%s' "$stamp" > "$STATE/kernel.stamp"
}
