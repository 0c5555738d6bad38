"""Functions of all gradients, or all parameters, of a model at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from minigrad.backends import Array, as_array, to_device
from minigrad.backends.arrays import clip_norm, euclidean_norm, zeros
from minigrad.errors import ShapeError
from minigrad.messages import hints
from minigrad.messages.arguments import number
from minigrad.ops.precision import widened
from minigrad.ops.reduce import norm
from minigrad.ops.shape import concatenate, reshape
from minigrad.tensor import Tensor, as_tensor, listed, wrap
from minigrad.versions import note_write, write

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]

hints.explain(__name__, __all__)


def _merged_gradients(parameters: list[Tensor]) -> list[Array]:
    """The gradients of parameters; those side by side in an optimizer's vector are one array."""
    found: list[Array] = []
    vector, first, last = None, 0, 0  # the last array found is vector[first:last]
    for parameter in parameters:
        if parameter._grad is None or not parameter._grad.size:
            continue
        gradient, slot = parameter._grad._data, parameter._slot
        stretch = slot.stretch() if slot is not None and slot.holds(gradient) else None
        if stretch is None:
            vector = None
            found.append(gradient)
        elif stretch[0] is vector and stretch[1] == last:
            last = stretch[2]
            found[-1] = vector[first:last]
        else:
            vector, first, last = stretch
            found.append(vector[first:last])
    return found


def _norm(gradients: list[Array], norm_type: float) -> Array:
    """The norm of all elements of all arrays, taken as one vector; in any memory order."""
    wide = [widened(gradient) for gradient in gradients]
    if norm_type == 2:
        return as_array(euclidean_norm(wide))
    return as_array(norm(np.stack([norm(gradient, norm_type) for gradient in wide]), norm_type))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float | Literal["inf"] = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Shorten the gradients of all parameters together, in place, to the length `max_norm`.

    All of them form one vector g, which becomes `g min(1, max_norm / (|g| + 1e-6))`.

    Args:
        parameters: One parameter or several; those without a gradient are skipped.
        max_norm: The length to which a longer gradient is cut, at least 0.
        norm_type: The order of the norm |g|, any number that `mg.norm` takes; of order 0 it is the
            number of gradients that are not all 0, as in PyTorch.
        error_if_nonfinite: Raise where the norm is nan or infinite, instead of scaling by it.

    Returns:
        |g| before the cut, a Tensor of shape (), in float32 for float16 gradients; 0 where there
        are none. Nothing is read from the GPU to compute it.

    Raises:
        RuntimeError: The norm is not finite and `error_if_nonfinite` is set.
        ValueError: `max_norm` is negative or NaN, or `norm_type` NaN; nothing has been changed.
        TypeError: `max_norm` or `norm_type` is no number; nothing has been changed.

    Source:
        Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural
        networks", algorithm 1.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([3.0, 4.0], requires_grad=True)
        >>> (0.5 * x * x).sum().backward()
        >>> clip_grad_norm_(x, max_norm=1.0).item()
        5.0
        >>> x.grad
        tensor([0.5999999 , 0.79999983])
    """
    order = math.inf if norm_type == "inf" else norm_type
    norm_type = number("clip_grad_norm_: norm_type", order, -math.inf, finite=False)
    max_norm = number("clip_grad_norm_: max_norm", max_norm, 0, finite=False)
    parameters = listed(parameters, "clip_grad_norm_: parameters (as by model.parameters())")
    found = [p._grad._data for p in parameters if p._grad is not None]
    if not any(gradient.size for gradient in found):
        return wrap(zeros(found[0], ()) if found else np.zeros((), np.float32))
    vectors = _merged_gradients(parameters)
    total = _norm(vectors if norm_type == 2 else [x for x in found if x.size], norm_type)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of order {norm_type} is {float(total)}; pass "
            "error_if_nonfinite=False to scale by it anyway"
        )
    for vector in vectors:
        clip_norm(vector, total, max_norm)
    note_write(*vectors)
    return wrap(total)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients, in place, to [-clip_value, clip_value].

    Args:
        parameters: One parameter or several; those without a gradient are skipped.
        clip_value: The largest magnitude, at least 0.

    Raises:
        ValueError: `clip_value` is negative or NaN; nothing has been changed.
        TypeError: `clip_value` is no number; nothing has been changed.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([3.0, -0.1], requires_grad=True)
        >>> (0.5 * x * x).sum().backward()
        >>> clip_grad_value_(x, 1.0)
        >>> x.grad
        tensor([ 1. , -0.1])
    """
    clip_value = number("clip_grad_value_: clip_value", clip_value, 0, finite=False)
    name = "clip_grad_value_: parameters (as by model.parameters())"
    vectors = _merged_gradients(listed(parameters, name))
    for vector in vectors:
        np.clip(vector, -clip_value, clip_value, out=vector)
    if vectors:
        note_write(*vectors)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector; differentiable.

    Args:
        parameters: The parameters.

    Example:
        >>> import minigrad as mg
        >>> parameters_to_vector(mg.nn.Linear(2, 3).parameters()).shape
        (9,)
    """
    name = "parameters_to_vector: parameters"
    return concatenate([reshape(as_tensor(p, name), -1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy a vector's values into parameters, in their order.

    Args:
        vec: As many values as the parameters have.
        parameters: The parameters.

    Raises:
        ShapeError: The vector has more or fewer values.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.Linear(1, 2)
        >>> vector_to_parameters(mg.zeros(4), layer.parameters())
        >>> layer.bias.detach()
        tensor([0., 0.])
    """
    vec = as_tensor(vec, "vector_to_parameters: vec")
    parameters = listed(parameters, "vector_to_parameters: parameters")
    sizes = [p.size for p in parameters]
    if vec.shape != (np.sum(sizes, dtype=int),):
        raise ShapeError(
            f"vector_to_parameters: a vector of shape {vec.shape} for parameters with "
            f"{np.sum(sizes, dtype=int)} values"
        )
    start = 0
    for parameter, size in zip(parameters, sizes, strict=True):
        part = to_device(vec._data[start : start + size], parameter.device)
        write(parameter._data, part.reshape(parameter.shape))
        start += size
