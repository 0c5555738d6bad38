"""What the user asks for: options from the command line, from Python, from a file, from a recipe.

What cannot be used raises `BadInput`, which names the option, its value, and what is allowed.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from inspect import cleandoc
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_type_hints,
)

import docstring_parser
import tyro

from . import checkpoint
from .allowed import COUNT, EPOCHS, EXAMPLES, NAME, POSITIVE, SEED, Allowed
from .console import BadInput, guarded, warn
from .files import LONG, load_values, quoted, shortened, typed

# --- the options that every trainer has -----------------------------------------------------------


# the headings of `--help`, as marks of options; those without one belong to the training
HEADINGS = TRAINING, MODEL, DATA, SWEEP, OUTPUT = "training", "model", "data", "sweep", "output"


LR = tyro.conf.arg(aliases=["--lr"])
N = tyro.conf.arg(metavar="N")
DIR = tyro.conf.arg(metavar="DIR")
FILE = tyro.conf.arg(metavar="FILE")


@dataclass(frozen=True)
class RunConfig:
    """The options that every trainer has."""

    FILE_ALIASES: ClassVar[dict[str, str]] = {"lr": "learning_rate"}
    NOT_IN_FILES: ClassVar[frozenset[str]] = frozenset({"config", "resume", "dry_run", "name"})
    FREE_ON_RESUME: ClassVar[frozenset[str]] = frozenset({"epochs", "device", "quiet"})
    QUICK: ClassVar[dict[str, Any]] = {}
    REPORT: ClassVar[dict[str, Any]] = {}

    recipe: Literal["best", "quick", "report"] = "best"
    """The best settings we know, settings for a first try, or the course report's. Options you give
    override the recipe's."""

    epochs: Annotated[int, EPOCHS, N] = 100
    """Number of passes over the training examples."""

    batch_size: Annotated[int, EXAMPLES, N] = 128
    """Number of examples in one training step."""

    learning_rate: Annotated[float, POSITIVE, LR] = 1e-3
    """Step size of the optimizer at the start."""

    seed: Annotated[int, SEED, N] = 0
    """Seed of all random numbers; the same seed repeats a run on the same machine."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Where to compute; "gpu" needs an NVIDIA card and CuPy."""

    out: Annotated[Path, OUTPUT, DIR] = Path("runs")
    """Folder for results; each run makes a new folder in it."""

    name: Annotated[str | None, OUTPUT, NAME, tyro.conf.arg(metavar="NAME")] = None
    """Name of the run's folder, instead of the date and time."""

    resume: Annotated[Path | None, OUTPUT, tyro.conf.arg(metavar="RUN")] = None
    """Continue the run in this folder. Only --epochs (more), --device and --quiet may differ."""

    config: Annotated[Path | None, OUTPUT, FILE] = None
    """Read options from a TOML file or a run's config.json. The command line overrides it."""

    checkpoint_minutes: Annotated[float, OUTPUT, POSITIVE] = 1.0
    """Write a checkpoint, from which a run can be resumed, every so many minutes: no later than
    after that time, or a minute if that is more, and the step that is running."""

    checkpoint_steps: Annotated[int | None, OUTPUT, COUNT, N] = None
    """Also write a checkpoint every N steps."""

    tensorboard: Annotated[bool, OUTPUT] = False
    """Write the metrics for TensorBoard too; needs tensorboardX."""

    on_nan: Literal["stop", "skip"] = "stop"
    """When a step's result is not a finite number: stop, and say which operation was the first, or
    leave out the step, count it in the metrics as `skipped`, and go on."""

    no_plots: Annotated[bool, OUTPUT] = False
    """Draw no pictures; train.plot can draw the curves later."""

    dry_run: Annotated[bool, OUTPUT] = False
    """Print the settings and stop; nothing is written."""

    quiet: Annotated[bool, OUTPUT] = False
    """No progress and no messages, only one line with the result."""

    def decided(self) -> Self:
        """Return a config in which nothing is left to choose.

        Raises:
            BadInput: If two options do not go together.
        """
        return self

    def least_weights(self) -> int:
        """Return how many numbers the matrices of the networks hold, or fewer."""
        return 0

    def settings(self) -> dict[str, Any]:
        """Return the options that a run's config.json holds, as JSON's types."""
        names = settings_of(type(self))
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}

    @classmethod
    def of_recipe(cls, recipe: str) -> dict[str, Any]:
        """Return what a recipe changes; recipe "best" is the defaults as they stand."""
        return {"quick": cls.QUICK, "report": cls.REPORT}.get(recipe, {})


def settings_of(cls: type[RunConfig]) -> set[str]:
    """Return the names of the options that a run's config.json holds."""
    return {f.name for f in fields(cls)} - cls.NOT_IN_FILES - {"quiet"}


Config = TypeVar("Config", bound=RunConfig)
Options = TypeVar("Options")


