"""Where the values of arrays lie: whose memory an array shares, and memory that is lent out."""

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
    """The addresses of an array's first byte, and after its last one."""
    if array.size == 0:
        return 0, 0
    if device_of(array) == "cpu":
        flags = array.flags
        if flags.forc and flags.writeable:  # a quarter of the time of the general way
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
    """The NumPy array whose memory an array shares, often itself.

    None where no such array is known: memory of a GPU, of a file or of another library.
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
    """Kept alive by a lent array, and by every view of that array."""

    __slots__ = ("__array_interface__", "__weakref__", "memory")
    __array_interface__: dict[str, Any]
    memory: Array


@with_kernels
def lender(memory: Array) -> Callable[[Any], Array]:
    """A function that makes an array over this memory, which keeps what it is given alive."""
    interface = memory.__array_interface__

    def lend(loan: Any) -> Array:
        loan.__array_interface__ = interface
        return np.asarray(loan)

    return lend


def _gone() -> None:
    """A weak reference to nothing."""


class Place:
    """Memory that is lent out as an array, and free again when nobody refers to that any more.

    The place has only weak references to what it has lent. A Tensor, a slice, a transpose or a
    NumPy array of it keeps the loan alive, so while any of them lives the place is not free.

    Args:
        memory: A C-contiguous array, which nobody else works with.

    Attributes:
        memory: The same.

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
        self._loan: Callable[[], _Loan | None] = _gone
        self._array: Callable[[], Array | None] = _gone

    def is_free(self) -> bool:
        """Whether nobody refers to what was lent."""
        return self._loan() is None

    def take(self) -> Array | None:
        """The memory as an array; None where somebody still refers to what was lent before."""
        return None if self._loan() is not None else self.lend()

    def lend(self) -> Array:
        """The memory as an array, to one more where others have it already."""
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
