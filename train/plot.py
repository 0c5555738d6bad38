"""Draw runs anew, or beside each other: `python -m train.plot RUN [RUN ...]`."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from . import pictures, plots, sweep
from .classifier import ClassifierConfig
from .comparison import Panel, comparison
from .config import RunConfig, config_of, parse_tool, program_of
from .console import DONE, BadInput, guarded, leave, talker, tell
from .gan import GANConfig
from .lstm import LSTMConfig
from .run import DAMAGE, RunFolder, read_lines

PROGRAM = "train.plot"
COMPARISON = "comparison.png"
LEARNING = (
    Panel("loss", "Training loss", "nats"),
    Panel("accuracy", "Training accuracy", "%", guide=(10, "10 %: guessing")),
    Panel("val_loss", "Validation loss", "nats"),
    Panel("val_accuracy", "Validation accuracy", "%", guide=(10, "10 %: guessing")),
)
# what does not shape what is measured; of data_dir only how many digits it has
BESIDES = {
    *("out", "device", "checkpoint_minutes", "checkpoint_steps", "tensorboard", "quiet", "config"),
    *("resume", "dry_run", "save_interval", "judge_interval", "data_dir"),
    *("name", "no_plots", "log_interval"),
}


@dataclass(frozen=True)
class Kind:
    """What a program's runs have to be compared by."""

    config: type[RunConfig]

    x: str
    """What stands on the horizontal axis."""

    panels: Sequence[Panel]


KINDS = {
    plots.LSTM: Kind(LSTMConfig, "epoch", LEARNING),
    plots.CLASSIFIER: Kind(ClassifierConfig, "epoch", LEARNING),
    plots.GAN: Kind(
        GANConfig,
        "step",
        (
            Panel("g_loss", "Generator's loss", "nats"),
            Panel("d_loss", "Discriminator's loss (real + fake)", "nats"),
            Panel(
                "fid", "Distance from real digits, by a classifier", "FID", log=True, moment=True
            ),
            Panel("d_real", "Real digits taken for real", "%", guide=(50, "50 %: guessing")),
            Panel("d_fake", "Fakes taken for fakes", "%", guide=(50, "50 %: guessing")),
            Panel("recall", "Recall: real digits that fakes cover", "%", moment=True),
        ),
    ),
}


@dataclass(frozen=True)
class PlotConfig:
    """Draw the pictures of a run anew, or compare runs in one picture.

    Runs of one program are compared, each under the settings in which it differs from the others.
    Of those with equal settings but several seeds it shows the mean and the range.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs, or of sweeps."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the pictures; else the run's own, or the current one for a comparison."""

    quiet: bool = False
    """No messages, only the last line with the result."""


@dataclass(frozen=True)
class Run:
    """A run with what is needed to compare it."""

    folder: RunFolder

    config: RunConfig

    choices: Mapping[str, Any]
    """Recipe, number of digits, and what was chosen besides."""

    lines: list[dict[str, float]]
    """Its measurements; none of a sweep."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Its words, None for those of the process.

    Returns:
        The exit code.
    """
    return guarded(lambda: plot(parse_tool(PlotConfig, args, f"python -m {PROGRAM}")))


