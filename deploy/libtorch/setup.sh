#!/usr/bin/env bash
# Installs libtorch in the cache folder, compiles gotch against it, and prints the path of build.env,
# which exports the cgo flags:
#
#   . "$(deploy/libtorch/setup.sh)" && go test ./...
#
# A complete installation is left unchanged. LIBTORCH, a folder with lib/ and include/, or a Python
# torch of the same version is used instead of a download. GENREC_CUDA=1 downloads the CUDA libraries
# also on a machine without a GPU, to use them elsewhere.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly version=2.11.0
readonly cpu_gib=3 cuda_gib=5 # peak disk usage: wheels and unpacked files
# Libraries that gotch links to and that the CPU build lacks.
readonly stubs=(cuda cudart cublas cudnn caffe2_nvrtc nvrtc-builtins nvrtc nvToolsExt c10_cuda torch_cuda)
# Wheels are tagged with the oldest supported glibc; pip needs every acceptable tag.
readonly platforms=(--platform=manylinux{_2_28,_2_27,_2_25,_2_18,2014}_x86_64)

main() {
  check_machine
  locate
  lock
  if is_libtorch "$target/torch"; then
    [[ -z ${LIBTORCH:-} || $target/torch -ef $LIBTORCH ]] ||
      fail "$target was set up without LIBTORCH=$LIBTORCH: remove that folder to set it up again, or unset LIBTORCH"
  else
    install_libtorch
  fi
  if lacks_cuda; then install_cuda; fi
  write_stubs
  write_compat
  write_flags
  compile_gotch
  printf '%s\n' "$target/build.env"
}

