"""The linear layer with its activation: what the activation's derivative needs is its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import sum_over
from minigrad.backends.numpy.activation import leaky_slopes
from minigrad.backends.numpy.linalg import product, product_by_rows


class Activation(NamedTuple):
    """An activation that is computed in place.

    Attributes:
        apply: `(z, bias, negative_slope)`: z becomes the activation of z + bias.
        pull_back: `(g, y, negative_slope)`: the gradient of z, from its activation y.
    """

    apply: Callable[[Array, Array | None, float], None]
    pull_back: Callable[[Array, Array, float], Array]


def linear_kernel(activations: Mapping[str, Activation]) -> Kernel:
    """The kernel of `linear`, for the activations that are given."""

    def forward(
        x: Array, weight: Array, bias: Array | None, activation: str | None, negative_slope: float
    ) -> Any:
        if (
            x.ndim != 2
            or weight.ndim != 2
            or not x.dtype == weight.dtype == (x if bias is None else bias).dtype
            or (activation is not None and activation not in activations)
            or (activation == "leaky_relu" and not 0 < negative_slope <= 1)
        ):
            return NotImplemented
        y = product(x, weight.T)
        if activation is not None:
            activations[activation].apply(y, bias, negative_slope)
        elif bias is not None:
            y += bias
        return y, None

    def backward(
        g: Array,
        needs: Needs,
        y: Array,
        residuals: None,
        x: Array,
        weight: Array,
        bias: Array | None,
        activation: str | None,
        negative_slope: float,
    ) -> list[Array | None]:
        if activation is not None:
            g = activations[activation].pull_back(g, y, negative_slope)
        return [
            product(g, weight) if needs[0] else None,
            product_by_rows(g.T, x, needs.place(1)) if needs[1] else None,
            sum_over(g, (0,)) if needs[2] else None,
        ]

    return Kernel(forward, backward)


def _after_bias(function: Callable[[Array, float], Any]) -> Callable[..., None]:
    """`apply`, from a function that changes z in place."""

    def apply(z: Array, bias: Array | None, negative_slope: float) -> None:
        if bias is not None:
            z += bias
        function(z, negative_slope)

    return apply


def _sigmoid(z: Array, _: float) -> None:
    np.negative(z, out=z)
    with np.errstate(over="ignore"):  # e^-x = inf gives 0, as it should
        np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


ACTIVATIONS = {
    "leaky_relu": Activation(
        _after_bias(lambda z, slope: np.maximum(z, z * slope, out=z)), leaky_slopes
    ),
    "relu": Activation(
        _after_bias(lambda z, _: np.clip(z, 0, np.inf, out=z)), lambda g, y, _: g * (y > 0)
    ),
    "sigmoid": Activation(_after_bias(_sigmoid), lambda g, y, _: g * (y * (1 - y))),
    "tanh": Activation(
        _after_bias(lambda z, _: np.tanh(z, out=z)), lambda g, y, _: g * (1 - y * y)
    ),
}

linear = linear_kernel(ACTIVATIONS)
