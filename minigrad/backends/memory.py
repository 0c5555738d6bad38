"""Memory of arrays: its addresses, the array that owns it, and memory that is lent and reused."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import Array, device_of
from minigrad.backends.arrays import with_kernels

__all__ = ["Place", "kept_memory", "memory_owner", "span_of"]


def span_of(array: Array) -> tuple[int, int]:
    """The address of an array's first byte, and the address after its last byte."""
    if array.size == 0:
        return 0, 0
    if device_of(array) == "cpu":
        flags = array.flags
        if flags.forc and flags.writeable:  # four times as fast as `byte_bounds` below
            buffer = array if flags.c_contiguous else array.T
            start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
            return start, start + array.nbytes
        return np.lib.array_utils.byte_bounds(array)
    start = stop = int(array.data.ptr)
    for size, stride in zip(array.shape, array.strides, strict=True):
        reach = (size - 1) * stride
        start, stop = start + min(reach, 0), stop + max(reach, 0)
    return start, stop + int(array.itemsize)


def memory_owner(array: Array) -> Array | None:
    """The NumPy array that owns an array's memory: the array itself, or the base of a view.

    None where no NumPy array owns it: memory of a GPU, of a mapped file or of another library.
    """
    while type(array) is np.ndarray:
        if array.base is None:
            return array if array.flags.owndata else None
        array = array.base
        if type(array) is _Loan:
            array = array.memory
    return None


def kept_memory(array: Array) -> Any:
    """What keeps an array's memory on the GPU alive, without the array and without a loan."""
    memory = array.data.mem
    owner = getattr(memory, "_owner", None)  # of CuPy's UnownedMemory
    return owner.memory if type(owner) is _Loan else memory


class _Loan:
    """A token that a lent array and all its views keep alive; it dies with the last of them."""

    __slots__ = ("__array_interface__", "__weakref__", "memory")
    __array_interface__: dict[str, Any]
    memory: Array


@with_kernels
def lender(memory: Array) -> Callable[[Any], Array]:
    """A function `lend(loan)` that makes an array over this memory; the array keeps the loan."""
    interface = memory.__array_interface__

    def lend(loan: Any) -> Array:
        loan.__array_interface__ = interface
        return np.asarray(loan)

    return lend


def _dead() -> None:
    """Stand in for a dead weak reference: return None."""


class Place:
    """Memory that is lent out as an array, and is free again when nothing refers to that array.

    The place has only weak references to the array it has lent. A Tensor over that array, a slice,
    a transpose or any other view keeps the loan alive, so the place is not free while one of them
    is alive.

    Args:
        memory: A C-contiguous array that no other code uses.

    Attributes:
        memory: That array.

    Example:
        >>> place = Place(np.zeros(2))
        >>> row = place.take()[:1]
        >>> place.take() is None
        True
        >>> del row
        >>> place.take()
        array([0., 0.])
    """

    __slots__ = ("_array", "_lend", "_loan", "memory")

    def __init__(self, memory: Array) -> None:
        self.memory = memory
        self._lend = lender(memory)
        self._loan: Callable[[], _Loan | None] = _dead
        self._array: Callable[[], Array | None] = _dead

    def is_free(self) -> bool:
        """Whether nothing refers to the lent array or a view of it."""
        return self._loan() is None

    def take(self) -> Array | None:
        """The memory as a new array; None where an earlier loan is still in use."""
        return None if self._loan() is not None else self.lend()

    def lend(self) -> Array:
        """The memory as a new array, also where an earlier loan is still in use."""
        loan = self._loan()
        if loan is None:
            loan = _Loan()
            loan.memory = self.memory
            self._loan = weakref.ref(loan)
        array = self._lend(loan)
        self._array = weakref.ref(array)
        return array

    def has_lent(self, array: Array) -> bool:
        """Whether this is the array that was lent last."""
        return self._array() is array
