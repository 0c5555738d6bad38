"""Initial weights of the recurrent models."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from minigrad import Tensor, log, nn, ones, rand, randn, zeros

Init: TypeAlias = Literal["uniform", "normal", "forget", "chrono"]


def weight(rows: int, columns: int, init: Init) -> tuple[nn.Parameter, nn.Parameter]:
    """A weight matrix and its bias, a column, so that it is added to every column of a product.

    Args:
        rows: The number of outputs.
        columns: The number of inputs.
        init: With "normal" the matrix is standard normal, else uniform in +-1/sqrt(rows), PyTorch's
            choice for recurrent layers. With "uniform" so is the bias, else it is zero.

    Returns:
        The matrix (rows, columns) and the bias (rows, 1).

    Example:
        >>> [p.shape for p in weight(2, 3, "uniform")]
        [(2, 3), (2, 1)]
    """
    bound = 1 / math.sqrt(rows)
    if init == "uniform":
        return _uniform(bound, rows, columns), _uniform(bound, rows, 1)
    matrix = (
        nn.Parameter(randn(rows, columns)) if init == "normal" else _uniform(bound, rows, columns)
    )
    return matrix, nn.Parameter(zeros(rows, 1))


def _uniform(bound: float, *shape: int) -> nn.Parameter:
    return nn.Parameter((2 * rand(*shape) - 1) * bound)


def biases(hidden: int, init: Init, memory: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The initial biases b_i, b_f, b_C and b_o of an LSTM, unless "uniform".

    A memory cell whose forget gate stays at f keeps a value for about 1/(1 - f) steps.

    "forget": b_f = 1, so f begins near 0.73 instead of 0.5.

    "chrono": each cell gets its own time u, drawn uniformly from 1 to memory - 1. b_f = log u, so
    f = u/(1 + u) and the cell keeps a value for 1 + u steps; b_i = -b_f, so the cell takes in as
    little as it forgets. b_C is drawn from -1 to 1 (our addition): each cell fills at its own pace,
    whatever is read, so h tells the gates how much time has passed.

    All other biases are zero.

    Args:
        hidden: The number H of cells.
        init: One of the four.
        memory: The number of steps to remember, which "chrono" needs.

    Returns:
        Four vectors (H,).

    Raises:
        ValueError: `init` is unknown, or "chrono" without `memory`.

    Source:
        Jozefowicz, Zaremba and Sutskever 2015, "An empirical exploration of recurrent network
        architectures" (forget); Tallec and Ollivier 2018, "Can recurrent neural networks warp
        time?", equation 16 (chrono).

    Example:
        >>> write, forget, *_ = biases(4, "chrono", memory=100)
        >>> bool(((forget == -write) * (forget < 4.6)).min().item())
        True
    """
    none = zeros(hidden)
    if init == "normal":
        return none, none, none, none
    if init == "forget":
        return none, ones(hidden), none, none
    if init != "chrono":
        raise ValueError(f"init: {init!r}; expected 'uniform', 'normal', 'forget' or 'chrono'")
    if memory is None:
        raise ValueError("init: 'chrono' needs the number of steps to be remembered, memory=")
    forget = log(1 + max(memory - 2, 0) * rand(hidden))
    return -forget, forget, 2 * rand(hidden) - 1, none
