"""Exercises of chapter 7: optimizers, clipping, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.exercise import (
    Array,
    Exercise,
    Mistake,
    Result,
    Wrong,
    call,
)
from minigrad.learn.judges import several
from minigrad.learn.optimizer_steps import same_steps

# --- 7.1 momentum -------------------------------------------------------------------------------


def momentum_step(theta: Array, g: Array, m: Array, lr: float, mu: float) -> tuple[Array, Array]:
    """Return the new theta and the new m; g is the gradient at theta, m is 0 at first."""
    m = mu * m + g
    return theta - lr * m, m


MOMENTUM = Exercise(
    number="7.1",
    chapter=7,
    title="One step with momentum",
    level=1,
    minutes=10,
    task="""
Write one step of SGD with momentum, equation (3). theta, the gradient g and the running sum m are
arrays of one shape. Return the new theta and the new m, as new arrays.
""",
    hints=(
        "There are two lines: first the sum takes the gradient in, then the parameter moves.",
        "The old sum is multiplied by mu before g is added; the parameter moves against the *new* "
        "sum, times the learning rate.",
    ),
    answer=momentum_step,
    judge=same_steps(
        lambda parameters: mg.optim.SGD(parameters, lr=0.1, momentum=0.8),
        {"m": "momentum_buffer"},
        {"lr": 0.1, "mu": 0.8},
        counts=False,
    ),
    mistakes=(
        Mistake(
            lambda theta, g, m, lr, mu: (theta - lr * g, mu * m + g),
            "m is computed and never used: the parameter moves against g alone, as in plain SGD.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (theta - lr * m, mu * m + g),
            "The parameter moves against the old sum, which does not know this step's gradient: "
            "take the gradient in first.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (
                theta - lr * (mu * m + (1 - mu) * g),
                mu * m + (1 - mu) * g,
            ),
            "This is a running mean, as in Adam: the gradient is multiplied by 1 - mu. Momentum "
            "adds gradients in full, so that steps that agree get 1 / (1 - mu) times as long.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (theta - (mu * m + lr * g), mu * m + lr * g),
            "The learning rate stands inside the sum. While it stays the same, theta moves alike; "
            "but when a schedule lowers it, old steps keep their old length. m is a sum of "
            "gradients alone.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (theta + lr * (mu * m + g), mu * m + g),
            "The sign is wrong: this goes along the gradient, so the loss rises.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (mu * m + g, theta - lr * (mu * m + g)),
            "The two results are swapped: first the new theta, then the new m.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (theta - lr * (mu * (mu * m + g) + g), mu * m + g),
            "This is Nesterov's form: theta moves against mu m + g once more. In equation (3) it "
            "moves against the new m itself.",
        ),
        Mistake(
            lambda theta, g, m, lr, mu: (theta - lr * (m + mu * g), m + mu * g),
            "mu multiplies the gradient. It is to weaken the *old* sum, so that old gradients fade "
            "away; the new one is added in full.",
        ),
    ),
    after="Next: read SGD.update in minigrad/optim/sgd.py; what does Nesterov's form do otherwise?",
    against="four steps of minigrad's optim.SGD",
)

# --- 7.2 Adam -----------------------------------------------------------------------------------


def adam_step(
    theta: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    """Return the new theta, m and v; g is the gradient of step t; m and v are 0 before t = 1."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_corrected = m / (1 - beta1**t)
    v_corrected = v / (1 - beta2**t)
    return theta - lr * m_corrected / (np.sqrt(v_corrected) + eps), m, v


def _mean(old: Array, new: Array, beta: float) -> Array:
    return beta * old + (1 - beta) * new


def _corrected(mean: Array, beta: float, t: int) -> Array:
    return mean / (1 - beta**t)


def _ratio(m: Array, v: Array, eps: float) -> Array:
    return m / (np.sqrt(v) + eps)


