"""How good are a generator's digits? A network that reads digits measures it.

The bundled judge, `train/judge.safetensors`, makes everybody's numbers comparable. It holds the
best weights of `python -m train.classifier --data-dir DIR --seed 0` on all of MNIST, those after
epoch 39 of 40 (Python 3.11.7, NumPy 2.4.6, Numba 0.68.1, OPENBLAS_NUM_THREADS=1,
OPENBLAS_CORETYPE=SkylakeX). It reads 99.01 % of the 10,000 test digits, which chose the epoch too.
Its floor is 3.24, or 12.76 where the reference is 2,000 bundled digits, on which it was trained.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import nn
from minigrad.data import Bytes, DataError, MissingDataError, sample_digits
from minigrad.files import KINDS
from models.classifier import Classifier

from .console import BadInput
from .digits import HELD_OUT, source, unseen_digits
from .files import in_one_line

Array = npt.NDArray[np.float64]

BATCH = 1000
BUNDLED = Path(__file__).with_name("judge.safetensors")
NEIGHBOURS = 3
ROWS = 200  # of a table of distances at a time: 16 MB for 10,000 columns


class Reader:
    """A trained classifier that reads pictures of digits.

    Args:
        classifier: Reads digits.

    Example:
        >>> images, labels = sample_digits()
        >>> Reader.load().look(images[:3])[1].argmax(axis=1) == labels[:3]
        array([ True,  True,  True])
    """

    def __init__(self, classifier: Classifier) -> None:
        # in float64 the numbers are the same on every machine, to many digits
        self._classifier = deepcopy(classifier).to("cpu").astype("float64").eval()

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> "Reader":
        """Read weights that `train.classifier` saved; None takes the bundled ones.

        Raises:
            OSError: If the weights cannot be read.
            ValueError: If the file is damaged, or weights are not finite.
            StateDictError: If it holds the weights of something else.
        """
        return Reader(_read(path))

    def look(self, images: Bytes) -> tuple[Array, Array]:
        """Return the classifier's features and probabilities of digits.

        Args:
            images: (N, 28, 28), uint8, 0 is paper and 255 is ink.

        Returns:
            Features (N, 128), the last hidden layer; probabilities (N, 10) of the ten digits.

        Raises:
            ValueError: If the images have another shape or dtype, or there are none.
        """
        if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or len(images) == 0:
            raise ValueError(
                f"images have shape {images.shape}, {images.dtype}; expected (N, 28, 28), uint8, "
                "with N at least 1"
            )
        parts = np.split(images, range(BATCH, len(images), BATCH))
        features, probabilities = zip(*map(self._look, parts), strict=True)
        return np.concatenate(features), np.concatenate(probabilities)

    def _look(self, images: Bytes) -> tuple[Array, Array]:
        with mg.no_grad():
            features = self._classifier.features(mg.tensor(images.reshape(-1, 784) / 255))
            logits = self._classifier.output(features)
            return features.numpy(), nn.functional.softmax(logits, dim=1).numpy()


def _read(path: str | PathLike[str] | None) -> Classifier:
    classifier = Classifier()
    path = BUNDLED if path is None else path
    kind = stat.S_IFMT(os.stat(path).st_mode) if os.path.exists(path) else stat.S_IFREG
    if kind in KINDS:  # a stranger's config.json may name a pipe, which keeps us waiting for ever
        raise ValueError(f"{path} is {KINDS[kind]}, expected a plain file")
    classifier.load_state_dict(mg.load(path))
    if not all(np.isfinite(value.numpy()).all() for value in classifier.state_dict().values()):
        raise ValueError(f"weights in {path} are nan or infinite")
    return classifier


class Judge(Reader):
    """A trained classifier, and real digits that a generator's are compared with.

    Args:
        classifier: Reads digits.
        reference: Real digits (N, 28, 28), uint8, 255 is ink.
        source: Where they come from, in words.

    Attributes:
        source: The same.

    Example:
        >>> judge = Judge.load(data_dir=Path("nowhere"))
        >>> judge.source
        'the last 2,000 bundled digits'
        >>> report = judge.report(sample_digits()[0][:2000])
        >>> round(report["fid"], 1) == round(judge.floor, 1)
        True
    """

    def __init__(self, classifier: Classifier, reference: Bytes, source: str) -> None:
        super().__init__(classifier)
        self._reference = reference
        self.source = source

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        data_dir: Path | None = None,
        cwd: Path = Path(),
    ) -> "Judge":
        """Read a judge's weights, and find its real digits.

        Args:
            path: Weights that `train.classifier` saved; None takes the bundled ones.
            data_dir: The folder that holds `MNIST/raw/` with the 10,000 test digits, None for
                `data`; if they are not there, the last 2,000 bundled digits are the reference.
            cwd: Where a relative path starts.

        Raises:
            OSError: If the weights cannot be read.
            ValueError: If the file is damaged, or weights are not finite.
            StateDictError: If it holds the weights of something else.
            DataError: If the test digits are damaged, or too few to compare with.
        """
        classifier = _read(None if path is None else cwd / path)
        try:
            unseen = unseen_digits(data_dir, cwd)
        except MissingDataError:
            images, _ = sample_digits()
            return cls(classifier, images[-HELD_OUT:], f"the last {HELD_OUT:,} bundled digits")
        if len(unseen) <= NEIGHBOURS:
            raise DataError(
                f"{unseen.source} are too few to judge by; expected at least {NEIGHBOURS + 1}, as "
                "MNIST's t10k files hold"
            )
        return cls(classifier, unseen.images, unseen.source)

    @property
    def count(self) -> int:
        """The number of real digits to compare with."""
        return len(self._reference)

    @property
    def fingerprint(self) -> dict[str, str]:
        """Its real digits and weights, by which a run that goes on knows it again."""
        weights = [value.numpy() for value in self._classifier.state_dict().values()]
        return source(self.source, self._reference, *weights)

    @cached_property
    def _features(self) -> Array:
        return self.look(self._reference)[0]

    @cached_property
    def _radii(self) -> Array:
        return radii(self._features)

    @cached_property
    def floor(self) -> float:
        """The FID of as many other real digits, MNIST's first: that of a perfect generator."""
        images, _ = sample_digits()
        return frechet_distance(self._features, self.look(images[: len(self._reference)])[0])

    def report(self, images: Bytes) -> dict[str, float]:
        """Measure how good and how varied images are.

        Args:
            images: (N, 28, 28), uint8, 0 is paper and 255 is ink. The FID of few images is larger;
                only that of `count` images compares with `floor`.

        Returns:
            `fid`; `precision` and `recall`, 0 to 1; `confidence`, the mean probability of the
            likeliest digit; `share_0` to `share_9`, the shares of the images that are read as each
            digit, 0 to 1, with `smallest_share` and `largest_share`.

        Raises:
            ValueError: If the images have another shape or dtype, or are fewer than 4.
        """
        features, probabilities = self.look(images)
        shares = np.bincount(probabilities.argmax(axis=1), minlength=10) / len(images)
        precision, recall = precision_recall(self._features, features, self._radii, radii(features))
        return {
            "fid": frechet_distance(self._features, features),
            "precision": precision,
            "recall": recall,
            "confidence": float(probabilities.max(axis=1).mean()),
            "smallest_share": float(shares.min()),
            "largest_share": float(shares.max()),
            **{f"share_{digit}": float(share) for digit, share in enumerate(shares)},
        }