# --- reading the options --------------------------------------------------------------------------


def parse(cls: type[Config], args: Sequence[str] | None, program: str) -> Config:
    """Read a trainer's command line.

    Args:
        cls: The trainer's config class.
        args: The words of the command line, None for those of the process.
        program: The trainer's module, as "train.lstm".

    Returns:
        The config with every field decided and within its range.

    Raises:
        BadInput: If the file or a value is not usable.
        SystemExit: By tyro, with code 2 if an option is unknown or not of its type, with code 0
            after `--help`.
    """
    return _decide(cls, lambda default: _command_line(default, args, program), program)


def from_keywords(cls: type[Config], options: Mapping[str, Any], program: str) -> Config:
    """Read the options of a call in Python, as `parse` does those of a command line.

    Raises:
        BadInput: If an option is unknown or its value is not usable.
    """
    known = {f.name for f in fields(cls)} - {"dry_run"}
    values = _values(options, cls, known, "", none_is_a_value=True)
    return _decide(cls, lambda default: replace(default, **values), program)


def _decide(cls: type[Config], override: Callable[[Config], Config], program: str) -> Config:
    """Lay what the user gave over a file's options, and these over the recipe's."""
    config = override(cls())
    if config.resume is not None:
        return _resumed(config.resume, cls, override, program)
    given: dict[str, Any] = {}
    if config.config is not None:
        given = _own_choices(_read_file(config.config, "--config", cls), cls)
        config = override(replace(cls(), **given))
    recipe = cls.of_recipe(config.recipe)
    if recipe:
        config = override(replace(cls(), **(recipe | given)))
    _check_ranges(config)
    return config.decided()


def _resumed(
    run: Path, cls: type[Config], override: Callable[[Config], Config], program: str
) -> Config:
    """The config of a run that continues, with what the user may change about it."""
    own = _as_checkpointed(config_of(run, cls, program, "--resume"), run)
    config = override(replace(own, resume=run))
    _check_ranges(config)
    for f in fields(config):
        before, now = getattr(own, f.name), getattr(config, f.name)
        if f.name in config.FREE_ON_RESUME | {"resume", "dry_run"} or before == now:
            continue
        raise BadInput(
            f"{option(f.name)} is {now}, but the run {run} has {before}; with --resume only "
            "--epochs (more), --device and --quiet may differ"
        )
    if config.epochs < own.epochs:
        raise BadInput(
            f"--epochs is {config.epochs}, but the run {run} has {own.epochs}; allowed: more"
        )
    return config


def _as_checkpointed(own: Config, run: Path) -> Config:
    """The config of config.json as it stands in the run's checkpoint, which has a checksum.

    Raises:
        BadInput: If no checkpoint can be read, or the two do not agree.
    """
    try:
        found = checkpoint.newest(run)
    except checkpoint.Damaged as error:
        raise BadInput(f"--resume {run}: {error}") from None
    if found is None:
        return own
    cls, settings = type(own), dict(found[1].ground.settings)
    settings.pop("program", None)
    where = f"--resume {run}: a checkpoint's setting "
    saved = replace(cls(), **_values(settings, cls, settings_of(cls), where))
    for name in settings_of(cls):
        here, there = getattr(own, name), getattr(saved, name)
        if here == there:
            continue
        words = f"config.json has {name} {here}, but the checkpoint was written with {there}"
        if name not in cls.FREE_ON_RESUME:
            raise BadInput(f"--resume {run}: {words}; put the old value back")
        warn(f"{run}: {words}, which counts")
        own = replace(own, **{name: there})
    return own


def _own_choices(values: dict[str, Any], cls: type[RunConfig]) -> dict[str, Any]:
    """A file's values without those its recipe gives: another recipe may replace these."""
    given = vars(cls()) | cls.of_recipe(values.get("recipe", "best"))
    of_recipes = cls.QUICK.keys() | cls.REPORT.keys()
    return {name: v for name, v in values.items() if name not in of_recipes or v != given[name]}


def config_of(run: Path, cls: type[Config], program: str, flag: str) -> Config:
    """Read the config of a run.

    Args:
        run: Its folder.
        cls: The config class of its trainer.
        program: Whose run it must be, as "train.gan".
        flag: How the user named the folder, for messages.

    Raises:
        BadInput: If it is not a run of that trainer.
    """
    config = replace(cls(), **_read_file(run / "config.json", flag, cls, program))
    _check_ranges(config)
    return config


def program_of(run: Path, flag: str) -> str:
    """Read which program made the run in a folder, which the user named by `flag`.

    Raises:
        BadInput: If it is not a run.
    """
    program = load_values(run / "config.json", flag, True).get("program")
    if not isinstance(program, str):
        raise BadInput(f"{flag} {run}: this is not a run: its config.json names no program")
    return program


