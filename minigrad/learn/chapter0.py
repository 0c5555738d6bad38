"""Exercises of chapter 0: derivatives by small changes, arrays, the chain rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Values, Wrong, call, draw
from minigrad.learn.judges import CallFailedError, differences


@dataclass(frozen=True)
class Named:
    """A function that messages call by its formula."""

    formula: str
    function: Callable[[Any], Any]

    def __call__(self, x: Any) -> Any:
        """Return the function's value."""
        return self.function(x)

    def __str__(self) -> str:
        return self.formula


# --- 0.1 the central difference ----------------------------------------------------------------


def central_difference(f: Callable[[float], float], x: float, h: float) -> float:
    """Return the central difference of f at x for the change h."""
    return (f(x + h) - f(x - h)) / (2 * h)


def _central(function: Any) -> Iterator[Result]:
    """The right values are what school algebra makes of the quotient, at any h."""
    square, cube = Named("x^2", lambda x: x * x), Named("x^3", lambda x: x**3)
    wave = Named("sin x", math.sin)
    for f, x, h, expected in [
        (cube, 1.0, 0.4, 3.0 + 0.4**2),
        (square, 2.0, 0.25, 4.0),
        (cube, -0.7, 0.1, 3 * 0.7**2 + 0.1**2),
        (wave, 0.3, 0.2, math.cos(0.3) * math.sin(0.2) / 0.2),
        (wave, 2.0, 1e-5, math.cos(2.0)),
    ]:
        got = call(function, {"f": f, "x": x, "h": h})
        yield Result("the slope", got, expected, f"f(x) = {f}, x = {x}, h = {h}")


CENTRAL = Exercise(
    number="0.1",
    chapter=0,
    title="The central difference",
    level=1,
    minutes=5,
    task="""
Return the central difference of f at x: the change of f from x - h to x + h, divided by the length
of the way between these two places.
""",
    hints=(
        "Evaluate f at two places, one on each side of x. How far are the two places apart?",
        "The change is f(x + h) - f(x - h), and the way is 2 h long. Mind that Python divides "
        "before it goes on: a / 2 * h is (a / 2) * h.",
    ),
    answer=central_difference,
    judge=_central,
    against="the quotient, worked out by hand",
    mistakes=(
        Mistake(
            lambda f, x, h: (f(x + h) - f(x)) / h,
            "This is the forward difference: it looks to one side of x only. Its error shrinks "
            "like h, that of the central difference like h^2; for x^3 at x = 1 with h = 0.4 it "
            "gives 4.36, and the central difference 3.16, where the derivative is 3.",
        ),
        Mistake(
            lambda f, x, h: (f(x) - f(x - h)) / h,
            "This is the backward difference: it looks to the left of x only, and its error "
            "shrinks like h. The central difference looks to both sides, and its error shrinks "
            "like h^2.",
        ),
        Mistake(
            lambda f, x, h: f(x + h) - f(x - h) / (2 * h),
            "Only the second value is divided: Python divides before it subtracts. Put brackets "
            "around the difference, so that all of it is divided.",
        ),
        Mistake(
            lambda f, x, h: (f(x + h) - f(x - h)) / h,
            "Twice too large: from x - h to x + h the way is 2 h long, not h.",
        ),
        Mistake(
            lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h,
            "Python reads `/ 2 * h` from left to right, as (... / 2) * h. The h must divide too: "
            "put the whole length of the way in brackets.",
        ),
        Mistake(
            lambda f, x, h: (f(x - h) - f(x + h)) / (2 * h),
            "The sign is wrong: the change is the value at the end of the way, x + h, minus the "
            "value at its beginning, x - h.",
        ),
        Mistake(
            lambda f, x, h: (f(x + h) + f(x - h)) / (2 * h),
            "The two values are added. How much f changes on the way is their difference.",
        ),
        Mistake(
            lambda f, x, h: (f(x + h / 2) - f(x - h / 2)) / h,
            "A central difference, but for half the change: the two places are to be x - h and "
            "x + h, each h away from x.",
        ),
        Mistake(
            lambda f, x, h: (f(x + 1e-5) - f(x - 1e-5)) / 2e-5,
            "This is the derivative itself, as nearly as one can measure it, and the h that is "
            "given plays no part. Asked for is the difference for this h, however large it is.",
        ),
    ),
    after="Next: exercise 0.2 does this for each element of an array.",
)


