"""The moving average of a network's weights: calmer than the network, and better at sampling."""

from copy import deepcopy

import minigrad as mg
from minigrad import Tensor, nn

EVERY = 10  # training steps from one update to the next: a tenth of the work, and as good


class Average:
    """The exponential moving average of a network's weights and buffers.

    Every `EVERY` steps `a <- d a + (1 - d) w` with d = decay^EVERY, which is smaller at the start:
    after n updates at most (1 + n)/(10 + n), so that the first weights are soon forgotten.

    Args:
        network: What is trained.
        decay: The share of the average that a training step leaves, 0 to below 1.

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
        """Take the weights in after a training step, counted from 1; most steps need nothing."""
        if step % EVERY:
            return
        count = step // EVERY
        decay = min(self._decay, (1 + count) / (10 + count))
        self._mix(self.network, self._source, mg.tensor(decay))


def mix(average: nn.Module, network: nn.Module, decay: Tensor) -> None:
    """Move the weights and buffers of an average towards those of a network.

    Args:
        average: What is moved.
        network: Towards this one.
        decay: The share of the average that stays, a number on the average's device.
    """
    averages = {**dict(average.named_parameters()), **dict(average.named_buffers())}
    values = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with mg.no_grad():
        mixed = {
            name: value + decay * (averages[name] - value) if value.dtype.kind == "f" else value
            for name, value in values.items()
        }
    average.load_state_dict(mixed)