def plot(config: PlotConfig) -> int:
    """Draw as configured, and say what was drawn.

    Args:
        config: What to do.

    Returns:
        The exit code.

    Raises:
        BadInput: If a folder holds no run that can be drawn, or the pictures cannot be written.
    """
    if not config.runs:
        raise BadInput("no RUN is given; allowed: folders of runs, at least one")
    say = talker(config.quiet)
    programs = [program_of(path, "RUN") for path in config.runs]
    for path, program in zip(config.runs, programs, strict=True):
        if program not in KINDS:
            raise BadInput(f"RUN {path}: this is a run of {program}; allowed: {', '.join(KINDS)}")
        if program != programs[0]:
            raise BadInput(
                f"RUN {path}: this is a run of {program}, but {config.runs[0]} is one of "
                f"{programs[0]}; allowed: runs of the same program"
            )
    kind = KINDS[programs[0]]
    runs = [read(path, programs[0], kind) for path in config.runs]
    if len(runs) == 1:
        into = _folder(config.out or runs[0].folder.path)
        names = _written(into, lambda: draw(runs[0], into))
        if any("fid" in line for line in runs[0].lines) and floor_of(runs[0]) is None:
            say("The FID of real digits is left out: those it was judged against are not here.")
    else:
        groups = grouped(runs)
        into = _folder(config.out or Path())
        for label, members in groups.items():
            say(f"{label}: {', '.join(str(run.folder.path) for run in members)}")
        names = _written(into, lambda: compare(groups, kind, programs[0], into))
    tell(f"Results: {', '.join(str(into.path / name) for name in names)}")
    return DONE


def read(path: Path, program: str, kind: Kind) -> Run:
    """Read a run's config and measurements.

    Args:
        path: Its folder.
        program: Which program made it.
        kind: What its lines must have.

    Raises:
        BadInput: If a file is damaged, or nothing has been measured yet.
    """
    config = config_of(path, kind.config, program, "RUN")
    folder = RunFolder(path)
    try:
        digits = folder.read_json("environment.json").get("digits", "").partition(" ")[0]
        choices = {"recipe": config.recipe, "digits": digits} | own_choices(config)
        run = Run(folder, config, choices, [])
        if is_sweep(config):
            found: Sequence[Any] = sweep.read_rows(run.folder)
        else:
            found = read_lines(path / "metrics.jsonl")
    except (OSError, csv.Error, *DAMAGE) as error:
        cause = error.__cause__ or error
        why = cause if isinstance(cause, UnicodeError) else repr(cause)  # its repr has all bytes
        raise BadInput(f"RUN {path}: its measurements are damaged: {why}") from None
    if not found:
        raise BadInput(f"RUN {path}: nothing has been measured yet")
    if is_sweep(config):
        return run
    needed = {kind.x, *(panel.name for panel in kind.panels if not panel.moment)}
    if not all(math.isfinite(line.get(kind.x, 0)) for line in found):
        raise BadInput(f"RUN {path}: its measurements are damaged: a line has no {kind.x}")
    whole = [line for line in found if line.keys() >= needed]
    if not whole or not all(line.keys() >= needed or kind.x in line for line in found):
        cut = (line for line in found if not whole or not (line.keys() >= needed or kind.x in line))
        missing = ", ".join(sorted(needed - next(cut).keys()))
        raise BadInput(f"RUN {path}: its measurements are damaged: metrics.jsonl lacks {missing}")
    return replace(run, lines=list(found))


def draw(run: Run, into: RunFolder) -> list[str]:
    """Draw everything that a run's files give; return the names of the pictures."""
    if is_sweep(run.config):
        return sweep.draw(run.folder, into)
    if isinstance(run.config, GANConfig):
        curves = plots.gan_curves(run.folder, into, floor_of(run))
        return [*curves, *plots.gan_progress(run.folder, into)]
    return plots.learning_curves(run.folder, into, run.config.title)


def floor_of(run: Run) -> float | None:
    """Return the FID of the real digits of a GAN's run, as `plots.floor_of` does."""
    assert isinstance(run.config, GANConfig)  # nothing else has measured a FID
    return plots.floor_of(run.folder, run.config.judge, run.config.data_dir)


def is_sweep(config: RunConfig) -> bool:
    """Tell whether a run is many trainings of train.lstm."""
    return bool(getattr(config, "sweep", ()))