# --- 0.2 the gradient by differences -----------------------------------------------------------


def numeric_gradient(f: Callable[[Array], float], x: Array, h: float) -> Array:
    """Return the gradient of f at x by central differences with the change h.

    f takes an array and returns a number; the gradient has the shape of x.
    """
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        change = np.zeros(x.shape)
        change[place] = h
        slopes[place] = (f(x + change) - f(x - change)) / (2 * h)
    return slopes


def _gradient(function: Any) -> Iterator[Result]:
    """The functions are squares and products, for which a central difference is exact."""
    weighted = Named(
        "sum of k x_k^2, k = 1, 2, ...",
        lambda x: float((np.arange(1, x.size + 1) * x.ravel() ** 2).sum()),
    )
    pairs = Named("(sum of x)^2", lambda x: float(x.sum() ** 2))
    cases: list[tuple[Named, Array, Callable[[Array], Array]]] = [
        (weighted, draw(0, x=(4,))["x"], lambda x: 2 * np.arange(1, 5) * x),
        (pairs, draw(1, x=(3,))["x"], lambda x: np.full(3, 2 * x.sum())),
        (weighted, draw(2, x=(2, 3))["x"], lambda x: 2 * np.arange(1, 7).reshape(2, 3) * x),
    ]
    for f, x, expected in cases:
        got = call(_rounded_back(function), {"f": f, "x": x, "h": 1e-3})
        yield Result("the gradient", got, expected(x), f"f = {f}, x of shape {x.shape}", "x")


def _rounded_back(function: Any) -> Callable[..., Any]:
    """The function, with an x that comes back as it was, but for rounding: x + h - 2 h + h."""

    def called(f: Any, x: Array, h: float) -> Any:
        before = x.copy()
        got = function(f, x, h)
        if np.allclose(x, before, rtol=0, atol=1e-12):
            x[...] = before
        return got

    return called


def _all_at_once(f: Any, x: Array, h: float) -> Array:
    return np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))


def _never_undone(f: Any, x: Array, h: float) -> Array:
    change, gradient = np.zeros(x.shape), np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        change[place] = h
        gradient[place] = (f(x + change) - f(x - change)) / (2 * h)
    return gradient


def _same_array(f: Any, x: Array, h: float) -> Array:
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        higher = lower = x.copy()
        higher[place] += h
        lower[place] -= h
        gradient[place] = (f(higher) - f(lower)) / (2 * h)
    return gradient


def _in_place(f: Any, x: Array, h: float) -> Array:
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        before = f(x)
        x[place] += h
        gradient[place] = (f(x) - before) / h
    return gradient


def _forward(f: Any, x: Array, h: float) -> Array:
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        change = np.zeros(x.shape)
        change[place] = h
        gradient[place] = (f(x + change) - f(x)) / h
    return gradient


def _first_alone(f: Any, x: Array, h: float) -> Array:
    gradient = np.zeros(x.shape)
    gradient.flat[0] = differences(f, {"x": x}, "x", np.ones(()), h).flat[0]
    return gradient


def _rows(f: Any, x: Array, h: float) -> Array:
    gradient = np.zeros(x.shape)
    for row in range(len(x)):
        change = np.zeros(x.shape)
        change[row] = h
        gradient[row] = (f(x + change) - f(x - change)) / (2 * h)
    return gradient


