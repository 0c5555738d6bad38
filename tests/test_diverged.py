"""A training that diverges says where it began, and keeps its last good checkpoint."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_resume import SMALL
from trainings import only_run, over_trainers

import minigrad as mg
from train import checkpoint, gan, lstm
from train.checkpoint import CHECKPOINT
from train.run import RunFolder

pytestmark = pytest.mark.usefixtures("no_figures")
LONG = {module: [*words, "--epochs", "3"] for module, words in SMALL.items()}


@over_trainers
def test_the_step_the_operation_and_the_last_good_checkpoint_are_named(
    module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*LONG[module], "--learning-rate", "1e30", "--checkpoint-steps", "1"]
    assert module.main([*words, "--quiet", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    found = re.search(
        r"^error: .* at step \d+: the training diverged; try a smaller --learning-rate, or "
        r"--on-nan skip; first in step (\d+): (\w+): .*(infinity|NaN).*; the last good checkpoint "
        r"is that of step (\d+)$",
        error.splitlines()[-1],
    )
    assert found, error
    saved = checkpoint.read(only_run(tmp_path) / CHECKPOINT).state
    assert saved["step"] == int(found[4]) == int(found[1]) - 1
    assert checkpoint.first_not_finite(saved) is None


@pytest.mark.parametrize("at", [2, 7])
def test_the_first_operation_is_found_long_before_it_is_seen(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = lstm.step

    def with_a_fault(model: Any, optimizer: Any, x: Any, labels: Any, max_norm: float) -> Any:
        found = step(model, optimizer, x, labels, max_norm)
        weight = next(model.parameters())
        if optimizer.state_dict()["state"][0]["step"] == at:
            with mg.no_grad():
                bad = mg.log(weight.detach() * 0)
                weight *= bad
        return found

    monkeypatch.setattr(lstm, "step", with_a_fault)
    assert lstm.main([*LONG[lstm], "--quiet", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"first in step {at}: log: the result contains an infinity, which no input does" in error


@pytest.mark.parametrize("at", [5, 12])
def test_what_does_not_come_again_has_no_first_operation(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bit that has flipped in memory, say; step 12 is the last, so the repetition ends well."""
    step, seen = lstm.step, []

    def once_bad(*args: Any) -> dict[str, mg.Tensor]:
        seen.append(1)
        found = step(*args)
        return found | {"loss": mg.tensor(math.nan)} if len(seen) == at else found

    monkeypatch.setattr(lstm, "step", once_bad)
    words = [*LONG[lstm], "--checkpoint-steps", "1", "--quiet", "--out", str(tmp_path)]
    assert lstm.main(words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"at step {at}: the training diverged" in error and "first in step" not in error
    assert error.endswith(f"the last good checkpoint is that of step {at - 1}")
    assert len(seen) > at  # it was tried again


def test_a_step_that_is_not_finite_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, seen = lstm.step, []

    def sometimes_bad(*args: Any) -> dict[str, mg.Tensor]:
        seen.append(1)
        found = step(*args)
        if len(seen) in (3, 6):
            with mg.no_grad():
                for parameter in args[0].parameters():
                    parameter *= math.nan
        return found

    monkeypatch.setattr(lstm, "step", sometimes_bad)
    assert lstm.main([*LONG[lstm], "--on-nan", "skip", "--quiet", "--out", str(tmp_path)]) == 0
    assert "2 of 12 steps were left out" in capsys.readouterr().err
    run = only_run(tmp_path)
    lines = RunFolder(run).read_lines("metrics.jsonl")
    assert [line["skipped"] for line in lines] == [1, 2, 2]
    for value in mg.load(run / "last.safetensors").values():
        assert np.isfinite(value.numpy()).all()


def test_a_step_that_is_left_out_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, states = lstm.step, []

    def bad(model: Any, optimizer: Any, *args: Any) -> dict[str, mg.Tensor]:
        states.append({n: v.numpy().copy() for n, v in model.state_dict().items()})
        found = step(model, optimizer, *args)
        if len(states) == 2:
            return found | {"loss": mg.tensor(math.inf)}
        return found

    monkeypatch.setattr(lstm, "step", bad)
    assert lstm.main([*LONG[lstm], "--on-nan", "skip", "--quiet", "--out", str(tmp_path)]) == 0
    for name, value in states[1].items():
        np.testing.assert_array_equal(states[2][name], value)
    assert any((states[1][name] != states[0][name]).any() for name in states[0])


def test_a_run_of_steps_none_of_which_is_finite_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = gan.step
    monkeypatch.setattr(gan, "step", lambda *args: step(*args) | {"g_loss": mg.tensor(math.nan)})
    words = [*LONG[gan], "--on-nan", "skip", "--quiet", "--out", str(tmp_path)]
    assert gan.main(words) == 1
    assert "no step of epoch 1 had finite results" in capsys.readouterr().err
