"""Samples of minigrad/ops/shape.py."""

from typing import Any

import numpy as np

from minigrad.ops import shape as ops
from minigrad.ops.creation import clone
from samples.base import F, integers, mask, normal, sample, torch


def torch_index(index: Any) -> Any:
    """An index as torch takes it; it has no negative steps."""
    if isinstance(index, tuple):
        return tuple(torch_index(part) for part in index)
    return torch.tensor(index) if isinstance(index, np.ndarray) else index


def torch_getitem(x: Any, index: Any) -> Any:
    if index == slice(None, None, -1):
        return torch.flip(x, (0,))
    return x[torch_index(index)]


def torch_scatter(x: Any, index: Any, shape: Any) -> Any:
    places = torch.arange(int(np.prod(shape))).reshape(shape)[torch_index(index)].reshape(-1)
    zeros = torch.zeros(int(np.prod(shape)), dtype=x.dtype)
    return zeros.index_add(0, places, x.reshape(-1)).reshape(shape)


def torch_split(x: Any, sections: Any, axis: int) -> Any:
    places = np.split(np.arange(x.shape[axis]), sections)
    return [x.index_select(axis, torch.as_tensor(place)) for place in places]


def torch_flip(x: Any, axis: Any) -> Any:
    return torch.flip(x, tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis)))


def torch_pad(x: Any, pad_width: Any, constant_values: float = 0.0) -> Any:
    pairs = np.broadcast_to(pad_width, (x.ndim, 2))
    return F.pad(x, [int(n) for pair in pairs[::-1] for n in pair], value=constant_values)


