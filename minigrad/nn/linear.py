"""The linear layer, and two that compute nothing: Identity and Flatten."""

from __future__ import annotations

import math
from typing import Any

from minigrad.errors import ShapeError
from minigrad.messages.arguments import check_sizes, integer
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.ops.creation import zeros
from minigrad.ops.linear import linear as operation
from minigrad.tensor import Tensor, as_tensor

__all__ = ["Flatten", "Identity", "Linear", "linear"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear layer: `y = x W^T + b`.

    Args:
        input: x (..., in_features).
        weight: W (out_features, in_features), or (in_features,) for a single output.
        bias: b (out_features,), or None.

    Returns:
        (..., out_features), without the last axis for a single output.

    Raises:
        ShapeError: The last axis of the input does not fit the weight, or the weight has not 1 or 2
            axes.

    Example:
        >>> import minigrad as mg
        >>> linear(mg.ones(1, 2), mg.tensor([[3.0, 4.0]]))
        tensor([[7.]])
    """
    weight = as_tensor(weight, "linear: weight")
    if weight.ndim not in (1, 2):
        raise ShapeError(
            f"linear: the weight has shape {weight.shape}; expected (out_features, in_features), "
            "or (in_features,) for a single output"
        )
    return _affine(input, weight, None if bias is None else as_tensor(bias, "linear: bias"))


def _affine(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    input = as_tensor(input, "linear: input")
    if input.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        features = "in_features" if weight.ndim == 1 else f"in_features={weight.shape[-1]}"
        raise ShapeError(
            f"linear: the input has shape {input.shape}, the weight {weight.shape}; expected an "
            f"input of shape (..., {weight.shape[-1]}): the last axis counts {features}; "
            "transpose the input, or make the layer with another in_features"
        )
    return operation(input, weight, bias)


class Linear(Module):
    """A linear (affine) layer: `y = x W^T + b`.

    Weight and bias are drawn uniformly from +-1/sqrt(in_features), PyTorch's choice.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        bias: Whether there is a bias b.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight: W, of shape (out_features, in_features).
        bias: b, of shape (out_features,), or None.

    Example:
        >>> import minigrad as mg
        >>> Linear(4, 2)(mg.ones(3, 4)).shape
        (3, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        device = device or "cpu"
        self.weight = Parameter(zeros(out_features, in_features, dtype=dtype, device=device))
        self.bias = Parameter(zeros(out_features, dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for the parameters."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # this is +-1/sqrt(in_features)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(..., out_features) from (..., in_features); the axes in front may be missing.

        Raises:
            ShapeError: The last axis of the input is not in_features long.
        """
        return _affine(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Identity(Module):
    """Return the input unchanged: a placeholder. Any arguments are accepted.

    Example:
        >>> import minigrad as mg
        >>> Identity()(mg.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input, as a Tensor."""
        return as_tensor(input, "Identity: input")


class Flatten(Module):
    """Merge several axes into one, in row-major order.

    Args:
        start_dim: The first of them; by default the one after the batch.
        end_dim: The last of them.

    Example:
        >>> import minigrad as mg
        >>> Flatten()(mg.zeros(2, 3, 4)).shape
        (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = integer("Flatten: start_dim", start_dim)
        self.end_dim = integer("Flatten: end_dim", end_dim)

    def forward(self, input: Tensor) -> Tensor:
        """The input with its axes start_dim to end_dim merged into one.

        Raises:
            ShapeError: The input does not have these axes.
        """
        input = as_tensor(input, "Flatten: input")
        if input.ndim == 0:
            return input.reshape(1)
        first, last = self.start_dim, self.end_dim
        if not all(-input.ndim <= axis < input.ndim for axis in (first, last)):
            raise ShapeError(
                f"Flatten(start_dim={first}, end_dim={last}): the input has shape {input.shape}"
            )
        first, last = first % input.ndim, last % input.ndim
        if first > last:
            raise ShapeError(f"Flatten: start_dim={first} comes after end_dim={last}")
        middle = math.prod(input.shape[first : last + 1])
        return input.reshape(*input.shape[:first], middle, *input.shape[last + 1 :])

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
