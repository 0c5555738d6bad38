"""PIL.Image in NumPy: arrays as PNG files, and back.

Pillow is compiled for no browser that we could use. matplotlib writes an image into an SVG as PNG,
and the pages read pictures of runs; both need grey and coloured images of 8 bits, and no more.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Array = np.ndarray[Any, Any]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MODES = {"L": (0, 1), "RGB": (2, 3), "RGBA": (6, 4)}  # the number of each in a PNG, its channels


class UnidentifiedImageError(OSError):
    """A file is no picture that can be read."""


class Image:
    """A picture of 8 bits per channel: grey ("L"), "RGB" or "RGBA"."""

    def __init__(self, pixels: Array, mode: str) -> None:
        self._pixels, self.mode = pixels, mode
        self.height, self.width = pixels.shape[:2]
        self.size = self.width, self.height

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a picture has no {name!r} in the browser, where Pillow is not")

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *error: object) -> None: ...

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._pixels.__array_interface__

    def convert(self, mode: str) -> Image:
        """The picture in another mode; grey is 0.299 red + 0.587 green + 0.114 blue."""
        pixels = self._pixels
        if mode not in MODES:
            raise NotImplementedError(f"the mode {mode!r} is not in the browser")
        if mode == "L" and pixels.ndim == 3:
            parts = pixels[..., :3].astype(np.int64) @ (19595, 38470, 7471)
            pixels = ((parts + 32768) >> 16).astype(np.uint8)
        elif mode != "L":
            colors = (
                np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]
            )
            opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
            alpha = pixels[..., 3:] if self.mode == "RGBA" else opaque
            pixels = np.concatenate([colors, alpha], axis=2) if mode == "RGBA" else colors
        return Image(pixels, mode)

    def tobytes(self) -> bytes:
        """The pixels, row by row."""
        return self._pixels.tobytes()

    def verify(self) -> None:
        """Look for damage; reading the file has done it."""

    def save(self, fp: str | Path | BinaryIO, format: str | None = None, **options: Any) -> None:  # noqa: A002
        """Write a PNG file.

        Args:
            fp: Its path, or an open file.
            format: "png", or None if the path ends so.
            options: Pillow's, of which there are none here.
        """
        name = fp if isinstance(fp, str | os.PathLike) else ""
        if (format or Path(name).suffix.removeprefix(".")).lower() != "png" or options:
            raise NotImplementedError("only PNG files can be written in the browser")
        content = _encoded(self._pixels, self.mode)
        if isinstance(fp, str | os.PathLike):
            Path(fp).write_bytes(content)
        else:
            fp.write(content)


def fromarray(obj: Any, mode: str | None = None) -> Image:
    """A picture of an array (height, width), (height, width, 3) or (height, width, 4) of bytes."""
    pixels = np.ascontiguousarray(obj)
    found = {(2,): "L", (3, 3): "RGB", (3, 4): "RGBA"}.get((pixels.ndim, *pixels.shape[2:]))
    if pixels.dtype != np.uint8 or found is None or mode not in (None, found):
        raise TypeError(f"cannot make a picture of an array {pixels.shape} of {pixels.dtype} here")
    return Image(pixels, found)


def new(mode: str, size: tuple[int, int], color: Any = 0) -> Image:
    """A picture of one colour."""
    _, channels = MODES[mode]
    shape = size[::-1] if mode == "L" else (*size[::-1], channels)
    return Image(np.full(shape, color, dtype=np.uint8), mode)


def open(fp: Any, mode: str = "r", formats: Sequence[str] | None = None) -> Image:  # noqa: A001
    """Read a PNG file.

    Args:
        fp: Its path, or an open file.
        mode: Must be "r".
        formats: If given, "PNG" must be among them.

    Raises:
        UnidentifiedImageError: It is no PNG file, or damaged.
        NotImplementedError: It is of a kind that cannot be read in the browser.
    """
    if mode != "r" or (formats is not None and "PNG" not in formats):
        raise NotImplementedError("only PNG files can be read in the browser")
    if isinstance(fp, str | os.PathLike):
        content = Path(fp).read_bytes()
    else:
        fp.seek(0)
        content = fp.read()
    try:
        return _decoded(content)
    except (struct.error, zlib.error, ValueError, KeyError, IndexError) as error:
        raise UnidentifiedImageError(f"cannot identify image file {fp!r}: {error}") from None


def _encoded(pixels: Array, mode: str) -> bytes:
    number, channels = MODES[mode]
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, number, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _decoded(content: bytes) -> Image:
    if not content.startswith(SIGNATURE):
        raise ValueError("it is no PNG file")
    chunks: dict[bytes, bytes] = {}
    start = len(SIGNATURE)
    while b"IEND" not in chunks:
        size, kind = struct.unpack_from(">I4s", content, start)
        own = content[start + 8 : start + 8 + size]
        [check] = struct.unpack_from(">I", content, start + 8 + size)
        if check != zlib.crc32(kind + own):
            raise ValueError("a checksum is wrong")
        chunks[kind] = chunks.get(kind, b"") + own
        start += 12 + size
    width, height, bits, kind_of_color, _, _, interlaced = struct.unpack(
        ">IIBBBBB", chunks[b"IHDR"]
    )
    mode = {0: "L", 2: "RGB", 3: "P", 6: "RGBA"}.get(kind_of_color)
    if mode is None or interlaced or bits > 8 or b"tRNS" in chunks or (bits < 8 and mode != "P"):
        raise NotImplementedError("this kind of PNG file cannot be read in the browser")
    channels = MODES[mode][1] if mode != "P" else 1
    length = -(-width * channels * bits // 8)
    data = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + length)
    rows = _unfiltered(data, max(1, channels * bits // 8))
    if mode != "P":
        shape = (height, width) if mode == "L" else (height, width, channels)
        return Image(rows.reshape(shape), mode)
    if bits < 8:  # several pixels in a byte, the first in its highest bits
        shifts = np.arange(8 - bits, -1, -bits)
        rows = ((rows[..., None] >> shifts) & (2**bits - 1)).reshape(height, -1)[:, :width]
    return Image(np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows], "RGB")


def _unfiltered(data: Array, step: int) -> Array:
    """Undo the filters: rows hold differences from what stands left (`step` bytes) and above."""
    rows = np.zeros((len(data) + 1, data.shape[1] - 1 + step), np.uint8)  # zeros above and left
    for y, kind in enumerate(data[:, 0].tolist(), start=1):
        own, above = data[y - 1, 1:], rows[y - 1]
        if kind == 0:
            rows[y, step:] = own
        elif kind == 1:
            rows[y, step:] = np.cumsum(own.reshape(-1, step), axis=0, dtype=np.uint8).ravel()
        elif kind == 2:
            rows[y, step:] = own + above[step:]
        elif kind in (3, 4):
            rows[y] = _from_both(own.tolist(), above.tolist(), step, kind)
        else:
            raise ValueError(f"an unknown filter, {kind}")
    return rows[1:, step:]


def _from_both(own: list[int], above: list[int], step: int, kind: int) -> list[int]:
    """A row that holds differences from the mean, or the Paeth predictor, of its neighbours."""
    row = [0] * step
    for x, value in enumerate(own, start=step):
        a, b = row[x - step], above[x]
        if kind == 3:
            guess = (a + b) // 2
        else:
            c = above[x - step]
            to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = a if to_a <= to_b and to_a <= to_c else b if to_b <= to_c else c
        row.append((value + guess) & 255)
    return row
