"""Activation functions and their derivatives, in one pass each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.numba import compiled
from minigrad.backends.numba.compiled import as_vectors, is_supported, loop, ordered_like

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
    """A kernel that runs a loop over its arrays and a new output like the last of them."""

    def kernel(*arrays: Array) -> Any:
        if not is_supported(arrays[-1]):
            return NotImplemented
        y = np.empty_like(arrays[-1])
        rows = as_vectors(*arrays, y)
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
    rows = as_vectors(x, y) if is_supported(x) else None
    if rows is None:
        return NotImplemented
    _leaky(rows[0], np.float32(negative_slope), rows[1])
    return y, None


def _backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    dx = np.empty_like(x)
    rows = as_vectors(ordered_like(x, g), x, dx)
    assert rows is not None  # else the forward kernel would have returned NotImplemented
    _leaky_back(rows[0], rows[1], rows[2], np.float32(negative_slope))
    return [dx]


leaky_relu = Kernel(_forward, _backward)
