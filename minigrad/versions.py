"""Which arrays were written to, and when, so that backward never uses a changed value unnoticed.

Records and writes are numbered by one counter, `ages`. A record that is younger than the last
write needs no check; this is the usual case, as an optimizer steps after backward. For an older
record, `was_changed` checks whether its saved values share memory with what was written to, which
finds a change through any view. A write to all of an array's memory is stored under that array,
any other write under its address range. A captured step writes again at each replay: `journal`
collects its writes, and `note_again` repeats them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from weakref import ref

from minigrad.backends import Array
from minigrad.backends.memory import memory_owner, span_of

__all__ = [
    "Memory",
    "ages",
    "journal",
    "last_write",
    "note_again",
    "note_replaced",
    "note_write",
    "was_changed",
    "write",
]

ages = itertools.count(1)
_LIMIT = 10_000  # entries per dictionary; beyond this, the oldest half is dropped

Span: TypeAlias = tuple[int, int]  # the addresses of the first byte, and after the last
Whole: TypeAlias = ref[Array]
Memory: TypeAlias = Whole | Span  # the memory of a write; it keeps no array alive

_wholes: dict[int, tuple[int, Whole]] = {}  # by array id: the last write to all of its memory
_spans: dict[Span, int] = {}  # the last write to a part, or to memory that no NumPy array owns
_replaced: dict[int, int] = {}  # by Tensor id: when its array was replaced
_last = 0
_last_span = 0


class _Journal(threading.local):
    """Per thread: the list that collects its writes, or None."""

    written: list[Memory] | None = None


_journal = _Journal()


def last_write() -> int:
    """The age of the youngest write."""
    return _last


def write(array: Array, values: Any, index: Any = ...) -> None:
    """Write values into an array in place; apart from kernels, nothing else changes elements.

    Args:
        array: The array to change.
        values: The new values, in a shape that broadcasts to that of `array[index]`.
        index: Which elements; all of them by default.

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
    written = [*map(_memory_of, arrays)]
    if _journal.written is not None:
        _journal.written += written
    note_again(written)


@contextmanager
def journal() -> Iterator[list[Memory]]:
    """Collect the memory that this thread writes to inside the `with` block."""
    before, _journal.written = _journal.written, []
    try:
        yield _journal.written
    finally:
        _journal.written = before


def _memory_of(array: Array) -> Memory:
    owner = memory_owner(array)
    if owner is not None and (
        array is owner or (array.nbytes == owner.nbytes and array.flags.forc)
    ):
        return ref(owner)
    return span_of(array)


def note_again(written: Iterable[Memory]) -> None:
    """Remember that this memory was written to now, for instance by the replay of a step."""
    global _last, _last_span
    _last = next(ages)
    for memory in written:
        if isinstance(memory, tuple):
            _last_span = _last
            _remember(_spans, memory, _last)
        elif (whole := memory()) is not None:
            _remember(_wholes, id(whole), (_last, memory))


def note_replaced(holder: object) -> None:
    """Remember that a Tensor's array was replaced by another one."""
    global _last
    _last = next(ages)
    _remember(_replaced, id(holder), _last)


def _remember(changes: dict[Any, Any], key: object, entry: object) -> None:
    changes.pop(key, None)  # so that the dictionary stays in the order of age
    changes[key] = entry
    if len(changes) > _LIMIT:
        for old in list(changes)[: _LIMIT // 2]:
            del changes[old]


def was_changed(holder: object, array: Any, age: int) -> bool:
    """Whether a value that was saved at `age` has changed since.

    Memory that was freed and used again raises no false alarm: the value that uses it now is
    younger than the writes from before.

    Args:
        holder: The Tensor whose array was saved, if any.
        array: The saved value; anything but an array never changes.
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
    if owner is None:  # unknown memory: it may overlap with any array
        written = [place() for when, place in _wholes.values() if when > age]
        spans += [span_of(whole) for whole in written if whole is not None]
    start, stop = span_of(array)
    return any(first < stop and start < last for first, last in spans)
