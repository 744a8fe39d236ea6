#!/usr/bin/env bash
# Provides the Docker engine with the base images of deploy/: pulls them or, if no registry is
# reachable, builds the substitutes in the Dockerfile next to this file. Substitutes use the
# certificates of this machine, and its settings for apt, pip and Go.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly tool=images
# shellcheck source=../../once.sh
. "$here/../../once.sh"

# Builds the programs, downloads the jars, and bootstraps Debian for the images.
make_parts() {
  local deb mirror kafka
  say "building Prometheus, Jaeger and the Dockerfile frontend of BuildKit, and downloading Debian, to $target, once (some minutes)"
  mkdir "$tmp"/{programs,debs}
  build_module github.com/moby/buildkit@v0.34.2 ./frontend/dockerfile/cmd/dockerfile-frontend "$tmp/programs/dockerfile-frontend"
  build_module github.com/prometheus/prometheus@v0.305.0 ./cmd/prometheus "$tmp/programs/prometheus"
  build_module github.com/jaegertracing/jaeger@v1.76.0 ./cmd/jaeger "$tmp/programs/jaeger"

  kafka=$("$here/../../kafka/setup.sh")
  cp --recursive "$kafka" "$tmp/kafka"
  mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="org.apache.kafka:kafka-tools:$(basename "$kafka"/kafka-clients-*.jar .jar | cut -d - -f 3)" -DoutputDirectory="$tmp/kafka" >&2 ||
    fail "Maven cannot download kafka-tools, see above: check the network connection and run this again"

  chmod 777 "$tmp/debs" # apt downloads as the user _apt
  (cd "$tmp/debs" && apt-get -qq download debootstrap >&2) ||
    fail "apt cannot download debootstrap, see above: run apt-get update, and this again"
  for deb in "$tmp"/debs/*.deb; do dpkg-deb --extract "$deb" "$tmp/debs"; done
  # shellcheck disable=SC2016 # a variable of apt
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' | head -n 1)
  DEBOOTSTRAP_DIR=$tmp/debs/usr/share/debootstrap "$tmp/debs/usr/sbin/debootstrap" --variant=minbase --include=ca-certificates \
    bookworm "$tmp/debian" ${mirror:+"$mirror"} >&2 || fail "debootstrap failed, see above"
  tar -C "$tmp/debian" --exclude './dev/*' --exclude './var/lib/apt/lists/*' --exclude './var/cache/apt/*' -cf "$tmp/debian.tar" .
  rm -rf "$tmp"/{debian,debs}
}

# Sets context to the build context of the Dockerfile.
make_context() {
  local want have
  context=$(mktemp -d "$cache/.$tool-context.XXXXXX")
  trap 'rm -rf "$context"' EXIT
  cp --recursive --link "$target"/* "$context"
  cp "$here"/* "$context"
  want=$(sed -n 's/^# name=golang:\(1\.[0-9]*\).*/\1/p' "$here/Dockerfile")
  have=$(go env GOVERSION)
  [[ $have == "go$want" || $have == "go$want."* ]] ||
    fail "the Go image needs Go $want, this machine has $have: install that version, or start a Docker engine that can pull images"
  mkdir -p "$context"/machine/{etc/apt/apt.conf.d,etc/ssl/certs,root/.config/go}
  cp --recursive "$(go env GOROOT)" "$context/go"
  apt-config dump | grep '^Acquire::.*[Pp]roxy' >"$context/machine/etc/apt/apt.conf.d/proxy" || true
  cp /etc/ssl/certs/ca-certificates.crt "$context/machine/etc/ssl/certs"
  [[ ! -e /etc/pip.conf ]] || cp /etc/pip.conf "$context/machine/etc"
  (cd / && go env GOPROXY GOSUMDB | sed '1s/^/GOPROXY=/;2s/^/GOSUMDB=/') >"$context/machine/root/.config/go/env"
}

# Prints the name of each image and the stage that builds its substitute.
list() { sed -n '/^# name=/{s/^# name=//;N;s/\nFROM .* AS / /p}' "$here/Dockerfile"; }

build_substitutes() {
  local name stage
  open_cache
  # A change of these files selects another folder.
  target=$cache/images-$(cat "${BASH_SOURCE[0]}" "$here/../../kafka/pom.xml" | sha256sum | cut -c 1-12)
  once "$target" make_parts
  recipe=$({ cat "$here"/* /etc/ssl/certs/ca-certificates.crt && go version && printf '%s' "$target"; } | sha256sum | cut -c 1-12)
  while read -r name stage; do
    [[ $(docker image inspect --format '{{index .Config.Labels "genrec.stand-in"}}' "$name" 2>/dev/null) != "$recipe" ]] || continue
    [[ -d ${context:-} ]] || make_context
    say "building a substitute for the image $name"
    docker build --progress plain --target "$stage" --label "genrec.stand-in=$recipe" --tag "$name" "$context" </dev/null >"$context/log" 2>&1 ||
      { cat "$context/log" >&2; fail "cannot build a substitute for the image $name, see above"; }
  done < <(list)
}

if timeout 300 docker pull --quiet busybox:1.37-musl >/dev/null 2>&1; then
  list | while read -r name _; do docker pull --quiet "$name" >/dev/null </dev/null; done
else
  say "no image registry is reachable: building substitutes from packages"
  build_substitutes
fi
