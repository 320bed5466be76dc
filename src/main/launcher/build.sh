# shellcheck shell=bash
# The classes and the class path, built when a source has changed, and how programs run on them.

readonly CLASS_PATH_FILE=$STATE/classpath.txt

# tensors lie outside of the heap, and the collectors for many cores let it grow by half a gigabyte
readonly JAVA_FLAGS=(-XX:+UseSerialGC "@$LAUNCHER/java.args")

sources() { (cd "$JQLORA_HOME" && find pom.xml src/main/java src/main/resources -type f | LC_ALL=C sort); }

# is_built: nothing has been added, removed or changed since the last build
is_built() {
  [ -s "$CLASS_PATH_FILE" ] && [ -d "$JQLORA_HOME/target/classes" ] \
    && same_as "$STATE/build.stamp" "$JQLORA_HOME $(sources | checksum)" \
    && [ -z "$(cd "$JQLORA_HOME" && find pom.xml src/main/java src/main/resources -type f -newer "$STATE/build.stamp" | head -n 1)" ]
}

need_build() {
  need_jdk
  is_built && return 0
  local began="$STATE/build.began" dependencies="$STATE/dependencies.txt"
  need_maven
  mkdir -p "$STATE"
  printf '%s' "$JQLORA_HOME $(sources | checksum)" > "$began"     # its time counts: a source changed during the build is newer
  [ -e "$CLASS_PATH_FILE" ] || step "first build: Maven fetches about 200 MB that it does not have yet"
  quietly "building" "$STATE/log/build.log" \
    maven -q -DskipTests compile dependency:build-classpath -Dmdep.outputFile="$dependencies" -Dmdep.includeScope=runtime
  printf '%s:%s\n' "$JQLORA_HOME/target/classes" "$(cat "$dependencies")" > "$CLASS_PATH_FILE"
  mv "$began" "$STATE/build.stamp"
}

# own_jars: copies the libraries of the class path into .jqlora/lib, so that it needs nothing outside of the project
own_jars() {
  local entry own='' lib=$STATE/lib
  rm -rf "$lib.new"
  mkdir -p "$lib.new"
  while IFS= read -r entry; do
    case $entry in
      "$JQLORA_HOME"/target/*|"$STATE"/*) ;;
      *)
        [ ! -e "$lib.new/$(basename "$entry")" ] || die "two libraries of the class path have the name $(basename "$entry")"
        cp "$entry" "$lib.new/"
        entry=$lib/$(basename "$entry") ;;
    esac
    own=${own:+$own:}$entry
  done < <(tr ':' '\n' < "$CLASS_PATH_FILE")
  if [ -n "$(ls "$lib.new")" ]; then                               # else they are there already
    rm -rf "$lib"
    mv "$lib.new" "$lib"
  fi
  rm -rf "$lib.new"
  printf '%s\n' "$own" > "$CLASS_PATH_FILE"
}

# java_program CLASS_OR_SOURCE ARGUMENT...: our Java with the built classes
java_program() { "$JDK/bin/java" "${JAVA_FLAGS[@]}" -cp "$(cat "$CLASS_PATH_FILE")" "$@"; }