def _adam(
    means: tuple[Callable[..., Array], Callable[..., Array]] = (_mean, _mean),
    corrections: tuple[Callable[..., Array], Callable[..., Array]] = (_corrected, _corrected),
    ratio: Callable[..., Array] = _ratio,
    second: Callable[[Array, Array], Array] = lambda g, m: g * g,
    results: Callable[..., Any] = lambda theta, m, v, m_hat, v_hat: (theta, m, v),
    *,
    sign: int = -1,
    old: bool = False,
    beta1_in_v: bool = False,
) -> Callable[..., Any]:
    """Adam with a mistake: one of its parts done otherwise."""

    def step(theta: Array, g: Array, m: Array, v: Array, t: int, *numbers: float) -> Any:
        lr, beta1, beta2, eps = numbers
        before = m, v
        m = means[0](m, g, beta1)
        v = means[1](v, second(g, m), beta1 if beta1_in_v else beta2)
        m_used, v_used = before if old else (m, v)
        m_hat, v_hat = corrections[0](m_used, beta1, t), corrections[1](v_used, beta2, t)
        theta = theta + sign * lr * ratio(m_hat, v_hat, eps)
        return results(theta, m, v, m_hat, v_hat)

    return step


def _sum(old: Array, new: Array, beta: float) -> Array:
    return beta * old + new


def _weights_exchanged(old: Array, new: Array, beta: float) -> Array:
    return _mean(old, new, 1 - beta)


def _power(more: int) -> Callable[..., Array]:
    return lambda mean, beta, t: mean / (1 - beta ** (t + more))


def _as_it_is(mean: Array, beta: float, t: int) -> Array:
    return mean


def _exchanged_betas(step: Callable[..., Any]) -> Callable[..., Any]:
    return lambda theta, g, m, v, t, lr, beta1, beta2, eps: step(
        theta, g, m, v, t, lr, beta2, beta1, eps
    )


def _beta1_twice(step: Callable[..., Any]) -> Callable[..., Any]:
    return lambda theta, g, m, v, t, lr, beta1, beta2, eps: step(
        theta, g, m, v, t, lr, beta1, beta1, eps
    )


