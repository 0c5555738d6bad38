"""The bias and the activation after a linear layer's product, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import Array
from minigrad.backends.numba import compiled
from minigrad.backends.numba.activation import leaky_slopes, sigmoid_slopes, tanh_slopes
from minigrad.backends.numba.compiled import loop, served
from minigrad.backends.numpy.linear import Activation, linear_kernel


@loop
def _leaky_relu(z: Any, bias: Any, slope: Any) -> None:
    for row in range(len(z)):
        line, b = z[row], bias[row]
        for k in range(line.size):
            x = line[k] + b
            line[k] = x if x > 0 else slope * x


@loop
def _sigmoid(z: Any, bias: Any, slope: Any) -> None:
    for row in range(len(z)):
        line, b = z[row], bias[row]
        for k in range(line.size):
            line[k] = compiled.sigmoid(line[k] + b)


@loop
def _tanh(z: Any, bias: Any, slope: Any) -> None:
    for row in range(len(z)):
        line, b = z[row], bias[row]
        for k in range(line.size):
            line[k] = compiled.tanh(line[k] + b)


def _by_feature(function: Callable[..., None]) -> Callable[..., None]:
    """`apply`, from a function that goes through the rows of a C-ordered matrix."""

    def apply(z: Array, bias: Array | None, negative_slope: float) -> None:
        rows = z.T
        if not rows.flags.c_contiguous:  # a row for each sample, not for each feature
            if bias is not None:
                z += bias
            rows, bias = z, None
        shift = np.zeros(len(rows), np.float32) if bias is None else bias
        function(rows, shift, np.float32(negative_slope))

    return apply


def _with_large_activation(forward: Callable[..., Any]) -> Callable[..., Any]:
    """What gains nothing from being compiled is left to NumPy's kernel."""

    def call(
        x: Array, weight: Array, bias: Array | None, activation: str | None, negative_slope: float
    ) -> Any:
        if activation is None or not (served(x) and served(weight)):
            return NotImplemented
        return forward(x, weight, bias, activation, negative_slope)

    return call


linear = linear_kernel(
    {
        "leaky_relu": Activation(_by_feature(_leaky_relu), leaky_slopes),
        "sigmoid": Activation(_by_feature(_sigmoid), sigmoid_slopes),
        "tanh": Activation(_by_feature(_tanh), tanh_slopes),
    }
)
linear = linear._replace(forward=_with_large_activation(linear.forward))
