"""A run: its folder with settings, metrics, weights, checkpoint and pictures, and its networks."""

import base64
import csv
import html
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.data import DataError
from minigrad.files import read_member

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from .console import DONE, BadInput, cause, warn
from .files import named_values, read_state, replacing, text_of, to_disk, write_state
from .progress import in_notebook

GROWING = ("metrics.jsonl", "timing.jsonl")  # a resumed run cuts them back to its checkpoint
MOST_TEXT = 2**22  # bytes of config.json and its like
MOST_LINES = 2**28  # bytes of a file that grows
CHECKPOINT = "checkpoint.safetensors"
# what reading a file may raise that holds something else than it should
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, nn.StateDictError)


class RunFolder:
    """The folder of one run; every file in it is whole at any moment.

    Args:
        path: An existing folder; `new_folder` makes one.
        resumed: Whether the run continues from its checkpoint.
    """

    def __init__(self, path: Path, resumed: bool = False) -> None:
        self.path, self.resumed = path, resumed
        self._board: Any = None

    @contextmanager
    def in_use(self, tensorboard: bool) -> Iterator[None]:
        """Keep other processes from training in the folder; open and close TensorBoard's file.

        Raises:
            BadInput: If another process trains in it.
        """
        with _locked(self.path):
            if tensorboard:
                self._board = summary_writer()(str(self.path / "tensorboard"), flush_secs=10)
            try:
                yield
            finally:
                if self._board is not None:
                    self._board.close()
                    self._board = None

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Give a path to write to, as `files.replacing` does, for a file in the folder."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        with replacing(target) as temporary:
            yield temporary

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file, indented."""
        text = json.dumps(values, indent=2, ensure_ascii=False)
        with self.replacing(name) as path:
            # a path whose name is not UTF-8 holds lone surrogates, which JSON can escape
            path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file; nothing if there is none.

        Raises:
            ValueError: If it is damaged.
        """
        path = self.path / name
        return named_values(read_member(path, MOST_TEXT)) if os.path.lexists(path) else {}

    def write_environment(self, here: Mapping[str, Any]) -> None:
        """Write environment.json: where the run started, and where it was resumed.

        No computation reads that file, so a damaged one ends no run.
        """
        name, before = "environment.json", dict(here)
        try:
            before = self.read_json(name) or before
        except (OSError, ValueError) as error:
            warn(f"{self.path / name} is damaged, and written anew: {error}")
        if self.resumed:
            resumed = before.get("resumed")
            before["resumed"] = [*(resumed if isinstance(resumed, list) else []), here]
        try:
            self.write_json(name, before)
        except OSError as error:
            warn(f"{self.path / name} cannot be written: {error}")

    def log(self, **values: float) -> None:
        """Append a line to the metrics, which hold nothing that depends on the clock."""
        self.append("metrics.jsonl", **values)
        if self._board is not None:
            for name in values.keys() - {"epoch", "step"}:
                self._board.add_scalar(name, values[name], values["step"])

    def append(self, name: str, **values: float) -> None:
        """Append one line to a file of JSON lines; nan and infinity become null."""
        line = {key: value if math.isfinite(value) else None for key, value in values.items()}
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_lines(self, name: str) -> list[dict[str, float]]:
        """Read a file of JSON lines, as the function `read_lines` does."""
        return read_lines(self.path / name)

    def measured(self) -> list[dict[str, float]]:
        """Read the metrics at the end of a training; none, with a warning, if they are damaged."""
        try:
            return self.read_lines("metrics.jsonl")
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

    def save(self, name: str, weights: Mapping[str, Tensor]) -> None:
        """Write weights as a safetensors file."""
        with self.replacing(name) as path:
            mg.save(dict(weights), path)

    def write_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a training's state and the sizes of its metrics, so that both survive a crash."""
        sizes = {}
        for name in GROWING:
            path = self.path / name
            path.touch()
            to_disk(path)
            sizes[name] = path.stat().st_size
        with self.replacing(CHECKPOINT) as path:
            write_state({"state": dict(state), "sizes": sizes}, path)
            to_disk(path)

    def go_on(self, load: Callable[[dict[str, Any]], None]) -> None:
        """Load the checkpoint, and drop the metrics that were measured after it.

        A run that ended before its first checkpoint begins anew.

        Args:
            load: Takes the state.

        Raises:
            BadInput: If the checkpoint or the metrics are missing or damaged; both are left as
                they are.
        """
        path = self.path / CHECKPOINT
        metrics, timing = (self.path / name for name in GROWING)
        written = metrics.read_bytes() if metrics.exists() else b""
        if not path.exists() and not written:
            return
        try:
            content = read_state(path)
        except (OSError, ValueError) as error:
            raise BadInput(f"--resume {self.path}: {error}") from None
        try:
            size, timing_size = (int(content["sizes"][name]) for name in GROWING)
            load(content["state"])
        except DAMAGE as error:
            raise BadInput(f"--resume {self.path}: {path.name} is damaged ({error!r})") from None
        if len(written) < size:
            raise BadInput(
                f"--resume {self.path}: {metrics.name} has {len(written)} bytes, fewer than the "
                f"{size} that the checkpoint knows of; it was changed or cut since"
            )
        try:
            _lines_of(written[:size], metrics)
        except DataError as error:
            raise BadInput(f"--resume {self.path}: {error}") from None
        if written[:size] and not written[:size].endswith(b"\n"):
            raise BadInput(
                f"--resume {self.path}: the first {size} bytes of {metrics.name}, which the "
                "checkpoint knows of, are no whole lines; it was changed since"
            )
        os.truncate(metrics, size)
        if timing.exists():  # if it was cut, the times are lost, but not the run
            os.truncate(timing, min(timing_size, timing.stat().st_size))


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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if fcntl is None:  # on Windows
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"--resume {path}: another process is training in it") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(folder)


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
        except FileExistsError:
            if name is not None and path.exists():
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
