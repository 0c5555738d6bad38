"""A generator's latent space: search points that it draws as a digit, and ways between them."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.data import Bytes

from . import drawing
from .judge import Reader

Array = npt.NDArray[Any]
Way = Callable[[Array, Array, int], Array]

BATCH = 1000  # pictures drawn and read at a time
DIGITS = (3, 4)  # the ends of the way if the user names no digits
CONFIDENT = 0.9
KEPT = 50  # number of points for each digit to choose from
STEPS = 11
CAPTION = "what the classifier reads in each picture (bold: the points that were looked for)"


class Found(NamedTuple):
    """Latent points for one digit, the surest first."""

    points: Array
    """(K, D), float32."""

    confidence: Array
    """(K,), the classifier's probability of that digit, 0 to 1."""


class NotFound(ValueError):
    """The generator draws a digit too seldom, or too unclearly."""


def sample(generator: nn.Module, latent: Tensor) -> Bytes:
    """Return the generator's pictures of latent points: grey values (N, 28, 28), 255 is ink."""
    training = generator.training
    generator.eval()
    with mg.no_grad():
        images = generator(latent).to("cpu").numpy()
    generator.train(training)
    return drawing.to_grey(images)


def draw(generator: nn.Module, points: Array) -> Bytes:
    """Return the pictures (N, 28, 28) of points (N, D) of NumPy's, on the generator's device."""
    [device, *_] = {parameter.device for parameter in generator.parameters()}
    return sample(generator, mg.tensor(points, device=device))


def search(
    generator: nn.Module,
    reader: Reader,
    size: int,
    tries: int,
    keep: int,
    random: np.random.Generator,
) -> dict[int, Found]:
    """Try random latent points, and keep for each digit those the classifier is most sure of.

    Args:
        generator: Makes pictures (N, 784) of latent points.
        reader: The classifier.
        size: The number D of dimensions of the latent space.
        tries: Number of points to try.
        keep: Number of points to keep for each digit.
        random: Draws the points.

    Returns:
        The best points for each of the ten digits, however sure.
    """
    best = {digit: Found(np.empty((0, size), np.float32), np.empty(0)) for digit in range(10)}
    for start in range(0, tries, BATCH):
        points = random.standard_normal((min(BATCH, tries - start), size), np.float32)
        _, probabilities = reader.look(draw(generator, points))
        for digit, found in best.items():
            confidence = np.concatenate([found.confidence, probabilities[:, digit]])
            order = np.argsort(-confidence, kind="stable")[:keep]
            all_points = np.concatenate([found.points, points])
            best[digit] = Found(all_points[order], confidence[order])
    return best


def choose(found: Mapping[int, Found], digits: Sequence[int], least: float) -> Array:
    """Return a latent point for each digit (N, D); a repeated digit gets points far apart.

    Args:
        found: The result of `search`.
        digits: The digits, in order.
        least: The least confidence of the classifier, 0 to 1.

    Raises:
        NotFound: If there are too few points for a digit; the message says how close they were.
    """
    for digit, needed in Counter(digits).items():
        confidence = found[digit].confidence
        sure = int((confidence >= least).sum())
        if sure < needed:
            reached = f"{100 * confidence[0]:.3g} %" if len(confidence) else "nothing"
            raise NotFound(
                f"{'none' if sure == 0 else f'only {sure}'} of the pictures that the generator "
                f"drew can be read as a {digit} with {100 * least:.3g} % confidence, and {needed} "
                f"{'is' if needed == 1 else 'are'} needed; the best reached {reached}"
            )
    chosen: dict[int, list[Array]] = {}
    points = []
    for digit in digits:
        before = chosen.setdefault(digit, [])
        before.append(_another(found[digit], before, least))
        points.append(before[-1])
    return np.stack(points)


def _another(found: Found, before: Sequence[Array], least: float) -> Array:
    """The surest point; if it is taken, the sure one farthest from those taken."""
    if not before:
        surest: Array = found.points[0]
        return surest
    sure = found.points[found.confidence >= least]
    distances = np.linalg.norm(sure[:, None] - np.stack(before), axis=2).min(axis=1)
    farthest: Array = sure[distances.argmax()]
    return farthest


def clearest(found: Mapping[int, Found], wanted: tuple[int, int], least: float) -> tuple[int, int]:
    """Return the two digits wanted if both are sure enough, else the two surest."""
    if all(found[digit].confidence[0] >= least for digit in wanted):
        return wanted
    first, second, *_ = sorted(found, key=lambda digit: -found[digit].confidence[0])
    return first, second


def great_arc(start: Array, end: Array, count: int) -> Array:
    """Return points (count, D) on the arc from one point (D,) to another.

    Its points are as far from the origin as the random numbers the generator was trained on.
    Source: Shoemake 1985, section 3.3 (slerp).
    """
    cosine = float(start @ end / (np.linalg.norm(start) * np.linalg.norm(end)))
    angle = math.acos(max(-1.0, min(cosine, 1.0)))
    if math.sin(angle) < 1e-3:  # on one line with the origin no arc is defined
        return straight_line(start, end, count)
    way: Array = np.linspace(0, 1, count, dtype=start.dtype)[:, None]
    arc: Array = (np.sin((1 - way) * angle) * start + np.sin(way * angle) * end) / math.sin(angle)
    return arc


def straight_line(start: Array, end: Array, count: int) -> Array:
    """Return points (count, D) on the straight line from one point (D,) to another.

    Its middle is nearer to the origin than the random numbers the generator was trained on, by a
    factor of about sqrt(2).
    """
    way: Array = np.linspace(0, 1, count, dtype=start.dtype)[:, None]
    line: Array = (1 - way) * start + way * end
    return line


WAYS: dict[str, Way] = {"spherical": great_arc, "linear": straight_line}


def way_through(digits: Sequence[int]) -> str:
    """Return the title of strips."""
    return f"The way from {' to '.join(map(str, digits))} in the generator's latent space"


def strips(
    generator: nn.Module,
    reader: Reader,
    points: Array,
    digits: Sequence[int],
    steps: int,
    ways: Sequence[str],
) -> list[drawing.Strip]:
    """Draw the ways between points: a strip for each pair of neighbours and each kind of way.

    Args:
        generator: Makes pictures (N, 784) of latent points.
        reader: The classifier, which captions the pictures.
        points: (N, D), N at least 2.
        digits: The digits of the points, N.
        steps: Number of pictures in a strip, with both ends.
        ways: Names in `WAYS`.
    """
    found = []
    for leg in range(len(points) - 1):
        for way in ways:
            images = draw(generator, WAYS[way](points[leg], points[leg + 1], steps))
            read = reader.look(images)[1].argmax(axis=1)
            name = f"{digits[leg]} to {digits[leg + 1]}\n{way}"
            found.append(drawing.Strip(name, images, [str(digit) for digit in read]))
    return found