ADAM = Exercise(
    number="7.2",
    chapter=7,
    title="One step of Adam",
    level=2,
    minutes=20,
    task="""
Write one step of Adam, equations (5) and (6). theta, g, m and v are arrays of one shape, t is the
number of the step, counted from 1. Return the new theta, and m and v as the next step needs them.
""",
    hints=(
        "Four lines: two running means, their two corrections, and then the step. Which of these "
        "numbers does the next step need?",
        "The corrected means are used in this step and thrown away: the factors 1 - beta^t are "
        "those of means that were never corrected before. eps is added to the root.",
    ),
    answer=adam_step,
    judge=same_steps(
        lambda parameters: mg.optim.Adam(parameters, lr=0.1, betas=(0.8, 0.95), eps=1e-6),
        {"m": "exp_avg", "v": "exp_avg_sq"},
        {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6},
        counts=True,
    ),
    mistakes=(
        Mistake(
            _adam(corrections=(_as_it_is, _as_it_is)),
            "m and v are right, but the bias correction is missing. Both begin at 0, so after t "
            "steps they are too small by the factors 1 - beta1^t and 1 - beta2^t; the two differ, "
            "so they do not cancel.",
        ),
        Mistake(
            _adam(corrections=(_corrected, _as_it_is)),
            "Only m is corrected. v begins at 0 too: uncorrected it is too small, and the first "
            "steps become too long.",
        ),
        Mistake(
            _adam(corrections=(_as_it_is, _corrected)),
            "Only v is corrected. m begins at 0 too: uncorrected it is too small, and the first "
            "steps become too short.",
        ),
        Mistake(
            _adam(ratio=lambda m, v, eps: m / np.sqrt(v + eps)),
            "eps stands inside the root. There it acts like the root of eps, which is far larger: "
            "small gradients make hardly any steps. Add it after the root.",
        ),
        Mistake(
            _adam(results=lambda theta, m, v, m_hat, v_hat: (theta, m_hat, v_hat)),
            "The corrected means are handed to the next step, which corrects them once more. Use "
            "them in this step alone, and return m and v as they were before.",
        ),
        Mistake(
            _adam(ratio=lambda m, v, eps: m / (v + eps)),
            "The root is missing: v is a mean of squares, so only its root has the unit of a "
            "gradient, and only then is a step about lr long.",
        ),
        Mistake(
            _adam(corrections=(_power(-1), _power(-1))),
            "The powers are one too low: with t - 1 the first step divides by 1 - 1 = 0. After one "
            "gradient a mean has the weight 1 - beta, that is, t = 1 counts.",
        ),
        Mistake(
            _adam(means=(_sum, _sum)),
            "The new gradient (and its square) is added in full. In a running mean it has the "
            "weight 1 - beta, so that the weights add up to 1.",
        ),
        Mistake(
            _adam(means=(_sum, _mean)),
            "v is right. m takes the gradient in with the weight 1: in a running mean it has the "
            "weight 1 - beta1.",
        ),
        Mistake(
            _adam(means=(_weights_exchanged, _mean)),
            "v is right. In m the weights are exchanged: the past keeps beta1, which is near 1, "
            "and the new gradient gets the rest.",
        ),
        Mistake(
            _adam(means=(_weights_exchanged, _weights_exchanged)),
            "In both means the weights are exchanged: the past keeps beta, which is near 1, and "
            "what is new gets the rest.",
        ),
        Mistake(
            _adam(beta1_in_v=True),
            "m is right. v takes in the square with beta1; it has a beta of its own, beta2, and so "
            "a longer memory.",
        ),
        Mistake(
            _adam(sign=1),
            "The sign is wrong: theta goes along the gradient, so the loss rises.",
        ),
        Mistake(
            _adam(results=lambda theta, m, v, m_hat, v_hat: (theta, v, m)),
            "m and v are returned in the wrong order: the exercise asks for theta, m, v.",
        ),
        Mistake(
            _adam(old=True),
            "theta moves by the m and v from before this step, which do not know its gradient (at "
            "the first step they are 0, and theta stays). Take the gradient in first.",
        ),
        Mistake(
            _adam(corrections=(_power(1), _power(1))),
            "The powers are one too high. t counts from 1: at the first step a mean has the weight "
            "1 - beta, with the power t = 1.",
        ),
        Mistake(
            _adam(
                corrections=(
                    lambda mean, beta, t: mean / (1 - beta),
                    lambda mean, beta, t: mean / (1 - beta),
                )
            ),
            "The corrections divide by 1 - beta at every step: the power t is missing. With each "
            "step the mean holds more of its weights, and has to be corrected less.",
        ),
        Mistake(
            _adam(second=lambda g, m: m * m),
            "v takes in the square of m. It is a running mean of the squares of the *gradients*, "
            "which do not cancel as the gradients themselves do.",
        ),
        Mistake(
            _adam(second=lambda g, m: g),
            "v takes in g, not its square. A negative v has no root.",
        ),
        Mistake(
            _adam(ratio=lambda m, v, eps: m / np.sqrt(v)),
            "m and v are right, but eps is missing. It matters where the gradients are tiny; and "
            "where they are all 0, the step is 0 / 0 without it.",
        ),
        Mistake(
            _exchanged_betas(_adam()),
            "beta1 and beta2 are exchanged: beta1 belongs to m, beta2 to v.",
        ),
        Mistake(
            _beta1_twice(_adam()),
            "beta1 is used for v too, in its mean and in its correction. v has a beta of its own, "
            "beta2, and so a longer memory.",
        ),
    ),
    after="Next: find both corrections in Adam.numbers in minigrad/optim/adam.py.",
    against="four steps of minigrad's optim.Adam",
)

# --- 7.3 clipping -------------------------------------------------------------------------------


def clipped(gradients: list[Array], limit: float) -> list[Array]:
    """Return the gradients, shortened together so that their common length is at most limit."""
    length = np.sqrt(sum(np.sum(g**2) for g in gradients))
    return [g * limit / max(length, limit) for g in gradients]


