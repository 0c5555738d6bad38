"""Level 1: which values were written to, and when, so that backward never uses changed ones unseen.

Tensors and records share one clock, `ages`. A record that is younger than the last write (the
usual case: an optimizer steps after backward) needs no further look; only for an older one are the
places in memory compared, which finds a change through any view.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from minigrad.backends import Array, span_of
from minigrad.live import repeat

__all__ = [
    "ages",
    "last_write",
    "lies_in",
    "note_replaced",
    "note_write",
    "was_replaced",
    "write",
    "written_since",
]

ages = itertools.count(1)
_LIMIT = 10_000  # places remembered; the oldest half is forgotten beyond

_written: dict[Any, int] = {}  # the age of the last write to a place: a span, or a Tensor's id
_last = 0


def last_write() -> int:
    """The age of the youngest write."""
    return _last


def _note(place: Any) -> None:
    global _last
    _last = next(ages)
    _written.pop(place, None)  # so that the order is that of age
    _written[place] = _last
    if len(_written) > _LIMIT:
        for old in list(_written)[: _LIMIT // 2]:
            del _written[old]


def write(array: Array, values: Any, index: Any = ...) -> None:
    """Write values into an array in place: the only way in which a Tensor's elements change.

    Args:
        array: What is changed.
        values: Of the shape of `array[index]`, or one that broadcasts to it.
        index: Which elements; all of them if not given.
    """
    array[index] = values
    note_write(array)


def note_write(*arrays: Array) -> None:
    """Remember that a kernel has changed these arrays in place, outside the graph."""
    repeat(partial(_note_spans, [*map(span_of, arrays)]))  # a recorded step writes at each replay


def _note_spans(spans: list[tuple[int, int]]) -> None:
    for span in spans:
        _note(span)


def note_replaced(holder: object) -> None:
    """Remember that a Tensor was given another array."""
    _note(id(holder))


def written_since(age: int) -> list[tuple[int, int]]:
    """The addresses that were written to after `age`, from the first byte to after the last.

    Memory that was freed and used again raises no false alarm: what uses it now is younger.
    """
    spans = []
    for place, written in reversed(_written.items()):  # the youngest write first
        if written <= age:
            break
        if type(place) is tuple:
            spans.append(place)
    return spans


def lies_in(array: Array, spans: list[tuple[int, int]]) -> bool:
    """Whether some of an array's memory lies in one of these places."""
    start, stop = span_of(array)
    return any([first < stop and start < last for first, last in spans])


def was_replaced(holder: object, age: int) -> bool:
    """Whether a Tensor was given another array after `age`."""
    return _written.get(id(holder), 0) > age
