#!/usr/bin/env bash
# Runs every benchmark with a tiny configuration and checks that it prints its machine-readable last
# line. With --peers it runs those that include PyTorch baselines, without it the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
data="$folder/data.txt"
# 600 users that walk around a ring of 90 items, from different positions.
awk 'BEGIN { for (u = 1; u <= 600; u++) { printf "%d", u
  for (i = 0; i < 8 + u % 5; i++) printf " %d", 1 + (7 * u + i) % 90
  print "" } }' >"$data"

# try PREFIX TARGET SETTING... runs make and checks the prefix of its last line.
try() {
  local prefix=$1 last
  shift
  printf '== make %s\n' "$*"
  if ! timeout 600 make --no-print-directory "$@" >"$folder/log" 2>&1; then
    cat "$folder/log"
    exit 1
  fi
  last=$(tail -n 1 "$folder/log")
  printf '%s\n' "$last"
  if [[ $last != "$prefix "*=* ]]; then
    cat "$folder/log"
    printf 'the last line of make %s is not "%s NAME=VALUE..."\n' "$1" "$prefix" >&2
    exit 1
  fi
}

# Runs the commands of docs/ACCURACY.md that create further datasets.
make_datasets() {
  local line
  cp "$data" "$folder/Beauty.txt"
  ln -s "$PWD/retrain" "$folder/retrain"
  grep -oE '`(python3 -c|pip download|unzip) [^`]*`' docs/ACCURACY.md | tr -d '`' | while IFS= read -r line; do
    printf '== %s\n' "$line"
    (cd "$folder" && bash -euo pipefail -c "$line" >log 2>&1) || { cat "$folder/log"; exit 1; }
  done
}

small="-set pretrain_epochs=1 -set finetune_epochs=3 -set least_steps=10 -set validation_users=50"

if [[ ${1-} == --peers ]]; then
  try parity parity
  try training bench-training DATA="$data" ARGS="-steps 2 -rounds 1"
  try inference bench-inference DATA="$data" ARGS="-users 8 -batches 4 -seconds .2 -rounds 1"
  make_datasets
  try accuracy peer DATA="$folder/Beauty25.txt" ARGS="--tenth --epochs 2"
  try accuracy peer DATA="$data" ARGS="--tenth --positions --epochs 2"
  try accuracy peer DATA="$data" ARGS="--model bsarec --tenth --epochs 1 --allow-seen"
  exit
fi
try memory bench-memory ARGS="-users 2000 -appends 2000"
try snapshot bench-snapshot ARGS="-events 100000"
try serve bench-serve ARGS="-users 2000 -rate 200 -duration 2s -warm-up 1s"
try stream bench-stream ARGS="-measure ingest -events 20000 -users 2000 -rounds 1"
try infer bench-stream DATA="$data" ARGS="-window 3s -users 2000"
try growth bench-growth ARGS="-items 1000,2000 -rounds 1"
try warm_start bench-warm-start DATA="$data" ARGS="$small -evaluate-users 50"
try accuracy accuracy DATA="$data" IDS=permuted ARGS="${small//-set/--set}"
