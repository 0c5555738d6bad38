"""Exercises of chapter 12: no new arrays, one product instead of four, one vector, a forecast."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Values, Wrong, call, draw
from minigrad.learn.judges import several

# --- 12.1 a sigmoid in place --------------------------------------------------------------------


def sigmoid_into(x: Array, out: Array) -> None:
    """Fill out with the sigmoid of x, and return nothing; both are arrays of one shape."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(1, out, out=out)


def _new_arrays(function: Callable[[], object], size: int) -> int:
    """How many arrays of `size` bytes there were at once, besides those that were there before."""
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        function()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return round((peak - before) / size)


def _judge_sigmoid_into(function: Callable[[Array, Array], object]) -> Iterator[Result]:
    is_right = True
    for shape, scale in (((5,), 1.0), ((3, 4), 3.0), ((20, 1000), 20.0)):
        x = scale * np.random.RandomState(0).standard_normal(shape)
        x.flat[0] = 800.0  # e^800 is infinite, e^-800 is 0
        out = np.full(shape, 7.0)

        given = x.copy()

        def into(_: Array, given: Array = given, out: Array = out) -> object:
            return function(given, out)

        call(into, {"x": x})
        if not np.array_equal(given, x):
            raise Wrong(
                "x has been changed. It is only to be read: write the result of each call into out "
                "(`np.negative(x, out=out)`, not `x *= -1`)."
            )
        right = 0.5 * np.tanh(0.5 * x) + 0.5
        is_right = is_right and bool(np.allclose(out, right))
        yield Result("out", out, right, f"x of shape {shape}", inputs={"x": x})
    count = _new_arrays(lambda: function(x, out), x.nbytes)
    if count and is_right:
        were = "was 1 array" if count == 1 else f"were {count} arrays"
        raise Wrong(
            f"The numbers are right. But while it ran there {were} as large as x at once that the "
            "function had made; out is all the memory that it needs."
        )


SIGMOID_INTO = Exercise(
    number="12.1",
    chapter=12,
    title="A sigmoid without new arrays",
    level=1,
    minutes=10,
    task="""
Write the sigmoid 1 / (1 + e^-x) of every element of x into the array out. Make no new array on the
way, and leave x as it is. The function returns nothing; the check looks into out.
""",
    hints=(
        "Each of NumPy's functions takes `out=`, an array for its result; this may be one of its "
        "inputs. Which array can hold what has been computed so far?",
        "Go through the formula from the inside: minus, the power of e, plus 1, one divided by it. "
        "Only the first of these four reads x; all four write into out.",
    ),
    answer=sigmoid_into,
    judge=_judge_sigmoid_into,
    mistakes=(
        Mistake(
            lambda x, out: out.__setitem__(..., 1 / (1 + np.exp(-x))),
            "The right side is computed first, in arrays of its own, and then copied into out. To "
            "write into out at once, each call needs `out=`.",
        ),
        Mistake(
            lambda x, out: (np.exp(-x, out=out), np.add(out, 1, out=out), np.divide(1, out, out)),
            "One new array is left. A part of an expression, as `-x` or `x / 2`, is an operation "
            "too, and makes one before its neighbour is called; so does every call without `out=`.",
        ),
        Mistake(
            lambda x, out: 1 / (1 + np.exp(-x)),
            "out still holds what it held. A result that is returned, or to which the name out is "
            "given (`out = ...`), is another array: the caller's out is changed by `out=`, by "
            "`+=` and its like, and by `out[...] = ...`.",
        ),
        Mistake(
            lambda x, out: (np.exp(x, out=out), np.add(out, 1, out=out), np.divide(1, out, out)),
            "The minus is missing: this is the sigmoid of -x, which is 1 minus that of x.",
        ),
        Mistake(
            lambda x, out: (
                np.negative(x, out=out),
                np.exp(out, out=out),
                np.add(out, 1, out=out),
            ),
            "out holds 1 + e^-x. One divided by it is missing, or has gone elsewhere: "
            "`out = 1 / out` gives the name out to a new array, and the caller's stays as it is.",
        ),
        Mistake(
            lambda x, out: (np.negative(x, out=out), np.exp(out, out=out)),
            "out holds e^-x. What follows is missing, or has gone elsewhere: `out = out + 1` gives "
            "the name out to a new array, while `+=` writes into the caller's.",
        ),
        Mistake(
            lambda x, out: (np.negative(x, out=out), np.exp(out, out=out), np.divide(1, out, out)),
            "The 1 in the denominator is missing: this is 1 / e^-x.",
        ),
        Mistake(
            lambda x, out: (np.negative(x, out=out), np.add(out, 1, out), np.divide(1, out, out)),
            "out holds 1 / (1 - x): the power of e is missing, or was lost. `np.exp(out)` without "
            "`out=` returns a new array and leaves out as it was.",
        ),
        Mistake(
            lambda x, out: (np.exp(x, out=out), np.divide(out, 1 + out, out=out)),
            "e^x / (1 + e^x) is the same number, but at x = 800 it is infinity divided by "
            "infinity, nan. With e^-x a large x gives 1 / (1 + 0).",
        ),
        Mistake(
            lambda x, out: (
                np.negative(x, out=out),
                np.exp(out, out=out),
                np.add(1, out, out=out),
                np.divide(out, 1, out=out),
                np.subtract(1, out, out=out),
            ),
            "The last lines give 1 - (1 + e^-x). What is asked for is one *divided* by the sum.",
        ),
    ),
    after="Next: `_cell_step` in minigrad/backends/numpy/recurrent.py: three gates by one tanh.",
    against="(1 + tanh(x / 2)) / 2",
)

