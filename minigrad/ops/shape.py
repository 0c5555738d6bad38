"""Operations that move elements and compute nothing: shapes, joins, parts, indexing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from minigrad.backends import Array, array_module, device_of
from minigrad.backends import arrays as backend_arrays
from minigrad.errors import DTypeError, ShapeError
from minigrad.ops.elementwise import of_numbers
from minigrad.primitive import as_operand, primitive, sequence_primitive
from minigrad.tensor import Tensor, array_of, as_tensor, can_hold


@primitive(x=lambda g: g)
def copied(x: Array) -> Array:
    """The same values in memory of their own: see `clone`."""
    return np.copy(x)


@primitive(x=lambda g, x_shape: reshape(g, x_shape))
def reshape(x: Array, shape: Any) -> Array:
    """The same elements, in row-major order, in another shape.

    Args:
        x: Any shape.
        shape: The new shape; one entry may be -1 and is then worked out.

    Example:
        >>> import minigrad as mg
        >>> mg.reshape(mg.arange(6), (2, -1)).shape
        (2, 3)
    """
    return np.reshape(x, shape)


def _inverse(axes: Sequence[int] | None) -> Sequence[int] | None:
    return None if axes is None else [int(i) for i in np.argsort([a % len(axes) for a in axes])]


@primitive(x=lambda g, axes: transpose(g, _inverse(axes)))
def transpose(x: Array, *, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order; reversed where none is given.

    Args:
        x: Any shape.
        axes: For each axis of the result, its number in x; None to reverse all axes.

    Example:
        >>> import minigrad as mg
        >>> mg.transpose(mg.zeros(2, 3, 4), (0, 2, 1)).shape
        (2, 4, 3)
    """
    return np.transpose(x, axes)


@primitive(x=lambda g, axis1, axis2: swapaxes(g, axis1, axis2))
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Two axes exchanged.

    Args:
        x: Any shape.
        axis1: One of the two.
        axis2: The other.

    Example:
        >>> import minigrad as mg
        >>> mg.swapaxes(mg.zeros(2, 3, 4), 0, -1).shape
        (4, 3, 2)
    """
    return np.swapaxes(x, axis1, axis2)


@primitive(x=lambda g, source, destination: moveaxis(g, destination, source))
def moveaxis(x: Array, source: Any, destination: Any) -> Array:
    """Axes moved to other places; the others keep their order.

    Args:
        x: Any shape.
        source: The axis to move, or several.
        destination: The axis' place in the result, or one place for each.

    Example:
        >>> import minigrad as mg
        >>> mg.moveaxis(mg.zeros(2, 3, 4), 0, -1).shape
        (3, 4, 2)
    """
    return np.moveaxis(x, source, destination)


@primitive(x=lambda g: g)  # the engine sums over what was repeated
def broadcast_to(x: Array, shape: Any) -> Array:
    """Repeated along axes of size 1, and along new axes in front, to a larger shape.

    Args:
        x: Any shape.
        shape: The larger shape.

    Raises:
        ShapeError: x does not broadcast to it.

    Example:
        >>> import minigrad as mg
        >>> mg.broadcast_to(mg.tensor([1.0, 2.0]), (2, 2))
        tensor([[1., 2.],
                [1., 2.]])
    """
    return np.broadcast_to(x, shape)


@primitive(x=lambda g, x_shape: reshape(g, x_shape))
def expand_dims(x: Array, axis: Any) -> Array:
    """With a new axis of size 1 at each place of `axis`.

    Args:
        x: Any shape.
        axis: The place of the new axis in the result, or several places.

    Example:
        >>> import minigrad as mg
        >>> mg.expand_dims(mg.zeros(2, 3), 1).shape
        (2, 1, 3)
    """
    return np.expand_dims(x, axis)


@primitive(x=lambda g, x_shape: reshape(g, x_shape))
def squeeze(x: Array, *, axis: Any = None) -> Array:
    """Without axes of size 1: all of them, or the ones that `axis` names.

    Args:
        x: Any shape.
        axis: The axes to leave out; None for all of size 1.

    Raises:
        ShapeError: An axis has another size than 1.

    Example:
        >>> import minigrad as mg
        >>> mg.squeeze(mg.zeros(2, 1, 3)).shape
        (2, 3)
    """
    return np.squeeze(x, axis)


@primitive(x=lambda g, axis: flip(g, axis))
def flip(x: Array, *, axis: Any = None) -> Array:
    """In reverse order along one axis, several, or all.

    Args:
        x: Any shape.
        axis: The axes along which to reverse; None for all.

    Example:
        >>> import minigrad as mg
        >>> mg.flip(mg.arange(3))
        tensor([2, 1, 0])
    """
    return np.flip(x, axis)


def _cut(g: Any, arrays_shape: Sequence[tuple[int, ...]], axis: int | None) -> Any:
    """The gradient of a concatenation, cut where the arrays meet."""
    if axis is None:
        parts = _cut(g, [(math.prod(shape),) for shape in arrays_shape], 0)
        return [reshape(part, shape) for part, shape in zip(parts, arrays_shape, strict=True)]
    *places, _ = itertools.accumulate(shape[axis] for shape in arrays_shape)
    return split(g, places, axis=axis)


@sequence_primitive(arrays=_cut)
def concatenate(arrays: Sequence[Array], *, axis: int | None = 0) -> Array:
    """Arrays joined along an existing axis (as flat arrays for None); the gradient is split again.

    Args:
        arrays: Arrays whose shapes differ at most along `axis`.
        axis: The axis to join along; None to join flat arrays.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> import minigrad as mg
        >>> mg.concatenate([mg.ones(2, 3), mg.zeros(2, 1)], axis=1).shape
        (2, 4)
    """
    return of_numbers(backend_arrays.concatenate(list(arrays), axis))


def _unstack(g: Any, axis: int) -> list[Any]:
    return [getitem(moveaxis(g, axis, 0), i) for i in range(g.shape[axis])]


@sequence_primitive(arrays=_unstack)
def stack(arrays: Sequence[Array], *, axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    Args:
        arrays: Arrays of one shape.
        axis: The place of the new axis in the result.

    Raises:
        ShapeError: The shapes differ.

    Example:
        >>> import minigrad as mg
        >>> mg.stack([mg.zeros(2), mg.ones(2)], axis=1)
        tensor([[0., 1.],
                [0., 1.]])
    """
    return of_numbers(backend_arrays.stack(list(arrays), axis))


