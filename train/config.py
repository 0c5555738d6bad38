"""What a run is asked to do: options from the command line, from a file, and from a recipe."""

import codecs
import difflib
import json
import math
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import tyro


class BadInput(ValueError):
    """Something that the user gave and that cannot be used; the message says what is allowed."""


@dataclass(frozen=True)
class Allowed:
    """Which numbers an option takes: a test, and the same in words."""

    test: Callable[[float], bool]
    words: str


EPOCHS = Allowed(lambda n: 1 <= n <= 10**6, "a whole number of at least 1, at most 1,000,000")
COUNT = Allowed(lambda n: n >= 1, "a whole number of at least 1")
NOT_NEGATIVE = Allowed(lambda n: n >= 0, "a whole number of at least 0")
PAIR = Allowed(lambda n: n >= 2, "a whole number of at least 2")
SEED = Allowed(lambda n: 0 <= n < 2**63, "a whole number from 0 to 2^63 - 1")
POSITIVE = Allowed(lambda x: 0 < x < math.inf, "a finite number above 0")
AT_LEAST_ZERO = Allowed(lambda x: 0 <= x < math.inf, "a finite number of at least 0")
SHARE = Allowed(lambda x: 0 < x < 1, "a number between 0 and 1, neither of the two")
BELOW_ONE = Allowed(lambda x: 0 <= x < 1, "numbers from 0 to below 1")

RECIPE = tyro.conf.arg(help_behavior_hint=lambda best: f"(recipe best: {best})")


@dataclass(frozen=True)
class RunConfig:
    """The options that every trainer has."""

    FILE_ALIASES: ClassVar[dict[str, str]] = {"lr": "learning_rate"}
    NOT_IN_FILES: ClassVar[frozenset[str]] = frozenset({"config", "resume", "dry_run"})
    FREE_ON_RESUME: ClassVar[frozenset[str]] = frozenset({"epochs", "device", "quiet"})
    REPORT: ClassVar[dict[str, Any]] = {}
    """What recipe `report` changes; recipe `best` is the defaults as they stand."""

    recipe: Literal["best", "report"] = "best"
    """Settings that work best, or the course report's; your own options are stronger."""

    epochs: Annotated[int, EPOCHS] = 100
    """How many times to go through all the training examples."""

    batch_size: Annotated[int, COUNT] = 128
    """How many examples make up one training step."""

    learning_rate: Annotated[float, POSITIVE, tyro.conf.arg(aliases=["--lr"])] = 1e-3
    """The optimizer's step size at the start."""

    seed: Annotated[int, SEED] = 0
    """Seed of all random numbers; the same seed repeats a run on the same machine."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Where to compute; "gpu" needs an NVIDIA card and CuPy."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs")
    """Folder for results; each run makes a new folder of its own in there."""

    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Go on with the run in this folder, wherever it ended; only --epochs (more), --device and
    --quiet may differ."""

    checkpoint_minutes: Annotated[float, POSITIVE] = 1.0
    """After how many minutes, each time, to write what a run can be resumed from."""

    checkpoint_steps: Annotated[int | None, COUNT, tyro.conf.arg(metavar="N")] = None
    """After how many steps, each time, to do so besides."""

    tensorboard: bool = False
    """Write the measurements for TensorBoard too; needs tensorboardX."""

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A TOML file with options, or a run's config.json; the command line is stronger."""

    dry_run: bool = False
    """Only print the settings that would be used; touch nothing."""

    quiet: bool = False
    """No progress and no messages, only the last line with the result."""

    def decided(self) -> Self:
        """Return a config in which nothing is left to be chosen.

        Raises:
            BadInput: If two options do not go together.
        """
        return self

    def settings(self) -> dict[str, Any]:
        """Return every option that shapes the run, as the types of JSON."""
        left_out = self.NOT_IN_FILES | {"quiet"}
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}

    @property
    def title(self) -> str:
        """What its curves show."""
        return type(self).__name__.removesuffix("Config")


Config = TypeVar("Config", bound=RunConfig)
Options = TypeVar("Options")


def parse(cls: type[Config], args: Sequence[str] | None, prog: str) -> Config:
    """Read a trainer's options: command line before file before recipe.

    Args:
        cls: The trainer's config class.
        args: The words of the command line, None for the process's own.
        prog: How the program is called, for the help.

    Returns:
        The config with every field decided and within its range.

    Raises:
        BadInput: If the file or a value is not usable.
        SystemExit: By tyro, with code 2 if an option is unknown or not of its type, with code 0
            after `--help`.
    """

    def read(default: Config) -> Config:
        markers = (tyro.conf.FlagCreatePairsOff,)
        return tyro.cli(cls, args=args, default=default, prog=prog, config=markers)

    config = read(cls())
    if config.resume is not None:
        return _resumed(config.resume, cls, read, prog.split()[-1])
    given: dict[str, Any] = {}
    if config.config is not None:
        given = _own_choices(_read_file(config.config, "--config", cls), cls)
        config = read(replace(cls(), **given))
    if config.recipe == "report":
        config = read(replace(cls(), **(cls.REPORT | given)))
    _check_ranges(config)
    return config.decided()


def _resumed(run: Path, cls: type[Config], read: Callable[[Config], Config], prog: str) -> Config:
    """The config of a run that is to go on, with what the command line may change about it."""
    own = config_of(run, cls, prog, "--resume")
    config = read(own)
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


