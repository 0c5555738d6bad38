#!/usr/bin/env bash
# A GPU machine as it is, without the internet, in three parts that run alone, each in minutes.
#
#   benchmarks/gpu.sh contact|tests|times [FOLDER OF WHEELS]
#
#   contact  what there is, and whether the trainers' steps work on it: the first thing to run
#   tests    `pytest -m gpu`, 14 processes at a time
#   times    the training steps beside PyTorch's
#
# FOLDER OF WHEELS  for packages that the machine lacks (tyro, docstring-parser, typeguard)
# OUT               where the results go, eight small files from all parts (gpu-results)
# PYTHON            which Python (python3)
# DEVICE            cpu to try the script where there is no GPU (gpu)
# CONTACT_SECONDS   for all of a part (120)
# TESTS_SECONDS     (200)
# TIMES_SECONDS     (220)
#
# Exit code: 0 if all is well, 2 where no GPU can be used, 124 or 137 where the part had to be ended,
# else 1. What was found until then stays in OUT in any case.
set -euo pipefail

usage() {
    echo "usage: benchmarks/gpu.sh contact|tests|times [FOLDER OF WHEELS]" >&2
    exit 2
}

part=${1:-}
[[ $# -le 2 && $part =~ ^(contact|tests|times)$ ]] || usage
wheels=${2:-}
[[ -z $wheels || -d $wheels ]] || usage
wheels=${wheels:+$(realpath -- "$wheels")}
out=${OUT:-gpu-results}
mkdir -p "$out"
out=$(realpath -- "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
device=${DEVICE:-gpu}
case $part in
    contact) program=first_contact seconds=${CONTACT_SECONDS:-120} ;;
    tests) program=gpu_tests seconds=${TESTS_SECONDS:-200} ;;
    times) program=gpu seconds=${TIMES_SECONDS:-220} ;;
esac

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}:$unpacked" MPLBACKEND=Agg
if [[ -n $wheels ]]; then
    for wheel in "$wheels"/*-any.whl; do
        [[ -e $wheel ]] || continue
        package=$(basename -- "$wheel")
        package=${package%%-*}
        installed="import sys; from importlib.metadata import version; version(sys.argv[1])"
        if ! "$python" -c "$installed" "$package" >/dev/null 2>&1; then
            echo "from the wheels: $package"
            "$python" -m zipfile -e "$wheel" "$unpacked" # pure Python: no more than its files
        fi
    done
fi

# programs end by themselves when their seconds are over; one that does not is ended
timeout --kill-after=10 "$seconds" "$python" -m "benchmarks.$program" \
    --device "$device" --out "$out" --seconds "$((seconds - 10))" 2>&1 | tee "$out/$part.log"
