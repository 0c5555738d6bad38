"""Level 0: what a user of PyTorch or NumPy types first, and what to write here instead.

>>> import minigrad as mg
>>> mg.cat
Traceback (most recent call last):
AttributeError: module 'minigrad' has no attribute 'cat'; use mg.concatenate(tensors, axis)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

__all__ = ["Missing", "ModuleHints", "TensorHints"]


def _by_name(table: dict[str, str]) -> dict[str, str]:
    """{what to use: "names"} as {name: what to use}; {} there stands for the name."""
    return {name: use.format(name) for use, names in table.items() for name in names.split()}


TENSOR = _by_name(
    {
        "x.reshape(shape)": "view view_as reshape_as unflatten resize",
        "x.reshape(-1)": "flatten ravel",
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
        "x.split(sections, axis)": "chunk tensor_split hsplit vsplit",
        "list(x)": "unbind",
        "an index: x[..., start:stop]": "narrow select unfold",
        "x[indices]": "take index_select",
        "x[mask]": "masked_select compress",
        "x.take_along_axis(indices, axis)": "gather",
        "mg.where(mask, value, x)": "masked_fill masked_fill_ masked_scatter where",
        "x[x != 0]; np.nonzero(x.detach().numpy()) gives the places": "nonzero argwhere",
        "x.ndim": "dim ndimension rank",
        "x.numel()": "nelement",
        "x.data.{}": "nbytes itemsize strides",
        "x.data.itemsize": "element_size",
        "x.data.strides, in bytes": "stride",
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
        "x.clone()": "copy",
        "x.tolist()": "to_list",
        "x.numpy()": "array to_numpy asnumpy",
        "x.detach()": "detach_ stop_gradient",
        "mg.grad(y, x), which needs no leaf": "retain_grad",
        "mg.draw(x), which shows the graph": "grad_fn",
        "mg.grad(y, x) and change what it returns": "register_hook",
        "x.requires_grad": "is_leaf",
        "x = x + y": "add_",
        "x = x - y": "sub_ subtract_",
        "x = x * y": "mul_ multiply_",
        "x = x / y": "div_ divide_",
        "x = x ** y": "pow_",
        "x = x.{} without the underscore: no Tensor changes in place": (
            "exp_ log_ sqrt_ tanh_ sigmoid_ abs_ neg_ relu_ squeeze_ unsqueeze_ t_ clip_ clamp_"
        ),
        "x.grad = None for a gradient, else x = mg.zeros_like(x)": "zero_",
        "x = mg.full_like(x, value)": "fill_ fill",
        "x.data = y, outside a graph": "copy_ set_",
        "nn.init.{}(x)": "normal_ uniform_",
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
        "mg.where(x != x, 0.0, x)": "nan_to_num",
        "mg.where(x != x, 0.0, x).sum(axis)": "nansum",
        'mg.einsum("ii->i", x)': "diag diagonal",
        'mg.einsum("ii->", x)': "trace",
        "x * np.{}(np.ones(x.shape, x.dtype))": "tril triu",
        "mg.{}_like(x)": "new_zeros new_ones new_full",
        "mg.tensor(data, dtype=x.dtype)": "new_tensor new",
        "nn.functional.{}(x)": "relu softmax log_softmax leaky_relu dropout",
        "np.{}(x.detach().numpy()), without a gradient": (
            "floor ceil round trunc sign argsort sort unique median cumprod partition argpartition"
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

# "" stands for what has nothing in its place: the message then lists what there is
MODULES = {
    "minigrad": TENSOR
    | _by_name(
        {
            "mg.concatenate(tensors, axis)": "cat concat hstack vstack column_stack row_stack",
            "mg.stack(tensors, axis)": "dstack",
            "mg.tensor(data)": (
                "array asarray as_tensor from_numpy from_dlpack scalar_tensor tensor_of "
                "FloatTensor asanyarray"
            ),
            'mg.tensor(data, dtype="int64")': "LongTensor IntTensor",
            'mg.tensor(data, dtype="bool")': "BoolTensor",
            'mg.tensor(data, dtype="float64")': "DoubleTensor",
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
            "mg.check.gradcheck": "gradcheck testing",
            "mg.norm, mg.einsum and the like": "linalg",
            'mg.einsum("ij,ij->i", x, y) and the like': "tensordot kron cross",
            "None": "newaxis",
            "np.{}": "pi e inf nan set_printoptions",
            "minigrad.{0}, after import minigrad.{0}": "data info",
            "minigrad.data": "utils DataLoader TensorDataset",
            "the variable OPENBLAS_NUM_THREADS": "set_num_threads get_num_threads",
            "mg.__version__": "version",
            "mg.save": "savez",
            "optim.lr_scheduler": "lr_scheduler",
            "": "fft sparse distributions special hub onnx vmap distributed meshgrid roll",
        }
    ),
    "minigrad.nn": _by_name(
        {
            "x * mg.sigmoid(x)": "SiLU Swish",
            "mg.log1p(mg.exp(x))": "Softplus",
            "-mg.log1p(mg.exp(-x))": "LogSigmoid",
            "mg.where(x > 0, x, mg.exp(x) - 1)": "ELU",
            "x / (1 + abs(x))": "Softsign",
            "x.clip(0, 6)": "ReLU6",
            "x.clip(-1, 1)": "Hardtanh",
            "nn.Softmax(axis) of -x": "Softmin",
            "nn.Softmax(dim=1)": "Softmax2d",
            "abs(x - target).mean()": "L1Loss",
            "nn.BatchNorm1d, for (N, C) or (N, C, L)": "BatchNorm2d BatchNorm3d SyncBatchNorm",
            "nn.Dropout": "Dropout1d Dropout2d Dropout3d AlphaDropout",
            "x.reshape(shape)": "Unflatten",
            "nn.ModuleList, or attributes": "ModuleDict",
            "attributes: self.name = nn.Parameter(data)": "ParameterList ParameterDict",
            "nn.Linear(in_features, out_features)": "Dense LazyLinear",
            "nn.NLLLoss": "NLLLoss2d",
            "nn.Module": "Layer",
            "": (
                "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d MaxPool1d MaxPool2d "
                "AvgPool2d AdaptiveAvgPool2d Upsample PixelShuffle Transformer MultiheadAttention "
                "TransformerEncoderLayer TransformerEncoder GELU SELU CELU GLU Mish PReLU "
                "Hardswish KLDivLoss HuberLoss SmoothL1Loss HingeEmbeddingLoss CTCLoss "
                "GroupNorm RMSNorm InstanceNorm1d InstanceNorm2d Bilinear EmbeddingBag DataParallel"
            ),
        }
    ),
    "minigrad.nn.functional": _by_name(
        {
            "x * mg.sigmoid(x)": "silu swish",
            "mg.log1p(mg.exp(x))": "softplus",
            "-mg.log1p(mg.exp(-x))": "logsigmoid",
            "mg.where(x > 0, x, mg.exp(x) - 1)": "elu",
            "x / (1 + abs(x))": "softsign",
            "x.clip(0, 6)": "relu6",
            "x.clip(-1, 1)": "hardtanh",
            "nn.functional.softmax(-x, dim)": "softmin",
            "abs(x - target).mean()": "l1_loss",
            "x / mg.norm(x, axis=-1, keepdims=True)": "normalize",
            "mg.eye(classes)[indices]": "one_hot",
            "mg.pad": "zero_pad",
            "": (
                "conv1d conv2d conv_transpose2d max_pool2d avg_pool2d interpolate gelu selu celu "
                "glu mish prelu hardswish huber_loss smooth_l1_loss kl_div ctc_loss group_norm "
                "instance_norm rms_norm scaled_dot_product_attention gumbel_softmax"
            ),
        }
    ),
    "minigrad.nn.init": {},
    "minigrad.nn.utils": {},
    "minigrad.optim": _by_name({"": "Adagrad Adadelta Adamax NAdam RAdam LBFGS Rprop ASGD Lion"}),
    "minigrad.optim.lr_scheduler": {},
}
SHORT = {"minigrad": "mg", "minigrad.check": "mg.check"}
LISTED = 40  # a module of no more names is told by all of them


class _Absent:
    """An attribute that is not there; asking for it says what to use."""

    def __init__(self, name: str, use: str) -> None:
        self.name, self.use = name, use

    def __get__(self, instance: object, owner: type) -> NoReturn:
        message = f"{owner.__name__!r} object has no attribute {self.name!r}; use {self.use}"
        raise AttributeError(message, name=self.name)  # with `obj` Python would guess besides

    def __repr__(self) -> str:
        return f"not there: use {self.use}"


class _Hints:
    """The base of a class with hints: what is absent stays out of `dir`.

    A `__getattr__` would do for every name, but Python 3.11 reads all attributes of a class that
    has one more slowly: a tenth of an operation.
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
    """What Tensor says of PyTorch's and NumPy's methods that it has under another name."""

    __slots__ = ()


