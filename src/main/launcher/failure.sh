# shellcheck shell=bash
# Why a long command failed: one sentence out of its log, where the reason is one of the usual ones.

# why_failed LOG STATUS: prints the reason and what would do; where it is none of the usual ones, the end of LOG and its place
why_failed() {
  local log=$1 status=$2 said
  if said=$(grep -E 'No space left on device|\[Errno 28\]|ENOSPC' "$log" | tail -n 1) && [ -n "$said" ]; then
    printf 'the disk is full (%s); df -h %s shows how full' "$(trimmed "$said")" "$JQLORA_HOME"
  elif said=$(grep -E '^fetch_jdk: ' "$log" | tail -n 1) && [ -n "$said" ]; then
    printf '%s' "${said#fetch_jdk: }"
  elif said=$(sed -nE 's/^(wget|curl): Failed to fetch (.*)/\2/p' "$log" | tail -n 1) && [ -n "$said" ]; then
    printf 'Maven itself cannot be fetched from %s; connect to the network, name a mirror of Maven Central in MVNW_REPOURL, or install it: %s' "$said" "$(maven_advice)"
  elif grep -qE 'from versions: none|No matching distribution|NewConnectionError|ConnectTimeoutError|ProxyError|Max retries exceeded' "$log"; then
    said=$(sed -nE 's/.*No matching distribution found for ([^ ]+).*/\1/p' "$log" | head -n 1)
    printf 'pip found no index of packages that has %s; connect to the network, or name an index that can be reached in PIP_INDEX_URL' "${said:-them}"
  elif grep -qE 'Unknown host|UnknownHostException|Could not transfer artifact|Cannot access .* in offline mode|Connect(ion)? (to .* )?(refused|timed out|failed)' "$log"; then
    said=$(grep -oE '[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:(jar|pom|maven-plugin)(:[A-Za-z0-9_.-]+)?:[0-9][A-Za-z0-9_.-]*' "$log" | head -n 1)
    printf 'Maven cannot fetch %s; connect to the network, or name a mirror that can be reached in %s' "${said:-what it needs}" "$HOME/.m2/settings.xml"
  elif said=$(sed -nE 's/^\[ERROR\] ([^ ]+\.java:\[[0-9,]+\].*)/\1/p' "$log" | head -n 1) && [ -n "$said" ]; then
    printf '%s' "$said"
  elif grep -qE '^npm (error|ERR!) (network|code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT))' "$log"; then
    printf 'npm cannot reach its registry; connect to the network, or name one that can be reached in npm_config_registry'
  elif said=$(grep -E 'Permission denied|\[Errno 13\]' "$log" | tail -n 1) && [ -n "$said" ]; then
    printf '%s' "$(trimmed "$said")"
  else
    tail -n 30 "$log" >&2
    printf 'status %s' "$status"
  fi
  printf ' (all of it is in %s)' "$log"
}

# trimmed TEXT: without blanks and labels around it
trimmed() { printf '%s' "$1" | sed -E 's/^[[:space:]]*((\[ERROR\]|ERROR:|error:)[[:space:]]*)*//; s/[[:space:]]+$//'; }
