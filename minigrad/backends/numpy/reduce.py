"""Sums and means by `np.add.reduce`, without the Python wrapper of `np.sum` and `np.mean`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel

_add: Any = np.add.reduce


def _sum(x: Array, *, axis: Any = None, keepdims: bool = False) -> Any:
    if x.dtype.char == "e":  # the definition sums float16 in float32
        return NotImplemented
    return _add(x, axis, keepdims=keepdims)


def _mean(x: Array, *, axis: Any = None, keepdims: bool = False) -> Any:
    if x.dtype.kind != "f" or x.itemsize < 4 or x.size == 0:
        return NotImplemented
    total = _add(x, axis, keepdims=keepdims)
    return total / total.dtype.type(x.size // total.size)


def _repeated(value: Any, shape: tuple[int, ...]) -> Array:
    """One number as a read-only array of any shape, with strides of 0 instead of copies."""
    y: Array = np.ndarray(shape, value.dtype, np.asarray(value), strides=(0,) * len(shape))
    y.flags.writeable = False
    return y


def _sum_rule(g: Array, x_shape: tuple[int, ...], axis: Any) -> Any:
    return _repeated(g, x_shape) if axis is None else NotImplemented


def _mean_rule(g: Array, x_shape: tuple[int, ...], axis: Any) -> Any:
    if axis is not None or 0 in x_shape or g.itemsize < 4:
        return NotImplemented
    return _repeated(g / g.dtype.type(math.prod(x_shape)), x_shape)


sum = Kernel(_sum, {"x": _sum_rule})
mean = Kernel(_mean, {"x": _mean_rule})
