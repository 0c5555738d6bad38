"""A run: its folder with settings, metrics, weights, checkpoints and pictures, and its networks."""

import base64
import csv
import hashlib
import html
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from minigrad import Tensor, nn
from minigrad.data import DataError
from minigrad.files import TEMPORARY, append_to, read_member, replacing, to_disk
from minigrad.serialization import to_bytes

from . import checkpoint
from .checkpoint import DAMAGE, GROWING, Checkpoint, Damaged
from .console import DONE, BadInput, cause, warn
from .files import named_values, text_of
from .lock import locked
from .progress import in_notebook

METRICS, TIMING = GROWING
MOST_TEXT = 2**22  # bytes of config.json and its like
MOST_LINES = 2**28  # bytes of a file that grows
FOLDERS = ("samples", "tensorboard")  # in which files are written


class RunFolder:
    """The folder of one run; every file in it is whole at any moment.

    Args:
        path: An existing folder; `new_folder` makes one.
        resumed: Whether the run continues from its checkpoint.
        program: The trainer's module, as "train.lstm".
        environment: What environment.json shall hold: where the run started, or was resumed.
    """

    def __init__(
        self,
        path: Path,
        resumed: bool = False,
        program: str = "",
        environment: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.resumed, self.program = path, resumed, program
        self.environment = dict(environment or {})
        self.saved_step: int | None = None
        """The number of steps done at the last checkpoint."""
        self._found: Checkpoint | None = None
        self._damaged: dict[str, str] = {}
        self._grown: dict[str, tuple[int, Any]] = {}  # bytes written, and their SHA-256
        self._not_on_disk: dict[Path, None] = {}  # files whose content a loss of power may take
        self._begun = self._is_locked = False
        self._board: Any = None
        self._settings: dict[str, Any] = {}
        self._data: dict[str, dict[str, str]] = {}
        self._arithmetic: dict[str, str] = {}
        self._cwd = str(Path.cwd())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder.

        Raises:
            BadInput: If another process trains in it.
        """
        if self._is_locked:
            yield
            return
        with locked(self.path):
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    @contextmanager
    def in_use(self, tensorboard: bool) -> Iterator[None]:
        """Keep other processes from training in the folder; open and close TensorBoard's file.

        Raises:
            BadInput: If another process trains in it.
        """
        with self.locked():
            if tensorboard:
                self._board = summary_writer()(str(self.path / "tensorboard"), flush_secs=10)
            try:
                yield
            finally:
                if self._board is not None:
                    self._board.close()
                    self._board = None

    # --- going on ---------------------------------------------------------------------------------

    def look(self) -> Checkpoint | None:
        """Find the checkpoint from which the run goes on, and change nothing.

        Returns:
            The newest one that is whole; None of a run that ended before its first.

        Raises:
            BadInput: If the folder holds a link, a pipe or a device, or the checkpoints or the
                metrics are damaged, or there are metrics and no checkpoint.
        """
        _refuse_strange_members(self.path)
        try:
            self._found, self._damaged = checkpoint.newest(self.path)
            metrics = self._written(METRICS)
            if self._found is not None:
                self._check_metrics(metrics)
            elif metrics:
                raise Damaged(f"there is no checkpoint, but {METRICS} has {len(metrics)} bytes")
        except (OSError, ValueError) as error:
            raise BadInput(f"--resume {self.path}: {error}") from None
        return self._found

    def _written(self, name: str) -> bytes:
        path = self.path / name
        return read_member(path, MOST_LINES) if path.exists() else b""

    def _check_metrics(self, written: bytes) -> None:
        """Refuse metrics other than those which the checkpoint knows of; more may follow them."""
        assert self._found is not None
        size = self._found.sizes[METRICS]
        if len(written) < size:
            raise Damaged(
                f"{METRICS} has {len(written)} bytes, fewer than the {size} that the checkpoint "
                "knows of; it was changed or cut since"
            )
        _lines_of(written[:size], self.path / METRICS)
        if written[:size] and not written[:size].endswith(b"\n"):
            raise Damaged(
                f"the first {size} bytes of {METRICS}, which the checkpoint knows of, are no whole "
                "lines; it was changed since"
            )
        if hashlib.sha256(written[:size]).hexdigest() != self._found.metrics:
            raise Damaged(
                f"the first {size} bytes of {METRICS} are not those which the run has written; it "
                "was changed since"
            )

    def go_on(
        self,
        settings: Mapping[str, Any],
        data: Mapping[str, Mapping[str, str]],
        load: Callable[[dict[str, Any]], None],
    ) -> None:
        """Load the checkpoint that `look` finds, if there is one; change nothing in the folder.

        Args:
            settings: What config.json shall hold from now on.
            data: What the run learns from, by name: its source, and its SHA-256.
            load: Takes the state.

        Raises:
            BadInput: If the checkpoint is damaged, or the settings or the data are not the run's.
        """
        found = self._found or self.look()
        if found is None:
            return
        where = f"--resume {self.path}"
        for name, own in found.data.items():
            here = data.get(name, {})
            if here.get("sha256") != own["sha256"]:
                raise BadInput(
                    f"{where}: the {name} are not those that the run has learnt from, which were "
                    f"{own['source']}; here are {here.get('source', 'none')}, with other content"
                )
        for name in ("program", *found.settings):
            if name not in FREE and found.settings.get(name) != settings.get(name):
                raise BadInput(
                    f"{where}: {name} is {settings.get(name)!r}, but the checkpoint was written "
                    f"with {found.settings.get(name)!r}"
                )
        try:
            load(found.state)
        except DAMAGE as error:
            name = next(name for name in checkpoint.NAMES if name not in self._damaged)
            raise BadInput(f"{where}: {name} is damaged ({error!r})") from None

    def begin(
        self,
        settings: Mapping[str, Any],
        data: Mapping[str, Mapping[str, str]] | None = None,
        arithmetic: Mapping[str, str] | None = None,
        files: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Write the settings, and bring the folder of a run that goes on to its checkpoint.

        Nothing in the folder has been changed before. What was measured after the checkpoint is
        dropped, and damaged checkpoints get another name.

        Args:
            settings: What config.json shall hold.
            data: What the run learns from, by name: its source, and its SHA-256.
            arithmetic: What the last bits of its results depend on.
            files: The content of the files of weights as of the checkpoint, None for no file.

        Raises:
            OSError: If it cannot be written.
        """
        self._settings, self._data = dict(settings), {k: dict(v) for k, v in (data or {}).items()}
        self._arithmetic = dict(arithmetic or {})
        found = self._found
        if found is not None:
            self._cwd = found.cwd
            self._bring_back(found, files or {})
        if not self._begun:
            self._begun = True
            self.write_json("config.json", settings)
            self._write_environment()
            self.sync()
            for folder in self.path.absolute().parents[:3]:  # the last three may be new as well
                with suppress(OSError):
                    to_disk(folder)

    def _bring_back(self, found: Checkpoint, files: Mapping[str, bytes | None]) -> None:
        for name, problem in self._damaged.items():
            other = checkpoint.set_aside(self.path, name)
            warn(f"{problem}; going on from the checkpoint before, and {name} is now {other}")
        for path in [*self.path.glob(f"{TEMPORARY}*"), *self.path.glob(f"*/{TEMPORARY}*")]:
            path.unlink()
        for name in GROWING:
            content = self._written(name)[: found.sizes[name]]
            with self.replacing(name) as path:  # not cut in place: it may have another name too
                path.write_bytes(content)
            self._grown[name] = len(content), hashlib.sha256(content)
        for name, wanted in files.items():
            path = self.path / name
            if wanted is None:
                path.unlink(missing_ok=True)
            elif not path.exists() or read_member(path, checkpoint.MOST) != wanted:
                self.write(name, wanted)
        self.sync()

    # --- writing ----------------------------------------------------------------------------------

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Give a path to write to, as `minigrad.files.replacing` does, for a file in the folder.

        It survives a loss of power from the next `sync` or checkpoint on.
        """
        target = self.path / name
        if target.parent != self.path:
            with suppress(FileExistsError):
                target.parent.mkdir()
            if target.parent.is_symlink():
                raise OSError(f"{target.parent} is a link, expected a folder")
        with replacing(target, durable=False) as temporary:
            yield temporary
        self._not_on_disk[target] = None

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self.replacing(name) as path:
            path.write_bytes(content)

    def sync(self) -> None:
        """Wait until all that was written survives a loss of power."""
        waiting = [*self._not_on_disk, *{path.parent: None for path in self._not_on_disk}, self.path]
        for path in waiting:
            with suppress(FileNotFoundError):  # somebody has removed a picture
                to_disk(path)
        self._not_on_disk.clear()

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file, indented."""
        text = json.dumps(values, indent=2, ensure_ascii=False)
        # a path whose name is not UTF-8 holds lone surrogates, which JSON can escape
        self.write(name, (text + "\n").encode("utf-8", "backslashreplace"))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file; nothing if there is none.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is damaged.
        """
        path = self.path / name
        return named_values(read_member(path, MOST_TEXT)) if os.path.lexists(path) else {}

    def _write_environment(self) -> None:
        """Write environment.json: where the run started, and where it was resumed.

        No computation reads that file, so a damaged one ends no run.
        """
        name, before = "environment.json", self.environment
        try:
            before = self.read_json(name) or before
        except (OSError, ValueError) as error:
            warn(f"{self.path / name} is damaged, and written anew: {error}")
        if self.resumed:
            resumed = before.get("resumed")
            earlier = resumed if isinstance(resumed, list) else []
            before = before | {"resumed": [*earlier, self.environment]}
        try:
            self.write_json(name, before)
        except OSError as error:
            warn(f"{self.path / name} cannot be written: {error}")

    def log(self, **values: float) -> None:
        """Append a line to the metrics, which hold nothing that depends on the clock."""
        self.append(METRICS, **values)
        if self._board is not None:
            for name in values.keys() - {"epoch", "step"}:
                self._board.add_scalar(name, values[name], values["step"])

    def append(self, name: str, **values: float) -> None:
        """Append one line to a file of JSON lines; nan and infinity become null."""
        line = {key: value if math.isfinite(value) else None for key, value in values.items()}
        content = (json.dumps(line) + "\n").encode()
        size, checksum = self._growth(name)
        append_to(self.path / name, content)
        checksum.update(content)
        self._grown[name] = size + len(content), checksum

    def _growth(self, name: str) -> tuple[int, Any]:
        """How much was written to a file that grows, and its SHA-256."""
        if name not in self._grown:
            content = self._written(name)
            self._grown[name] = len(content), hashlib.sha256(content)
        return self._grown[name]

    def read_lines(self, name: str) -> list[dict[str, float]]:
        """Read a file of JSON lines, as the function `read_lines` does."""
        return read_lines(self.path / name)

    def measured(self) -> list[dict[str, float]]:
        """Read the metrics at the end of a training; none, with a warning, if they are damaged."""
        try:
            return self.read_lines(METRICS)
        except DataError as error:
            warn(f"There are no curves: {error}")
            return []

    def write_csv(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as a table; a place is empty where a row lacks the column."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (
            self.replacing(name) as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, columns)
            table.writeheader()
            table.writerows(rows)

    def save(self, name: str, weights: Mapping[str, Tensor]) -> bytes:
        """Write weights as a safetensors file, and return its content."""
        content = to_bytes(dict(weights))
        self.write(name, content)
        return content

    def write_checkpoint(self, state: Mapping[str, Any], best: bytes | None = None) -> None:
        """Write a training's state, after all on which it relies has reached the disk.

        Args:
            state: What `go_on` shall load.
            best: The content of best.safetensors, None if there is none yet.

        Raises:
            OSError: If it cannot be written; the checkpoint before is still there.
        """
        for name in GROWING:
            self._growth(name)
            append_to(self.path / name, b"")
            self._not_on_disk[self.path / name] = None
        self.sync()
        content = Checkpoint(
            state=dict(state),
            settings=self._settings,
            data=self._data,
            arithmetic=self._arithmetic,
            cwd=self._cwd,
            sizes={name: self._growth(name)[0] for name in GROWING},
            metrics=self._growth(METRICS)[1].hexdigest(),
            best=None if best is None else np.frombuffer(best, np.uint8),
        )
        checkpoint.write(content, self.path)
        self.saved_step = state.get("step")


def _refuse_strange_members(path: Path) -> None:
    """Refuse a folder that holds links, pipes or devices, through which writing would lead out.

    Raises:
        BadInput: If it does, or a folder in it cannot be read.
    """
    try:
        for folder, _, _ in os.walk(path, onerror=_raise):
            for member in os.scandir(folder):
                if not member.is_dir(follow_symlinks=False):
                    refuse_strange(Path(member.path))
    except (OSError, ValueError) as error:
        raise BadInput(f"--resume {path}: {error}") from None


def _raise(error: OSError) -> None:
    raise error


def read_lines(path: Path) -> list[dict[str, float]]:
    """Read a file of JSON lines, null as nan; an empty list if there is none.

    Raises:
        DataError: If a line holds anything but named numbers; its cause is Python's error.
    """
    try:
        content = read_member(path, MOST_LINES) if os.path.lexists(path) else b""
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {cause(error)}") from error
    return _lines_of(content, path)


def _lines_of(content: bytes, path: Path) -> list[dict[str, float]]:
    found = []
    try:
        for line in text_of(content).splitlines():
            found.append({name: _number(value) for name, value in json.loads(line).items()})
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged after {len(found)} good lines: {error}") from error
    return found


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or abs(value) > sys.float_info.max:
        raise ValueError(f"{value!r} is no number")
    number: float = value
    return number


def summary_writer() -> Any:
    """Return TensorBoard's writer of measurements.

    Raises:
        BadInput: If the package is missing.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise BadInput('--tensorboard needs a package: pip install "tensorboardX"') from None
    return SummaryWriter


def new_folder(out: Path, task: str, name: str | None = None) -> Path:
    """Make a folder for a run.

    Args:
        out: The folder of all runs.
        task: The folder in it.
        name: The new folder in that one; None takes the date and time, and a number if need be.

    Raises:
        BadInput: If no folder can be made there, or the name is taken.
    """
    first = name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        path = out / task / (first if number == 1 else f"{first}_{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError as error:
            if not os.path.lexists(path):  # `out`, say, is a link to nowhere
                raise BadInput(
                    f"--out {out}: cannot make the run folder {path}: {error.filename} is in the "
                    "way; allowed: a folder in which you may write"
                ) from None
            if name is not None:
                raise BadInput(
                    f"--name is {name}, but {path} exists; allowed: a new name"
                ) from None
            number += 1
        except (OSError, ValueError) as error:  # ValueError: a path that no folder can have
            raise BadInput(
                f"--out {out}: cannot make the run folder {path}: {cause(error)}; "
                "allowed: a folder in which you may write"
            ) from None


@dataclass(frozen=True, repr=False)
class Run:
    """What a training has left; a notebook shows its pictures.

    Attributes:
        folder: Where everything is.
        networks: The networks after the last step, by name; the only one is named "".
        step: How many steps were trained.
        stopped_by: The number of the signal that ended the training early, or None.
    """

    folder: Path
    networks: Mapping[str, nn.Module]
    step: int = 0
    stopped_by: int | None = None

    @property
    def model(self) -> nn.Module:
        """The network that was trained; of a GAN, the generator that draws.

        Raises:
            AttributeError: If this is a sweep, which has trained many networks.
        """
        for name in ("", "average", "generator"):
            if name in self.networks:
                return self.networks[name]
        raise AttributeError(f"a sweep has no single model; its runs are in {self.folder}")

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl."""
        return read_lines(self.folder / "metrics.jsonl")

    @property
    def pictures(self) -> list[Path]:
        """The pictures in the folder."""
        return sorted(self.folder.glob("*.png"))

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0, or 128 and the number of the signal."""
        return DONE if self.stopped_by is None else 128 + self.stopped_by

    def show(self) -> None:
        """Show the pictures: in the notebook, or with the system's viewer."""
        if in_notebook():
            from IPython.display import display

            display(self)
        else:
            for path in self.pictures:
                with Image.open(path) as image:
                    image.show(path.name)

    def __repr__(self) -> str:
        ended = "" if self.stopped_by is None else ", stopped early"
        return f"<Run of {self.step} steps in {self.folder}{ended}>"

    def _repr_html_(self) -> str:
        """The pictures, as a notebook shows them."""
        images = (base64.b64encode(path.read_bytes()).decode() for path in self.pictures)
        style = "max-width: 100%; width: 800px"
        shown = [f'<img style="{style}" src="data:image/png;base64,{image}">' for image in images]
        return "<br>".join([html.escape(repr(self)), *shown])
