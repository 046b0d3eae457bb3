#!/bin/sh
# Eight minutes on one GPU: the rates and the equality of runs that the README
# beside this file lacks. Writes into the folder that is its argument:
#
#   block-N.json      seed-steps/s and share of the peak at blocks of N seeds, at
#                     the quickstart's and the paper's smallest shape; at blocks
#                     of 8 and 64 beside PyTorch
#   equal.txt         whether two sweeps, each compiled anew, wrote the same
#                     records, with and without deterministic operations
#   *.txt             what the commands printed
set -eu
out=${1:?usage: sh experiments/benchmark/gpu.sh DIR}
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version --format=csv > "$out/gpu.txt"

bench() {
  timeout 80 python -m experiments.benchmark --rounds=3 --seconds=2 \
    --override=seeds.block="$1" --json="$out/block-$1.json" "--sides=$2" \
    --shape=16/3/8x64 --shape=64/4/32x512 > "$out/block-$1.txt" 2>&1 ||
    echo "block $1 ended early, see block-$1.txt"
}
bench 8 ours,torch-eager
bench 64 ours,torch-eager,torch-vmap-compile
bench 512 ours

: > "$out/equal.txt"
for flags in "" --xla_gpu_deterministic_ops=true; do
  ended=
  for run in a b; do
    XDG_CACHE_HOME=$out/cache$flags-$run XLA_FLAGS=$flags timeout 55 \
      python -m experiments.sweep --config=quickstart \
      "--override=grid.depths=[2]" --override=train.steps=1000 --seeds=0-63 \
      --workdir="$out/sweep$flags-$run" > "$out/sweep$flags-$run.txt" 2>&1 ||
      ended="$ended $run"
  done
  if [ -n "$ended" ]; then
    echo "${flags:-default}: not compared, ended early:$ended"
  elif diff -r "$out/sweep$flags-a/records" "$out/sweep$flags-b/records"; then
    echo "${flags:-default}: the records are bit-equal"
  else
    echo "${flags:-default}: the records differ"
  fi >> "$out/equal.txt" 2>&1
done
cat "$out/equal.txt"
