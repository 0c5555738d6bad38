"""The network of lstm.py in its fast form: the whole sequence is one operation.

`nn.LSTM` holds the four matrices of models/lstm.py one below the other, in PyTorch's names, and a
kernel runs all time steps; its derivative is checked against that of the equations.
"""

from __future__ import annotations

import minigrad as mg
from minigrad import Tensor, nn
from models.weights import Init, biases


class LayerLSTM(nn.Module):
    """Reads a sequence with the fast `nn.LSTM`, and classifies it by the last hidden state.

    Args:
        input_dim: Size D of each x_t.
        hidden: Size H of the hidden state and of the memory.
        num_classes: Number of classes.
        init: The initial weights, as in models/lstm.py.
        memory: Number of steps to remember, for "chrono".

    Raises:
        ValueError: `init` is unknown, or "chrono" without `memory`.

    Example:
        >>> model = LayerLSTM(input_dim=1, hidden=8, num_classes=10)
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
        self.lstm = nn.LSTM(input_dim, hidden, batch_first=True)
        self.output = nn.Linear(hidden, num_classes)
        if init == "normal":
            for name, parameter in self.lstm.named_parameters():
                if name.startswith("weight"):
                    nn.init.normal_(parameter)
        if init != "uniform":
            stacked = mg.concatenate(biases(hidden, init, memory))  # i, f, g, o
            others = mg.zeros(4 * hidden)  # the layer adds two vectors of biases
            state = {"bias_ih_l0": stacked, "bias_hh_l0": others}
            self.lstm.load_state_dict(state, strict=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) for sequences x (N, T, D)."""
        _, (h, _) = self.lstm(x)  # (1, N, H)
        return self.output(h[0])  # (N, classes)
