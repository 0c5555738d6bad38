"""A folder in which every file is whole at any moment, and is read within bounds."""

import csv
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from minigrad import Tensor
from minigrad.data import DataError
from minigrad.files import TEMPORARY, append_to, read_member, refuse_strange, replacing, to_disk
from minigrad.serialization import to_bytes

from .console import BadInput, cause
from .files import named_values, quoted, text_of

MOST_TEXT = 2**22  # bytes of a JSON file
MOST_LINES = 2**28  # bytes of a file of JSON lines
MOST_COUNTED = 2**20  # lines of it


class Folder:
    """A folder whose files are whole at any moment.

    Args:
        path: An existing folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._grown: dict[str, tuple[int, Any]] = {}  # bytes written, and their SHA-256
        self._not_on_disk: dict[Path, None] = {}  # files whose content a loss of power may take

    @contextmanager
    def replacing(self, name: str, durable: bool = False) -> Iterator[Path]:
        """Give a path to write to, as `minigrad.files.replacing` does, for a file in the folder.

        If it is not to be durable, it survives a loss of power from the next `sync` on.
        """
        target = self.path / name
        if target.parent != self.path:
            with suppress(FileExistsError):
                target.parent.mkdir()
            if target.parent.is_symlink():
                raise OSError(f"{target.parent} is a link, expected a folder")
        with replacing(target, durable) as temporary:
            yield temporary
        if not durable:
            self._not_on_disk[target] = None

    def write(self, name: str, content: bytes, durable: bool = False) -> None:
        """Write a file; see `replacing`."""
        with self.replacing(name, durable) as path:
            path.write_bytes(content)

    def sync(self) -> None:
        """Wait until all that was written survives a loss of power."""
        waiting = [
            *self._not_on_disk,
            *{path.parent: None for path in self._not_on_disk},
            self.path,
        ]
        for path in waiting:
            with suppress(FileNotFoundError):  # somebody has removed a picture
                to_disk(path)
        self._not_on_disk.clear()

    def remove_unfinished(self) -> None:
        """Remove the temporary files that a killed process has left."""
        for pattern in (f"{TEMPORARY}*", f"*/{TEMPORARY}*"):
            for path in self.path.glob(pattern):
                if path.is_file():
                    path.unlink()

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a JSON file, indented, which survives a loss of power."""
        text = json.dumps(values, indent=2, ensure_ascii=False)
        # a path whose name is not UTF-8 holds lone surrogates, which JSON can escape
        self.write(name, (text + "\n").encode("utf-8", "backslashreplace"), durable=True)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file; nothing if there is none.

        Raises:
            OSError: If it cannot be read.
            DataError: If it is damaged.
        """
        path = self.path / name
        if not os.path.lexists(path):
            return {}
        content = read_member(path, MOST_TEXT)
        try:
            return named_values(text_of(content))
        except ValueError as error:
            raise DataError(f"{name} is damaged: {error}") from None

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

    def _written(self, name: str, most: int = MOST_LINES) -> bytes:
        path = self.path / name
        return read_member(path, most) if os.path.lexists(path) else b""

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


def refuse_strange_members(path: Path) -> None:
    """Refuse a folder that holds links, pipes or devices, through which writing would lead out.

    Raises:
        OSError: If a folder in it cannot be read.
        ValueError: If it does.
    """
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as members:
            for member in members:
                if member.is_dir(follow_symlinks=False):
                    folders.append(Path(member.path))
                else:
                    refuse_strange(Path(member.path))


def most_metrics(size: int) -> int:
    """Return how large metrics may be of which a checkpoint knows this many bytes."""
    return min(max(MOST_LINES, 2 * size), 2**32)


def read_lines(path: Path) -> list[dict[str, float]]:
    """Read a file of JSON lines, null as nan; an empty list if there is none.

    Raises:
        DataError: If a line holds anything but named numbers; its cause is Python's error.
    """
    try:
        content = read_member(path, MOST_LINES) if os.path.lexists(path) else b""
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {cause(error)}") from error
    return lines_of(content, path)


def lines_of(content: bytes, path: Path) -> list[dict[str, float]]:
    """Read the content of a file of JSON lines, as `read_lines` does."""
    found = []
    try:
        lines = text_of(content).splitlines()
        if len(lines) > MOST_COUNTED:
            raise DataError(f"{path} has {len(lines):,} lines; at most {MOST_COUNTED:,} are read")
        for line in lines:
            found.append({name: _number(value) for name, value in named_values(line).items()})
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} is damaged after {len(found)} good lines: {error}") from error
    return found


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or abs(value) > sys.float_info.max:
        raise ValueError(f"{quoted(value)} is no number")
    number: float = value
    return number
