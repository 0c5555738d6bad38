"""The benchmarks run and write what they say; how fast anything is, no test decides."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import results, steps, workers
from train import gan, lstm
from train.run import read_lines

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


# --- what trainings came to -------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a short LSTM's training, and a short GAN's."""
    out = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        words = ["--epochs", "2", "--data-size", "20", "--hidden", "4", "--seed", seed]
        assert lstm.main([*words, "--quiet", "--out", str(out)]) == 0
    words = ["--recipe", "report", "--epochs", "1", "--limit", "64", "--lr", "0.001"]
    assert gan.main([*words, "--quiet", "--out", str(out)]) == 0
    return [*sorted(out.glob("lstm/*")), *out.glob("gan/*")]


def test_results_of_runs_are_gathered_with_the_commands_that_repeat_them(runs, tmp_path):
    done = run("results", *map(str, runs), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    options = "--epochs 2 --hidden 4 --data-size 20"
    assert [each["command"] for each in found] == [
        f"python -m train.lstm {options}",
        f"python -m train.lstm {options} --seed 1",
        "python -m train.gan --recipe report --epochs 1 --learning-rate 0.001 --limit 64",
    ]
    for each, folder in zip(found, runs, strict=True):
        lines = read_lines(folder / "metrics.jsonl")
        key = "fid" if each["program"] == "train.gan" else "val_accuracy"
        assert each[key][-1] == round(lines[-1][key], 4)
        assert str(tmp_path.parent) not in json.dumps(each)
    table = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert table.count("\n|") == 5 and f"| `{options}` |" in table
    assert results.tables(found) == table


def test_parts_of_a_sweep_are_results_too(tmp_path):
    words = ["--sweep", "1", "--models", "rnn", "--seeds", "1", "--epochs", "1", "--hidden", "4"]
    assert lstm.main([*words, "--quiet", "--out", str(tmp_path)]) == 0
    [part] = tmp_path.glob("lstm/*/rnn-1-seed0")
    found = results.record(part)
    options = "--epochs 1 --model rnn --input-length 1 --hidden 4"
    assert found["command"] == f"python -m train.lstm {options}" and found["commit"]


def test_tables_in_the_documentation_are_those_of_its_records():
    found = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for table in results.tables(found).strip().split("\n\n"):
        assert table.count("\n") > 2 and table in page


def test_runs_that_have_not_ended_and_other_folders_are_refused(runs, tmp_path):
    config = json.loads((runs[0] / "config.json").read_text(encoding="utf-8"))
    for name in ("environment.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((runs[0] / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | {"epochs": 3}), encoding="utf-8")
    with pytest.raises(ValueError, match="has not come to its end, epoch 3"):
        results.record(tmp_path)
    for folder in (tmp_path / "absent", runs[0].parent):
        with pytest.raises(ValueError, match=r"not a run of train\.lstm or train\.gan"):
            results.record(folder)
    done = run("results", str(tmp_path))
    assert done.returncode == 1 and "error:" in done.stderr and "Traceback" not in done.stderr


def test_a_processor_that_openblas_is_told_of_is_named(monkeypatch, capsys):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    workers.warn_of_openblas()
    assert not capsys.readouterr().out
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    workers.warn_of_openblas()
    assert "OPENBLAS_CORETYPE=Nehalem is set" in capsys.readouterr().out
    assert workers.machine()["OPENBLAS_CORETYPE"] == "Nehalem"
