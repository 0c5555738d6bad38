"""The Tensors that a captured step uses, and where their values lie in memory."""

from __future__ import annotations

from typing import NamedTuple
from weakref import ref

from minigrad.backends import Array, on_host
from minigrad.backends.cupy.graph import same_memory
from minigrad.backends.memory import Place
from minigrad.tensor import Tensor
from minigrad.versions import write

__all__ = ["Assignment", "Leaf", "memory_of"]


class Leaf(NamedTuple):
    """A Tensor that a step used, with its memory and its switch; the Tensor is not kept alive."""

    tensor: ref[Tensor]
    memory: tuple[object, ...]
    requires_grad: bool

    def has_its_memory(self) -> bool:
        """Whether the Tensor's values still lie in the same memory, in the same order."""
        tensor = self.tensor()
        return tensor is not None and memory_of(tensor._data) == self.memory


def memory_of(array: Array) -> tuple[object, ...]:
    """What identifies an array's memory: address and layout on the GPU, the array on the CPU."""
    if on_host(array):
        return (id(array),)
    return array.data.ptr, array.dtype, array.shape, array.strides


class Assignment(NamedTuple):
    """A Tensor whose `.data` a step has assigned, and the memory that it had before."""

    tensor: Tensor
    before: ref[Array]
    memory: Array
    place: Place | None
    """The parameter's place in an optimizer's vector, if it has one."""

    @classmethod
    def of(cls, tensor: Tensor) -> Assignment:
        """Remember a Tensor before the assignment; its memory is kept, its array is not."""
        array, slot = tensor._data, tensor._slot
        place = None if slot is None else slot.data_place(tensor)
        memory = array if on_host(array) else same_memory(array)
        return cls(tensor, ref(array), memory if place is None else place.memory, place)

    def is_back(self) -> bool:
        """Whether the Tensor has its memory again; an optimizer's step also does that."""
        return memory_of(self.tensor._data) == memory_of(self.memory)

    def put_back(self) -> None:
        """Give the Tensor its old memory again, without a copy of the new values."""
        self.tensor._data = self.memory if self.place is None else self.place.lend()

    def bring_back(self) -> bool:
        """Copy the new values to the old memory, and give the Tensor that memory again.

        Returns:
            Whether the Tensor has its old memory now. It does not if something else refers to the
            new array, which would no longer share memory with the Tensor, or to the old array,
            whose values would change.
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
