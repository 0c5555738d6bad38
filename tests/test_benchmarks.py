"""The benchmarks run and write what they say; how fast anything is, no test decides."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import against, measuring, results, steps, workers
from benchmarks.contestants import minigrad_steps, numpy_steps, torch_steps
from benchmarks.contestants.task import CHAINS, Task
from train import gan, judge, lstm
from train.folder import read_lines

ROOT = Path(__file__).parent.parent
CONTESTANTS = steps.CONTESTANTS


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def result_of(tmp_path, what):
    """The numbers that a command has written, beside which there is a picture."""
    with Image.open(tmp_path / f"{what}.png") as picture:
        assert min(picture.size) > 300
    return json.loads((tmp_path / f"{what}.json").read_text(encoding="utf-8"))


def test_overhead_is_measured_beside_numpy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(steps, "CHAINS", CHAINS[:2])
    steps.overhead(rounds=1, only=("minigrad", "NumPy"), out=tmp_path)
    times = result_of(tmp_path, "overhead")["milliseconds"]
    names = {"minigrad", "NumPy", "NumPy, forward alone"}
    assert times.keys() == {*CHAINS[:2]} and all(row.keys() == names for row in times.values())
    shown = capsys.readouterr().out
    [mean] = re.findall(r"^minigrad +([\d.]+)$", shown, re.M)
    assert float(mean) == pytest.approx(sum(row["minigrad"][0] for row in times.values()) / 2, 0.1)


@pytest.mark.parametrize("kind", CHAINS)
def test_a_chain_has_the_same_gradient_in_each_library(kind):
    found = [
        library.queue(Task.named(kind), "layer", "eager", "cpu").step().item()
        for library in (numpy_steps, minigrad_steps, torch_steps)
    ]
    assert found == pytest.approx([found[0]] * 3, rel=1e-4)


def only(monkeypatch, *names):
    """Leave out all other contestants: a process takes a second or two."""
    monkeypatch.setattr(steps, "CONTESTANTS", [c for c in CONTESTANTS if c.name in names])


def test_steps_of_all_libraries_start_with_the_same_losses(tmp_path, monkeypatch, capsys):
    """The command itself compares them, and ends where they differ."""
    ours = ["minigrad", "minigrad, textbook"]
    names = {"PyTorch, eager", "PyTorch, nn.LSTM", "matrix products alone", *ours}
    only(monkeypatch, *names)
    steps.main(rounds=1, threads=1, steps=("gan", "lstm 2"), out=tmp_path)
    result = result_of(tmp_path, "steps")
    assert set(result["milliseconds"]) == {"gan", "lstm 2"} and set(result["versions"]) == names
    assert all(result["milliseconds"]["lstm 2"][name][0] > 0 for name in names)
    shown = capsys.readouterr().out
    assert "| GAN " in shown and "= **1.00**" in shown and "left out" not in shown


def test_losses_are_compared_within_a_form():
    losses = {"PyTorch, eager": 1.0, "PyTorch, nn.LSTM": 2.0, "minigrad": 2.00005}
    ready = {name: {"lstm 5": {"loss": loss}} for name, loss in losses.items()}
    ready["matrix products alone"] = {"lstm 5": {"loss": float("nan")}}
    assert workers.differing(steps.CONTESTANTS, ready) == {}
    ready["minigrad"]["lstm 5"] = {"loss": 2.001}
    ready["minigrad, fast"] = {"lstm 5": {"reason": "none"}}
    found = workers.differing(steps.CONTESTANTS, ready)
    assert found == {("minigrad", "lstm 5"): "its loss is 2.001000, not 2.000000"}
    ready = {"PyTorch, eager": {"gan": {"loss": 1.0}}, "minigrad": {"gan": {"loss": 1.001}}}
    assert workers.differing(steps.CONTESTANTS, ready), "the GAN has one form"


def test_costs_of_a_step(tmp_path, monkeypatch):
    only(monkeypatch, "minigrad")
    steps.costs(steps=("lstm 1 4 8",), out=tmp_path)
    costs = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))["costs"]
    entry = costs["minigrad"]["lstm 1 4 8"]
    assert 20 < entry["peak_mb"] < 200 and 0 < entry["import_s"] < entry["first_step_s"]
    assert entry["installed_mb"] > 10


# --- two checkouts ----------------------------------------------------------------------------

SMALL = "lstm 1 4 8"
SLOW = """
import time
from minigrad.optim.optimizer import Optimizer as _Optimizer
_step = _Optimizer.step
def _slowly(self):
    print("slow")
    time.sleep(0.05)
    return _step(self)
