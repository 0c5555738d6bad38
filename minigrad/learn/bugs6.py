"""Planted bug B.10: gradients that are clipped, and are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Wrong


def fit(rnn: Any, x: Any, target: Any, steps: int) -> tuple[list[float], list[float]]:
    """Fit an RNN's last hidden state to target (N, H), with gradients clipped to length 1.

    x is (T, N, D). Return, for each step, the loss and the length of the gradient before the cut.
    """
    weights = list(rnn.parameters())
    optimizer = mg.optim.SGD(weights, lr=0.5)
    losses, lengths = [], []
    for _ in range(steps):
        _, last = rnn(x)
        loss = ((last[0] - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        length = mg.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
        lengths.append(length.item())
    return losses, lengths


def _fit_clipping_nothing(
    rnn: Any, x: Any, target: Any, steps: int
) -> tuple[list[float], list[float]]:
    """Fit an RNN's last hidden state to target (N, H), with gradients clipped to length 1.

    x is (T, N, D). Return, for each step, the loss and the length of the gradient before the cut.
    """
    weights = rnn.parameters()
    optimizer = mg.optim.SGD(weights, lr=0.5)
    losses, lengths = [], []
    for _ in range(steps):
        _, last = rnn(x)
        loss = ((last[0] - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        length = mg.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
        lengths.append(length.item())
    return losses, lengths


def _fit(
    turns: str = "zbcs",
    clip: Callable[[Any], Any] | None = None,
    given: Callable[[Any], Any] = list,
) -> Callable[..., tuple[list[float], list[float]]]:
    """A fit that clips otherwise, or with its calls in another order.

    Args:
        turns: z(ero_grad), b(ackward), c(lip) and s(tep).
        clip: Clips the gradients of what it is given, and returns a length.
        given: What is made of `parameters()` before the loop, for `clip`.
    """

    def fit(rnn: Any, x: Any, target: Any, steps: int) -> tuple[list[float], list[float]]:
        optimizer = mg.optim.SGD(rnn.parameters(), lr=0.5)
        weights = given(rnn.parameters())
        losses, lengths = [], []
        for _ in range(steps):
            loss = ((rnn(x)[1][0] - target) ** 2).mean()
            for turn in turns:
                if turn == "c":
                    lengths.append((clip or _clip)(weights).item())
                else:
                    {"z": optimizer.zero_grad, "b": loss.backward, "s": optimizer.step}[turn]()
            losses.append(loss.item())
        return losses, lengths

    return fit


def _clip(weights: Any, to: float = 1.0) -> Any:
    return mg.nn.utils.clip_grad_norm_(weights, to)


def _clip_each(weights: Any) -> Any:
    return [_clip(weight) for weight in weights][-1]


def _clip_and_measure(weights: Any) -> Any:
    _clip(weights)
    return _clip(weights, np.inf)


def _set_length(weights: Any) -> Any:
    length = _clip(weights, np.inf)
    for weight in weights:
        weight.grad = weight.grad / length
    return length


def _judge_fit(fit: Callable[..., Any]) -> Iterator[Result]:
    """Compare with backpropagation through time in NumPy; in one case the gradients are short."""
    for n, size, steps in ((2, 0.3, 2), (3, 9.0, 3)):
        random = np.random.RandomState(n)
        x, target = random.standard_normal((4, n, 1)), size * random.standard_normal((n, 2))
        rnn = mg.nn.RNN(1, 2).astype("float64")
        names = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
        weights = [0.5 * random.standard_normal(shape) for shape in ((2, 1), (2, 2), 2, 2)]
        rnn.load_state_dict(dict(zip(names, weights, strict=True)))
        found = fit(rnn, mg.tensor(x), mg.tensor(target), steps)
        if isinstance(found, tuple | list) and any(
            isinstance(x, list) and len(x) != steps for x in found
        ):
            raise Wrong(
                f"After {steps} steps the lists should hold {steps} numbers each. Where does each "
                "number join its list, and where does `return` stand?"
            )
        kind = "longer" if size > 1 else "shorter"
        where = f"{n} examples, {steps} steps, gradients {kind} than 1"
        right = []
        for _ in range(steps):
            loss, gradients = _through_time(weights, x, target)
            length = np.sqrt(sum((g**2).sum() for g in gradients))
            right.append((loss, length))
            weights = [
                weight - 0.5 * g / max(1.0, length + 1e-6)
                for weight, g in zip(weights, gradients, strict=True)
            ]
        for name, expected in zip(names, weights, strict=True):
            yield Result(f"rnn.{name}", rnn.state_dict()[name].numpy().copy(), expected, where)
        if not (isinstance(found, tuple | list) and [type(x) for x in found] == [list, list]):
            raise Wrong(
                "The function has to return two lists, separated by a comma: the losses, and the "
                "lengths of the gradients."
            )
        for i, name in enumerate(("losses", "lengths")):
            got = np.array([float(value) for value in found[i]])
            yield Result(f"the list of {name}", got, np.array(right)[:, i], where)


def _through_time(weights: list[Array], x: Array, target: Array) -> tuple[float, list[Array]]:
    """The loss of an RNN's last hidden state, and its gradients by the weights."""
    w, u, b, c = weights
    states = [np.zeros_like(target)]
    for now in x:
        states.append(np.tanh(now @ w.T + b + states[-1] @ u.T + c))
    error = states[-1] - target
    g, dw, du, db = 2 / error.size * error, 0 * w, 0 * u, 0 * b
    for now, before, state in zip(x[::-1], states[-2::-1], states[:0:-1], strict=True):
        slope = g * (1 - state**2)
        dw, du, db = dw + slope.T @ now, du + slope.T @ before, db + slope.sum(0)
        g = slope @ u
    return float((error**2).mean()), [dw, du, db, db]


