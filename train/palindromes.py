"""The LSTM's task: read all digits of a palindrome but the last, and predict the last."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minigrad.data import Bytes

from .console import BadInput

_MANY = 18  # 10^18 palindromes are more than any data size


@dataclass(frozen=True)
class Examples:
    """Sequences and the digit that follows each."""

    digits: Bytes
    """(N, T), uint8, 0 to 9."""

    labels: npt.NDArray[np.int64]
    """(N,), the last digit of each palindrome, which equals its first."""

    def __len__(self) -> int:
        """Return the number of sequences, N."""
        return len(self.digits)

    def first(self, count: int) -> "Examples":
        """Return the first digits of each sequence only; the label is still the very first."""
        return Examples(self.digits[:, :count], self.labels)


def possible(input_length: int) -> int | None:
    """Return how many palindromes of input_length + 1 digits exist, None if more than 10^18.

    The first half is free and fixes the rest: 10^ceil((T + 1) / 2), leading zeros included.
    """
    half = _half(input_length)
    return 10**half if half <= _MANY else None


def _half(input_length: int) -> int:
    return input_length // 2 + 1


def draw(input_length: int, count: int, generator: np.random.Generator) -> Examples:
    """Draw distinct palindromes in random order.

    Args:
        input_length: How many digits are read, T; the palindromes have T + 1.
        count: How many to draw at most.
        generator: Draws the random numbers.

    Returns:
        `count` examples, or all palindromes of that length if fewer exist.
    """
    half, exist = _half(input_length), possible(input_length)
    if exist is not None and exist <= count:
        powers = 10 ** np.arange(half)[::-1]
        halves = (generator.permutation(exist)[:, None] // powers % 10).astype(np.uint8)
    else:
        halves = _distinct_rows(half, count, generator)
    mirrored = halves[:, ::-1] if input_length % 2 else halves[:, -2::-1]
    palindromes = np.concatenate([halves, mirrored], axis=1)  # (N, T + 1)
    return Examples(palindromes[:, :-1], palindromes[:, -1].astype(np.int64))


def _distinct_rows(width: int, count: int, generator: np.random.Generator) -> Bytes:
    rows: dict[bytes, None] = {}  # a set that keeps the order of drawing
    while len(rows) < count:
        drawn = generator.integers(0, 10, (max(count - len(rows), 1000), width), np.uint8)
        rows.update(dict.fromkeys(map(bytes, drawn)))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, width)[:count]


def split(examples: Examples, portion_train: float) -> tuple[Examples, Examples]:
    """Split into training and validation examples.

    Args:
        examples: Distinct examples in random order.
        portion_train: The share for training, between 0 and 1.

    Returns:
        The training and the validation examples, at least one of each.

    Raises:
        BadInput: If one of the two would be empty.
    """
    total = len(examples)
    count = round(total * portion_train)
    if not 0 < count < total:
        raise BadInput(
            f"--portion-train is {portion_train}: of {total} palindromes it leaves none for "
            f"{'validation' if count else 'training'}; allowed here: {1 / total:.2g} to "
            f"{1 - 1 / total:.4g}"
        )
    digits, labels = examples.digits, examples.labels
    return Examples(digits[:count], labels[:count]), Examples(digits[count:], labels[count:])