# --- 12.2 one product instead of four -----------------------------------------------------------


def four_gates(W_f: Array, W_i: Array, W_C: Array, W_o: Array, z: Array) -> tuple[Array, ...]:
    """Return W_f z, W_i z, W_C z and W_o z; the weights are (H, D + H), and z is (D + H, N)."""
    tall = np.concatenate([W_f, W_i, W_C, W_o]) @ z
    f, i, candidate, o = np.split(tall, 4)
    return f, i, candidate, o


class _Counting(np.ndarray[Any, Any]):
    """An array that counts the matrix products in which it takes part."""

    products = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, _Counting) else x for x in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(x) for x in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul:
            self._count(plain)
        return self._again(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(function, types, args, kwargs)
        if function in (np.dot, np.einsum, np.inner, np.tensordot):
            self._count(args[-2:])
        return self._again(result)  # what `concatenate` makes has to count as well

    def dot(self, other: Any, out: Any = None) -> Any:
        """The method for what `np.dot` is as a function."""
        return np.dot(self, other, out)

    @staticmethod
    def _again(result: Any) -> Any:
        return result.view(_Counting) if isinstance(result, np.ndarray) else result

    @staticmethod
    def _count(factors: Sequence[Any]) -> None:
        # NumPy computes a stack of matrices, an array with three axes, one after the other
        stacked = [int(np.prod(np.shape(x)[:-2])) for x in factors]
        _Counting.products += max(stacked)


def _judge_four_gates(function: Callable[..., Any]) -> Iterator[Result]:
    names = ("W_f z", "W_i z", "W_C z", "W_o z")
    for size, inputs, n in ((3, 1, 2), (2, 3, 8), (4, 2, 4)):
        weights = {name.removesuffix(" z"): (size, inputs + size) for name in names}
        case = draw(size, **weights, z=(inputs + size, n))
        _Counting.products = 0

        def counted(*arrays: Array) -> Any:
            return function(*(x.view(_Counting) for x in arrays))

        parts = several(call(counted, case), names)
        got = [np.asarray(x) if isinstance(x, _Counting) else x for x in parts]
        for name, mine in zip(names, got, strict=True):
            right = np.einsum("hk,kn->hn", case[name.removesuffix(" z")], case["z"])
            where = f"H = {size}, D = {inputs}, N = {n}"
            yield Result(name, mine, right, where, inputs=case)
        are_gates = all(isinstance(x, np.ndarray) and x.shape == (size, n) for x in got)
        if are_gates and not _Counting.products:
            raise Wrong(
                "No matrix product was computed. What is asked for is one of them, by `@`: it does "
                "all the multiplications and additions in one call."
            )
        if are_gates and _Counting.products != 1:
            yield Result("the number of products", _Counting.products, 1, where)


def _activated(W_f: Array, W_i: Array, W_C: Array, W_o: Array, z: Array) -> tuple[Array, ...]:
    f, i, candidate, o = four_gates(W_f, W_i, W_C, W_o, z)
    f, i, o = (1 / (1 + np.exp(-gate)) for gate in (f, i, o))
    return f, i, np.tanh(candidate), o


FOUR_GATES = Exercise(
    number="12.2",
    chapter=12,
    title="One product instead of four",
    level=2,
    minutes=12,
    task="""
The four gates of an LSTM multiply four matrices of weights, each (H, D + H), by the same z, whose
columns are N examples (D + H, N). Return the four results W_f z, W_i z, W_C z and W_o z, each
(H, N), computed by *one* matrix product.
""",
    hints=(
        "A row of a product depends on that row of the left factor only. So what happens to the "
        "product if more rows stand below the left factor?",
        "Put the four matrices one below the other, which makes (4H, D + H); multiply; cut the "
        "result into four parts again, along the same axis.",
    ),
    answer=four_gates,
    judge=_judge_four_gates,
    mistakes=(
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: (W_f @ z, W_i @ z, W_C @ z, W_o @ z),
            "The results are right, but four products were computed. Multiply once, and cut the "
            "result. (What np.stack makes has three axes; NumPy multiplies its matrices one after "
            "the other, so that counts as four.)",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: tuple(
                np.split(np.concatenate([W_f, W_i, W_C, W_o]) @ z, 4, axis=1)
            ),
            "What was cut into four parts has no 4H entries along that axis. One product has 4H "
            "rows, if the matrices stand one below the other: cut its rows. Its columns are the "
            "examples.",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: tuple(
                np.split(np.concatenate([W_i, W_f, W_C, W_o]) @ z, 4)
            ),
            "The first two gates are exchanged. PyTorch's order is i, f, g, o; here the results "
            "are asked for in the order of the equations, f first.",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: tuple(
                (np.concatenate([W_f, W_i, W_C, W_o]) @ z).reshape(len(W_f), 4, -1).swapaxes(0, 1)
            ),
            "The rows are dealt out in turn, one to each gate. They stand in four blocks: first "
            "all H rows of the first gate, then all of the second.",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: np.concatenate([W_f, W_i, W_C, W_o], axis=1) @ z,
            "The matrices stand side by side, which makes (H, 4D + 4H): that does not fit z. One "
            "below the other each keeps its columns, which are those that z has as rows.",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: np.concatenate([W_f, W_i, W_C, W_o]) @ z,
            "The product is right. It has 4H rows, and has to be cut into the four gates.",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: tuple(
                np.split(z.T @ np.concatenate([W_f, W_i, W_C, W_o]).T, 4, axis=1)
            ),
            "Each result is transposed, (N, H): computed so, examples are rows. Here they are "
            "columns, as in z.",
        ),
        Mistake(
            _activated,
            "The activation functions are applied already. Asked for are the four products alone, "
            "without them.",
        ),
        Mistake(
            lambda W_f, W_i, W_C, W_o, z: 4 * ((W_f + W_i + W_C + W_o) @ z,),
            "The four matrices are added up, so all gates get the same sum. They have to stay "
            "apart: one below the other.",
        ),
    ),
    after="Next: `_stack` in minigrad/backends/numpy/recurrent.py joins the biases to W as well.",
    against="each product by itself",
)

