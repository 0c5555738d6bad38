"""The moving average of a network's weights: calmer than the network, and better at sampling."""

from copy import deepcopy

import minigrad as mg
from minigrad import Tensor, nn

EVERY = 10  # number of training steps between updates: a tenth of the work, and as good


class Average:
    """The exponential moving average of a network's weights and buffers.

    Every `EVERY` steps `a <- d a + (1 - d) w` with d = decay^EVERY. After n updates d is at most
    (1 + n)/(10 + n), so the average soon forgets the first weights.

    Args:
        network: The network that is trained.
        decay: The share of the average that remains after a training step, 0 to below 1.

    Attributes:
        network: A copy of the network with the averages, in evaluation mode.

    Source: Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; for
    GANs Yazici et al. 2019, "The unusual effectiveness of averaging in GAN training".
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self._source, self._decay = network, decay**EVERY
        self._mix = mg.capture(mix, next(network.parameters()).device)

    def update(self, step: int) -> None:
        """Update the average after a training step, counted from 1, if it is due."""
        if step % EVERY:
            return
        count = step // EVERY
        decay = min(self._decay, (1 + count) / (10 + count))
        self._mix(self.network, self._source, mg.tensor(decay))


def mix(average: nn.Module, network: nn.Module, decay: Tensor) -> None:
    """Move the weights and buffers a of an average towards a network's, w: a <- d a + (1 - d) w.

    The decay d, the share of the average that remains, is a number on the average's device.
    """
    averages = {**dict(average.named_parameters()), **dict(average.named_buffers())}
    values = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with mg.no_grad():
        mixed = {
            name: value + decay * (averages[name] - value) if value.dtype.kind == "f" else value
            for name, value in values.items()
        }
    average.load_state_dict(mixed)
