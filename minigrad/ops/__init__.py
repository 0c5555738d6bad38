"""Operations, one file per family. Importing the package gives Tensor's methods their bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backends import require_device
from minigrad.engine import backward, node_of
from minigrad.errors import DTypeError, ShapeError
from minigrad.grad_mode import grad_switch, no_grad
from minigrad.ops import activation, creation, elementwise, linalg, reduce, shape
from minigrad.tensor import Tensor, dtype_of, wrap
from minigrad.versions import write

__all__ = ["METHODS"]


def _swapped(operation: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The reflected operator: `other + self` where `other` does not know Tensors."""

    def reflected(self: Tensor, other: Any) -> Tensor:
        return operation(other, self)  # type: ignore[no-any-return]

    return reflected


def _in_place(operation: Callable[..., Any], symbol: str) -> Callable[[Any, Any], Any]:
    """An operator such as `+=`: it writes into a leaf, and gives a new Tensor for a result.

    A result is never changed, with recording or without: other Tensors and records may use its
    memory, and would change with it. So the same code does the same under `no_grad`.
    """

    def change(self: Tensor, other: Any) -> Tensor:
        if self._record is not None or not hasattr(self, "_writable"):
            return operation(self, other)  # type: ignore[no-any-return]
        if grad_switch.on and (self._requires_grad or node_of(other) is not None):
            reason = "x requires a gradient" if self._requires_grad else "y is in a graph"
            raise RuntimeError(
                f"x {symbol}= y would change the leaf x in place, which no graph can record, and "
                f"{reason}; write x = x {symbol} y for a new Tensor, or to change the values, as "
                f"an update of parameters does, `with mg.no_grad(): x {symbol}= y`"
            )
        with no_grad():
            y = operation(self, other)
        if y.shape != self.shape:
            raise ShapeError(
                f"x {symbol}= y: the result has shape {y.shape}, but x keeps its shape "
                f"{self.shape}; write x = x {symbol} y for a new Tensor"
            )
        if not np.can_cast(y.dtype, self.dtype, "same_kind"):
            raise DTypeError(
                f"x {symbol}= y: the result is {y.dtype}, but x stays {self.dtype}; write "
                f"x = x {symbol} y for a new Tensor"
            )
        write(self._data, y._data)
        return self

    return change


def _getitem(self: Tensor, index: Any) -> Tensor:
    return shape.getitem(self, shape.index_of(index))


def _reshape(self: Tensor, *sizes: Any) -> Tensor:
    return shape.reshape(self, shape.shape_of(sizes))


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    return shape.transpose(self, axes=shape.shape_of(axes) if axes else None)


def _to(self: Tensor, device: str) -> Tensor:
    return self if self.device == require_device(device) else elementwise.move(self, device)


def _astype(self: Tensor, dtype: Any) -> Tensor:
    dtype = dtype_of(dtype, "astype")
    if dtype == self.dtype:
        return self
    return elementwise.cast(self, dtype) if dtype.kind == "f" else wrap(self._data.astype(dtype))


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
    "__iadd__": _in_place(elementwise.add, "+"),
    "__isub__": _in_place(elementwise.subtract, "-"),
    "__imul__": _in_place(elementwise.multiply, "*"),
    "__itruediv__": _in_place(elementwise.divide, "/"),
    "__ipow__": _in_place(elementwise.power, "**"),
    "__imatmul__": _in_place(linalg.matmul, "@"),
    "__iand__": _in_place(elementwise.bitwise_and, "&"),
    "__ior__": _in_place(elementwise.bitwise_or, "|"),
    "__ixor__": _in_place(elementwise.bitwise_xor, "^"),
    "backward": backward,
    "to": _to,
    "astype": _astype,
    "clone": creation.clone,
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
            "split",
        }.items()
        for name in names.split()
    },
}

for _name, _body in METHODS.items():
    if not _body.__doc__:
        _body.__doc__ = getattr(Tensor, _name).__doc__
    setattr(Tensor, _name, _body)