def own_choices(config: RunConfig) -> dict[str, Any]:
    """Return the settings that neither the recipe nor the other settings give, besides the seed."""
    cls = type(config)
    base = replace(cls(), recipe=config.recipe, **(cls.REPORT if config.recipe == "report" else {}))
    names = [f.name for f in fields(config) if f.name not in BESIDES | {"recipe", "seed"}]
    own = {name: getattr(config, name) for name in names}
    own = {name: value for name, value in own.items() if value != getattr(base, name)}
    for name in list(own):
        others = {key: value for key, value in own.items() if key != name}
        try:
            decided = replace(base, **others).decided()
        except BadInput:
            continue
        if getattr(decided, name) == own[name]:
            own = others
    return own


def grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Put runs together that differ in their seeds only, under what distinguishes them."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(sorted(run.choices.items())), []).append(run)
    firsts = [group[0] for group in groups.values()]
    names = differing(firsts)
    single = all(len(group) == 1 for group in groups.values())
    if single and len({run.config.seed for run in firsts}) > 1:
        names.append("seed")
    labelled = {}
    for group in groups.values():
        label = describe(group[0], names)
        if len(group) > 1:
            seeds = len({run.config.seed for run in group})
            label += f" ({seeds} seeds)" if seeds == len(group) else f" ({len(group)} runs)"
        labelled[label] = group
    return labelled


def differing(runs: Sequence[Run]) -> list[str]:
    """Return the names of the settings in which runs differ, besides the seed; first the recipe."""
    names = dict.fromkeys(["recipe", "digits", *(f.name for f in fields(runs[0].config))])
    return [name for name in names if len({repr(run.choices.get(name)) for run in runs}) > 1]


def describe(run: Run, names: Sequence[str]) -> str:
    """Say how a run differs from others in these settings."""
    words = []
    for name in names:
        if name == "digits":
            words.append(f"{run.choices[name]} digits")
        # where recipes differ, what follows from them need not be said
        elif name in run.choices or name == "seed" or "recipe" not in names:
            value = run.choices.get(name, getattr(run.config, name))
            words.append(f"{name.replace('_', ' ')} {_value(value)}")
    return ", ".join(words) or f"recipe {run.config.recipe}"


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def compare(
    groups: Mapping[str, Sequence[Run]], kind: Kind, program: str, into: RunFolder
) -> list[str]:
    """Draw groups of runs beside each other.

    Args:
        groups: By label.
        kind: What they are compared by.
        program: What made them.
        into: Where the picture goes.

    Returns:
        The picture's name.

    Raises:
        BadInput: If sweeps are compared with single trainings, or runs have nothing in common.
    """
    runs = [run for group in groups.values() for run in group]
    sweeps = [is_sweep(run.config) for run in runs]
    if any(sweeps) and not all(sweeps):
        path = runs[sweeps.index(True)].folder.path
        raise BadInput(f"RUN {path}: this is a sweep; allowed: sweeps only, or none")
    if all(sweeps):
        results: dict[str, dict[int, list[float]]] = {}
        for label, group in groups.items():
            rows = [row for run in group for row in sweep.read_rows(run.folder)]
            for model, lengths in sweep.by_model_and_length(rows).items():
                results[f"{model}, {label}"] = lengths
        with into.replacing(COMPARISON) as path:
            pictures.accuracy_by_length(results, path)
        return [COMPARISON]
    measured = {label: [run.lines for run in group] for label, group in groups.items()}
    bands = any(len(group) > 1 for group in groups.values())
    title = f"{len(runs)} runs of {program}" + (": mean and range over seeds" if bands else "")
    with into.replacing(COMPARISON) as path:
        comparison(measured, kind.panels, kind.x, title, path)
    return [COMPARISON]


def _folder(path: Path) -> RunFolder:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a path that no folder can have
        raise BadInput(
            f"--out {path}: cannot make this folder: {getattr(error, 'strerror', None) or error}; "
            "allowed: a folder in which you may write"
        ) from None
    return RunFolder(path)


def _written(into: RunFolder, draw: Callable[[], list[str]]) -> list[str]:
    try:
        return draw()
    except OSError as error:
        raise BadInput(f"cannot draw into {into.path}: {error}") from None


if __name__ == "__main__":
    leave(main())