@contextmanager
def judge_option(path: Path | None) -> Iterator[None]:
    """Load weights inside it: where the user named them, what is wrong with them is bad input."""
    try:
        yield
    except DataError:  # of the real digits, not of the weights
        raise
    except (OSError, ValueError, nn.StateDictError) as error:
        if path is None:
            raise
        raise BadInput(f"--judge {path}: {in_one_line(error)}") from None


def frechet_distance(a: Array, b: Array) -> float:
    """Return the Frechet distance of two samples as Gaussians; of features it is the FID.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2) of their means m and covariances C.

    Args:
        a: (N, D), N at least 2.
        b: (M, D), M at least 2.

    Raises:
        ValueError: If the shapes do not fit, or a value is not finite.

    Source: Heusel et al. 2017, eq. 6.

    >>> square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> round(frechet_distance(square, square + 3), 12)
    18.0
    """
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a, b), _gaussian(b, a)
    # C = R^T R, so C_a C_b has the squared singular values of R_a R_b^T as eigenvalues
    trace = np.linalg.norm(root_a @ root_b.T, "nuc")
    spread = (root_a**2).sum() + (root_b**2).sum() - 2 * trace
    return float(((mean_a - mean_b) ** 2).sum() + max(spread, 0.0))


def _gaussian(sample: Array, other: Array) -> tuple[Array, Array]:
    """The mean (D,) of a sample, and a root R of its covariance R^T R, which may be singular."""
    _check(sample, other, 2)
    mean = sample.mean(axis=0)
    root = np.linalg.qr(sample - mean, mode="r") / np.sqrt(len(sample) - 1)
    return mean, root


