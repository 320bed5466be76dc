# shellcheck shell=bash
# ./jqlora train | pretrain | bench: programs without a notebook

# command_train OPTION...: the program itself explains its options; it takes the place of this shell, so that a signal to end reaches it
command_train() {
  [ "${1:-}" != -h ] || set -- --help
  need_build >&2
  export_cuda
  export QLORA_HOME=$JQLORA_HOME
  exec "$JDK/bin/java" "${JAVA_FLAGS[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(cat "$CLASS_PATH_FILE")" jqlora.cli.Main train \
    --kernel-cache "$STATE/cubins" "$@"
}

pretrain_usage() {
  cat <<'EOF'
usage: ./jqlora pretrain [--corpus FOLDER] [--output FOLDER] [OPTION ...]

Makes the embedded base model from nothing: builds its corpus (models/README.md), trains, and writes the folder of the model.
A stopped run goes on where it was saved last; the same command starts it again. An NVIDIA GPU is used where there is one.

  --corpus FOLDER   built there if it is not (default .jqlora/corpus)
  --output FOLDER   for the model and the checkpoints (default .jqlora/jqlora-tiny)

Other options go to the training program; `./jqlora pretrain --options` lists them.
EOF
}

command_pretrain() {
  local corpus=$STATE/corpus output=$STATE/jqlora-tiny options=()
  while [ $# -gt 0 ]; do
    case $1 in
      --corpus) needs_value "$1" $#; corpus=$2; shift ;;
      --output) needs_value "$1" $#; output=$2; shift ;;
      --options) need_build; java_program jqlora.cli.Main pretrain --help; return ;;
      -h|--help) pretrain_usage; return 0 ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  need_build
  if [ ! -f "$corpus/train.bin" ] || [ ! -f "$corpus/valid.bin" ]; then
    quietly "building the corpus in $corpus" "$STATE/log/corpus.log" "$JQLORA_HOME/models/corpus/build.sh" "$corpus"
  fi
  cp "$JQLORA_HOME/models/corpus/config.json" "$corpus/tokenizer/"
  export_cuda
  step "training; checkpoints lie in $output/.training"
  java_program jqlora.cli.Main pretrain --kernel-cache "$STATE/cubins" --base "$corpus/tokenizer" --corpus "$corpus" --output "$output" ${options[@]+"${options[@]}"}
  step "the model is in $output"
}

bench_usage() {
  cat <<'EOF'
usage: ./jqlora bench step|quantize|matmul [OPTION ...]

The Java side of the benchmarks: prints a JSON line for each setting. benchmarks/run.py runs it beside the Python stack;
benchmarks/README.md has the options and the line.
EOF
}

command_bench() {
  case ${1:---help} in
    -h|--help) bench_usage; return 0 ;;
  esac
  need_build >&2                                       # standard output is for the lines
  java_program "$JQLORA_HOME/benchmarks/java/jqlora/bench/Bench.java" "$@"
}
