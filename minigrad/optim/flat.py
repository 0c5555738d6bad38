"""The flat vector: all parameters one after the other in one array, their gradients in another.

An optimizer does the same computation for every element of every parameter, so an update is one
sweep over one long vector. Each parameter's array becomes a view of a part of that vector; the
first gradient of a backward pass is written into the same part of a second vector. A parameter or
gradient that is not in its part (a frozen parameter, an assigned gradient) only splits the sweep
into shorter runs.
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

__all__ = ["FlatVector", "Run", "is_laid_out", "lay_out", "owner_of", "release"]


class Run(NamedTuple):
    """Neighbouring parameters that are updated in one sweep.

    Attributes:
        first: The number of the first parameter.
        last: The number of the last parameter, plus one.
        data: The values of these parameters, one after the other (flat).
        gradient: Their gradients, in the same order (flat).
    """

    first: int
    last: int
    data: Array
    gradient: Array


class Slot:
    """A parameter's part of a flat vector, see `tensor.GradientSlot`; it refers to it weakly."""

    __slots__ = ("number", "vector")

    def __init__(self, vector: FlatVector, number: int) -> None:
        self.vector = weakref.ref(vector)
        self.number = number

    def take(self, leaf: Tensor) -> Array | None:
        """An array to write the parameter's gradient to, or None where its place is not free."""
        vector = self.vector()
        if vector is None or not vector.holds(self.number, leaf):
            return None
        return vector.gradient_places[self.number].take()

    def holds(self, array: Array) -> bool:
        """Whether an array is the one that `take` returned last."""
        vector = self.vector()
        return vector is not None and vector.gradient_places[self.number].has_lent(array)

    def place(self) -> Place | None:
        """The place for the gradient; None where the vector no longer exists."""
        vector = self.vector()
        return None if vector is None else vector.gradient_places[self.number]

    def data_place(self, leaf: Tensor) -> Place | None:
        """The place of the parameter's values in the vector; None where they are not in it."""
        vector = self.vector()
        if vector is None or not vector.data_places[self.number].has_lent(leaf._data):
            return None
        return vector.data_places[self.number]

    def stretch(self) -> tuple[Array, int, int] | None:
        """The vector of all gradients, and the indices where this gradient starts and stops."""
        vector = self.vector()
        if vector is None:
            return None
        return vector.gradient, *vector.bounds[self.number : self.number + 2]


