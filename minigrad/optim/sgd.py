"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

import numpy as np

from minigrad.backends import Array
from minigrad.messages.arguments import number
from minigrad.optim.groups import Group, at_least_zero, check_implementation, true_or_false
from minigrad.optim.optimizer import Optimizer, Parameters
from minigrad.optim.update import descent_direction, direction

__all__ = ["SGD"]


class SGD(Optimizer):
    """Steps against the gradient, `p <- p - lr g`, or with momentum against a running sum of it.

    With momentum mu and dampening d: `b <- mu b + (1 - d) g` (`b <- g` in the first step), and
    `p <- p - lr b`. Nesterov's form is `p <- p - lr (g + mu b)`.

    Args:
        params: Parameters or groups, see `Optimizer`.
        lr: The learning rate, at least 0.
        momentum: mu, at least 0.
        dampening: d, any number.
        weight_decay: w, at least 0: adds w p to the gradient.
        nesterov: Use Nesterov's momentum.
        maximize: Maximize instead of minimizing.
        implementation: PyTorch's options `foreach`, `fused` and `capturable`. They change how a
            step is computed, not its result; accepted without effect.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: An argument is not a number, or not True or False where one of them is expected.

    Source:
        Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning",
        section 2; here lr is outside the running sum, as in PyTorch.

    Example:
        >>> import minigrad as mg
        >>> p = mg.nn.Parameter([1.0])
        >>> optimizer = SGD([p], lr=0.5)
        >>> (p * p).sum().backward()
        >>> optimizer.step()
        >>> p.detach()
        tensor([0.])
    """

    counts_steps = False

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ) -> None:
        check_implementation(implementation)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        """See `Optimizer.check`."""
        at_least_zero(group, "lr", "momentum", "weight_decay")
        true_or_false(group, "nesterov", "maximize")
        group["dampening"] = number("dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"nesterov: needs a momentum above 0 and a dampening of 0, got momentum="
                f"{group['momentum']} and dampening={group['dampening']}"
            )

    def state_names(self, group: Group) -> tuple[str, ...]:
        """The running sum b, where there is momentum."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def numbers(self, step: int, group: Group) -> tuple[float, ...]:
        """The gradient's sign, w, mu, 1 - d, mu for Nesterov's form (else 0), and lr."""
        momentum = float(group["momentum"])
        # in the first step the running sum is the gradient itself, without dampening
        keep, rest = (0.0, 1.0) if step == 1 else (momentum, 1 - float(group["dampening"]))
        ahead = momentum if group["nesterov"] else 0.0
        return *direction(group), keep, rest, ahead, float(group["lr"])

    def update(
        self, p: Array, g: Array, state: dict[str, Array], step: int, group: Group, scratch: Array
    ) -> None:
        """Change parameters in place, see `Optimizer.update`."""
        sign, decay, keep, rest, ahead, lr = self.numbers(step, group)
        g = descent_direction(p, g, decay, sign, scratch)
        work = scratch[1]
        for b in state.values():
            if step == 1:
                b[...] = g
            else:
                b *= keep
                b += np.multiply(g, rest, out=work)
            if ahead:
                np.multiply(b, ahead, out=work)
                g = np.add(g, work, out=work)
            else:
                g = b
        p -= np.multiply(g, lr, out=work)
