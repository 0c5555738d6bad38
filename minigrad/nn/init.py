"""Initial values: each function fills a Tensor or an array in place, outside any graph.

It returns its argument, so `init.normal_(layer.weight.data, std=0.02)` works as well.

The weights of a layer have the shape (fan_out, fan_in, ...): how many outputs a unit feeds, and how
many inputs it sums. The product of further axes is a factor of both.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from minigrad.backends import Array, device_of, to_device
from minigrad.errors import DTypeError, ShapeError
from minigrad.messages import hints
from minigrad.messages.arguments import check_changeable
from minigrad.observers import thread
from minigrad.ops.random import generator
from minigrad.tensor import Operand, as_tensor, can_hold
from minigrad.versions import write

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

hints.explain(__name__, __all__)

FanMode: TypeAlias = Literal["fan_in", "fan_out"]
T = TypeVar("T", bound=Operand)


def _array(name: str, tensor: Operand, floating: bool = True) -> Array:
    """The array to fill; raise if it cannot hold the values, or cannot be changed."""
    if isinstance(tensor, np.generic):
        raise TypeError(f"{name}: a NumPy scalar cannot be changed in place; pass an array")
    array = as_tensor(tensor, f"{name}: tensor")._data
    check_changeable(name, array, floating)
    return array


def _fill(array: Array, values: Any) -> None:
    thread.observer.refuse("nn.init makes values on the host; call it outside")
    write(array, to_device(np.asarray(values, dtype=array.dtype), device_of(array)))


def _drawn(name: str, tensor: T, draw: Any, **options: Any) -> T:
    """Fill a Tensor by a method of the generator, which is called with these options."""
    array = _array(name, tensor)
    try:
        values = draw(*options.values(), array.shape)
    except (TypeError, ValueError, OverflowError) as error:
        given = ", ".join(f"{option}={value!r}" for option, value in options.items())
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: cannot draw with {given} ({error})") from None
    _fill(array, values)
    return tensor


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0) -> T:
    """Draw uniformly from [a, b).

    Args:
        tensor: Any shape.
        a: Lower bound.
        b: Upper bound.

    Example:
        >>> import minigrad as mg
        >>> bool(uniform_(mg.zeros(100), -1, 1).abs().max() <= 1)
        True
    """
    return _drawn("uniform_", tensor, generator().uniform, a=a, b=b)


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0) -> T:
    """Draw from the normal distribution.

    Args:
        tensor: Any shape.
        mean: The mean of the distribution.
        std: The standard deviation of the distribution.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> round(normal_(mg.zeros(10000), mean=3.0).mean().item(), 1)
        3.0
    """
    return _drawn("normal_", tensor, generator().normal, mean=mean, std=std)


def constant_(tensor: T, val: float) -> T:
    """Set every element to `val`.

    Args:
        tensor: Any shape; it is changed.
        val: The value, which the dtype must be able to hold.

    Returns:
        The same Tensor or array.

    Raises:
        DTypeError: The Tensor holds integers, and its dtype cannot hold the value.

    Example:
        >>> import minigrad as mg
        >>> constant_(mg.zeros(2), 0.5)
        tensor([0.5, 0.5])
    """
    return _set("constant_", tensor, val)


def _set(name: str, tensor: T, val: Any) -> T:
    array, values = _array(name, tensor, floating=False), np.asarray(val)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name}: val must be a number, got {val!r}")
    if not can_hold(array.dtype, values):
        raise DTypeError(f"{name}: a Tensor of {array.dtype} cannot hold {val}")
    _fill(array, np.broadcast_to(values, array.shape))
    return tensor


def zeros_(tensor: T) -> T:
    """Set every element to 0.

    Args:
        tensor: Any shape; it is changed.

    Returns:
        The same Tensor or array.

    Example:
        >>> import minigrad as mg
        >>> zeros_(mg.ones(2))
        tensor([0., 0.])
    """
    return _set("zeros_", tensor, 0)


def ones_(tensor: T) -> T:
    """Set every element to 1.

    Args:
        tensor: Any shape; it is changed.

    Returns:
        The same Tensor or array.

    Example:
        >>> import minigrad as mg
        >>> ones_(mg.zeros(2))
        tensor([1., 1.])
    """
    return _set("ones_", tensor, 1)


def eye_(tensor: T) -> T:
    """Set a matrix to the identity, as far as its shape allows.

    Args:
        tensor: (n, m); it is changed.

    Returns:
        The same Tensor or array.

    Raises:
        ShapeError: The Tensor is not a matrix.

    Example:
        >>> import minigrad as mg
        >>> eye_(mg.zeros(1, 2))
        tensor([[1., 0.]])
    """
    array = _array("eye_", tensor, floating=False)
    if array.ndim != 2:
        raise ShapeError(f"eye_: expected a matrix, got shape {array.shape}")
    _fill(array, np.eye(*array.shape))
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which to scale weights for a nonlinearity, with PyTorch's numbers.

    A rectifier makes the mean square of its input smaller; its gain makes up for that.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: The negative slope of "leaky_relu", 0.01 by default.

    Raises:
        ValueError: The nonlinearity is unknown.

    Source:
        He et al. 2015, "Delving deep into rectifiers", eq. 10 and 15, for the rectifiers.

    Example:
        >>> calculate_gain("leaky_relu", 1.0)
        1.0
    """
    slope = 0.01 if param is None else param
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope**2)),
        "selu": 3 / 4,
    }
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: nonlinearity {nonlinearity!r}; expected one of {', '.join(gains)}"
        )
    return gains[nonlinearity]


