# What the setup.sh beside it share, which source it: finding or making things in the cache
# folder, once. They set tool, the name that their messages begin with.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${tool:?}" "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# need PROGRAM PACKAGE
need() {
  command -v "$1" >/dev/null || fail "$1 is missing: install it, for instance with: apt install $2"
}

# Sets cache, and waits for another run of the same tool.
open_cache() {
  cache=${GENREC_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or GENREC_CACHE}/.cache}/genrec}
  { mkdir -p "$cache" && [[ -w $cache ]]; } 2>/dev/null ||
    fail "cannot write to the cache folder $cache: set GENREC_CACHE to a folder that you may write to"
  exec 9>"$cache/.$tool.lock"
  flock 9
}

# once FOLDER COMMAND... makes the folder, unless it is there, by a command that fills
# the folder tmp.
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

# build_module MODULE@VERSION PACKAGE FILE [VARIABLE] builds a program as its own module pins what it is
# made of, also where go install refuses to, for what it replaces. The variable is told the version.
build_module() (
  local folder flags='-s -w'
  folder=$(GOFLAGS='' go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  if [[ -n ${4:-} ]]; then flags+=" -X $4=${1#*@}"; fi
  { [[ -n $folder ]] && cd "$folder" && CGO_ENABLED=0 GOFLAGS='' go build -trimpath -ldflags="$flags" -o "$3" "$2"; } >&2 ||
    fail "go cannot build $2 of $1, see above: check the network connection and run this again"
)
