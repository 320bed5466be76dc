#!/usr/bin/env bash
# Prepares the quick start of an installed kernelspec, in .jqlora/quick: the built classes as a jar, since a JVM keeps a cache of
# classes from jars only, and that cache, made in a short session with the kernel. kernel.sh uses them while they are of the classes
# that are built, and the JVM drops a cache that is of another JDK or other jars. Without them the kernel only starts later, so
# nothing here is an error: what went wrong is in the log.
#   kernels/quick.sh JAVA SPEC_DIR
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
java=${1:?JAVA SPEC_DIR}
arguments=$2/quick.args
classes=$home/target/classes
quick=$home/.jqlora/quick
[ -f "$arguments" ] && [ -x "$(dirname "$java")/jar" ] || exit 0
while IFS= read -r entry; do
  [ -e "$entry" ] || [ "$entry" = "$quick/jqlora.jar" ] || exit 0 # a kernelspec that cannot start as it is
done < <(sed -n 's/^-cp "\(.*\)"$/\1/p' "$arguments" | sed 's/\\\(.\)/\1/g' | tr ':' '\n')

# what the cache is of, but for the size of the heap, which it does not depend on
unset JDK_JAVA_OPTIONS JAVA_TOOL_OPTIONS
stamp=$(cat "$(dirname "$java")/../release" 2>/dev/null || true; printf '%s\n' "$java"; grep -v '^-Xm' "$arguments")
if [ -f "$quick/jqlora.jar" ] && [ "$(cat "$quick/stamp" 2>/dev/null)" = "$stamp" ] \
    && [ -z "$(find "$classes" -newer "$quick/jqlora.jar" | head -n 1)" ]; then
  exit 0
fi

mkdir -p "$quick" "$home/.jqlora/log"
began=$SECONDS
printf 'preparing a quick start of the kernel\n'
rm -f "$quick/stamp" "$quick/start.aot"
: > "$quick/$$.began"                                             # its time counts: a class that is built meanwhile is newer
{
  "$(dirname "$java")/jar" --create --no-compress --file "$quick/$$.jar" -C "$classes" . \
    && touch -r "$quick/$$.began" "$quick/$$.jar" \
    && mv "$quick/$$.jar" "$quick/jqlora.jar" \
    && "$java" -XX:AOTCacheOutput="$quick/$$.aot" "@$arguments" --rehearse \
    && mv "$quick/$$.aot" "$quick/start.aot" || true
} > "$home/.jqlora/log/quick.log" 2>&1
rm -f "$quick/$$".*
printf '%s\n' "$stamp" > "$quick/stamp"                           # also after a failure, which would be the same again
if [ -f "$quick/start.aot" ]; then
  printf 'the kernel starts quickly (prepared in %d s)\n' $((SECONDS - began))
else
  printf 'the kernel starts without a cache of its classes; the reason is in %s\n' "$home/.jqlora/log/quick.log"
fi