# --- 12.3 one vector ----------------------------------------------------------------------------


def one_vector(arrays: list[Array]) -> tuple[Array, list[Array]]:
    """Return a new vector with all numbers of the arrays, and views of it in their shapes."""
    flat = np.concatenate([x.ravel() for x in arrays])
    views, start = [], 0
    for x in arrays:
        views.append(flat[start : start + x.size].reshape(x.shape))
        start += x.size
    return flat, views


def _judge_one_vector(function: Callable[..., Any]) -> Iterator[Result]:
    for kind, shapes in (
        ("float64", [(3,), (2, 3), (2,)]),
        ("float32", [(4,), (2, 2), (1, 3, 2)]),
        ("float32", [(2, 3), (3, 2), (5,), (2,)]),
    ):
        random = np.random.RandomState(len(shapes))
        arrays = [random.standard_normal(shape).astype(kind) for shape in shapes]
        where = f"{len(shapes)} arrays of the shapes {', '.join(map(str, shapes))}"
        given: list[list[Array]] = [[], []]  # the list as it was, and as it came back

        def noted(arrays: list[Array], given: list[list[Array]] = given) -> Any:
            given[:] = list(arrays), arrays
            return function(arrays)

        flat, views = several(call(noted, {"arrays": arrays}), ("flat", "views"))
        if any(one is not other for one, other in zip(*given, strict=False)):
            raise Wrong(
                "The list that was given holds other arrays now. It stays as it is: put the views "
                "into a list of your own."
            )
        if not isinstance(flat, np.ndarray):
            of_arrays = isinstance(flat, list) and any(isinstance(x, np.ndarray) for x in flat)
            kind_of = "list of arrays" if of_arrays else type(flat).__name__
            raise Wrong(f"The first result is a {kind_of}; flat is one NumPy array.")
        yield Result("flat", _wide(flat), _wide(_joined(arrays)), where)
        if flat.shape != _joined(arrays).shape:
            return
        if not isinstance(views, list | tuple) or len(views) != len(arrays):
            raise Wrong(
                "The second result is not a list with one view for each array that was given."
            )
        yield Result("the dtype of flat", str(flat.dtype), kind, where)
        for i, (mine, x) in enumerate(zip(views, arrays, strict=True)):
            yield Result(f"views[{i}]", _wide(mine), _wide(x), where)
        flat += np.arange(1, flat.size + 1, dtype=kind)  # as an optimizer would
        start = 0
        for i, (mine, x) in enumerate(zip(views, arrays, strict=True)):
            moved = x + np.arange(start + 1, start + x.size + 1, dtype=kind).reshape(x.shape)
            yield Result(f"views[{i}] after flat was changed", _wide(mine), _wide(moved), where)
            start += x.size


