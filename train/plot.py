"""Draw runs anew, or compare them in one picture: `python -m train.plot RUN [RUN ...]`."""

import csv
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import tyro
from matplotlib.figure import Figure

from minigrad.data import DataError

from . import classifier, drawing, gan, lstm, sweep
from .checkpoint import DAMAGE, Damaged, why
from .config import RunConfig, command, config_of, program_of
from .console import DONE, BadInput, cause, leave, talker, tell
from .drawing import LOOKS
from .files import quoted, shortened
from .folder import read_lines
from .run import RunFolder
from .trainer import Trainer

TRAINERS: dict[str, Trainer[Any]] = {
    each.trainer.program: each.trainer for each in (lstm, classifier, gan)
}
MOST = 2**25  # bytes of metrics that are drawn, some 200,000 lines
# what does not shape what is measured; of data_dir only how many digits it has
BESIDES = {
    *("out", "device", "checkpoint_minutes", "checkpoint_steps", "tensorboard", "quiet", "config"),
    *("resume", "dry_run", "save_interval", "judge_interval", "data_dir"),
    *("name", "no_plots", "log_interval"),
}


@dataclass(frozen=True)
class PlotConfig:
    """Draw the pictures of a run anew, or compare runs in one picture.

    Runs of one program are compared, each under the settings in which it differs from the others;
    each program has a picture of its own. Runs with equal settings but several seeds are shown by
    their mean and their range.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs or of sweeps, or a folder that holds some, as "runs"."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the pictures; else the run's own, or the current one for a comparison."""

    quiet: bool = False
    """No messages, only the last line with the result."""


@dataclass(frozen=True)
class Run:
    """A run with what is needed to compare it."""

    folder: RunFolder

    trainer: Trainer[Any]

    config: RunConfig

    choices: Mapping[str, Any]
    """Recipe, number of digits, and what was chosen besides."""

    lines: list[dict[str, float]]
    """Its measurements; none of a sweep."""

    @property
    def is_sweep(self) -> bool:
        """Whether it is many trainings of train.lstm."""
        return bool(getattr(self.config, "sweep", ()))


def plot(config: PlotConfig) -> int:
    """Draw as configured, and say what was drawn; return the exit code.

    Raises:
        BadInput: If a folder holds no run that can be drawn, or the pictures cannot be written.
    """
    if not config.runs:
        raise BadInput("no RUN is given; allowed: folders of runs, at least one")
    say = talker(config.quiet)
    inside = [runs_in(path) for path in config.runs]
    searched = any(found != [path] for found, path in zip(inside, config.runs, strict=True))
    runs = []
    for path in dict.fromkeys(chain(*inside)):
        try:
            runs.append(read(path))
        except BadInput as error:
            if not searched:
                raise
            say(f"Left out: {error}")
    if not runs:
        raise BadInput(f"RUN {config.runs[0]}: no run in this folder can be drawn")
    first = runs[0]
    into = _folder(config.out or (first.folder.path if len(runs) == 1 else Path()))
    try:
        if len(runs) == 1:
            names = first.trainer.draw(first.config, first.folder, into, say)
        else:
            names = compare(runs, into, say)
    except OSError as error:
        raise BadInput(f"cannot draw into {into.path}: {error}") from None
    tell(f"Results: {', '.join(str(into.path / name) for name in names)}")
    return DONE


def runs_in(path: Path) -> list[Path]:
    """Return the runs in a folder and in the folders there; else the path itself.

    Links in the folder are not followed, since a stranger's may lead anywhere.
    """
    found: list[Path] = []
    try:
        for below in ("", "*/", "*/*/"):
            for file in sorted(path.glob(f"{below}config.json")):
                inside = any(run in file.parents for run in found)  # as a sweep's trainings are
                between = list(file.parents)[: below.count("/")]
                if not inside and not any(folder.is_symlink() for folder in between):
                    found.append(file.parent)
    except (OSError, ValueError):  # ValueError: a path that no folder can have
        pass
    return found or [path]


def read(path: Path) -> Run:
    """Read a run's config and measurements.

    Raises:
        BadInput: If it is no run, a file is damaged, or nothing has been measured yet.
    """
    program = program_of(path, "RUN")
    if program not in TRAINERS:
        raise BadInput(
            f"RUN {path}: this is a run of {shortened(program)}; allowed: {', '.join(TRAINERS)}"
        )
    trainer = TRAINERS[program]
    config = config_of(path, trainer.config, program, "RUN")
    folder = RunFolder(path)
    try:
        said = folder.read_json("environment.json").get("digits", "")
        digits = str(said).partition(" ")[0]
        if not isinstance(said, str) or not re.fullmatch(r"[0-9,]{0,20}", digits):
            raise DataError(f"environment.json is damaged: it says {quoted(said)} of the digits")
        _refuse_large(path / "metrics.jsonl")
        folder.check()
        choices = {"recipe": config.recipe, "digits": digits} | own_choices(config)
        run = Run(folder, trainer, config, choices, [])
        found: Sequence[Any] = (
            sweep.read_rows(folder) if run.is_sweep else read_lines(path / "metrics.jsonl")
        )
    except (Damaged, DataError) as error:
        raise BadInput(f"RUN {path}: {why(error)}") from None
    except (OSError, csv.Error, *DAMAGE) as error:
        raise BadInput(f"RUN {path}: its measurements are damaged: {why(error)}") from None
    if not found:
        raise BadInput(f"RUN {path}: nothing has been measured yet")
    if run.is_sweep:
        return run
    problem = _problem(found, trainer)
    if problem is not None:
        raise BadInput(f"RUN {path}: its measurements are damaged: {problem}")
    return replace(run, lines=list(found))