FIT = Exercise(
    number="B.10",
    chapter=8,
    title="A bug: clipped, and yet it leaps",
    level=2,
    minutes=7,
    task="""
This loop trains an RNN and clips its gradients to the length 1, so no step can be longer than the
learning rate. Yet the weights leap now and then, as if nothing were clipped; and the list of
lengths holds nothing but zeros, though the weights do move. Find the bug and mend it.
""",
    hints=(
        "clip_grad_norm_ returns the length of all gradients that it was given. Which gradients "
        "were these, if it is 0? Print `len(list(weights))` before it is called.",
        "`parameters()` is a generator: it gives each weight once, and then it is empty. The "
        "optimizer has been through it.",
    ),
    answer=fit,
    planted=_fit_clipping_nothing,
    judge=_judge_fit,
    against="backpropagation through time, written out in NumPy",
    mistakes=(
        Mistake(
            _fit_clipping_nothing,
            "Nothing is clipped, and a length of 0 says why: clip_grad_norm_ met no gradient. It "
            "was given an exhausted generator (`parameters()` can be walked through once, and the "
            "optimizer did) or other Tensors than the weights, or was called before `backward`.",
        ),
        Mistake(
            _fit(given=iter),
            "In the first step the gradients are clipped, and in no other: the first call of "
            "clip_grad_norm_ has walked through the generator. What is needed in each step must "
            "last longer than one walk.",
        ),
        Mistake(
            _fit("zbsc"),
            "The lengths are right, but each step is as long as before: the gradients are clipped "
            "after it, when nobody needs them any more, or to a length that none of them exceeds.",
        ),
        Mistake(
            _fit("czbs"),
            "What is clipped is the gradient of the step before, which is emptied right "
            "afterwards. This step's gradient does not exist until `backward` has been called.",
        ),
        Mistake(
            _fit("bcs"),
            "The gradients are clipped, but never emptied: each `backward` adds to what is left of "
            "those before.",
        ),
        Mistake(
            _fit("bzcs"),
            "The weights never move, and every length is 0: `zero_grad` stands between `backward` "
            "and the step, and empties what was just computed.",
        ),
        Mistake(
            _fit(clip=lambda weights: _clip([weight for weight in weights if weight.ndim > 1])),
            "Only the matrices are measured and clipped. The gradients of the biases belong to the "
            "same vector, and make it longer.",
        ),
        Mistake(
            _fit(clip=_clip_each),
            "Each weight's gradient is clipped by itself. Together they may still be longer than "
            "1; and the step no longer points where the gradient did. All of them form one vector.",
        ),
        Mistake(
            _fit(clip=lambda weights: mg.nn.utils.clip_grad_value_(weights, 1.0)),
            "clip_grad_value_ limits each number by itself and returns nothing. Together the "
            "gradients may still be longer than 1; and their direction changes.",
        ),
        Mistake(
            _fit(clip=_set_length),
            "Every gradient is brought to the length 1, the short ones too: near the goal, where "
            "steps should become small, they do not. Clipping shortens only what is too long.",
        ),
        Mistake(
            _fit(clip=_clip_and_measure),
            "The gradients are clipped as they should be, but the lengths are those after the cut. "
            "Asked for are those before it, which tell how often the cut was needed.",
        ),
    ),
    after="Next: plot the lengths of a training of your own. Where would you cut?",
)

EXERCISES = (FIT,)
