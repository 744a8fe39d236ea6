#!/usr/bin/env bash
# Creates a virtual environment with the packages of a requirements file in the cache folder, once,
# and prints the path of its python:
#
#   python=$(deploy/baselines/setup.sh deploy/baselines/requirements.txt)
#
# If GENREC_PEERS_PYTHON is set to a python that has the packages in these versions, it is used instead.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly tool=baselines
# shellcheck source=../once.sh
. "$here/../once.sh"

readonly needed_gib=9 # downloaded wheels and installed files

main() {
  [[ $# == 1 && -r $1 ]] || fail "usage: setup.sh REQUIREMENTS, a file with lines of the form package==version"
  requirements=$1
  if [[ -n ${GENREC_PEERS_PYTHON:-} ]]; then
    check_python "$GENREC_PEERS_PYTHON"
    printf '%s\n' "$GENREC_PEERS_PYTHON"
    return
  fi
  need python3 "python3 python3-venv"
  open_cache
  # Another Python version, or a change of the requirements, selects another folder.
  target=$cache/python-$({ cat "$requirements" && python3 --version 2>&1; } | sha256sum | cut -c 1-12)
  # An environment cannot be renamed. Without .complete, it is left by a killed run.
  if [[ ! -e $target/.complete ]]; then install; fi
  printf '%s\n' "$target/bin/python"
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