def _fans(tensor: Operand, name: str) -> tuple[int, int]:
    """The number of inputs and of outputs of a unit."""
    shape = _array(name, tensor).shape
    if len(shape) < 2:
        raise ShapeError(
            f"{name}: needs the weights of a layer, at least 2 axes (fan_out, fan_in), got shape "
            f"{shape}; use uniform_, normal_ or zeros_ for vectors"
        )
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area


def _both_fans(tensor: Operand, name: str) -> int:
    return sum(_fans(tensor, name)) or 1  # 0: nothing to fill


def xavier_uniform_(tensor: T, gain: float = 1.0) -> T:
    """Draw uniformly from +-gain sqrt(6 / (fan_in + fan_out)).

    Args:
        tensor: (fan_out, fan_in, ...).
        gain: A factor, see `calculate_gain`.

    Raises:
        ShapeError: Fewer than 2 axes.

    Source:
        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural
        networks", eq. 16.

    Example:
        >>> import minigrad as mg
        >>> bool(abs(xavier_uniform_(mg.zeros(3, 3)).numpy()).max() <= 1)
        True
    """
    bound = gain * math.sqrt(6 / _both_fans(tensor, "xavier_uniform_"))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: T, gain: float = 1.0) -> T:
    """Draw from the normal distribution with the variance gain^2 2 / (fan_in + fan_out).

    Args:
        tensor: (fan_out, fan_in, ...).
        gain: A factor, see `calculate_gain`.

    Raises:
        ShapeError: Fewer than 2 axes.

    Source:
        Glorot and Bengio 2010, eq. 12.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> round(xavier_normal_(mg.zeros(100, 100)).std().item(), 2)
        0.1
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / _both_fans(tensor, "xavier_normal_")))


def _kaiming_std(tensor: Operand, a: float, mode: FanMode, nonlinearity: str, name: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode {mode!r}; expected 'fan_in' or 'fan_out'")
    fan_in, fan_out = _fans(tensor, name)
    fan = fan_in if mode == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0  # 0: nothing to fill


def kaiming_uniform_(
    tensor: T, a: float = 0.0, mode: FanMode = "fan_in", nonlinearity: str = "leaky_relu"
) -> T:
    """Draw uniformly from +-gain sqrt(3 / fan), with the gain of the nonlinearity.

    Args:
        tensor: (fan_out, fan_in, ...).
        a: The negative slope of "leaky_relu".
        mode: "fan_in" keeps the size of the values forward, "fan_out" of the gradients backward.
        nonlinearity: The one after the layer, see `calculate_gain`.

    Raises:
        ShapeError: Fewer than 2 axes.
        ValueError: `mode` or `nonlinearity` is unknown.

    Source:
        He et al. 2015, "Delving deep into rectifiers", eq. 10 and 14.

    Example:
        >>> import minigrad as mg
        >>> bound = 6**0.5 / 3**0.5
        >>> bool(kaiming_uniform_(mg.zeros(100, 3)).abs().max() <= bound)
        True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: T, a: float = 0.0, mode: FanMode = "fan_in", nonlinearity: str = "leaky_relu"
) -> T:
    """Draw from the normal distribution with the standard deviation gain / sqrt(fan).

    Args:
        tensor: (fan_out, fan_in, ...).
        a: The negative slope of "leaky_relu".
        mode: "fan_in" keeps the size of the values forward, "fan_out" of the gradients backward.
        nonlinearity: The one after the layer, see `calculate_gain`.

    Raises:
        ShapeError: Fewer than 2 axes.
        ValueError: `mode` or `nonlinearity` is unknown.

    Source:
        He et al. 2015, eq. 10 and 14.

    Example:
        >>> import minigrad as mg
        >>> mg.manual_seed(0)
        >>> round(kaiming_normal_(mg.zeros(100, 200)).std().item(), 2)
        0.1
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"))


def orthogonal_(tensor: T, gain: float = 1.0) -> T:
    """Draw a matrix whose rows or columns, whichever are fewer, are orthogonal and of length gain.

    Args:
        tensor: (rows, ...); the axes after the first are taken as one.
        gain: A factor, see `calculate_gain`.

    Raises:
        ShapeError: Fewer than 2 axes.

    Source:
        Saxe, McClelland and Ganguli 2013, "Exact solutions to the nonlinear dynamics of learning
        in deep linear neural networks".

    Example:
        >>> import minigrad as mg
        >>> q = orthogonal_(mg.zeros(2, 3, dtype="float64"))
        >>> bool(((q @ q.T - mg.eye(2)).abs() < 1e-12).sum() == 4)
        True
    """
    _fans(tensor, "orthogonal_")
    array = _array("orthogonal_", tensor)
    rows, columns = array.shape[0], math.prod(array.shape[1:])
    tall = generator().standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diagonal(r))  # without this q is not uniformly distributed
    _fill(array, gain * (q if rows >= columns else q.T).reshape(array.shape))
    return tensor
