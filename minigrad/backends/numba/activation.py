"""Activation functions and their derivatives, in one pass each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.numba import compiled
from minigrad.backends.numba.compiled import in_a_row, loop, ordered_like, served

_one = np.float32(1)


@loop
def _sigmoid(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = compiled.sigmoid(x[i])


@loop
def _sigmoid_back(g: Any, y: Any, dx: Any) -> None:
    for i in range(g.size):
        dx[i] = g[i] * (y[i] * (_one - y[i]))


@loop
def _tanh(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = compiled.tanh(x[i])


@loop
def _tanh_back(g: Any, y: Any, dx: Any) -> None:
    for i in range(g.size):
        dx[i] = g[i] * (_one - y[i] * y[i])


def _into_new(function: Callable[..., None]) -> Callable[..., Any]:
    """A kernel that fills an array like its last one, element by element."""

    def kernel(*arrays: Array) -> Any:
        if not served(arrays[-1]):
            return NotImplemented
        y = np.empty_like(arrays[-1])
        rows = in_a_row(*arrays, y)
        if rows is None:
            return NotImplemented
        function(*rows)
        return y

    return kernel


sigmoid = Kernel(_into_new(_sigmoid), {"x": _into_new(_sigmoid_back)})
tanh = Kernel(_into_new(_tanh), {"x": _into_new(_tanh_back)})


@loop
def _leaky(x: Any, slope: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


@loop
def _leaky_back(g: Any, x: Any, dx: Any, slope: Any) -> None:
    for i in range(x.size):
        dx[i] = g[i] if x[i] > 0 else slope * g[i]


def _forward(x: Array, negative_slope: float) -> Any:
    y = np.empty_like(x)
    rows = in_a_row(x, y) if served(x) else None
    if rows is None:
        return NotImplemented
    _leaky(rows[0], np.float32(negative_slope), rows[1])
    return y, None


def _pull_back(function: Callable[..., None], g: Array, y: Array, *options: Any) -> Array:
    dx = np.empty_like(y)
    rows = in_a_row(ordered_like(y, g), y, dx)
    assert rows is not None  # what kernels return lies in one piece
    function(*rows, *options)
    return dx


# The gradient of x from that of an activation y and from y alone, for `linear`.


def leaky_slopes(g: Array, y: Array, negative_slope: float) -> Array:
    """That of leaky_relu with a positive slope, where y and x have one sign."""
    return _pull_back(_leaky_back, g, y, np.float32(negative_slope))


def sigmoid_slopes(g: Array, y: Array, _: float) -> Array:
    """That of sigmoid."""
    return _pull_back(_sigmoid_back, g, y)


def tanh_slopes(g: Array, y: Array, _: float) -> Array:
    """That of tanh."""
    return _pull_back(_tanh_back, g, y)


def _backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    return [_pull_back(_leaky_back, g, x, np.float32(negative_slope))]


leaky_relu = Kernel(_forward, _backward)
