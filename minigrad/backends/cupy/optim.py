"""The optimizers' updates in one launch over parameters, gradients and state.

The equations are those of `minigrad/optim/`. What an option multiplies or adds is a number on the
device, so that it may change between replays of a recorded step; an absent part of the state is a
null pointer. A kernel takes what `Optimizer.update` takes, without room for intermediate results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from minigrad import live
from minigrad.backends import Array, Kernel
from minigrad.backends.cupy.source import BLOCK, CudaKernel, blocks_for, kernel, served

Group: TypeAlias = Mapping[str, Any]
Step: TypeAlias = int | Callable[[], int]  # the number of an update; in a recording, who knows it


def _update(
    cuda: CudaKernel, numbers: Callable[[int, Group], tuple[float, ...]], *names: str
) -> Kernel:
    """The kernel of an optimizer.

    Args:
        cuda: Takes p, g, the state's arrays, the numbers and how many parameters there are.
        numbers: Computes them from the number of the update and the options.
        names: Those of the state's arrays, in the order of the text.
    """

    def forward(p: Array, g: Array, state: Mapping[str, Array], step: Step, group: Group) -> Any:
        if not served(p, g):
            return NotImplemented
        values = live.numbers(lambda: numbers(step() if callable(step) else step, group))
        arrays = [state.get(name) for name in names]
        cuda((blocks_for(p.size),), (BLOCK,), (p, g, *arrays, values, p.size))
        return None

    return Kernel(forward)


def _direction(group: Group) -> tuple[float, float]:
    """The sign of the gradient, and how much of p is added to it."""
    return -1.0 if group["maximize"] else 1.0, float(group["weight_decay"])


def adam_numbers(step: int, group: Group) -> tuple[float, ...]:
    """What `adam` reads, in the order of its text."""
    lr, (beta1, beta2) = float(group["lr"]), group["betas"]
    sign, decay = _direction(group)
    keep = 1.0
    if group["decoupled_weight_decay"]:
        keep, decay = 1 - lr * decay, 0.0
    c = math.sqrt(1 - beta2**step)  # on both sides of the fraction, as in the definition
    rate = lr * c / (1 - beta1**step)
    return sign, decay, keep, beta1, 1 - beta1, beta2, 1 - beta2, group["eps"] * c, rate


_adam = kernel(
    "adam",
    r"""
extern "C" __global__ void adam(
    T* p, const T* g, T* m, T* v, T* largest, const double* numbers, Int n) {
    T sign = numbers[0], decay = numbers[1], keep = numbers[2];
    T beta1 = numbers[3], rest1 = numbers[4], beta2 = numbers[5], rest2 = numbers[6];
    T eps = numbers[7], rate = numbers[8];
    for EACH(i, n) {
        T slope = sign * g[i];
        if (decay != 0) slope += decay * p[i];
        T first = beta1 * m[i] + rest1 * slope;
        T second = beta2 * v[i] + rest2 * (slope * slope);
        m[i] = first;
        v[i] = second;
        if (largest) second = largest[i] = larger(largest[i], second);
        p[i] = keep * p[i] - rate * (first / (sqrt(second) + eps));
    }
}
""",
)


def rmsprop_numbers(step: int, group: Group) -> tuple[float, ...]:
    """What `rmsprop` reads, in the order of its text."""
    alpha = float(group["alpha"])
    momentum, lr = float(group["momentum"]), float(group["lr"])
    return *_direction(group), alpha, 1 - alpha, float(group["eps"]), momentum, lr


_rmsprop = kernel(
    "rmsprop",
    r"""
extern "C" __global__ void rmsprop(
    T* p, const T* g, T* q, T* b, T* a, const double* numbers, Int n) {
    T sign = numbers[0], decay = numbers[1], alpha = numbers[2], rest = numbers[3];
    T eps = numbers[4], momentum = numbers[5], lr = numbers[6];
    for EACH(i, n) {
        T slope = sign * g[i];
        if (decay != 0) slope += decay * p[i];
        T square = q[i] = alpha * q[i] + rest * (slope * slope);
        if (a) {  // centered: the variance in place of the mean square, at least 0; nan stays nan
            T mean = a[i] = alpha * a[i] + rest * slope;
            square = larger(square - mean * mean, 0);
        }
        T way = slope / (sqrt(square) + eps);
        if (b) way = b[i] = momentum * b[i] + way;
        p[i] -= lr * way;
    }
}
""",
    options=("--fmad=false",),  # q - a^2 cancels: what is left must be the same roundings
)


def sgd_numbers(step: int, group: Group) -> tuple[float, ...]:
    """What `sgd` reads, in the order of its text."""
    first = step == 1  # then the running sum is the gradient, whatever the dampening
    momentum = float(group["momentum"])
    keep, rest = (0.0, 1.0) if first else (momentum, 1 - float(group["dampening"]))
    ahead = momentum if group["nesterov"] else 0.0
    return *_direction(group), keep, rest, ahead, float(group["lr"])


_sgd = kernel(
    "sgd",
    r"""
extern "C" __global__ void sgd(T* p, const T* g, T* b, const double* numbers, Int n) {
    T sign = numbers[0], decay = numbers[1], keep = numbers[2], rest = numbers[3];
    T ahead = numbers[4], lr = numbers[5];
    for EACH(i, n) {
        T way = sign * g[i];
        if (decay != 0) way += decay * p[i];
        if (b) {
            T total = b[i] = keep * b[i] + rest * way;
            way = ahead > 0 ? way + ahead * total : total;
        }
        p[i] -= lr * way;
    }
}
""",
)

Adam = _update(_adam, adam_numbers, "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
RMSprop = _update(_rmsprop, rmsprop_numbers, "square_avg", "momentum_buffer", "grad_avg")
SGD = _update(_sgd, sgd_numbers, "momentum_buffer")