SAMPLES = [
    sample(
        ops.reshape,
        normal(*size),
        to,
        torch=lambda x, to: torch.reshape(x, to if isinstance(to, tuple) else (to,)),
    )
    for size, to in [((3, 4), (2, 6)), ((3, 4), (-1,)), ((), (1, 1)), ((2, 0), (0, 5)), ((6,), -1)]
]
SAMPLES += [
    sample(clone, normal(*size), torch=lambda x: torch.clone(x)) for size in [(3, 4), (), (0, 2)]
]
SAMPLES += [
    sample(
        ops.transpose,
        normal(*size),
        torch=lambda x, axes: x.permute(tuple(range(x.ndim))[::-1] if axes is None else axes),
        axes=axes,
    )
    for size, axes in [
        ((2, 3, 4), None),
        ((2, 3, 4), (2, 0, 1)),
        ((2, 3, 4), (-1, 0, 1)),
        ((), ()),
    ]
]
SAMPLES += [
    sample(ops.swapaxes, normal(2, 3, 4), 0, -1, torch=lambda x, a, b: torch.swapaxes(x, a, b)),
    sample(ops.moveaxis, normal(2, 3, 4), 0, -1, torch=lambda x, a, b: torch.moveaxis(x, a, b)),
    sample(
        ops.moveaxis,
        normal(2, 3, 4),
        (0, 1),
        (2, 0),
        torch=lambda x, a, b: torch.moveaxis(x, a, b),
    ),
]
SAMPLES += [
    sample(ops.broadcast_to, normal(*size), to, torch=lambda x, to: torch.broadcast_to(x, to))
    for size, to in [((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((2, 3), (2, 3))]
]
SAMPLES += [
    sample(ops.expand_dims, normal(2, 3), 0, torch=lambda x, axis: x[None]),
    sample(ops.expand_dims, normal(2, 3), -1, torch=lambda x, axis: x[..., None]),
    sample(ops.expand_dims, normal(2, 3), (0, 2), torch=lambda x, axis: x[None, :, None]),
    sample(ops.squeeze, normal(1, 3, 1), torch=lambda x: torch.squeeze(x)),
    sample(ops.squeeze, normal(1, 3, 1), torch=lambda x, axis: torch.squeeze(x, axis), axis=0),
    sample(
        ops.squeeze, normal(1, 3, 1), torch=lambda x, axis: torch.squeeze(x, axis), axis=(0, -1)
    ),
]
SAMPLES += [
    sample(ops.flip, normal(2, 3, 4), torch=torch_flip, axis=axis) for axis in (None, 0, -1, (0, 2))
]

# joins and parts
SAMPLES += [
    sample(
        ops.concatenate,
        *[normal(*size) for size in sizes],
        torch=lambda *x, axis: torch.cat(
            [part.ravel() for part in x] if axis is None else x, axis or 0
        ),
        as_list=True,
        axis=axis,
    )
    for sizes, axis in [
        ([(2, 3), (1, 3)], 0),
        ([(2, 3), (2, 1), (2, 0)], -1),
        ([(2,)], 0),
        ([(2, 3, 1), (2, 1, 1)], 1),
        ([(2, 3), (4,)], None),
    ]
]
SAMPLES += [
    sample(
        ops.stack,
        *[normal(2, 3) for _ in range(count)],
        torch=lambda *x, axis: torch.stack(x, axis),
        as_list=True,
        axis=axis,
    )
    for count, axis in [(3, 0), (2, -1), (2, 1), (1, 0)]
]
SAMPLES += [
    sample(ops.split, normal(*size), sections, torch=torch_split, axis=axis)
    for size, sections, axis in [
        ((4, 2), 2, 0),
        ((2, 6), 3, -1),
        ((2, 6), (1, 4), 1),
        ((5,), [2], 0),
        ((5,), (0, 2, 2, 9), 0),
        ((5, 2), (-2,), 0),
    ]
]
SAMPLES.append(
    sample(
        ops.zeros_of,
        normal(2),
        (3, 1),
        torch=lambda like, shape: torch.zeros(shape, dtype=like.dtype),
    )
)
SAMPLES += [
    sample(ops.pad, normal(*size), width, torch=torch_pad)
    for size, width in [
        ((2, 3), 1),
        ((2, 3), (1, 2)),
        ((2, 3), ((1, 0), (0, 2))),
        ((3,), ((0, 0),)),
    ]
]
SAMPLES.append(sample(ops.pad, normal(2), 1, torch=torch_pad, constant_values=7.0))

# indexing
x, rows = normal(4, 3, 2), np.array([0, 2, 2, -1])
INDICES = {
    "integer": 1,
    "negative": -1,
    "slice": slice(1, 3),
    "step": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "none": None,
    "ellipsis": Ellipsis,
    "tuple": (1, slice(None), 0),
    "mixed": (Ellipsis, None, slice(0, 1)),
    "empty": slice(0, 0),
    "scalar": (1, 2, 0),
    "repeated": rows,
    "pairs": (rows, np.array([0, 1, 1, 2])),
    "apart": (rows, slice(None), np.array([1, 0, 0, 1])),
    "column": (slice(None), rows[:3]),
    "mask": mask(4, 3),
    "mask-axis": (slice(None), np.array([True, False, True])),
    "grid": (rows[:, None], np.array([0, 1])),
    "empty-tuple": (),
}
SAMPLES += [
    sample(ops.getitem, x, index, torch=torch_getitem, name=name) for name, index in INDICES.items()
]
SAMPLES += [
    sample(ops.scatter, normal(*size), index, (4, 2), torch=torch_scatter, name=name)
    for name, index, size in [
        ("slice", slice(1, 3), (2, 2)),
        ("repeated", rows, (4, 2)),
        ("mask", np.array([True, False, True, False]), (2, 2)),
    ]
]
SAMPLES += [
    sample(
        ops.take_along_axis,
        normal(*size),
        indices,
        torch=lambda x, indices, axis: torch.take_along_dim(x, indices % x.shape[axis], axis),
        axis=axis,
    )
    for size, indices, axis in [
        ((3, 4), integers(4, 3, 2), 1),
        ((3, 4), integers(3, 5, 4), 0),
        ((3, 4), integers(4, 3, 1) - 4, -1),
        ((2, 3, 2), integers(3, 2, 1, 2), 1),
        ((3, 1), integers(3, 1, 4), 0),
    ]
]
SAMPLES.append(
    sample(
        ops.take_along_axis,
        normal(3, 4),
        integers(12, 5),
        torch=lambda x, indices, axis: torch.take_along_dim(x, indices),
        axis=None,
    )
)