NUMERIC = Exercise(
    number="0.2",
    chapter=0,
    title="The gradient of any function of an array",
    level=2,
    minutes=15,
    task="""
f takes an array x of any shape and returns one number. Return its gradient, an array of the shape
of x: at each place the central difference of f when the element at this place alone is changed, by
h. The array x must be the same afterwards as before.

`np.ndindex(x.shape)` runs through all places of an array: (0, 0), (0, 1), ...
""",
    hints=(
        "One loop over all places. In each turn you need two arrays that differ from x at one "
        "place.",
        "An array of zeros, new in each turn, with h at the one place. x plus this array and x "
        "minus this array are new arrays, which leave x alone, so nothing has to be undone.",
    ),
    answer=numeric_gradient,
    judge=_gradient,
    against="derivatives worked out by hand",
    mistakes=(
        Mistake(
            _all_at_once,
            "All elements are changed at once, so each place has the same number: the sum of all "
            "partial derivatives. A partial derivative changes one element and holds the others.",
        ),
        Mistake(
            _never_undone,
            "The first element is right, the later ones are sums: the change of one element is "
            "still there when the next one is changed. Begin each turn with a fresh array of "
            "zeros.",
        ),
        Mistake(
            _same_array,
            "the two arrays, one changed by +h and one by -h, are the same array under two names, "
            "so both changes meet in it. An assignment does not copy; `x.copy()` does, once for "
            "each.",
        ),
        Mistake(
            _in_place,
            "an element of x is moved, and not put back. Keep the old number and write it back; or "
            "move an element of `x.copy()` instead.",
        ),
        Mistake(
            _rows,
            "Right for a vector, wrong for a matrix: there a whole row is changed at once. Each "
            "*element* needs a turn of its own; np.ndindex(x.shape) runs through all of them.",
        ),
        Mistake(
            _forward,
            "This is the forward difference: each element is moved to one side only, so the error "
            "shrinks like h. Move it by h to both sides; their distance is 2 h.",
        ),
        Mistake(
            _first_alone,
            "Only the first element is computed, the others are still 0: does `return` stand "
            "inside the loop? It ends the function in the first turn.",
        ),
    ),
    after="Next: `differences` in minigrad/learn/judges.py, which checks your rules like this.",
)


# --- 0.3 the matrix product --------------------------------------------------------------------


def matrix_product(A: Array, B: Array) -> Array:
    """Return the matrix product of A, of shape (n, m), and B, of shape (m, k), by loops."""
    n, m = A.shape
    m, k = B.shape
    C = np.zeros((n, k))
    for i in range(n):
        for j in range(k):
            for q in range(m):
                C[i, j] += A[i, q] * B[q, j]
    return C


class _OwnProductError(TypeError):
    """The learner called one of NumPy's own products."""


