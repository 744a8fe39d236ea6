#!/usr/bin/env bash
# Unpacks a Docker engine into the cache folder, once, and prints the folder: Debian's packages of the
# daemon and the client, and current versions of buildx and compose. Nothing is installed on the system.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly packages=(
  docker.io containerd runc tini libdevmapper1.02.1
  iptables libip4tc2 libip6tc2 libxtables12 libnftnl11 libmnl0 libnfnetlink0 libnetfilter-conntrack3
  slirp4netns libslirp0 libglib2.0-0 libseccomp2
)
readonly tool=engine
# shellcheck source=../once.sh
. "$here/../once.sh"

unpack() {
  local deb
  mkdir "$tmp/debs"
  chmod 777 "$tmp/debs" # apt downloads as the user _apt
  (cd "$tmp/debs" && { apt-get -qq download "${packages[@]}" 2>/dev/null || { apt-get -qq update && apt-get -qq download "${packages[@]}"; }; }) >&2 ||
    fail "apt cannot download ${packages[*]}, see above: check the network connection and run this again"
  for deb in "$tmp"/debs/*.deb; do dpkg-deb --extract "$deb" "$tmp"; done
  rm -rf "${tmp:?}"/{debs,etc,var,usr/share}
  ln -s xtables-nft-multi "$tmp/usr/sbin/iptables"
  ln -s xtables-nft-multi "$tmp/usr/sbin/ip6tables"
}

make_engine() {
  say "fetching Docker and building buildx and compose to $target, once (some minutes)"
  unpack
  mkdir -p "$tmp/config/cli-plugins"
  printf '{"aliases": {"builder": "buildx"}}\n' >"$tmp/config/config.json" # docker build runs buildx
  build_module github.com/docker/buildx@v0.38.2 ./cmd/buildx "$tmp/config/cli-plugins/docker-buildx" github.com/docker/buildx/version.Version
  build_module github.com/docker/compose/v5@v5.6.0 ./cmd "$tmp/config/cli-plugins/docker-compose" github.com/docker/compose/v5/internal.Version
}

need apt-get "apt, on Debian"
open_cache
# A change of this file selects another folder.
target=$cache/engine-$(sha256sum <"${BASH_SOURCE[0]}" | cut -c 1-12)
once "$target" make_engine
printf '%s\n' "$target"
