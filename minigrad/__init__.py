"""minigrad: reverse-mode automatic differentiation from scratch, over NumPy and CuPy.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from minigrad import nn, optim
from minigrad.capture import capture
from minigrad.engine import grad
from minigrad.errors import (
    AnomalyError,
    ChangedValueError,
    DeviceError,
    DTypeError,
    GraphFreedError,
    ShapeError,
)
from minigrad.fused import fused
from minigrad.grad_mode import enable_grad, is_grad_enabled, no_grad
from minigrad.messages import hints
from minigrad.ops.activation import sigmoid, tanh
from minigrad.ops.creation import (
    arange,
    clone,
    eye,
    full,
    full_like,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from minigrad.ops.elementwise import (
    abs,
    clip,
    cos,
    exp,
    log,
    log1p,
    maximum,
    minimum,
    sin,
    sqrt,
    where,
)
from minigrad.ops.linalg import einsum, matmul, outer
from minigrad.ops.random import manual_seed, rand, rand_like, randn, randn_like
from minigrad.ops.reduce import (
    all,
    any,
    argmax,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from minigrad.ops.shape import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    pad,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    take_along_axis,
    transpose,
)
from minigrad.primitive import primitive, sequence_primitive
from minigrad.serialization import load, save
from minigrad.tensor import Tensor, tensor
from minigrad.tools import check
from minigrad.tools.anomaly import detect_anomaly
from minigrad.tools.draw import draw
from minigrad.tools.show_backward import show_backward

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "ChangedValueError",
    "DTypeError",
    "DeviceError",
    "GraphFreedError",
    "ShapeError",
    "Tensor",
    "abs",
    "all",
    "any",
    "arange",
    "argmax",
    "broadcast_to",
    "capture",
    "check",
    "clip",
    "clone",
    "concatenate",
    "cos",
    "cumsum",
    "detect_anomaly",
    "draw",
    "einsum",
    "enable_grad",
    "exp",
    "expand_dims",
    "eye",
    "flip",
    "full",
    "full_like",
    "fused",
    "grad",
    "is_grad_enabled",
    "load",
    "log",
    "log1p",
    "logsumexp",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "nn",
    "no_grad",
    "norm",
    "ones",
    "ones_like",
    "optim",
    "outer",
    "pad",
    "primitive",
    "prod",
    "rand",
    "rand_like",
    "randn",
    "randn_like",
    "reshape",
    "save",
    "sequence_primitive",
    "show_backward",
    "sigmoid",
    "sin",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sum",
    "swapaxes",
    "take_along_axis",
    "tanh",
    "tensor",
    "transpose",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

hints.explain(__name__, __all__)
