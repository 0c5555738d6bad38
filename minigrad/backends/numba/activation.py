"""Activation functions and their derivatives, in one pass each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.numba import compiled
from minigrad.backends.numba.compiled import elementwise, in_a_row, loop, ordered_like, served

_one = np.float32(1)


@elementwise(1)
def _sigmoid(x: Any) -> Any:
    return compiled.sigmoid(x)


@elementwise(2)
def _sigmoid_rule(g: Any, y: Any) -> Any:
    return g * (y * (_one - y))


@elementwise(1)
def _tanh(x: Any) -> Any:
    return compiled.tanh(x)


@elementwise(2)
def _tanh_rule(g: Any, y: Any) -> Any:
    return g * (_one - y * y)


def _forward_by(function: np.ufunc) -> Callable[[Array], Any]:
    return lambda x: function(x) if served(x) else NotImplemented


def _rule_by(function: np.ufunc) -> Callable[[Array, Array], Any]:
    return lambda g, y: function(g, y) if served(y) else NotImplemented


sigmoid = Kernel(_forward_by(_sigmoid), {"x": _rule_by(_sigmoid_rule)})
tanh = Kernel(_forward_by(_tanh), {"x": _rule_by(_tanh_rule)})


@loop
def _leaky(x: Any, slope: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


@loop
def _leaky_back(g: Any, x: Any, slope: Any, dx: Any) -> None:
    for i in range(x.size):
        dx[i] = g[i] if x[i] > 0 else slope * g[i]


def _forward(x: Array, negative_slope: float) -> Any:
    y = np.empty_like(x)
    rows = in_a_row(x, y) if served(x) else None
    if rows is None:
        return NotImplemented
    _leaky(rows[0], np.float32(negative_slope), rows[1])
    return y, None


def _backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    dx = np.empty_like(x)
    rows = in_a_row(ordered_like(x, g), x, dx)
    assert rows is not None  # as in the forward pass
    _leaky_back(rows[0], rows[1], np.float32(negative_slope), rows[2])
    return [dx]


leaky_relu = Kernel(_forward, _backward)
