"""The optimizers' updates in one launch over parameters, gradients and state.

The equations are those of `minigrad/optim/`. The numbers that an update takes from its options are
described at each optimizer's `numbers`; here they are an array on the GPU, so that they may change
between replays of a recorded step. An array of the state that is absent is a null pointer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.backends import Array, Kernel
from minigrad.backends.cupy.source import BLOCK, CudaKernel, blocks_for, is_supported, kernel


def _update(cuda: CudaKernel, *names: str) -> Kernel:
    """The update kernel of an optimizer.

    Args:
        cuda: Takes p, g, the state's arrays, the numbers and the number of elements.
        names: The names of the state's arrays, in the order of the CUDA function's parameters.
    """

    def forward(p: Array, g: Array, state: Mapping[str, Array], numbers: Array) -> Any:
        if not is_supported(p, g):
            return NotImplemented
        arrays = [state.get(name) for name in names]
        cuda((blocks_for(p.size),), (BLOCK,), (p, g, *arrays, numbers, p.size))
        return None

    return Kernel(forward)


_adam = kernel(
    "adam",
    r"""
extern "C" __global__ void adam(
    T* p, const T* g, T* m, T* v, T* largest, const double* numbers, Int n) {
    T sign = numbers[0], decay = numbers[1], keep = numbers[2];
    T beta1 = numbers[3], rest1 = numbers[4], beta2 = numbers[5], rest2 = numbers[6];
    T eps = numbers[7], rate = numbers[8];
    for EACH(i, n) {
        T gradient = sign * g[i];
        if (decay != 0) gradient += decay * p[i];
        T first = beta1 * m[i] + rest1 * gradient;
        T second = beta2 * v[i] + rest2 * (gradient * gradient);
        m[i] = first;
        v[i] = second;
        if (largest) second = largest[i] = larger(largest[i], second);
        p[i] = keep * p[i] - rate * (first / (sqrt(second) + eps));
    }
}
""",
)


_rmsprop = kernel(
    "rmsprop",
    r"""
extern "C" __global__ void rmsprop(
    T* p, const T* g, T* q, T* b, T* a, const double* numbers, Int n) {
    T sign = numbers[0], decay = numbers[1], alpha = numbers[2], rest = numbers[3];
    T eps = numbers[4], momentum = numbers[5], lr = numbers[6];
    for EACH(i, n) {
        T gradient = sign * g[i];
        if (decay != 0) gradient += decay * p[i];
        T square = q[i] = alpha * q[i] + rest * (gradient * gradient);
        if (a) {  // centered: the variance instead of the mean square, at least 0; nan stays nan
            T mean = a[i] = alpha * a[i] + rest * gradient;
            square = larger(square - mean * mean, 0);
        }
        T direction = gradient / (sqrt(square) + eps);
        if (b) direction = b[i] = momentum * b[i] + direction;
        p[i] -= lr * direction;
    }
}
""",
    options=("--fmad=false",),  # q - a^2 cancels to rounding errors: round as the definition does
)


_sgd = kernel(
    "sgd",
    r"""
extern "C" __global__ void sgd(T* p, const T* g, T* b, const double* numbers, Int n) {
    T sign = numbers[0], decay = numbers[1], keep = numbers[2], rest = numbers[3];
    T ahead = numbers[4], lr = numbers[5];
    for EACH(i, n) {
        T direction = sign * g[i];
        if (decay != 0) direction += decay * p[i];
        if (b) {
            T total = b[i] = keep * b[i] + rest * direction;
            direction = ahead > 0 ? direction + ahead * total : total;
        }
        p[i] -= lr * direction;
    }
}
""",
)

Adam = _update(_adam, "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
RMSprop = _update(_rmsprop, "square_avg", "momentum_buffer", "grad_avg")
SGD = _update(_sgd, "momentum_buffer")
