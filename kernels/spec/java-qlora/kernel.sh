#!/bin/sh
# Starts the kernel: kernel.sh JAVA ARGUMENTS CONNECTION_FILE. What Jupyter shows as "kernel died" has its reason here, on its terminal.

fail() { printf 'jqlora kernel: %s; "./jqlora kernel install" in the project'\''s folder writes the kernelspec anew\n' "$1" >&2; exit 1; }

[ -d "$QLORA_HOME" ] || fail "$QLORA_HOME, from which it was installed, is gone"
[ -x "$1" ] || fail "$1 is gone"
# In a locale without UTF-8 (C, as in many containers) or that this system does not have ("locale" complains), Java could not open files
# with names outside of ASCII, this folder's own among them.
if [ "$(uname -s)" != Darwin ] && charset=$(locale charmap 2>&1) && [ "$charset" != UTF-8 ]; then
  LC_ALL=C.UTF-8
  export LC_ALL
fi

# The quick start, where its jar holds what was built last; its cache only where the user's own options have nothing to do with caches.
quick=$QLORA_HOME/.jqlora/quick
arguments=${2%kernel.args}quick.args
if [ -f "$arguments" ] && [ -f "$quick/jqlora.jar" ] && [ -z "$(find "$QLORA_HOME/target/classes" -newer "$quick/jqlora.jar" 2>/dev/null | head -n 1)" ]; then
  case ${JDK_JAVA_OPTIONS-}${JAVA_TOOL_OPTIONS-} in
    *AOT*|*-Xshare*|*SharedArchive*) ;;
    *) [ ! -r "$quick/start.aot" ] || exec "$1" "-XX:AOTCache=$quick/start.aot" '-Xlog:aot*=off' '-Xlog:cds*=off' "@$arguments" "$3" ;;
  esac
  exec "$1" "@$arguments" "$3"
fi
exec "$1" "@$2" "$3"
