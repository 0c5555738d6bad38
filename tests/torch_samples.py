"""PyTorch's own test samples, turned into calls of minigrad.

PyTorch tests itself with a database of operations, modules and optimizers, each with samples of
its input. `OPERATIONS` says for each operation in both libraries what of minigrad's is called with
what PyTorch's sample holds: `dim` becomes `axis`, `keepdim` `keepdims`, `correction` `ddof`.
"""

from __future__ import annotations

import importlib
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.tensor import wrap

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")  # PyTorch's samples need it

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db  # noqa: F401
    from torch.testing._internal.common_optimizers import optim_db

    common = importlib.import_module("torch.testing._internal.common_utils")
    opinfo = importlib.import_module("torch.testing._internal.opinfo.core")


def seed_the_cpu(seed: int) -> None:
    """What PyTorch does before each sample, but for seeding GPUs, which costs three tracebacks."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


common.set_rng_seed = seed_the_cpu
# looks through the stack for one of PyTorch's own tests, which takes most of the time of a sample
common.extract_test_fn = opinfo.extract_test_fn = lambda: None


class NotOfferedError(Exception):
    """What a sample asks for is not part of minigrad's interface; the message says what."""


# --- from PyTorch's values to ours ------------------------------------------------------------


def ours(
    value: Any, pairs: list[tuple[Any, Any]], laid_out: Callable[[Any], Any] = lambda array: array
) -> Any:
    """A sample's value with Tensors in the place of PyTorch's.

    Args:
        value: What the sample holds.
        pairs: Collects each of our Tensors with PyTorch's.
        laid_out: Gives the array for a Tensor; by default it shares PyTorch's memory.
    """
    if isinstance(value, torch.Tensor):
        mine = wrap(laid_out(value.numpy(force=True))).requires_grad_(value.requires_grad)
        pairs.append((mine, value))
        return mine
    if isinstance(value, torch.dtype):
        return dtype_of(value)
    if isinstance(value, complex):
        raise NotOfferedError("complex numbers")
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, list | tuple):
        return type(value)(ours(item, pairs, laid_out) for item in value)
    if isinstance(value, dict):
        return {name: ours(item, pairs, laid_out) for name, item in value.items()}
    return value


def dtype_of(dtype: Any) -> Any:
    name = str(dtype).removeprefix("torch.")
    if "complex" in name or name == "bfloat16":
        raise NotOfferedError(f"dtype {name}")
    return np.dtype(name)


# --- adapters ---------------------------------------------------------------------------------


def axes(x: Any, dim: Any) -> Any:
    """PyTorch reads an empty list of dimensions as all of them, and gives scalars one axis."""
    if x.ndim == 0 and dim not in (None, (), []):
        raise NotOfferedError("an axis of a scalar, which NumPy refuses")
    return (tuple(dim) or None) if isinstance(dim, list | tuple) else dim


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        if dtype is not None and dtype.kind != "f":
            raise NotOfferedError("a reduction in a smaller integer dtype")
        x = x if dtype is None else x.astype(dtype)
        return function(x, axis=axes(x, dim), keepdims=keepdim)

    return call


def norm(x: Any, p: Any = 2, *args: Any, **options: Any) -> Any:
    if isinstance(p, str):
        raise NotOfferedError("norms of matrices as operators")
    return reduction(lambda x, **axis: mg.norm(x, ord=p, **axis))(x, *args, **options)


def vector_norm(x: Any, *args: Any, **options: Any) -> Any:
    return norm(x, *args, **({"p": options.pop("ord")} if "ord" in options else {}), **options)


def linalg_norm(x: Any, *args: Any, **options: Any) -> Any:
    order = args[0] if args else options.get("ord")
    dim = args[1] if len(args) > 1 else options.get("dim")
    if order is not None and (x.ndim if dim is None else np.size(dim)) == 2:
        raise NotOfferedError("norms of matrices as operators")
    return vector_norm(x, *args, **options)


def spread(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        x: Any,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        correction: float | None = None,
    ) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = int(unbiased) if correction is None else correction
        return function(x, axis=axes(x, dim), ddof=ddof, keepdims=keepdim)

    return call


