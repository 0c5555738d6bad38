"""Adam and AdamW."""

from __future__ import annotations

import math
from operator import is_
from typing import Any

import numpy as np

from minigrad.backends import Array
from minigrad.messages.arguments import array_in, number
from minigrad.optim.groups import Group, at_least_zero, check_implementation, true_or_false
from minigrad.optim.optimizer import Optimizer, Parameters
from minigrad.optim.update import descent_direction, direction
from minigrad.tensor import described

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Steps along a running mean of the gradients, divided by the root of a mean of their squares.

    With the gradient g of step t:
    `m <- beta1 m + (1 - beta1) g`, `v <- beta2 v + (1 - beta2) g^2`,
    `p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)`.

    Args:
        params: Parameters or groups, see `Optimizer`.
        lr: The learning rate, at least 0.
        betas: The decay rates of the two running means m and v, each in [0, 1).
        eps: Added to the denominator, at least 0.
        weight_decay: w, at least 0: adds w p to the gradient.
        amsgrad: Use the largest v so far.
        maximize: Maximize instead of minimizing.
        decoupled_weight_decay: Decay the parameters as AdamW does.
        implementation: PyTorch's options `foreach`, `fused` and `capturable`. They change how a
            step is computed, not its result; accepted without effect.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: An argument is not a number, or not True or False where one of them is expected.

    Source:
        Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1; amsgrad:
        Reddi, Kale and Kumar 2018, "On the convergence of Adam and beyond", algorithm 2.

    Example:
        >>> import minigrad as mg
        >>> p = mg.nn.Parameter([1.0])
        >>> optimizer = Adam([p], lr=0.5)
        >>> (3 * p).sum().backward()
        >>> optimizer.step()
        >>> p.detach()
        tensor([0.5])
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **implementation: bool | None,
    ) -> None:
        check_implementation(implementation)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        """See `Optimizer.check`."""
        at_least_zero(group, "lr", "eps", "weight_decay")
        true_or_false(group, "amsgrad", "maximize", "decoupled_weight_decay")
        group["betas"] = _two_betas(group["betas"])

    def state_names(self, group: Group) -> tuple[str, ...]:
        """The running means m and v; with amsgrad also the largest v so far."""
        largest = ("max_exp_avg_sq",) if group["amsgrad"] else ()
        return ("exp_avg", "exp_avg_sq", *largest)

    def numbers(self, step: int, group: Group) -> tuple[float, ...]:
        """What an update reads, in this order.

        The gradient's sign; w, or 0 with decoupled decay; the factor of p, 1 - lr w with decoupled
        decay and else 1; beta1, 1 - beta1, beta2 and 1 - beta2; eps and lr, both with the bias
        corrections of step t.
        """
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        sign, decay = direction(group)
        keep = 1.0
        if group["decoupled_weight_decay"]:
            keep, decay = 1 - lr * decay, 0.0
        # numerator and denominator are multiplied by c, which saves a pass over the denominator
        c = math.sqrt(1 - beta2**step)
        rate = lr * c / (1 - beta1**step)
        return sign, decay, keep, beta1, 1 - beta1, beta2, 1 - beta2, group["eps"] * c, rate

    def update(
        self, p: Array, g: Array, state: dict[str, Array], step: int, group: Group, scratch: Array
    ) -> None:
        """Change parameters in place, see `Optimizer.update`."""
        sign, decay, keep, beta1, rest1, beta2, rest2, eps, rate = self.numbers(step, group)
        m, v, *largest = state.values()
        if keep != 1:
            p *= keep
        g = descent_direction(p, g, decay, sign, scratch)
        work = scratch[1]
        m *= beta1
        m += np.multiply(g, rest1, out=work)
        v *= beta2
        np.multiply(g, g, out=work)
        work *= rest2
        v += work
        for vmax in largest:
            np.maximum(vmax, v, out=vmax)
            v = vmax
        np.sqrt(v, out=work)
        work += eps
        np.divide(m, work, out=work)
        work *= rate
        p -= work


class AdamW(Adam):
    """Adam with decoupled weight decay: `p <- p - lr w p` first, so m and v do not contain w.

    Args:
        params: Parameters or groups, see `Optimizer`.
        lr: The learning rate, at least 0.
        betas: The decay rates of the two running means m and v, each in [0, 1).
        eps: Added to the denominator, at least 0.
        weight_decay: w, at least 0.
        amsgrad: Use the largest v so far.
        maximize: Maximize instead of minimizing.
        implementation: PyTorch's options `foreach`, `fused` and `capturable`. They change how a
            step is computed, not its result; accepted without effect.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: An argument is not a number, or not True or False where one of them is expected.

    Source:
        Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2.

    Example:
        >>> import minigrad as mg
        >>> p = mg.nn.Parameter([1.0])
        >>> optimizer = AdamW([p], lr=0.5, weight_decay=0.1)
        >>> (0 * p).sum().backward()
        >>> optimizer.step()
        >>> p.detach()
        tensor([0.95])
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **implementation: bool | None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
            **implementation,
        )


def _two_betas(given: Any) -> tuple[float, float]:
    """Both betas as plain numbers, in an immutable tuple; `given` itself if it is such a tuple."""
    array = array_in(given)
    if array is not None and array.ndim == 1:
        given = array.tolist()
    if not isinstance(given, tuple | list) or len(given) != 2:
        kind = ValueError if isinstance(given, tuple | list) else TypeError
        raise kind(f"betas: expected two numbers, as (0.9, 0.999), got {described(given)}")
    first, second = given
    betas = number("betas[0]", first, 0, 1), number("betas[1]", second, 0, 1)
    return given if type(given) is tuple and all(map(is_, betas, given)) else betas
