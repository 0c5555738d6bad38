"""Tensors that a captured step works with, and the memory that they have."""

from __future__ import annotations

from typing import NamedTuple
from weakref import ref

from minigrad.backends import Array, on_host
from minigrad.backends.cupy.graph import same_memory
from minigrad.tensor import Tensor

__all__ = ["Leaf", "is_alone", "memory_of"]


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


def is_alone(tensor: Tensor) -> bool:
    """Whether nothing else refers to the array of a Tensor, which gets another over its memory."""
    array, slot = tensor._data, tensor._slot
    others = ref(array)
    place = None if slot is None else slot.data_place(tensor)
    if place is None:
        tensor._data = same_memory(array)
    else:
        tensor._data = None
    del array
    if place is not None:
        is_alone = place.is_free()
        tensor._data = place.lend()
    return others() is None if place is None else is_alone
