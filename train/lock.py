"""One process at a time in a folder: a lock that ends with its process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .console import BadInput, warn

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from training in a folder.

    Where the file system has no locks, a warning says so.

    Raises:
        BadInput: If another process trains in it.
    """
    if fcntl is None:
        _warn(path)
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"--resume {path}: another process is training in it") from None
        except OSError:
            _warn(path)
        yield
    finally:
        os.close(folder)


def _warn(path: Path) -> None:
    warn(f"{path} cannot be locked here: take care that no other process trains in it")
