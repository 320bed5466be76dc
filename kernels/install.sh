#!/usr/bin/env bash
# Writes the kernelspec of "Java 25 (QLoRA)" where Jupyter finds it. `./jqlora kernel install` is the way to call it: that builds
# first and fills in --java and --class-path.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: kernels/install.sh [options]
  --user              for this user (default outside of a virtual environment)
  --sys-prefix        for the active virtual or conda environment (default inside of one)
  --prefix DIR        below DIR/share/jupyter
  --name NAME         folder name of the kernelspec (default java-qlora)
  --java DIR          the JDK 25 to run it with
  --class-path FILE   file with the class path, entries separated by colons
  --profile binder    small heap, for machines with 2 GB
  --dry-run           only say what would be written
EOF
}

die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
need() { [ "$2" -ge 2 ] || die "$1 needs a value"; }

# shellcheck source=src/main/launcher/words.sh
. "$(dirname "${BASH_SOURCE[0]}")/../src/main/launcher/words.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
home=$(dirname "$here")
name="java-qlora"
java=
class_path_file=
profile=standard
dry_run=false
data_dir=
given=("$@")

user_data_dir() {
  if [ -n "${JUPYTER_DATA_DIR:-}" ]; then printf '%s\n' "$JUPYTER_DATA_DIR"
  elif [ "$(uname -s)" = Darwin ]; then printf '%s\n' "$HOME/Library/Jupyter"
  else printf '%s\n' "${XDG_DATA_HOME:-$HOME/.local/share}/jupyter"
  fi
}

environment=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
while [ $# -gt 0 ]; do
  case $1 in
    --user) data_dir=$(user_data_dir) ;;
    --sys-prefix)
      [ -n "$environment" ] || die "--sys-prefix: no virtual or conda environment is active (VIRTUAL_ENV and CONDA_PREFIX are empty)"
      data_dir=$environment/share/jupyter ;;
    --prefix) need "$1" $#; case $2 in /*) data_dir=$2/share/jupyter ;; *) data_dir=$PWD/$2/share/jupyter ;; esac; shift ;;
    --name) need "$1" $#; name=$2; shift ;;
    --java) need "$1" $#; java=$2; shift ;;
    --class-path) need "$1" $#; class_path_file=$2; shift ;;
    --profile)
      need "$1" $#; profile=$2; shift
      case $profile in standard|binder) ;; *) die "--profile is \"$profile\", it must be standard or binder" ;; esac ;;
    --dry-run) dry_run=true ;;
    -h|--help) usage; exit 0 ;;
    *) die "unknown option \"$1\"$(did_you_mean "$1" --user --sys-prefix --prefix --name --java --class-path --profile --dry-run) (./jqlora kernel --help tells what there is)" ;;
  esac
  shift
done

case $name in ''|*[!A-Za-z0-9._-]*) die "--name is \"$name\", it may have letters, digits, dots, dashes and underscores only" ;; esac
if [ -z "$class_path_file" ]; then
  exec "$home/jqlora" kernel install ${given[@]+"${given[@]}"}
fi
[ -x "$java/bin/java" ] || die "--java is \"$java\", which has no bin/java"
[ -s "$class_path_file" ] || die "--class-path is \"$class_path_file\", which is missing or empty"
if [ -z "$data_dir" ]; then
  if [ -n "$environment" ]; then data_dir=$environment/share/jupyter; else data_dir=$(user_data_dir); fi
fi
spec_dir=$data_dir/kernels/$name
marker=$spec_dir/installed-by-jqlora
if [ -d "$spec_dir" ] && [ ! -e "$marker" ]; then
  die "$spec_dir exists and is not ours; choose another --name or remove it"
fi
if $dry_run; then
  printf 'would write %s\n  java        %s\n  class path  %s\n  profile     %s\n' "$spec_dir" "$java/bin/java" "$class_path_file" "$profile"
  exit 0
fi

options=
display_name='Java 25 (QLoRA)'
[ "$name" = java-qlora ] || display_name="$display_name: $name"
[ "$profile" = binder ] && options=-Xmx512m

quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }              # for JSON strings and for quoted words of a java argument file
fill() {                                                          # template: @NAME@ replaced by the values below
  local script='' pair value
  for pair in "JAVA=$java/bin/java" "SPEC_DIR=$spec_dir" "HOME=$home" "DISPLAY_NAME=$display_name" "CLASS_PATH=$class_path" "OPTIONS=$options"; do
    value=$(quoted "${pair#*=}" | sed 's/[\\&|]/\\&/g')
    script="${script}s|@${pair%%=*}@|$value|g;"
  done
  sed "$script" "$here/spec/java-qlora/$1"
}
class_path=$(cat "$class_path_file")
mkdir -p "$data_dir/kernels"
staging=$(mktemp -d "$data_dir/kernels/.$name.XXXXXX")
trap 'rm -rf "$staging"' EXIT
fill kernel.json.in > "$staging/kernel.json"
fill kernel.args.in | sed '/^$/d' > "$staging/kernel.args"
cp "$here"/spec/java-qlora/logo-* "$here"/spec/java-qlora/kernel.sh "$staging/"
printf 'jqlora %s\n' "$home" > "$staging/installed-by-jqlora"
# the same with the classes as a jar, and with the Vector API brought in by the kernel itself (VectorModule says why)
case :$class_path: in
  *":$home/target/classes:"*)
    class_path=:$class_path:
    class_path="${class_path%%":$home/target/classes:"*}:$home/.jqlora/quick/jqlora.jar:${class_path#*":$home/target/classes:"}"
    class_path=${class_path#:}
    class_path=${class_path%:}
    fill kernel.args.in | sed '/^$/d; s|^--add-modules jdk.incubator.vector$|--add-exports java.base/jdk.internal.module=ALL-UNNAMED|' > "$staging/quick.args" ;;
esac
chmod 755 "$staging"
rm -rf "$spec_dir"
mv "$staging" "$spec_dir"
trap - EXIT
printf 'kernel "%s" is in %s\n' "$display_name" "$spec_dir"
"$here/quick.sh" "$java/bin/java" "$spec_dir"
