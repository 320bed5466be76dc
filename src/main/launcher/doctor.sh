# shellcheck shell=bash
# ./jqlora doctor: what this machine has, and what to do about what it lacks.

doctor_usage() {
  cat <<'EOF'
usage: ./jqlora doctor

Looks at the JDK, Maven, Python, fonts, graphics card, memory and disk, and at what has been built here; changes nothing.
Status 1 if something that is needed is missing.
EOF
}

command_doctor() {
  case ${1:-} in
    '') ;;
    -h|--help) doctor_usage; return 0 ;;
    *) unknown_option doctor "$1" ;;
  esac
  PROBLEMS=0
  doctor_java
  doctor_python
  doctor_built
  doctor_machine
  doctor_browser
  if [ "$PROBLEMS" -gt 0 ]; then
    say "$PROBLEMS of these must be put right first."
    return 1
  fi
  say "Nothing is missing."
}

found() { printf '  ok       %-10s %s\n' "$1" "$2"; }
noted() { printf '  note     %-10s %s\n' "$1" "$2"; }
missing() { printf '  MISSING  %-10s %s\n' "$1" "$2"; PROBLEMS=$((PROBLEMS + 1)); }

doctor_java() {
  if find_jdk; then
    found "JDK 25" "$JDK ($(sed -n 's/^JAVA_RUNTIME_VERSION="\(.*\)"/\1/p' "$JDK/release"))"
  else
    missing "JDK 25" "$(jdk_advice), or let ./jqlora --yes run fetch one"
  fi
  if ! find_maven; then
    missing Maven "$(maven_advice)"
  elif [ "$MAVEN" = "$JQLORA_HOME/mvnw" ]; then
    noted Maven "./mvnw, which fetches one (10 MB) at its first use; one of the system: $(maven_advice)"
  else
    found Maven "$MAVEN"
  fi
}

doctor_python() {
  if find_python; then
    found Python "$PYTHON ($("$PYTHON" -c 'import platform; print(platform.python_version())'))"
  else
    missing Python "3.11 or newer with venv: $(python_advice)"
  fi
}

doctor_built() {
  local natives
  if is_built; then found build "up to date"; else noted build "to be done; ./jqlora run, lab and test do it"; fi
  if has_environment "$VENV" "$LAUNCHER/requirements.txt"; then
    found Jupyter ".jqlora/venv"
    if find_jdk && is_built && has_kernel; then
      found kernel "for ./jqlora run and lab, in .jqlora/venv"
    else
      noted kernel "to be made anew for ./jqlora run and lab; they do it"
    fi
  elif [ -d "$VENV" ]; then
    noted Jupyter ".jqlora/venv was made in another place, by another Python or for other versions; ./jqlora run, lab and test make it anew"
  else
    noted Jupyter "not set up yet; ./jqlora run, lab and test do it"
  fi
  doctor_installed_kernels
  natives=$(find "${DJL_CACHE_DIR:-$STATE/djl}/pytorch" -maxdepth 1 -type d -name '*cpu*' 2>/dev/null | head -n 1 || true)
  if [ -n "$natives" ]; then
    found natives "PyTorch is unpacked in $natives"
  else
    noted natives "PyTorch (430 MB) is unpacked at its first use, into ${DJL_CACHE_DIR:-$STATE/djl}"
  fi
}

# only the tests need it
doctor_browser() {
  local missing
  missing=$(browser_missing)
  if [ -n "$missing" ]; then
    noted browser "./jqlora test leaves out JupyterLab in a browser: $missing"
  else
    find_chromium && found browser "$CHROMIUM, for ./jqlora test"
  fi
}

# the kernelspecs in the user's own Jupyter
doctor_installed_kernels() {
  local state text spec_dirs=()
  while IFS= read -r text; do spec_dirs+=("$text"); done < <(installed_kernels)
  [ ${#spec_dirs[@]} -gt 0 ] && find_python || return 0
  while IFS=$'\t' read -r state text; do
    if [ "$state" = ok ]; then found kernel "for your own Jupyter, in $text"; else noted kernel "$text"; fi
  done < <("$PYTHON" "$LAUNCHER/kernel_state.py" "$JQLORA_HOME" "${spec_dirs[@]}")
}

doctor_machine() {
  local free_mb gpu state threads
  if command -v nvidia-smi >/dev/null && gpu=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null); then
    found GPU "$(printf '%s' "$gpu" | head -n 1)$([ "$(printf '%s\n' "$gpu" | wc -l)" -le 1 ] || printf ' and %d more' $(($(printf '%s\n' "$gpu" | wc -l) - 1)))"
    if ! is_built || ! find_jdk; then
      noted CUDA "checked once the build is done"
    elif state=$(gpu_state); then
      found CUDA "${state//$'\n'/; }"
    else
      noted CUDA "${state//$'\n'/; }. ./jqlora setup --gpu installs NVIDIA's libraries; until then everything runs on the processor"
    fi
  else
    noted GPU "no NVIDIA card with a working driver; everything runs on the processor"
  fi
  if command -v fc-list >/dev/null && [ "$(fc-list | wc -l)" -gt 0 ]; then
    if [ -n "$(fc-list :lang=zh | head -n 1)" ]; then
      found fonts "also for Chinese"
    else
      noted fonts "none for Chinese; charts show boxes for it: $(for_system "sudo apt-get install fonts-noto-cjk" "sudo dnf install google-noto-sans-cjk-fonts" "add one in Font Book" "install Noto Sans CJK")"
    fi
  elif [ "$(uname -s)" != Darwin ]; then
    missing fonts "charts need one: $(for_system "sudo apt-get install fontconfig fonts-dejavu-core" "sudo dnf install fontconfig dejavu-sans-fonts" "" "install fontconfig and DejaVu")"
  fi
  if [ -r /proc/meminfo ]; then
    found memory "$(awk '/^MemTotal/ { total = $2 } /^MemAvailable/ { free = $2 } END { printf "%.1f GB, %.1f GB free", total / 1e6, free / 1e6 }' /proc/meminfo), $(getconf _NPROCESSORS_ONLN) processors"
  fi
  if is_built && find_jdk; then
    if threads=$(java_program jqlora.cli.Main cpu 2>&1 | grep -v '^WARNING: Using incubator'); then
      found threads "$threads${JQLORA_THREADS:+ (JQLORA_THREADS)}"
    else
      missing threads "$threads"
    fi
  else
    noted threads "one for each processor that this process may use; checked once the build is done"
  fi
  free_mb=$(df -Pm "$JQLORA_HOME" | awk 'NR == 2 { print $4 }')
  if [ "$free_mb" -ge 3000 ]; then
    found disk "$((free_mb / 1000)) GB free"
  elif is_built; then
    noted disk "$free_mb MB free"
  else
    missing disk "$free_mb MB free; the first build needs about 3 GB"
  fi
}
