# shellcheck shell=bash
# Messages, questions and small helpers of the launcher.

# shellcheck disable=SC2034  # the other parts use it
readonly STATE=$JQLORA_HOME/.jqlora
SECONDS=0

say() { printf '%s\n' "$*"; }
die() { printf 'jqlora: %s\n' "$*" >&2; exit 1; }

# step TEXT: what is happening now, with the seconds since the start
step() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }

# steps: each line of the input as a step
steps() {
  local line
  while IFS= read -r line; do step "$line"; done
}

needs_value() { [ "$2" -ge 2 ] || die "$1 needs a value"; }

# utf8_names: names of files outside of ASCII are bytes that Java, Python and Maven read by the locale's rules; in a locale without
# UTF-8 (C, as in many containers, or one that this system does not have) they could not open this folder where its name has such
utf8_names() {
  local charset
  [ "$(uname -s)" != Darwin ] || return 0                          # always UTF-8
  charset=$(locale charmap 2>&1) || return 0                       # with its complaints: Java does not take such a locale either
  [ "$charset" = UTF-8 ] || export LC_ALL=C.UTF-8
}

# ask QUESTION: true for yes; without a terminal only --yes is a yes
ask() {
  [ -z "$JQLORA_YES" ] || return 0
  if [ ! -t 0 ]; then return 1; fi
  local answer
  printf '%s [y/N] ' "$1"
  read -r answer
  case $answer in y|Y|yes) return 0 ;; *) return 1 ;; esac
}

# quietly TEXT LOG COMMAND...: runs a long command with its output in LOG; on a terminal a line counts the seconds
quietly() {
  local text=$1 log=$2 status=0 started=$SECONDS pid
  shift 2
  mkdir -p "$(dirname "$log")"
  if [ -t 1 ]; then
    "$@" > "$log" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null || true' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
      printf '\r[%3d s] %s ... %d s' "$SECONDS" "$text" $((SECONDS - started))
      sleep 1
    done
    wait "$pid" || status=$?
    trap - INT TERM
    printf '\r\033[K'
  else
    step "$text"
    "$@" > "$log" 2>&1 || status=$?
  fi
  [ "$status" -eq 0 ] || die "$text failed: $(why_failed "$log" "$status")"
  step "$text: $((SECONDS - started)) s"
}

# same_as FILE TEXT: whether FILE holds TEXT
same_as() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

checksum() { cksum | cut -d ' ' -f 1,2; }

# for_system LINUX_DEBIAN LINUX_FEDORA MAC OTHER: the advice for this system
for_system() {
  if [ "$(uname -s)" = Darwin ]; then say "$3"
  elif command -v apt-get >/dev/null; then say "$1"
  elif command -v dnf >/dev/null; then say "$2"
  else say "$4"
  fi
}
