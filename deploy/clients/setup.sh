#!/usr/bin/env bash
# Installs the Python clients for tests to the cache folder, once, and prints the folder, for
# PYTHONPATH.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly tool=clients
# shellcheck source=../once.sh
. "$here/../once.sh"

install() {
  say "installing schemathesis and confluent-kafka (90 MB) to $target, once"
  # A plain folder can be renamed when it is complete, unlike a virtual environment.
  python3 -m pip install --requirement "$here/requirements.txt" --target "$tmp" --no-deps --only-binary=:all: \
    --no-cache-dir --no-input --disable-pip-version-check --root-user-action=ignore --quiet >&2 ||
    fail "pip cannot install the packages of $here/requirements.txt, see above: check the network connection and run this again"
}

need python3 "python3 python3-pip"
open_cache
# Another Python version, or a change of the requirements, selects another folder.
target=$cache/clients-$({ cat "$here/requirements.txt" && python3 --version; } | sha256sum | cut -c 1-12)
once "$target" install
printf '%s\n' "$target"
