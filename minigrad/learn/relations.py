"""Say what wrong numbers have in common with the right ones.

Each function here looks for one relation and returns its message, or "" where there is another: a
relation is told only if it holds between *all* numbers that are compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.learn.judges import DIGITS, Array, Result

WITHIN = 10.0**-DIGITS
TINY = 1e-9  # what rounding leaves of a 0, of the largest number
ROUGH = 1e-3  # the part of a number by which it may err and still be nearly right
LEAST = 1e-3  # smaller numbers have fewer digits: a central difference errs by 1e-9 where all is 0
Pairs = Sequence[tuple[Array, Array]]  # what came, and what is right


def relation(bad: Sequence[Result], good: Sequence[Result], is_all: bool) -> str:
    """Return what holds between all wrong numbers of one result and the right ones.

    Args:
        bad: The wrong results: numbers, and the right shapes.
        good: Those of the same name that are right.
        is_all: Whether there is no other: none of another shape, and no call that failed.
    """
    name, pairs = bad[0].name, _pairs(bad)
    single = all(right.size == 1 for _, right in pairs)
    everywhere = "" if single else " everywhere"
    if all(_is_zero(got, right) for got, right in pairs):
        return f"{name} is 0{everywhere}."
    if all(near(got, -right) for got, right in pairs):
        return f"{name} has the wrong sign{everywhere}."
    if message := _factor(name, pairs) or _input(name, bad) or _whole(name, pairs):
        return message
    nearly = _nearly(name, pairs)
    if not nearly and (message := _factor_by_line(name, pairs)):
        return message
    if is_all and (message := _move(name, _pairs([*bad, *good]))):
        return message
    gaps = [got - right for got, right in pairs]
    if sum(gap.size for gap in gaps) > 1:
        gap = float(gaps[0].flat[0])
        if all(near(each, np.full_like(each, gap)) for each in gaps):
            every = name if single else f"Every number of {name}"
            return f"{every} is {abs(gap):.6g} too {'large' if gap > 0 else 'small'}."
    return nearly


def _pairs(results: Sequence[Result]) -> Pairs:
    return [(np.asarray(r.got, np.float64), np.asarray(r.expected, np.float64)) for r in results]


def _is_zero(got: Array, right: Array) -> bool:
    """Whether nothing but what rounding leaves of a 0 came."""
    largest = np.abs(right).max()
    return bool(np.isfinite(largest) and np.abs(got).max() <= TINY * largest)


def _nearly(name: str, pairs: Pairs) -> str:
    """The right numbers, each to three digits or more."""
    errors = [np.abs(got / right - 1)[apart(got, right)] for got, right in pairs]
    error = float(np.max(np.concatenate(errors)))
    if not error < 0.5 * ROUGH:
        return ""
    return f"{name} is right to {int(-np.log10(2 * error))} digits only."


def _factor(name: str, pairs: Pairs) -> str:
    """A factor between all wrong results and the right ones: a constant, or a length."""
    factors = []
    for got, right in pairs:
        scale = float(np.sum(right * right))
        factor = float(np.sum(got * right)) / scale if scale else 0.0
        if abs(factor) < TINY or not near(got, factor * right):
            return ""
        factors.append(factor)
    first, single = factors[0], all(right.size == 1 for _, right in pairs)
    if (single and len(pairs) == 1) or np.allclose(factors, 1, rtol=0, atol=ROUGH):
        return ""
    every = name if single else f"Every number of {name}"
    if np.allclose(factors, first, rtol=WITHIN, atol=0):
        return f"{every} is {_times(first)}."
    for axis in range(min(right.ndim for _, right in pairs)):
        lengths = [right.shape[axis] for _, right in pairs]
        if np.allclose(factors, lengths, rtol=WITHIN, atol=0):
            return (
                f"Every number of {name} is N times too large, where N is the length of axis "
                f"{axis}: is a division by N missing, as of a mean?"
            )
        if np.allclose(np.multiply(factors, lengths), 1, rtol=WITHIN, atol=0):
            return (
                f"Every number of {name} is N times too small, where N is the length of axis "
                f"{axis}: is it divided by N once too often, as of a mean in place of a sum?"
            )
    if single:
        return ""
    return (
        f"{name} is right but for a factor, which differs from input to input; in the first it is "
        f"{_times(first)}."
    )


def _times(factor: float) -> str:
    """Say a factor in words."""
    sign = ", and has the wrong sign" if factor < 0 else ""
    size = abs(factor)
    return (
        f"{size if size > 1 else 1 / size:.6g} times too {'large' if size > 1 else 'small'}{sign}"
    )


def _factor_by_line(name: str, pairs: Pairs) -> str:
    """A factor of its own for each row or column of a matrix."""
    if all(right.ndim == 2 for _, right in pairs):
        for axis, line in ((0, "column"), (1, "row")):
            if all(
                ((right != 0).sum(axis) > 1).all()
                and near(got, right * _best_factor(got, right, axis))
                for got, right in pairs
            ):
                return f"Each {line} of {name} is right but for a factor, another for each {line}."
    return ""


def _best_factor(got: Array, right: Array, axis: int) -> Array:
    scale = (right * right).sum(axis, keepdims=True)
    return (got * right).sum(axis, keepdims=True) / np.where(scale == 0, 1, scale)


def _input(name: str, bad: Sequence[Result]) -> str:
    """An input that all numbers are multiplied or divided by, too often."""
    for given, value in bad[0].inputs.items():
        if given == "g" or not is_numeric(value):
            continue
        for power in (1, -1, 2, -2, 3, -3, 4, -4):
            if all(_is_power(result, given, power) for result in bad):
                times = {1: "once", 2: "twice", 3: "three times", 4: "four times"}[abs(power)]
                verb = "multiplied" if power > 0 else "divided"
                return f"{name} is {verb} by {given} {times} too often."
    return ""


def _is_power(result: Result, given: str, power: int) -> bool:
    got, right, value = (
        np.asarray(x, np.float64) for x in (result.got, result.expected, result.inputs[given])
    )
    if not np.all(value) or not broadcasts(value.shape, right.shape):
        return False
    return near(got, right * value**power)


def _move(name: str, pairs: Pairs) -> str:
    """The right numbers at other places: in the results that are right too, a move is no change."""
    if not all(got.ndim and right.size for got, right in pairs):
        return ""

    def all_are(change: Callable[[Array], Array]) -> bool:
        return all(near(got, change(right)) for got, right in pairs)

    if all_are(np.transpose):
        return f"{name} is the transpose of what it should be."
    for axis in range(min(got.ndim for got, _ in pairs)):
        if all_are(functools.partial(np.flip, axis=axis)):
            return f"{name} has the right numbers in reverse order along axis {axis}."
        for by in (1, -1):
            if all_are(functools.partial(np.roll, shift=by, axis=axis)):
                way = "late" if by == 1 else "early"
                return f"{name} has the right numbers one place too {way} along axis {axis}."
    if all(near(np.sort(got, axis=None), np.sort(right, axis=None)) for got, right in pairs):
        return f"{name} has the right numbers, in the wrong places."
    return ""


def _whole(name: str, pairs: Pairs) -> str:
    """Whole numbers where no number should be one; or where all that came is rounded."""
    if all(near(got, np.floor(right)) for got, right in pairs):
        return f"{name} is rounded down, as `//` does."
    if all(
        (got == np.round(got)).all() and (right != np.round(right)).all() for got, right in pairs
    ):
        what = "a whole number" if all(got.size == 1 for got, _ in pairs) else "whole numbers only"
        return f"{name} is {what}, and should not be."
    return ""


# --- for which inputs ---------------------------------------------------------------------------


LENGTH = "the length of"


def only_where(
    good: Sequence[Result], bad: Sequence[Result], is_written: Callable[[str, Any], bool]
) -> str:
    """What all inputs with right results have in common, and no other has.

    Args:
        good: The right results.
        bad: The wrong ones.
        is_written: Whether a number in the learner's function stands for a length or an argument:
            what it is, and the number.
    """
    kept = features(good[0])
    for result in good[1:]:
        kept = {key: x for key, x in kept.items() if features(result).get(key) == x}
    for result in bad:
        kept = {key: x for key, x in kept.items() if features(result).get(key) != x}
    for what, value in kept.items():
        if value not in (0, 1) and is_written(what, value):
            return (
                f"It is right only where {what} is {value}, and this number is written in the "
                "function: take it from the arguments instead."
            )
    ones = [what for what, value in kept.items() if what.startswith(LENGTH) and value == 1]
    plain = ones or [what for what, value in kept.items() if value in (0, 1)] or [*kept]
    value = kept.get(plain[0]) if plain else None
    is_special = value in (0, 1) or isinstance(value, str)
    if len(plain) != 1 or not (is_special or (isinstance(value, int) and len(good) > 1)):
        return ""  # one length of many, for one input of a few, may be chance
    return f"Among these inputs it is right only where {plain[0]} is {value}."


def features(result: Result) -> dict[str, Any]:
    """Lengths and single numbers or words of what a function was given, by what they are."""
    found: dict[str, Any] = {}
    for name, value in result.inputs.items():
        if isinstance(value, np.ndarray):
            axes = [f"{LENGTH} axis {i} of {name}" for i in range(value.ndim)]
            names = axes if value.ndim > 1 else [f"{LENGTH} {name}"] * value.ndim
            found |= {each: n for each, n in zip(names, value.shape, strict=True)}
        elif isinstance(value, bool | int | float | str):
            found[name] = value
    return found


# --- comparing --------------------------------------------------------------------------------


def is_numeric(value: Any) -> bool:
    """Whether something is a real number, or an array of them."""
    if isinstance(value, bool | np.bool_ | str):
        return False
    return isinstance(value, int | float | np.number) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    )


def apart(got: Array, right: Array, within: float = WITHIN) -> Array:
    """Which elements differ by more than a part of the largest number."""
    finite = np.abs(right[np.isfinite(right)])
    scale = max(LEAST, float(finite.max(initial=0)))
    with np.errstate(invalid="ignore", over="ignore"):  # infinity minus infinity
        same = (got == right) | (np.abs(got - right) <= within * scale)
    return ~(same | (np.isnan(got) & np.isnan(right)))


def near(got: Array, right: Array, within: float = WITHIN) -> bool:
    """Whether two arrays have one shape and the same numbers."""
    return bool(got.shape == right.shape and not apart(got, right, within).any())


def broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether NumPy repeats an array of one shape to another shape."""
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False
