"""Every operation of a process on files, seen before it happens, to kill or to fail there."""

from __future__ import annotations

import builtins
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# by the name in `os`: what it does, in the words of a report
CALLS = {
    "replace": "rename",
    "rename": "rename",
    "unlink": "unlink",
    "remove": "unlink",
    "rmdir": "unlink",
    "truncate": "truncate",
    "ftruncate": "truncate",
    "mkdir": "mkdir",
    "fsync": "fsync",
    "fdatasync": "fsync",
    "write": "write",
}
UNAUDITED = ("write", "fsync")
AUDITED = ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir")


class Operation(NamedTuple):
    """Something that is about to be done to a file."""

    number: int
    """Counted from 1."""

    kind: str
    """open (to write), write, fsync, rename, unlink, truncate or mkdir."""

    name: str
    """The file, from the watched folder on; of a renamed one its new name."""

    def __str__(self) -> str:
        return f"{self.number} ({self.kind} of {self.name})"


Before = Callable[[Operation], int | None]


class Watch:
    """Lets something happen before each operation of this process on files below a folder.

    What is seen: whatever goes through Python's `open` and `os`. Python's own audit events are
    counted as well: if anything opens, renames or removes a file unseen, the next operation raises.

    Args:
        folder: The folder; nothing outside it is seen.
        before: Is called before each operation, and may end the process, raise an OSError, or give
            the number of bytes after which a write is to stop short.
    """

    def __init__(self, folder: Path, before: Before) -> None:
        self._folder, self._before = os.path.realpath(folder), before
        self._pid = os.getpid()
        self._number, self._seen, self._audited = 0, 0, 0
        self.opening = False

    def start(self) -> None:
        """Watch from now on, to the end of the process."""
        for name, kind in CALLS.items():
            setattr(os, name, self._watched(getattr(os, name), kind))
        os.open = self._opened(os.open)
        builtins.open = io.open = self._file  # type: ignore[assignment]
        sys.addaudithook(self._audit)

    def meet(self, kind: str, path: Any, audited: bool = True) -> int | None:
        """Count an operation if it is on a file below the folder, and let `before` see it.

        Args:
            kind: What is about to happen.
            path: To which file, by path or number.
            audited: Whether Python audits it too.
        """
        where = self._below(path)
        if where is None:
            return None
        if self._seen != self._audited:
            raise AssertionError(f"an operation before {kind} of {where} went unseen")
        self._number += 1
        short = self._before(Operation(self._number, kind, where))
        self._seen += audited
        return short

    def _below(self, path: Any) -> str | None:
        if os.getpid() != self._pid:
            return None
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        full = os.path.abspath(os.fsdecode(path))
        folder, name = os.path.split(full)
        full = os.path.join(os.path.realpath(folder), name)
        inside = full.startswith(self._folder + os.sep)
        return os.path.relpath(full, self._folder) if inside else None

    def _watched(self, call: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            path = args[1] if kind == "rename" else args[0]
            short = self.meet(kind, path, kind not in UNAUDITED)
            if short is not None and kind == "write":
                args = (args[0], args[1][:short])
            return call(*args, **options)

        return watched

    def _opened(self, call: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & WRITES:
                self.meet("open", path)
            return call(path, flags, *args, **options)

        return opened

    def _file(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """Python's `open`, whose writing is seen."""
        if not set(mode) & set("wax+") or self._below(file) is None:
            rest = (buffering, encoding, errors, newline, closefd, opener)
            return _open(file, mode, *rest)
        raw = WatchedFile(self, file, mode, closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        kind = io.BufferedRandom if "+" in mode else io.BufferedWriter
        buffer = kind(raw, size)
        if "b" in mode:
            return buffer
        return io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in AUDITED:
            return
        if event == "open":
            named_twice = self.opening and args[1] is not None  # by FileIO, and by its opener
            if named_twice or not (isinstance(args[2], int) and args[2] & WRITES):
                return
        if self._below(args[1] if event == "os.rename" else args[0]) is not None:
            self._audited += 1


_open = io.open


class WatchedFile(io.FileIO):
    """A file without a buffer whose writes are seen, and may stop short.

    Args:
        watch: Sees them.
        file: The path, or the number of an open file.
        mode: As for `open`.
        closefd: As for `open`.
        opener: As for `open`.
    """

    def __init__(self, watch: Watch, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        self._watch = watch
        plain = opener or (lambda path, flags: os.open(path, flags, 0o666))
        mode = mode.replace("t", "").replace("b", "")
        watch.opening = True
        try:
            super().__init__(file, mode, closefd, None if isinstance(file, int) else plain)
        finally:
            watch.opening = False

    def write(self, content: Any) -> int:  # type: ignore[override]
        short = self._watch.meet("write", self.fileno(), audited=False)
        return super().write(content if short is None else memoryview(content)[:short])

    def truncate(self, size: int | None = None) -> int:
        self._watch.meet("truncate", self.fileno(), audited=False)
        return super().truncate(size)


def recorded(begin: Callable[[Callable[[], None]], Any], folder: Path) -> list[Operation]:
    """Return the operations of a process that is not disturbed.

    Args:
        begin: Starts it; is given what the child does before.
        folder: The folder of the files.
    """
    with tempfile.TemporaryFile("w+") as log:

        def note(operation: Operation) -> None:
            print(*operation, sep="\t", file=log, flush=True)

        def prepare() -> None:
            Watch(folder, note).start()

        begin(prepare).wait()
        log.seek(0)
        lines = (line.rstrip("\n").split("\t") for line in log)
        return [Operation(int(number), kind, name) for number, kind, name in lines]
