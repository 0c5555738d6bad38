"""Products of matrices and vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backends import Array, array_module, device_of
from minigrad.backends import arrays as backend_arrays
from minigrad.errors import ShapeError
from minigrad.ops.shape import broadcast_to, expand_dims, reshape, swapaxes
from minigrad.primitive import as_operand, primitive, sequence_primitive
from minigrad.tensor import Tensor, array_of


def _transposed(a: Any) -> Any:
    """The transposed matrix; in a batch, each matrix transposed."""
    return a.T if a.ndim == 2 else swapaxes(a, -1, -2)


def _left_rule(g: Any, a_shape: tuple[int, ...], b: Any) -> Any:
    """y = a b, so dL/da = g b^T; a vector counts as a row."""
    if b.ndim == 1:
        return expand_dims(g, -1) * b
    if len(a_shape) == 1:
        return matmul(b, expand_dims(g, -1))[..., 0]
    return matmul(g, _transposed(b))


def _right_rule(g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    """y = a b, so dL/db = a^T g; a vector counts as a column."""
    if len(b_shape) == 1:
        if a.ndim == 1:
            return expand_dims(g, -1) * a
        return matmul(_transposed(a), expand_dims(g, -1))[..., 0]
    if a.ndim == 1:
        return expand_dims(a, -1) * expand_dims(g, -2)
    if len(b_shape) == 2 and a.ndim > 2:  # one product for the whole batch, not one for each
        rows = math.prod(a.shape[:-1])
        a, g = reshape(a, (rows, a.shape[-1])), reshape(g, (rows, g.shape[-1]))
    return matmul(_transposed(a), g)


@primitive(a=_left_rule, b=_right_rule)
def matmul(a: Array, b: Array) -> Array:
    """Matrix product; further axes in front are batches and broadcast, as `numpy.matmul`.

    Args:
        a: (..., n, k), or a vector (k,).
        b: (..., k, m), or a vector (k,).

    Returns:
        (..., n, m), without the axis that a vector lacks.

    Raises:
        ShapeError: The inner sizes differ, or an input has no axis.

    Example:
        >>> import minigrad as mg
        >>> (mg.ones(2, 3) @ mg.ones(3, 4)).shape
        (2, 4)
    """
    try:
        return np.matmul(a, b)
    except ValueError:
        raise ValueError(
            "expected (..., n, k) @ (..., k, m), or vectors (k,), with the same k; .T, .swapaxes "
            "or .reshape bring axes into place"
        ) from None


def outer(a: Any, b: Any) -> Tensor:
    """Outer product of two vectors: y_ij = a_i b_j.

    Args:
        a: A vector (n,); other shapes are flattened.
        b: A vector (m,); other shapes are flattened.

    Returns:
        (n, m).

    Example:
        >>> import minigrad as mg
        >>> mg.outer(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
        tensor([[3., 4.],
                [6., 8.]])
    """
    a, b = as_operand(a, "outer: a"), as_operand(b, "outer: b")
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def _contract_rule(g: Any, operands: Sequence[Any], subscripts: str) -> list[Any]:
    """Each operand's gradient: the other operands contracted with g, onto its own labels."""
    left, result = subscripts.split("->")
    labels = left.split(",")
    gradients = []
    for i, (own, operand) in enumerate(zip(labels, operands, strict=True)):
        terms = [result, *labels[:i], *labels[i + 1 :]]
        others = [g, *operands[:i], *operands[i + 1 :]]
        reached = {label for term in terms for label in term}
        kept = "".join(label for label in own if label in reached)
        y = contract(others, f"{','.join(terms)}->{kept}")
        sizes = iter(y.shape)
        shape = tuple(next(sizes) if label in reached else 1 for label in own)
        # where the operand has size 1 this may be larger; the engine sums over that axis
        full = tuple(m if n == 1 else n for n, m in zip(shape, operand.shape, strict=True))
        gradients.append(broadcast_to(reshape(y, shape), full))
    return gradients


@sequence_primitive(operands=_contract_rule)
def contract(operands: Sequence[Array], subscripts: str = "") -> Array:
    """Sum of products over labelled axes: einsum without "..." and repeated labels in a term."""
    return backend_arrays.contract(list(operands), subscripts)


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Sum of products over labelled axes, in Einstein's notation.

    On the GPU it calls CuPy's einsum, which a CUDA graph cannot record: `mg.capture` runs a step
    with einsum without a graph. Products by `@` can be captured.

    Args:
        subscripts: As `numpy.einsum`: "ij,jk->ik"; "..." stands for all other axes, which are
            summed over where the result has no "..."; without "->" the result has them, and the
            labels that occur once, in alphabetical order.
        operands: One array for each term.

    Returns:
        The contraction.

    Raises:
        TypeError: The subscripts are no text.
        ShapeError: They do not fit the operands.

    Example:
        >>> import minigrad as mg
        >>> mg.einsum("ij,kj->ik", mg.ones(2, 3), mg.ones(4, 3)).shape
        (2, 4)
    """
    if not isinstance(subscripts, str):
        raise TypeError(f'einsum: expected subscripts such as "ij,jk->ik", got {subscripts!r}')
    checked = [as_operand(x, f"einsum: operand {i}") for i, x in enumerate(operands)]
    labelled, arrays = _written_out(subscripts, checked)
    try:
        return contract(arrays, labelled)
    except ValueError as error:  # it names contract and its labels, not the user's
        shapes = ", ".join(str(x.shape) for x in checked)
        raise ShapeError(
            f"einsum: {subscripts!r} does not fit operands of shapes {shapes}: each label stands "
            "for one size, and a label of the result occurs there once, and in some term "
            f"({error})"
        ) from None


def _written_out(subscripts: str, operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Subscripts with every label written out; a repeated one becomes a product with identity."""
    text = subscripts.replace(" ", "")
    left, arrow, result = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ShapeError(f"einsum: {len(terms)} terms in {subscripts!r}, {len(operands)} operands")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in text]
    ranks = [
        x.ndim - len(t.replace("...", ""))
        for t, x in zip(terms, operands, strict=True)
        if "..." in t
    ]
    batch = free[: max(ranks, default=0)]
    free = free[len(batch) :]
    if not arrow:
        letters = [c for c in left if c.isalpha()]
        result = "..." * bool(ranks) + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1)
        )
    out_terms, arrays = [], []
    for term, operand in zip(terms, operands, strict=True):
        rank = operand.ndim - len(term.replace("...", ""))
        term = term.replace("...", "".join(batch[len(batch) - rank :]) if rank > 0 else "")
        if len(term) != operand.ndim:
            raise ShapeError(f"einsum: term {term!r} for an operand of shape {operand.shape}")
        for place, label in enumerate(term):
            if label in term[:place]:
                fresh = free.pop()
                term = term[:place] + fresh + term[place + 1 :]
                out_terms.append(label + fresh)
                arrays.append(
                    array_module(device_of(array_of(operand))).eye(
                        operand.shape[place], dtype=operand.dtype
                    )
                )
        out_terms.append(term)
        arrays.append(operand)
    return ",".join(out_terms) + "->" + result.replace("...", "".join(batch)), arrays
