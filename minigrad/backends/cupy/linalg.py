"""Products of matrices, vectors and batches, all through one handle of cuBLAS."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from minigrad.backends import Array, Kernel
from minigrad.backends.cupy.cublas import gemm, gemm_batched
from minigrad.backends.cupy.reduce import sum_of


def _matmul(a: Array, b: Array) -> Any:
    if type(a) is not type(b) or min(a.ndim, b.ndim) == 0 or not _alike([a, b]):
        return NotImplemented
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        return NotImplemented  # which the definition complains about
    row, column = a.ndim == 1, b.ndim == 1
    y = _product(a[None] if row else a, b[:, None] if column else b)
    if column:
        y = y[..., 0]
    return y if not row else y[..., 0] if column else y[..., 0, :]


def _alike(operands: list[Array]) -> bool:
    """Whether operands are of one dtype that cuBLAS multiplies."""
    char = operands[0].dtype.char
    return char in "fd" and all(x.dtype.char == char for x in operands)


def _product(a: Array, b: Array) -> Array:
    """The product of matrices (n, k) and (k, m), or of batches of them."""
    if a.size == 0 or b.size == 0:
        front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        return np.zeros_like(a, shape=(*front, a.shape[-2], b.shape[-1]))
    if a.ndim == b.ndim == 2:
        return gemm(a, b)
    if b.ndim == 2:  # one product for the whole batch
        return gemm(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return _batches(a, b)


def _batches(a: Array, b: Array) -> Array:
    """The products of batches, whose axes in front broadcast against one another."""
    front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if front != a.shape[:-2]:
        a = np.broadcast_to(a, (*front, *a.shape[-2:]))
    if front != b.shape[:-2]:
        b = np.broadcast_to(b, (*front, *b.shape[-2:]))
    y = gemm_batched(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return y.reshape(*front, *y.shape[-2:])


matmul = Kernel(_matmul)


# --- Einstein's sums: pair by pair, each a batch of products ------------------------------------


def contracted(operands: list[Array], subscripts: str) -> Any:
    """The sum of products over labelled axes, see `minigrad.ops.linalg.contract`."""
    if not _alike(operands):
        return NotImplemented
    left, result = subscripts.split("->")
    terms = left.split(",")
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        for label, n in zip(term, x.shape, strict=True):
            known = sizes.get(label, 1)
            if n != known and 1 not in (n, known):
                return NotImplemented  # which the definition complains about
            sizes[label] = known if n == 1 else n
    if 0 in sizes.values():
        return np.zeros_like(operands[0], shape=tuple(sizes[label] for label in result))
    full = [
        np.broadcast_to(x, tuple(sizes[label] for label in term))  # axes of size 1 repeat
        for term, x in zip(terms, operands, strict=True)
    ]
    y, own = full[0], terms[0]
    for i in range(1, len(full)):
        y, own = _pair(y, own, full[i], terms[i], {*result}.union(*terms[i + 1 :]))
    y, own = _summed(y, own, result)
    y = np.transpose(y, [own.index(label) for label in result])
    return y if len(full) > 1 else y.copy()


def _pair(a: Array, of_a: str, b: Array, of_b: str, kept: Collection[str]) -> tuple[Array, str]:
    """The product of two operands, summed over the labels that are not kept; and its labels."""
    a, of_a = _summed(a, of_a, {*of_b, *kept})
    b, of_b = _summed(b, of_b, {*of_a, *kept})
    both = [label for label in of_a if label in of_b]
    batch = [label for label in both if label in kept]
    inner = [label for label in both if label not in kept]
    rows = [label for label in of_a if label not in both]
    columns = [label for label in of_b if label not in both]
    left = _grouped(a, of_a, batch, rows, inner)  # (B, n, k)
    right = _grouped(b, of_b, batch, inner, columns)  # (B, k, m)
    y = gemm_batched(left, right) if inner else left * right
    sizes = dict(zip(of_a + of_b, a.shape + b.shape, strict=True))
    labels = "".join([*batch, *rows, *columns])
    return y.reshape([sizes[label] for label in labels]), labels


def _summed(x: Array, labels: str, kept: Collection[str]) -> tuple[Array, str]:
    """An operand without the axes that nothing else needs."""
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    if not axes:
        return x, labels
    y = sum_of(x, axes)
    rest = "".join(label for label in labels if label in kept)
    return (x.sum(axis=axes) if y is NotImplemented else y), rest


def _grouped(x: Array, labels: str, *groups: list[str]) -> Array:
    """An operand with an axis for each group of its labels."""
    order = [labels.index(label) for group in groups for label in group]
    sizes = [math.prod(x.shape[labels.index(label)] for label in group) for group in groups]
    return np.transpose(x, order).reshape(sizes)