_Optimizer.step = _slowly
"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the packages in a folder of its own."""
    for package in measuring.PACKAGES:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / "copy" / package, ignore=skipped)
    return tmp_path / "copy"


def small_row():
    return [(c, SMALL) for c in steps.CONTESTANTS if c.name == "minigrad"]


def plant(checkout, file, text):
    with open(checkout / file, "a", encoding="utf-8") as opened:
        opened.write(text)


def test_each_checkout_is_measured_with_its_own_code(checkout, tmp_path, capsys):
    """Though this one is already imported, first on the path, and perhaps installed too."""
    plant(checkout, "minigrad/optim/__init__.py", SLOW)
    assert against.compare(checkout, small_row(), 2, 1, tmp_path)
    result = json.loads((tmp_path / "against.json").read_text(encoding="utf-8"))
    [row] = result["rows"]
    assert (row["contestant"], row["step"], result["rounds"]) == ("minigrad", SMALL, 2)
    assert {copy: len(seconds) for copy, seconds in row["seconds"].items()} == {
        copy: 2 for copy in against.COPIES
    }
    for copy in ("other", "again", "itself"):
        assert min(row["seconds"][copy]) > 0.05
    assert row["losses"][0] == row["losses"][1]
    assert "checkouts do not compute the same" not in capsys.readouterr().out
    assert not list(checkout.rglob("__pycache__"))


def test_a_slower_checkout_is_found(checkout, tmp_path, capsys):
    plant(checkout, "minigrad/optim/__init__.py", SLOW)
    assert not against.compare(ROOT, small_row(), 2, 1, tmp_path, this=checkout)
    assert f"2%: minigrad: {SMALL}." in capsys.readouterr().out


@pytest.mark.parametrize(("verdict", "code"), [(True, 0), (False, 1)])
def test_the_command_ends_with_code_1_where_a_row_is_slower(monkeypatch, tmp_path, verdict, code):
    given = []
    monkeypatch.setattr(against, "compare", lambda *words: given.extend(words) or verdict)
    try:
        steps.main(against=ROOT, out=tmp_path)
        ended = 0
    except SystemExit as end:
        ended = end.code
    assert ended == code
    folder, rows, *numbers = given
    assert folder == ROOT and numbers == [31, 1, tmp_path]
    textbook = [("minigrad, textbook", "lstm 20"), ("minigrad, textbook, fast", "lstm 20")]
    layer = [(name, step) for name in ("minigrad", "minigrad, fast") for step in steps.STEPS]
    assert [(contestant.name, step) for contestant, step in rows] == textbook + layer


def times_of(this, other, again, itself):
    return dict(zip(against.COPIES, map(list, (this, other, again, itself)), strict=True))


def test_the_table_names_rows_that_are_slower_and_losses_that_differ(monkeypatch, tmp_path, capsys):
    same, slower = np.full(31, 0.01), np.full(31, 0.0103)
    times = [times_of(same, same, same, same), times_of(slower, same, same, same)]
    losses = [(1.0, 1.001), (2.0, 2.00001)]
    monkeypatch.setattr(against, "measure", lambda *words: (times, losses))
    rows = against.rows_of(["gan", "lstm 5"], ["minigrad, fast"])
    assert not against.compare(ROOT, rows, 31, 1, tmp_path)
    shown = capsys.readouterr().out
    assert "2%: minigrad, fast: lstm 5." in shown and shown.count(", slower |") == 1
    assert "minigrad, fast: gan: after 6 steps the losses are 1.0 and\n1.001" in shown
    assert shown.count("do not compute the same") == 1


def test_a_row_is_slower_beyond_the_spread_of_equal_copies_and_two_percent():
    random = np.random.default_rng(3)
    noise = random.normal(1, 0.03, (4, 31))
    even = against.row_of(times_of(*noise))
    assert 0.01 < even.spread < 0.05 and even.limit == 1 + even.spread + 0.02
    assert abs(even.itself - 1) <= even.spread and not even.slower
    for factor, slower in ((0.5, False), (0.999, False), (1.001, True), (2, True)):
        this = noise[1] * even.limit * factor
        assert against.row_of(times_of(this, *noise[1:])).slower is slower
    ratios = noise[2] / noise[3]
    assert against.spread(1 / ratios) == pytest.approx(against.spread(ratios), rel=0.01)
    assert against.spread(np.ones(31)) == 0


def test_a_machine_that_changes_its_speed_between_rounds_slows_no_row():
    """Lower quartiles would say so: by chance "this" met the slow state in most of its rounds."""
    slow = np.where(np.arange(31) % 3 == 0, 1.0, 1.3)
    row = against.row_of(times_of(slow, slow, slow, slow))
    assert row.ratio == row.itself == 1 and row.spread == 0
    unlucky = slow.copy()
    unlucky[:12] = 1.3
    row = against.row_of(times_of(unlucky, slow, slow, slow))
    assert row.quartiles["this"] > 1.2 * row.quartiles["other"] and not row.slower


