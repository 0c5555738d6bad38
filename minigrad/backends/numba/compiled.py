"""How kernels are compiled, which arrays they take, and exp, tanh and sigmoid for float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from minigrad.backends import Array
from minigrad.backends.numba.cache import cached

F = TypeVar("F", bound=Callable[..., Any])

SMALL = 512  # elements; for fewer, the call costs more than the arithmetic, and NumPy is used
_FUSE = {"contract"}  # fused multiply-add: a * b + c with one rounding
_SUM = {"contract", "reassoc"}  # also sums in any order, so that they can be vectorized

_FLOAT = np.dtype(np.float32)
_half, _one = np.float32(0.5), np.float32(1)


def loop(function: F) -> F:
    """Compile a function that loops over float32 arrays."""
    return cached(function, error_model="numpy", fastmath=_FUSE)


def loop_as_written(function: F) -> F:
    """Compile a loop without fused multiply-adds, so that it rounds exactly as NumPy does."""
    return cached(function, error_model="numpy")


def summing_loop(function: F) -> F:
    """Compile a function whose loops compute sums; the compiler may reorder the terms."""
    return cached(function, error_model="numpy", fastmath=_SUM)


def is_supported(array: Array) -> bool:
    """Whether this is a float32 array of at least SMALL elements."""
    return bool(array.size >= SMALL and array.dtype == _FLOAT)


def only_float32(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a kernel: return NotImplemented unless its first array is float32."""

    def call(array: Array, *others: Any, **options: Any) -> Any:
        return kernel(array, *others, **options) if array.dtype == _FLOAT else NotImplemented

    return call


def as_vectors(*arrays: Array) -> list[Array] | None:
    """Views of arrays of one shape as vectors in memory order; None where their orders differ.

    Args:
        arrays: The last one is contiguous.
    """
    last = arrays[-1]
    strides = last.strides
    rows = []
    for array in arrays:
        if array.strides != strides and not _in_one_order(array, last):
            return None
        rows.append(array.ravel("K"))
    return rows


def _in_one_order(a: Array, b: Array) -> bool:
    """Whether both are in C order or both in F order; the stride of an axis of size 1 is free."""
    in_c_order = a.flags.c_contiguous and b.flags.c_contiguous
    return in_c_order or bool(a.flags.f_contiguous and b.flags.f_contiguous)


def ordered_like(x: Array, g: Array) -> Array:
    """The values of g in the memory order of x: g itself, or a copy."""
    if g.strides == x.strides:
        return g
    y = np.empty_like(x)
    y[...] = g
    return y


def _inlined(function: F) -> F:
    return numba.njit(function, inline="always", error_model="numpy", fastmath=_FUSE)  # type: ignore[no-any-return]


@_inlined
def exp(x: Any) -> Any:
    """e^x in float32, by a polynomial, so that the compiler can vectorize it.

    With n the nearest integer to x / log 2, `e^x = 2^n e^r`, |r| <= log(2) / 2. For x > 88.376 the
    result is infinite; for x < -87.3 it is e^-87.3. The error is at most 2 units in the last place.

    Source: Cephes (Moshier), expf.
    """
    z = np.float32(-87.3) if x < np.float32(-87.3) else x
    z = np.float32(88.37626) if z > np.float32(88.37626) else z
    n = np.floor(z * np.float32(1.44269504088896341) + _half)
    r = z - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)  # log 2 in two parts
    y = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    y = y * r * r + r + _one
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2^n
    return np.float32(np.inf) if x > np.float32(88.37626) else y * power


@_inlined
def tanh(x: Any) -> Any:
    """Hyperbolic tangent in float32, as a ratio of polynomials; within 4 units in the last place.

    Source: Eigen's ptanh_float, after Cephes.
    """
    limit = np.float32(7.90531110763549805)  # beyond it tanh is 1 in float32
    z = limit if x > limit else x
    z = -limit if z < -limit else z
    s = z * z
    p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
    p = s * p + np.float32(-8.60467152213735e-11)
    p = s * p + np.float32(5.12229709037114e-08)
    p = s * p + np.float32(1.48572235717979e-05)
    p = s * p + np.float32(6.37261928875436e-04)
    p = s * p + np.float32(4.89352455891786e-03)
    q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
    q = s * q + np.float32(2.26843463243900e-03)
    q = s * q + np.float32(4.89352518554385e-03)
    return z * p / q


@_inlined
def half_sigmoid(x: Any) -> Any:
    """sigmoid(2 x) = (1 + tanh(x)) / 2: small absolute error, but a tiny sigmoid becomes 0."""
    return _half * tanh(x) + _half


@_inlined
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), with a small relative error also where it is tiny."""
    return _one / (_one + exp(-x))
