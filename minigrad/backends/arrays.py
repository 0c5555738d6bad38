"""Helpers on raw arrays, written in NumPy; a backend may replace one by a faster kernel.

These functions are not operations: they take no Tensors and have no derivative, and some change
their arguments in place. The kernel of a function is the object of the same name in
`backends/<backend>/arrays.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from minigrad.backends import Array, Kernel, find_kernels, is_array

__all__ = [
    "clip_norm",
    "concatenate",
    "contract",
    "empty",
    "euclidean_norm",
    "stack",
    "sum_over",
    "update_statistics",
    "with_kernels",
    "zeros",
]

F = TypeVar("F", bound=Callable[..., Any])


def with_kernels(definition: F) -> F:
    """Decorate a function: try the kernels for its first array's type, then the function itself."""
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
    """An uninitialized array in C order, with the device and by default the dtype of `like`.

    Any shape works, also (): CuPy's `empty_like(x, shape=())` would return the shape of x.
    """
    if shape == ():
        return np.empty_like(like, dtype, shape=(1,)).reshape(())
    return np.empty_like(like, dtype, "C", shape=shape)


def zeros(like: Array, shape: tuple[int, ...], dtype: Any = None) -> Array:
    """Zeros of any shape, with the device and by default the dtype of `like`."""
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
    """Arrays joined along an axis; with axis None they are flattened first."""
    return np.concatenate(arrays, axis)


@with_kernels
def stack(arrays: list[Array], axis: int) -> Array:
    """Arrays of one shape joined along a new axis."""
    return np.stack(arrays, axis)


@with_kernels
def contract(operands: list[Array], subscripts: str) -> Array:
    """The Einstein sum of `subscripts`, which has no "..." and no label twice in one operand."""
    if any(x.dtype.char == "e" for x in operands):
        dtype = np.result_type(*[x.dtype for x in operands])
        if dtype.char == "e":  # float16, also when mixed with small integers
            return np.einsum(subscripts, *operands, dtype=np.float32).astype(dtype)
    return np.einsum(subscripts, *operands)


@with_kernels
def euclidean_norm(vectors: list[Array]) -> Array:
    """The Euclidean norm of all elements of one or more arrays, as an array of shape ()."""
    squares = [np.sum(x * x) for x in vectors]
    return np.sqrt(sum(squares[1:], start=squares[0]))


@with_kernels
def clip_norm(array: Array, norm: Array, max_norm: float) -> None:
    """Multiply an array in place by `min(1, max_norm / (norm + 1e-6))`; norm has shape ()."""
    array *= np.minimum(max_norm / (norm + 1e-6), 1)


@with_kernels
def update_statistics(
    mean: Array,
    var: Array,
    running_mean: Array | None,
    running_var: Array | None,
    momentum: float | Array,
    count: int,
    batches: Array | None,
) -> None:
    """Update running statistics in place: `running += momentum (batch - running)`.

    Args:
        mean: The means of the batch (C,).
        var: The biased variances of the batch (C,); `running_var` is updated with the unbiased
            variances.
        running_mean: (C,), or None.
        running_var: (C,), or None.
        momentum: The weight of the batch in the update.
        count: How many values each mean is taken over, above 1.
        batches: The number of batches so far (), int64, to be increased by one; or None.
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