def _judge_clipped(function: Callable[..., list[Array]]) -> Iterator[Result]:
    for limit, scale, shapes in (
        (1.0, 2.0, [(3,), (2, 2)]),
        (2.5, 5.0, [(4, 3), (4,), (1,)]),
        (1e3, 1.0, [(2,), (3,)]),
        (1.0, 0.0, [(2,), (2, 3)]),
    ):
        random = np.random.RandomState(0)
        gradients = [scale * random.standard_normal(shape) for shape in shapes]
        before = [g.copy() for g in gradients]
        given: list[Array] = []
        got = call(_remembering(function, given), {"gradients": gradients, "limit": limit})
        if not (got is None or got is ... or isinstance(got, list | tuple)):
            raise Wrong("Return a list: one gradient for each that was given, in the same order.")
        length = math.sqrt(sum(float(x) ** 2 for g in before for x in g.flat))
        factor = 1.0 if length <= limit else limit / length
        where = f"gradients of the common length {length:.3g}, limit {limit:g}"
        results = [got] * len(before) if got is None or got is ... else list(got)
        if len(results) != len(before):
            raise Wrong(f"{len(before)} gradients were given, and {len(results)} came back.")
        for i, (mine, g) in enumerate(zip(results, before, strict=True)):
            yield Result(f"the gradient number {i}", mine, factor * g, where)
        arrays = [mine for mine in results if isinstance(mine, np.ndarray)]
        if any(np.shares_memory(mine, g) for mine in arrays for g in given):
            raise Wrong(
                f"The numbers are right, but the list holds the very arrays that were given (for "
                f"{where}). If somebody changes the one, the other changes too: return new arrays, "
                "`g.copy()` where nothing is shortened."
            )


def _remembering(function: Callable[..., Any], given: list[Array]) -> Callable[..., Any]:
    """The function, which notes the arrays that it is given."""

    def called(gradients: list[Array], limit: float) -> Any:
        given[:] = gradients
        return function(gradients, limit)

    return called


CLIPPED = Exercise(
    number="7.3",
    chapter=7,
    title="Clip by the common length",
    level=2,
    minutes=15,
    task="""
The gradients of a network's parameters come as a list of arrays of different shapes. Taken together
they form one long vector. If it is longer than limit, shorten it to that length, and keep its
direction; if not, leave it as it is. Return a list of new arrays. All gradients may be 0.
""",
    hints=(
        "The length of the long vector is the root of the sum of *all* squares, over all arrays.",
        "All arrays are multiplied by the same factor, which is at most 1. Take care that it is "
        "not computed as limit / 0.",
    ),
    answer=clipped,
    judge=_judge_clipped,
    mistakes=(
        Mistake(
            lambda gradients, limit: [g * limit / max(np.linalg.norm(g), limit) for g in gradients],
            "Each array is cut to the limit by itself. That changes their proportions, and so the "
            "direction of the whole gradient; and together they may still be too long.",
        ),
        Mistake(
            lambda gradients, limit: [np.clip(g, -limit, limit) for g in gradients],
            "Each element is cut by itself. That bends the gradient: large elements shrink and "
            "small ones do not. One factor for all keeps the direction.",
        ),
        Mistake(
            lambda gradients, limit: [
                g * limit / np.sqrt(sum(np.sum(x**2) for x in gradients)) for g in gradients
            ],
            "Gradients that are short enough are stretched to the limit (and if all are 0, this "
            "divides 0 by 0). Clipping only ever shortens.",
        ),
        Mistake(
            lambda gradients, limit: [
                g * limit / max(sum(np.sum(x**2) for x in gradients), limit) for g in gradients
            ],
            "The root is missing: the sum of the squares is the square of the length.",
        ),
        Mistake(
            lambda gradients, limit: [
                g * limit / max(sum(np.linalg.norm(x) for x in gradients), limit) for g in gradients
            ],
            "The lengths of the arrays are added. The length of the long vector is the root of the "
            "sum of all squares: 3 and 4 make 5, not 7.",
        ),
        Mistake(
            lambda gradients, limit: [
                g * limit / max(max(np.linalg.norm(x) for x in gradients), limit) for g in gradients
            ],
            "One factor for all, but it is made from the longest array alone. The long vector is "
            "longer than any of its parts: 3 and 4 make 5, not 4.",
        ),
        Mistake(
            lambda gradients, limit: [
                g * limit / max(max(np.abs(x).max() for x in gradients), limit) for g in gradients
            ],
            "One factor for all, but it is made from the largest element alone. The length is the "
            "root of the sum of all squares.",
        ),
        Mistake(
            lambda gradients, limit: [
                g * limit / max(np.sqrt(sum(np.mean(x**2) for x in gradients)), limit)
                for g in gradients
            ],
            "Means of the squares stand in the place of their sums, so a large array counts no "
            "more than a small one.",
        ),
        Mistake(
            lambda gradients, limit: [
                g / max(np.sqrt(sum(np.sum(x**2) for x in gradients)), limit) for g in gradients
            ],
            "The factor is to be limit / length. Here `limit` does not stand above the fraction "
            "bar.",
        ),
    ),
    after="Next: read clip_grad_norm_ in minigrad/nn/utils.py; how does it avoid a division by 0?",
    against="the definition, element by element",
)

