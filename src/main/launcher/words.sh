# shellcheck shell=bash
# Names that were meant: the nearest one for a misspelt word.

# near_name WORD NAME...: prints the name that WORD was probably meant to be, or nothing. Near is: begins with WORD, or differs
# from it by one letter added, left out, changed or swapped with its neighbour (by two, where WORD has four letters or more).
near_name() {
  LC_ALL=C awk '
    function smaller(a, b) { return a < b ? a : b }
    function distance(a, b,   d, i, j, cost) {                        # optimal string alignment
      for (i = 0; i <= length(a); i++) d[i, 0] = i
      for (j = 0; j <= length(b); j++) d[0, j] = j
      for (i = 1; i <= length(a); i++) for (j = 1; j <= length(b); j++) {
        cost = substr(a, i, 1) != substr(b, j, 1)
        d[i, j] = smaller(smaller(d[i - 1, j] + 1, d[i, j - 1] + 1), d[i - 1, j - 1] + cost)
        if (i > 1 && j > 1 && substr(a, i, 1) == substr(b, j - 1, 1) && substr(a, i - 1, 1) == substr(b, j, 1))
          d[i, j] = smaller(d[i, j], d[i - 2, j - 2] + 1)
      }
      return d[length(a), length(b)]
    }
    BEGIN {
      word = tolower(ARGV[1]); letters = word; gsub(/[^a-z0-9]/, "", letters)
      best = (length(letters) >= 4 ? 2 : 1) + 1
      for (n = 2; n < ARGC; n++) {
        away = length(letters) >= 2 && index(ARGV[n], word) == 1 ? 0.5 : distance(word, ARGV[n])
        if (away < best) { best = away; near = ARGV[n] }
      }
      if (near != "") print near
    }' "$@" </dev/null
}

# did_you_mean WORD NAME...: "; did you mean NAME?" for the end of a message, or nothing
did_you_mean() {
  local near
  near=$(near_name "$@")
  [ -z "$near" ] || printf '; did you mean %s?' "$near"
}

# unknown_option COMMAND OPTION: ends; the options of a command are those that its usage names
unknown_option() {
  local options
  options=$("$1_usage" | grep -oE -- '--[a-z][a-z-]+' | sort -u || true)
  # shellcheck disable=SC2086  # one word each
  die "$1: unknown option \"$2\"$(did_you_mean "$2" $options)$(see_help "$1")"
}

# see_help COMMAND: where all words of a command are told
see_help() { printf ' (./jqlora %s--help tells what there is)' "${1:+$1 }"; }