class FlatVector:
    """Parameters of one dtype and device, their gradients, and an optimizer's state for them.

    Args:
        parameters: At least one. A parameter that is part of another optimizer's vector must be
            given alone: it stays there, and its own array serves as this vector.

    Attributes:
        parameters: The parameters, in order.
        bounds: The index where each parameter starts in the vector, and the vector's length.
        data: The values of all parameters, flat.
        state: The optimizer's arrays by name, each as long as `data`.
        steps: The number of updates of each parameter.
        wide: The dtype of the state and of the computation: float32 for float16 parameters.
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
        self.apart: dict[int, Array] = {}  # arrays of parameters outside the vector; see `adopt`
        if not self.owned:
            self.adopt(0, first._data)
            return
        self.data = empty(first._data, (self.bounds[-1],))
        self.gradient = np.empty_like(self.data)
        self.data_places = [*map(Place, self._parts(self.data))]
        self.gradient_places = [*map(Place, self._parts(self.gradient))]
        for number, parameter in enumerate(self.parameters):
            self.adopt(number, parameter._data)
            parameter._slot = Slot(self, number)

    def _parts(self, flat: Array) -> list[Array]:
        """Each parameter's part of an array as long as the vector, in the parameter's shape."""
        cut = zip(self.parameters, self.bounds[:-1], self.bounds[1:], strict=True)
        return [flat[start:stop].reshape(p.shape) for p, start, stop in cut]

    def zeros(self) -> Array:
        """A new array for the state: zeros, as long as the vector."""
        return np.zeros_like(self.data, self.wide)

    def own_states(self) -> dict[Tensor, OwnState]:
        """For each parameter that was updated: the number of updates, and views of its state."""
        parts = {name: self._parts(flat) for name, flat in self.state.items()}
        return {
            parameter: (count, {name: parts[name][i] for name in parts})
            for i, (parameter, count) in enumerate(zip(self.parameters, self.steps, strict=True))
            if count
        }

    def set_own_states(self, states: Mapping[Tensor, OwnState]) -> None:
        """Copy the states of the vector's parameters in; a parameter without one starts at zero."""
        self.state.clear()
        for i, parameter in enumerate(self.parameters):
            self.steps[i], arrays = states.get(parameter, (0, {}))
            start, stop = self.bounds[i], self.bounds[i + 1]
            for name, array in arrays.items():
                if name not in self.state:
                    self.state[name] = self.zeros()
                self.state[name][start:stop] = to_device(array, self.device).reshape(-1)

    # where parameters are

    def is_current(self) -> bool:
        """Whether all parameters have the vector's dtype and device, and still belong to it."""
        if not self.owned and owner_of(self.parameters[0]) is None:
            return False
        return all(
            self.holds(number, parameter)
            or (parameter.dtype == self.dtype and parameter.device == self.device)
            for number, parameter in enumerate(self.parameters)
        )

    def holds(self, number: int, parameter: Tensor) -> bool:
        """Whether a parameter's array is the one that this vector gave it."""
        if number in self.apart:
            return self.apart[number] is parameter._data
        return self.data_places[number].has_lent(parameter._data)

    def rebound(self) -> list[int]:
        """Numbers of parameters with a gradient whose array was replaced, as by `p.data = x`."""
        return [
            number
            for number, parameter in enumerate(self.parameters)
            if parameter._grad is not None and not self.holds(number, parameter)
        ]

    def adopt(self, number: int, values: Array) -> None:
        """Make a parameter's array its part of this vector, and write the values to it.

        If the old array of that part is still in use (kept to restore old values, or assigned to
        another parameter), the parameter gets a new array outside the vector instead.
        """
        parameter = self.parameters[number]
        if self.owned:
            self.apart.pop(number, None)
            array = self.data_places[number].take()
            if array is None:
                array = self.apart[number] = empty(self.data, parameter.shape)
            write(array, values)
            parameter._data = array
        else:  # the parameter's own array is the vector, so it must be contiguous
            if not parameter._data.flags.c_contiguous:
                parameter._data = parameter._data.copy()
            self.apart[number] = parameter._data
            self.data = parameter._data.reshape(-1)

    # where gradients are

    def runs(self) -> Iterator[Run]:
        """The runs that cover all parameters with a gradient; the other parameters are left out.

        A run extends over the next parameter if that parameter and its gradient are in their parts
        of the vectors and it has had the same number of updates.
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
        """Whether a parameter and its gradient are both in their parts of the vectors."""
        parameter = self.parameters[number]
        return (
            number not in self.apart
            and parameter._requires_grad
            and parameter._grad is not None
            and self.gradient_places[number].has_lent(parameter._grad._data)
        )


def owner_of(parameter: Tensor) -> FlatVector | None:
    """The vector that a parameter is part of; None if there is none, or its optimizer is gone."""
    slot = parameter._slot
    return slot.vector() if isinstance(slot, Slot) else None


def is_laid_out(group: Mapping[str, Any], vectors: Sequence[FlatVector]) -> bool:
    """Whether the vectors are current and hold exactly the parameters of a group, each once."""
    inside = [id(p) for vector in vectors for p in vector.parameters]
    listed = list(map(id, group["params"]))
    same = len(listed) == len(inside) and set(listed) == set(inside)
    return same and all(vector.is_current() for vector in vectors)


def lay_out(parameters: list[Tensor]) -> list[FlatVector]:
    """Vectors for parameters: one per dtype and device, one per parameter that another one owns."""
    thread.observer.refuse(
        "an optimizer is made, gets a group, or lays out its parameters again; do it outside"
    )
    together: dict[Any, list[Tensor]] = {}
    for p in parameters:
        key = p if owner_of(p) is not None else (p.dtype, p.device)
        together.setdefault(key, []).append(p)
    return [FlatVector(group) for group in together.values()]


def release(vectors: Sequence[FlatVector]) -> None:
    """Release the parameters of vectors, so that other vectors may own them."""
    for p in (p for vector in vectors for p in vector.parameters):
        if owner_of(p) in vectors:
            p._slot = None