def test_each_copy_is_asked_at_each_place_as_often_and_beside_its_pair():
    for place in zip(*against.ORDERS, strict=True):
        assert sorted(place) == [0, 1, 2, 3]
    for order in against.ORDERS:
        assert {*order[:2]} in ({0, 1}, {2, 3})


BROKEN = {
    "removed": ("minigrad/nn/utils.py", "\ndel clip_grad_norm_\n", "AttributeError: .*clip_grad"),
    "renamed": ("minigrad/optim/__init__.py", "\ndel RMSprop\n", "AttributeError: .*RMSprop"),
    "raises": ("models/lstm_layer.py", "\nraise OSError('two\\nlines')\n", "OSError: two lines"),
    "ends": ("minigrad/__init__.py", "\nimport os\nos._exit(3)\n", "its process ended"),
    "syntax": ("minigrad/__init__.py", "\n)\n", "SyntaxError: unmatched"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_checkout_that_cannot_be_measured_ends_the_command(checkout, tmp_path, capfd, kind):
    file, text, message = BROKEN[kind]
    plant(checkout, file, text)
    with pytest.raises(SystemExit) as end:
        against.compare(checkout, small_row(), 1, 1, tmp_path)
    assert end.value.code == 2
    [line] = capfd.readouterr().err.splitlines()
    assert re.match(rf"error: {re.escape(str(checkout))}: minigrad\b.*{message}", line), line
    assert not (tmp_path / "against.json").exists()


def test_a_package_that_comes_from_elsewhere_is_refused(checkout, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ImportError, match=r"minigrad was imported from .*, not from .*copy"):
        measuring.import_from(checkout)


def test_what_is_no_checkout_is_refused(checkout, tmp_path, capsys):
    shutil.rmtree(checkout / "models")
    for path, message in (
        (tmp_path / "absent", "not a folder"),
        (ROOT / "pyproject.toml", "not a folder"),
        (tmp_path, "has no minigrad/__init__.py"),
        (ROOT / "minigrad", "has no minigrad/__init__.py"),
        (checkout, "has no models/__init__.py"),
    ):
        with pytest.raises(SystemExit) as end:
            steps.main(against=path, out=tmp_path)
        assert end.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: --against {path}: {message}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": ROOT, "only": ("PyTorch",)}, "--only and --steps: none of minigrad's own"),
        ({"against": ROOT, "only": ("textbook",), "steps": ("gan",)}, "--only and --steps: none"),
        ({"against": ROOT, "threads": -1}, "--threads -1: must be 1 or more"),
        ({"rounds": 0}, "--rounds 0: must be 1 or more"),
        ({"steps": ("gan", "lstm")}, "--steps: 'lstm' is no step; expected 'gan', or 'lstm T'"),
        ({"steps": ("lstm 0",)}, "--steps: 'lstm 0' is no step"),
        ({"steps": ()}, "--steps: needs at least one"),
    ],
)
def test_wrong_options_of_steps_are_refused(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        steps.main(**options, out=tmp_path)
    assert end.value.code == 2
    shown = capsys.readouterr()
    [line] = shown.err.splitlines()
    assert line.startswith(f"error: {message}") and not shown.out


def test_the_command_says_what_is_no_checkout():
    done = run("steps", "--against", "docs")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == (
        "error: --against docs: has no minigrad/__init__.py; give the root of a checkout of "
        "minigrad\n"
    )


# --- what trainings came to -------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a short LSTM's training, and a short GAN's."""
    out = tmp_path_factory.mktemp("runs")
    for seed in ("0", "1"):
        words = ["--epochs", "2", "--data-size", "20", "--hidden", "4", "--seed", seed]
        words += ["--name", f"seed {seed}"]
        assert lstm.main([*words, "--quiet", "--no-plots", "--out", str(out)]) == 0
    words = ["--recipe", "report", "--epochs", "1", "--limit", "64", "--lr", "0.001"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "HELD_OUT", 200)  # fewer digits to judge
        assert gan.main([*words, "--quiet", "--no-plots", "--out", str(out)]) == 0
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
    assert lstm.main([*words, "--quiet", "--no-plots", "--out", str(tmp_path)]) == 0
    [part] = tmp_path.glob("lstm/*/rnn-1-seed0")
    found = results.record(part)
    options = "--epochs 1 --model rnn --input-length 1 --hidden 4"
    assert found["command"] == f"python -m train.lstm {options}" and found["commit"]


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