# --- 7.4 early stopping -------------------------------------------------------------------------


def early_stop(losses: Array, patience: int) -> tuple[int, int]:
    """Return the epoch with the best weights, and that at which training stops, both from 0.

    losses is an array of shape (E,): the validation loss after each of E epochs.
    """
    best = 0
    for now in range(len(losses)):
        if losses[now] < losses[best]:
            best = now
        if now - best == patience:
            break
    return best, now


def _stop_by_minima(losses: Array, patience: int) -> tuple[int, int]:
    best = [int(np.argmin(losses[: epoch + 1])) for epoch in range(len(losses))]
    ends = [epoch for epoch in range(len(losses)) if epoch - best[epoch] >= patience]
    end = ends[0] if ends else len(losses) - 1
    return best[end], end


def _by_rises(losses: Array, patience: int) -> tuple[int, int]:
    rises = 0
    for epoch in range(1, len(losses)):
        rises = rises + 1 if losses[epoch] >= losses[epoch - 1] else 0
        if rises == patience:
            return int(np.argmin(losses[: epoch + 1])), epoch
    return int(np.argmin(losses)), len(losses) - 1


def _never_reset(losses: Array, patience: int) -> tuple[int, int]:
    best, bad = 0, 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[best]:
            best = epoch
        else:
            bad += 1
        if bad == patience:
            return best, epoch
    return best, len(losses) - 1


def _by_the_last(losses: Array, patience: int) -> tuple[int, int]:
    best, bad = 0, 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[epoch - 1]:
            best, bad = epoch, 0
        else:
            bad += 1
        if bad == patience:
            return best, epoch
    return best, len(losses) - 1


def _first_is_bad(losses: Array, patience: int) -> tuple[int, int]:
    best, bad = 0, 0
    for epoch in range(len(losses)):
        if losses[epoch] < losses[best]:
            best = epoch
        else:
            bad += 1
        if bad == patience:
            return best, epoch
    return best, len(losses) - 1


LOSSES = (
    ([1.0, 0.6, 0.5, 0.55, 0.52, 0.6, 0.4, 0.3], 3),
    ([1.0, 0.9, 1.1, 0.8, 0.85, 0.7, 0.9, 0.6], 2),
    ([0.5, 0.5, 0.5, 0.5], 2),
    ([3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 2.6], 3),
    ([0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.5, 0.55], 4),
)


