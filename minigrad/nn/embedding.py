"""Tables of vectors: a row number picks a vector."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minigrad.backends import Array, on_host
from minigrad.errors import DTypeError, ShapeError
from minigrad.grad_mode import no_grad
from minigrad.messages.arguments import check_changeable, check_sizes, integer, number
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.ops.creation import zeros
from minigrad.ops.elementwise import where
from minigrad.ops.reduce import norm
from minigrad.primitive import primitive
from minigrad.tensor import Tensor, as_tensor, wrap
from minigrad.versions import write

__all__ = ["Embedding", "embedding"]


@primitive(x=lambda g, factor: g * factor)
def _with_gradient_times(x: Array, factor: Array) -> Array:
    """The same values; the gradient that goes back to them is multiplied by a factor."""
    return x


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table, picked by their numbers.

    Args:
        input: Numbers of rows, integers of any shape.
        weight: The table (V, D).
        padding_idx: This row gets no gradient.
        max_norm: Shorten picked rows to this norm if theirs is larger, in place in the table. Run
            backward first for a graph that needs the old values.
        norm_type: The order of this norm.
        scale_grad_by_freq: Divide each row's gradient by how often the input picks it.
        sparse: Accepted as in PyTorch, without effect: the gradient is dense.

    Returns:
        (..., D), where ... is the shape of the input.

    Raises:
        IndexError: A row number is out of range.
        DTypeError: The input does not hold integers, or max_norm is given for an integer table.
        ShapeError: The table does not have two axes.
        ValueError: padding_idx is out of range, max_norm is negative, or max_norm is given for a
            table in read-only memory.

    Example:
        >>> import minigrad as mg
        >>> embedding(mg.tensor([2, 0]), mg.eye(3))
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    weight = as_tensor(weight, "embedding: weight")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: expected a table (V, D) as weight, got shape {weight.shape}")
    rows = _row_numbers(as_tensor(input, "embedding: input"), weight.shape[0])
    padding_idx = _checked_padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        _shorten_rows(weight, rows, max_norm, norm_type)
    y = weight[rows]
    if scale_grad_by_freq:
        counts = np.bincount(rows.reshape(-1), minlength=weight.shape[0])[rows]
        y = _with_gradient_times(y, (1 / counts).astype(y.dtype)[..., None])
    if padding_idx is not None:
        y = _with_gradient_times(y, (rows != padding_idx).astype(y.dtype)[..., None])
    return y


def _row_numbers(input: Tensor, count: int) -> Array:
    rows = input._data
    if rows.dtype.kind not in "iu":
        raise DTypeError(f"embedding: the input must be integers, got {rows.dtype}")
    if on_host(rows) and rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise IndexError(
            f"embedding: the input goes from {rows.min()} to {rows.max()}; the table has rows 0 to "
            f"{count - 1}"
        )
    return rows.astype(np.int64, copy=False)


def _checked_padding(padding_idx: int | None, count: int) -> int | None:
    """The number of the padding row, counted from the front."""
    if padding_idx is None:
        return None
    padding_idx = integer("embedding: padding_idx", padding_idx)
    if not -count <= padding_idx < count:
        raise ValueError(f"embedding: padding_idx={padding_idx}, but there are {count} rows")
    return padding_idx % count


def _shorten_rows(weight: Tensor, rows: Array, max_norm: float, norm_type: float) -> None:
    max_norm = number("embedding: max_norm", max_norm, 0, finite=False)
    table = weight._data
    check_changeable("embedding: max_norm shortens rows in the table itself", table)
    with no_grad():
        picked = wrap(table[rows])
        length = norm(picked, norm_type, axis=-1, keepdims=True)
        shortened = where(length > max_norm, picked * (max_norm / (length + 1e-7)), picked)
    write(table, shortened._data, rows)


class Embedding(Module):
    """A table of vectors, picked by row number; its initial values are standard normal.

    Args:
        num_embeddings: The number V of rows.
        embedding_dim: The length D of a row.
        padding_idx: This row starts at zero and gets no gradient.
        max_norm: Shorten picked rows to this norm if theirs is larger, in place in the table.
        norm_type: The order of this norm.
        scale_grad_by_freq: Divide each row's gradient by how often the input picks it.
        sparse: Accepted as in PyTorch, without effect: the gradient is dense.
        device: Where the table is: "cpu" (the default) or "gpu".
        dtype: Its dtype, float32 by default.

    Attributes:
        weight: The table (V, D).

    Raises:
        ValueError: padding_idx is out of range.

    Example:
        >>> import minigrad as mg
        >>> Embedding(10, 3)(mg.tensor([[1, 2, 4, 5]])).shape
        (1, 4, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _checked_padding(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        device = device or "cpu"
        self.weight = Parameter(zeros(num_embeddings, embedding_dim, dtype=dtype, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for the table."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            write(self.weight._data, 0, self.padding_idx)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer with a given table.

        Args:
            embeddings: The table (V, D); its memory is shared, so `max_norm` changes it too.
            freeze: Whether training leaves the table unchanged.
            padding_idx: This row gets no gradient; it keeps its values.
            max_norm: As for the constructor, like the arguments after it.
            norm_type: The order of the norm of rows.
            scale_grad_by_freq: Divide each row's gradient by how often the input picks it.
            sparse: Accepted as in PyTorch, without effect.

        Raises:
            ShapeError: The table does not have two axes.
            DTypeError: The table holds integers, and is not frozen.
        """
        table = as_tensor(embeddings, "Embedding.from_pretrained: embeddings")
        if table.ndim != 2:
            raise ShapeError(
                f"Embedding.from_pretrained: expected a table (V, D), got shape {table.shape}"
            )
        if not freeze and table.dtype.kind != "f":
            raise DTypeError(
                f"Embedding.from_pretrained: a table of {table.dtype} cannot be trained; use "
                ".astype('float32'), or freeze=True"
            )
        rows, length = table.shape
        layer = cls(rows, length, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        layer.weight = Parameter(table, requires_grad=not freeze)
        return layer

    def forward(self, input: Tensor) -> Tensor:
        """(..., D) from row numbers of shape (...).

        Raises:
            IndexError: A row number is out of range.
            DTypeError: The input does not hold integers.
        """
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
        )

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += ", scale_grad_by_freq=True"
        if self.sparse:
            text += ", sparse=True"
        return text
