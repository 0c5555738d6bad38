"""RMSprop."""

from __future__ import annotations

import numpy as np

from minigrad.backends import Array
from minigrad.optim.groups import Group, at_least_zero, check_implementation, true_or_false
from minigrad.optim.optimizer import Optimizer, Parameters
from minigrad.optim.update import descent_direction, direction

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps against the gradient, divided by the root of a running mean of its squares.

    `q <- alpha q + (1 - alpha) g^2`, `p <- p - lr g / (sqrt(q) + eps)`. With `centered`, the
    variance `max(q - a^2, 0)` is used instead of q, where `a <- alpha a + (1 - alpha) g` is the
    running mean of the gradient. With momentum mu, `b <- mu b + g / (sqrt(q) + eps)` and
    `p <- p - lr b`.

    A variance is at least 0, but the computed `q - a^2` may not be: where the gradient hardly
    changes, q and a^2 are nearly equal, and rounding may leave a small negative number, whose root
    is NaN. Here such a variance counts as 0, and the step is `lr g / eps`; choose eps for that
    case. PyTorch gives NaN there.

    Args:
        params: Parameters or groups, see `Optimizer`.
        lr: The learning rate, at least 0.
        alpha: The decay rate of the running means, at least 0.
        eps: Added to the denominator, at least 0.
        weight_decay: w, at least 0: adds w p to the gradient.
        momentum: mu, at least 0.
        centered: Divide by the running standard deviation.
        maximize: Maximize instead of minimizing.
        implementation: PyTorch's options `foreach`, `fused` and `capturable`. They change how a
            step is computed, not its result; accepted without effect.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: An argument is not a number, or not True or False where one of them is expected.

    Source:
        Tieleman and Hinton 2012, "Neural networks for machine learning", lecture 6.5; centered:
        Graves 2013, "Generating sequences with recurrent neural networks", eq. 38-45.

    Example:
        >>> import minigrad as mg
        >>> p = mg.nn.Parameter([1.0])
        >>> optimizer = RMSprop([p], lr=0.05)
        >>> (3 * p).sum().backward()
        >>> optimizer.step()
        >>> round(p.item(), 4)
        0.5
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ) -> None:
        check_implementation(implementation)
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        """See `Optimizer.check`."""
        at_least_zero(group, "lr", "alpha", "eps", "weight_decay", "momentum")
        true_or_false(group, "centered", "maximize")

    def state_names(self, group: Group) -> tuple[str, ...]:
        """The running mean q; with momentum the running sum b; if centered the running mean a."""
        momentum = ("momentum_buffer",) if group["momentum"] else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def numbers(self, step: int, group: Group) -> tuple[float, ...]:
        """The gradient's sign, w, alpha, 1 - alpha, eps, mu, and lr."""
        alpha, momentum = float(group["alpha"]), float(group["momentum"])
        eps, lr = float(group["eps"]), float(group["lr"])
        return *direction(group), alpha, 1 - alpha, eps, momentum, lr

    def update(
        self, p: Array, g: Array, state: dict[str, Array], step: int, group: Group, scratch: Array
    ) -> None:
        """Change parameters in place, see `Optimizer.update`."""
        sign, decay, alpha, rest, eps, momentum, lr = self.numbers(step, group)
        g = descent_direction(p, g, decay, sign, scratch)
        work = scratch[1]
        q = state["square_avg"]
        q *= alpha
        np.multiply(g, g, out=work)
        work *= rest
        q += work
        if group["centered"]:
            a = state["grad_avg"]
            a *= alpha
            a += np.multiply(g, rest, out=work)
            np.multiply(a, a, out=work)
            np.subtract(q, work, out=work)
            np.maximum(work, 0, out=work)  # rounding may make it negative; NaN stays NaN
            np.sqrt(work, out=work)
        else:
            np.sqrt(q, out=work)
        work += eps
        np.divide(g, work, out=work)
        if momentum:
            b = state["momentum_buffer"]
            b *= momentum
            b += work
            np.multiply(b, lr, out=work)
        else:
            work *= lr
        p -= work
