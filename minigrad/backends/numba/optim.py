"""The optimizers' updates in one pass over parameters, gradients and state.

The equations are in `minigrad/optim/`. The numbers that an update takes from its options are
described at each optimizer's `numbers`. Each option is an `if` that the compiler moves out of the
loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel
from minigrad.backends.numba.compiled import loop, loop_as_written, only_float32

_ABSENT = np.empty(0, np.float32)


@loop
def _adam(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    largest: Any,
    sign: Any,
    decay: Any,
    keep: Any,
    beta1: Any,
    rest1: Any,
    beta2: Any,
    rest2: Any,
    eps: Any,
    rate: Any,
) -> None:
    amsgrad = largest.size > 0
    for i in range(p.size):
        gradient = sign * g[i]
        if decay != 0:
            gradient += decay * p[i]
        first = beta1 * m[i] + rest1 * gradient
        second = beta2 * v[i] + rest2 * (gradient * gradient)
        m[i], v[i] = first, second
        if amsgrad:
            before = largest[i]  # NaN stays NaN, as in the definition
            second = before if before > second or before != before else second
            largest[i] = second
        p[i] = keep * p[i] - rate * (first / (np.sqrt(second) + eps))


def _adam_update(p: Array, g: Array, state: Mapping[str, Array], numbers: Array) -> None:
    m, v, *largest = state.values()
    _adam(p, g, m, v, largest[0] if largest else _ABSENT, *numbers.astype(np.float32))


@loop
def _rmsprop(
    p: Any,
    g: Any,
    q: Any,
    b: Any,
    sign: Any,
    decay: Any,
    alpha: Any,
    rest: Any,
    eps: Any,
    momentum: Any,
    lr: Any,
) -> None:
    has_momentum = b.size > 0
    for i in range(p.size):
        gradient = sign * g[i]
        if decay != 0:
            gradient += decay * p[i]
        square = alpha * q[i] + rest * (gradient * gradient)
        q[i] = square
        direction = gradient / (np.sqrt(square) + eps)
        if has_momentum:
            direction += momentum * b[i]
            b[i] = direction
        p[i] -= lr * direction


@loop_as_written  # q - a^2 cancels to rounding errors, so it must round as the definition does
def _centered_rmsprop(
    p: Any,
    g: Any,
    q: Any,
    b: Any,
    a: Any,
    sign: Any,
    decay: Any,
    alpha: Any,
    rest: Any,
    eps: Any,
    momentum: Any,
    lr: Any,
) -> None:
    has_momentum, zero = b.size > 0, np.float32(0)
    for i in range(p.size):
        gradient = sign * g[i]
        if decay != 0:
            gradient += decay * p[i]
        q[i] = alpha * q[i] + rest * (gradient * gradient)
        a[i] = alpha * a[i] + rest * gradient
        variance = q[i] - a[i] * a[i]
        variance = zero if variance < zero else variance
        direction = gradient / (np.sqrt(variance) + eps)
        if has_momentum:
            direction += momentum * b[i]
            b[i] = direction
        p[i] -= lr * direction


def _rmsprop_update(p: Array, g: Array, state: Mapping[str, Array], numbers: Array) -> None:
    q, b = state["square_avg"], state.get("momentum_buffer", _ABSENT)
    if "grad_avg" in state:
        _centered_rmsprop(p, g, q, b, state["grad_avg"], *numbers.astype(np.float32))
    else:
        _rmsprop(p, g, q, b, *numbers.astype(np.float32))


@loop
def _sgd(
    p: Any, g: Any, b: Any, sign: Any, decay: Any, keep: Any, rest: Any, ahead: Any, lr: Any
) -> None:
    has_momentum = b.size > 0
    for i in range(p.size):
        direction = sign * g[i]
        if decay != 0:
            direction += decay * p[i]
        if has_momentum:
            total = keep * b[i] + rest * direction
            b[i] = total
            direction = direction + ahead * total if ahead > 0 else total
        p[i] -= lr * direction


def _sgd_update(p: Array, g: Array, state: Mapping[str, Array], numbers: Array) -> None:
    _sgd(p, g, state.get("momentum_buffer", _ABSENT), *numbers.astype(np.float32))


Adam = Kernel(only_float32(_adam_update))
RMSprop = Kernel(only_float32(_rmsprop_update))
SGD = Kernel(only_float32(_sgd_update))
