"""Say what is wrong with results; every sentence is printed only where it was found to be true.

`explain` puts the message together. What the numbers have in common is found in relations.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.learn.judges import Array, Result
from minigrad.learn.relations import apart, broadcasts, is_numeric, near, only_where, relation


@dataclass(frozen=True)
class Known:
    """What is known of a learner's function beside its results.

    Args:
        remark: What the judge can say of a wrong result, by its name; "" for nothing.
        is_cut: Whether a call failed, so that further results are missing.
        is_written: Whether a number in its code stands for a length or an argument.
        ends_without_return: Whether a way through it returns nothing.
    """

    remark: Callable[[str], str] = lambda _: ""
    is_cut: bool = False
    is_written: Callable[[str, Any], bool] = lambda what, value: False
    ends_without_return: bool = False


def is_close(got: Any, expected: Any) -> bool:
    """Whether two results are the same: numbers to six digits of the largest, all else by `==`."""
    if not is_numeric(expected):
        return type(got) is type(expected) and _equals(got, expected)
    if not is_numeric(got) and not _is_mask(got, expected):
        return False
    return near(np.asarray(got, np.float64), np.asarray(expected, np.float64))


def _equals(got: Any, expected: Any) -> bool:
    if hasattr(got, "detach"):  # Tensors
        return is_close(got.detach().numpy(), expected.detach().numpy())
    if isinstance(got, np.ndarray):  # of truth values
        return np.array_equal(got, expected)
    return bool(got == expected)


def _is_mask(got: Any, expected: Any) -> bool:
    """Whether truth values stand for an array of 0 and 1, which NumPy takes them for as well."""
    is_mask = isinstance(got, np.ndarray) and got.dtype.kind == "b"
    return is_mask and bool(np.isin(expected, (0, 1)).all())


@np.errstate(all="ignore")
def explain(results: Sequence[Result], known: Known | None = None) -> str:
    """Say what is wrong; "" if nothing is.

    Args:
        results: All that a judge yielded, in order.
        known: What else is known of the function.
    """
    known = known or Known()
    wrong = [r for r in results if _kind(r, results, known) or not is_close(r.got, r.expected)]
    if not wrong:
        return ""
    if message := _exchanged(results):
        return sentences(message)
    first = wrong[0]
    names = dict.fromkeys(result.name for result in results)
    others = dict.fromkeys(result.name for result in wrong if result.name != first.name)
    right = [name for name in names if name not in others and name != first.name]
    praise = _are("{} right. ", right)
    too = _are(" {} wrong too.", [*others])
    if message := _kind(first, results, known):
        return sentences(f"{praise}{message}{too}")
    mine = [result for result in results if result.name == first.name]
    good = [result for result in mine if result not in wrong]
    faulty = [r for r in mine if r in wrong and _kind(r, results, known)]
    bad = [r for r in mine if r in wrong and r not in faulty]
    found = known.remark(first.name) or relation(bad, good, not faulty and not known.is_cut)
    some = _some(good, bad, len(mine) - len(good), found, known.is_written)
    return sentences(f"{praise}{some}{found or _count(first, some)}{_example(first)}{too}")


def _are(sentence: str, names: Sequence[str]) -> str:
    """Say something of several names, or of how many there are; "" of none."""
    if not names:
        return ""
    who = listed(names) if len(names) < 5 else f"{len(names)} other results"
    return sentence.format(f"{who} {'is' if len(names) == 1 else 'are'}")


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentences(text: str) -> str:
    """Begin each sentence with a capital, where it begins with no name of something in code."""
    first = r"(^|[.?] )(the|whether|each|every|all|what|how) "
    return re.sub(first, lambda found: f"{found[1]}{found[2].capitalize()} ", text)


# --- all results, in another order ------------------------------------------------------------


def _exchanged(results: Sequence[Result]) -> str:
    """Whether all numbers are right, but each stands where another should: in every case."""
    names = [*dict.fromkeys(result.name for result in results)]
    calls = [*_calls(results)]
    if not 2 <= len(names) <= 5 or all(is_close(r.got, r.expected) for r in results):
        return ""
    for order in itertools.permutations(range(len(names))):
        if all(
            [result.name for result in call] == names
            and all(is_close(call[i].got, call[k].expected) for i, k in enumerate(order))
            for call in calls
        ):
            is_what = [
                f"{names[i]} is what {names[k]} should be"
                for i, k in enumerate(order)
                if names[i] != names[k]
            ]
            return f"The right numbers, but exchanged: {listed(is_what)}."
    return ""


def _calls(results: Sequence[Result]) -> Iterator[list[Result]]:
    """The results of each call: a name that comes again begins another."""
    call: list[Result] = []
    for result in results:
        if any(result.name == earlier.name for earlier in call):
            yield call
            call = []
        call.append(result)
    yield call


# --- what kind of thing it is -----------------------------------------------------------------


def _kind(result: Result, results: Sequence[Result], known: Known) -> str:
    """A fault that needs no look at the numbers: nothing returned, another type, shape, NaN."""
    name, got, expected = result.name, result.got, result.expected
    where = f" (for {result.where})" if result.where else ""
    if got is ...:
        return f"{name} is still `...`: put your own code in the place of the three dots."
    if got is None and expected is not None:
        ask = ": does each way through the function end with `return`?"
        return f"{name} is None{where}{ask if known.ends_without_return else '.'}"
    if not is_numeric(expected):
        if is_close(got, expected):
            return ""
        return f"{name} is {_short(got)}{where}; expected {_short(expected)}."
    if not is_numeric(got):
        if is_close(got, expected):
            return ""
        return f"{name} is {_type(got)}{where}; expected {_wanted(got, expected)}."
    shape, right = np.shape(got), np.shape(expected)
    if shape != right:
        return f"{name} has shape {shape}{where}; " + _shape(result, results)
    if np.asarray(expected).dtype.kind != "f":
        return ""
    values = np.asarray(got)
    if not np.isfinite(values).all() and np.isfinite(expected).all():
        what = "NaN" if np.isnan(values).any() else "infinity"
        return f"{name} contains {what}{where}, and should not: {NOT_FINITE[what]}."
    if values.dtype.kind in "iu" and np.any(expected != np.round(expected)):
        return f"{name} consists of integers ({values.dtype}){where}; expected float64 numbers."
    if values.dtype.itemsize < 8 and values.dtype.kind == "f":
        return f"{name} is {values.dtype}{where}; expected float64{_as_given(result)}."
    return ""


def _as_given(result: Result) -> str:
    arrays = [x for x in result.inputs.values() if isinstance(x, np.ndarray)]
    return ", as the arguments are" if any(x.dtype == np.float64 for x in arrays) else ""


NOT_FINITE = {
    "NaN": "it comes from 0 / 0, infinity less or over infinity, infinity times 0, or the root or "
    "logarithm of a negative number",
    "infinity": "it comes from exp of a large number, the logarithm of 0, a division by 0, or a "
    "number that grows again and again",
}


def _type(got: Any) -> str:
    if isinstance(got, np.ndarray | np.generic):
        return f"{'an array' if np.ndim(got) else 'a value'} of type {got.dtype}"
    return f"of type {type(got).__name__}"


def _wanted(got: Any, expected: Any) -> str:
    if isinstance(got, np.ndarray | np.generic):
        return "float64 numbers"
    remedies = {
        "Tensor": "; `.numpy()` gives its array",
        "list": "; `np.array(...)` makes one of a list" if np.ndim(expected) else "",
    }
    wanted = "a NumPy array" if np.ndim(expected) else "a number"
    return wanted + remedies.get(type(got).__name__, "")


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
                return f"{wanted}. It is {other.name}."
    if len(shape) > 1 and shape == right[::-1]:
        return f"{wanted}: is something transposed?"
    if right == ():
        return "expected a single number."
    if [n for n in shape if n != 1] == [n for n in right if n != 1]:
        return f"{wanted}: an axis of length 1 is missing or too many (`keepdims`, `reshape`)."
    if result.like and (len(shape) > len(right) or broadcasts(right, shape)):
        return f"{wanted}: where an input was repeated, its gradient is the sum over the copies."
    if result.like and broadcasts(shape, right):
        return f"{wanted}: each element of {result.like} needs a number of its own."
    return f"{wanted}."


# --- for which inputs, and where ----------------------------------------------------------------


def _some(
    good: Sequence[Result],
    bad: Sequence[Result],
    wrong: int,
    found: str,
    is_written: Callable[[str, Any], bool],
) -> str:
    """For which inputs a result is right, where it is right for some; "" where for none."""
    name, total = bad[0].name, len(good) + wrong
    if not good or not good[0].where or good[0].where == bad[0].where:
        return ""
    only = only_where(good, bad, is_written)
    share = f"{name} is right for {len(good)} of {total} inputs, as {good[0].where}. {only}".strip()
    if not found:
        return share
    others = f"the other {wrong}" if wrong > 1 else "the other"
    return f"{share} For {others if wrong == len(bad) else f'{len(bad)} others'}: "


def _count(result: Result, some: str) -> str:
    """How many numbers of the first wrong result are wrong."""
    got, right = _numbers(result)
    wrong, name = int(np.sum(apart(got, right))), result.name
    if got.size == 1:
        return "" if some else f"{name} is wrong."
    if some:
        return ""
    are = "is" if wrong == 1 else "are"
    share = "every number is" if wrong == got.size else f"{wrong} of {got.size} numbers {are}"
    return f"{name} has the right shape, but {share} wrong."


def _example(result: Result) -> str:
    """The first wrong number, beside the right one."""
    got, right = _numbers(result)
    [place] = np.argwhere(apart(got, right))[:1]
    index = tuple(map(int, place))
    at = f" at {list(index)}" if index else ""
    where = f"For {result.where}: " if result.where else ""
    values = [f"{x[index] + 0.0:.6g}" for x in (got, right)]  # 0.0 makes a 0 of -0
    if values[0] == values[1]:
        values = [f"{x[index] + 0.0:.9g}" for x in (got, right)]
    return f" {where}{result.name}{at} is {values[0]}, and should be {values[1]}."


def _numbers(result: Result) -> tuple[Array, Array]:
    return np.asarray(result.got, np.float64), np.asarray(result.expected, np.float64)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
