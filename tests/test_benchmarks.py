"""The benchmarks run and write what they say; how fast anything is, no test decides."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import steps

ROOT = Path(__file__).parent.parent


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_overhead_is_measured_beside_numpy(tmp_path):
    done = run("overhead", "--rounds", "2", "--peers", "absent", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "minigrad" in done.stdout and "absent" not in done.stdout
    result = json.loads((tmp_path / "overhead.json").read_text(encoding="utf-8"))
    assert set(result["times"]) == {"numpy", "minigrad"}
    assert all(row["median"] > 0 for row in result["times"]["minigrad"].values())
    with Image.open(tmp_path / "overhead.png") as picture:
        assert min(picture.size) > 300


def test_steps_of_all_libraries_start_with_the_same_losses(tmp_path):
    """The command itself compares them, and ends where they differ."""
    words = ["--rounds", "1", "--threads", "1", "--steps", "gan", "lstm 2", "--out", str(tmp_path)]
    only = ["--only", "eager", "nn.LSTM", "minigrad", "autograd", "products"]
    done = run("steps", *words, *only)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))
    assert set(result["times"]) == {"gan", "lstm 2"}
    names = {"minigrad", "minigrad, fast", "minigrad, textbook", "matrix products alone"}
    assert names <= set(result["versions"])
    assert all(result["times"]["lstm 2"][name]["median"] > 0 for name in names)
    with Image.open(tmp_path / "steps.png") as picture:
        assert min(picture.size) > 300


def test_losses_that_differ_end_the_benchmark():
    times = {"minigrad": {"loss gan": [1.0]}, "PyTorch, eager": {"loss gan": [1.001]}}
    with pytest.raises(SystemExit, match="gan: the losses differ"):
        steps.check_losses(["gan"], times)
    steps.check_losses(["gan"], times | {"PyTorch, eager": {"loss gan": [1.00001]}})


def test_costs_of_a_step(tmp_path):
    done = run("costs", "--steps", "lstm 1 4 8", "--only", "minigrad", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    costs = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))["costs"]
    entry = costs["minigrad"]["lstm 1 4 8"]
    assert 20 < entry["peak_mb"] < 200 and 0 < entry["import_s"] < entry["first_step_s"]
    assert entry["installed_mb"] > 10
