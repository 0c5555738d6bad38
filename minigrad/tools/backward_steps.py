"""The steps of a backward pass: what they hold, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.tools.draw import number

__all__ = ["Array", "Contribution", "LeafGradient", "Step"]

Array = np.ndarray[Any, Any]
WRITTEN_OUT = 6  # arrays with more elements are described


@dataclass(frozen=True)
class Contribution:
    """The gradient that a step hands on to one input of its operation.

    Attributes:
        input: The input's name in the operation, such as "a"; "parts[0]" in a sequence.
        to: The name of what it is handed on to: a leaf, or a result (see `Step.name`).
        step: The number of the step that takes it, None for a leaf.
        rule: What computes it: the rule's source, such as "g * b", or the name of a kernel.
        values: What the rule has computed with beside g, by the names in it.
        gradient: What was handed on.
        summed_axes: The axes of the rule's result that were summed over, because broadcasting had
            repeated the input along them.
        filled_in: The rule with the numbers of this pass, such as "15 * 2"; "" where it computes
            with arrays.
    """

    input: str
    to: str
    step: int | None
    rule: str
    values: Mapping[str, Any]
    gradient: Array
    summed_axes: tuple[int, ...]
    filled_in: str

    def __str__(self) -> str:
        to = self.to if self.step is None else f"{self.to} (step {self.step})"
        formula = f"{self.rule} = {self.filled_in}" if self.filled_in else self.rule
        if self.summed_axes:
            axes = ", ".join(map(str, self.summed_axes))
            formula += f", summed over {'axis' if len(self.summed_axes) == 1 else 'axes'} {axes}"
        arrays = {k: x for k, x in self.values.items() if isinstance(x, np.ndarray)}
        small = [f"{k} = {_written(x)}" for k, x in arrays.items() if 1 < x.size <= WRITTEN_OUT]
        known = f"   ({', '.join(small)})" if small else ""
        return f"{self.input} -> {to}:  {formula} = {_written(self.gradient)}{known}"


@dataclass(frozen=True)
class Step:
    """One operation on the way back.

    Attributes:
        number: The step's number, from 1.
        name: The result's name, or the operation's where the result has none.
        operation: The operation's name.
        inputs: The names of its inputs, of leaves and results and of what is not in the graph.
        shape: The shape of its result; None for several outputs.
        value: The result, where it is known.
        gradient: The gradient that had arrived; for several outputs a tuple with one for each,
            None where none has arrived.
        uses: How many gradients it was added up from: one for each use of the result.
        contributions: What the step hands on.
    """

    number: int
    name: str
    operation: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...] | None
    value: Array | None
    gradient: Array | tuple[Array | None, ...]
    uses: int
    contributions: tuple[Contribution, ...]

    def __str__(self) -> str:
        called = f"{self.operation}({', '.join(self.inputs)})"
        title = called if self.name == self.operation else f"{self.name} = {called}"
        title += ", several outputs" if self.shape is None else f", shape {self.shape}"
        if self.value is not None and self.value.size <= WRITTEN_OUT:
            title += f", value {_written(self.value)}"
        if isinstance(self.gradient, tuple):
            parts = [f"g[{k}] = {_written(part)}" for k, part in enumerate(self.gradient)]
        else:
            parts = [f"g = {_written(self.gradient)}{_sum_of(self.uses)}"]
        lines = [*[f"arrived  {part}" for part in parts], *map(str, self.contributions)]
        return "\n   ".join([f"{self.number}. {title}", *lines])


@dataclass(frozen=True)
class LeafGradient:
    """What a leaf has at the end of the pass.

    Attributes:
        name: The leaf's name.
        gradient: Its gradient, complete.
        uses: How many gradients it was added up from.
    """

    name: str
    gradient: Array
    uses: int

    def __str__(self) -> str:
        return f"{self.name}:  {_written(self.gradient)}{_sum_of(self.uses)}"


def _sum_of(uses: int) -> str:
    return f"   (the sum of {uses})" if uses > 1 else ""


def _written(array: Array | None) -> str:
    """A small array in full; of others the shape, the mean and the norm."""
    if array is None:
        return "nothing"
    if array.size == 1 and not array.ndim:
        return number(array)
    if array.size <= WRITTEN_OUT:
        text = np.array2string(array, separator=", ", formatter={"float": lambda x: f"{x:.4g}"})
        return " ".join(text.split())
    wide = array.astype(np.float64)  # the norm of a float16 array may be too large for float16
    mean, norm = float(wide.mean()), float(np.linalg.norm(wide))
    return f"{array.dtype}{list(array.shape)} with mean {mean:.3g}, norm {norm:.3g}"
