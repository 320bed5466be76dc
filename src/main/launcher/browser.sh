# shellcheck shell=bash
# The part of ./jqlora test that looks at JupyterLab through a browser.

readonly BROWSER_TESTS=$JQLORA_HOME/src/test/browser

# find_chromium: sets CHROMIUM, or fails
find_chromium() {
  local candidate
  for candidate in "${JQLORA_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
      "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium; do
    CHROMIUM=$(command -v "$candidate" 2>/dev/null || true)
    [ -z "$CHROMIUM" ] || return 0
  done
  return 1
}

has_node() {
  command -v node >/dev/null && command -v npm >/dev/null \
    && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 18 ? 1 : 0)' 2>/dev/null
}

# browser_missing: prints what the browser tests lack and how this system gets it, nothing where nothing is missing
browser_missing() {
  if ! has_node; then
    say "no Node.js 18 or newer with npm was found: $(for_system "sudo apt-get install nodejs npm" "sudo dnf install nodejs" \
      "brew install node" "https://nodejs.org")"
  elif ! find_chromium; then
    say "no Chromium was found (JQLORA_CHROMIUM names one in an unusual place): $(for_system "sudo apt-get install chromium" \
      "sudo dnf install chromium" "brew install --cask chromium" "https://www.chromium.org")"
  fi
}

# test_browser: runs them, or says why not; where JQLORA_BROWSER is "required", what is missing is a failure
test_browser() {
  local missing out=$STATE/runs/test-browser
  missing=$(browser_missing)
  if [ -n "$missing" ]; then
    [ "${JQLORA_BROWSER:-}" != required ] || die "the tests of JupyterLab in a browser cannot run: $missing"
    step "SKIPPED: the tests of JupyterLab in a browser; $missing"
    return 0
  fi
  find_chromium
  need_playwright
  step "tests of JupyterLab in $CHROMIUM; pictures go to ${out#"$JQLORA_HOME/"}"
  rm -rf "$out"
  mkdir -p "$out"
  # node looks for node_modules beside the tests, whose own folder stays free of it
  (cd "$STATE/browser" && cp "$BROWSER_TESTS"/*.mjs . && JQLORA_CHROMIUM=$CHROMIUM JQLORA_PICTURES=$out node --test lab.test.mjs) \
    || die "the tests in the browser failed; ${out#"$JQLORA_HOME/"} has pictures and the server's log"
}

# need_playwright: playwright-core at the version of the lock file, in .jqlora/browser
need_playwright() {
  local folder=$STATE/browser stamp
  stamp=$(checksum < "$BROWSER_TESTS/package-lock.json")
  if same_as "$folder/jqlora.stamp" "$stamp"; then return 0; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$BROWSER_TESTS"/package*.json "$folder/"
  quietly "installing playwright-core" "$STATE/log/npm.log" npm ci --prefix "$folder" --no-audit --no-fund --ignore-scripts
  printf '%s' "$stamp" > "$folder/jqlora.stamp"
}