class ModuleHints(_Hints):
    """The same of nn.Module."""

    __slots__ = ()


for _cls, _table in ((TensorHints, TENSOR), (ModuleHints, MODULE)):
    for _name, _use in _table.items():
        setattr(_cls, _name, _Absent(_name, _use))


class Missing:
    """A module's `__getattr__`: for a name that the module lacks it says what to use.

    Args:
        module: The module's `__name__`.
        names: The names that it has, `__all__`.

    Example:
        >>> from minigrad import nn
        >>> nn.relu
        Traceback (most recent call last):
        AttributeError: module 'minigrad.nn' has no attribute 'relu'; use nn.functional.relu
    """

    def __init__(self, module: str, names: Sequence[str]) -> None:
        self.module = module
        self.names = names

    def __call__(self, name: str) -> NoReturn:
        """Raise the AttributeError for a name."""
        message = f"module {self.module!r} has no attribute {name!r}"
        if not name.startswith("_"):
            message += self._advice(name)
        raise AttributeError(message, name=name)

    def _advice(self, name: str) -> str:
        use = MODULES[self.module].get(name)
        if use is None:
            use = _elsewhere(name)
        if use:
            return f"; use {use}"
        from difflib import get_close_matches

        alike = {known.lower(): known for known in self.names}
        close = get_close_matches(name.lower(), alike, 1, 0.75) if use is None else []
        if close:
            return f"; did you mean {alike[close[0]]}?"
        return f"; it has {', '.join(self.names)}" if len(self.names) <= LISTED else ""


def _elsewhere(name: str) -> str | None:
    """Where another module, or Tensor, has the name."""
    for module in (*MODULES, "minigrad.check"):
        if name in getattr(sys.modules.get(module), "__all__", ()):
            return f"{SHORT.get(module, module.removeprefix('minigrad.'))}.{name}"
    tensor: Any = getattr(sys.modules.get("minigrad.tensor"), "Tensor", None)
    if hasattr(tensor, name):
        return f"x.{name}" + ("()" if callable(getattr(tensor, name)) else "")
    return None
