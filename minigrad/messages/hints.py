"""Names that users of PyTorch or NumPy type, and what to write in minigrad instead.

>>> import minigrad as mg
>>> mg.cat
Traceback (most recent call last):
AttributeError: module 'minigrad' has no attribute 'cat'; use mg.concatenate(tensors, axis)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

__all__ = ["ModuleHints", "TensorHints", "explain"]


SHORT = {"minigrad": "mg", "minigrad.tools.check": "mg.check"}
LISTED = 40  # the most names of a module for which the message lists all of them


class _Absent:
    """A descriptor for a name that a class lacks: reading it raises an error with what to use."""

    def __init__(self, name: str, use: str) -> None:
        self.name, self.use = name, use
        self.__doc__ = f"Not there: use {use}"  # so help(Tensor) ends with a glossary

    def __get__(self, instance: object, owner: type) -> NoReturn:
        message = f"{owner.__name__!r} object has no attribute {self.name!r}; use {self.use}"
        raise AttributeError(message, name=self.name)  # with `obj`, Python would add a guess


class _Hints:
    """The base of classes with hints; names that are absent are left out of `dir`.

    A `__getattr__` would be simpler, but with it Python 3.11 reads every attribute of the class
    more slowly, which costs a tenth of the time of an operation.
    """

    __slots__ = ()

    def __dir__(self) -> list[str]:
        absent = {
            name
            for cls in type(self).__mro__
            for name, value in vars(cls).items()
            if isinstance(value, _Absent)
        }
        return [name for name in super().__dir__() if name not in absent or hasattr(self, name)]


class TensorHints(_Hints):
    """Hints for PyTorch's and NumPy's methods that Tensor has under another name, or lacks."""

    __slots__ = ()


class ModuleHints(_Hints):
    """Hints for methods of PyTorch's and others' modules that nn.Module lacks."""

    __slots__ = ()


def explain(module: str, names: Sequence[str]) -> None:
    """Give a module a `__getattr__`, which says what to use for a name that the module lacks.

    Args:
        module: The module's `__name__`.
        names: The names that the module has, its `__all__`.
    """
    # set from here: where a type checker sees a `__getattr__`, it accepts every name of the module
    vars(sys.modules[module])["__getattr__"] = partial(_missing, module, names)


def _missing(module: str, names: Sequence[str], name: str) -> NoReturn:
    message = f"module {module!r} has no attribute {name!r}"
    if not name.startswith("_"):
        message += f"; {_advice(module, names, name)}"
    raise AttributeError(message, name=name)


def _advice(module: str, names: Sequence[str], name: str) -> str:
    use = MODULES[module][name] if name in MODULES[module] else _elsewhere(name)
    if use is None and module == "minigrad" and callable(getattr(np, name, None)):
        use = f"np.{name} on x.detach().numpy(), without a gradient"
    if use is None:
        from difflib import get_close_matches  # seldom needed

        alike = {known.lower(): known for known in names}
        if close := get_close_matches(name.lower(), alike, 1, 0.75):
            return f"did you mean {alike[close[0]]}?"
        use = next((table[name] for table in MODULES.values() if name in table), None)
    if use:
        return f"use {use}"
    if len(names) > LISTED:
        return f"dir({module}) lists what there is"
    return f"it has {', '.join(names)}"


def _elsewhere(name: str) -> str | None:
    """How to write a name that another module or Tensor has; None where none has it."""
    for module in (*MODULES, "minigrad.tools.check"):
        if name in getattr(sys.modules.get(module), "__all__", ()):
            return f"{SHORT.get(module, module.removeprefix('minigrad.'))}.{name}"
    tensor: Any = getattr(sys.modules.get("minigrad.tensor"), "Tensor", None)
    if hasattr(tensor, name):
        return f"x.{name}" + ("()" if callable(getattr(tensor, name)) else "")
    return None


def _by_name(table: dict[str, str]) -> dict[str, str]:
    """Turn {use: "names"} into {name: use}; "{}" in `use` becomes the name without its final _."""
    pairs = [(name, use) for use, names in table.items() for name in names.split()]
    return {name: use.format(name.rstrip("_")) for name, use in pairs}


TENSOR = _by_name(
    {
        "x.reshape(shape)": "view view_as reshape_as unflatten resize",
        "x.reshape(-1)": "flatten ravel flat",
        "x.expand_dims(axis)": "unsqueeze",
        "x.transpose(axes)": "permute",
        "x.T": "t adjoint H",
        "x.swapaxes(-1, -2)": "mT mH",
        "x.swapaxes(axis1, axis2)": "swapdims transpose_",
        "x.moveaxis(source, destination)": "movedim",
        "x.broadcast_to(shape)": "expand expand_as",
        "mg.concatenate([x, x], axis)": "repeat tile",
        "x[np.repeat(np.arange(len(x)), n)]": "repeat_interleave",
        "x.flip(axis)": "fliplr flipud",
        "x.split(sections, axis)": "chunk tensor_split hsplit vsplit split_with_sizes",
        "list(x)": "unbind",
        "an index: x[..., start:stop]": "narrow select unfold",
        "x[indices]": "take index_select",
        "x[mask]": "masked_select compress",
        "x.take_along_axis(indices, axis)": "gather take_along_dim",
        "mg.where(mask, value, x)": "masked_fill masked_fill_ masked_scatter where",
        "x[x != 0]; np.nonzero(x.detach().numpy()) gives the places": "nonzero argwhere",
        "mg.eye(n)[indices], for one-hot rows": "scatter scatter_",
        "mg.eye(n)[indices].T @ x": "index_add index_add_ scatter_add scatter_add_",
        "mg.concatenate([x[-n:], x[:-n]])": "roll",
        "x as it is: max gives the values, argmax the indices": "values indices",
        "x.ndim": "dim ndimension rank",
        "x.numel()": "nelement",
        "x.data.{}": "nbytes itemsize strides",
        "x.data.itemsize": "element_size",
        "x.data.strides, in bytes": "stride",
        "x.data.ctypes.data": "data_ptr",
        "x.data": "storage untyped_storage base flags",
        "x.data.tobytes()": "tobytes",
        "x.device": "get_device is_cpu",
        'x.to("cpu")': "cpu",
        'x.to("gpu")': "cuda xpu mps",
        'x.device == "gpu"': "is_cuda",
        'x.astype("float64")': "double",
        'x.astype("float16")': "half bfloat16",
        'x.astype("int64")': "long",
        'x.astype("int32")': "int",
        'x.astype("int16")': "short",
        'x.astype("uint8")': "byte",
        'x.astype("int8")': "char",
        'x.astype("bool")': "bool",
        "x.astype(dtype)": "type type_as",
        'x.dtype.kind == "f"': "is_floating_point",
        "x as it is: the order in memory does not matter": "contiguous is_contiguous",
        "x as it is": "positive real conj pin_memory share_memory_",
        "x.clone()": "copy",
        "x.tolist()": "to_list",
        "x.numpy()": "array to_numpy asnumpy",
        "x.detach()": "detach_ stop_gradient",
        "mg.grad(y, x), which needs no leaf": "retain_grad",
        "mg.draw(x), which shows the graph": "grad_fn",
        "mg.grad(y, x), and change what it returns": "register_hook",
        "x.requires_grad": "is_leaf",
        "x += y": "add_",
        "x -= y": "sub_ subtract_",
        "x *= y": "mul_ multiply_",
        "x /= y": "div_ divide_",
        "x **= y": "pow_",
        "x += value * y * z": "addcmul_",
        "x += weight * (y - x)": "lerp_",
        "x = x.{}()": (
            "exp_ log_ log1p_ sqrt_ sin_ cos_ tanh_ sigmoid_ abs_ squeeze_ swapaxes_ cumsum_"
        ),
        "x.grad = None for a gradient, else nn.init.zeros_(x)": "zero_",
        "nn.init.constant_(x, value)": "fill_ fill",
        "x.data = y, outside a graph": "copy_ set_",
        "x.data = x.data.clip(min, max), or for a result x = x.clip(min, max)": (
            "clamp_ clamp_min_ clamp_max_ clip_"
        ),
        "x = -x": "neg_ negative_",
        "x = x.reshape(shape)": "unsqueeze_ t_ resize_",
        "x = nn.functional.relu(x)": "relu_",
        "nn.init.{}_(x)": "normal_ uniform_",
        "x + y": "add",
        "x - y": "sub subtract",
        "x * y": "mul multiply",
        "x / y": "div divide true_divide",
        "x ** y": "pow power float_power",
        "-x": "neg negative",
        "x @ y": "mm bmm mv dot inner vdot baddbmm",
        "z + x @ y": "addmm addmv",
        "x.outer(y)": "ger",
        "z + x * y": "addcmul",
        "z + x / y": "addcdiv",
        "x + weight * (y - x)": "lerp",
        "x == y": "eq isclose",
        "x != y": "ne not_equal",
        "x < y": "lt less",
        "x <= y": "le less_equal",
        "x > y": "gt greater",
        "x >= y": "ge greater_equal",
        "(x == y).all()": "equal array_equal",
        "np.allclose(x.detach().numpy(), y.detach().numpy())": "allclose",
        "x & y": "logical_and bitwise_and",
        "x | y": "logical_or bitwise_or",
        "x ^ y": "logical_xor bitwise_xor",
        "~x": "logical_not bitwise_not invert",
        "x.clip(min, max)": "clamp clamp_min clamp_max",
        "x.abs()": "absolute fabs",
        "x * x": "square",
        "1 / x": "reciprocal",
        "1 / x.sqrt()": "rsqrt",
        "x.exp() - 1": "expm1",
        "2 ** x": "exp2",
        "x.log() / np.log(2)": "log2",
        "x.log() / np.log(10)": "log10",
        "x.sin() / x.cos()": "tan",
        "(x.exp() - (-x).exp()) / 2": "sinh",
        "(x.exp() + (-x).exp()) / 2": "cosh",
        "x != x": "isnan",
        "abs(x) == np.inf": "isinf",
        "abs(x) < np.inf": "isfinite",
        "x.max(axis)": "amax",
        "x.min(axis)": "amin",
        "(-x).argmax(axis)": "argmin",
        "x.max(axis) - x.min(axis)": "ptp",
        "(x != 0).sum(axis)": "count_nonzero",
        "x.mean(axis)": "average",
        "x.std(axis), x.mean(axis)": "std_mean",
        "x.min(axis), x.max(axis)": "aminmax",
        "mg.{}(x)": "zeros_like ones_like",
        "mg.logsumexp(mg.stack([x, y]), axis=0)": "logaddexp",
        "mg.norm(x - y)": "dist",
        "(x / (1 - x)).log()": "logit",
        "bool(x)": "is_nonzero",
        "mg.where(x != x, 0.0, x)": "nan_to_num",
        "mg.where(x != x, 0.0, x).sum(axis)": "nansum",
        'mg.einsum("ii->i", x)': "diag diagonal",
        'mg.einsum("ii->", x)': "trace",
        "x * np.{}(np.ones(x.shape, x.dtype))": "tril triu",
        "mg.zeros(shape, dtype=x.dtype)": "new_zeros new_empty",
        "mg.ones(shape, dtype=x.dtype)": "new_ones",
        "mg.full(shape, value, dtype=x.dtype)": "new_full",
        "mg.tensor(data, dtype=x.dtype)": "new_tensor new",
        "nn.functional.{}(x)": "relu softmax log_softmax leaky_relu dropout",
        "np.{}(x.detach().numpy()), without a gradient": (
            "floor ceil round around rint trunc sign argsort sort unique median cumprod partition "
            "acos asin atan arccos arcsin arctan acosh asinh atanh sinc diff rot90 cov "
            "corrcoef quantile percentile searchsorted bincount histogram nanmean nanmedian"
        ),
        "np.linalg.{}(x.detach().numpy()), without a gradient": "inv det slogdet svd qr eig pinv",
        "np.{}(x.detach().numpy(), y.detach().numpy()), without a gradient": (
            "fmod remainder floor_divide hypot copysign arctan2 atan2 kron cross isin"
        ),
        "np.argsort(x.detach().numpy())[-k:], then x[indices]": "topk",
    }
)

MODULE = _by_name(
    {
        'model.to("cpu")': "cpu",
        'model.to("gpu")': "cuda xpu",
        'model.astype("float64")': "double",
        'model.astype("float32")': "float",
        'model.astype("float16")': "half bfloat16",
        "model.astype(dtype)": "type",
        "self.name = nn.Parameter(data)": "register_parameter",
        "self.name = nn.Buffer(data)": "register_buffer",
        "self.name = part, or setattr(self, name, part)": "add_module register_module",
        "a subclass with a forward of its own": "register_forward_hook register_forward_pre_hook",
        "mg.grad": "register_backward_hook register_full_backward_hook",
        "dict(model.named_parameters())[name]": "get_parameter",
        "dict(model.named_modules())[name]": "get_submodule",
        "dict(model.named_buffers())[name]": "get_buffer",
        "model.eval() or model.train(False)": "freeze",
        "mg.save(model.state_dict(), path)": "save save_weights",
        "model.load_state_dict(mg.load(path))": "load load_weights",
        "sum(p.size for p in model.parameters())": "num_parameters count_params",
        "mg.capture(step)": "compile",
    }
)

# "" is for names without a replacement: the message lists what exists, without a similar name
LAYERS = _by_name(
    {
        "x * mg.sigmoid(x)": "SiLU silu Swish swish",
        "mg.maximum(x, 0) + mg.log1p(mg.exp(-abs(x)))": "Softplus softplus",
        "mg.minimum(x, 0) - mg.log1p(mg.exp(-abs(x)))": "LogSigmoid logsigmoid",
        "mg.where(x > 0, x, mg.exp(mg.where(x > 0, 0, x)) - 1)": "ELU elu",
        "x / (1 + abs(x))": "Softsign softsign",
        "x - mg.tanh(x)": "Tanhshrink tanhshrink",
        "x.clip(0, 6)": "ReLU6 relu6",
        "x.clip(-1, 1)": "Hardtanh hardtanh",
        "(x / 6 + 0.5).clip(0, 1)": "Hardsigmoid hardsigmoid",
        "mg.where(x > threshold, x, value)": "Threshold threshold",
        "nn.functional.softmax(-x, dim)": "Softmin softmin",
        "abs(x - target).mean()": "L1Loss l1_loss",
        "mg.norm(x - y, axis=-1)": "PairwiseDistance pairwise_distance",
        "mg.pad": "ZeroPad1d ZeroPad2d ConstantPad1d ConstantPad2d",
        "": "GELU gelu SELU selu CELU celu RReLU rrelu PReLU prelu Bilinear bilinear HuberLoss",
    }
)
MODULES = {
    "minigrad": TENSOR
    | _by_name(
        {
            "mg.concatenate(tensors, axis)": "cat concat hstack vstack column_stack row_stack",
            "mg.stack(tensors, axis)": "dstack",
            "mg.tensor(data)": (
                "array asarray asanyarray as_tensor from_numpy from_dlpack FloatTensor"
            ),
            'mg.tensor(data, dtype="int64")': "LongTensor IntTensor",
            'mg.tensor(data, dtype="bool")': "BoolTensor",
            'mg.tensor(data, dtype="float64")': "DoubleTensor",
            "mg.Tensor": "ndarray",
            "a tuple; x.shape is one": "Size",
            "mg.arange": "range",
            "mg.maximum": "fmax",
            "mg.minimum": "fmin",
            "mg.zeros(shape)": "empty",
            "mg.zeros_like(x)": "empty_like",
            "mg.eye(n)": "identity",
            "mg.tensor(np.{}(start, stop, count))": "linspace logspace",
            "mg.tensor(np.random.default_rng(seed).integers(low, high, shape))": "randint",
            "mg.tensor(np.random.default_rng(seed).permutation(n))": "randperm",
            "mean + std * mg.randn(shape)": "normal",
            "low + (high - low) * mg.rand(shape)": "uniform",
            "mg.rand(shape) < p": "bernoulli",
            "mg.manual_seed(n)": "seed set_seed Generator default_rng",
            "mg.rand, mg.randn and mg.manual_seed": "random",
            'its name as text, dtype="{}"': (
                "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
            ),
            'the text dtype="float32"': "float set_default_dtype get_default_dtype dtype",
            'the text dtype="bool"': "bool bool_",
            'the text dtype="int64"': "int long",
            'the text dtype="float64"': "double",
            'the text dtype="float16"': "half bfloat16",
            'the text "cpu" or "gpu"': "device set_default_device",
            '"gpu", as in x.to("gpu"); python -m minigrad says whether it works': "cuda mps xpu",
            "isinstance(x, mg.Tensor)": "is_tensor",
            "mg.no_grad()": "inference_mode set_grad_enabled stop_gradient",
            "mg.grad": "autograd value_and_grad jacobian hessian func vjp jvp",
            "mg.capture(step)": "jit compile cuda_graph",
            "mg.primitive": "Function custom_vjp custom_gradient",
            "mg.norm, mg.einsum and the like": "linalg",
            "mg.einsum": "tensordot",
            "None": "newaxis",
            "np.{}": "pi e inf nan set_printoptions",
            "it after import minigrad.{}": "data info",
            "minigrad.data, after import minigrad.data": "utils DataLoader TensorDataset",
            "the variable OPENBLAS_NUM_THREADS": "set_num_threads get_num_threads",
            "mg.__version__": "version",
        }
    ),
    "minigrad.nn": LAYERS
    | _by_name(
        {
            "nn.Softmax(dim=1)": "Softmax2d",
            "nn.BatchNorm1d, for (N, C) or (N, C, L)": "BatchNorm2d BatchNorm3d SyncBatchNorm",
            "nn.Dropout": "Dropout1d Dropout2d Dropout3d AlphaDropout",
            "x.reshape(shape)": "Unflatten",
            "nn.ModuleList, or attributes": "ModuleDict",
            "attributes: self.name = nn.Parameter(data)": "ParameterList ParameterDict",
            "nn.Linear(in_features, out_features)": "Dense LazyLinear",
            "nn.Module": "Layer",
            "": "EmbeddingBag",
        }
    ),
    "minigrad.nn.functional": LAYERS
    | _by_name(
        {
            "x / mg.norm(x, axis=-1, keepdims=True)": "normalize",
            "mg.eye(classes)[indices]": "one_hot",
        }
    ),
    "minigrad.nn.init": {},
    "minigrad.nn.utils": {},
    "minigrad.optim": _by_name({"": "Adamax NAdam RAdam Rprop ASGD"}),
    "minigrad.optim.lr_scheduler": {},
}

for _cls, _table in ((TensorHints, TENSOR), (ModuleHints, MODULE)):
    for _name, _use in _table.items():
        setattr(_cls, _name, _Absent(_name, _use))
