#!/usr/bin/env bash
# Fetches Apache Kafka, for tests against a real broker, into the cache folder once,
# and prints the folder with its jars.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

say() { printf 'kafka: %s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

need() {
  command -v "$1" >/dev/null || fail "$1 is missing: install it, for instance with: apt install $2"
}

need java openjdk-17-jre-headless
need redis-server redis-server

cache=${GENREC_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or GENREC_CACHE}/.cache}/genrec}
# A change of what pom.xml names is another folder.
target=$cache/kafka-$(sha256sum <"$here/pom.xml" | cut -c 1-12)
mkdir -p "$cache"
exec 9>"$cache/.kafka.lock"
flock 9

if [[ ! -d $target ]]; then
  need mvn maven
  tmp=$(mktemp -d "$cache/.kafka.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  chmod 755 "$tmp"
  say "downloading Apache Kafka (43 MB) to $target, once"
  mvn --batch-mode --quiet --file "$here/pom.xml" "$plugin:copy-dependencies" \
    -DincludeScope=runtime -DoutputDirectory="$tmp" >&2 ||
    fail "Maven cannot download what $here/pom.xml names, see above: check the network connection and run this again"
  mv -T "$tmp" "$target"
fi
printf '%s\n' "$target"
