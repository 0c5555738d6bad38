"""The folder of one run: settings, surroundings, measurements, weights and pictures."""

import csv
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.data import DataError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

from . import checkpoint
from .config import BadInput, named_values, text_of
from .console import warn

ROOT = Path(__file__).resolve().parent.parent
# packages that shape results, by how their names begin
SHAPERS = "minigrad numpy numba cupy nvidia-cublas safetensors matplotlib pillow"


GROWING = ("metrics.jsonl", "timing.jsonl")  # what a resumed run cuts back to its checkpoint
CHECKPOINT = "checkpoint.safetensors"
# what a file may raise that holds something else than what was written
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, nn.StateDictError)


class RunFolder:
    """The folder of one run; every file in it is whole at any moment.

    Args:
        path: An existing folder; `new_folder` makes one.
        resumed: Whether to go on from its checkpoint.
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

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file that a person can read."""
        text = json.dumps(values, indent=2, ensure_ascii=False)
        with self.replacing(name) as path:
            # a path whose name is not UTF-8 holds lone surrogates, which JSON can escape
            path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file back; nothing if there is none.

        Raises:
            ValueError: If it is damaged.
        """
        path = self.path / name
        return named_values(path.read_bytes()) if path.exists() else {}

    def write_environment(self, here: Mapping[str, Any]) -> None:
        """Write what the run started on to environment.json, or add what it was resumed on.

        Nothing is computed from that file, so one that is damaged ends no run.
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
        """Append one line to a file of JSON lines; what is not a number (nan, inf) becomes null."""
        line = {key: value if math.isfinite(value) else None for key, value in values.items()}
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_lines(self, name: str) -> list[dict[str, float]]:
        """Read a file of JSON lines back, as the function `read_lines` does."""
        return read_lines(self.path / name)

    def measured(self) -> list[dict[str, float]]:
        """Read the metrics, to sum up a training; none, with a warning, if they are damaged."""
        try:
            return self.read_lines("metrics.jsonl")
        except DataError as error:
            warn(f"There are no curves: {error}")
            return []

    def write_csv(self, name: str) -> None:
        """Write the lines of name.jsonl as a table, name.csv; empty where a line lacks a number.

        Raises:
            DataError: If they are damaged.
        """
        lines = self.read_lines(f"{name}.jsonl")
        columns = list(dict.fromkeys(key for line in lines for key in line))
        with (
            self.replacing(f"{name}.csv") as path,
            path.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, columns)
            table.writeheader()
            table.writerows(lines)

    def save(self, name: str, weights: Mapping[str, Tensor]) -> None:
        """Write weights as a safetensors file."""
        with self.replacing(name) as path:
            mg.save(dict(weights), path)

    def write_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write a training's state, with what has been measured up to it, to survive a crash."""
        sizes = {}
        for name in GROWING:
            path = self.path / name
            path.touch()
            _to_disk(path)
            sizes[name] = path.stat().st_size
        with self.replacing(CHECKPOINT) as path:
            checkpoint.write({"state": dict(state), "sizes": sizes}, path)
            _to_disk(path)

    def go_on(self, load: Callable[[dict[str, Any]], None]) -> None:
        """Go on from the checkpoint, and forget what has been measured since.

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
            content = checkpoint.read(path)
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

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Give a path to write to, and put what was written in the place of `name` at once.

        Args:
            name: A file name, or a path relative to the run folder.

        Yields:
            The path of a temporary file beside it, with the same ending.
        """
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        with replacing(target) as temporary:
            yield temporary


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, and put what was written in the place of a file at once."""
    temporary = target.with_name(f".unfinished-{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def read_lines(path: Path) -> list[dict[str, float]]:
    """Read a file of JSON lines, null as nan; an empty list if there is none.

    Raises:
        DataError: If a line holds anything but named numbers; its cause is what Python said.
    """
    return _lines_of(path.read_bytes(), path) if path.exists() else []


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


def _to_disk(path: Path) -> None:
    """Wait until a file's content would survive a loss of power."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


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


def new_folder(out: Path, task: str) -> Path:
    """Make the folder out/task/date_time, with a number behind it if it exists.

    Raises:
        BadInput: If no folder can be made there.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        path = out / task / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
        except (OSError, ValueError) as error:  # ValueError: a path that no folder can have
            raise BadInput(
                f"--out {out}: cannot make the run folder {path}: "
                f"{getattr(error, 'strerror', None) or error}; "
                "allowed: a folder in which you may write"
            ) from None


def environment(program: str, args: Sequence[str]) -> dict[str, Any]:
    """Describe what a run ran on.

    Args:
        program: The module that was run.
        args: The words of its command line.

    Returns:
        The command, the time of the start, the code's commit (None if it is not in a git
        checkout), versions and machine.
    """
    return {
        "command": shlex.join(["python", "-m", program, *args]),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": _versions(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _versions() -> dict[str, str]:
    try:
        installed = {d.name.lower(): d.version for d in metadata.distributions() if d.name}
    except Exception:  # a broken installation may raise anything
        return {}
    return {
        name: installed[name]
        for name in sorted(installed)
        if name.startswith(tuple(SHAPERS.split()))
    }


def _commit() -> str | None:
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
