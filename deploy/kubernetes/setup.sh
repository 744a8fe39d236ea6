#!/usr/bin/env bash
# Builds a Kubernetes control plane for tests of the chart, the tools of go.mod, into the cache folder,
# once, and prints the folder: the programs, and stages.yaml, the rules by which kwok simulates nodes
# and pods.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly tool=kubernetes
# shellcheck source=../once.sh
. "$here/../once.sh"

build() {
  local version kwok
  local -a programs
  export GOFLAGS=
  version=$(go list -C "$here" -m -f '{{.Version}}' k8s.io/kubernetes)
  say "building Kubernetes $version to $target, once (about ten minutes on two cores)"
  # Set the version that helm and the chart check.
  local x="-X k8s.io/component-base/version" minor=${version#v1.}
  mapfile -t programs < <(go list -C "$here" tool | grep -v '/kubectl$') # deploy/check has kubectl
  # Without optimization, compiling takes about a third less time, and the test little more.
  go build -C "$here" -o "$tmp/" -gcflags 'all=-N -l' -ldflags \
    "-s -w $x.gitVersion=$version $x.gitMajor=1 $x.gitMinor=${minor%%.*}" "${programs[@]}" >&2 ||
    fail "go cannot build the tools of $here/go.mod, see above: check the network connection and run this again"
  mv "$tmp/server" "$tmp/etcd" # go names a program after its folder
  kwok=$(go list -C "$here" -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
  tail -qn +1 "$kwok"/node/{fast,heartbeat-with-lease}/node-*.yaml "$kwok"/pod/fast/pod-*.yaml |
    sed 's/^apiVersion:/---\n&/' >"$tmp/stages.yaml"
}

open_cache
# A change of these files selects another folder.
target=$cache/kubernetes-$(cat "${BASH_SOURCE[0]}" "$here"/go.{mod,sum} | sha256sum | cut -c 1-12)
readonly target
once "$target" build
printf '%s\n' "$target"
