"""The vanilla recurrent network: the baseline that forgets.

Every step rewrites its whole memory. So a gradient that goes back through T steps is multiplied by
T Jacobians, and vanishes or explodes exponentially:

    h_t = tanh(W z_t + b),    z_t = [x_t; h_{t-1}]

Source: Elman 1990, "Finding structure in time".
"""

from __future__ import annotations

import minigrad as mg
from minigrad import Tensor, nn
from models.weights import Init, weight


class RNN(nn.Module):
    """Reads a sequence with a plain recurrent network, and classifies it by the last hidden state.

    Args:
        input_dim: Size D of each x_t.
        hidden: Size H of the hidden state.
        num_classes: Number of classes.
        init: The initial weights: standard "normal" with biases of zero, or "uniform", both in
            +-1/sqrt(hidden).

    Raises:
        ValueError: `init` is anything else; "forget" and "chrono" need gates.

    Example:
        >>> model = RNN(input_dim=1, hidden=8, num_classes=10)
        >>> model(mg.zeros(3, 5, 1)).shape
        (3, 10)
    """

    def __init__(
        self, input_dim: int, hidden: int, num_classes: int, init: Init = "uniform"
    ) -> None:
        super().__init__()
        if init not in ("normal", "uniform"):
            raise ValueError(f"init: {init!r}; expected 'uniform' or 'normal' for a plain network")
        self.hidden = hidden
        self.W, self.b = weight(hidden, input_dim + hidden, init)
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) for sequences x (N, T, D)."""
        n, steps, _ = x.shape
        h = mg.zeros(self.hidden, n, dtype=x.dtype, device=x.device)  # (H, N)
        for t in range(steps):
            z = mg.concatenate([x[:, t].T, h])  # (D + H, N)
            h = mg.tanh(self.W @ z + self.b)  # (H, N)
        return self.output(h.T)  # (N, classes)
