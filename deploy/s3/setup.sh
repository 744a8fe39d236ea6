#!/usr/bin/env bash
# Builds versitygw, an S3 server for tests, in the cache folder, once, and prints its path.
set -euo pipefail

readonly version=v1.8.0
readonly module=github.com/versity/versitygw/cmd/versitygw
readonly tool=s3
# shellcheck source=../once.sh
. "$(dirname "${BASH_SOURCE[0]}")/../once.sh"

build() {
  say "building versitygw $version to $target, once (some minutes)"
  GOBIN=$tmp GOFLAGS= go install "$module@$version" >&2 ||
    fail "go cannot install $module@$version, see above: check the network connection and run this again"
}

open_cache
readonly target=$cache/versitygw-$version
once "$target" build
printf '%s\n' "$target/versitygw"
