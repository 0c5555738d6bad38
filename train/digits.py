"""MNIST: in the user's folder, fetched by torchvision, or the bundled sample of it."""

import hashlib
import importlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.data import Bytes, MissingDataError, load_digits, sample_digits

from .console import BadInput

FOLDER = Path("data")  # where to look if the user names no folder
BUNDLE = "the bundled sample"
HELD_OUT = 2000  # number of digits kept for validation where there are no test digits
PATIENCE = 5.0  # seconds after which a silent server counts as out of reach


@dataclass(frozen=True)
class Digits:
    """Images of digits, their labels, and where they come from."""

    images: Bytes
    """(N, 28, 28), uint8, 0 is paper and 255 is ink."""

    labels: Bytes
    """(N,), uint8, 0 to 9."""

    source: str
    """In words."""

    def __len__(self) -> int:
        """Return the number of digits, N."""
        return len(self.labels)

    def __getitem__(self, chosen: slice) -> "Digits":
        """Return some of them."""
        return Digits(self.images[chosen], self.labels[chosen], self.source)


def source(words: str, *arrays: npt.NDArray[Any]) -> dict[str, str]:
    """Describe what is learnt from: in words, and by a SHA-256 of the arrays' shapes and bytes."""
    checksum = hashlib.sha256()
    for array in arrays:
        checksum.update(f"{array.dtype.str}{array.shape}".encode())
        checksum.update(np.ascontiguousarray(array).data)
    return {"source": words, "sha256": checksum.hexdigest()}


def training_digits(
    data_dir: Path | None, say: Callable[[str], None], cwd: Path = Path(), fetch: bool = True
) -> Digits:
    """Find the training digits, or the bundled sample of them if the user asked for no folder.

    Args:
        data_dir: The folder that the user named, which holds `MNIST/raw/`; None takes `data`, or
            else the sample.
        say: Tells the user what happens.
        cwd: Where a relative path starts.
        fetch: Whether torchvision may fetch digits that are missing: not for a run that goes on,
            as it had them, and its folder may be a stranger's.

    Raises:
        BadInput: If the folder that the user named has no digits and they cannot be fetched.
        DataError: If a file is there but damaged.
    """
    folder = (cwd / (FOLDER if data_dir is None else data_dir)).absolute()
    place = str(folder / "MNIST" / "raw")
    try:
        return Digits(*load_digits(folder), place)
    except MissingDataError as error:
        missing = error
    problem = _fetch(folder, say) if fetch else "the run goes on with those it had"
    if problem is None:
        return Digits(*load_digits(folder), place)
    if data_dir is not None:
        raise BadInput(
            f"--data-dir {data_dir}: {missing}, and MNIST cannot be fetched: {problem}; expected "
            "a folder with MNIST/raw/train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or "
            ".gz (without --data-dir the bundled 10,000 digits are used)"
        )
    say(
        f"Using the bundled sample of 10,000 digits: there is no MNIST in {folder}, and it cannot "
        f"be fetched: {problem}."
    )
    return Digits(*sample_digits(), BUNDLE)


def unseen_digits(data_dir: Path | None, cwd: Path = Path()) -> Digits:
    """Find the test digits, which no network is trained on.

    Args:
        data_dir: The folder that the user named; None takes `data`.
        cwd: Where a relative path starts.

    Raises:
        MissingDataError: If they are not there.
        DataError: If a file is damaged.
    """
    folder = (cwd / (FOLDER if data_dir is None else data_dir)).absolute()
    images, labels = load_digits(folder, train=False)
    return Digits(images, labels, f"{len(images):,} test digits of {folder / 'MNIST' / 'raw'}")


def _fetch(folder: Path, say: Callable[[str], None]) -> str | None:
    """Let torchvision fetch MNIST into a folder; return None, or what prevented it."""
    try:
        mnist: Any = importlib.import_module("torchvision.datasets").MNIST
    except ImportError:
        return "torchvision is not installed (pip install torchvision)"
    except Exception as error:  # a torchvision that does not fit its torch fails in many ways
        return f"torchvision cannot be imported ({error})"
    server = mnist.mirrors[0]
    if not _answers(server):
        return f"{server} does not answer"
    say(f"Fetching MNIST into {folder} ...")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(4 * PATIENCE)
    try:
        mnist(folder, download=True)
    except (RuntimeError, OSError, ValueError) as error:  # ValueError: no folder can be so called
        return " ".join(str(error).split())
    finally:
        socket.setdefaulttimeout(before)
    return None


def _answers(url: str) -> bool:
    """Tell whether a server answers; in a thread, as the look-up of a name has no time limit."""
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError, HTTPException):
            try:
                urllib.request.urlopen(url, timeout=PATIENCE).close()
            except urllib.error.HTTPError as error:  # a refusal is an answer
                error.close()
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answered.is_set()
