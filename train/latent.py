"""A generator's latent space: search points that it draws as a digit, and ways between them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.data import Bytes

from .judge import Reader

if TYPE_CHECKING:
    from .drawing import Strip

Array = npt.NDArray[Any]
Way = Callable[[Array, Array, int], Array]

BATCH = 1000  # pictures drawn and read at a time
DIGITS = (3, 4)  # the ends of the way if the user names no digits
CONFIDENT = 0.9
KEPT = 50  # number of points for each digit to choose from
STEPS = 11


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
    return to_grey(images)


def to_grey(images: Array) -> Bytes:
    """Turn images (N, 784) from -1 (paper) to 1 (ink) into grey values (N, 28, 28), 255 is ink."""
    return np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8).reshape(-1, 28, 28)


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
    """Return a latent point for each digit (N, D), the surest.

    For a digit that comes again it is the sure point farthest from those taken.

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
    points: list[Array] = []
    for digit in digits:
        taken = [point for point, other in zip(points, digits, strict=False) if other == digit]
        if not taken:
            points.append(found[digit].points[0])
            continue
        clear = found[digit].points[found[digit].confidence >= least]
        distances = np.linalg.norm(clear[:, None] - np.stack(taken), axis=2).min(axis=1)
        points.append(clear[distances.argmax()])
    return np.stack(points)


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
    way = np.linspace(0, 1, count, dtype=start.dtype)[:, None]
    arc: Array = (np.sin((1 - way) * angle) * start + np.sin(way * angle) * end) / math.sin(angle)
    return arc


def straight_line(start: Array, end: Array, count: int) -> Array:
    """Return points (count, D) on the straight line from one point (D,) to another.

    Its middle is nearer to the origin than the random numbers the generator was trained on, by a
    factor of about sqrt(2).
    """
    way = np.linspace(0, 1, count, dtype=start.dtype)[:, None]
    line: Array = (1 - way) * start + way * end
    return line


WAYS: dict[str, Way] = {"spherical": great_arc, "linear": straight_line}


def strips(
    generator: nn.Module,
    reader: Reader,
    points: Array,
    digits: Sequence[int],
    steps: int = STEPS,
    ways: Iterable[str] = WAYS,
) -> list["Strip"]:
    """Draw the ways between points: a strip for each pair of neighbours and each kind of way.

    Args:
        generator: Makes pictures (N, 784) of latent points.
        reader: The classifier, which captions the pictures.
        points: (N, D), N at least 2.
        digits: The digits of the points, N.
        steps: Number of pictures in a strip, with both ends.
        ways: Names in `WAYS`.
    """
    from .drawing import Strip  # with matplotlib, which only this function needs

    found = []
    for (start, first), (end, last) in pairwise(zip(points, digits, strict=True)):
        for way in ways:
            images = draw(generator, WAYS[way](start, end, steps))
            read = reader.look(images)[1].argmax(axis=1)
            found.append(Strip(f"{first} to {last}\n{way}", images, [*map(str, read)]))
    return found
