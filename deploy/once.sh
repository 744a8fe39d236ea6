# Functions shared by the setup.sh scripts, which source this file: they install something into the
# cache folder, once. The scripts set tool, the prefix of their messages.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${tool:?}" "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# need PROGRAM PACKAGE fails unless the program is in PATH.
need() {
  command -v "$1" >/dev/null || fail "$1 is missing: install it, for instance with: apt install $2"
}

# Sets cache to the cache folder and locks it against other runs of the same tool.
open_cache() {
  cache=${GENREC_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or GENREC_CACHE}/.cache}/genrec}
  [[ $cache == /* ]] || cache=$PWD/$cache
  { mkdir -p "$cache" && [[ -w $cache ]]; } 2>/dev/null ||
    fail "cannot write to the cache folder $cache: set GENREC_CACHE to a folder that you may write to"
  exec 9>"$cache/.$tool.lock"
  if ! flock --nonblock 9; then
    say "waiting for another installation to $cache"
    flock 9
  fi
}

# once FOLDER COMMAND... creates the folder, unless it exists: the command fills the folder tmp, which
# is then renamed.
once() {
  local folder=$1
  shift
  [[ ! -d $folder ]] || return 0
  tmp=$(mktemp -d "$cache/.$tool.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  chmod 755 "$tmp"
  "$@"
  mv -T "$tmp" "$folder"
  trap - EXIT
}

# build_module MODULE@VERSION PACKAGE FILE [VARIABLE] builds a program with the dependencies pinned by
# its own module; unlike go install, it permits replace directives. The variable is set to the version.
build_module() (
  local folder flags='-s -w'
  folder=$(GOFLAGS='' go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  if [[ -n ${4:-} ]]; then flags+=" -X $4=${1#*@}"; fi
  { [[ -n $folder ]] && cd "$folder" && CGO_ENABLED=0 GOFLAGS='' go build -trimpath -ldflags="$flags" -o "$3" "$2"; } >&2 ||
    fail "go cannot build $2 of $1, see above: check the network connection and run this again"
)
