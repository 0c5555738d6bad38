"""The long short-term memory network, written as the textbook writes it.

A cell reads one vector x_t at a time and carries two vectors along: the hidden state h, which is
its output, and the cell state c, which is its memory. With z_t = [x_t; h_{t-1}], the input on top
of the previous hidden state, and * the elementwise product:

    f_t = sigmoid(W_f z_t + b_f)        forget gate: how much of the old memory stays    (1)
    i_t = sigmoid(W_i z_t + b_i)        input gate: how much of the new goes in          (2)
    C~_t = tanh(W_C z_t + b_C)          candidate: what could be written                 (3)
    C_t = f_t * C_{t-1} + i_t * C~_t    the new memory                                   (4)
    o_t = sigmoid(W_o z_t + b_o)        output gate: how much of the memory shows        (5)
    h_t = o_t * tanh(C_t)               the new hidden state                             (6)

Sources: Hochreiter and Schmidhuber 1997, "Long short-term memory"; the forget gate is from Gers,
Schmidhuber and Cummins 2000, "Learning to forget".
"""

from __future__ import annotations

import minigrad as mg
from minigrad import Tensor, nn
from models.weights import Init, biases, weight


class LSTM(nn.Module):
    """Reads a sequence with the LSTM's equations, and classifies it by the last hidden state.

    Vectors are columns, as in the equations: a batch of them is a matrix with one column for each
    of the N sequences. D is `input_dim`, H is `hidden`.

    Args:
        input_dim: Size D of each x_t.
        hidden: Size H of the hidden state and of the memory.
        num_classes: Number of classes.
        init: The initial weights: standard normal with "normal", else uniform in +-1/sqrt(hidden).
            With "uniform" so are the biases, else `models.weights.biases` gives them.
        memory: Number of steps to remember, for "chrono".

    Raises:
        ValueError: `init` is unknown, or "chrono" without `memory`.

    Example:
        >>> model = LSTM(input_dim=1, hidden=8, num_classes=10)
        >>> model(mg.zeros(3, 5, 1)).shape
        (3, 10)
    """

    def __init__(
        self,
        input_dim: int,
        hidden: int,
        num_classes: int,
        init: Init = "uniform",
        memory: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.W_f, self.b_f = weight(hidden, input_dim + hidden, init)
        self.W_i, self.b_i = weight(hidden, input_dim + hidden, init)
        self.W_C, self.b_C = weight(hidden, input_dim + hidden, init)
        self.W_o, self.b_o = weight(hidden, input_dim + hidden, init)
        if init != "uniform":
            columns = (nn.Parameter(b.reshape(hidden, 1)) for b in biases(hidden, init, memory))
            self.b_i, self.b_f, self.b_C, self.b_o = columns
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) for sequences x (N, T, D)."""
        n, steps, _ = x.shape
        h = mg.zeros(self.hidden, n, dtype=x.dtype, device=x.device)  # (H, N)
        C = mg.zeros(self.hidden, n, dtype=x.dtype, device=x.device)  # (H, N)
        for t in range(steps):
            z = mg.concatenate([x[:, t].T, h])  # (D + H, N)
            f = mg.sigmoid(self.W_f @ z + self.b_f)  # (1)
            i = mg.sigmoid(self.W_i @ z + self.b_i)  # (2)
            candidate = mg.tanh(self.W_C @ z + self.b_C)  # (3)
            C = f * C + i * candidate  # (4)
            o = mg.sigmoid(self.W_o @ z + self.b_o)  # (5)
            h = o * mg.tanh(C)  # (6)
        return self.output(h.T)  # (N, classes)
