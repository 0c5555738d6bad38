"""Files are read within bounds, and written whole: neither a stranger nor a power cut can harm.

Windows has neither links that `open` could refuse nor folders that can be synchronized; what a
system lacks is left out there.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

__all__ = [
    "TEMPORARY",
    "append_to",
    "read_member",
    "read_up_to",
    "read_within",
    "refuse_strange",
    "replacing",
    "to_disk",
]

TEMPORARY = ".unfinished-"  # how the name of a file begins that is not whole yet


def _flags(*names: str) -> int:
    """The sum of flags of `os.open`, those that this system has."""
    return sum(getattr(os, name, 0) for name in names)


_NEW = _flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
_END = _flags("O_WRONLY", "O_APPEND", "O_CREAT", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
_ANY = _flags("O_RDONLY", "O_CLOEXEC", "O_BINARY")
_MEMBER = _ANY | _flags("O_NOFOLLOW", "O_NONBLOCK")  # opening a pipe would wait for its writer


@contextmanager
def replacing(target: Path, durable: bool = True) -> Iterator[Path]:
    """Give the path of a new, empty file, and put what was written there in the place of `target`.

    `target` is its old self or its new one at any moment, whole. The temporary file stands beside
    it, under a name that nobody can foresee, with the same ending.

    Args:
        target: The file to write or to replace; of a link, the link itself.
        durable: Whether to wait until the new file survives a loss of power.

    Raises:
        OSError: If it cannot be written; then `target` is as it was.
    """
    temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{target.suffix}")
    os.close(os.open(temporary, _NEW, 0o666))
    try:
        yield temporary
        if durable:
            to_disk(temporary)
        os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink()
    if durable:
        to_disk(target.parent)


def to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, survives a loss of power.

    Of a folder nothing is waited for where the system cannot: on Windows, on some file systems of
    networks, and where the folder may be written to but not read.

    Raises:
        OSError: If it cannot be written.
    """
    folder = path.is_dir()
    if folder and not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        return
    try:
        opened = os.open(path, _ANY if folder else _flags("O_RDWR", "O_CLOEXEC", "O_BINARY"))
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if not folder or error.errno not in _NO_WAY:
            raise


_NO_WAY = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM)


def append_to(path: Path, content: bytes) -> None:
    """Write at the end of a file, which is made if there is none; a link is not followed.

    Raises:
        OSError: If it cannot be written.
    """
    with open(path, "ab", opener=lambda name, _: os.open(name, _END, 0o666)) as file:
        file.write(content)


def read_within(path: str | Path, most: int) -> bytes:
    """Read a file that the user named, if it is not too large: it may be a link, or a pipe.

    Args:
        path: The file.
        most: The largest size in bytes that is taken.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger, or the path is one that no file can have.
    """
    return _read(path, _ANY, most)


def read_member(path: Path, most: int) -> bytes:
    """Read a file of a folder that may come from a stranger: a plain file, and not too large.

    Args:
        path: The file.
        most: The largest size in bytes that is taken.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger, or a link, a pipe, a device or a folder.
    """
    refuse_strange(path)
    return _read(path, _MEMBER, most)


class Readable(Protocol):
    """What can be read like an open file of bytes."""

    def read(self, most: int, /) -> bytes:
        """Return the next bytes, at most so many; none at the end."""


def read_up_to(file: Readable, most: int) -> bytes:
    """Read the next bytes of an open file, and take no memory for those that are not there."""
    parts = []
    while most > 0 and (part := file.read(min(most, 2**20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def refuse_strange(path: Path) -> None:
    """Refuse what is no plain file.

    Raises:
        OSError: If it does not exist.
        ValueError: If it is a link, a pipe, a device or a folder.
    """
    kind = stat.S_IFMT(os.lstat(path).st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"{path} is {KINDS.get(kind, 'no file')}, expected a plain file")


KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _read(path: str | Path, flags: int, most: int) -> bytes:
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        size = os.fstat(file.fileno()).st_size  # 0 of a pipe
        content = b"" if size > most else file.read((size or most) + 1)
    if max(size, len(content)) > most:
        raise ValueError(
            f"{path} has {max(size, len(content)):,} bytes or more; at most {most:,} are read"
        )
    return content
