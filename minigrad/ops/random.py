"""Random numbers from one generator per thread, on the host: the same on every device."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minigrad.errors import DTypeError, ShapeError
from minigrad.observers import thread
from minigrad.ops.shape import shape_of
from minigrad.tensor import Tensor, as_tensor, described, dtype_of, new_leaf


class _Source(threading.local):
    def __init__(self) -> None:
        self.generator = np.random.default_rng()


_source = _Source()


def manual_seed(seed: int) -> None:
    """Restart this thread's random numbers; the same seed gives the same numbers.

    Args:
        seed: A non-negative integer.

    Raises:
        TypeError: It is no integer.
        ValueError: It is negative.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> a = mg.randn(2)
        >>> mg.manual_seed(0)
        >>> bool((a == mg.randn(2)).sum() == 2)
        True
    """
    thread.observer.refuse("it calls manual_seed(), which a replay would not; call it outside")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"manual_seed: expected a non-negative integer, got {described(seed)}")
    if seed < 0:
        raise ValueError(f"manual_seed: expected a non-negative integer, got {seed}")
    _source.generator = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """This thread's NumPy generator, which `manual_seed` replaces."""
    return _source.generator


def _random(
    name: str, method: str, shape: Any, dtype: Any, device: str, requires_grad: bool
) -> Tensor:
    """A Tensor that a method of this thread's generator draws."""
    sizes, kind = shape_of(shape), dtype_of(dtype, name)
    if kind.char not in "fd":
        raise DTypeError(
            f"{name}: expected float32 or float64, got {kind}; draw in one of them, and use .astype"
        )

    if sizes is None:  # NumPy would draw a single number
        raise TypeError(f"{name}: expected a shape of integers of at least 0, got None")

    def draw() -> Any:
        try:
            return getattr(generator(), method)(sizes, dtype=kind.type)
        except (TypeError, ValueError) as error:
            refusal = ShapeError if isinstance(error, ValueError) else TypeError
            raise refusal(
                f"{name}: expected a shape of integers of at least 0, got {sizes!r} ({error})"
            ) from None

    values = thread.observer.replay_values(draw, sizes, kind, device, name)
    return new_leaf(values).requires_grad_(requires_grad)


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
    return _random("rand", "random", shape, dtype, device, requires_grad)


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
    return _random("randn", "standard_normal", shape, dtype, device, requires_grad)


def rand_like(x: Tensor, requires_grad: bool = False) -> Tensor:
    """Uniform numbers of the shape and dtype, and on the device, of `x`.

    Args:
        x: The Tensor whose shape, dtype and device to take.
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
        x: The Tensor whose shape, dtype and device to take.
        requires_grad: Whether backward passes are to compute a gradient for it.

    Example:
        >>> import minigrad as mg
        >>> mg.randn_like(mg.zeros(2)).shape
        (2,)
    """
    x = as_tensor(x, "randn_like: x")
    return randn(x.shape, dtype=x.dtype, device=x.device, requires_grad=requires_grad)
