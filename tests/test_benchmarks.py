"""The benchmarks run and write what they say; how fast anything is, no test decides."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent


def test_overhead_is_measured_beside_numpy(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "overhead", "--rounds", "2", "--peers", "absent"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "minigrad" in done.stdout and "absent" not in done.stdout
    result = json.loads((tmp_path / "overhead.json").read_text(encoding="utf-8"))
    assert set(result["times"]) == {"numpy", "minigrad"}
    assert all(row["median"] > 0 for row in result["times"]["minigrad"].values())
    with Image.open(tmp_path / "overhead.png") as picture:
        assert min(picture.size) > 300


def test_steps_of_minigrad_and_torch_start_with_the_same_losses(tmp_path):
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "benchmarks", "steps", "--rounds", "1", "--threads", "1"]
    done = subprocess.run(
        [*command, "--steps", "layer 2", "textbook 2", "gan", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))
    assert set(result["times"]) == {"gan", "layer 2", "textbook 2"}
    assert all(row[name]["median"] > 0 for row in result["times"].values() for name in row)
    assert set(result["versions"]) == {"minigrad", "products", "torch"}
