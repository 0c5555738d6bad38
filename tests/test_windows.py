"""Averages over few steps weigh little: in curves, in comparisons, in the progress, in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import batches
from train import drawing, gan
from train.config import RunConfig
from train.drawing import MOST_POINTS, Curve, aligned, evened, lengths, thinned
from train.folder import new_folder
from train.loop import training
from train.progress import Progress
from train.run import RunFolder
from train.state import State

NAMES = ("g_loss", "d_loss", "d_real", "d_fake")


def written(per_epoch: int, epochs: int, every: int = 20) -> list[dict[str, float]]:
    """The lines of a GAN's run that measures 1 in each step that ends an epoch, else 0."""
    lines: list[dict[str, float]] = []
    before = 0
    for step in range(1, per_epoch * epochs + 1):
        if step % every == 0 or step % per_epoch == 0:
            ends = sum(n % per_epoch == 0 for n in range(before + 1, step + 1))
            value = ends / (step - before)
            lines.append({"epoch": 1, "step": step, **dict.fromkeys(NAMES, value)})
            before = step
    return lines


@pytest.mark.parametrize("per_epoch", [1, 5, 19, 20, 21, 32, 41, 61, 157, 938])
@pytest.mark.parametrize("epochs", [1, 2, 3, 30])
def test_no_point_stands_for_less_than_half_of_the_longest_line(
    per_epoch: int, epochs: int
) -> None:
    lines = written(per_epoch, epochs)
    longest = max(lengths(lines, "step"))
    assert len(thinned(lines)) <= MOST_POINTS
    for measured in range(
        0, len(lines), 1 + len(lines) // 50
    ):  # one step only has measured something
        steps = lengths(lines, "step")[measured]
        only = [{"step": line["step"], "x": 0.0} for line in lines]
        only[measured]["x"] = 1 / steps
        for found in (evened(only), thinned(only)):
            assert 0 < max(line["x"] for line in found) <= 1 / (longest / 2)


def test_lines_of_equal_length_stay_as_they_are() -> None:
    lines = [{"step": 20.0 * n, "x": float(n)} for n in range(1, 30)]
    assert evened(lines) == thinned(lines) == lines
    assert evened([]) == thinned([]) == []
    assert evened(lines[:1]) == lines[:1]


def test_short_lines_join_their_neighbours() -> None:
    lines = [{"step": step, "x": x} for step, x in ((20, 0.5), (21, 1.0), (40, 0.5), (42, 0.0))]
    first, second = evened(lines)
    assert first == {"step": 20, "x": 0.5}
    assert second["x"] == pytest.approx((1 * 1.0 + 19 * 0.5 + 2 * 0.0) / 22)


def test_measurements_of_a_moment_weigh_the_same_and_stay() -> None:
    lines = [{"step": step, "fid": step / 10} for step in (500.0, 1000.0, 1003.0)]
    assert thinned(lines, None) == lines
    places, values = aligned([lines], "step", "fid", moment=True)
    assert places.tolist() == [500, 1000, 1003] and values[0].tolist() == [50, 100, 100.3]


def test_curves_have_no_peak_where_an_epoch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = written(21, 5)
    assert max(line["d_real"] for line in lines) == 1.0
    drawn: dict[str, Any] = {}
    curve = drawing.curve

    def spying(lines: Any, x: str, y: str, *rest: Any, **options: Any) -> Curve:
        found = curve(lines, x, y, *rest, **options)
        drawn[y] = found.y
        return found

    monkeypatch.setattr(drawing, "curve", spying)
    drawing.gan_curves(lines, None)
    assert max(drawn["g_loss"]) <= 2 / 20
    assert max(drawn["d_real"]) <= 100 * 2 / 20


def test_runs_with_epochs_of_other_lengths_are_compared_step_by_step() -> None:
    runs = [written(21, 20), written(420, 1), written(32, 13)]
    places, values = aligned(runs, "step", "d_real")
    assert places[:3].tolist() == [20, 40, 60]
    for run, row in zip((21, 420, 32), values, strict=True):
        ends = [sum(n % run == 0 for n in range(int(p) - 19, int(p) + 1)) / 20 for p in places]
        np.testing.assert_allclose(row, ends)


def walk(steps: int, epochs: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Train, and return the loss that the progress shows after each step: 1 at ends, else 0."""
    mg.manual_seed(0)
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    state = State({"": layer}, {"": optimizer}, np.random.default_rng(0))
    shown: list[float] = []

    def advance(self: Progress, read: Any) -> None:
        self.show(read())
        shown.append(self._values["loss"])

    monkeypatch.setattr(Progress, "advance", advance)
    run = RunFolder(new_folder(out, "toy"))
    with training(state, run, RunConfig(epochs=epochs, quiet=True), steps) as loop:
        for _ in loop.epochs():
            for _ in loop.steps(batches(steps, 1, state.shuffle)):
                loss = float(state.step % steps == 0)
                loop.meter.add(1, loss=mg.tensor(loss))
                if state.step % 20 == 0:
                    loop.log()
            shown.append(loop._progress._values["loss"])
    return shown


def test_the_progress_does_not_jump_where_a_line_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = walk(21, 4, tmp_path, monkeypatch)
    assert 0 < max(shown) <= 2 / 20


def test_the_progress_of_short_epochs_is_that_of_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = walk(4, 3, tmp_path, monkeypatch)
    assert [shown[n] for n in (3, 8, 13)] == [0.25] * 3  # at the end of each epoch


def test_the_first_average_is_shown_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert walk(1, 1, tmp_path, monkeypatch)[0] == 1.0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the GAN's discriminator be right half of the time, but always in step 21."""
    seen: list[int] = []

    def step(*args: Any) -> dict[str, mg.Tensor]:
        seen.append(1)
        value = 1.0 if len(seen) == 21 else 0.5
        return {name: mg.tensor(value) for name in NAMES}

    monkeypatch.setattr(gan, "step", step)
    yield


@pytest.mark.usefixtures("quick_pictures")
def test_the_last_line_tells_more_than_the_last_step(
    measured: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--limit 42 --batch-size 2 --epochs 1 --judge-interval 9".split()
    assert gan.main([*words, "--quiet", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "recognises 52% of the real digits and 52% of the fakes" in said
    [run] = (tmp_path / "gan").iterdir()
    lines = RunFolder(run).read_lines("metrics.jsonl")
    assert [(line["step"], line["d_real"]) for line in lines] == [(20, 0.5), (21, 1.0)]
