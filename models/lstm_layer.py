"""The network of lstm.py with the whole sequence as one operation: the fast form of the same.

`nn.LSTM` holds the four matrices of models/lstm.py one below the other, in PyTorch's names, and a
kernel runs all time steps; its derivative is checked against that of the equations.
"""

from __future__ import annotations

from minigrad import Tensor, nn
from models.weights import Init


class LayerLSTM(nn.Module):
    """Reads a sequence, and classifies it by the last hidden state.

    Args:
        input_dim: Size D of each x_t.
        hidden: Size H of the hidden state and of the memory.
        num_classes: Number of classes.
        init: The initial weights: "uniform" in +-1/sqrt(hidden), or standard "normal". Biases
            start at zero with "normal", and like the weights with "uniform".

    Raises:
        ValueError: `init` is neither.

    Example:
        >>> import minigrad as mg
        >>> model = LayerLSTM(input_dim=1, hidden=8, num_classes=10)
        >>> model(mg.zeros(3, 5, 1)).shape
        (3, 10)
    """

    def __init__(
        self, input_dim: int, hidden: int, num_classes: int, init: Init = "uniform"
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_dim, hidden, batch_first=True)
        self.output = nn.Linear(hidden, num_classes)
        if init == "normal":
            for parameter in self.lstm.parameters():
                draw = nn.init.normal_ if parameter.ndim == 2 else nn.init.zeros_
                draw(parameter)
        elif init != "uniform":
            raise ValueError(f"init: {init!r}; expected 'uniform' or 'normal'")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) for sequences x (N, T, D)."""
        _, (h, _) = self.lstm(x)  # (1, N, H)
        return self.output(h[0])  # (N, classes)