def config_of(run: Path, cls: type[Config], prog: str, flag: str) -> Config:
    """Read the config that a run was made with.

    Args:
        run: Its folder.
        cls: The config class of its trainer.
        prog: Which trainer's run it must be, as "train.gan".
        flag: What the user called the folder by, for messages.

    Raises:
        BadInput: If it is not a run of that trainer.
    """
    config = replace(cls(), **_read_file(run / "config.json", flag, cls, prog))
    _check_ranges(config)
    return config


def program_of(run: Path, flag: str) -> str:
    """Read which program made a run.

    Args:
        run: Its folder.
        flag: What the user called the folder by, for messages.

    Raises:
        BadInput: If it is not a run.
    """
    program = _load(run / "config.json", flag).get("program")
    if not isinstance(program, str):
        raise BadInput(f"{flag} {run}: this is not a run: its config.json names no program")
    return program


def parse_tool(cls: type[Options], args: Sequence[str] | None, prog: str) -> Options:
    """Read the options of a command that works on runs; there are no recipes and files.

    Args:
        cls: A dataclass of options.
        args: The words of the command line, None for the process's own.
        prog: How the program is called, for the help.

    Raises:
        BadInput: If a value is out of its range.
        SystemExit: By tyro, as for `parse`.
    """
    options = tyro.cli(cls, args=args, prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
    _check_ranges(options)
    return options


def _check_ranges(config: Any) -> None:
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        for allowed in getattr(hint, "__metadata__", ()):
            if isinstance(allowed, Allowed) and value is not None:
                numbers = value if isinstance(value, tuple) else (value,)
                if not all(allowed.test(number) for number in numbers):
                    shown = " ".join(map(str, numbers))
                    raise BadInput(f"{option(name)} is {shown}; allowed: {allowed.words}")


def option(field: str) -> str:
    """Return how a config's field is written on the command line."""
    return "--" + field.replace("_", "-")


def _read_file(
    path: Path, flag: str, cls: type[RunConfig], prog: str | None = None
) -> dict[str, Any]:
    """The options in a file, as their types; `prog` is whose file it must be, if one's at all."""
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)} - cls.NOT_IN_FILES
    values = {}
    content = _load(path, flag)
    program = content.pop("program", prog)
    if prog is not None and program != prog:
        raise BadInput(f"{flag} {path.parent}: this is a run of {program}, not of {prog}")
    for key, value in content.items():
        name = key.replace("-", "_")
        name = cls.FILE_ALIASES.get(name, name)
        if name in values:
            raise BadInput(f"{path}: {key!r} is given twice, under two names")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            raise BadInput(f"{path}: unknown option {key!r}; {hint}")
        if value is not None:
            values[name] = _typed(f"{path}: {key}", value, hints[name])
    return values


def _own_choices(values: dict[str, Any], cls: type[RunConfig]) -> dict[str, Any]:
    """Values without those that the recipe named among them gives: another one may replace it."""
    own = vars(cls()) | (cls.REPORT if values.get("recipe") == "report" else {})
    return {k: v for k, v in values.items() if k not in cls.REPORT or v != own[k]}


def _load(path: Path, flag: str) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"{flag} {path} cannot be read: {why}") from None
    try:
        return named_values(content, _json if path.suffix == ".json" else tomllib.loads)
    except ValueError as error:
        raise BadInput(f"{flag} {path} is neither TOML nor a run's config.json: {error}") from None


def _json(text: str) -> Any:
    """What a JSON text holds; a name that is given twice is refused, as TOML does."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        for name in values:
            if sum(name == other for other, _ in pairs) > 1:
                raise ValueError(f"{name!r} is given twice")
        return values

    return json.loads(text, object_pairs_hook=once)


def named_values(content: bytes, loads: Callable[[str], Any] = json.loads) -> dict[str, Any]:
    """Read the named values that a file holds.

    Args:
        content: Of the file.
        loads: Reads its format.

    Raises:
        ValueError: If it holds anything else.
    """
    try:
        values = loads(text_of(content))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"it holds {type(values).__name__}, expected named values")
    return values


def text_of(content: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 with a byte order mark, as Windows writes them.

    Raises:
        ValueError: If it is neither.
    """
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig")


def _typed(where: str, value: Any, hint: Any) -> Any:
    """Return a value from a file as the type of its option, or say what was expected."""
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        if value in kinds:
            return value
        expected = " or ".join(kinds)
    elif get_origin(hint) is tuple and kinds[-1] is ...:
        if isinstance(value, list):
            return tuple(_typed(where, v, kinds[0]) for v in value)
        expected = "a list"
    elif get_origin(hint) is tuple:
        if isinstance(value, list) and len(value) == len(kinds):
            return tuple(_typed(where, v, kind) for v, kind in zip(value, kinds, strict=True))
        expected = f"a list of {len(kinds)} numbers"
    elif Literal in {get_origin(kind) for kind in kinds}:  # or None
        return _typed(where, value, next(k for k in kinds if get_origin(k) is Literal))
    elif hint is Path or Path in kinds:
        if isinstance(value, str):
            return Path(value)
        expected = "a path"
    elif hint is bool:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                return float(value)
        expected = "a number"
    else:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        expected = "a whole number"
    raise BadInput(f"{where} is {value!r}; allowed: {expected}")
