"""Small MNIST-like files for tests."""

from pathlib import Path

import numpy as np

from minigrad.data import Bytes


def idx(array: Bytes) -> bytes:
    """The idx file that holds the array."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_digits(folder: Path, images: Bytes, labels: Bytes, prefix: str = "train") -> Path:
    """Write both files plain under folder/MNIST/raw and return that folder."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
    (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return raw
