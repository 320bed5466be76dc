# shellcheck shell=bash
# ./jqlora test

readonly JJAVA=jjava==1.0a8 KERNEL_TEST=jupyter_kernel_test==0.7.0

test_usage() {
  cat <<'EOF'
usage: ./jqlora test [--fast] [--oracle DIR] [--model FOLDER]

Builds and runs the tests: Maven's, those of the Jupyter kernel, JupyterLab in a headless Chromium (where Node.js and Chromium are),
then the tutorials as notebooks.

  --fast           leaves out what is slow, needs the Python comparison partners, a real model or a GPU, the browser and the notebooks
  --oracle DIR     folder with the complete reference data (default: the trimmed copy in src/test/resources/oracle)
  --model FOLDER   folder of a real model; runs the tests that need one as well
EOF
}

command_test() {
  local fast=false oracle='' model='' excluded=gpu,model maven_options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --fast) fast=true ;;
      --oracle) needs_value "$1" $#; oracle=$2; [ -d "$oracle" ] || die "--oracle is \"$oracle\", which is no folder"; shift ;;
      --model) needs_value "$1" $#; set_model "$2"; model=$JQLORA_MODEL; shift ;;
      -h|--help) test_usage; return 0 ;;
      *) unknown_option test "$1" ;;
    esac
    shift
  done
  if $fast; then
    excluded=slow,peers,model,gpu
  else
    [ -z "$model" ] || excluded=gpu
    need_peers
    # the GPU's kernels are compiled, which needs no GPU, with the compiler that came with the partners' PyTorch
    maven_options+=(-Djqlora.peers="$PEERS" -Djqlora.cuda="$("$PEERS/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')")
  fi
  [ -z "$oracle" ] || maven_options+=(-Djqlora.oracle="$(cd "$oracle" && pwd -P)")
  [ -z "$model" ] || maven_options+=(-Djqlora.model="$model")
  need_kernel
  need_maven
  step "Maven tests without $excluded"
  # in several JVMs at once Surefire loads the tests into Maven's own, which must be able to read them
  JAVA_HOME=$JDK maven test -DforkCount="$(test_jvms)" -Dtest.excludedGroups="$excluded" ${maven_options[@]+"${maven_options[@]}"} || die "Maven's tests failed"
  export_for_kernel
  step "tests of the kernel in Jupyter and of the launcher"
  if $fast; then export JQLORA_FAST=1; else need_jjava; need_kernel_test; need_repo2docker; fi
  (cd "$JQLORA_HOME/src/test/python" && PYTHONPATH=$LAUNCHER "$VENV/bin/python" run_modules.py) || die "the kernel's tests failed"
  if ! $fast; then
    step "tests of the scripts that ask the Python comparison partners"
    (cd "$JQLORA_HOME/src/test/python" && "$PEERS/bin/python" -m unittest -v test_peers) || die "the partners' tests failed"
  fi
  if ! $fast; then
    test_browser
    test_notebooks
  fi
  step "all tests passed"
}

# how many JVMs run tests at once; each may take 3 GB, and some tests are of several threads
test_jvms() {
  local processors
  processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
  if [ "$processors" -ge 8 ]; then echo 4; elif [ "$processors" -ge 2 ]; then echo 2; else echo 1; fi
}

# the tutorials, run in copies: what is committed stays
test_notebooks() {
  local notebooks=() notebook
  list_tutorials
  for notebook in ${notebooks[@]+"${notebooks[@]}"}; do
    step "notebook $(basename "$notebook")"
    "$VENV/bin/python" "$LAUNCHER/run_notebook.py" "$notebook" --out "$STATE/runs/test-$(basename "$notebook" .ipynb)" \
      || die "$(basename "$notebook") failed"
  done
}

# need_jjava: sets JQLORA_JJAVA, a folder with the stock kernel that our extension is tested in
need_jjava() {
  export JQLORA_JJAVA=$STATE/jjava
  need_unpacked "$JQLORA_JJAVA" "$JJAVA"
}

# need_kernel_test: sets JQLORA_KERNEL_TEST, a folder with Jupyter's tests of its protocol
need_kernel_test() {
  export JQLORA_KERNEL_TEST=$STATE/kernel-test
  need_unpacked "$JQLORA_KERNEL_TEST" "$KERNEL_TEST"
}

# need_unpacked FOLDER PACKAGE: the folder holds this Python package, without those that it needs
need_unpacked() {
  ! same_as "$1/jqlora.stamp" "$2" || return 0
  rm -rf "$1"
  quietly "installing $2" "$STATE/log/$(basename "$1").log" \
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps --target "$1" "$2"
  printf '%s' "$2" > "$1/jqlora.stamp"
}

# need_repo2docker: sets JQLORA_REPO2DOCKER, the program that reads binder/ as Binder does
need_repo2docker() {
  environment "repo2docker" "$STATE/repo2docker" "$JQLORA_HOME/src/test/binder/requirements.txt"
  export JQLORA_REPO2DOCKER=$STATE/repo2docker/bin/jupyter-repo2docker
}

# need_peers: sets PEERS, the environment with the Python libraries that we compare ourselves with
need_peers() {
  PEERS=${JQLORA_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/jqlora/peers}
  if [ -x "$PEERS/bin/python" ] && "$PEERS/bin/python" "$LAUNCHER/has_packages.py" "$JQLORA_HOME/benchmarks/python/requirements.txt"; then return 0; fi
  environment "the Python comparison partners (torch and others, about 5 GB on disk)" "$PEERS" "$JQLORA_HOME/benchmarks/python/requirements.txt"
}
