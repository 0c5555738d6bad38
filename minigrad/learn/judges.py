"""How an exercise is judged: a learner's function is run, and each result has what it should be.

A *judge* is any function that takes the learner's function and yields a `Result` for each number or
array to compare; where there is nothing to compare it raises `Wrong` with the message. Two judges
serve most exercises: `Rule` for rules of differentiation, `Values` for other functions of arrays.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minigrad import Tensor

Array: TypeAlias = Any  # a NumPy array, in the annotations of answers
Case: TypeAlias = Mapping[str, Any]  # arguments by name

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)  # where a central difference errs the least
DIGITS = 6  # a central difference of numbers near 1 is right to nine or more


class Wrong(Exception):
    """A judge's verdict where there is no number to compare; its text is what the learner reads."""


class CallFailedError(Exception):
    """The learner's function raised; the error is the cause, the text says with what arguments."""


@dataclass(frozen=True, eq=False)
class Result:
    """One thing that the learner's function computed, beside what is right.

    Args:
        name: What it is, as "dL/dA".
        got: What the learner's function gave.
        expected: What is right: an array or a float is compared as numbers, anything else by `==`.
        where: For which input, as "A of shape (4, 3)"; may be empty.
        like: The name of the input whose shape it has; may be empty.
        inputs: What the function was given, by name; may be empty.
    """

    name: str
    got: Any
    expected: Any
    where: str = ""
    like: str = ""
    inputs: Case = field(default_factory=dict)


Judge: TypeAlias = Callable[[Any], Iterator[Result]]


def draw(seed: int = 0, **inputs: Any) -> dict[str, Any]:
    """Return a case: a shape becomes standard normal numbers, anything else is left as it is.

    Args:
        seed: The same numbers each time.
        inputs: By name: a tuple of integers is a shape.

    Example:
        >>> case = draw(x=(2, 3), axis=1)
        >>> case["x"].shape, case["axis"]
        ((2, 3), 1)
    """
    random = np.random.RandomState(seed)
    return {
        name: np.asarray(random.standard_normal(value)) if isinstance(value, tuple) else value
        for name, value in inputs.items()
    }


def described(arguments: Case) -> str:
    """Say what arguments were given: shapes of arrays, small values in full."""
    parts = []
    for name, value in arguments.items():
        if hasattr(value, "shape") and value.size > 4:  # an array or a Tensor
            parts.append(f"{name} of shape {value.shape}")
        else:
            shown = np.array2string(value, precision=4) if isinstance(value, np.ndarray) else value
            parts.append(f"{name} = {' '.join(str(shown).split())}")
    return ", ".join(parts)


def call(function: Any, arguments: Case) -> Any:
    """Call the learner's function with copies of the arguments, by position.

    Raises:
        Wrong: It has changed one of its arguments.
        CallFailedError: It raised.
    """
    given = copy.deepcopy(dict(arguments))
    try:
        got = function(*given.values())
    except BrokenPipeError:  # of a print: not the function's fault
        raise
    except Exception as error:
        raise CallFailedError(described(arguments)) from error
    for name, value in arguments.items():
        if not _is_same(value, given[name]):
            remedy = (
                f"compute a new array (`{name} = {name} * 2`, not `{name} *= 2`)"
                if isinstance(value, np.ndarray)
                else "build a new list, of new arrays"
            )
            raise Wrong(
                f"The function has changed its argument {name} in place. Others may still need "
                f"what it held: {remedy}."
            )
    return got


def _is_same(before: Any, after: Any) -> bool:
    """Whether an argument, or what it holds, is as it was."""
    if isinstance(before, np.ndarray):
        return isinstance(after, np.ndarray) and np.array_equal(before, after, equal_nan=True)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_is_same, before, after))
    return True


def require_numbers(losses: Any) -> None:
    """Do nothing, unless there are Tensors among the losses.

    Raises:
        Wrong: There are.
    """
    if isinstance(losses, list | tuple) and any(isinstance(x, Tensor) for x in losses):
        raise Wrong(
            "The losses are Tensors, each of which keeps a whole graph in memory; `loss.item()` "
            "gives the number."
        )


def several(got: Any, names: Sequence[str]) -> Sequence[Any]:
    """Return the results as a sequence.

    Raises:
        Wrong: There are not as many as there should be.
    """
    if len(names) == 1:
        return [got]
    if got is None or got is ...:
        return [got] * len(names)
    count = len(got) if isinstance(got, tuple | list) else 1
    if count != len(names) or not isinstance(got, tuple | list):
        found = f"{count} results" if isinstance(got, tuple | list) else "one result"
        if isinstance(got, np.ndarray):
            found += f", an array of shape {got.shape}"
        elif found == "one result" and not isinstance(got, int | float | np.number):
            found += f" of type {type(got).__name__}"
        raise Wrong(
            f"The function returns {found}; the exercise asks for {len(names)}, in this order and "
            f"separated by commas: {', '.join(names)}."
        )
    return list(got)


