"""Pictures that a run's files alone give: the trainers draw them at the end, train.plot anew."""

from pathlib import Path

from minigrad import nn
from minigrad.data import DataError

from . import pictures
from .judge import Judge
from .run import RunFolder

LSTM, GAN, CLASSIFIER = "train.lstm", "train.gan", "train.classifier"


def learning_curves(run: RunFolder, into: RunFolder, title: str) -> list[str]:
    """Draw loss and accuracy of train.lstm or train.classifier over the epochs."""
    with into.replacing("curves.png") as path:
        pictures.learning_curves(run.read_lines("metrics.jsonl"), title, path)
    return ["curves.png"]


def gan_curves(run: RunFolder, into: RunFolder, floor: float | None) -> list[str]:
    """Draw the losses, the discriminator's accuracy, and the FID beside that of real digits."""
    with into.replacing("curves.png") as path:
        pictures.gan_curves(run.read_lines("metrics.jsonl"), floor, path)
    return ["curves.png"]


def gan_progress(run: RunFolder, into: RunFolder) -> list[str]:
    """Draw the grids of samples of train.gan: three side by side, and all as an animation."""
    files = ((p.stem.removeprefix("step-"), p) for p in run.path.glob("samples/step-*.png"))
    grids = dict(sorted((int(step), path) for step, path in files if step.isdecimal()))
    if not grids:
        return []
    steps = list(grids)
    middle = min(steps, key=lambda step: abs(step - steps[-1] / 2))
    ways = {f"step {n:,}": pictures.read_grey(grids[n]) for n in (steps[0], middle, steps[-1])}
    with into.replacing("progress.png") as path:
        pictures.side_by_side(ways, "The same 100 latent points on the way", path)
    with into.replacing("progress.gif") as path:
        pictures.animation([pictures.read_grey(grid)[::2, ::2] for grid in grids.values()], path)
    return ["progress.png", "progress.gif"]


def floor_of(run: RunFolder, judge: Path | None, data_dir: Path | None) -> float | None:
    """Return the FID of the real digits that a run of train.gan was judged against.

    Args:
        run: Its folder.
        judge: Its `--judge`.
        data_dir: Its `--data-dir`.

    Returns:
        The FID; None where those digits, or the judge, are not at hand.
    """
    try:
        found = Judge.load(judge, data_dir)
    except (OSError, ValueError, nn.StateDictError, DataError):
        return None
    same = found.source == run.read_json("environment.json").get("judged_against")
    return found.floor if same else None
