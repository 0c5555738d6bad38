"""The flat vector: parameters side by side in one array, and their gradients in its twin.

An optimizer computes the same for every number of every parameter, so it is one sweep over one long
vector. Each parameter's array becomes a view of that vector; the first gradient of a pass is
written into the parameter's place in the twin. Whatever does not lie there (a frozen parameter, a
gradient that somebody assigned) only cuts the sweep into shorter runs.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, cache_block, to_device
from minigrad.backends.arrays import empty
from minigrad.live import refuse
from minigrad.optim.groups import OwnState
from minigrad.tensor import Tensor, made
from minigrad.writes import write

__all__ = ["FlatVector", "Run", "give_up", "is_laid_out", "lay_out", "owner_of"]

_grad_of, _place_of = attrgetter("_grad"), attrgetter("_grad._data")


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


class Home:
    """A parameter's place in a flat vector (`tensor.GradientHome`); it keeps no vector alive."""

    __slots__ = ("number", "vector")

    def __init__(self, vector: FlatVector, number: int) -> None:
        self.vector = weakref.ref(vector)
        self.number = number

    def claim(self, leaf: Tensor) -> Array | None:
        """The place for the parameter's gradient, or None where it is not free."""
        vector = self.vector()
        return None if vector is None else vector.claim(self.number, leaf)

    def holds(self, array: Array) -> bool:
        """Whether an array is that place."""
        vector = self.vector()
        return vector is not None and vector.slots[self.number] is array

    def place(self) -> Array | None:
        """The place, whoever holds it; None where the vector is gone."""
        vector = self.vector()
        return None if vector is None else vector.slots[self.number]

    def is_held(self, leaf: Tensor) -> bool:
        """Whether somebody besides the parameter's `.grad` holds what is in the place."""
        vector = self.vector()
        return vector is not None and vector.is_held(self.number, leaf)


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
        if not self.owned:
            self.adopt(0, first._data)
            return
        self.data = empty(first._data, (self.bounds[-1],))
        self.twin = np.empty_like(self.data)
        self.views = self._cut(self.data)
        self.slots = self._cut(self.twin)
        self.unheld = [self._holders(number) for number in range(len(self.parameters))]
        self.apart: set[int] = set()  # parameters with an array of their own; see `adopt`
        self.references_of_data = [*map(sys.getrefcount, self.views)], sys.getrefcount(self.data)
        for number, parameter in enumerate(self.parameters):
            self.adopt(number, parameter._data)
            parameter._home = Home(self, number)

    def _cut(self, flat: Array) -> list[Array]:
        return [
            flat[start:stop].reshape(p.shape)
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

    def holds_good(self) -> bool:
        """Whether all parameters still have its dtype and device, and the owner that they had."""
        if not self.owned and owner_of(self.parameters[0]) is None:
            return False
        return all(
            parameter._data is view
            or (parameter.dtype == self.dtype and parameter.device == self.device)
            for parameter, view in zip(self.parameters, self.views, strict=True)
        )

    def strangers(self) -> list[int]:
        """The parameters with a gradient whose array is not the view of this vector."""
        return [
            number
            for number, (parameter, view) in enumerate(
                zip(self.parameters, self.views, strict=True)
            )
            if parameter._data is not view and parameter._grad is not None
        ]

    def adopt(self, number: int, values: Array) -> None:
        """Make a parameter's array the view of this vector, with these values.

        Where somebody keeps the view, to go back to the values there or for another parameter, the
        parameter gets an array of its own instead.
        """
        parameter = self.parameters[number]
        if self.owned:
            if self._is_kept(number):
                self.apart.add(number)
                self.views[number] = empty(self.data, parameter.shape)
            write(self.views[number], values)
            parameter._data = self.views[number]
        else:  # its own array is the vector; the sweep needs its elements in a row
            if not parameter._data.flags.c_contiguous:
                parameter._data = parameter._data.copy()
            self.views = [parameter._data]
            self.data = parameter._data.reshape(-1)

    def _is_kept(self, number: int) -> bool:
        """Whether somebody holds a parameter's view, which is not its array, or a part of any."""
        views, data = self.references_of_data
        parts = sys.getrefcount(self.data) - (data - len(self.apart))
        return sys.getrefcount(self.views[number]) > views[number] or parts > 0

    # where gradients live

    def _holders(self, number: int) -> tuple[int, int]:
        """How many refer to a place in the twin, and how many to the memory of all places."""
        return sys.getrefcount(self.slots[number]), sys.getrefcount(self.twin)

    def claim(self, number: int, leaf: Tensor) -> Array | None:
        """The place for a gradient, or None where somebody still holds what was there before.

        A `.grad`, its `.data`, `.numpy()` or `.detach()` refers to the place itself; a slice or a
        transpose refers to the twin, as the owner of its memory.
        """
        if leaf._data is not self.views[number] or self._holders(number) != self.unheld[number]:
            return None
        return self.slots[number]

    def is_held(self, number: int, leaf: Tensor) -> bool:
        """Whether somebody besides `leaf.grad` holds what is in a gradient's place."""
        places, memory = self._holders(number)
        own = self._is_home(number)
        if own and _counted(leaf) > _ONE_HOLDER:
            return True
        return (places - own, memory) != self.unheld[number]

    def references(self) -> tuple[object, ...] | None:
        """Where the gradients are, and how many refer to them; None where one is missing.

        As long as this is the same, each gradient is where it was, and nobody else holds it.
        """
        counts, parameters = sys.getrefcount, self.parameters
        try:
            places = list(map(id, map(_place_of, parameters)))
        except AttributeError:
            return None
        grads = list(map(counts, map(_grad_of, parameters)))
        return places, grads, list(map(counts, self.slots)), counts(self.twin)

    def runs(self) -> Iterator[Run]:
        """The sweeps over all parameters that have a gradient; those without are left out.

        A run goes on as long as the next gradient lies next in the twin and the next parameter has
        had as many updates.
        """
        number = 0
        while number < len(self.parameters):
            first = number
            parameter = self.parameters[first]
            number += 1
            if parameter._grad is None or not parameter._requires_grad:
                continue
            if not self._is_home(first) or first in self.apart:
                gradient = parameter._grad._data.astype(self.dtype, order="C", copy=False)
                values = self.views[first] if self.owned else self.data
                yield Run(first, number, values.reshape(-1), gradient.reshape(-1))
                continue
            while (
                number < len(self.parameters)
                and self._is_home(number)
                and number not in self.apart
                and self.steps[number] == self.steps[first]
            ):
                number += 1
            place = slice(self.bounds[first], self.bounds[number])
            yield Run(first, number, self.data[place], self.twin[place])

    def _is_home(self, number: int) -> bool:
        parameter = self.parameters[number]
        return (
            self.owned
            and parameter._requires_grad
            and parameter._grad is not None
            and parameter._grad._data is self.slots[number]
        )


def owner_of(parameter: Tensor) -> FlatVector | None:
    """The vector that a parameter lives in, if that vector's optimizer is still alive."""
    home = parameter._home
    return home.vector() if isinstance(home, Home) else None


def is_laid_out(group: Mapping[str, Any], vectors: Sequence[FlatVector]) -> bool:
    """Whether vectors hold what a group lists, whatever it is, and each once."""
    inside = [id(p) for vector in vectors for p in vector.parameters]
    listed = list(map(id, group["params"]))
    same = len(listed) == len(inside) and set(listed) == set(inside)
    return same and all(vector.holds_good() for vector in vectors)


def lay_out(parameters: list[Tensor]) -> list[FlatVector]:
    """Vectors for parameters: one for each dtype and device, and one for each that others own."""
    refuse("an optimizer is made, gets a group, or lays out its parameters anew; do it outside")
    together: dict[Any, list[Tensor]] = {}
    for p in parameters:
        key = p if owner_of(p) is not None else (p.dtype, p.device)
        together.setdefault(key, []).append(p)
    return [FlatVector(group) for group in together.values()]


def give_up(vectors: Sequence[FlatVector]) -> None:
    """Let go of the parameters that live in vectors, so that others may take them."""
    for p in (p for vector in vectors for p in vector.parameters):
        if owner_of(p) in vectors:
            p._home = None


def _counted(leaf: Tensor) -> int:
    """How many refer to a leaf's gradient, as Python counts them."""
    return sys.getrefcount(leaf._grad)


def _counted_of_one() -> int:
    """The same for a gradient that only its leaf refers to."""
    leaf = made(np.zeros(1))
    leaf._grad = made(np.zeros(1))
    return _counted(leaf)


_ONE_HOLDER = _counted_of_one()
