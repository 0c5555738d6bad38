"""Level 1: which values were written to, and when, so that backward never uses changed ones unseen.

Tensors and records share one clock, `ages`. A record that is younger than the last write (the
usual case: an optimizer steps after backward) needs no further look. For an older one it is asked
whether its values share memory with what was written to, which finds a change through any view.
A write to the whole memory of an array is remembered by that array, any other by its addresses.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, TypeAlias
from weakref import ref

from minigrad.backends import Array, memory_owner, span_of
from minigrad.live import repeat

__all__ = [
    "ages",
    "last_write",
    "note_replaced",
    "note_write",
    "was_changed",
    "write",
]

ages = itertools.count(1)
_LIMIT = 10_000  # changes of a kind that are remembered; the oldest half is forgotten beyond

Span: TypeAlias = tuple[int, int]  # the addresses of the first byte, and after the last
Whole: TypeAlias = "ref[Array]"

_wholes: dict[int, tuple[int, Whole]] = {}  # by an array's id: the last write to all of its memory
_spans: dict[Span, int] = {}  # the last write to a part, or to memory that no NumPy array owns
_replaced: dict[int, int] = {}  # by a Tensor's id: when it was given another array
_last = 0
_last_span = 0


def last_write() -> int:
    """The age of the youngest write."""
    return _last


def write(array: Array, values: Any, index: Any = ...) -> None:
    """Write values into an array in place; only kernels change a Tensor's elements otherwise.

    Args:
        array: What is changed.
        values: Of the shape of `array[index]`, or one that broadcasts to it.
        index: Which elements; all of them if not given.

    Raises:
        ValueError: The array's memory is read-only.
    """
    try:
        array[index] = values
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ValueError(
            f"a Tensor of shape {array.shape} cannot be changed in place: its memory is read-only; "
            "give it a copy first, x.data = x.data.copy()"
        ) from None
    note_write(array)


def note_write(*arrays: Array) -> None:
    """Remember that a kernel has changed these arrays in place, outside the graph."""
    repeat(partial(_note, [*map(_place_of, arrays)]))  # a recorded step writes at each replay


def _place_of(array: Array) -> Whole | Span:
    """What to remember a write by; it keeps no array alive."""
    owner = memory_owner(array)
    if owner is not None and (
        array is owner or (array.nbytes == owner.nbytes and array.flags.forc)
    ):
        return ref(owner)
    return span_of(array)


def _note(places: list[Whole | Span]) -> None:
    global _last, _last_span
    _last = next(ages)
    for place in places:
        if isinstance(place, tuple):
            _last_span = _last
            _remember(_spans, place, _last)
        else:
            _remember(_wholes, id(place()), (_last, place))


def note_replaced(holder: object) -> None:
    """Remember that a Tensor was given another array."""
    global _last
    _last = next(ages)
    _remember(_replaced, id(holder), _last)


def _remember(changes: dict[Any, Any], what: object, when: object) -> None:
    changes.pop(what, None)  # so that the order is that of age
    changes[what] = when
    if len(changes) > _LIMIT:
        for old in list(changes)[: _LIMIT // 2]:
            del changes[old]


def was_changed(holder: object, array: Any, age: int) -> bool:
    """Whether a value that was saved at `age` is another one now.

    Memory that was freed and used again raises no false alarm: what uses it now is younger.

    Args:
        holder: The Tensor that it was saved from, if any.
        array: The value; anything but an array never changes.
        age: When it was saved.
    """
    if _replaced.get(id(holder), 0) > age:
        return True
    if not hasattr(array, "strides"):
        return False
    owner = memory_owner(array)
    if owner is not None:
        if id(owner) in _wholes and _wholes[id(owner)][0] > age:
            return True
        if _last_span <= age:
            return False
    spans = [*itertools.takewhile(lambda span: _spans[span] > age, reversed(_spans))]
    if owner is None:  # it may share the memory of any array
        written = [place() for when, place in _wholes.values() if when > age]
        spans += [span_of(whole) for whole in written if whole is not None]
    start, stop = span_of(array)
    return any(first < stop and start < last for first, last in spans)