def _join(g: Any, x_shape: tuple[int, ...], sections: Any, axis: int) -> Any:
    """The gradients of the parts, joined; zeros for a part without a gradient."""
    axis %= len(x_shape)
    n = x_shape[axis]
    if isinstance(sections, Integral):
        sizes = [n // int(sections)] * int(sections)
    else:
        bounds = [slice(c).indices(n)[1] for c in sections]
        starts, stops = [0, *bounds], [*bounds, n]
        sizes = [max(stop - start, 0) for start, stop in zip(starts, stops, strict=True)]
    known = next(part for part in g if part is not None)
    filled = []
    for part, size in zip(g, sizes, strict=True):
        shape = (*x_shape[:axis], size, *x_shape[axis + 1 :])
        filled.append(zeros_of(known, shape) if part is None else part)
    return concatenate(filled, axis=axis)


@primitive(x=_join)
def split(x: Array, sections: Any, *, axis: int = 0) -> tuple[Array, ...]:
    """Parts along an axis, as `numpy.split`.

    Args:
        x: At least one axis.
        sections: The number of equal parts, or the places of the cuts.
        axis: The axis to cut.

    Returns:
        A tuple of Tensors.

    Raises:
        ShapeError: The axis cannot be cut into that many equal parts.

    Example:
        >>> import minigrad as mg
        >>> [part.shape for part in mg.split(mg.zeros(2, 8), 4, axis=1)]
        [(2, 2), (2, 2), (2, 2), (2, 2)]
    """
    return tuple(np.split(x, sections, axis))


@primitive()
def zeros_of(like: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape, with the dtype and on the device of `like`."""
    return backend_arrays.zeros(like, shape)


@primitive(x=lambda g, x_shape, pad_width: getitem(g, _inner(x_shape, pad_width)))
def pad(x: Array, pad_width: Any, *, constant_values: float = 0.0) -> Array:
    """With a border of one value: `pad_width` is n, (before, after), or a pair for each axis.

    Args:
        x: Any shape.
        pad_width: How many elements to add: n, (before, after), or a pair for each axis.
        constant_values: Their value.

    Raises:
        TypeError: The value is no number, or x's integers cannot hold it.

    Example:
        >>> import minigrad as mg
        >>> mg.pad(mg.ones(2), (1, 2))
        tensor([0., 1., 1., 0., 0.])
    """
    if x.dtype.kind != "f" or type(constant_values) is not float:
        values = of_numbers(np.asarray(constant_values))
        if x.dtype.kind in "iu" and not can_hold(x.dtype, values):
            raise TypeError(f"{x.dtype} cannot hold constant_values={constant_values}")
    return np.pad(x, pad_width, constant_values=constant_values)


def _inner(shape: tuple[int, ...], pad_width: Any) -> tuple[slice, ...]:
    pairs = np.broadcast_to(pad_width, (len(shape), 2))
    return tuple(slice(int(a), int(a) + n) for n, (a, _) in zip(shape, pairs, strict=True))


@primitive(x=lambda g, x_shape, index: scatter(g, index, x_shape))
def getitem(x: Array, index: Any) -> Array:
    """The elements at an index: integers, slices, None, Ellipsis, index and boolean arrays."""
    return x[index]


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, int | np.integer | slice)
        for part in parts
    )


@primitive(x=lambda g, index: getitem(g, index))
def scatter(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros with `x` added at an index: the reverse of getitem. Repeated places add up."""
    if _is_basic(index):
        y = backend_arrays.zeros(x, shape)
        y[index] = x
        return y
    wide = np.float32 if x.dtype.char == "e" else x.dtype
    y = backend_arrays.zeros(x, shape, wide)
    array_module(device_of(y)).add.at(y, index, x)
    return y.astype(x.dtype, copy=False)


def _places(indices: Any, x_shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """The full index that `take_along_axis` stands for."""
    arange = array_module(device_of(indices)).arange
    places = []
    for i, n in enumerate(x_shape):
        shape = [1] * len(x_shape)
        shape[i] = n
        places.append(indices if i == axis else arange(n).reshape(shape))
    return tuple(places)


def take_along_axis(x: Any, indices: Any, axis: int | None) -> Tensor:
    """The values that `indices` picks along an axis, one index array for all other axes.

    Args:
        x: Any shape.
        indices: Integers, of x's rank (or 1-D with `axis=None`); may broadcast against x.
        axis: The axis to pick along; None for x as a flat array.

    Raises:
        ShapeError: `indices` does not have x's rank, or x has no such axis.
        DTypeError: The indices are no integers.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> mg.take_along_axis(x, mg.tensor([[1], [0]]), axis=1)
        tensor([[2.],
                [3.]])
    """
    x = as_operand(x, "take_along_axis: x")
    if isinstance(indices, Tensor):
        x = as_tensor(x, "take_along_axis: x")
    if axis is None:
        x, axis = reshape(x, -1), 0
    [axis] = checked_axes("take_along_axis", len(x.shape), axis)
    indices = array_of(as_operand(indices, "take_along_axis: indices"))
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"take_along_axis: indices must be integers, got {indices.dtype}")
    if indices.ndim != len(x.shape):
        raise ShapeError(f"take_along_axis: indices {indices.shape} for an input {x.shape}")
    return getitem(x, _places(indices, x.shape, axis))


def index_of(index: Any) -> Any:
    """An index with raw arrays in place of Tensors and lists."""
    if isinstance(index, tuple):
        return tuple(index_of(part) for part in index)
    return np.asarray(index) if isinstance(index, list) and index else array_of(index)


def shape_of(shape: tuple[Any, ...]) -> Any:
    """Both spellings of a shape, `f(2, 3)` and `f((2, 3))`, as one."""
    return shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape


def axes_of(shape: tuple[int, ...], axis: Any) -> list[int]:
    """Axes counted from the front: one, several, or all of them where `axis` is None."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple | list) else [axis]
    return [int(i) % len(shape) for i in axes] if shape else []


def checked_axes(operation: str, ndim: int, axis: Any) -> tuple[int, ...]:
    """Axes counted from the front, as `axes_of`; raise ShapeError for an axis out of range."""
    try:
        return np.lib.array_utils.normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)
    except ValueError as error:
        raise ShapeError(f"{operation}: {error}") from None
    except TypeError as error:
        raise DTypeError(f"{operation}: axis: {error}") from None


def size_of(shape: tuple[int, ...], axis: Any) -> int:
    """The number of elements along axes: all of them where `axis` is None."""
    return math.prod(shape[i] for i in axes_of(shape, axis))
