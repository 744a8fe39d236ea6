#!/usr/bin/env bash
# Builds an S3 server, versitygw, for tests against a real object store, in the cache folder
# once, and prints its path.
set -euo pipefail

readonly version=v1.8.0
readonly module=github.com/versity/versitygw/cmd/versitygw

say() { printf 's3: %s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

cache=${GENREC_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or GENREC_CACHE}/.cache}/genrec}
target=$cache/versitygw-$version
mkdir -p "$cache"
exec 9>"$cache/.s3.lock"
flock 9

if [[ ! -d $target ]]; then
  tmp=$(mktemp -d "$cache/.s3.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  chmod 755 "$tmp"
  say "building versitygw $version to $target, once (some minutes)"
  GOBIN=$tmp GOFLAGS= go install "$module@$version" >&2 ||
    fail "go cannot install $module@$version, see above: check the network connection and run this again"
  mv -T "$tmp" "$target"
fi
printf '%s\n' "$target/versitygw"