def _wide(numbers: Any) -> Any:
    """A copy in float64, as results are compared; what is no array is left as it is."""
    return numbers.astype(np.float64) if isinstance(numbers, np.ndarray) else numbers


def _cut(flat: Array, arrays: list[Array], starts: Sequence[int]) -> list[Array]:
    return [
        flat[start : start + x.size].reshape(x.shape)
        for start, x in zip(starts, arrays, strict=True)
    ]


def _starts(arrays: list[Array]) -> list[int]:
    return [0, *itertools.accumulate(x.size for x in arrays)][:-1]


def _joined(arrays: list[Array]) -> Array:
    return np.concatenate([x.ravel() for x in arrays])


def _with_zeros(arrays: list[Array]) -> tuple[Array, list[Array]]:
    flat = np.zeros(sum(x.size for x in arrays))
    views = _cut(flat, arrays, _starts(arrays))
    for view, x in zip(views, arrays, strict=True):
        view[...] = x
    return flat, views


def _by_columns(arrays: list[Array]) -> tuple[Array, list[Array]]:
    flat = np.concatenate([x.ravel(order="F") for x in arrays])
    return flat, _cut(flat, arrays, _starts(arrays))


def _with_starts(starts: Callable[[list[Array]], Sequence[int]]) -> Callable[..., Any]:
    def answer(arrays: list[Array]) -> tuple[Array, list[Array]]:
        flat = _joined(arrays)
        return flat, _cut(flat, arrays, starts(arrays))

    return answer


ONE_VECTOR = Exercise(
    number="12.3",
    chapter=12,
    title="All parameters in one vector",
    level=2,
    minutes=15,
    task="""
Given the arrays of a network's parameters, of several shapes and one dtype, return a new vector
flat with all their numbers, one array after the other, row by row; and a list of views, one for
each array: it has the array's shape and numbers, and lies in flat, so that a change of flat changes
it too. The arrays that were given stay as they are.
""",
    hints=(
        "A slice of a vector is a view, and so is a slice with another shape, by reshape. A copy "
        "is not. The views have to be cut out of flat *after* flat has been made.",
        "np.concatenate of the arrays' `ravel()` makes flat. Walk through the arrays once more: "
        "each takes as many numbers as its size, from where the one before has ended.",
    ),
    answer=one_vector,
    judge=_judge_one_vector,
    mistakes=(
        Mistake(
            lambda arrays: (_joined(arrays), [x.copy() for x in arrays]),
            "The views have the right numbers, but a change of flat does not reach them: they are "
            "arrays of their own (copies, or those that were given). Cut them out of flat.",
        ),
        Mistake(
            lambda arrays: (
                flat := _joined(arrays),
                [view.ravel() for view in _cut(flat, arrays, _starts(arrays))],
            ),
            "The parts of flat are right, but each is a row of numbers: it still needs the shape "
            "of its array.",
        ),
        Mistake(
            _with_starts(lambda arrays: [0 for _ in arrays]),
            "Every view begins at the beginning of flat. Each has to begin where the one before "
            "it has ended.",
        ),
        Mistake(
            _with_starts(lambda arrays: [i * arrays[0].size for i, _ in enumerate(arrays)]),
            "The views begin at multiples of the first array's size. The arrays have different "
            "sizes, which have to be added up.",
        ),
        Mistake(
            _with_zeros,
            "flat is float64, whatever the arrays are: np.zeros and np.empty make that unless they "
            "are given a dtype. Twice the bytes take twice the time.",
        ),
        Mistake(
            _by_columns,
            "The matrices were read column by column. A view with their shape reads row by row, so "
            "its numbers stand in other places.",
        ),
        Mistake(
            lambda arrays: (_joined(arrays[::-1]), [x.copy() for x in arrays]),
            "flat holds the arrays in the opposite order; the first array comes first.",
        ),
        Mistake(
            lambda arrays: one_vector(arrays)[::-1],
            "The two results are exchanged: first the vector, then the list of views.",
        ),
    ),
    after="Next: `_parts` in minigrad/optim/flat.py does this for parameters, gradients and means.",
    against="the arrays themselves, before and after a change of flat",
)

