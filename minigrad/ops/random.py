"""Random numbers: one generator per thread, on the host: every device sees the same numbers."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minigrad.live import array, refuse
from minigrad.ops.shape import shape_of
from minigrad.tensor import Tensor, as_tensor, new_leaf


class _Source(threading.local):
    def __init__(self) -> None:
        self.generator = np.random.default_rng()


_source = _Source()


def manual_seed(seed: int) -> None:
    """Start this thread's random numbers anew; the same seed gives the same numbers.

    Args:
        seed: A non-negative integer.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> a = mg.randn(2)
        >>> mg.manual_seed(0)
        >>> bool((a == mg.randn(2)).sum() == 2)
        True
    """
    refuse("it calls manual_seed(), which a replay would not; call it outside")
    _source.generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """This thread's NumPy generator, which `manual_seed` starts anew."""
    return _source.generator


def rand(
    *shape: Any, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Numbers drawn uniformly from [0, 1).

    Args:
        shape: The sizes, as `rand(2, 3)` or `rand((2, 3))`.
        dtype: float32 or float64.
        device: "cpu" or "gpu".
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.rand(2, 3).shape
        (2, 3)
    """

    def draw() -> Any:
        return generator().random(sizes, dtype=kind.type)

    sizes, kind = shape_of(shape), np.dtype(dtype)
    return new_leaf(array(draw, sizes, kind, device, "rand")).requires_grad_(requires_grad)


def randn(
    *shape: Any, dtype: Any = np.float32, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """Numbers drawn from the standard normal distribution.

    Args:
        shape: The sizes, as `randn(2, 3)` or `randn((2, 3))`.
        dtype: float32 or float64.
        device: "cpu" or "gpu".
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.randn(2, 3).shape
        (2, 3)
    """

    def draw() -> Any:
        return generator().standard_normal(sizes, dtype=kind.type)

    sizes, kind = shape_of(shape), np.dtype(dtype)
    return new_leaf(array(draw, sizes, kind, device, "randn")).requires_grad_(requires_grad)


def rand_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Uniform numbers of the shape and dtype, and on the device, of `x`.

    Args:
        x: The model.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.rand_like(mg.zeros(2)).shape
        (2,)
    """
    x = as_tensor(x, "rand_like: x")
    return rand(x.shape, dtype=x.dtype, device=x.device, requires_grad=requires_grad)


def randn_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Standard-normal numbers of the shape and dtype, and on the device, of `x`.

    Args:
        x: The model.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.randn_like(mg.zeros(2)).shape
        (2,)
    """
    x = as_tensor(x, "randn_like: x")
    return randn(x.shape, dtype=x.dtype, device=x.device, requires_grad=requires_grad)