say() { printf 'libtorch: %s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

check_machine() {
  local platform compiler problem
  platform=$(uname -sm)
  [[ $platform == "Linux x86_64" ]] ||
    fail "libtorch is not available for $platform: use Linux on x86_64"
  command -v go >/dev/null || fail "Go is missing: install it from https://go.dev/dl"
  problem=$(cd "$here" && go list -m 2>&1) ||
    fail "Go cannot read go.mod (${problem##*$'\n'}): install the version that go.mod names from https://go.dev/dl"
  compiler=$(go env CXX)
  command -v "${compiler%% *}" >/dev/null ||
    fail "the C++ compiler $compiler is missing: install it, for instance with: apt install g++"
  command -v ar >/dev/null || fail "ar is missing: install it, for instance with: apt install binutils"
}

# Sets cache, target and tmp. The script writes nowhere else.
locate() {
  cache=${GENREC_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or GENREC_CACHE}/.cache}/genrec}
  [[ $cache == /* ]] || cache=$PWD/$cache
  # cgo splits flags at blanks, the linker splits -rpath at commas and colons.
  [[ $cache != *[[:space:],:\"\'\\\$]* ]] ||
    fail "the cache folder '$cache' has a blank, a quote or one of , : \\ \$ in its path: set GENREC_CACHE to another folder"
  { mkdir -p "$cache" && [[ -w $cache ]]; } 2>/dev/null || fail "cannot write to the cache folder $cache: set GENREC_CACHE to a folder that you may write to"
  target=$cache/libtorch-$version
  tmp=$cache/.libtorch-$version.tmp
}

# Serializes runs. Once the lock is held, the contents of tmp are left by a killed run.
lock() {
  exec 9>"$cache/.libtorch.lock"
  if ! flock --nonblock 9; then
    say "waiting for another run that installs $target"
    flock 9
  fi
  trap 'rm -rf "$tmp"' EXIT
  rm -rf "$tmp"
  mkdir "$tmp"
}

# Checks whether a folder has the libraries and headers of this version.
is_libtorch() {
  [[ -e $1/lib/libtorch_cpu.so ]] &&
    grep -Eqs "(^|\")${version//./\\.}(\"|\\+|\$)" "$1/build-version" \
      "$1"/include/torch/{headeronly/,csrc/api/include/torch/,}version.h
}

install_libtorch() {
  mkdir -p "$tmp/new"
  local existing
  existing=$(find_existing)
  if [[ -n $existing ]]; then
    say "using $existing"
    ln -s "$existing" "$tmp/new/torch"
    if [[ -d $existing/../nvidia ]]; then ln -s "${existing%/*}/nvidia" "$tmp/new/nvidia"; fi
  else
    fetch "$here/requirements.txt" "$cpu_gib" "libtorch $version (540 MB)"
  fi
  if [[ -e $target ]]; then mv -T "$target" "$tmp/old"; fi
  mv -T "$tmp/new" "$target"
}

# Prints the folder of an existing libtorch on this machine, if any.
find_existing() {
  local folder
  if [[ -n ${LIBTORCH:-} ]]; then
    is_libtorch "$LIBTORCH" ||
      fail "LIBTORCH=$LIBTORCH is not libtorch $version with lib/ and include/: correct it, or unset it to download"
    (cd "$LIBTORCH" && pwd)
    return
  fi
  # Finding the package takes milliseconds; importing it takes seconds.
  folder=$(cd / && python3 -c 'from importlib.util import find_spec as f; print(f("torch").submodule_search_locations[0])' 2>/dev/null) || return 0
  if is_libtorch "$folder"; then printf '%s\n' "$folder"; fi
}

# Succeeds if CUDA libraries are needed, for a GPU or by GENREC_CUDA, and are not installed. An
# existing libtorch has its own.
lacks_cuda() {
  [[ ! -L $target/torch ]] || return 1
  ! cmp -s "$here/requirements-cuda.txt" "$target/requirements-cuda.txt" || return 1
  [[ -n ${GENREC_CUDA:-} || -e /dev/nvidia0 ]] || nvidia-smi >/dev/null 2>&1
}

install_cuda() {
  mkdir -p "$tmp/new"
  fetch "$here/requirements-cuda.txt" "$cuda_gib" "the CUDA libraries (2 GB)"
  cp -rlf "$tmp/new/nvidia" "$target"
  cp "$here/requirements-cuda.txt" "$target" # marks the installation as complete
}

# Downloads the packages of a requirements file and unpacks them to tmp/new.
fetch() {
  local requirements=$1 needed_gib=$2 what=$3 free_kib pip
  command -v python3 >/dev/null || fail "python3 is missing: install it, for instance with: apt install python3 python3-pip"
  find_pip
  free_kib=$(df -k --output=avail "$cache" | tail -n 1)
  ((free_kib >= needed_gib << 20)) ||
    fail "$cache has $((free_kib >> 10)) MB of free disk space and ${needed_gib} GB are needed: free some, or set GENREC_CACHE to a folder on another disk"
  say "downloading $what to $target, once"
  mkdir -p "$tmp/pip" "$tmp/wheels"
  TMPDIR=$tmp/pip "${pip[@]}" download --requirement "$requirements" --require-hashes --dest "$tmp/wheels" \
    --no-deps --only-binary=:all: --python-version 3.12 "${platforms[@]}" \
    --no-cache-dir --no-input --disable-pip-version-check >&2 2>"$tmp/errors" || fail_download "$requirements"
  rm -rf "$tmp/pip"
  with_clock "unpacking" unpack || fail "cannot unpack to $tmp: $(tail -n 1 "$tmp/errors")"
}

# Sets pip to a pip command. It is used for downloads only.
find_pip() {
  local candidate
  for candidate in "python3 -m pip" pip3 pip; do
    read -ra pip <<<"$candidate"
    if "${pip[@]}" --version >/dev/null 2>&1; then return; fi
  done
  fail "pip is missing: install it, for instance with: apt install python3-pip"
}

fail_download() {
  if grep -q "DO NOT MATCH THE HASHES" "$tmp/errors"; then
    fail "checksum mismatch of a download of $1: run this again; if it persists, look for a proxy that modifies downloads"
  fi
  local cause
  cause=$(grep '^ERROR: ' "$tmp/errors" || cat "$tmp/errors")
  fail "pip cannot download the packages of $1 (${cause##*$'\n'}): check the network connection and run this again"
}

unpack() {
  python3 - "$tmp/wheels" "$tmp/new" 2>"$tmp/errors" <<'EOF'
import pathlib, sys, zipfile

wheels, target = sys.argv[1:]
wanted = ("torch/lib/", "torch/include/", "nvidia/")
for wheel in pathlib.Path(wheels).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target, [name for name in archive.namelist() if name.startswith(wanted)])
    wheel.unlink()
EOF
}

# Empty archives satisfy the linker; the CUDA libraries are loaded at run time.
write_stubs() {
  local name
  mkdir -p "$target/stubs"
  for name in "${stubs[@]}"; do
    [[ -e $target/stubs/lib$name.a ]] || ar rc "$target/stubs/lib$name.a"
  done
}

# Go does not track the force-included header, so a change marks gotch for recompilation.
write_compat() {
  if cmp -s "$here/compat.h" "$target/compat.h"; then return; fi
  if [[ -e $target/compat.h ]]; then touch "$target/recompile"; fi
  cp "$here/compat.h" "$target/compat.h"
}

# A change of these flags makes Go recompile gotch.
write_flags() {
  cat >"$tmp/build.env" <<EOF
export CGO_CXXFLAGS="-I$target/torch/include -I$target/torch/include/torch/csrc/api/include -include $target/compat.h -O1 -g0 -w"
export CGO_LDFLAGS="-L$target/stubs -L$target/torch/lib -Wl,-rpath,$target/torch/lib -Wl,--allow-shlib-undefined"
EOF
  mv "$tmp/build.env" "$target"
}

compile_gotch() {
  local all=()
  if [[ -e $target/recompile ]]; then all=(-a); fi
  # shellcheck source=/dev/null
  . "$target/build.env"
  cd "$here"
  with_clock "compiling gotch (once, about 4 minutes)" go build "${all[@]}" github.com/sugarme/gotch/libtch ||
    fail "gotch does not compile, see above"
  rm -f "$target/recompile"
}

# Runs a silent command and prints the elapsed time while it runs.
with_clock() {
  local what=$1 start=$SECONDS wait=2 output status
  shift
  exec {output}< <(
    "$@" >&2 && echo 0 || echo 1
  )
  until read -r -t "$wait" -u "$output" status; do
    (($? > 128)) || return 1 # not a timeout: the command was killed
    say "$what: $((SECONDS - start)) s"
    wait=10
  done
  exec {output}<&-
  return "$status"
}

main
