"""The flat vector: parameters side by side in one array, and their gradients in another.

An optimizer computes the same for every number of every parameter, so it is one sweep over one long
vector. Each parameter's array becomes a part of that vector; the first gradient of a pass is
written into the same part of a second vector. Whatever does not lie there (a frozen parameter, a
gradient that somebody assigned) only cuts the sweep into shorter runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, cache_block, to_device
from minigrad.backends.arrays import empty
from minigrad.backends.memory import Place
from minigrad.observers import thread
from minigrad.optim.groups import OwnState
from minigrad.tensor import Tensor
from minigrad.versions import write

__all__ = ["FlatVector", "Run", "give_up", "is_laid_out", "lay_out", "owner_of"]


class Run(NamedTuple):
    """Neighbouring parameters that are updated in one sweep.

    Attributes:
        first: The first parameter's number.
        last: The number after the last one's.
        data: Their values, one after the other.
        gradient: Their gradients, in the same way.
    """

    first: int
    last: int
    data: Array
    gradient: Array


class Slot:
    """A parameter's part of a flat vector, see `tensor.GradientSlot`; it keeps no vector alive."""

    __slots__ = ("number", "vector")

    def __init__(self, vector: FlatVector, number: int) -> None:
        self.vector = weakref.ref(vector)
        self.number = number

    def take(self, leaf: Tensor) -> Array | None:
        """The place for the parameter's gradient, or None where it is not free."""
        vector = self.vector()
        if vector is None or not vector.holds(self.number, leaf):
            return None
        return vector.gradient_places[self.number].take()

    def holds(self, array: Array) -> bool:
        """Whether an array is the one that was given for the gradient."""
        vector = self.vector()
        return vector is not None and vector.gradient_places[self.number].has_lent(array)

    def place(self) -> Place | None:
        """The place for the gradient; None where the vector is gone."""
        vector = self.vector()
        return None if vector is None else vector.gradient_places[self.number]

    def data_place(self, leaf: Tensor) -> Place | None:
        """The place of the parameter's values; None where they are elsewhere."""
        vector = self.vector()
        if vector is None or not vector.data_places[self.number].has_lent(leaf._data):
            return None
        return vector.data_places[self.number]

    def stretch(self) -> tuple[Array, int, int] | None:
        """The vector of all gradients, and where in it this one begins and ends."""
        vector = self.vector()
        if vector is None:
            return None
        return vector.gradient, *vector.bounds[self.number : self.number + 2]


