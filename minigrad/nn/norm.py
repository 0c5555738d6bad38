"""Layers that normalize: over the batch, or over the features of each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, is_array
from minigrad.backends.arrays import update_statistics
from minigrad.errors import ShapeError
from minigrad.messages.arguments import check_changeable, check_sizes, integer, number
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.ops import norm
from minigrad.ops.creation import ones, ones_like, zeros, zeros_like
from minigrad.tensor import Tensor, as_tensor
from minigrad.versions import note_write, write

__all__ = ["BatchNorm1d", "LayerNorm", "batch_norm", "layer_norm"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Array = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel over the batch, then scale and shift.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`. In training, mean and variance are the
    batch's, and the running ones move towards them by `running += momentum (batch - running)`,
    where the batch's variance is the unbiased one. In evaluation they are the running ones.

    Args:
        input: x (N, C), (N, C, L), or with further axes; all axes but C are normalized over.
        running_mean: (C,), changed in place in training; None to keep none.
        running_var: (C,), changed in place in training; None to keep none.
        weight: (C,), or None for 1.
        bias: (C,), or None for 0.
        training: Whether to use the statistics of the batch.
        momentum: How far the running statistics move.
        eps: Added to the variance.

    Raises:
        ShapeError: The input does not have these axes, an argument is not (C,), or training has
            only one value per channel.
        ValueError: Not training, and no running statistics; or `eps` is not above 0 in training.

    Source:
        Ioffe and Szegedy 2015, "Batch normalization", algorithms 1 and 2.

    Example:
        >>> import minigrad as mg
        >>> batch_norm(mg.tensor([[1.0], [3.0]]), None, None, training=True, eps=1e-9)
        tensor([[-1.],
                [ 1.]])
    """
    input, eps = as_tensor(input, "batch_norm: input"), number("batch_norm: eps", eps)
    momentum = momentum if is_array(momentum) else number("batch_norm: momentum", momentum)
    mean, var = (_or_none("batch_norm: running", x) for x in (running_mean, running_var))
    weight, bias = _or_none("batch_norm: weight", weight), _or_none("batch_norm: bias", bias)
    for name, running in (("running_mean", mean), ("running_var", var)):
        if running is not None and training:
            check_changeable(f"batch_norm: training changes {name} in place", running._data)
    return _batch_norm(input, mean, var, weight, bias, training, momentum, eps, None)


