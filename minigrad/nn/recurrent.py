"""Recurrent layers: RNN, LSTM and GRU over sequences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from minigrad.errors import ShapeError
from minigrad.messages.arguments import check_sizes, check_switches, probability
from minigrad.nn.dropout import dropout
from minigrad.nn.module import Module, Parameter
from minigrad.nn.recurrent_cell import as_state, check_nonlinearity, check_pair, draw_uniform
from minigrad.ops import recurrent
from minigrad.ops.creation import zeros
from minigrad.ops.shape import concatenate, expand_dims, squeeze, stack, swapaxes, zeros_of
from minigrad.tensor import Tensor, as_tensor

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """What RNN, LSTM and GRU share: parameters for each layer and direction, and the forward pass.

    A subclass names its number of gates, and the operation that runs one layer in one direction.
    """

    gates: int
    _operation: Callable[..., Any]
    _parts: ClassVar[tuple[str, ...]] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: Any = None,
        *,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, 1, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_sizes(name, proj_size=proj_size)
        check_switches(name, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        dropout = probability(f"{name}: dropout", dropout)
        if dropout > 0 and num_layers == 1:
            text = f"{name}: dropout={dropout} is between layers: none with num_layers=1"
            warnings.warn(text, stacklevel=3)
        projects = "weight_hr" in self._parts
        if not 0 <= proj_size < (hidden_size if projects else 1):
            most = f"from 0 to {hidden_size - 1}" if projects else "0 but in nn.LSTM"
            raise ValueError(f"{name}: proj_size must be {most}, got {proj_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        width, device = input_size, device or "cpu"
        for layer in range(num_layers):
            for suffix in self._suffixes():
                for part, shape in self._shapes(width).items():
                    start = zeros(*shape, dtype=dtype, device=device)
                    setattr(self, f"{part}_l{layer}{suffix}", Parameter(start))
            width = (proj_size or hidden_size) * len(self._suffixes())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly from +-1/sqrt(hidden_size)."""
        draw_uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Do nothing: PyTorch lays weights out for cuDNN here, which minigrad does not use."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, one list for each layer and direction."""
        names = [f"_l{n}{suffix}" for n in range(self.num_layers) for suffix in self._suffixes()]
        return [[getattr(self, part + name) for part in self._shapes(0)] for name in names]

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _shapes(self, width: int) -> dict[str, Any]:
        """The shapes of the parameters of one layer in one direction, for inputs of this width."""
        rows, output_size = self.gates * self.hidden_size, self.proj_size or self.hidden_size
        shapes: dict[str, Any] = {"weight_ih": (rows, width), "weight_hh": (rows, output_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        projection = {"weight_hr": (output_size, self.hidden_size)} if self.proj_size else {}
        return shapes | projection

    def _weights(self, suffix: str, width: int) -> list[Any]:
        """One layer's parameters in one direction, by part; raise if the options want others."""
        weights = dict.fromkeys(self._parts)  # None for parts that are absent
        for part, shape in self._shapes(width).items():
            weight = getattr(self, part + suffix, None)
            if weight is None or weight.shape != shape:
                found = "is missing" if weight is None else f"has shape {weight.shape}"
                raise ShapeError(
                    f"{type(self).__name__}({self.extra_repr()}): {part}{suffix} {found}; expected "
                    f"{shape} by these options. For other sizes, layers, directions or biases make "
                    "a new layer"
                )
            weights[part] = weight
        return list(weights.values())

    def _options(self) -> dict[str, Any]:
        """The operation's options besides `reverse`."""
        return {}

    def _run(
        self, input: Tensor, states: Sequence[Tensor] | None, widths: Sequence[int]
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all layers; `states` are the initial h (and c), which have these widths."""
        name = type(self).__name__
        input = as_tensor(input, f"{name}: input")
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            batched = "(N, T, D)" if self.batch_first else "(T, N, D)"
            raise ShapeError(
                f"{name}: the input has shape {input.shape}; expected {batched}, or (T, D) without "
                f"a batch, with D = input_size = {self.input_size}"
            )
        unbatched = input.ndim == 2
        x = expand_dims(input, 1) if unbatched else input
        if self.batch_first and not unbatched:
            x = swapaxes(x, 0, 1)
        if len(x) == 0:
            raise ShapeError(f"{name}: the input has shape {input.shape}, a sequence of no steps")
        suffixes, n = self._suffixes(), x.shape[1]
        count = self.num_layers * len(suffixes)
        if states is None:
            states = [zeros_of(x, (count, n, width)) for width in widths]
        else:
            sizes = [(count, width) if unbatched else (count, n, width) for width in widths]
            states = [as_state(name, *s) for s in zip(("h_0", "c_0"), states, sizes, strict=False)]
            states = [expand_dims(s, 1) if unbatched else s for s in states]
        finals: list[list[Tensor]] = [[] for _ in widths]
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(suffixes):
                start = [state[layer * len(suffixes) + direction] for state in states]
                weights = self._weights(f"_l{layer}{suffix}", x.shape[-1])
                options = self._options() | {"reverse": direction == 1}
                y, *after = self._operation(x, *start, *weights, **options)
                outputs.append(y)
                for kept, state in zip(finals, after, strict=True):
                    kept.append(state)
            x = concatenate(outputs, axis=-1) if self.bidirectional else outputs[0]
            if layer < self.num_layers - 1:
                x = dropout(x, self.dropout, self.training)
        final = [stack(kept, axis=0) for kept in finals]
        if unbatched:
            return squeeze(x, axis=1), [squeeze(state, axis=1) for state in final]
        return (swapaxes(x, 0, 1) if self.batch_first else x), final

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        options = [
            f"{name}={getattr(self, name)}"
            for name, default in defaults.items()
            if getattr(self, name) != default
        ]
        return ", ".join([str(self.input_size), str(self.hidden_size), *options])


class RNN(_Recurrent):
    """Elman's recurrent network over a sequence, in layers and directions.

    `h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`; a layer reads the outputs of the one
    below, or of both its directions side by side. Sequences packed by length are not offered.

    Args:
        input_size: D, the size of x_t.
        hidden_size: H, the size of h_t.
        num_layers: L, the number of layers.
        nonlinearity: "tanh" or "relu".
        bias: Whether there are b_ih and b_hh.
        batch_first: Whether sequences are (N, T, D) rather than (T, N, D).
        dropout: The probability with which outputs between layers are dropped in training.
        bidirectional: Whether each layer also reads backwards.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight_ih_l0: (H, D); in further layers (H, H), or (H, 2H) with two directions.
        weight_hh_l0: (H, H).
        bias_ih_l0: (H,).
        bias_hh_l0: (H,).

    Raises:
        ValueError: An option is outside its range.

    Source:
        Elman 1990, "Finding structure in time".

    Example:
        >>> import minigrad as mg
        >>> output, h = RNN(3, 4)(mg.ones(5, 2, 3))
        >>> output.shape, h.shape
        ((5, 2, 4), (1, 2, 4))
    """

    gates = 1
    _operation = staticmethod(recurrent.rnn)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_nonlinearity(nonlinearity)
        self.nonlinearity = nonlinearity
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(*sizes, bias, batch_first, dropout, bidirectional, device, dtype)

    def _options(self) -> dict[str, Any]:
        check_nonlinearity(self.nonlinearity)
        return {"nonlinearity": self.nonlinearity}

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the layers over a sequence.

        Args:
            input: (T, N, D), (N, T, D) with batch_first, or (T, D) without a batch.
            hx: The initial states (L * directions, N, H), without N where the input has none;
                zeros by default.

        Returns:
            The last layer's states at all steps, H * directions wide; every layer's last state.

        Raises:
            ShapeError: The input or a state has another shape.
        """
        output, [h] = self._run(input, None if hx is None else [hx], [self.hidden_size])
        return output, h


class LSTM(_Recurrent):
    """A long short-term memory over a sequence, in layers and directions.

    With input gate i, forget gate f, candidate g and output gate o, at each step t:

        i = sigmoid(W_ii x_t + b_ii + W_hi h_(t-1) + b_hi)
        f = sigmoid(W_if x_t + b_if + W_hf h_(t-1) + b_hf)
        g = tanh(W_ig x_t + b_ig + W_hg h_(t-1) + b_hg)
        o = sigmoid(W_io x_t + b_io + W_ho h_(t-1) + b_ho)
        c_t = f * c_(t-1) + i * g
        h_t = o * tanh(c_t)

    The cell's state c changes by sums, so that gradients reach far back: the forget gate says how
    far. With proj_size, h_t is W_hr (o * tanh(c_t)). Sequences packed by length are not offered.

    Args:
        input_size: D, the size of x_t.
        hidden_size: H, the size of c_t, and of h_t without projection.
        num_layers: L, the number of layers.
        bias: Whether there are b_i and b_h.
        batch_first: Whether sequences are (N, T, D) rather than (T, N, D).
        dropout: The probability with which outputs between layers are dropped in training.
        bidirectional: Whether each layer also reads backwards.
        proj_size: P, the size to which h_t is projected; 0 for no projection, then P means H below.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.

    Attributes:
        weight_ih_l0: (4H, D): W_ii, W_if, W_ig and W_io, one below the other; further layers read
            P * directions.
        weight_hh_l0: (4H, P).
        bias_ih_l0: (4H,).
        bias_hh_l0: (4H,).
        weight_hr_l0: (P, H), with projection only.

    Raises:
        ValueError: An option is outside its range.

    Source:
        Hochreiter and Schmidhuber 1997, "Long short-term memory"; forget gates by Gers, Schmidhuber
        and Cummins 2000; projection by Sak, Senior and Beaufays 2014.

    Example:
        >>> import minigrad as mg
        >>> output, (h, c) = LSTM(3, 4, num_layers=2, batch_first=True)(mg.ones(2, 5, 3))
        >>> output.shape, h.shape, c.shape
        ((2, 5, 4), (2, 2, 4), (2, 2, 4))
    """

    gates = 4
    _operation = staticmethod(recurrent.lstm)
    _parts = (*_Recurrent._parts, "weight_hr")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        super().__init__(
            *sizes, bias, batch_first, dropout, bidirectional, device, dtype, proj_size=proj_size
        )

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the layers over a sequence.

        Args:
            input: (T, N, D), (N, T, D) with batch_first, or (T, D) without a batch.
            hx: The initial h (L * directions, N, P) and c (L * directions, N, H), without N where
                the input has none; zeros by default.

        Returns:
            The last layer's h at all steps, P * directions wide; every layer's last h and c.

        Raises:
            ShapeError: The input or a state has another shape.
        """
        check_pair("LSTM", hx, "(h_0, c_0)")
        widths = [self.proj_size or self.hidden_size, self.hidden_size]
        output, [h, c] = self._run(input, hx, widths)
        return output, (h, c)


class GRU(_Recurrent):
    """Gated recurrent units over a sequence, in layers and directions.

    With reset gate r, update gate z and candidate n, at each step t:

        r = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr)
        z = sigmoid(W_iz x_t + b_iz + W_hz h_(t-1) + b_hz)
        n = tanh(W_in x_t + b_in + r * (W_hn h_(t-1) + b_hn))
        h_t = (1 - z) * n + z * h_(t-1)

    Args:
        input_size: D, the size of x_t.
        hidden_size: H, the size of h_t.
        num_layers: L, the number of layers.
        bias: Whether there are b_i and b_h.
        batch_first: Whether sequences are (N, T, D) rather than (T, N, D).
        dropout: The probability with which outputs between layers are dropped in training.
        bidirectional: Whether each layer also reads backwards.
        device: Where the parameters are: "cpu" (the default) or "gpu".
        dtype: Their dtype, float32 by default.
        proj_size: 0; only an LSTM projects its hidden state.

    Attributes:
        weight_ih_l0: (3H, D): W_ir, W_iz and W_in, one below the other; further layers read
            H * directions.
        weight_hh_l0: (3H, H).
        bias_ih_l0: (3H,).
        bias_hh_l0: (3H,).

    Raises:
        ValueError: An option is outside its range.

    Source:
        Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".

    Example:
        >>> import minigrad as mg
        >>> output, h = GRU(3, 4, bidirectional=True)(mg.ones(5, 2, 3))
        >>> output.shape, h.shape
        ((5, 2, 8), (2, 2, 4))
    """

    gates = 3
    _operation = staticmethod(recurrent.gru)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the layers over a sequence; arguments and results as for `RNN`."""
        output, [h] = self._run(input, None if hx is None else [hx], [self.hidden_size])
        return output, h