class FlatVector:
    """Parameters of one dtype and device, their gradients, and an optimizer's state for them.

    Args:
        parameters: At least one. A parameter that lives in another optimizer's vector must be
            alone: it stays where it is, and so is a vector of its own.

    Attributes:
        parameters: As given.
        bounds: Where each parameter begins in the vector, and the end of the last.
        data: The values of all.
        state: The optimizer's arrays by name, each as long as `data`.
        steps: How many updates each parameter has had.
        wide: What it is updated in, and the dtype of the state: float32 for float16.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.bounds = [0, *accumulate(p.size for p in self.parameters)]
        self.owned = owner_of(self.parameters[0]) is None
        self.state: dict[str, Array] = {}
        self.steps = [0] * len(self.parameters)
        first = self.parameters[0]
        self.dtype, self.device = first.dtype, first.device
        block = min(cache_block(first._data), self.bounds[-1])
        self.wide = np.dtype(np.float32) if self.dtype == np.float16 else self.dtype
        self.scratch = empty(first._data, (2, block), self.wide)
        self.apart: dict[int, Array] = {}  # arrays of parameters that are not in it; see `adopt`
        if not self.owned:
            self.adopt(0, first._data)
            return
        self.data = empty(first._data, (self.bounds[-1],))
        self.gradient = np.empty_like(self.data)
        self.data_places = self._cut(self.data)
        self.gradient_places = self._cut(self.gradient)
        for number, parameter in enumerate(self.parameters):
            self.adopt(number, parameter._data)
            parameter._slot = Slot(self, number)

    def _cut(self, flat: Array) -> list[Place]:
        return [
            Place(flat[start:stop].reshape(p.shape))
            for p, start, stop in zip(
                self.parameters, self.bounds[:-1], self.bounds[1:], strict=True
            )
        ]

    def zeros(self) -> Array:
        """An array for the state: a zero for every number in the vector."""
        return np.zeros_like(self.data, self.wide)

    def own_states(self) -> dict[Tensor, OwnState]:
        """Of each parameter that has been updated: how often, and views of its state."""
        return {
            parameter: (
                count,
                {n: each[start:stop].reshape(parameter.shape) for n, each in self.state.items()},
            )
            for parameter, count, start, stop in zip(
                self.parameters, self.steps, self.bounds[:-1], self.bounds[1:], strict=True
            )
            if count
        }

    def set_own_states(self, states: Mapping[Tensor, OwnState]) -> None:
        """Take over the states of its parameters; what has none starts anew."""
        self.state.clear()
        for i, parameter in enumerate(self.parameters):
            self.steps[i], arrays = states.get(parameter, (0, {}))
            start, stop = self.bounds[i], self.bounds[i + 1]
            for name, array in arrays.items():
                if name not in self.state:
                    self.state[name] = self.zeros()
                self.state[name][start:stop] = to_device(array, self.device).reshape(-1)

    # where parameters live

    def is_current(self) -> bool:
        """Whether all parameters still have its dtype and device, and the owner that they had."""
        if not self.owned and owner_of(self.parameters[0]) is None:
            return False
        return all(
            self.holds(number, parameter)
            or (parameter.dtype == self.dtype and parameter.device == self.device)
            for number, parameter in enumerate(self.parameters)
        )

    def holds(self, number: int, parameter: Tensor) -> bool:
        """Whether a parameter's array is the one that it has from this vector."""
        if number in self.apart:
            return self.apart[number] is parameter._data
        return self.data_places[number].has_lent(parameter._data)

    def rebound(self) -> list[int]:
        """The parameters with a gradient that have got another array, as by an assignment."""
        return [
            number
            for number, parameter in enumerate(self.parameters)
            if parameter._grad is not None and not self.holds(number, parameter)
        ]

    def adopt(self, number: int, values: Array) -> None:
        """Make a parameter's array its part of this vector, with these values.

        Where somebody still refers to what was there, to go back to the values or for another
        parameter, the parameter gets an array of its own instead.
        """
        parameter = self.parameters[number]
        if self.owned:
            self.apart.pop(number, None)
            array = self.data_places[number].take()
            if array is None:
                array = self.apart[number] = empty(self.data, parameter.shape)
            write(array, values)
            parameter._data = array
        else:  # its own array is the vector; the sweep needs its elements in a row
            if not parameter._data.flags.c_contiguous:
                parameter._data = parameter._data.copy()
            self.apart[number] = parameter._data
            self.data = parameter._data.reshape(-1)

    # where gradients live

    def runs(self) -> Iterator[Run]:
        """The sweeps over all parameters that have a gradient; those without are left out.

        A run goes on as long as the next gradient lies next to it and the next parameter has had as
        many updates.
        """
        number = 0
        while number < len(self.parameters):
            first = number
            parameter = self.parameters[first]
            number += 1
            if parameter._grad is None or not parameter._requires_grad:
                continue
            if not self._is_in_place(first):
                gradient = parameter._grad._data.astype(self.dtype, order="C", copy=False)
                yield Run(first, number, parameter._data.reshape(-1), gradient.reshape(-1))
                continue
            while (
                number < len(self.parameters)
                and self._is_in_place(number)
                and self.steps[number] == self.steps[first]
            ):
                number += 1
            place = slice(self.bounds[first], self.bounds[number])
            yield Run(first, number, self.data[place], self.gradient[place])

    def _is_in_place(self, number: int) -> bool:
        """Whether a parameter and its gradient are both where this vector has a place for them."""
        parameter = self.parameters[number]
        return (
            number not in self.apart
            and parameter._requires_grad
            and parameter._grad is not None
            and self.gradient_places[number].has_lent(parameter._grad._data)
        )


def owner_of(parameter: Tensor) -> FlatVector | None:
    """The vector that a parameter lives in, if that vector's optimizer is still alive."""
    slot = parameter._slot
    return slot.vector() if isinstance(slot, Slot) else None


def is_laid_out(group: Mapping[str, Any], vectors: Sequence[FlatVector]) -> bool:
    """Whether vectors hold what a group lists, whatever it is, and each once."""
    inside = [id(p) for vector in vectors for p in vector.parameters]
    listed = list(map(id, group["params"]))
    same = len(listed) == len(inside) and set(listed) == set(inside)
    return same and all(vector.is_current() for vector in vectors)


def lay_out(parameters: list[Tensor]) -> list[FlatVector]:
    """Vectors for parameters: one for each dtype and device, and one for each that others own."""
    thread.observer.refuse(
        "an optimizer is made, gets a group, or lays out its parameters anew; do it outside"
    )
    together: dict[Any, list[Tensor]] = {}
    for p in parameters:
        key = p if owner_of(p) is not None else (p.dtype, p.device)
        together.setdefault(key, []).append(p)
    return [FlatVector(group) for group in together.values()]


def give_up(vectors: Sequence[FlatVector]) -> None:
    """Let go of the parameters that live in vectors, so that others may take them."""
    for p in (p for vector in vectors for p in vector.parameters):
        if owner_of(p) in vectors:
            p._slot = None
