"""Whatever a file holds, or a command line says: it is taken, or one clear error comes out.

`python -m tests.reliability.fuzz READER --minutes 10` looks for more, guided by coverage.
"""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reliability.readers import READERS, Reader

EXAMPLES = 150
DRAWN = 25  # of readers that draw what they have read, or build a parser
SLOW = {"command-line", "config-of-a-run", "environment", "judge", "table"}
SLOW |= {"metrics-gan", "metrics-lstm"}


@st.composite
def damaged(draw: st.DrawFn, reader: Reader) -> bytes:
    """A good input with some bytes changed, left out or put in; or any bytes at all."""
    seeds = reader.seeds()
    content = draw(st.sampled_from([*seeds, None]))
    if content is None:
        return draw(st.binary(max_size=200))
    pieces = st.one_of(st.sampled_from([b"", *reader.words]), st.binary(max_size=9))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 20, 1000]))
        content = content[:start] + draw(pieces) + content[start + length :]
    return content


@pytest.mark.parametrize("name", READERS)
def test_only_documented_errors_come_out(name: str) -> None:
    reader = READERS[name]

    examples = DRAWN if name in SLOW else EXAMPLES

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(damaged(reader))
    def check(content: bytes) -> None:
        reader.check(content)

    check()


@pytest.mark.parametrize("name", READERS)
def test_good_inputs_are_taken(name: str) -> None:
    reader = READERS[name]
    assert any([reader.check(content) for content in reader.seeds()])


VALUES = [None, True, 0, -1, 2**64, 10**400, 1.5, math.nan, math.inf, "", "/x" * 500, [], [1]]
VALUES += [{"pairs": []}, {"tuple": [1, 2]}, {"array": "/state/meter/sums/loss"}, {"x": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values in JSON's types."""
    pairs = enumerate(value) if isinstance(value, list) else ()
    for key, child in value.items() if isinstance(value, dict) else pairs:
        yield (*path, key)
        yield from places(child, (*path, key))


def test_a_forged_checkpoint_with_another_value_anywhere_is_refused_or_goes_on() -> None:
    reader, random = READERS["forged-checkpoint"], np.random.default_rng(17)
    good = json.loads(reader.seeds()[0])
    for path in places(good):
        content = copy.deepcopy(good)
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        for value in random.permutation(np.array(VALUES, object))[:2]:
            inner[path[-1]] = value
            reader.check(json.dumps(content).encode())
