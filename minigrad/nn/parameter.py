"""Tensors that belong to a module: parameters, which it learns, and buffers, which it keeps."""

from __future__ import annotations

from typing import Any

from minigrad.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A Tensor that a module learns; a module's attributes of this type are its parameters.

    Args:
        data: What `mg.tensor` takes; a Tensor's memory is shared.
        requires_grad: Whether backward passes compute its gradient; False freezes it.

    Example:
        >>> Parameter([1.0, 2.0])
        Parameter containing:
        tensor([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A Tensor that belongs to a module's state but is not learnt, such as a running mean.

    Args:
        data: What `mg.tensor` takes; a Tensor's memory is shared.

    Example:
        >>> Buffer([0.0]).requires_grad
        False
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data)
