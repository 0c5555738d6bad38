"""Activation functions and their derivatives, one kernel launch each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.cupy.source import (
    BLOCK,
    CudaKernel,
    aligned,
    blocks_for,
    in_one_order,
    is_supported,
    kernel,
)


class Formula(NamedTuple):
    """An activation function y = f(z) in CUDA C.

    Attributes:
        value: y, an expression in z and `slope`, which is leaky_relu's.
        pull_back: dL/dz, an expression in g = dL/dy, y and `slope`.
    """

    value: str
    pull_back: str


FORMULAS = {
    "sigmoid": Formula("sigmoid(z)", "g * (y * (1 - y))"),
    "tanh": Formula("tanh(z)", "g * (1 - y * y)"),
    "relu": Formula("z < 0 ? 0 : z", "y > 0 ? g : 0"),  # nan stays nan
    "leaky_relu": Formula("z > 0 ? z : (T)slope * z", "y > 0 ? g : (T)slope * g"),
}

_VALUE = r"""
extern "C" __global__ void NAME(const T* x, T* y, double slope, Int n) {
    for EACH(i, n) {
        T z = x[i];
        y[i] = FORMULA;
    }
}
"""
_PULL_BACK = r"""
extern "C" __global__ void NAME(
    const T* gradient, const T* value, T* dz, double slope, Int step, Int n) {
    for EACH(i, n) {
        T g = gradient[i * step], y = value[i];
        dz[i] = FORMULA;
    }
}
"""


def _with_formula(name: str, formula: str, source: str) -> CudaKernel:
    """The kernel of a CUDA source in which NAME and FORMULA are replaced by these."""
    return kernel(name, f"#define NAME {name}\n#define FORMULA ({formula})\n{source}")


_values = {name: _with_formula(f"{name}_forward", f.value, _VALUE) for name, f in FORMULAS.items()}
_pull_backs = {
    name: _with_formula(f"{name}_back", f.pull_back, _PULL_BACK) for name, f in FORMULAS.items()
}


def _value(name: str, x: Array, negative_slope: float = 0.0) -> Any:
    if not is_supported(x) or not in_one_order(x):
        return NotImplemented
    y = np.empty_like(x)
    _values[name]((blocks_for(x.size),), (BLOCK,), (x, y, float(negative_slope), x.size))
    return y


def _pull_back(name: str, g: Array, y: Array, negative_slope: float = 0.0) -> Any:
    if not is_supported(y, g) or not in_one_order(y):
        return NotImplemented
    g, step = aligned(g, y)
    dz = np.empty_like(y)
    args = g, y, dz, float(negative_slope), step, y.size
    _pull_backs[name]((blocks_for(y.size),), (BLOCK,), args)
    return dz


def _kernel(name: str) -> Kernel:
    return Kernel(lambda x: _value(name, x), {"x": lambda g, y: _pull_back(name, g, y)})


sigmoid, tanh, relu = (_kernel(n) for n in ("sigmoid", "tanh", "relu"))


def _leaky_forward(x: Array, negative_slope: float) -> Any:
    y = _value("leaky_relu", x, negative_slope)
    return y if y is NotImplemented else (y, None)


def _leaky_backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, negative_slope: float
) -> list[Array]:
    # x in place of y: with a negative slope, y does not have the sign of x
    return [_pull_back("leaky_relu", g, x, negative_slope)]


leaky_relu = Kernel(_leaky_forward, _leaky_backward)
