#!/usr/bin/env bash
# Creates a virtual environment with the packages of a requirements file in the cache folder, once,
# and prints the path of its python:
#
#   python=$(deploy/baselines/setup.sh deploy/baselines/requirements.txt)
#
# If GENREC_PEERS_PYTHON is set to a python that has the packages in these versions, it is used instead.
set -euo pipefail

readonly needed_gib=9 # downloaded wheels and installed files

main() {
  [[ $# == 1 && -r $1 ]] || fail "usage: setup.sh REQUIREMENTS, a file with lines of the form package==version"
  requirements=$1
  if [[ -n ${GENREC_PEERS_PYTHON:-} ]]; then
    check_python "$GENREC_PEERS_PYTHON"
    printf '%s\n' "$GENREC_PEERS_PYTHON"
    return
  fi
  locate
  lock
  if [[ ! -e $target/.complete ]]; then install; fi
  printf '%s\n' "$target/bin/python"
}

say() { printf 'baselines: %s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

check_python() {
  local problem
  problem=$("$1" - "$requirements" 2>&1 <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version

for line in open(sys.argv[1]):
    name, _, wanted = line.split("#")[0].strip().partition("==")
    if not name:
        continue
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "missing"
    # A local part such as +cpu names another build of the same version.
    if found != wanted and found.split("+")[0] != wanted:
        sys.exit(f"{name} is {found}, want {wanted}")
PYTHON
  ) || fail "GENREC_PEERS_PYTHON=$1 cannot be used (${problem##*$'\n'}): correct or unset it to install the packages of $requirements"
}

# Sets cache and target, the folder of the environment.
locate() {
  local version hash
  version=$(python3 --version 2>&1) || fail "python3 is missing: install it, for instance with: apt install python3 python3-venv"
  hash=$({ cat "$requirements" && printf '%s\n' "$version"; } | sha256sum)
  cache=${GENREC_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or GENREC_CACHE}/.cache}/genrec}
  [[ $cache == /* ]] || cache=$PWD/$cache
  { mkdir -p "$cache" && [[ -w $cache ]]; } 2>/dev/null || fail "cannot write to the cache folder $cache: set GENREC_CACHE to a folder that you may write to"
  target=$cache/python-${hash:0:12}
}

# Serializes runs. A folder without .complete is left by a killed run.
lock() {
  exec 9>"$cache/.python.lock"
  if ! flock --nonblock 9; then
    say "waiting for another installation to $cache"
    flock 9
  fi
}

install() {
  local free_kib tmp=$target/tmp
  free_kib=$(df -k --output=avail "$cache" | tail -n 1)
  ((free_kib >= needed_gib << 20)) ||
    fail "$cache has $((free_kib >> 10)) MB of free disk space and ${needed_gib} GB are needed: free some, or set GENREC_CACHE to a folder on another disk"
  say "installing the Python baselines to $target (3 GB, once)"
  rm -rf "$target"
  python3 -m venv "$target" >&2 ||
    fail "python3 cannot create a virtual environment: install the missing packages, for instance with: apt install python3-venv"
  mkdir "$tmp"
  TMPDIR=$tmp "$target/bin/python" -m pip install --requirement "$requirements" \
    --only-binary=:all: --no-cache-dir --no-input --disable-pip-version-check --quiet >&2 ||
    fail "pip cannot install the packages of $requirements, see above: check the network connection and run this again"
  rm -rf "$tmp"
  touch "$target/.complete"
}

main "$@"
