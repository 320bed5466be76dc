# shellcheck shell=bash
# JDK 25 and Maven: found, or said how to get.

readonly JAVA_RELEASE=25

# is_jdk DIR: whether DIR holds a JDK of our release, with javac and JShell
is_jdk() {
  [ -x "$1/bin/javac" ] && [ -f "$1/release" ] \
    && grep -q "^JAVA_VERSION=\"${JAVA_RELEASE}[.\"+-]" "$1/release" \
    && { ! grep -q '^MODULES=' "$1/release" || grep -q 'jdk\.jshell' "$1/release"; }
}

# jdk_candidates: folders where a JDK may be, the best first
jdk_candidates() {
  local on_path
  printf '%s\n' "$STATE"/jdk "$STATE"/jdk/Contents/Home ${JAVA_HOME:+"$JAVA_HOME"}
  on_path=$(command -v java || true)
  if [ -n "$on_path" ] && [ -L "$on_path" ] && readlink -f / >/dev/null 2>&1; then
    dirname "$(dirname "$(readlink -f "$on_path")")"
  fi
  printf '%s\n' /usr/lib/jvm/* /usr/java/* /opt/java/* /opt/jdk* /usr/local/jdk* \
    /Library/Java/JavaVirtualMachines/*/Contents/Home "$HOME"/Library/Java/JavaVirtualMachines/*/Contents/Home \
    /opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home /usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home \
    "$HOME"/.sdkman/candidates/java/* "$HOME"/.asdf/installs/java/* "$HOME"/.local/share/mise/installs/java/* \
    "$HOME"/.jenv/versions/* "$HOME"/.jdks/*
}

# find_jdk: sets JDK, or fails
find_jdk() {
  local candidate
  if [ -n "${JQLORA_JAVA_HOME:-}" ]; then
    is_jdk "$JQLORA_JAVA_HOME" || die "JQLORA_JAVA_HOME is \"$JQLORA_JAVA_HOME\", it must be the folder of a JDK $JAVA_RELEASE (with bin/javac and a release file)"
    JDK=$JQLORA_JAVA_HOME
    return 0
  fi
  while IFS= read -r candidate; do
    if is_jdk "$candidate"; then
      JDK=$candidate
      return 0
    fi
  done < <(jdk_candidates)
  return 1
}

# jdk_advice: how this system gets a JDK of our release
jdk_advice() {
  if command -v apt-cache >/dev/null && ! apt-cache show "openjdk-$JAVA_RELEASE-jdk" >/dev/null 2>&1; then
    say "package temurin-$JAVA_RELEASE-jdk of https://adoptium.net/installation/linux"
  else
    for_system "sudo apt-get install openjdk-$JAVA_RELEASE-jdk" "sudo dnf install java-$JAVA_RELEASE-openjdk-devel" \
      "brew install openjdk@$JAVA_RELEASE" "https://adoptium.net/temurin/releases/?version=$JAVA_RELEASE"
  fi
}

need_jdk() {
  find_jdk && return 0
  if ! ask "No JDK $JAVA_RELEASE was found. Fetch Temurin $JAVA_RELEASE for this project only, into .jqlora/jdk (about 140 MB from adoptium.net)?"; then
    die "no JDK $JAVA_RELEASE was found (JQLORA_JAVA_HOME names one in an unusual place); to get one: $(jdk_advice), or ./jqlora --yes setup, which fetches one into .jqlora/jdk"
  fi
  need_python
  quietly "fetching Temurin $JAVA_RELEASE" "$STATE/log/jdk.log" "$PYTHON" "$LAUNCHER/fetch_jdk.py" "$JAVA_RELEASE" "$STATE/jdk"
  find_jdk || die "the fetched JDK in $STATE/jdk does not look like a JDK $JAVA_RELEASE"
}

maven_advice() { for_system "sudo apt-get install maven" "sudo dnf install maven" "brew install maven" "https://maven.apache.org/download.cgi"; }

# find_maven: sets MAVEN to the system's, or else to the project's wrapper, which fetches one at its first use; or fails
find_maven() {
  MAVEN=$(command -v mvn || true)
  [ -n "$MAVEN" ] || MAVEN=$JQLORA_HOME/mvnw
  [ -x "$MAVEN" ]
}

need_maven() {
  find_maven || die "Maven (mvn), which builds this project, was not found; to get it: $(maven_advice)"
}

# maven ARGUMENT...: Maven on whatever Java it likes, with our JDK offered to its toolchains
maven() {
  if [ -z "${JAVA_HOME:-}" ] && ! command -v java >/dev/null; then
    export JAVA_HOME=$JDK
  fi
  (cd "$JQLORA_HOME" && JAVA25_HOME=$JDK DJL_CACHE_DIR="${DJL_CACHE_DIR:-$STATE/djl}" "$MAVEN" -B -ntp "$@")
}
