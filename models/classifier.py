"""A network that reads handwritten digits: three linear layers.

Its last hidden layer describes in 128 numbers how a digit is written.
"""

from __future__ import annotations

from minigrad import Tensor, nn


class Classifier(nn.Module):
    """Digits (N, 784) with values from 0 (paper) to 1 (ink) to ten logits (N, 10).

    Args:
        dropout: The share of each hidden layer's outputs that training sets to zero.

    Example:
        >>> import minigrad as mg
        >>> model, x = Classifier(), mg.zeros(2, 784)
        >>> model(x).shape, model.features(x).shape
        ((2, 10), (2, 128))
    """

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(784, 256),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
            nn.Linear(256, 128),
            nn.LeakyReLU(0.1),
        )
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(128, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) for digits x (N, 784)."""
        return self.output(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer (N, 128) for digits x (N, 784)."""
        return self.hidden(x)