# --- 12.4 a forecast ----------------------------------------------------------------------------


def forecast(
    passes: list[list[int]],
    products: list[tuple[int, int, int]],
    call: float,
    bandwidth: float,
    speed: float,
) -> float:
    """Return the seconds: call per call, bandwidth in bytes and speed in operations per second."""
    moved = 4 * sum(sum(sizes) for sizes in passes)
    operations = sum(2 * n * k * m for n, k, m in products)
    return (len(passes) + len(products)) * call + moved / bandwidth + operations / speed


def _forecast_truth(
    passes: list[list[int]],
    products: list[tuple[int, int, int]],
    call: float,
    bandwidth: float,
    speed: float,
) -> float:
    """Call by call, in microseconds."""
    seconds = 0.0
    for sizes in passes:
        seconds += call
        for size in sizes:
            seconds += np.dtype("float32").itemsize * size / bandwidth
    for n, k, m in products:
        one_number = k + k  # so many multiplications and additions
        seconds += call + n * m * one_number / speed
    return seconds


def _forecast_but(
    calls: Callable[[int, int], int] = lambda a, b: a + b,
    width: float = 4,
    sizes: Callable[[list[int]], float] = sum,
    work: Callable[[int, int, int], float] = lambda n, k, m: 2 * n * k * m,
    combine: Callable[..., float] = lambda c, m, o: c + m + o,
    per_second: Callable[[float, float], float] = lambda amount, rate: amount / rate,
    also_moved: Callable[[int, int, int], int] = lambda n, k, m: 0,
) -> Callable[..., float]:
    """A forecast with a mistake: one of its parts done otherwise."""

    def answer(passes: Any, products: Any, call: float, bandwidth: float, speed: float) -> float:
        moved = sum(map(sizes, passes)) + sum(also_moved(*product) for product in products)
        operations = sum(work(*product) for product in products)
        return combine(
            calls(len(passes), len(products)) * call,
            per_second(width * moved, bandwidth),
            per_second(operations, speed),
        )

    return answer


