"""What several levels ask of raw arrays, said with NumPy; a backend may know it better.

These functions are no operations: they know no Tensor and have no derivative, and some write to
what they are given. The kernel of one is the object of its name in `backends/<backend>/arrays.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from minigrad.backends import Array, Kernel, find_kernels, is_array

__all__ = [
    "concatenate",
    "contract",
    "empty",
    "follow_statistics",
    "length",
    "shorten",
    "stack",
    "sum_over",
    "with_kernels",
    "zeros",
]

F = TypeVar("F", bound=Callable[..., Any])


def with_kernels(definition: F) -> F:
    """The function, computed by the kernels for the type of its first array where they take it."""
    found: dict[type, list[Kernel]] = {}

    @wraps(definition)
    def call(first: Any, *others: Any) -> Any:
        kind = type(first[0] if isinstance(first, list) else first)
        if kind not in found:
            found[kind] = find_kernels(kind, "arrays", definition.__name__)
        for kernel in found[kind]:
            y = kernel.forward(first, *others)
            if y is not NotImplemented:
                return y
        return definition(first, *others)

    return call  # type: ignore[return-value]


def empty(like: Array, shape: tuple[int, ...], dtype: Any = None) -> Array:
    """An array in C order without values, on the device of another and by default of its dtype.

    Of any shape: CuPy's `empty_like(x, shape=())` has that of x.
    """
    if shape == ():
        return np.empty_like(like, dtype, shape=(1,)).reshape(())
    return np.empty_like(like, dtype, "C", shape=shape)


def zeros(like: Array, shape: tuple[int, ...], dtype: Any = None) -> Array:
    """Zeros of any shape, on the device of another array and by default of its dtype."""
    if shape == ():
        return np.zeros_like(like, dtype, shape=(1,)).reshape(())
    return np.zeros_like(like, dtype, shape=shape)


@with_kernels
def sum_over(array: Array, axes: tuple[int, ...]) -> Array:
    """The sum over axes of an array, or of anything else that has a method `sum`."""
    if array.dtype.char == "e" and is_array(array):
        return array.sum(axis=axes, dtype=np.float32).astype(array.dtype)
    return array.sum(axis=axes)


@with_kernels
def concatenate(arrays: list[Array], axis: int | None) -> Array:
    """Arrays joined along an axis, or with None as flat arrays."""
    return np.concatenate(arrays, axis)


@with_kernels
def stack(arrays: list[Array], axis: int) -> Array:
    """Arrays of one shape joined along a new axis."""
    return np.stack(arrays, axis)


@with_kernels
def contract(operands: list[Array], subscripts: str) -> Array:
    """The sum of products over labelled axes, with every label written out, once a term."""
    if any(x.dtype.char == "e" for x in operands):
        dtype = np.result_type(*[x.dtype for x in operands])
        if dtype.char == "e":  # with small integers, too
            return np.einsum(subscripts, *operands, dtype=np.float32).astype(dtype)
    return np.einsum(subscripts, *operands)


@with_kernels
def length(vectors: list[Array]) -> Array:
    """The Euclidean length of all elements of one array or more, as an array of shape ()."""
    squares = [np.sum(x * x) for x in vectors]
    return np.sqrt(sum(squares[1:], start=squares[0]))


@with_kernels
def shorten(array: Array, size: Array, most: float) -> None:
    """Multiply an array in place by `min(1, most / (size + 1e-6))`, size being of shape ()."""
    array *= np.minimum(most / (size + 1e-6), 1)


@with_kernels
def follow_statistics(
    mean: Array,
    var: Array,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float | Array,
    count: int,
    batches: Array | None,
) -> None:
    """Move running statistics in place towards a batch's: `running += momentum (batch - running)`.

    Args:
        mean: The batch's means (C,).
        var: Its biased variances (C,); the running ones follow the unbiased.
        running_mean: (C,), or None.
        running_var: (C,), or None.
        momentum: How far they move.
        count: The number of values behind each mean, above 1.
        batches: How many batches there have been (), int64, which goes up by one; or None.
    """
    for running, batch in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        if running is not None:
            moved = running.astype(np.float32) if running.dtype.char == "e" else running
            moved *= 1 - momentum
            moved += momentum * batch
            if moved is not running:
                running[...] = moved
    if batches is not None:
        batches += 1
