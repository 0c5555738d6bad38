"""Two checkpoints, each with a checksum: what is damaged is named, and never used unseen."""

import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_resume import NEVER, SMALL, Crash, crash, results, unbroken
from trainings import before_step, contents, damaged, only_run, over_trainers, write_random_digits

import minigrad as mg
from minigrad import nn, optim
from train import checkpoint, classifier, gan, lstm, plot
from train.checkpoint import BEFORE, CHECKPOINT
from train.config import RunConfig
from train.console import Diverged
from train.folder import new_folder
from train.loop import training
from train.run import RunFolder
from train.state import State

__all__ = ["unbroken"]
pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def run(unbroken: Any, tmp_path: Path) -> Path:
    """A copy of the LSTM's finished run."""
    copy: Path = shutil.copytree(unbroken(lstm), tmp_path / "run")
    return copy


@pytest.fixture
def broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of the LSTM with checkpoints after steps 4 and 6, which ended before step 8."""
    words = [*SMALL[lstm], *NEVER, "--checkpoint-steps", "2", "--out", str(tmp_path / "broken")]
    with monkeypatch.context() as patch:
        before_step(patch, lstm, 8, crash)
        with pytest.raises(Crash):
            lstm.main(words)
    return only_run(tmp_path / "broken")


def step_of(path: Path) -> int:
    step: int = checkpoint.read(path).state["step"]
    return step


def test_the_checkpoint_before_is_kept(broken_off: Path) -> None:
    assert [step_of(broken_off / name) for name in (BEFORE, CHECKPOINT)] == [4, 6]


@pytest.mark.parametrize("content", [b"", b"half", b"\0" * 9999])
def test_a_damaged_checkpoint_is_named_and_kept_aside_and_the_one_before_used(
    content: bytes, broken_off: Path, unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (broken_off / CHECKPOINT).write_bytes(content)
    assert lstm.main(["--resume", str(broken_off), "--quiet"]) == 0
    said = capsys.readouterr().err
    assert re.search(
        rf"{CHECKPOINT} is damaged .*; going on from the checkpoint before, and {CHECKPOINT} is "
        "now checkpoint-damaged-1.safetensors",
        said,
    ), said
    assert (broken_off / "checkpoint-damaged-1.safetensors").read_bytes() == content
    assert results(broken_off) == results(unbroken(lstm))


def test_two_damaged_checkpoints_get_two_names(broken_off: Path) -> None:
    for number in (1, 2):
        (broken_off / CHECKPOINT).write_bytes(b"x" * number)
        assert lstm.main(["--resume", str(broken_off), "--quiet"]) == 0
    for number in (1, 2):
        assert (broken_off / f"checkpoint-damaged-{number}.safetensors").stat().st_size == number


def test_a_checkpoint_that_is_missing_is_replaced_by_the_one_before(
    broken_off: Path, unbroken: Any
) -> None:
    (broken_off / CHECKPOINT).unlink()  # killed between the two renamings
    assert lstm.main(["--resume", str(broken_off), "--quiet"]) == 0
    assert results(broken_off) == results(unbroken(lstm))


def test_a_state_that_cannot_be_loaded_is_replaced_by_the_one_before(
    broken_off: Path, unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    content = checkpoint.read_state(broken_off / CHECKPOINT)
    content["state"]["optimizers"] = {}
    checkpoint.write_state(content, broken_off / CHECKPOINT)
    assert lstm.main(["--resume", str(broken_off), "--quiet"]) == 0
    assert f"{CHECKPOINT} is damaged" in capsys.readouterr().err
    assert results(broken_off) == results(unbroken(lstm))


def test_every_flipped_bit_of_a_checkpoint_is_seen(broken_off: Path) -> None:
    path, random = broken_off / CHECKPOINT, np.random.default_rng(17)
    whole = path.read_bytes()
    for place in random.integers(0, 8 * len(whole), 300):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(checkpoint.Damaged):
            checkpoint.read(path)


def test_a_checkpoint_of_the_format_before_is_refused_by_its_number(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in checkpoint.NAMES:
        content = checkpoint.read_state(run / name)
        old = {"state": content["state"], "sizes": content["sizes"]}
        arrays: dict[str, Any] = {}
        structure = json.dumps(checkpoint._packed(old, "", arrays)).encode()
        mg.save(arrays | {"structure": np.frombuffer(structure, np.uint8)}, run / name)
    assert lstm.main(["--resume", str(run)]) == 2
    words = "has format 1, and this version of minigrad reads format 2"
    assert words in capsys.readouterr().err


def test_a_state_that_is_not_finite_never_replaces_a_good_one(tmp_path: Path) -> None:
    mg.manual_seed(0)
    layer = nn.Linear(2, 1)
    state = State({"": layer}, {"": optim.SGD(layer.parameters())}, np.random.default_rng(0))
    run = RunFolder(new_folder(tmp_path, "toy"))
    with (
        pytest.raises(Diverged, match=r"networks/weight is not finite at step 2"),
        training(state, run, RunConfig(epochs=1, quiet=True, checkpoint_steps=1), 3) as loop,
    ):
        for _ in loop.epochs():
            for number in loop.steps(iter([np.arange(1)] * 3)):
                assert number.size
                if state.step == 2:
                    layer.load_state_dict({"weight": np.array([[np.inf, 0]]), "bias": np.zeros(1)})
    assert step_of(run.path / CHECKPOINT) == 1 and step_of(run.path / BEFORE) == 0


# --- a refused --resume changes nothing -----------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        damaged("metrics.jsonl", b""),
        damaged("metrics.jsonl", b'{"epoch": 1, "step": 4, "loss": 1.0}\n' * 99),
        damaged("config.json", b"{"),
        lambda run: [damaged(name, b"x")(run) for name in checkpoint.NAMES],
        lambda run: (run / "extra").symlink_to("/etc/hostname"),
        lambda run: (run / "timing.jsonl").unlink() or (run / "timing.jsonl").symlink_to("x"),
        lambda run: os.mkfifo(run / "pipe"),
    ],
)
def test_a_refused_run_is_as_it_was(
    damage: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    before = {path.name: path.lstat() for path in run.iterdir()}
    assert lstm.main(["--resume", str(run), "--epochs", "1000"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --resume") and len(error.splitlines()) == 1, error
    after = {path.name: path.lstat() for path in run.iterdir()}
    assert {n: (s.st_ino, s.st_mtime_ns, s.st_size) for n, s in after.items()} == {
        n: (s.st_ino, s.st_mtime_ns, s.st_size) for n, s in before.items()
    }


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 1), ("learning_rate", 0.5), ("hidden", 9), ("model", "rnn")]
)
def test_settings_other_than_the_checkpoints_are_refused(
    name: str, value: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = json.loads((run / "config.json").read_text()) | {name: value}
    (run / "config.json").write_text(json.dumps(settings))
    before = contents(run)
    assert lstm.main(["--resume", str(run)]) == 2
    words = f"config.json has {name} {value}, but the checkpoint was written with"
    assert words in capsys.readouterr().err
    assert contents(run) == before


def test_a_number_of_epochs_that_only_config_json_has_does_not_count(
    run: Path, unbroken: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = json.loads((run / "config.json").read_text()) | {"epochs": 7}
    (run / "config.json").write_text(json.dumps(settings))
    assert lstm.main(["--resume", str(run), "--quiet"]) == 0
    words = "config.json has epochs 7, but the checkpoint was written with 3, which counts"
    assert words in capsys.readouterr().err
    assert results(run) == results(unbroken(lstm))


@over_trainers
def test_weights_and_tables_are_written_anew_where_they_are_damaged(
    module: Any, unbroken: Any, tmp_path: Path
) -> None:
    run = shutil.copytree(unbroken(module), tmp_path / "run")
    for name in ("last.safetensors", "best.safetensors", "metrics.csv"):
        if (run / name).exists():
            content = bytearray((run / name).read_bytes())
            content[len(content) // 2] ^= 1
            (run / name).write_bytes(content)
    (run / ".unfinished-0123456789abcdef.png").write_bytes(b"left by kill -9")
    assert module.main(["--resume", str(run), "--quiet"]) == 0
    assert results(run) == results(unbroken(module))
    assert not list(run.rglob(".unfinished-*"))


def test_files_that_have_a_second_name_outside_are_not_written_through(
    broken_off: Path, tmp_path: Path, unbroken: Any
) -> None:
    names = ["metrics.jsonl", "timing.jsonl", "config.json", "best.safetensors", "metrics.csv"]
    for name in names:
        if (broken_off / name).exists():
            os.link(broken_off / name, tmp_path / name)
    before = {name: (tmp_path / name).read_bytes() for name in names if (tmp_path / name).exists()}
    assert lstm.main(["--resume", str(broken_off), "--quiet"]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert results(broken_off) == results(unbroken(lstm))


# --- the same ground ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [gan, classifier], ids=["gan", "classifier"])
def test_other_digits_are_refused_and_the_same_found_from_anywhere(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_random_digits(Path("own"), 100)
    words = [*SMALL[module], "--data-dir", "own", "--out", "runs", "--quiet"]
    assert module.main(words) == 0
    run = only_run(tmp_path / "here" / "runs")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")  # where "own" would be another folder
    assert module.main(["--resume", str(run), "--epochs", "4", "--quiet"]) == 0
    digits = RunFolder(run).read_json("environment.json")["digits"]
    assert str(tmp_path / "here" / "own" / "MNIST" / "raw") in digits

    before = contents(run)
    shutil.rmtree(tmp_path / "here" / "own")
    write_random_digits(tmp_path / "here" / "own", 101)
    capsys.readouterr()
    assert module.main(["--resume", str(run), "--epochs", "5"]) == 2
    assert "are not those that the run has learnt from" in capsys.readouterr().err
    assert contents(run) == before


def test_the_bundled_digits_do_not_silently_become_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert classifier.main([*SMALL[classifier], "--quiet"]) == 0
    run = only_run(tmp_path / "runs")
    write_random_digits(tmp_path / "data", 10_000)
    assert classifier.main(["--resume", str(run), "--epochs", "4"]) == 2
    error = capsys.readouterr().err
    assert "the digits are not those" in error and "of the bundled sample" in error
    assert str(tmp_path / "data" / "MNIST" / "raw") in error


def test_another_arithmetic_is_said(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from train import loop

    here = loop.arithmetic
    monkeypatch.setattr(loop, "arithmetic", lambda device: here(device) | {"threads of BLAS": "64"})
    assert lstm.main(["--resume", str(run), "--epochs", "4", "--quiet"]) == 0
    now = here("cpu")["threads of BLAS"]
    assert (
        "From here on the results are not the same to the last bit: threads of BLAS 64 instead of "
        f"{now}." in capsys.readouterr().err
    )
    assert lstm.main(["--resume", str(run), "--epochs", "5", "--quiet"]) == 0
    assert "last bit" not in capsys.readouterr().err


def test_environment_json_names_the_arithmetic_and_the_folder(run: Path) -> None:
    found = RunFolder(run).read_json("environment.json")
    assert found["arithmetic"]["NumPy"] == np.__version__
    assert found["cwd"] == os.getcwd()


@pytest.mark.parametrize(
    ("module", "change"),
    [(lstm, {"hidden": 16_384}), (gan, {"generator_hidden": (16_384,) * 9})],
    ids=["lstm", "gan"],
)
def test_a_forged_checkpoint_takes_no_memory_for_networks_that_it_does_not_hold(
    module: Any, change: Any, unbroken: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(unbroken(module), tmp_path / "run")
    settings = json.loads((run / "config.json").read_text()) | change
    (run / "config.json").write_text(json.dumps(settings))
    for name in checkpoint.NAMES:
        content = checkpoint.read_state(run / name)
        content["ground"]["settings"] |= change
        checkpoint.write_state(content, run / name)
    tracemalloc.start()
    try:
        assert module.main(["--resume", str(run)]) == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "such networks have" in capsys.readouterr().err
    assert peak < 50e6


@pytest.mark.parametrize("module", [lstm, gan], ids=["lstm", "gan"])
def test_networks_have_as_many_weights_as_their_config_says_at_least(
    module: Any, unbroken: Any
) -> None:
    run = unbroken(module)
    weights = mg.load(run / "last.safetensors")
    config = module.trainer.config(**json.loads((run / "config.json").read_text(), object_hook=own))
    own_weights = sum(v.size for n, v in weights.items() if not n.startswith("average."))
    assert 0.2 * own_weights < config.least_weights() <= own_weights


def own(settings: dict[str, Any]) -> dict[str, Any]:
    """A config's keywords, of a config.json."""
    return {name: value for name, value in settings.items() if name != "program"}


def test_a_digit_that_changed_in_the_metrics_is_not_drawn(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plot.main([str(run), "--quiet"]) == 0
    content = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(content.replace('"loss": 2', '"loss": 3', 1))
    before = contents(run)
    assert plot.main([str(run)]) == 2
    assert re.search(r"error: RUN .* of metrics.jsonl are not those that", capsys.readouterr().err)
    assert contents(run) == before


def test_a_refused_run_leaves_no_file_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    words = [*SMALL[classifier], "--tensorboard", "--quiet"]
    write_random_digits(tmp_path, 100)
    out = ["--data-dir", str(tmp_path), "--out", str(tmp_path / "runs")]
    assert classifier.main([*words, *out]) == 0
    run = only_run(tmp_path / "runs")
    write_random_digits(tmp_path, 101)
    before = contents(run)
    assert classifier.main(["--resume", str(run)]) == 2
    assert contents(run) == before