FORECAST = Exercise(
    number="12.4",
    chapter=12,
    title="A forecast from three numbers",
    level=2,
    minutes=15,
    task="""
Forecast how long a calculation in float32 takes. passes has a list for each element-wise call: the
number of elements of every array that it reads or writes, as [n, n, n] for an addition of two
arrays into a third. products has (n, k, m) for each product of an (n, k) by a (k, m) matrix: count
n k m multiplications and as many additions, and not the bytes that it moves. call is what one call
costs in seconds, bandwidth the bytes that are moved in a second, speed the multiplications and
additions in a second. Return the seconds in all.
""",
    hints=(
        "Three sums: one for calls, one for bytes, one for multiplications and additions. Each is "
        "turned into seconds by one of the three numbers.",
        "A float32 has 4 bytes. A product has two operations for each of its multiplications, "
        "and is a call too.",
    ),
    answer=forecast,
    judge=Values(
        truth=_forecast_truth,
        needs=("passes", "products", "call", "bandwidth", "speed"),
        cases=(
            {
                "passes": [[100, 100, 100], [100, 100]],
                "products": [(10, 20, 30)],
                "call": 1.0,
                "bandwidth": 1000.0,
                "speed": 10_000.0,
            },
            {
                "passes": [[2, 8, 8], [8, 8], [40, 40]],
                "products": [(5, 1, 7), (3, 4, 2)],
                "call": 0.5,
                "bandwidth": 100.0,
                "speed": 50.0,
            },
            {
                "passes": [],
                "products": [(128, 256, 64)],
                "call": 2.0,
                "bandwidth": 500.0,
                "speed": 1e6,
            },
            {
                "passes": [[16384, 16384], [16384, 16384, 16384]],
                "products": [],
                "call": 0.25,
                "bandwidth": 1e5,
                "speed": 1e6,
            },
        ),
        names=("the time",),
        against="the same sum, call by call",
    ),
    mistakes=(
        Mistake(
            _forecast_but(work=lambda n, k, m: n * k * m),
            "The products are counted with their multiplications alone. Each is followed by an "
            "addition, which counts as well.",
        ),
        Mistake(
            _forecast_but(work=lambda n, k, m: n * k * m, calls=lambda a, b: a),
            "Two things are missing at the products: an addition with each multiplication, and "
            "the price of the call.",
        ),
        Mistake(
            _forecast_but(per_second=lambda amount, rate: amount * rate),
            "Bytes and operations are multiplied by what is done in a second. A larger bandwidth "
            "makes the time shorter.",
        ),
        Mistake(
            _forecast_but(also_moved=lambda n, k, m: n * k + k * m + n * m),
            "The bytes of the products are counted too. A product uses each number many times "
            "while it is in the cache, and the task leaves them out.",
        ),
        Mistake(
            _forecast_but(width=1),
            "Elements are taken for bytes. A float32 has 4 bytes.",
        ),
        Mistake(
            _forecast_but(width=8),
            "Each number is counted with 8 bytes, as a float64 has, or as if each array were both "
            "read and written. A float32 has 4, and the lists name an array once for each way.",
        ),
        Mistake(
            _forecast_but(calls=lambda a, b: a),
            "Only the element-wise calls are counted. A product is a call too, and costs as much "
            "before it begins to multiply.",
        ),
        Mistake(
            _forecast_but(sizes=lambda sizes: sum(sizes[:-1])),
            "The last array of each call is left out, the one that is written. Its bytes are moved "
            "as well.",
        ),
        Mistake(
            _forecast_but(sizes=lambda sizes: sizes[0]),
            "Only the first array of each call is counted. All arrays that it reads or writes are "
            "moved.",
        ),
        Mistake(
            _forecast_but(per_second=lambda amount, rate: amount // rate),
            "`//` drops what is left of a division: 5 bytes at 2 bytes a second take 2.5 seconds, "
            "and not 2. A time is divided by `/`.",
        ),
        Mistake(
            lambda passes, products, call, bandwidth, speed: (
                forecast(passes, products, 0.0, bandwidth, speed)
                + call * (sum(map(len, passes)) + len(products))
            ),
            "A call is counted for each array. There is one for each list of passes, however many "
            "arrays it reads and writes.",
        ),
        Mistake(
            _forecast_but(sizes=max),
            "Only one array of each call is counted. An addition reads two arrays and writes a "
            "third: all three are moved.",
        ),
        Mistake(
            _forecast_but(combine=max),
            "This is the largest of the three times, as if all went on at once. NumPy does one "
            "thing after the other, so they add up.",
        ),
        Mistake(
            _forecast_but(work=lambda n, k, m: 2 * n * m),
            "A product is counted as one multiplication and one addition for each of its n m "
            "numbers. Each of them is an inner product of k terms.",
        ),
        Mistake(
            _forecast_but(calls=lambda a, b: 1),
            "The price of a call is counted once. Every call of NumPy costs it, each pass and each "
            "product.",
        ),
        Mistake(
            _forecast_but(sizes=lambda sizes: float(np.prod(sizes))),
            "The sizes of a call's arrays are multiplied. They are moved one after the other, so "
            "their bytes add up.",
        ),
    ),
    after="Next: forecast a step of Adam on your own network, and measure it as section 1 does.",
)

EXERCISES = (SIGMOID_INTO, FOUR_GATES, ONE_VECTOR, FORECAST)