def differences(
    forward: Callable[..., Any], case: Case, name: str, g: Array, step: float = STEP
) -> Array:
    """Differentiate `sum(g * forward(...))` by one input, element by element.

    Args:
        forward: The function; its arguments are given by name.
        case: Its arguments.
        name: Of the argument to move.
        g: The weights of the function's elements: dL/dy.
        step: How far an element is moved to each side.
    """
    slope = np.zeros(np.shape(case[name]))
    for place in np.ndindex(slope.shape):
        sides = []
        for signed in (step, -step):
            moved = np.array(case[name], dtype=np.float64)
            moved[place] += signed
            sides.append(np.sum(g * forward(**{**case, name: moved})))
        slope[place] = (sides[0] - sides[1]) / (2 * step)
    return slope


@dataclass(frozen=True)
class Rule:
    """Judges a rule (vector-Jacobian product) by central differences of its forward function.

    Each element of the input is moved: this is the adjoint test `<g, J v> = <J^T g, v>` for every
    unit vector v.

    Args:
        forward: y as a function of the inputs, by name.
        needs: What the rule takes: "g", "y" (the output), "x_shape" for an input x, or the inputs.
        of: The inputs whose gradients it returns; several make a tuple.
        cases: Inputs of several sizes; PyTorch's values are stored for the first one.
        torch: The forward function once more, in PyTorch; `torch` and the inputs' names are known.
    """

    forward: Callable[..., Any]
    needs: tuple[str, ...]
    of: tuple[str, ...]
    cases: tuple[Case, ...]
    torch: str

    against: str = "central differences"

    @property
    def names(self) -> tuple[str, ...]:
        """What the results are called."""
        return tuple(f"dL/d{name}" for name in self.of)

    def g(self, case: Case) -> Array:
        """The gradient of the output that the rule is given in a case; its seed is no case's."""
        y = self.forward(**case)
        return np.asarray(np.random.RandomState(1729).standard_normal(np.shape(y)))

    def arguments(self, case: Case, g: Array) -> dict[str, Any]:
        """What the rule is given in a case."""
        shapes = {f"{name}_shape": np.shape(value) for name, value in case.items()}
        known = {**shapes, **case, "g": g, "y": np.asarray(self.forward(**case))}
        return {name: known[name] for name in self.needs}

    @functools.cached_property
    def truth(self) -> list[tuple[dict[str, Any], list[Array]]]:
        """What the rule is given in each case, and the gradients by central differences."""
        return [
            (self.arguments(case, g), [differences(self.forward, case, x, g) for x in self.of])
            for case in self.cases
            for g in [self.g(case)]
        ]

    def __call__(self, rule: Any) -> Iterator[Result]:
        """Yield each gradient in each case."""
        for case, (arguments, expected) in zip(self.cases, self.truth, strict=True):
            got = several(call(rule, arguments), self.names)
            parts = zip(self.names, got, expected, self.of, strict=True)
            for name, part, right, like in parts:
                yield Result(name, part, right, described(case), like, arguments)

    def remark(self, rule: Any, name: str) -> str:
        """Say what is wrong with how a gradient depends on g; "" if it is linear, as it must be."""
        case, i = self.cases[0], self.names.index(name)
        g = self.g(case)
        try:
            once, again, twice, none = (
                np.asarray(several(call(rule, self.arguments(case, g)), self.names)[i])
                for g in (g, g, 2 * g, 0 * g)
            )
        except (Wrong, CallFailedError):
            return ""
        if not np.array_equal(once, again, equal_nan=True):
            return f"Two calls with the same arguments give different numbers of {name}."
        if np.allclose(twice, 2 * once):
            return ""
        if np.allclose(twice, once):
            slope = name.replace("dL", "dy")
            return f"{name} does not depend on g: the chain rule multiplies {slope} by g = dL/dy."
        linear = "A rule is linear in g: twice the g gives twice the gradient."
        if np.allclose(twice, 4 * once):
            return f"{name} has g as a factor twice. {linear}"
        if np.allclose(twice - none, 2 * (once - none)):
            return f"{name} has a term without g. {linear}"
        if np.array_equal(once, np.round(once)):
            return ""  # rounded, which is told of all numbers
        return f"{name} is not linear in g. {linear}"


@dataclass(frozen=True)
class Values:
    """Judges a function of arrays by another way to compute the same.

    Args:
        truth: The other way, written as plainly as possible (a loop over elements, say) and not
            taken from the answer; its arguments are given by name.
        needs: What the learner's function takes, in order.
        cases: Arguments of several sizes; PyTorch's values are stored for the first one.
        torch: The same in PyTorch, if it has it; `torch` and the arguments' names are known.
        names: What the results are called; several make a tuple.
        against: What the truth is, for the sentence after success: "a loop over all elements".
    """

    truth: Callable[..., Any]
    needs: tuple[str, ...]
    cases: tuple[Case, ...]
    torch: str = ""

    names: tuple[str, ...] = ("the result",)
    against: str = "the definition, element by element"

    def __call__(self, function: Any) -> Iterator[Result]:
        """Yield each result in each case."""
        for case in self.cases:
            arguments = {name: case[name] for name in self.needs}
            got = several(call(function, arguments), self.names)
            expected = self.truth(**case)
            right = expected if len(self.names) > 1 else [expected]
            for i, name in enumerate(self.names):
                yield Result(name, got[i], right[i], described(case), inputs=arguments)
