"""Tensors that a captured step works with, and the memory that they have."""

from __future__ import annotations

from typing import NamedTuple
from weakref import ref

from minigrad.backends import Array, on_host
from minigrad.backends.cupy.graph import same_memory
from minigrad.backends.memory import Place
from minigrad.tensor import Tensor
from minigrad.versions import write

__all__ = ["Exchanged", "Leaf", "memory_of"]


class Leaf(NamedTuple):
    """A Tensor that a step worked with, and what it was then; it is not kept alive."""

    tensor: ref[Tensor]
    memory: tuple[object, ...]
    requires_grad: bool

    def has_its_memory(self) -> bool:
        """Whether the Tensor still has the memory that it had, in the same order."""
        tensor = self.tensor()
        return tensor is not None and memory_of(tensor._data) == self.memory


def memory_of(array: Array) -> tuple[object, ...]:
    """Where the elements of an array on the GPU lie; of one on the CPU the array itself."""
    if on_host(array):
        return (id(array),)
    return array.data.ptr, array.dtype, array.shape, array.strides


class Exchanged(NamedTuple):
    """A Tensor that a step has given another array, and the memory that it had before."""

    tensor: Tensor
    before: ref[Array]
    memory: Array
    place: Place | None
    """Where an optimizer has its values, if one has."""

    @classmethod
    def of(cls, tensor: Tensor) -> Exchanged:
        """A Tensor before the exchange; the array is not kept, but its memory is."""
        array, slot = tensor._data, tensor._slot
        place = None if slot is None else slot.data_place(tensor)
        memory = array if on_host(array) else same_memory(array)
        return cls(tensor, ref(array), memory if place is None else place.memory, place)

    def is_back(self) -> bool:
        """Whether the Tensor has its memory again, as after an optimizer's step."""
        return memory_of(self.tensor._data) == memory_of(self.memory)

    def put_back(self) -> None:
        """Give the Tensor its memory again, whatever is in it."""
        self.tensor._data = self.memory if self.place is None else self.place.lend()

    def bring_back(self) -> bool:
        """Copy the values to the memory before, and give it to the Tensor again.

        Returns:
            Whether that was done, or was not needed. It is not done where something else refers to
            the new array or to the old one: for that they would not be what they were.
        """
        if self.is_back():
            return True
        array = self.tensor._data
        is_old_free = self.before() is None if self.place is None else self.place.is_free()
        if array.dtype != self.memory.dtype or not is_old_free:
            return False
        others, values, self.tensor._data = ref(array), same_memory(array), None
        del array
        if (kept := others()) is not None:
            self.tensor._data = kept
            return False
        self.put_back()
        write(self.tensor._data, values)
        return True
