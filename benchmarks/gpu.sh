#!/usr/bin/env bash
# Tests and benchmarks on a GPU machine, in under nine minutes, with what the machine has installed.
#
#   benchmarks/gpu.sh [FOLDER OF WHEELS]
#
# OUT            where the results go (gpu-results)
# PYTHON         which Python (python3)
# WHEELS         a folder of wheels for what is missing; nothing is fetched from the internet
# TEST_SECONDS   for the tests (240)
# BENCH_SECONDS  for the benchmark (270)
# DEVICE         cpu to try the script where there is no GPU (gpu)
#
# Exit code: 0 if all tests passed and the benchmark ended, 2 where no GPU can be used, else 1. What
# was measured stays in OUT in any case.
set -euo pipefail

start=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=${OUT:-gpu-results}
PYTHON=${PYTHON:-python3}
WHEELS=${1:-${WHEELS:-}}
TEST_SECONDS=${TEST_SECONDS:-240}
BENCH_SECONDS=${BENCH_SECONDS:-270}
DEVICE=${DEVICE:-gpu}
LIMIT=525 # seconds for all of it
NEEDED=(safetensors tyro tqdm matplotlib pillow pytest pytest-xdist hypothesis expecttest nvmath-python)

OUT=$(cd "$start" && mkdir -p "$OUT" && cd "$OUT" && pwd)
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 MPLBACKEND=Agg
failed=()

has() { # whether Python finds a package
    local name=$1
    case $name in
        pillow) name=PIL ;;
        nvmath-python) name=nvmath ;;
        pytest-xdist) name=xdist ;;
    esac
    "$PYTHON" -c 'import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)' "$name"
}

limited() { # SECONDS LOG COMMAND...: Ctrl-C when the time is over, so that what is done is kept
    local seconds=$1 log=$2
    shift 2
    timeout --signal=INT --kill-after=10 "$seconds" "$@" 2>&1 | tee "$log"
}

if [[ -n $WHEELS ]]; then
    # an environment on top of the machine's, which stays as it is and need not be one of pip's
    WHEELS=$(cd "$start" && cd "$WHEELS" && pwd)
    "$PYTHON" -m venv --without-pip "$OUT/environment"
    own=$("$OUT/environment/bin/python" -c 'import site; print(site.getsitepackages()[0])')
    "$PYTHON" -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' \
        >"$own/machine.pth"
    PYTHON=$OUT/environment/bin/python
    for package in "${NEEDED[@]}"; do
        has "$package" || "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-index \
            --find-links "$WHEELS" "$package" >>"$OUT/pip.log" 2>&1 ||
            echo "not among the wheels: $package"
    done
fi

echo "== what there is"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 ||
    echo "nvidia-smi does not answer"
for package in "${NEEDED[@]}" torch triton cupy; do
    has "$package" || echo "not installed: $package"
done
if ! "$PYTHON" -m minigrad.info --json >"$OUT/info.json"; then
    echo "minigrad does not import"
    exit 1
fi
"$PYTHON" -m minigrad.info | tee "$OUT/info.txt"
"$PYTHON" -m pip list --disable-pip-version-check >"$OUT/packages.txt" 2>/dev/null || true
works='import json, sys; sys.exit(not json.load(open(sys.argv[1]))["gpu"]["works"])'
if [[ $DEVICE == gpu ]] && ! "$PYTHON" -c "$works" "$OUT/info.json"; then
    echo "no GPU can be used"
    exit 2
fi

echo "== tests"
if has pytest; then
    options=(-m gpu -q --tb=short --strict-markers --continue-on-collection-errors -p no:cacheprovider
        -o addopts= -o filterwarnings=default --junitxml="$OUT/tests.xml")
    for package in hypothesis expecttest torch torchvision numba mypy; do
        if ! has "$package"; then
            while IFS= read -r file; do
                echo "left out, as $package is not installed: $file"
                options+=(--ignore="$file")
            done < <(grep -lE "^(import|from) (minigrad\\.backends\\.)?$package\\b" tests/test_*.py)
        fi
    done
    # PyTorch's half of a comparison leaves the GPU idle
    if has pytest-xdist; then options+=(-n 4); fi
    limited "$TEST_SECONDS" "$OUT/tests.log" "$PYTHON" -m pytest "${options[@]}" tests ||
        failed+=("tests (exit code $?; 124: not done in $TEST_SECONDS s, 5: there were none)")
else
    failed+=("tests (pytest is not installed)")
fi

echo "== benchmark"
left=$((LIMIT - SECONDS))
seconds=$((BENCH_SECONDS < left ? BENCH_SECONDS : left))
# not by the command line of `python -m benchmarks`, which needs tyro
program='import sys; from pathlib import Path; from benchmarks import gpu
gpu.main(device=sys.argv[1], minutes=(int(sys.argv[2]) - 50) / 60, out=Path(sys.argv[3]))'
limited "$seconds" "$OUT/benchmark.log" "$PYTHON" -c "$program" "$DEVICE" "$seconds" "$OUT" ||
    failed+=("benchmark (exit code $?; 124: not done in $seconds s)")

echo "== $OUT, after $SECONDS seconds"
ls "$OUT"
if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
