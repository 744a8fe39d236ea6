#!/usr/bin/env bash
# Runs a command with a Docker engine: the one of this machine, if it is running and can pull images,
# or else a private one, which requires root.
#
#   deploy/engine/with.sh docker compose version
#
# A private engine and the command run in separate namespaces: their ports are not reachable from
# this machine, and their processes and mounts end with them, also after a kill. Images are kept in
# the cache folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly tool=containers
readonly group=/genrec-engine # parent of all its cgroups
# shellcheck source=../once.sh
. "$here/../once.sh"

has_engine() {
  { docker info && docker buildx version && docker compose version &&
    timeout 120 docker pull busybox:1.37-musl; } >/dev/null 2>&1
}

start_private() {
  [[ $(id -u) == 0 ]] || fail "no Docker engine is running that can pull images, and a private one requires root: start Docker, or run this as root"
  [[ -e /dev/net/tun ]] || fail "a private Docker engine requires /dev/net/tun: load the module tun, or start Docker"
  engine=$("$here/setup.sh")
  open_cache
  data=$cache/containers libraries=$engine/usr/lib/x86_64-linux-gnu:$engine/lib/x86_64-linux-gnu
  export engine data libraries
  mkdir -p "$data"
  trap stop_private EXIT
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc \
    "${BASH_SOURCE[0]}" --inside "$@" <&0 9>&- &
  inside=$!
  until [[ $(readlink "/proc/$inside/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do
    kill -0 "$inside" 2>/dev/null || fail "cannot create namespaces for a private Docker engine, see above: start Docker instead"
    sleep .05
  done
  LD_LIBRARY_PATH=$libraries setsid setpriv --pdeathsig KILL "$engine/usr/bin/slirp4netns" --configure --mtu=65520 \
    --disable-host-loopback "$inside" tap0 >"$data/network.log" 2>&1 9>&- &
  network=$!
  trap 'kill -KILL "$inside"' TERM # and with it all processes in the namespace
  trap : INT                       # the command receives it from the terminal, too
  status=0
  while kill -0 "$inside" 2>/dev/null; do wait "$inside" && status=0 || status=$?; done
  exit "$status"
}

stop_private() {
  [[ -z ${network:-} ]] || kill "$network" 2>/dev/null || true
  for _ in {1..50}; do # killed processes take a moment to exit
    find /sys/fs/cgroup -depth -type d -path "/sys/fs/cgroup/*$group*" -exec rmdir {} + 2>/dev/null && break
    sleep .1
  done
}

# Starts the engine and the command inside the namespaces.
start_inside() {
  local daemon resolver status=0
  mount -t tmpfs tmpfs /run # sockets and other runtime files
  resolver=$(readlink -m /etc/resolv.conf)
  mkdir -p "${resolver%/*}"
  [[ -e $resolver ]] || : >"$resolver"
  printf 'nameserver 10.0.2.3\n' >/run/resolv.conf # the DNS server of slirp4netns
  mount --bind /run/resolv.conf "$resolver"

  export PATH=$engine/usr/bin:$engine/usr/sbin:$PATH XTABLES_LIBDIR=$engine/usr/lib/x86_64-linux-gnu/xtables
  export DOCKER_CONFIG=$engine/config DOCKER_HOST=unix:///run/docker.sock
  printf '{"builder": {"gc": {"enabled": true, "policy": [{"all": true, "keepStorage": "12GB"}]}}}\n' >/run/docker.json
  # In a separate session, so that Ctrl-C does not stop it before the command.
  LD_LIBRARY_PATH=$libraries setsid dockerd --config-file /run/docker.json --data-root "$data/docker" \
    --exec-root /run/docker --pidfile /run/docker.pid --host "$DOCKER_HOST" --cgroup-parent "$group" \
    --log-level warn >"$data/docker.log" 2>&1 &
  daemon=$!
  until docker info >/dev/null 2>&1; do
    kill -0 "$daemon" 2>/dev/null || { cat "$data/docker.log" >&2; fail "the private Docker engine does not start, see above"; }
    sleep .2
  done
  # Remove leftovers of a killed run.
  docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
  docker volume ls --quiet | xargs --no-run-if-empty docker volume rm >/dev/null
  { docker network prune --force && docker image prune --force; } >/dev/null
  "$here/images/provide.sh" || status=$?
  trap : INT TERM
  if [[ $status == 0 ]]; then "$@" || status=$?; fi
  kill "$daemon"
  wait "$daemon" || true
  exit "$status"
}

if [[ ${1-} == --inside ]]; then
  shift
  start_inside "$@"
elif has_engine; then
  exec "$@"
else
  start_private "$@"
fi
