"""Activation functions, as functions and as layers without parameters."""

from __future__ import annotations

import warnings
from typing import Any

from minigrad.messages.arguments import number
from minigrad.nn.module import Module
from minigrad.ops import activation
from minigrad.tensor import Tensor, as_tensor

__all__ = [
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Rectified linear unit, elementwise: `max(x, 0)`.

    Args:
        input: Any shape.
        inplace: Accepted as in PyTorch, without effect: the result is a new Tensor.

    Example:
        >>> import minigrad as mg
        >>> relu(mg.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return activation.relu(as_tensor(input, "relu: input"))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Leaky rectified linear unit, elementwise: x where x > 0, else `negative_slope x`.

    Args:
        input: Any shape.
        negative_slope: The derivative below 0, and at 0.
        inplace: Accepted as in PyTorch, without effect: the result is a new Tensor.

    Example:
        >>> import minigrad as mg
        >>> leaky_relu(mg.tensor([-1.0, 2.0]), 0.5)
        tensor([-0.5,  2. ])
    """
    input = as_tensor(input, "leaky_relu: input")
    if type(negative_slope) is not float:
        negative_slope = number("leaky_relu: negative_slope", negative_slope)
    return activation.leaky_relu(input, negative_slope=negative_slope)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent, elementwise: `mg.tanh`.

    Args:
        input: Any shape.

    Example:
        >>> import minigrad as mg
        >>> tanh(mg.tensor([0.0]))
        tensor([0.])
    """
    return activation.tanh(as_tensor(input, "tanh: input"))


def sigmoid(input: Tensor) -> Tensor:
    """Logistic function 1 / (1 + e^-x), elementwise: `mg.sigmoid`.

    Args:
        input: Any shape.

    Example:
        >>> import minigrad as mg
        >>> sigmoid(mg.tensor([0.0]))
        tensor([0.5])
    """
    return activation.sigmoid(as_tensor(input, "sigmoid: input"))


def _along(function: Any, input: Tensor, dim: int | None, dtype: Any) -> Tensor:
    """The function along an axis; a scalar has one, as in PyTorch, though it has none for CuPy."""
    name = function.__name__
    input = as_tensor(input, f"{name}: input")
    input = input if dtype is None else input.astype(dtype)
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(f"{name}: no dim was given, {dim} is taken; pass dim=", stacklevel=3)
    scalar = input.ndim == 0 and dim in (0, -1)
    y: Tensor = function(input.reshape(1) if scalar else input, axis=dim)
    return y.reshape(()) if scalar else y


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^x divided by its sum along an axis: positive values that add up to 1.

    Args:
        input: Any shape.
        dim: The axis. None takes PyTorch's old default, with a warning: axis 0 for 0, 1 or 3 axes,
            else axis 1.
        dtype: Convert the input to this dtype first.

    Example:
        >>> import minigrad as mg
        >>> softmax(mg.zeros(2), dim=0)
        tensor([0.5, 0.5])
    """
    return _along(activation.softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along an axis, without overflow.

    Args:
        input: Any shape.
        dim: The axis. None takes PyTorch's old default, with a warning: axis 0 for 0, 1 or 3 axes,
            else axis 1.
        dtype: Convert the input to this dtype first.

    Example:
        >>> import minigrad as mg
        >>> log_softmax(mg.tensor([1000.0, 0.0]), dim=0)
        tensor([    0., -1000.])
    """
    return _along(activation.log_softmax, input, dim, dtype)


class ReLU(Module):
    """Rectified linear unit, elementwise: `max(x, 0)`.

    Args:
        inplace: Accepted as in PyTorch, without effect: the result is a new Tensor.

    Example:
        >>> import minigrad as mg
        >>> ReLU()(mg.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, in the input's shape."""
        return relu(input)

    def extra_repr(self) -> str:
        """The option, where it is set."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """Leaky rectified linear unit, elementwise: x where x > 0, else `negative_slope x`.

    Args:
        negative_slope: The slope left of 0.
        inplace: Accepted as in PyTorch, without effect: the result is a new Tensor.

    Example:
        >>> import minigrad as mg
        >>> LeakyReLU(0.2)(mg.tensor([-1.0, 2.0]))
        tensor([-0.2,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = number("LeakyReLU: negative_slope", negative_slope)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, in the input's shape."""
        return leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """The options."""
        inplace = ", inplace=True" if self.inplace else ""
        return f"negative_slope={self.negative_slope}{inplace}"


class Tanh(Module):
    """Hyperbolic tangent, elementwise.

    Example:
        >>> import minigrad as mg
        >>> Tanh()(mg.zeros(1))
        tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, in the input's shape."""
        return tanh(input)


class Sigmoid(Module):
    """Logistic function, elementwise: `1 / (1 + e^-x)`.

    Example:
        >>> import minigrad as mg
        >>> Sigmoid()(mg.zeros(1))
        tensor([0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, in the input's shape."""
        return sigmoid(input)


class Softmax(Module):
    """e^x divided by its sum along an axis: positive values that add up to 1.

    Args:
        dim: The axis. None takes PyTorch's old default, with a warning: axis 0 for 0, 1 or 3 axes,
            else axis 1.

    Example:
        >>> import minigrad as mg
        >>> Softmax(dim=0)(mg.zeros(2))
        tensor([0.5, 0.5])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, in the input's shape."""
        return softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along an axis, without overflow.

    Args:
        dim: The axis. None takes PyTorch's old default, with a warning: axis 0 for 0, 1 or 3 axes,
            else axis 1.

    Example:
        >>> import minigrad as mg
        >>> LogSoftmax(dim=0)(mg.zeros(1))
        tensor([0.])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input, in the input's shape."""
        return log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
