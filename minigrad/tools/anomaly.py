"""Finding what went wrong in a graph: the operation that first made a NaN or an infinity."""

from __future__ import annotations

import linecache
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from minigrad.backends import to_numpy
from minigrad.engine import Gradients, Record
from minigrad.errors import AnomalyError, ChangedValueError
from minigrad.grad_mode import Mode
from minigrad.observers import Observer, observed_by, thread
from minigrad.tensor import array_of

__all__ = ["AnomalyError", "detect_anomaly"]


class _AnomalyObserver(Observer):
    """Looks for a NaN or an infinity in every result and every gradient."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[str, int]] = {}  # by a record's age: its line, its checksum

    def operation(
        self,
        name: str,
        args: Iterable[Any],
        options: Mapping[str, Any],
        y: Any,
        record: Record | None,
    ) -> None:
        """Check the result of an operation."""
        before, after = _nonfinite(args), _nonfinite([y])
        if "NaN" in after and "NaN" in before:
            raise AnomalyError(f"{name}: an input already contains a NaN{_at(_line())}")
        if after - before and "NaN" not in before:
            raise AnomalyError(
                f"{name}: the result contains {_listed(after - before)}, which no input "
                f"does{_at(_line())}"
            )
        if record is not None:
            self.seen[record.age] = _line(), _checksum(record)

    def backward(self, record: Record) -> None:
        """Check that the values which a record is about to use have not changed."""
        line, checksum = self.seen.get(record.age, ("", None))
        if checksum not in (None, _checksum(record)):
            raise ChangedValueError(
                f"{record.plan.name}: a value that its derivative needs was written to after the "
                f"forward pass{_at(line)}; change a copy instead"
            )

    def gradients(self, record: Record, g: Any, gradients: Gradients) -> None:
        """Check the gradients that a record has returned."""
        new = _nonfinite(gradient for _, gradient in gradients) - _nonfinite([g])
        if new:
            line = self.seen.get(record.age, ("", None))[0]
            raise AnomalyError(
                f"{record.plan.name}: its derivative contains {_listed(new)}, which the gradient "
                f"of its result does not; the operation was called{_at(line) or ' before'}"
            )


class detect_anomaly(Mode):
    """Stop at the first operation that makes a NaN or an infinity, forward or backward.

    Inside `with mg.detect_anomaly():` every result and every gradient is checked, and the error
    names the operation and the line of the program that called it. An infinity that comes in as
    an input (a mask of -inf) may pass; a NaN may not. Values written to by NumPy between forward
    and backward (`x.data[...] = 0`) are found by a checksum. All of this is slow: use it to look
    for a fault, not to train. It sees the operations of the thread that entered it.

    Raises:
        AnomalyError: A result or a gradient contains a NaN or an infinity.
        ChangedValueError: Values that backward needs were written to.

    Example:
        >>> import minigrad as mg
        >>> with mg.detect_anomaly():
        ...     mg.log(mg.tensor([1.0, 0.0]))
        Traceback (most recent call last):
        minigrad.errors.AnomalyError: log: the result contains an infinity, which no input does...
    """

    def __init__(self) -> None:
        self._entered: list[ExitStack] = []  # a stack, for entering it twice

    def __enter__(self) -> None:
        thread.observer.refuse("detect_anomaly reads every value; use it without capture")
        stack = ExitStack()
        stack.enter_context(np.errstate(all="ignore"))  # AnomalyError says more than NumPy
        stack.enter_context(observed_by(_AnomalyObserver()))
        self._entered.append(stack)

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().close()


def _arrays(values: Iterable[Any]) -> Iterator[Any]:
    """All arrays and numbers among values, which may be nested."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _arrays(value)
        elif value is not None:
            yield array_of(value)


def _nonfinite(values: Iterable[Any]) -> set[str]:
    """Which of "NaN" and "infinity" occur in values."""
    found = set()
    for array in _arrays(values):
        if isinstance(array, float) or getattr(array, "dtype", np.dtype(bool)).kind == "f":
            if bool(np.isnan(array).any()):
                found.add("NaN")
            if bool(np.isinf(array).any()):
                found.add("infinity")
    return found


def _listed(kinds: set[str]) -> str:
    return " and ".join({"NaN": "a NaN", "infinity": "an infinity"}[kind] for kind in sorted(kinds))


def _checksum(record: Record) -> int:
    """A number that changes when one of a record's saved values does."""
    total = 0
    for array in _arrays(record.saved or ()):
        if hasattr(array, "strides"):
            total = zlib.crc32(np.ascontiguousarray(to_numpy(array)).data.cast("B"), total)
    return total


def _line() -> str:
    """The source line, outside minigrad, that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("minigrad."):
        frame = frame.f_back
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{number}: {linecache.getline(name, number).strip()}"


def _at(line: str) -> str:
    return f", at {line}" if line else ""
