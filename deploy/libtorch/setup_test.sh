#!/usr/bin/env bash
# Tests setup.sh with fakes of all programs that it runs: needs no network and no compiler, takes
# seconds.
# shellcheck disable=SC2016 # the fakes expand their variables
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
work=$(mktemp -d)
readonly work
trap 'rm -rf "$work"' EXIT
python=$(python3 -c 'import sys; print(sys.executable)')
readonly python

# begin NAME creates an isolated environment in which setup.sh succeeds.
begin() {
  name=$1 box=$work/$1 status=0
  output=$box cache=$box/cache installed=$cache/libtorch-2.11.0
  mkdir -p "$box/bin" "$box/home"
  local tool
  for tool in ar bash cat cmp cp dirname flock grep ln mkdir mv rm sleep tail touch; do
    ln -s "$(command -v "$tool")" "$box/bin/$tool"
  done
  program uname 'echo Linux x86_64'
  program df 'echo Avail; echo 99999999'
  program g++ 'exit 1'
  program go 'echo "$*" >>"$BOX/go.log"; [[ $1 != env ]] || echo g++'
  # Python without torch; it has pip if there is a program pip.
  program python3 '
    case "$*" in
    "-m pip "*) shift 2; exec pip "$@" ;;
    -c*) exit 1 ;;
    *) exec '"$python"' "$@" ;;
    esac'
  program pip '
    [[ $1 == download ]] || exit 0
    echo "$*" >>"$BOX/pip.log"
    while [[ $1 != --dest ]]; do shift; done
    cp "$BOX"/wheels/*.whl "$2"'
  wheel torch torch/lib/libtorch_cpu.so torch/include/torch/headeronly/version.h torch/bin/protoc torchgen/gen.py
  wheel nvidia nvidia/cu13/lib/libcudart.so.13
}

# program NAME SCRIPT adds a fake program to PATH.
program() {
  rm -f "$box/bin/$1"
  printf '#!%s\n%s\n' "$BASH" "$2" >"$box/bin/$1"
  chmod +x "$box/bin/$1"
}

# wheel NAME FILE... creates a wheel for download whose files contain the version, 2.11.0.
wheel() {
  mkdir -p "$box/wheels"
  "$python" - "$box/wheels/$1.whl" "${@:2}" <<'EOF'
import sys, zipfile

with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name in sys.argv[2:]:
        archive.writestr(name, '"2.11.0"')
EOF
}

# libtorch FOLDER VERSION creates a folder with the layout of an installed libtorch.
libtorch() {
  mkdir -p "$1/lib" "$1/include"
  touch "$1/lib/libtorch_cpu.so"
  echo "$2" >"$1/build-version"
}

setup() {
  status=0
  {
    env -i PATH="$box/bin" HOME="$box/home" BOX="$box" GENREC_CACHE="$cache" "$@" \
      "$BASH" "$here/setup.sh" >"$output/stdout" 2>"$output/stderr" </dev/null || status=$?
  } 2>/dev/null # hides the message of bash about a terminated command
}

expect() {
  "${@:2}" && return
  printf 'setup_test.sh: %s: %s\n' "$name" "$1" >&2
  sed 's/^/  stderr: /' "$output/stderr" >&2
  exit 1
}

# expect_failure TEXT checks that the run failed, printed one error line with the text, and cleaned up.
expect_failure() {
  expect "exit status is $status, want 1" [ "$status" = 1 ]
  expect "want one line of error" [ "$(grep -vc '^libtorch: downloading' "$output/stderr")" = 1 ]
  expect "the error must be the last line and have: $1" grep -q "^libtorch: error: .*$1" <(tail -n 1 "$output/stderr")
  expect "stdout must be empty" [ ! -s "$output/stdout" ]
  expect_clean
}

expect_clean() {
  expect "an incomplete installation is left" [ -z "$(find "$cache" -mindepth 1 ! -name .libtorch.lock 2>/dev/null)" ]
}

expect_success() {
  expect "exit status is $status, want 0" [ "$status" = 0 ]
  expect "the path of build.env must be printed" [ "$(cat "$output/stdout")" = "$installed/build.env" ]
  expect "a temporary folder is left" [ ! -e "$cache/.libtorch-2.11.0.tmp" ]
}

test_missing_tools() {
  local tool
  for tool in go g++ ar python3 pip; do
    begin "missing_$tool"
    rm "$box/bin/$tool"
    setup
    expect_failure "missing: install it"
  done
}

test_unsupported_machine() {
  begin unsupported_machine
  program uname 'echo Darwin arm64'
  setup
  expect_failure "Darwin arm64"
}

test_old_go() {
  begin old_go
  program go 'echo "go: go.mod requires go >= 1.26.8 (running go 1.22.0; GOTOOLCHAIN=local)" >&2; exit 1'
  setup
  expect_failure "go.mod requires go >= 1.26.8"
}

test_blank_in_path() {
  begin blank_in_path
  cache="$box/my cache"
  setup
  expect_failure "has a blank"
}

test_full_disk() {
  begin full_disk
  program df 'echo Avail; echo 1000000'
  setup
  expect_failure "976 MB of free disk space and 3 GB are needed"
  expect "nothing may be downloaded" [ ! -e "$box/pip.log" ]
}

test_corrupted_download() {
  begin corrupted_download
  program pip '
    [[ $1 == download ]] || exit 0
    while [[ $1 != --dest ]]; do shift; done
    touch "$2/torch.whl"
    echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE." >&2
    echo "    torch==2.11.0 from https://pypi.org" >&2
    exit 1'
  setup
  expect_failure "checksum"
}

test_no_network() {
  begin no_network
  program pip '
    [[ $1 == download ]] || exit 0
    echo "WARNING: Retrying" >&2
    echo "ERROR: No matching distribution found for torch==2.11.0" >&2
    exit 1'
  setup
  expect_failure "No matching distribution found for torch==2.11.0.*check the network"
}

test_truncated_wheel() {
  begin truncated_wheel
  echo truncated >"$box/wheels/torch.whl"
  setup
  expect_failure "cannot unpack"
}

test_install() {
  begin install
  mkdir -p "$cache/.libtorch-2.11.0.tmp/new/torch" # left by a killed run
  setup
  expect_success
  expect "only libraries and headers are kept" [ "$(cd "$installed/torch" && echo *)" = "include lib" ]
  expect "other packages are left out" [ ! -e "$installed/torchgen" ]
  expect "torch's companions are kept" [ -e "$installed/nvidia/cu13/lib/libcudart.so.13" ]
  # shellcheck source=/dev/null
  expect "build.env exports the flags" grep -q "^CGO_LDFLAGS=.*-L$installed/torch/lib" <(. "$installed/build.env" && env)
  expect "gotch is compiled" grep -qx "build github.com/sugarme/gotch/libtch" "$box/go.log"
}

test_second_run() {
  begin second_run
  setup
  expect_success
  program pip 'echo "ERROR: pip was called" >&2; exit 1'
  program python3 'echo "python3 was called" >&2; exit 1'
  setup
  expect_success
  expect "a second run must not print anything" [ ! -s "$output/stderr" ]
}

test_changed_header() {
  begin changed_header
  setup
  echo "// older" >"$installed/compat.h"
  setup
  expect_success
  expect "gotch is compiled again" grep -qx "build -a github.com/sugarme/gotch/libtch" "$box/go.log"
  expect "compat.h is replaced" cmp -s "$here/compat.h" "$installed/compat.h"
}

test_parallel_runs() {
  begin parallel_runs
  mv "$box/bin/pip" "$box/bin/fast_pip"
  program pip 'sleep 0.5; exec fast_pip "$@"'
  mkdir "$box/other"
  (
    output=$box/other
    setup
    exit "$status"
  ) &
  setup
  expect "the other run failed" wait $!
  expect_success
  expect "only one run downloads" [ "$(grep -c "requirements.txt" "$box/pip.log")" = 1 ]
}

test_interrupted_run() {
  begin interrupted_run
  program pip '[[ $1 != download ]] || kill -TERM "$PPID"'
  setup
  expect "the run must not succeed" [ "$status" != 0 ]
  expect_clean
}

test_existing_libtorch() {
  begin existing_libtorch
  libtorch "$box/site/torch" 2.11.0+cpu
  mkdir "$box/site/nvidia"
  setup LIBTORCH="$box/site/torch"
  expect_success
  expect "torch is a link to LIBTORCH" [ "$installed/torch" -ef "$box/site/torch" ]
  expect "nvidia is a link to the folder next to it" [ "$installed/nvidia" -ef "$box/site/nvidia" ]
  expect "nothing may be downloaded" [ ! -e "$box/pip.log" ]
}

test_python_torch() {
  begin python_torch
  libtorch "$box/site/torch" 2.11.0
  program python3 '[[ $1 == -c ]] && echo "$BOX/site/torch"'
  setup
  expect_success
  expect "torch is a link to Python's" [ "$installed/torch" -ef "$box/site/torch" ]
}

test_other_version() {
  begin other_version
  libtorch "$box/libtorch" 2.1.0
  setup LIBTORCH="$box/libtorch"
  expect_failure "is not libtorch 2.11.0"
}

test_gpu() {
  begin gpu
  program nvidia-smi 'exit 0'
  setup
  expect_success
  expect "the CUDA libraries are downloaded too" grep -q "requirements-cuda.txt" "$box/pip.log"
  setup
  expect "they are downloaded once" [ "$(grep -c "requirements-cuda.txt" "$box/pip.log")" = 1 ]
}

test_gpu_elsewhere() {
  begin gpu_elsewhere
  program nvidia-smi 'exit 1'
  setup GENREC_CUDA=1
  expect_success
  expect "the CUDA libraries are downloaded too" grep -q "requirements-cuda.txt" "$box/pip.log"
}

for test in $(compgen -A function test_); do "$test"; done
printf 'setup_test.sh: ok\n'
