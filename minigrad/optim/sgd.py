"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

import numpy as np

from minigrad.backends import Array
from minigrad.optim.groups import Group
from minigrad.optim.optimizer import Optimizer, Parameters
from minigrad.optim.options import at_least_zero, check_implementation, true_or_false
from minigrad.optim.update import descent_direction
from minigrad.options import number

__all__ = ["SGD"]


class SGD(Optimizer):
    """Steps against the gradient: `p <- p - lr g`, or with momentum along a running sum of them.

    With momentum mu and dampening d: `b <- mu b + (1 - d) g` (at first `b <- g`), `p <- p - lr b`;
    Nesterov's form steps along `g + mu b`.

    Args:
        params: Parameters or groups, see `Optimizer`.
        lr: The learning rate, at least 0.
        momentum: mu, at least 0.
        dampening: d.
        weight_decay: w, at least 0: adds w p to the gradient.
        nesterov: Use Nesterov's momentum.
        maximize: Climb instead of descending.
        implementation: PyTorch's `foreach`, `fused` and `capturable`, which say how to compute and
            not what; accepted, and without effect.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: An argument is no number, or neither True nor False.

    Source:
        Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning",
        section 2; here lr stands outside the running sum, as in PyTorch.

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

    def update(
        self,
        p: Array,
        g: Array,
        state: dict[str, Array],
        step: int,
        group: Group,
        scratch: Array,
    ) -> None:
        """Change parameters in place, see `Optimizer.update`."""
        g = descent_direction(p, g, group["weight_decay"], group["maximize"], scratch)
        momentum, work = group["momentum"], scratch[1]
        for b in state.values():
            if step == 1:
                b[...] = g
            else:
                b *= momentum
                np.multiply(g, 1 - group["dampening"], out=work)
                b += work
            if group["nesterov"]:
                np.multiply(b, momentum, out=work)
                g = np.add(g, work, out=work)
            else:
                g = b
        p -= np.multiply(g, float(group["lr"]), out=work)
