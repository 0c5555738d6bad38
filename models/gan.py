"""The two players of a generative adversarial network, as simple as can be: linear layers.

The generator turns noise into pictures; the discriminator gives the probability that a picture is
real. Each is the other's loss function.

Source: Goodfellow et al. 2014, "Generative adversarial nets".
"""

from __future__ import annotations

from minigrad import Tensor, nn


class Generator(nn.Module):
    """Noise (N, latent) to pictures (N, 784) with values in [-1, 1].

    Args:
        latent_dim: Size of the noise vector.

    Example:
        >>> import minigrad as mg
        >>> Generator(latent_dim=100)(mg.randn(2, 100)).shape
        (2, 784)
    """

    def __init__(self, latent_dim: int = 100) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 256),
            nn.BatchNorm1d(256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 512),
            nn.BatchNorm1d(512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 1024),
            nn.BatchNorm1d(1024),
            nn.LeakyReLU(0.2),
            nn.Linear(1024, 784),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Pictures (N, 784) from noise z (N, latent)."""
        return self.layers(z)


class Discriminator(nn.Module):
    """Pictures (N, 784) to the probability (N, 1) that each is real.

    Example:
        >>> import minigrad as mg
        >>> Discriminator()(mg.zeros(2, 784)).shape
        (2, 1)
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(784, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (N, 1) for pictures x (N, 784)."""
        return self.layers(x)

    def logits(self, x: Tensor) -> Tensor:
        """The sigmoid's argument (N, 1): log p/(1 - p), above 0 for pictures that look real."""
        return self.layers[:-1](x)