def precision_recall(
    real: Array, fake: Array, real_radii: Array, fake_radii: Array
) -> tuple[float, float]:
    """Return how many fakes look real, and how much of the real points the fakes cover.

    A sample covers a point if one of the sample's points is near it: no farther away than that
    point's own k-th nearest neighbour in the sample.

    Args:
        real: (N, D).
        fake: (M, D).
        real_radii: The `radii` of the real points (N,).
        fake_radii: Those of the fakes (M,).

    Returns:
        The share of the fakes that the real points cover, and the share of the real points that
        the fakes cover.

    Raises:
        ValueError: If the shapes do not fit, or a value is not finite.

    Source: Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing
    generative models", eq. 1 and 2.

    >>> real = np.arange(10.0)[:, None]
    >>> fake = real[:5] / 2
    >>> precision_recall(real, fake, radii(real), radii(fake))
    (1.0, 0.4)
    """
    _check(real, fake, 1)
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, distances in _squared_distances(fake, real):
        precise[rows] = (distances <= real_radii).any(axis=1)
        recalled |= (distances <= fake_radii[rows, None]).any(axis=0)
    return float(precise.mean()), float(recalled.mean())


def radii(sample: Array, k: int = NEIGHBOURS) -> Array:
    """Return the squared distance of each point (N, D) to its k-th nearest neighbour, (N,).

    Raises:
        ValueError: If there are not more than k points, or a value is not finite.
    """
    _check(sample, sample, k + 1)
    found = np.empty(len(sample))
    for rows, distances in _squared_distances(sample, sample):
        distances.partition(k, axis=1)
        found[rows] = distances[:, k]  # not k - 1: each point is the nearest to itself
    return found


def _squared_distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of rows of the table of squared distances (N, M), and which rows they are."""
    squares = (b * b).sum(axis=1)
    for start in range(0, len(a), ROWS):
        rows = slice(start, start + ROWS)
        block = a[rows]
        table = block @ (-2 * b.T)
        table += (block * block).sum(axis=1)[:, None]
        table += squares
        yield rows, np.maximum(table, 0, out=table)  # rounding may leave -1e-13


def _check(sample: Array, other: Array, least: int) -> None:
    if sample.ndim != 2 or sample.shape[1:] != other.shape[1:] or len(sample) < least:
        raise ValueError(
            f"samples of shapes {sample.shape} and {other.shape}; expected (N, D) and (M, D) with "
            f"N and M at least {least}"
        )
    if not np.isfinite(sample).all():
        raise ValueError("a sample holds nan or infinity; expected finite numbers")
