"""Level 2: operations, a file for each family. Importing it gives Tensor its methods' bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import require_device
from minigrad.ops import activation, elementwise, linalg, reduce, shape
from minigrad.tensor import Tensor, made

__all__ = ["METHODS"]


def _swapped(operation: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The reflected operator: `other + self` where `other` does not know Tensors."""

    def reflected(self: Tensor, other: Any) -> Tensor:
        return operation(other, self)  # type: ignore[no-any-return]

    return reflected


def _getitem(self: Tensor, index: Any) -> Tensor:
    return shape.getitem(self, shape.index_of(index))


def _reshape(self: Tensor, *sizes: Any) -> Tensor:
    return shape.reshape(self, shape.shape_of(sizes))


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    return shape.transpose(self, axes=shape.shape_of(axes) if axes else None)


def _to(self: Tensor, device: str) -> Tensor:
    return self if self.device == require_device(device) else elementwise.move(self, device)


def _astype(self: Tensor, dtype: Any) -> Tensor:
    dtype = np.dtype(dtype)
    if dtype == self.dtype:
        return self
    return elementwise.cast(self, dtype) if dtype.kind == "f" else made(self._data.astype(dtype))


METHODS: dict[str, Callable[..., Any]] = {
    "__add__": elementwise.add,
    "__radd__": _swapped(elementwise.add),
    "__sub__": elementwise.subtract,
    "__rsub__": _swapped(elementwise.subtract),
    "__mul__": elementwise.multiply,
    "__rmul__": _swapped(elementwise.multiply),
    "__truediv__": elementwise.divide,
    "__rtruediv__": _swapped(elementwise.divide),
    "__pow__": elementwise.power,
    "__rpow__": _swapped(elementwise.power),
    "__matmul__": linalg.matmul,
    "__rmatmul__": _swapped(linalg.matmul),
    "__neg__": elementwise.negative,
    "__abs__": elementwise.abs,
    "__eq__": elementwise.equal,
    "__ne__": elementwise.not_equal,
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
    "__and__": elementwise.bitwise_and,
    "__rand__": _swapped(elementwise.bitwise_and),
    "__or__": elementwise.bitwise_or,
    "__ror__": _swapped(elementwise.bitwise_or),
    "__xor__": elementwise.bitwise_xor,
    "__rxor__": _swapped(elementwise.bitwise_xor),
    "__invert__": elementwise.invert,
    "__getitem__": _getitem,
    "to": _to,
    "astype": _astype,
    "reshape": _reshape,
    "transpose": _transpose,
    **{
        name: getattr(family, name)
        for family, names in {
            elementwise: "exp log log1p sqrt sin cos abs maximum minimum clip",
            activation: "tanh sigmoid",
            reduce: "sum mean var std max min prod cumsum logsumexp argmax norm all any",
            linalg: "matmul outer",
            shape: "swapaxes moveaxis broadcast_to expand_dims squeeze flip pad take_along_axis "
            "split clone",
        }.items()
        for name in names.split()
    },
}

for _name, _body in METHODS.items():
    if not _body.__doc__:
        _body.__doc__ = getattr(Tensor, _name).__doc__
    setattr(Tensor, _name, _body)