class _Watched(np.ndarray):
    """An array that refuses NumPy's own products, and is like any other array otherwise."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Refuse `@`, and do all other element-wise functions."""
        if ufunc is np.matmul:
            raise _OwnProductError("@")
        plain = [np.asarray(x) if isinstance(x, _Watched) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Refuse np.dot and its like, and do all other functions."""
        if function in (np.dot, np.vdot, np.inner, np.tensordot, np.einsum):
            raise _OwnProductError(f"np.{function.__name__}")
        return super().__array_function__(function, types, args, options)

    def dot(self, *_: Any, **__: Any) -> Any:
        """Refuse."""
        raise _OwnProductError("dot")


class _Loops(Values):
    """Values of a function that may not use NumPy's own products."""

    def __call__(self, function: Any) -> Iterator[Result]:
        """Yield each result in each case."""
        try:
            yield from super().__call__(lambda A, B: function(A.view(_Watched), B.view(_Watched)))
        except CallFailedError as failed:
            if not isinstance(failed.__cause__, _OwnProductError):
                raise
            raise Wrong(
                f"`{failed.__cause__}` is a product of NumPy's own. Here it is to be written "
                "by hand, once: loops over the rows, the columns and the sum."
            ) from None


def _loops(term: Callable[..., Any], fresh: bool = True) -> Callable[[Array, Array], Array]:
    """A wrong product: other terms in the loops, or a sum that is never set back to 0."""

    def product(A: Array, B: Array) -> Array:
        (n, m), k = A.shape, B.shape[1]
        C = np.zeros((n, k))
        total = 0.0
        for i in range(n):
            for j in range(k):
                total = 0.0 if fresh else total
                for q in range(m):
                    total += term(A, B, i, j, q)
                C[i, j] = total
        return C

    return product


MATMUL = Exercise(
    number="0.3",
    chapter=0,
    title="The matrix product with loops",
    level=1,
    minutes=15,
    task="""
A has shape (n, m) and B shape (m, k). Return their matrix product, of shape (n, k): its element in
row i and column j is the sum over q of A[i, q] B[q, j]. Write it with loops, and without NumPy's
own products (`@`, `dot`, `einsum`).
""",
    hints=(
        "Begin with zeros of the right shape. You need one loop for each letter of the formula: "
        "i, j and q.",
        "In the innermost loop one product A[i, q] * B[q, j] is *added* to C[i, j].",
    ),
    answer=matrix_product,
    judge=_Loops(
        truth=lambda A, B: np.array([[sum(row * column) for column in B.T] for row in A]),
        needs=("A", "B"),
        cases=(
            draw(0, A=(3, 3), B=(3, 3)),
            draw(1, A=(2, 3), B=(3, 2)),
            draw(2, A=(4, 2), B=(2, 3)),
            draw(3, A=(1, 4), B=(4, 1)),
        ),
        torch="A @ B",
        names=("A B",),
        against="the inner products of rows and columns",
    ),
    mistakes=(
        Mistake(
            lambda A, B: np.outer(A[:, -1], B[-1]),
            "Only the last term of each sum is there: `=` in the innermost loop overwrites what "
            "the turns before have found. The products are to be added up.",
        ),
        Mistake(
            lambda A, B: A * B,
            "`A * B` multiplies element by element, and needs equal shapes. In a matrix product a "
            "whole row meets a whole column.",
        ),
        Mistake(
            lambda A, B: np.array([[sum(row * column) for column in A.T] for row in B]),
            "This is B A. The order matters: rows of A meet columns of B, and A of shape (2, 3) "
            "times B of shape (3, 2) has shape (2, 2), while B A has shape (3, 3).",
        ),
        Mistake(
            _loops(lambda A, B, i, j, q: A[i, q] * B[j, q]),
            "Rows of A meet rows of B here: the second factor is B[q, j], with q for the row, not "
            "B[j, q].",
        ),
        Mistake(
            _loops(lambda A, B, i, j, q: A[q, i] * B[q, j]),
            "Columns of A meet columns of B here: the first factor is A[i, q], with i for the row, "
            "not A[q, i].",
        ),
        Mistake(
            _loops(lambda A, B, i, j, q: A[i, q] * B[q, j], fresh=False),
            "Only the first element is right: each later one still contains the sums of all before "
            "it. The sum has to begin at 0 for each i and j.",
        ),
    ),
    after="Next: exercise 2.3, where the matrix product is differentiated.",
)


# --- 0.4 the chain rule by hand ----------------------------------------------------------------


def gradient_by_hand(w: float, b: float, x: Array, y: Array) -> tuple[float, float]:
    """Return dm/dw and dm/db, where m is the mean of (tanh(w x + b) - y)^2; x, y are vectors."""
    q = np.tanh(w * x + b)
    slope = 2 * (q - y) * (1 - q * q)
    return np.mean(slope * x), np.mean(slope)


def _mean_square(w: float, b: float, x: Array, y: Array) -> Any:
    return ((np.tanh(w * x + b) - y) ** 2).mean()


def _by_differences(**case: Any) -> tuple[Any, Any]:
    one = np.ones(())
    return differences(_mean_square, case, "w", one), differences(_mean_square, case, "b", one)


def _by_hand_but(
    outer: Callable[..., Any], inner: Callable[..., Any], last: Callable[..., Any] = np.mean
) -> Callable[..., Any]:
    """An answer with other derivatives of the square and of tanh, or another last step."""

    def gradients(w: float, b: float, x: Array, y: Array) -> tuple[Any, Any]:
        p = w * x + b
        slope = outer(np.tanh(p) - y) * inner(p)
        return last(slope * x), last(slope)

    return gradients


def _slope(p: Array) -> Array:
    return 1 - np.tanh(p) ** 2


BY_HAND = Exercise(
    number="0.4",
    chapter=0,
    title="The chain rule by hand",
    level=2,
    minutes=25,
    task="""
x and y are vectors of the same length, w and b numbers. Five steps lead to one number m:

    p = w x + b,   q = tanh(p),   r = q - y,   s = r^2,   m = mean of s

Return dm/dw and dm/db. The derivative of tanh(p) is 1 - tanh(p)^2. (tanh is a curve that rises from
-1 to 1; `np.tanh` computes it.)
""",
    hints=(
        "Write down the derivative of each step on the way: dm/ds, ds/dr, dr/dq, dq/dp, dp/dw. "
        "Along a path they multiply. How many paths lead from w to m?",
        "One path for each element of x: dm/dw is the sum over all elements of 1/N * 2 r * 1 * "
        "(1 - q^2) * x, which is a mean. For dm/db the last factor, dp/db, is another one.",
    ),
    answer=gradient_by_hand,
    judge=Values(
        truth=_by_differences,
        needs=("w", "b", "x", "y"),
        cases=(
            {"w": 0.8, "b": -0.3, **draw(0, x=(4,), y=(4,))},
            {"w": -1.2, "b": 0.5, **draw(1, x=(7,), y=(7,))},
            {"w": 0.4, "b": 0.0, **draw(2, x=(3,), y=(3,))},
        ),
        torch="torch.autograd.functional.jacobian("
        "lambda w, b, x=x, y=y: ((torch.tanh(w * x + b) - y) ** 2).mean(), "
        "(torch.tensor(w, dtype=x.dtype), torch.tensor(b, dtype=x.dtype)))",
        names=("dm/dw", "dm/db"),
        against="central differences",
    ),
    mistakes=(
        Mistake(
            _by_hand_but(lambda r: 2 * r, lambda p: 1.0),
            "The factor of tanh is missing on the path: dq/dp = 1 - q^2 stands between r and p.",
        ),
        Mistake(
            _by_hand_but(lambda r: 2 * r, _slope, np.sum),
            "These are the gradients of the sum of the squares. m is their mean, so each path has "
            "the factor 1/N too.",
        ),
        Mistake(
            _by_hand_but(lambda r: r, _slope),
            "Half of what it should be: the derivative of r^2 is 2 r.",
        ),
        Mistake(
            _by_hand_but(lambda r: -2 * r, _slope),
            "The sign is wrong: r = q - y grows when q grows, so dr/dq is 1. Was r taken as y - q, "
            "and its derivative still as 1?",
        ),
        Mistake(
            _by_hand_but(lambda r: 2 * r, lambda p: 1 - p * p),
            "The derivative of tanh is 1 - tanh(p)^2, so 1 - q^2. Here it is 1 - p^2, with the "
            "input of tanh in the place of its output.",
        ),
        Mistake(
            _by_hand_but(lambda r: 2 * r, lambda p: 1 - np.tanh(np.tanh(p)) ** 2),
            "tanh is taken twice: q is tanh(p) already, and the derivative of tanh is 1 minus the "
            "square of its output.",
        ),
        Mistake(
            lambda w, b, x, y: (
                np.mean(2 * (np.tanh(w * x + b) - y) * _slope(w * x + b)) * np.mean(x),
                np.mean(2 * (np.tanh(w * x + b) - y) * _slope(w * x + b)),
            ),
            "dm/db is right. dm/dw is the mean of the products along the paths; here it is a "
            "product of two means. Multiply for each example first, then take the mean.",
        ),
        Mistake(
            lambda w, b, x, y: (np.mean(2 * (np.tanh(w * x + b) - y) * _slope(w * x + b)),) * 2,
            "dm/db is right. On the path from w the last step is p = w x + b, with the derivative "
            "x: this factor is missing.",
        ),
    ),
    after="Next: chapter 1, where a program does this for you.",
)

EXERCISES = (CENTRAL, NUMERIC, MATMUL, BY_HAND)