def _problem(lines: Sequence[Mapping[str, float]], trainer: Trainer[Any]) -> str | None:
    """What is wrong with measurements that are to be drawn; None if nothing is."""
    x, panels = trainer.x, trainer.panels
    if not all(math.isfinite(line.get(x, 0)) for line in lines):
        return f"a line has no {x}"
    always = {panel.name for panel in panels if not panel.moment}
    # measurements of a moment may stand in lines of their own, but not in all lines
    now_and_then = {panel.name for panel in panels if panel.moment}
    if not any(line.keys() >= always for line in lines):
        return f"metrics.jsonl lacks {', '.join(sorted({x, *always} - lines[0].keys()))}"
    limits = {panel.name: 1.001 if "%" in panel.y else 1e100 for panel in panels}  # rounding
    limits |= {x: 1e15, "precision": limits.get("recall", math.inf)}
    for line in lines:
        for together in (always, now_and_then):
            needed = {x, *together} if line.keys() & together else {x}
            if not line.keys() >= needed:
                return f"metrics.jsonl lacks {', '.join(sorted(needed - line.keys()))}"
        for name in line.keys() & limits.keys():
            if not (math.isnan(line[name]) or 0 <= line[name] <= limits[name]):
                return f"{name} is {line[name]:g}; allowed: 0 to {limits[name]:g}"
    return None


def _refuse_large(path: Path) -> None:
    size = path.lstat().st_size if os.path.lexists(path) else 0
    if size > MOST:
        raise DataError(f"{path.name} has {size:,} bytes; at most {MOST:,} are drawn")


def own_choices(config: RunConfig) -> dict[str, Any]:
    """Return the settings that neither the recipe nor the other settings give, besides the seed."""
    cls = type(config)
    base = replace(cls(), recipe=config.recipe, **cls.of_recipe(config.recipe))
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
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else shortened(str(value))


def compare(runs: Sequence[Run], into: RunFolder, say: Callable[[str], None]) -> list[str]:
    """Draw runs beside each other, a picture for each kind; return the names of the pictures.

    Raises:
        DataError: If the runs of a kind have nothing in common.
    """
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        kinds.setdefault(run.trainer.program + " sweeps" * run.is_sweep, []).append(run)
    names = []
    for kind, members in kinds.items():
        groups = grouped(members)
        if len(kinds) > 1:
            say(f"{kind}:")
        for label, group in groups.items():
            say(f"{label}: {', '.join(str(run.folder.path) for run in group)}")
        own = "-" + kind.removeprefix("train.").replace(" ", "-") if len(kinds) > 1 else ""
        names.append(drawing.save(beside_each_other(groups), into, f"comparison{own}.png"))
    return names


def beside_each_other(groups: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw groups of runs of one kind, by label."""
    runs = [run for group in groups.values() for run in group]
    if runs[0].is_sweep:
        results: dict[str, dict[int, list[float]]] = {}
        for label, group in groups.items():
            rows = [row for run in group for row in sweep.read_rows(run.folder)]
            for model, lengths in sweep.by_model_and_length(rows).items():
                results[f"{model}, {label}"] = lengths
        return drawing.accuracy_by_length(results)
    trainer = runs[0].trainer
    measured = {label: [run.lines for run in group] for label, group in groups.items()}
    models = [getattr(group[0].config, "model", "") for group in groups.values()]
    one_each = "" not in models and 1 < len(models) == len(set(models))
    looks = [LOOKS[m] if one_each else drawing.numbered(i) for i, m in enumerate(models)]
    bands = any(len(group) > 1 for group in groups.values())
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    title = f"{count} of {trainer.program}" + ": mean and range over seeds" * bands
    return drawing.comparison(measured, looks, trainer.panels, trainer.x, title)


def _folder(path: Path) -> RunFolder:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a path that no folder can have
        raise BadInput(
            f"--out {path}: cannot make this folder: {cause(error)}; "
            "allowed: a folder in which you may write"
        ) from None
    return RunFolder(path)


main = command("train.plot", PlotConfig, plot)

if __name__ == "__main__":
    leave(main())