def _or_none(name: str, value: Tensor | None) -> Tensor | None:
    return None if value is None else as_tensor(value, name)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | Array,
    eps: float,
    batches: Tensor | None,
) -> Tensor:
    """As `batch_norm`; `batches` counts the batches of training, and goes up by 1."""
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: expected (N, C) or (N, C, L), got shape {input.shape}")
    names = "running_mean", "running_var", "weight", "bias"
    for name, given in zip(names, (running_mean, running_var, weight, bias), strict=True):
        if given is not None and given.shape != (input.shape[1],):
            raise ShapeError(
                f"batch_norm: {name} has shape {given.shape}, but the input {input.shape} has "
                f"{input.shape[1]} channels on its axis 1"
            )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training it needs running_mean and running_var")
        return norm.normalize_channels(input, running_mean, running_var, weight, bias, eps)
    if not eps > 0:
        raise ValueError(f"batch_norm: eps must be above 0 in training, got {eps}")
    count = input.size // max(input.shape[1], 1)
    if count == 1:
        raise ShapeError(
            f"batch_norm: training needs more than 1 value per channel, got an input of shape "
            f"{input.shape}; use a larger batch, or .eval()"
        )
    if count == 0:  # there is nothing to normalize, and nothing to learn from
        flat = np.ones_like(input._data, shape=(input.shape[1],))
        if batches is not None:
            write(batches._data, batches._data + 1)
        return norm.normalize_channels(input, flat, flat, weight, bias, eps)
    y, mean, var = norm.batch_norm(input, weight, bias, eps=eps)
    own = [None if x is None else x._data for x in (running_mean, running_var, batches)]
    if written := [array for array in own if array is not None]:
        moving_mean, moving_var, tracked = own
        update_statistics(mean._data, var._data, moving_mean, moving_var, momentum, count, tracked)
        note_write(*written)
    return y


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize over the last axes, each example separately, then scale and shift.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, with the biased variance.

    Args:
        input: x (..., *normalized_shape).
        normalized_shape: The sizes of the last axes, or one size.
        weight: Of shape normalized_shape, or None for 1.
        bias: Of shape normalized_shape, or None for 0.
        eps: Added to the variance.

    Raises:
        ShapeError: The input does not end in normalized_shape, or a parameter has another shape.

    Source:
        Ba, Kiros and Hinton 2016, "Layer normalization", eq. 4.

    Example:
        >>> import minigrad as mg
        >>> layer_norm(mg.tensor([1.0, 3.0]), (2,), eps=0.0)
        tensor([-1.,  1.])
    """
    input = as_tensor(input, "layer_norm: input")
    eps = eps if type(eps) is float else number("layer_norm: eps", eps)
    weight, bias = _or_none("layer_norm: weight", weight), _or_none("layer_norm: bias", bias)
    if isinstance(normalized_shape, int):
        normalized_shape = (normalized_shape,)
    sizes = tuple(normalized_shape)
    if not sizes or input.shape[-len(sizes) :] != sizes:
        raise ShapeError(
            f"layer_norm: the input has shape {input.shape}; expected its last axes to be "
            f"normalized_shape={sizes}"
        )
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and given.shape != sizes:
            raise ShapeError(f"layer_norm: {name} has shape {given.shape}; expected {sizes}")
    return norm.layer_norm(input, weight, bias, axes=len(sizes), eps=eps)


class BatchNorm1d(Module):
    """Normalize each channel over the batch, then scale and shift: see `batch_norm`.

    In training the statistics are the batch's, and running averages of them are kept; after
    `eval()` the running averages are used.

    Args:
        num_features: The number C of channels.
        eps: Added to the variance.
        momentum: How far the running statistics move with each batch; None for the plain average
            over all batches so far.
        affine: Whether to scale and shift by learnt parameters.
        track_running_stats: Whether to keep running statistics; without them the batch's are used
            after `eval()` too.
        device: Where parameters and buffers are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.
        bias: Whether to shift.

    Attributes:
        weight: (C,), starts at 1; None without `affine`.
        bias: (C,), starts at 0; None without `affine` or `bias`.
        running_mean: (C,), starts at 0; None without `track_running_stats`.
        running_var: (C,), starts at 1; None without `track_running_stats`.
        num_batches_tracked: int64, starts at 0; None without `track_running_stats`.

    Source:
        Ioffe and Szegedy 2015, "Batch normalization".

    Example:
        >>> import minigrad as mg
        >>> layer = BatchNorm1d(1)
        >>> y = layer(mg.tensor([[1.0], [3.0]]))
        >>> layer.running_mean
        tensor([0.2])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_sizes("BatchNorm1d", num_features=num_features)
        self.num_features, self.eps = num_features, number("BatchNorm1d: eps", eps)
        self.momentum = None if momentum is None else number("BatchNorm1d: momentum", momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        device = device or "cpu"
        scale = ones(num_features, dtype=dtype, device=device)
        shift = zeros(num_features, dtype=dtype, device=device)
        self.weight = Parameter(scale) if affine else None
        self.bias = Parameter(shift) if affine and bias else None
        mean, var = zeros_like(shift), ones_like(scale)
        count = zeros((), dtype=np.int64, device=device)
        self.running_mean = Buffer(mean) if track_running_stats else None
        self.running_var = Buffer(var) if track_running_stats else None
        self.num_batches_tracked = Buffer(count) if track_running_stats else None

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, in its shape (N, C) or (N, C, L).

        Raises:
            ShapeError: The input does not have these axes, or training has only one value per
                channel.
        """
        input = as_tensor(input, "BatchNorm1d: input")
        if input.ndim not in (2, 3):
            raise ShapeError(
                f"BatchNorm1d({self.num_features}): expected an input (N, C) or (N, C, L), got "
                f"shape {input.shape}; reshape it, for instance to (1, C)"
            )
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        training = self.training or (mean is None and var is None)
        if training and not self.track_running_stats:
            mean = var = count = None
        momentum: Any = self.momentum
        if momentum is None:  # without a count the statistics stay, as in PyTorch
            momentum = 0.0 if count is None else 1 / (count._data + 1)
        return _batch_norm(
            input,
            mean,
            var,
            self.weight,
            self.bias,
            training,
            momentum,
            self.eps,
            count if self.training else None,
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class LayerNorm(Module):
    """Normalize over the last axes, each example separately, then scale and shift.

    Args:
        normalized_shape: The sizes of the last axes, or one size.
        eps: Added to the variance.
        elementwise_affine: Whether to scale and shift by learnt parameters.
        bias: Whether to shift.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight: Of normalized_shape, starts at 1; None without `elementwise_affine`.
        bias: Of normalized_shape, starts at 0; None without `elementwise_affine` or `bias`.

    Source:
        Ba, Kiros and Hinton 2016, "Layer normalization", eq. 4.

    Example:
        >>> import minigrad as mg
        >>> LayerNorm(3)(mg.zeros(2, 3)).shape
        (2, 3)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = normalized_shape if isinstance(normalized_shape, Sequence) else [normalized_shape]
        self.normalized_shape = tuple([integer("LayerNorm: normalized_shape", n) for n in shape])
        self.eps, self.elementwise_affine = number("LayerNorm: eps", eps), elementwise_affine
        device = device or "cpu"
        scale = ones(self.normalized_shape, dtype=dtype, device=device)
        self.weight = Parameter(scale) if elementwise_affine else None
        self.bias = Parameter(zeros_like(scale)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input, in its shape.

        Raises:
            ShapeError: The input does not end in normalized_shape.
        """
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