def _judge_early(function: Any) -> Iterator[Result]:
    names = ("the epoch to keep", "the last epoch")
    for losses, patience in LOSSES:
        case = {"losses": np.array(losses), "patience": patience}
        got = several(call(function, case), names)
        right = _stop_by_minima(case["losses"], patience)
        for name, mine, epoch in zip(names, got, right, strict=True):
            yield Result(name, mine, epoch, f"losses {losses}, patience = {patience}")


EARLY = Exercise(
    number="7.4",
    chapter=7,
    title="When to stop",
    level=2,
    minutes=15,
    task="""
losses, a NumPy array, holds the validation loss after each epoch. Training stops as soon as
`patience` epochs in a row have brought no new lowest loss (an equal one is not lower), or when
there are no more losses. Return two numbers: the epoch whose weights are to be kept, and the last
epoch that was trained. Epochs count from 0.
""",
    hints=(
        "Walk through the epochs and remember one number: the epoch with the lowest loss so far.",
        "How many epochs have gone by since the best one? When that is `patience`, stop.",
    ),
    answer=early_stop,
    judge=_judge_early,
    against="the lowest loss up to each epoch",
    mistakes=(
        Mistake(
            lambda losses, patience: (int(np.argmin(losses)), _stop_by_minima(losses, patience)[1]),
            "The epoch to keep is looked for among all losses, also those after the stop. They "
            "were never computed: training had ended.",
        ),
        Mistake(
            lambda losses, patience: (int(np.argmin(losses)), len(losses) - 1),
            "patience plays no part: training goes on to the last loss, however long nothing "
            "gets better.",
        ),
        Mistake(
            lambda losses, patience: 2 * (_stop_by_minima(losses, patience)[1],),
            "The weights of the last epoch are kept. When training stops, they are `patience` "
            "epochs past the best ones: those are to be kept.",
        ),
        Mistake(
            _by_rises,
            "Each loss is compared with the one before. After a bad epoch a slightly better one "
            "is no progress: compare with the best so far.",
        ),
        Mistake(
            _never_reset,
            "Bad epochs are counted from the beginning. A new best loss starts the count anew: "
            "the epochs have to be in a row.",
        ),
        Mistake(
            lambda losses, patience: _stop_by_minima(losses, patience + 1),
            "It stops one epoch late: count how many epochs have brought nothing, and stop when "
            "there are `patience` of them.",
        ),
        Mistake(
            lambda losses, patience: _stop_by_minima(
                losses - 1e-9 * np.arange(len(losses)), patience
            ),
            "An equal loss counts as progress here. On a plateau training would go on for ever.",
        ),
        Mistake(
            _by_the_last,
            "Each loss is compared with the one before, and any that is lower counts as a new "
            "best. Compare with the lowest so far.",
        ),
        Mistake(
            _first_is_bad,
            "Bad epochs are counted from the beginning, and never from 0 again; even epoch 0 "
            "counts as one. A new best loss starts the count anew.",
        ),
        Mistake(
            lambda losses, patience: _stop_by_minima(losses, patience - 1),
            "It stops one epoch early: `patience` epochs in a row may go by without a new lowest "
            "loss.",
        ),
        Mistake(
            lambda losses, patience: (
                int(np.argmin(losses)),
                min(int(np.argmin(losses)) + patience, len(losses) - 1),
            ),
            "The lowest of *all* losses is looked for, also among those that training never comes "
            "to. Walk through the epochs, and stop at the first place where the patience is over.",
        ),
        Mistake(
            lambda losses, patience: (_stop_by_minima(losses, patience)[0], len(losses)),
            "The last epoch is the number of all losses. Epochs count from 0, so the last of n is "
            "n - 1; and training may stop long before.",
        ),
        Mistake(
            lambda losses, patience: (
                float(losses[_stop_by_minima(losses, patience)[0]]),
                _stop_by_minima(losses, patience)[1],
            ),
            "The first result is the lowest loss itself. Asked for is its epoch.",
        ),
    ),
    after="Next: find keep_best in train/lstm.py, which keeps the best weights of a run.",
)

EXERCISES = (MOMENTUM, ADAM, CLIPPED, EARLY)
