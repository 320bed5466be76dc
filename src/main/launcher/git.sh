# shellcheck shell=bash
# Notebooks in git: run them as often as you like, git keeps the outputs that ./jqlora notebooks wrote.

# need_quiet_git: tells git, for this checkout, how notebooks are kept (.gitattributes names the filter); nothing outside of git
need_quiet_git() {
  local filter
  command -v git >/dev/null && [ -e "$JQLORA_HOME/.git" ] && find_python || return 0
  filter="'${PYTHON//\'/\'\\\'\'}' src/main/launcher/committed_notebook.py clean %f"
  [ "$(git -C "$JQLORA_HOME" config filter.jqlora-notebook.clean 2>/dev/null || true)" = "$filter" ] && return 0
  if git -C "$JQLORA_HOME" config filter.jqlora-notebook.clean "$filter" 2>/dev/null; then
    step "git: a notebook that is only run again does not count as changed (git config --remove-section filter.jqlora-notebook undoes it)"
  fi
}

# restore_notebooks NOTEBOOK...: puts back the outputs that git keeps
restore_notebooks() {
  command -v git >/dev/null || die "notebooks --restore: git, which keeps the outputs, was not found; to get it: $(
    for_system "sudo apt-get install git" "sudo dnf install git" "brew install git" "https://git-scm.com")"
  need_python
  "$PYTHON" "$LAUNCHER/committed_notebook.py" restore "$@"
}
