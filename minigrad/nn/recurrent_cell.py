"""Single steps of recurrent layers: RNNCell, LSTMCell and GRUCell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.errors import ShapeError
from minigrad.messages.arguments import check_sizes, check_switches
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.ops import recurrent
from minigrad.ops.activation import relu, tanh
from minigrad.ops.creation import zeros
from minigrad.ops.linear import linear
from minigrad.ops.shape import zeros_of
from minigrad.tensor import Tensor, as_tensor, described

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


def draw_uniform(module: Module, hidden_size: int) -> None:
    """PyTorch's initial values: uniform in +-1/sqrt(hidden_size), biases too."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def check_nonlinearity(nonlinearity: str) -> None:
    """Raise ValueError for any nonlinearity but tanh and ReLU."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {nonlinearity!r}")


def as_state(layer: str, name: str, state: Tensor, expected: tuple[int, ...]) -> Tensor:
    """An initial state as a Tensor; raise ShapeError for another shape than the expected one."""
    state = as_tensor(state, f"{layer}: {name}")
    if state.shape != expected:
        raise ShapeError(f"{layer}: {name} has shape {state.shape}; expected {expected}")
    return state


def check_pair(layer: str, hx: object, names: str) -> None:
    """Raise TypeError if an LSTM's initial states are no pair."""
    if hx is not None and not (isinstance(hx, tuple | list) and len(hx) == 2):
        raise TypeError(f"{layer}: hx must be a pair {names}, got {described(hx)}")


class _Cell(Module):
    """What the cells share: the parameters of one step, and the checks of its inputs."""

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, input_size=input_size)
        check_sizes(name, 1, hidden_size=hidden_size)
        check_switches(name, bias=bias)
        self.input_size, self.hidden_size = input_size, hidden_size
        rows, device = self.gates * hidden_size, device or "cpu"

        def empty(*size: int) -> Parameter:
            return Parameter(zeros(*size, dtype=dtype, device=device))

        self.weight_ih, self.weight_hh = empty(rows, input_size), empty(rows, hidden_size)
        self.bias_ih = empty(rows) if bias else None
        self.bias_hh = empty(rows) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly from +-1/sqrt(hidden_size)."""
        draw_uniform(self, self.hidden_size)

    def _inputs(self, input: Tensor, states: Sequence[Tensor] | None, count: int) -> list[Tensor]:
        """The checked input, and after it the states; zeros if no states are given."""
        name = type(self).__name__
        input = as_tensor(input, f"{name}: input")
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: the input has shape {input.shape}; expected (N, {self.input_size}), or "
                f"({self.input_size},) without a batch"
            )
        expected = (*input.shape[:-1], self.hidden_size)
        if states is None:
            return [input, *[zeros_of(input, expected)] * count]
        parts = zip(("h", "c"), states, strict=False)
        return [input, *[as_state(name, part, state, expected) for part, state in parts]]

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        bias = "" if self.bias_ih is not None else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"


class RNNCell(_Cell):
    """One step of Elman's network: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    Args:
        input_size: D, the size of x.
        hidden_size: H, the size of h.
        bias: Whether there are b_ih and b_hh.
        nonlinearity: "tanh" or "relu".
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight_ih: (H, D).
        weight_hh: (H, H).
        bias_ih: (H,), or None.
        bias_hh: (H,), or None.

    Raises:
        ValueError: The nonlinearity is unknown.

    Source:
        Elman 1990, "Finding structure in time".

    Example:
        >>> import minigrad as mg
        >>> RNNCell(3, 4)(mg.ones(2, 3)).shape
        (2, 4)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_nonlinearity(nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Take one step.

        Args:
            input: x (N, D), or (D,).
            hx: h (N, H), or (H,); zeros by default.

        Returns:
            h', of h's shape.

        Raises:
            ShapeError: The input or a state has another shape.
        """
        check_nonlinearity(self.nonlinearity)
        input, h = self._inputs(input, None if hx is None else [hx], 1)
        z = linear(input, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        return tanh(z) if self.nonlinearity == "tanh" else relu(z)

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        other = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + other


class LSTMCell(_Cell):
    """One step of an LSTM; see `LSTM` for the equations.

    Args:
        input_size: D, the size of x.
        hidden_size: H, the size of h and c.
        bias: Whether there are b_ih and b_hh.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight_ih: (4H, D), rows in the order i, f, g, o.
        weight_hh: (4H, H).
        bias_ih: (4H,), or None.
        bias_hh: (4H,), or None.

    Source:
        Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000.

    Example:
        >>> import minigrad as mg
        >>> h, c = LSTMCell(3, 4)(mg.ones(2, 3))
        >>> h.shape, c.shape
        ((2, 4), (2, 4))
    """

    gates = 4

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Take one step.

        Args:
            input: x (N, D), or (D,).
            hx: h and c, both (N, H), or (H,); zeros by default.

        Returns:
            h' and c', of the same shapes.

        Raises:
            ShapeError: The input or a state has another shape.
        """
        check_pair("LSTMCell", hx, "(h, c)")
        input, h, c = self._inputs(input, hx, 2)
        z = linear(input, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        return recurrent.lstm_cell(z, c)


class GRUCell(_Cell):
    """One step of a gated recurrent unit; see `GRU` for the equations.

    Args:
        input_size: D, the size of x.
        hidden_size: H, the size of h.
        bias: Whether there are b_ih and b_hh.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight_ih: (3H, D), rows in the order r, z, n.
        weight_hh: (3H, H).
        bias_ih: (3H,), or None.
        bias_hh: (3H,), or None.

    Source:
        Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".

    Example:
        >>> import minigrad as mg
        >>> GRUCell(3, 4)(mg.ones(2, 3)).shape
        (2, 4)
    """

    gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Take one step; arguments and result as for `RNNCell`."""
        input, h = self._inputs(input, None if hx is None else [hx], 1)
        a = linear(input, self.weight_ih, self.bias_ih)
        return recurrent.gru_cell(a, linear(h, self.weight_hh, self.bias_hh), h)