def with_alpha(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b, alpha=1: function(a, b if alpha == 1 else alpha * b)


def cumsum(x: Any, dim: int, dtype: Any = None) -> Any:
    axes(x, dim)
    return mg.cumsum(x if dtype is None else x.astype(dtype), axis=dim)


def power(a: Any, b: Any) -> Any:
    integers = all(not hasattr(v, "dtype") or v.dtype.kind in "biu" for v in (a, b))
    if integers and np.any(np.asarray(b) < 0):
        raise NotOfferedError("negative integer powers, which NumPy refuses")
    return a**b


def swapaxes(x: Any, dim0: int, dim1: int) -> Any:
    axes(x, dim0)
    return mg.swapaxes(x, dim0, dim1)


def expand(x: Any, shape: tuple[int, ...]) -> Any:
    own = (1,) * (len(shape) - x.ndim) + x.shape
    return mg.broadcast_to(x, [m if n == -1 else n for n, m in zip(shape, own, strict=True)])


def concatenate(tensors: Any, dim: int = 0) -> Any:
    if len({x.ndim for x in tensors}) > 1:
        raise NotOfferedError("joining an empty vector with anything")
    return mg.concatenate(tensors, axis=dim)


def split(x: Any, size: Any, dim: int = 0) -> Any:
    if isinstance(size, int):
        return mg.split(x, list(range(size, x.shape[dim], size)), axis=dim)
    return mg.split(x, list(np.cumsum(size)[:-1]), axis=dim)


def pad(x: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    if any(n < 0 for n in pad):
        raise NotOfferedError("negative padding, which NumPy refuses")
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    return mg.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, constant_values=value or 0.0)


def take_along(x: Any, indices: Any, dim: int | None = None) -> Any:
    return mg.take_along_axis(x, indices if dim is not None else indices.reshape(-1), dim)


def picked(x: Any, dim: int, index: Any) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (index,)] if x.ndim else x


def like(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Any, *value: Any, dtype: Any = None, device: str = "cpu", **layout: Any) -> Any:
        if layout:
            raise NotOfferedError(f"{', '.join(layout)} of a new Tensor")
        return function(x, *value) if dtype is None else function(x, *value, dtype=dtype)

    return call


def sigmoid(x: Any) -> Any:
    if x.dtype == np.bool_:
        raise NotOfferedError("minus a boolean, which NumPy refuses")
    return mg.sigmoid(x)


def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if training and 0 < p < 1:
        raise NotOfferedError("the same random numbers")
    return F.dropout(x, p, training, inplace)


def batch_norm(x: Any, *args: Any, **options: Any) -> Any:
    if x.ndim == 1:
        raise NotOfferedError("batches without an axis for the features")
    return F.batch_norm(x, *args, **options)


