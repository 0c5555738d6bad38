"""The linear layer: products in the memory order that suits threads, the bias added in place."""

from __future__ import annotations

from typing import Any

from minigrad.backends import Array, Kernel, Needs
from minigrad.backends.arrays import sum_over
from minigrad.backends.numpy.linalg import product, product_by_rows


def _forward(x: Array, weight: Array, bias: Array | None) -> Any:
    if (
        x.ndim != 2
        or weight.ndim != 2
        or not x.dtype == weight.dtype == (x if bias is None else bias).dtype
    ):
        return NotImplemented
    y = product(x, weight.T)
    if bias is not None:
        y += bias
    return y, None


def _backward(
    g: Array, needs: Needs, y: Array, residuals: None, x: Array, weight: Array, bias: Array | None
) -> list[Array | None]:
    return [
        product(g, weight) if needs[0] else None,
        product_by_rows(g.T, x, needs.place(1)) if needs[1] else None,
        sum_over(g, (0,)) if needs[2] else None,
    ]


linear = Kernel(_forward, _backward)
