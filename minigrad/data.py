"""Digits and batches: MNIST's idx files, a bundled sample of MNIST, and shuffled mini-batches."""

import math
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from minigrad.errors import DataError, MissingDataError
from minigrad.files import KINDS, Readable, read_up_to

__all__ = [
    "Bytes",
    "DataError",
    "Indices",
    "MissingDataError",
    "batches",
    "load_digits",
    "read_idx",
    "sample_digits",
]

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]

BUNDLE = Path(__file__).parent / "digits"
_GZIP_MAGIC = b"\x1f\x8b"
_MOST_AXES = 64  # NumPy's limit
_MOST_BYTES = 2**30  # of an array; twenty times MNIST
_MOST_MEMBERS = 1000  # of a gzip file; programs write one, or one for each 64 KB
_IDX_BYTES = b"\x00\x00\x08"  # two zero bytes, then 8 for "unsigned bytes"


def read_idx(path: str | Path) -> Bytes:
    """Read an idx file of unsigned bytes, plain or compressed with gzip.

    Args:
        path: The file; its first bytes tell whether it is compressed.

    Returns:
        The array that the file holds (uint8, any number of dimensions).

    Raises:
        MissingDataError: If the file does not exist.
        DataError: If it cannot be read, is damaged, is not exactly one idx array of bytes, or the
            array has more than 1 GiB.

    Source: "The idx file format", http://yann.lecun.com/exdb/mnist/
    """
    path = Path(path)
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind in KINDS and kind != stat.S_IFDIR:  # a pipe might keep us waiting for ever
            raise DataError(f"{path} is {KINDS[kind]}, expected a plain file")
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            return _read_array(path, _Unpacked(file) if packed else file)
    except FileNotFoundError:
        raise MissingDataError(f"{path} does not exist") from None
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is truncated or corrupted ({error}); fetch the file again"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _read_array(path: Path, file: Readable) -> Bytes:
    """Read the header, and then the bytes that it promises, and not more."""
    start = read_up_to(file, 4)
    if start[:3] != _IDX_BYTES:
        raise DataError(
            f"{path} is not an idx file of bytes: it begins with "
            f"{start[:3].hex(' ') or 'nothing'}, expected 00 00 08; fetch the file again"
        )
    axes = start[3] if len(start) > 3 else 0
    if axes > _MOST_AXES:
        raise DataError(f"{path} is damaged: it says that it has {axes} axes")
    header = read_up_to(file, 4 * axes)
    if len(start) < 4 or len(header) < 4 * axes:
        raise DataError(
            f"{path} is truncated: it ends within its header, after {len(start + header)} bytes; "
            "fetch the file again"
        )
    shape = struct.unpack(f">{axes}I", header)
    expected = math.prod(shape)
    promise = f"its header says {' x '.join(map(str, shape))} = {expected:,} bytes"
    if expected > _MOST_BYTES:
        raise DataError(f"{path} is too large: {promise}, and at most {_MOST_BYTES:,} are read")
    if math.prod(n or 1 for n in shape) > _MOST_BYTES:  # no such array, though empty
        raise DataError(f"{path} is damaged: {promise}")
    content = read_up_to(file, expected)
    if len(content) < expected:
        raise DataError(
            f"{path} is truncated: {promise}, but {len(content):,} follow; fetch the file again"
        )
    if read_up_to(file, 1):
        raise DataError(
            f"{path} has trailing bytes: {promise}, but more follow; fetch the file again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


class _Unpacked:
    """What a gzip file holds, as a file to read.

    `gzip.GzipFile` takes a second for each MB of empty members; here their number is bounded.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._rest, self._members = file, b"", 1
        self._inflate = zlib.decompressobj(wbits=31)  # a gzip member, with its checksum

    def read(self, most: int, /) -> bytes:
        """Return the next bytes, at least one; none at the end of the last member.

        Raises:
            EOFError: If the file ends within a member.
            zlib.error: If it is damaged.
        """
        unpacked = b""
        while not unpacked:
            packed = self._rest or self._file.read(2**16)
            if not packed and self._inflate.eof:
                break
            if not packed:
                raise EOFError("it ends too early")
            if self._inflate.eof:
                self._rest = packed = packed.lstrip(b"\0")  # zeros may follow a member
                if not packed:
                    continue
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise zlib.error(f"more than {_MOST_MEMBERS:,} gzip members")
                self._inflate = zlib.decompressobj(wbits=31)
            unpacked = self._inflate.decompress(packed, most)
            self._rest = self._inflate.unused_data or self._inflate.unconsumed_tail
        return unpacked


def load_digits(folder: str | Path, train: bool = True) -> tuple[Bytes, Bytes]:
    """Read the MNIST digits from a folder in torchvision's layout.

    Args:
        folder: The folder that holds `MNIST/raw/` with the idx files, plain or as `.gz`.
        train: True for the 60,000 training digits, False for the 10,000 test digits.

    Returns:
        Images (N, 28, 28), uint8, 0 is paper and 255 is ink; labels (N,), uint8, 0 to 9.

    Raises:
        MissingDataError: If the file of the images or of the labels does not exist.
        DataError: If a file is damaged, or the images and labels do not match.
    """
    return _read_pair(Path(folder) / "MNIST" / "raw", "train" if train else "t10k")


def sample_digits() -> tuple[Bytes, Bytes]:
    """Read the bundled sample: the first 10,000 of MNIST's training digits.

    Returns:
        Images (10000, 28, 28), uint8, 0 is paper and 255 is ink; labels (10000,), uint8, 0 to 9.
    """
    return _read_pair(BUNDLE, "train")


def _read_pair(folder: Path, prefix: str) -> tuple[Bytes, Bytes]:
    images_path = _plain_or_gz(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _plain_or_gz(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (28, 28) or len(images) == 0:
        raise DataError(
            f"{images_path} holds an array of shape {images.shape}, "
            "expected (N, 28, 28) with N at least 1"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{labels_path} holds labels of shape {labels.shape}, "
            f"expected ({len(images)},) as {images_path.name} holds that many images"
        )
    if labels.max() > 9:
        raise DataError(f"{labels_path} holds the label {labels.max()}, expected 0 to 9")
    return images, labels


def _plain_or_gz(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        try:
            if path.exists():
                return path
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
    raise MissingDataError(f"{folder} holds neither {name} nor {name}.gz")


def batches(
    count: int, batch_size: int, generator: np.random.Generator, drop_last: bool = False
) -> Iterator[Indices]:
    """Shuffle the indices 0 to count - 1 and split them into batches.

    Args:
        count: The number of examples.
        batch_size: The number of examples in a batch; the last batch may be smaller.
        generator: NumPy's random generator for the shuffle; it is used once, at the call.
        drop_last: Whether to leave out a last batch that is not full.

    Returns:
        An iterator over index arrays (batch_size,), intp.

    Raises:
        TypeError: If count or batch_size is not an integer, or generator is not a generator.
        ValueError: If batch_size is less than 1, or count is negative.

    >>> [batch.size for batch in batches(10, 4, np.random.default_rng(0))]
    [4, 4, 2]
    """
    for name, number in (("count", count), ("batch_size", batch_size)):
        if not isinstance(number, int | np.integer):
            raise TypeError(f"batches: {name} must be an int, got {number!r}")
    if not hasattr(generator, "permutation"):
        raise TypeError(
            f"batches: expected a generator, as by np.random.default_rng(0), got {generator!r}"
        )
    if count < 0:
        raise ValueError(f"batches: count is {count}, expected at least 0")
    if batch_size < 1:
        raise ValueError(f"batches: batch_size is {batch_size}, expected at least 1")
    count, batch_size = int(count), int(batch_size)  # small NumPy integers would overflow below
    order = generator.permutation(count)
    stop = count - count % batch_size if drop_last else count
    return (order[start : start + batch_size] for start in range(0, stop, batch_size))