OPERATIONS: dict[str, Callable[..., Any]] = {
    # elementwise
    "abs": mg.abs,
    "add": with_alpha(lambda a, b: a + b),
    "bitwise_and": lambda a, b: a & b,
    "bitwise_not": lambda x: ~x,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
    "clamp": lambda x, *bounds, **named: mg.clip(x, *bounds, **named),
    "clamp_max": lambda x, bound: x.clip(max=bound),
    "clamp_min": lambda x, bound: x.clip(min=bound),
    "cos": mg.cos,
    "div.no_rounding_mode": lambda a, b, rounding_mode=None: a / b,
    "eq": lambda a, b: a == b,
    "exp": mg.exp,
    "float": lambda x, memory_format=None: x.float(),
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "log": mg.log,
    "log1p": mg.log1p,
    "lt": lambda a, b: a < b,
    "max.binary": mg.maximum,
    "maximum": mg.maximum,
    "min.binary": mg.minimum,
    "minimum": mg.minimum,
    "mul": lambda a, b: a * b,
    "ne": lambda a, b: a != b,
    "neg": lambda x: -x,
    "pow": power,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / mg.sqrt(x),
    "rsub": lambda a, b, alpha=1: b - (a if alpha == 1 else alpha * a),
    "sin": mg.sin,
    "sqrt": mg.sqrt,
    "square": lambda x: x**2,
    "sub": with_alpha(lambda a, b: a - b),
    "true_divide": lambda a, b, rounding_mode=None: a / b,
    "where": lambda a, condition, b: mg.where(condition, a, b),
    "__rand__": lambda a, b: b & a,
    "__ror__": lambda a, b: b | a,
    "__rxor__": lambda a, b: b ^ a,
    "__radd__": lambda a, b: b + a,
    "__rdiv__": lambda a, b: b / a,
    "__rmatmul__": lambda a, b: b @ a,
    "__rmul__": lambda a, b: b * a,
    "__rpow__": lambda a, b: power(b, a),
    "__rsub__": lambda a, b: b - a,
    # reductions
    "all": reduction(mg.all),
    "any": reduction(mg.any),
    "amax": reduction(mg.max),
    "amin": reduction(mg.min),
    "argmax": reduction(mg.argmax),
    "cumsum": cumsum,
    "linalg.norm": linalg_norm,
    "linalg.vector_norm": vector_norm,
    "logsumexp": reduction(mg.logsumexp),
    "max.reduction_no_dim": mg.max,
    "mean": reduction(mg.mean),
    "min.reduction_no_dim": mg.min,
    "norm": norm,
    "norm.inf": norm,
    "prod": reduction(mg.prod),
    "std": spread(mg.std),
    "std.unbiased": spread(mg.std),
    "sum": reduction(mg.sum),
    "var": spread(mg.var),
    "var.unbiased": spread(mg.var),
    # products
    "bmm": mg.matmul,
    "dot": lambda a, b: a @ b,
    "einsum": lambda operands, equation: mg.einsum(equation, *operands),
    "matmul": mg.matmul,
    "mm": lambda a, b: a @ b,
    "mv": mg.matmul,
    "outer": mg.outer,
    "vdot": mg.matmul,
    # shapes
    "__getitem__": lambda x, index: x[index],
    "broadcast_to": mg.broadcast_to,
    "cat": concatenate,
    "clone": lambda x, memory_format=None: x.clone(),
    "constant_pad_nd": lambda x, widths, value=None: pad(x, widths, value=value),
    "expand": expand,
    "expand_as": lambda x, other: mg.broadcast_to(x, other.shape),
    "flip": lambda x, dims: mg.flip(x, axis=tuple(dims)),
    "fliplr": lambda x: mg.flip(x, axis=1),
    "flipud": lambda x: mg.flip(x, axis=0),
    "index_select": picked,
    "item": lambda x: x.item(),
    "mT": lambda x: x.swapaxes(-1, -2),
    "movedim": mg.moveaxis,
    "nn.functional.pad.constant": pad,
    "permute": lambda x, dims: x.transpose(dims),
    "ravel": lambda x: x.reshape(-1),
    "reshape": lambda x, shape: x.reshape(shape),
    "reshape_as": lambda x, other: x.reshape(other.shape),
    "select": picked,
    "split": split,
    "split.list_args": split,
    "split_with_sizes": split,
    "stack": lambda tensors, dim=0: mg.stack(tensors, axis=dim),
    "t": lambda x: x.T,
    "T": lambda x: x.T,
    "take_along_dim": take_along,
    "transpose": swapaxes,
    "unbind": lambda x, dim=0: tuple(mg.moveaxis(x, dim, 0)),
    "unsqueeze": mg.expand_dims,
    "view": lambda x, *shape: x.reshape(*shape),
    "view_as": lambda x, other: x.reshape(other.shape),
    # creation
    "full_like": like(mg.full_like),
    "ones_like": like(mg.ones_like),
    "zeros_like": like(mg.zeros_like),
    # layers and losses
    "log_softmax": F.log_softmax,
    "log_softmax.with_dtype": F.log_softmax,
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.binary_cross_entropy": F.binary_cross_entropy,
    "nn.functional.binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "nn.functional.cross_entropy": F.cross_entropy,
    "nn.functional.dropout": dropout,
    "nn.functional.embedding": lambda weight, index, **options: F.embedding(
        index, weight, **options
    ),
    "nn.functional.layer_norm": F.layer_norm,
    "nn.functional.leaky_relu": F.leaky_relu,
    "nn.functional.linear": F.linear,
    "nn.functional.mse_loss": F.mse_loss,
    "nn.functional.nll_loss": F.nll_loss,
    "nn.functional.relu": F.relu,
    "sigmoid": sigmoid,
    "softmax": F.softmax,
    "softmax.with_dtype": F.softmax,
    "tanh": mg.tanh,
}

REFERENCES: dict[str, Any] = {
    f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db
}  # PyTorch's entries by the names used above

MODULE_REFERENCES: dict[str, Any] = {
    info.name.removeprefix("nn."): info for info in module_db if info.name.startswith("nn.")
}
MODULES = [name for name in nn.__all__ if name in MODULE_REFERENCES]

OPTIMIZER_REFERENCES: dict[str, Any] = {info.optim_cls.__name__: info for info in optim_db}
OPTIMIZERS = [name for name in optim.__all__ if name in OPTIMIZER_REFERENCES]
