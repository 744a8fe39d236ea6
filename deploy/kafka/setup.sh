#!/usr/bin/env bash
# Fetches Apache Kafka, for tests against a real broker, into the cache folder once,
# and prints the folder with its jars.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
readonly tool=kafka
# shellcheck source=../once.sh
. "$here/../once.sh"

fetch() {
  need mvn maven
  say "downloading Apache Kafka (43 MB) to $target, once"
  mvn --batch-mode --quiet --file "$here/pom.xml" "$plugin:copy-dependencies" \
    -DincludeScope=runtime -DoutputDirectory="$tmp" >&2 ||
    fail "Maven cannot download the dependencies of $here/pom.xml, see above: check the network connection and run this again"
}

need java openjdk-17-jre-headless
need redis-server redis-server
open_cache
# A change of pom.xml selects another folder.
target=$cache/kafka-$(sha256sum <"$here/pom.xml" | cut -c 1-12)
once "$target" fetch
printf '%s\n' "$target"
