"""Say what is wrong with results, from what they have in common with the right ones.

Each function here looks for one kind of fault and returns its message, or "" where it is another.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.learn.judges import DIGITS, Array, Result

WITHIN = 10.0**-DIGITS


def is_close(got: Any, expected: Any) -> bool:
    """Whether two results are the same: numbers to six digits of the largest, all else by `==`."""
    if not _is_numeric(expected):
        return type(got) is type(expected) and _equals(got, expected)
    if not _is_numeric(got) or np.shape(got) != np.shape(expected):
        return False
    return _near(np.asarray(got, np.float64), np.asarray(expected, np.float64))


def _equals(got: Any, expected: Any) -> bool:
    if hasattr(got, "detach"):  # Tensors
        return is_close(got.detach().numpy(), expected.detach().numpy())
    if isinstance(got, np.ndarray):  # of truth values
        return np.array_equal(got, expected)
    return bool(got == expected)


def explain(results: Sequence[Result], remark: Callable[[str], str] = lambda _: "") -> str:
    """Say what is wrong; "" if nothing is.

    Args:
        results: All that a judge yielded, in order.
        remark: What the judge itself can say of a wrong result, by its name; "" for nothing.
    """
    for result in results:
        if message := _kind(result, results):
            return sentences(message)
    wrong = [result for result in results if not is_close(result.got, result.expected)]
    if not wrong:
        return ""
    name = wrong[0].name
    mine = [result for result in results if result.name == name]
    bad = [result for result in mine if result in wrong]
    others = dict.fromkeys(result.name for result in results)
    right = [other for other in others if all(r not in wrong for r in results if r.name == other)]
    praise = f"{listed(right)} {'is' if len(right) == 1 else 'are'} right. " if right else ""
    relation = remark(name) or _relation(bad)
    good = [result for result in mine if result not in bad and result.where != bad[0].where]
    if relation and good:
        praise += f"{name} is right for {good[0].where}, but not for all inputs. "
    return sentences(f"{praise}{relation or _cases(good, bad)} {_example(bad[0])}")


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentences(text: str) -> str:
    """Begin each sentence with a capital, where it begins with an article."""
    return re.sub(r"(^|[.] )the ", r"\1The ", text)


# --- what kind of thing it is -----------------------------------------------------------------


def _kind(result: Result, results: Sequence[Result]) -> str:
    """A fault that needs no look at the numbers: nothing returned, another type, shape, NaN."""
    name, got, expected = result.name, result.got, result.expected
    where = f" (for {result.where})" if result.where else ""
    if got is ...:
        return f"{name} is still `...`: put your own code in the place of the three dots."
    if got is None and expected is not None:
        return f"{name} is None{where}: does each way through the function end with `return`?"
    if not _is_numeric(expected):
        if is_close(got, expected):
            return ""
        return f"{name} is {_short(got)}{where}; expected {_short(expected)}."
    if not _is_numeric(got):
        kind = type(got).__name__
        remedy = "; `.numpy()` gives its array" if kind == "Tensor" else ""
        wanted = "a number" if np.ndim(expected) == 0 else "a NumPy array"
        return f"{name} is of type {kind}{where}; expected {wanted}{remedy}."
    shape, right = np.shape(got), np.shape(expected)
    if shape != right:
        return f"{name} has shape {shape}{where}; " + _shape(result, results)
    if np.asarray(expected).dtype.kind != "f":
        return ""
    values = np.asarray(got)
    if not np.isfinite(values).all() and np.isfinite(expected).all():
        what = "NaN" if np.isnan(values).any() else "infinity"
        return (
            f"{name} contains {what}{where}, and should not: look for an overflow of exp, a "
            "logarithm or a division of 0, or infinity times 0."
        )
    if values.dtype.kind in "iub" and np.any(expected != np.round(expected)):
        return f"{name} consists of integers ({values.dtype}){where}; expected float64 numbers."
    if values.dtype.itemsize < 8 and values.dtype.kind == "f":
        return f"{name} is {values.dtype}{where}; expected float64, as the arguments are."
    return ""


def _shape(result: Result, results: Sequence[Result]) -> str:
    """What a wrong shape tells."""
    shape, right = np.shape(result.got), np.shape(result.expected)
    if result.like:
        wanted = f"{result.name} has the shape of {result.like}, {right}"
    else:
        wanted = f"expected {right}"
    for other in results:
        if other.where == result.where and other.name != result.name:
            if is_close(result.got, other.expected):
                swapped = is_close(other.got, result.expected)
                return f"{wanted}. It is {other.name}" + (": the two are swapped." * swapped or ".")
    if len(shape) > 1 and shape == right[::-1]:
        return f"{wanted}: is something transposed?"
    if right == ():
        return "expected a single number."
    if [n for n in shape if n != 1] == [n for n in right if n != 1]:
        return f"{wanted}: an axis of length 1 is missing or too many (`keepdims`, `reshape`)."
    if result.like and (len(shape) > len(right) or _broadcasts(right, shape)):
        return f"{wanted}: where an input was repeated, its gradient is the sum over the copies."
    if result.like and _broadcasts(shape, right):
        return f"{wanted}: each element of {result.like} needs a number of its own."
    return f"{wanted}."


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False


# --- what the numbers have in common with the right ones -----------------------------------------


def _relation(bad: Sequence[Result]) -> str:
    """A relation that holds between all wrong results and the right ones."""
    name = bad[0].name
    pairs = [(np.asarray(r.got, np.float64), np.asarray(r.expected, np.float64)) for r in bad]

    def all_are(change: Callable[[Array], Array]) -> bool:
        return all(
            change(right).shape == got.shape and _near(got, change(right)) for got, right in pairs
        )

    if all(not got.any() for got, _ in pairs):
        return f"{name} is 0 everywhere."
    if all_are(np.negative):
        return f"{name} has the wrong sign everywhere."
    if message := _factor(name, pairs) or _input(name, bad) or _factor_by_line(name, pairs):
        return message
    if all(got.ndim for got, _ in pairs) and all(got.size > 1 for got, _ in pairs):
        if all_are(np.transpose):
            return f"{name} is the transpose of what it should be."
        for axis in range(min(got.ndim for got, _ in pairs)):
            if all_are(functools.partial(np.flip, axis=axis)):
                return f"{name} has the right numbers in reverse order along axis {axis}."
            for by in (1, -1):
                if all_are(functools.partial(np.roll, shift=by, axis=axis)):
                    way = "late" if by == 1 else "early"
                    return f"{name} has the right numbers one place too {way} along axis {axis}."
        if all(_near(np.sort(got, axis=None), np.sort(right, axis=None)) for got, right in pairs):
            return f"{name} has the right numbers, in the wrong places."
    if sum(got.size for got, _ in pairs) == 1:
        return ""
    gaps = [got - right for got, right in pairs]
    if all(_near(gap, np.full_like(gap, gaps[0].flat[0])) for gap in gaps):
        gap = float(gaps[0].flat[0])
        return f"Every number of {name} is {abs(gap):.6g} too {'large' if gap > 0 else 'small'}."
    return ""


def _factor(name: str, pairs: Sequence[tuple[Array, Array]]) -> str:
    """A factor between all wrong results and the right ones: a constant, or a length."""
    factors = []
    for got, right in pairs:
        scale = float(np.sum(right * right))
        factor = float(np.sum(got * right)) / scale if scale else 0.0
        if not factor or not _near(got, factor * right):
            return ""
        factors.append(factor)
    first, single = factors[0], all(right.size == 1 for _, right in pairs)
    if single and len(pairs) == 1:
        return ""
    every = name if single else f"Every number of {name}"
    if np.allclose(factors, first, rtol=WITHIN, atol=0):
        if abs(first) > 1:
            text = f"{every} is {abs(first):.6g} times too large"
        else:
            text = f"{every} is {abs(1 / first):.6g} times too small"
        return text + (", and has the wrong sign." if first < 0 else ".")
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
    return f"{name} is right but for a factor, which differs from input to input."


def _factor_by_line(name: str, pairs: Sequence[tuple[Array, Array]]) -> str:
    """A factor of its own for each row or column of a matrix."""
    if all(right.ndim == 2 for _, right in pairs):
        for axis, line in ((0, "column"), (1, "row")):
            if all(
                ((right != 0).sum(axis) > 1).all()
                and _near(got, right * _best_factor(got, right, axis))
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
        if given == "g" or not _is_numeric(value):
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
    if not np.all(value) or not _broadcasts(value.shape, right.shape):
        return False
    return _near(got, right * value**power)


def _cases(good: Sequence[Result], bad: Sequence[Result]) -> str:
    """For which inputs and at which positions the numbers are wrong."""
    name = bad[0].name
    if good:
        return (
            f"{name} is right for {good[0].where}, but not for {bad[0].where}: is a size or a "
            "value of one case written into the function?"
        )
    got, right = (np.asarray(x, np.float64) for x in (bad[0].got, bad[0].expected))
    wrong = int(np.sum(_apart(got, right)))
    if got.size == 1:
        return f"{name} is wrong."
    if wrong == got.size:
        return f"{name} has the right shape, but every number is wrong."
    return f"{name} has the right shape, but {wrong} of {got.size} numbers are wrong."


def _example(result: Result) -> str:
    """The first wrong number, beside the right one."""
    got, right = (np.asarray(x, np.float64) for x in (result.got, result.expected))
    [place] = np.argwhere(_apart(got, right))[:1]
    index = tuple(map(int, place))
    at = f" at {list(index)}" if index else ""
    where = f"For {result.where}: " if result.where else ""
    numbers = [f"{x[index] + 0.0:.6g}" for x in (got, right)]  # 0.0 makes a 0 of -0
    return f"{where}{result.name}{at} is {numbers[0]}, and should be {numbers[1]}."


# --- comparing --------------------------------------------------------------------------------


def _is_numeric(value: Any) -> bool:
    if isinstance(value, bool | np.bool_ | str):
        return False
    return isinstance(value, int | float | np.number) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    )


def _apart(got: Array, right: Array) -> Array:
    """Which elements differ by more than 1e-6 of the largest number, or of 1."""
    finite = np.abs(right[np.isfinite(right)])
    scale = max(1.0, float(finite.max(initial=0)))
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return ~((got == right) | (np.abs(got - right) <= WITHIN * scale) | _both_nan(got, right))


def _both_nan(got: Array, right: Array) -> Array:
    return np.isnan(got) & np.isnan(right)


def _near(got: Array, right: Array) -> bool:
    return bool(got.shape == right.shape and not _apart(got, right).any())


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
