"""The two players of a generative adversarial network, as simple as can be: linear layers.

The generator turns noise into pictures; the discriminator gives the probability that a picture is
real. Each is the other's loss function.

Source: Goodfellow et al. 2014, "Generative adversarial nets".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from minigrad import Tensor, nn


class Generator(nn.Module):
    """Noise (N, latent) to pictures (N, 784) with values in [-1, 1].

    Args:
        latent_dim: Size of the noise vector.
        hidden: Sizes of the hidden layers.

    Example:
        >>> import minigrad as mg
        >>> Generator(latent_dim=100)(mg.randn(2, 100)).shape
        (2, 784)
    """

    def __init__(
        self, latent_dim: int = 100, hidden: Sequence[int] = (128, 256, 512, 1024)
    ) -> None:
        super().__init__()
        sizes = (latent_dim, *hidden)
        layers: list[nn.Module] = []
        for number, (before, size) in enumerate(pairwise(sizes)):
            normalized = [nn.BatchNorm1d(size)] if number > 0 else []
            layers += [nn.Linear(before, size), *normalized, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 784), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Pictures (N, 784) from noise z (N, latent)."""
        return self.layers(z)


class Discriminator(nn.Module):
    """Pictures (N, 784) to the probability (N, 1) that each is real.

    Args:
        hidden: Sizes of the hidden layers.

    Example:
        >>> import minigrad as mg
        >>> Discriminator()(mg.zeros(2, 784)).shape
        (2, 1)
    """

    def __init__(self, hidden: Sequence[int] = (512, 256)) -> None:
        super().__init__()
        sizes = (784, *hidden)
        layers: list[nn.Module] = []
        for before, size in pairwise(sizes):
            layers += [nn.Linear(before, size), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (N, 1) for pictures x (N, 784)."""
        return self.layers(x)

    def logits(self, x: Tensor) -> Tensor:
        """The sigmoid's argument (N, 1): log p/(1 - p), above 0 for pictures that look real."""
        return self.layers[:-1](x)