def command(program: str, cls: type[Options], run: Callable[[Options], int]) -> Callable[..., int]:
    """Return the `main` of a command that works on runs; it has no recipes and files.

    Args:
        program: Its module, as "train.plot".
        cls: A dataclass of its options.
        run: Does what the options say, and returns the exit code.
    """

    def main(args: Sequence[str] | None = None) -> int:
        """Run the command; `args` are its words, None for those of the process."""

        def parse_and_run() -> int:
            prog, marks = f"python -m {program}", (tyro.conf.FlagCreatePairsOff,)
            options = tyro.cli(cls, args=args, prog=prog, config=marks)
            _check_ranges(options)
            return run(options)

        return guarded(parse_and_run)

    return main


def _command_line(default: Config, args: Sequence[str] | None, program: str) -> Config:
    """Lay a command line over a config; `--help` lists the options by their groups."""
    cls = type(default)
    hints = get_type_hints(cls, include_extras=True)
    docs = {
        param.arg_name: " ".join((param.description or "").split())
        for base in reversed(cls.__mro__[:-1])
        for param in docstring_parser.parse_from_object(base).params
    }
    groups: dict[str, list[Any]] = {heading: [] for heading in HEADINGS}
    for f in fields(cls):
        marks = getattr(hints[f.name], "__metadata__", ())
        heading = next((mark for mark in marks if mark in HEADINGS), TRAINING)
        value = getattr(default, f.name)
        shown = tyro.conf.arg(help=docs.get(f.name), help_behavior_hint=_hint(cls, f.name, value))
        groups[heading].append((f.name, Annotated[hints[f.name], shown], field(default=value)))
    parts = [
        (name, make_dataclass(name, part, frozen=True)) for name, part in groups.items() if part
    ]
    grouped = make_dataclass("Grouped", [(name, part, part()) for name, part in parts])
    read: Any = tyro.cli(
        grouped,
        args=args,
        prog=f"python -m {program}",
        description=cleandoc(cls.__doc__ or ""),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
    return cls(**{name: v for part in vars(read).values() for name, v in vars(part).items()})


def _hint(cls: type[RunConfig], name: str, default: Any) -> str:
    """What `--help` says of an option's default, and of the recipes that change it."""
    unsaid = default is None or default is False or default == ()
    values = {} if unsaid else {"default": default}
    for recipe in ("quick", "report"):
        if name in cls.of_recipe(recipe):
            values[recipe] = cls.of_recipe(recipe)[name]
    words = (
        f"{kind} {' '.join(map(str, v)) if isinstance(v, tuple) else v}"
        for kind, v in values.items()
    )
    return f"({', '.join(words)})" if values else ""


def _check_ranges(config: Any) -> None:
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        for allowed in getattr(hint, "__metadata__", ()):
            if isinstance(allowed, Allowed) and value is not None:
                values = value if isinstance(value, tuple) else (value,)
                if not all(map(allowed.test, values)):
                    shown = shortened(" ".join(map(str, values)) or "empty")
                    raise BadInput(f"{option(name)} is {shown}; allowed: {allowed.words}")
                if len(values) > allowed.many:
                    raise BadInput(
                        f"{option(name)} has {len(values):,} values; allowed: {allowed.many}"
                    )


def option(field: str) -> str:
    """Return how a config's field is written on the command line."""
    return "--" + field.replace("_", "-")


# --- reading files --------------------------------------------------------------------------------


def _read_file(
    path: Path, flag: str, cls: type[RunConfig], program: str | None = None
) -> dict[str, Any]:
    """The options in a file, as their types; `program` is whose run's file it must be, if any's."""
    content = load_values(path, flag, program is not None)
    found = content.pop("program", program)
    if program is not None and found != program:
        other = shortened(found) if isinstance(found, str) else quoted(found)
        raise BadInput(f"{flag} {path.parent}: this is a run of {other}, not of {program}")
    return _values(content, cls, {f.name for f in fields(cls)} - cls.NOT_IN_FILES, f"{path}: ")


def _values(
    content: Mapping[str, Any],
    cls: type[RunConfig],
    known: set[str],
    where: str,
    none_is_a_value: bool = False,
) -> dict[str, Any]:
    """Named values as the types of their options."""
    hints, values = get_type_hints(cls), {}
    for key, value in content.items():
        name = key.replace("-", "_")
        name = cls.FILE_ALIASES.get(name, name)
        if name in values:
            raise BadInput(f"{where}{quoted(key)} is given twice, under two names")
        if name not in known:
            close = difflib.get_close_matches(name[:LONG], known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            raise BadInput(f"{where}unknown option {quoted(key)}; {hint}")
        if value is not None:
            values[name] = typed(f"{where}{key}", value, hints[name])
        elif none_is_a_value and type(None) in get_args(hints[name]):
            values[name] = None
    return values
