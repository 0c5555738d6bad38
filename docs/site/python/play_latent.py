"""The latent space of the trained generator: points in it, ways through it, and their digits.

The page keeps the latent point; each function here gets points and returns what is to be seen.
docs/site/latent/ has the generator's weights, and says how they were made.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
import models
from minigrad.data import Bytes, sample_digits
from models.classifier import Classifier
from models.gan import Generator
from train import latent
from train.judge import BUNDLED, Reader

Array = npt.NDArray[Any]
Point = Sequence[float]

WEIGHTS = Path(models.__path__[0]).parent / "docs/site/latent/generator.npz"
TRIES, TOGETHER = 2000, 50  # latent points that are tried for a digit, and how many at a time
COMPARED = 200  # latent points of which the clearest begins or ends a way
ENDS = 3.0  # of a slider in the pictures beside it
PART = 500  # bundled digits that are read at a time
NEAREST = 3


@cache
def _weights() -> dict[str, Array]:
    with np.load(WEIGHTS) as file:
        return dict(file)


@cache
def _generator() -> Generator:
    generator = Generator().eval().requires_grad_(False)
    weights = _weights()
    state = generator.state_dict()
    generator.load_state_dict(
        {name: mg.tensor(weights[name].astype(value.dtype)) for name, value in state.items()}
    )
    return generator


@cache
def _reader() -> Reader:
    classifier = Classifier()
    classifier.load_state_dict(read_float32(BUNDLED))
    return Reader(classifier)


def read_float32(path: Path) -> dict[str, mg.Tensor]:
    """Read a safetensors file of float32 arrays without the package, which is not in the browser.

    Args:
        path: The file: 8 bytes for the header's length, the header in JSON, the numbers.
    """
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
        numbers = np.frombuffer(content[first:last], "<f4").reshape(entry["shape"])
        found[name] = mg.tensor(numbers)
    return found


def draw(points: Array) -> Bytes:
    """Return the generator's pictures (N, 28, 28) of points (N, 100); 255 is ink."""
    return latent.draw(_generator(), points.astype(np.float32))


def as_text(image: Bytes) -> str:
    """Return the 784 bytes of a picture in base64."""
    return base64.b64encode(image.tobytes()).decode()


def begin() -> dict[str, Any]:
    """Load the networks.

    Returns:
        `shares`: how much of what changes in the picture each slider's direction makes, 0 to 1;
        `unseen`: how far real digits that the generator has not seen are from the nearest
        bundled one, in the median.
    """
    _generator(), _reader()
    weights = _weights()
    return {"shares": weights["shares"].tolist(), "unseen": float(weights["unseen"])}


def random_point(seed: int) -> list[float]:
    """Draw a latent point as in the training: 100 numbers from the normal distribution."""
    return _as_list(np.random.default_rng(seed).standard_normal(100, np.float32))


def find(digit: int, seed: int) -> dict[str, Any]:
    """Draw latent points until the classifier reads one as a digit, and is sure of it.

    Returns:
        `z`, the point; `tried`, how many were drawn; `found`, whether it is sure enough. If none
        of TRIES is, `z` is the best.
    """
    best, most = np.zeros(100, np.float32), -1.0
    for count, (points, probability) in enumerate(_read_points(digit, seed, TRIES)):
        sure = np.flatnonzero(probability >= latent.CONFIDENT)
        if len(sure):
            tried = count * TOGETHER + int(sure[0]) + 1
            return {"z": _as_list(points[sure[0]]), "tried": tried, "found": True}
        if probability.max() > most:
            best, most = points[probability.argmax()], probability.max()
    return {"z": _as_list(best), "tried": TRIES, "found": False}


def clearest(digit: int, seed: int) -> list[float]:
    """Return the point that is read as a digit with the highest probability, of COMPARED points."""
    parts = list(_read_points(digit, seed, COMPARED))
    points, probability = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _as_list(points[probability.argmax()])


def _read_points(digit: int, seed: int, count: int) -> Iterator[tuple[Array, Array]]:
    """Draw latent points, some at a time, with the classifier's probabilities of a digit."""
    random = np.random.default_rng(seed)
    for _ in range(0, count, TOGETHER):
        points = random.standard_normal((TOGETHER, 100), np.float32)
        yield points, _reader().look(draw(points))[1][:, digit]


