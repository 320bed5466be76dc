# shellcheck shell=bash
# The kernel in Jupyter: ./jqlora kernel install | uninstall | doctor, and the copy in our own environment.

kernel_usage() {
  cat <<'EOF'
usage: ./jqlora kernel install [--user | --sys-prefix | --prefix DIR] [--name NAME] [--java DIR] [--profile binder]
                                [--own-jars] [--dry-run]
       ./jqlora kernel uninstall [--name NAME] [--prefix DIR]
       ./jqlora kernel doctor [--name NAME] [--prefix DIR]

install     builds and makes the kernel "Java 25 (QLoRA)" known to your own Jupyter; --own-jars copies the libraries into .jqlora/lib,
            so that Maven's repository can be removed
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
    *) die "kernel: unknown action \"$action\"$(did_you_mean "$action" install uninstall doctor)$(see_help kernel)" ;;
  esac
}

kernel_install() {
  local argument dry=false own=false arguments=()
  for argument in "$@"; do
    case $argument in
      -h|--help) kernel_usage; return 0 ;;
      --own-jars) own=true ;;
      --dry-run) dry=true; arguments+=("$argument") ;;
      *) arguments+=("$argument") ;;
    esac
  done
  need_build
  if $own && ! $dry; then own_jars; fi
  "$JQLORA_HOME/kernels/install.sh" --java "$JDK" --class-path "$CLASS_PATH_FILE" ${arguments[@]+"${arguments[@]}"}
  $dry || say "Choose \"Java 25 (QLoRA)\" in Jupyter's list of kernels; ./jqlora kernel doctor tries it."
}

kernel_doctor() {
  local arguments=()
  while [ $# -gt 0 ]; do
    case $1 in
      --name|--prefix) needs_value "$1" $#; arguments+=("$1" "$2"); shift ;;
      -h|--help) kernel_usage; return 0 ;;
      *) unknown_option kernel "$1" ;;
    esac
    shift
  done
  need_jupyter
  "$VENV/bin/python" "$LAUNCHER/kernel_check.py" ${arguments[@]+"${arguments[@]}"}
}

# installed_kernels: the kernelspecs that install has written for this user and the active environment, a folder a line
installed_kernels() {
  local data_dir spec_dir
  for data_dir in "${JUPYTER_DATA_DIR:-}" "${XDG_DATA_HOME:-$HOME/.local/share}/jupyter" "$HOME/Library/Jupyter" \
      ${VIRTUAL_ENV:+"$VIRTUAL_ENV/share/jupyter"} ${CONDA_PREFIX:+"$CONDA_PREFIX/share/jupyter"}; do
    [ -n "$data_dir" ] || continue
    for spec_dir in "$data_dir"/kernels/*; do
      [ ! -e "$spec_dir/installed-by-jqlora" ] || printf '%s\n' "$spec_dir"
    done
  done
}

# kernel_stamp: what the kernel in our own environment was made from
kernel_stamp() {
  printf '%s' "$JDK $VENV $(cat "$CLASS_PATH_FILE" "$JQLORA_HOME"/kernels/install.sh "$JQLORA_HOME"/kernels/spec/java-qlora/* "$LAUNCHER"/jupyter/* | checksum)"
}

has_kernel() {
  [ -f "$VENV/share/jupyter/kernels/java-qlora/kernel.json" ] && same_as "$STATE/kernel.stamp" "$(kernel_stamp)"
}

# need_kernel: our own environment knows the kernel as it is built now
need_kernel() {
  need_build
  need_jupyter
  if has_kernel; then
    "$JQLORA_HOME/kernels/quick.sh" "$JDK/bin/java" "$VENV/share/jupyter/kernels/java-qlora" | steps
    return 0
  fi
  "$JQLORA_HOME/kernels/install.sh" --prefix "$VENV" --java "$JDK" --class-path "$CLASS_PATH_FILE" | steps
  mkdir -p "$VENV/share/jupyter/lab/settings"
  cp "$LAUNCHER/jupyter/overrides.json" "$VENV/share/jupyter/lab/settings/"
  kernel_stamp > "$STATE/kernel.stamp"
}
