"""Which values the options of the commands take.

The bounds keep a slip of the finger, or a stranger's config.json, from taking all memory, or for
ever.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """Which values an option takes: a test, and the same in words."""

    test: Callable[[Any], bool]
    words: str
    many: int = 100  # values of an option that takes several, at most


def whole(least: int, most: int = 10**9, many: int = 100) -> Allowed:
    """Return the whole numbers from `least` to `most`."""
    words = f"a whole number of at least {least}, at most {most:,}"
    return Allowed(lambda n: least <= n <= most, words, many)


EPOCHS = EXAMPLES = whole(1, 10**6)
PAIR = whole(2, 10**6)
COUNT, NOT_NEGATIVE = whole(1), whole(0)
LENGTH = whole(1, 10_000)  # digits that are read
WIDTH = whole(1, 2**14, many=20)  # units of a layer
SEED = Allowed(lambda n: 0 <= n < 2**63, "a whole number from 0 to 2^63 - 1")
POSITIVE = Allowed(lambda x: 0 < x < math.inf, "a finite number above 0")
AT_LEAST_ZERO = Allowed(lambda x: 0 <= x < math.inf, "a finite number of at least 0")
SHARE = Allowed(lambda x: 0 < x < 1, "a number between 0 and 1, neither of the two")
BELOW_ONE = Allowed(lambda x: 0 <= x < 1, "numbers from 0 to below 1")
NAME = Allowed(
    lambda name: name not in ("", ".", "..") and name.isprintable() and not set(name) & set("/\\"),
    "a name for a folder, without / and \\",
)
