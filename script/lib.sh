# shellcheck shell=bash
# Shared by the scripts beside it; sourced, not run.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "needs root for: $*"; fi
}

# need COMMAND PACKAGE...: install Debian packages unless the command is there already
need() {
  local command="$1"; shift
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] && return 0
  command -v apt-get >/dev/null || die "please install: $* (no apt-get here to do it)"
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$candidate"; return; fi
  done
  die "Python 3.11 or newer is needed"
}

# lock_of EXTRAS: the lock file that holds what these extras need
lock_of() {
  case "$1" in
    "") echo locks/run.txt ;;
    demo,speed) echo locks/demo.txt ;;
    demo,speed,test) echo locks/test.txt ;;
    *) die "there is no lock file for the extras $1: script/lock makes them" ;;
  esac
}

# make_venv DIR EXTRAS: a virtual environment with the project in it, pinned, EXTRAS may be empty; made anew only when something changed
make_venv() {
  local dir="$1" extras="$2" lock python stamp
  # Not the one in an environment that is about to be removed, should it be the active one.
  python="$("$(find_python)" -c 'import os, sys; print(os.path.realpath(sys.executable))')"
  lock="$(lock_of "$extras")"
  stamp="$("$python" -V) $extras $(cat pyproject.toml "$lock" locks/build.txt | cksum) $ROOT"
  if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    need "no-such-command" python3-venv
  fi
  say "making $dir ($extras)"
  rm -rf "$dir"
  "$python" -m venv "$dir"
  # Every file is the one that was locked, or nothing is installed.
  "$dir/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r locks/build.txt -r "$lock"
  "$dir/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  echo "$stamp" > "$dir/.stamp"
}
