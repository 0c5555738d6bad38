"""A judge for exercises that write one step of an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import minigrad as mg
from minigrad.learn.judges import Array, Judge, Result, call, several


def same_steps(
    make: Callable[[list[mg.Tensor]], mg.optim.Optimizer],
    memory: dict[str, str],
    numbers: dict[str, float],
    counts: bool,
) -> Judge:
    """Judge one step by minigrad's optimizer, for gradients of several sizes.

    Each step begins where minigrad's optimizer stood, so that a fault does not add up.

    Args:
        make: The optimizer of a list of parameters.
        memory: What the learner's function calls the optimizer's state, and what minigrad does.
        numbers: The options, by the names that the learner's function has for them.
        counts: Whether the function takes t, the number of the step.
    """

    def judge(step: Callable[..., tuple[Array, ...]]) -> Iterator[Result]:
        for shape, scale in (((3,), 1.0), ((2, 2), 1e-4), ((4,), 30.0)):
            random = np.random.RandomState(len(shape))
            before = {"theta": random.standard_normal(shape)}
            before |= {name: np.zeros(shape) for name in memory}
            theta = mg.nn.Parameter(mg.tensor(before["theta"]))
            optimizer = make([theta])
            for t in range(1, 5):
                g = scale * random.standard_normal(shape)
                place = {"theta": before["theta"], "g": g} | {n: before[n] for n in memory}
                got = several(
                    call(step, place | ({"t": t} if counts else {}) | numbers), list(before)
                )
                theta.grad = mg.tensor(g)
                optimizer.step()
                state = optimizer.state_dict()["state"][0]
                before = {"theta": theta.detach().numpy().copy()}
                before |= {mine: state[ours].numpy().copy() for mine, ours in memory.items()}
                for (name, right), mine in zip(before.items(), got, strict=True):
                    yield Result(f"the new {name}", mine, right, f"step {t}, with g near {scale:g}")

    return judge