def turn(z: Point, coordinates: Sequence[float]) -> dict[str, Any]:
    """Move a point so that it has these coordinates along the sliders' directions, and show it."""
    directions = _weights()["directions"]
    point = np.asarray(z, np.float32)
    wanted = np.asarray(coordinates, np.float32)
    return show(_as_list(point + (wanted - directions @ point) @ directions))


def draw_rest(z: Point, seed: int) -> dict[str, Any]:
    """Draw a new point that has the same coordinates along the sliders' directions; show it."""
    directions = _weights()["directions"]
    return turn(random_point(seed), (directions @ np.asarray(z, np.float32)).tolist())


def show(z: Point) -> dict[str, Any]:
    """Show a latent point.

    Returns:
        `z`; `image`; `reading`, the classifier's ten probabilities; `length` of z; `coordinates`
        along the sliders' directions; `ends`, for each slider the pictures at both its ends.
    """
    directions = _weights()["directions"]
    point = np.asarray(z, np.float32)
    coordinates = directions @ point
    ends = np.array([-ENDS, ENDS], np.float32)
    steps = (ends - coordinates[:, None])[:, :, None] * directions[:, None]  # (8, 2, 100)
    images = draw(np.concatenate([point[None], (point + steps).reshape(-1, 100)]))
    return {
        "z": list(z),
        "image": as_text(images[0]),
        "reading": _reader().look(images[:1])[1][0].tolist(),
        "length": float(np.linalg.norm(point)),
        "coordinates": coordinates.tolist(),
        "ends": [
            [as_text(left), as_text(right)] for left, right in images[1:].reshape(-1, 2, 28, 28)
        ],
    }


def ways(start: Point, end: Point) -> dict[str, Any]:
    """Draw both ways between two points.

    Returns:
        "spherical" and "linear", each a list of pictures: `image`, `digit` that the classifier
        reads, its `probability`, and the `length` of the latent point.
    """
    return {kind: _pictures(_way(start, end, kind, latent.STEPS)) for kind in latent.WAYS}


def along(start: Point, end: Point, kind: str, percent: int) -> dict[str, Any]:
    """Show the point at some percent of a way between two points."""
    return show(_as_list(_way(start, end, kind, 101)[percent]))


def _way(start: Point, end: Point, kind: str, count: int) -> Array:
    return latent.WAYS[kind](np.asarray(start, np.float32), np.asarray(end, np.float32), count)


def _pictures(points: Array) -> list[dict[str, Any]]:
    images = draw(points)
    reading = _reader().look(images)[1]
    return [
        {
            "image": as_text(image),
            "digit": int(probability.argmax()),
            "probability": float(probability.max()),
            "length": float(np.linalg.norm(point)),
        }
        for image, probability, point in zip(images, reading, points, strict=True)
    ]


class _Known:
    """The bundled digits, as the classifier describes them; read part by part, which takes time."""

    def __init__(self) -> None:
        self.images, self.labels = sample_digits()
        self.features = np.empty((0, 128))

    def read(self) -> None:
        """Read one part more."""
        part = self.images[len(self.features) :][:PART]
        self.features = np.concatenate([self.features, _reader().look(part)[0]])


_known = cache(_Known)


def read_known() -> list[int]:
    """Let the classifier read some more bundled digits; return how many it has read, and all."""
    known = _known()
    if len(known.features) < len(known.images):
        known.read()
    return [len(known.features), len(known.images)]


def neighbours(z: Point) -> list[dict[str, Any]]:
    """Find the bundled digits that are the most like a point's, after `read_known` has read all.

    What is like is measured between the classifier's 128 features.

    Returns:
        The nearest first: `image`, the `digit` that it is, and its `distance`.
    """
    known = _known()
    features = _reader().look(draw(np.asarray(z, np.float32)[None]))[0]
    distances = np.sqrt(((known.features - features) ** 2).sum(axis=1))
    return [
        {
            "image": as_text(known.images[k]),
            "digit": int(known.labels[k]),
            "distance": float(distances[k]),
        }
        for k in np.argsort(distances)[:NEAREST]
    ]


def _as_list(point: Array) -> list[float]:
    return [float(x) for x in point]
