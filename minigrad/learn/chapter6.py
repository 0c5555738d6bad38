"""Exercises of chapter 6: losses, and how they are computed for numbers of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Values, Wrong, draw
from minigrad.learn.faults import is_close
from minigrad.learn.judges import differences

# --- 6.1 logsumexp ----------------------------------------------------------------------------


def logsumexp_of_rows(z: Array) -> Array:
    """Return log(sum of e^z) for each row of z, shape (N,), where z has the shape (N, K)."""
    m = z.max(axis=1)
    return m + np.log(np.sum(np.exp(z - m[:, None]), axis=1))


LOGSUMEXP = Exercise(
    number="6.1",
    chapter=6,
    title="A logsumexp that survives",
    level=1,
    minutes=10,
    task="""
For logits z of shape (N, K) return the vector (N,) of log(e^z[n, 0] + ... + e^z[n, K-1]), one
number for each row. The logits may be as large as 1000 or as small as -1000, and both may stand
in different rows.
""",
    hints=(
        "e^1000 overflows, and if all logits of a row are near -1000, the sum underflows to 0. "
        "Which number may be subtracted from all logits of a row, so that neither happens?",
        "Equation (7): with m the largest logit of the row, the result is m plus the logarithm of "
        "the sum of e^(z - m). `z.max(axis=1, keepdims=True)` has the shape (N, 1), so that each "
        "row loses its own largest logit.",
    ),
    answer=logsumexp_of_rows,
    judge=Values(
        truth=lambda z: np.logaddexp.reduce(z, axis=1),
        needs=("z",),
        cases=(
            draw(0, z=(3, 3)),
            draw(1, z=(4, 2)),
            {"z": np.array([[1000.0, 999.0, 998.0], [-1000.0, -1001.0, -1000.5]])},
            {"z": np.array([[800.0, -800.0], [-800.0, 800.0], [0.0, 0.5]])},
        ),
        torch="torch.logsumexp(z, 1)",
        against="NumPy's logaddexp, two numbers at a time",
    ),
    mistakes=(
        Mistake(
            lambda z: np.log(np.sum(np.exp(z), axis=1)),
            "Right on paper, and right for small logits. But e^1000 is infinite in float64, and "
            "the sum of e^-1000 is 0, whose logarithm is minus infinity: move the exponents first.",
        ),
        Mistake(
            lambda z: np.log(np.sum(np.exp(z - z.max(axis=1, keepdims=True)), axis=1)),
            "The largest logit is subtracted, and never added again: e^m was taken out of the sum, "
            "so its logarithm, m, belongs in front.",
        ),
        Mistake(
            lambda z: z.max() + np.log(np.sum(np.exp(z - z.max()), axis=1)),
            "One maximum for the whole batch: in a row that lies 2000 below it, all e^(z - m) "
            "underflow to 0. Each row needs the maximum of its own.",
        ),
        Mistake(
            lambda z: z.min(axis=1) + np.log(np.sum(np.exp(z - z.min(axis=1)[:, None]), axis=1)),
            "What is subtracted is not the largest logit of the row, so that some exponents stay "
            "positive, and a power overflows. Which logit makes all exponents at most 0?",
        ),
        Mistake(
            lambda z: z.max(axis=1) + np.log(np.sum(np.exp(z - z.max(axis=1)), axis=1)),
            "z - z.max(axis=1) takes (N, K) and (N,) together: NumPy aligns the last axes, so "
            "column k loses the maximum of row k. Keep the axis: shape (N, 1).",
        ),
        Mistake(
            lambda z: np.logaddexp.reduce(z, axis=0),
            "This sums over the examples. The classes of one example stand in a row: the sum runs "
            "along axis 1, and one number is left for each row.",
        ),
        Mistake(
            lambda z: z.max(axis=1),
            "The largest logit alone is a good guess, and always too small: with "
            "two equal logits m the result is m + log 2.",
        ),
        Mistake(
            lambda z: np.log(np.sum(np.exp(np.clip(z, -700, 700)), axis=1)),
            "The logits are cut off at 700. Nothing overflows, but the result is wrong: it can "
            "never be larger than about 700, and its derivative there is 0.",
        ),
        Mistake(
            lambda z: (
                np.abs(z).max(axis=1)
                + np.log(np.sum(np.exp(z - np.abs(z).max(axis=1)[:, None]), axis=1))
            ),
            "The largest absolute value is subtracted. In a row near -1000 this is 1000, all "
            "powers underflow to 0, and the logarithm of 0 is minus infinity.",
        ),
        Mistake(
            lambda z: np.sum(z, axis=1),
            "This is the sum of the logarithms: log(e^a) + log(e^b) is a + b. The logarithm of a "
            "sum is something else, so the sum has to be taken first.",
        ),
    ),
    after="Next: the rule puzzle with logsumexp; its derivative is an old acquaintance.",
)

# --- 6.2 the gradient of the mean cross-entropy ---------------------------------------------------


def cross_entropy_gradient(z: Array, classes: Array) -> Array:
    """Return dL/dz (N, K) of the mean cross-entropy of logits z (N, K) and classes (N,)."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return (p - np.eye(z.shape[1])[classes]) / len(z)


def _softmax(z: Array, axis: int = 1) -> Array:
    return np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True)


def _one_hot(classes: Array, z: Array) -> Array:
    return np.eye(z.shape[1])[classes]


def _mean_cross_entropy(z: Array, classes: Array, s: float = 0.0) -> Array:
    """With labels smoothed by s: each of K classes gets s / K, the right one also the rest."""
    log_p = z - np.logaddexp.reduce(z, axis=1)[:, None]
    rows = [(1 - s) * row[c] + s * row.mean() for row, c in zip(log_p, classes, strict=True)]
    return -np.mean(rows)


def _columns(z: Array, classes: Array) -> Array:
    p = _softmax(z)
    p[:, classes] -= 1
    return p / len(z)


def _rows(z: Array, classes: Array) -> Array:
    p = _softmax(z)
    p[classes] -= 1
    return p / len(z)


GRADIENT = Exercise(
    number="6.2",
    chapter=6,
    title="The gradient of the cross-entropy",
    level=2,
    minutes=15,
    task="""
Logits z have the shape (N, K); classes holds the number of the right class of each row. L is the
*mean* over the rows of minus the logarithm of the right class's softmax probability. Return dL/dz.
""",
    hints=(
        "Equation (4) is the gradient for one row. What does the mean over N rows change?",
        "Compute softmax along each row. One entry of each row, that of its right class, loses 1: "
        "np.eye(K)[classes] has a row for each example, with a 1 at its right class.",
    ),
    answer=cross_entropy_gradient,
    judge=Values(
        truth=lambda z, classes: differences(
            _mean_cross_entropy, {"z": z, "classes": classes}, "z", np.ones(())
        ),
        needs=("z", "classes"),
        cases=(
            draw(0, z=(3, 3), classes=np.array([0, 2, 2])),
            draw(1, z=(5, 3), classes=np.array([1, 0, 2, 1, 1])),
            draw(2, z=(1, 4), classes=np.array([3])),
        ),
        torch="torch.func.grad(torch.nn.functional.cross_entropy)(z, classes)",
        names=("dL/dz",),
        against="central differences of the loss",
    ),
    mistakes=(
        Mistake(
            lambda z, classes: _softmax(z) - _one_hot(classes, z),
            "This is the gradient of the sum of the losses. L is their mean: each row has only "
            "the share 1/N in it, and so has its gradient.",
        ),
        Mistake(
            lambda z, classes: (_one_hot(classes, z) - _softmax(z)) / len(z),
            "The sign is wrong: a larger logit of the right class makes the loss smaller, so its "
            "derivative is negative. It is what the network says minus what it should say.",
        ),
        Mistake(
            lambda z, classes: _softmax(z) / len(z),
            "This is the derivative of the first term, the logsumexp. The second, minus the logit "
            "of the right class, is missing: there 1 is subtracted.",
        ),
        Mistake(
            lambda z, classes: (_softmax(z) - _one_hot(classes, z)) / z.size,
            "Divided by N K, the number of logits. The mean is taken over the N examples: the K "
            "logits of a row belong to one loss.",
        ),
        Mistake(
            lambda z, classes: (_softmax(z, axis=0) - _one_hot(classes, z)) / len(z),
            "Softmax along the wrong axis: the probabilities of one example, a row, must add up "
            "to 1; here those of one class over all examples do.",
        ),
        Mistake(
            _columns,
            "p[:, classes] takes whole columns, in every row. One entry of each row is meant: "
            "give the number of the row beside the number of its class.",
        ),
        Mistake(
            lambda z, classes: (z - _one_hot(classes, z)) / len(z),
            "The logits themselves are no probabilities: softmax comes first, then 1 is "
            "subtracted at the right class.",
        ),
        Mistake(
            _rows,
            "p[classes] takes whole *rows*: the classes are used as numbers of examples. One entry "
            "of each row is meant: give the number of the row beside the number of its class.",
        ),
        Mistake(
            lambda z, classes: (_softmax(z) - 1) / len(z),
            "1 is subtracted everywhere. Only the entry of the right class loses 1.",
        ),
        Mistake(
            lambda z, classes: np.where(_one_hot(classes, z), -1.0, _softmax(z)) / len(z),
            "The entry of the right class is -1: `=` has replaced its probability. 1 is to be "
            "subtracted from it.",
        ),
        Mistake(
            lambda z, classes: (_softmax(z) - 1) * _one_hot(classes, z) / len(z),
            "Only the right class has a gradient. The other logits are in the sum below the "
            "fraction bar, so each of them has its probability as derivative.",
        ),
        Mistake(
            lambda z, classes: -_one_hot(classes, z) / _softmax(z) / len(z),
            "This is the derivative by the probabilities. The logits stand before softmax, so its "
            "rule has still to be applied.",
        ),
    ),
    after="Next: read the rule of log_softmax in minigrad/ops/activation.py, and find (4) in it.",
)

# --- 6.3 the binary cross-entropy of a logit ----------------------------------------------------


def binary_cross_entropy(z: Array, t: Array) -> Array:
    """Return the loss of each logit z with its target t in [0, 1]; both of shape (N,)."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))) - t * z


def _through_p(z: Array, t: Array) -> Array:
    p = 1 / (1 + np.exp(-z))
    return -t * np.log(p) - (1 - t) * np.log(1 - p)


class _UpToLargeLogits(Values):
    """Values that are small in all cases but the last."""

    def __call__(self, function: Any) -> Iterator[Result]:
        """Yield each result in each case; what hides the overflow is told from other mistakes."""
        small = True
        for result in super().__call__(function):
            got, right = result.got, result.expected
            if (
                small
                and np.max(right) > 100
                and _is_finite(got, right)
                and not is_close(got, right)
            ):
                place = int(np.argmax(np.abs(got - right)))
                z, t = (result.inputs[name][place] for name in ("z", "t"))
                raise Wrong(
                    "Right for small logits, and finite but wrong for large ones: for "
                    f"z = {z:g} and t = {t:g} the loss is {got[place]:.3g}, and should be "
                    f"{right[place]:g}. What hides the overflow (`clip`, a small number inside the "
                    "logarithm, `nan_to_num`) does not mend it: where it acts, neither the loss "
                    "nor its gradient is right. Start from the logit."
                )
            small = small and is_close(got, right)
            yield result


def _is_finite(got: Any, right: Array) -> bool:
    return isinstance(got, np.ndarray) and got.shape == right.shape and bool(np.isfinite(got).all())


BINARY = Exercise(
    number="6.3",
    chapter=6,
    title="Two classes, from the logit",
    level=2,
    minutes=15,
    task="""
z holds logits and t their targets, numbers from 0 to 1; both have the shape (N,). Return the binary
cross-entropy of each, -t log p - (1 - t) log(1 - p) with p = 1 / (1 + e^-z), finite and right for
logits from -1000 to 1000.
""",
    hints=(
        "Do not compute p. Equation (6) has the loss in terms of z: softplus(z) - t z.",
        "softplus(z) = log(1 + e^z) overflows for large z. Take e^z out of the logarithm where z "
        "is positive; with |z| both cases are one line.",
    ),
    answer=binary_cross_entropy,
    judge=_UpToLargeLogits(
        truth=lambda z, t: t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z),
        needs=("z", "t"),
        cases=(
            {"z": np.array([-2.0, 0.5, 3.0, -0.3]), "t": np.array([0.0, 1.0, 0.0, 1.0])},
            {"z": np.array([1.5, -4.0, 0.0]), "t": np.array([0.25, 0.5, 0.9])},
            {
                "z": np.array([1000.0, 1000.0, -1000.0, -1000.0, 40.0]),
                "t": np.array([1.0, 0.0, 1.0, 0.0, 0.0]),
            },
        ),
        torch="torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction='none')",
        against="NumPy's logaddexp",
    ),
    mistakes=(
        Mistake(
            _through_p,
            "Right for small logits. At z = 40 the probability is rounded to 1, log(1 - p) is "
            "minus infinity, and 0 times it is nan. Start from the logit: what is 1 - p in z?",
        ),
        Mistake(
            lambda z, t: np.log(1 + np.exp(z)) - t * z,
            "Equation (6) as it stands on paper, but e^1000 is infinite, and so is the loss. "
            "For positive z, log(1 + e^z) = z + log(e^-z + 1).",
        ),
        Mistake(
            lambda z, t: np.log1p(np.exp(-np.abs(z))) - t * z,
            "With |z| in the exponent nothing overflows, but for positive z the factor e^z that "
            "was taken out of the logarithm has to come back, as the summand z.",
        ),
        Mistake(
            lambda z, t: np.logaddexp(0, z),
            "This is softplus(z), the loss of the target 0. The target does not occur: the right "
            "class's logit, t z, is to be subtracted.",
        ),
        Mistake(
            lambda z, t: np.logaddexp(0, -z) - t * z,
            "softplus(-z) is -log p, the loss of the target 1, and already contains the -z. "
            "Either softplus(z) - t z, or softplus(-z) + (1 - t) z.",
        ),
        Mistake(
            lambda z, t: np.logaddexp(0, -z) + t * z,
            "The roles of the two targets are swapped: here a large z is cheap for t = 0 and "
            "dear for t = 1, but a large z says that the answer is 1.",
        ),
        Mistake(
            lambda z, t: np.maximum(z, 0) - t * z,
            "Right far from 0 only. Between the two straight parts the loss is a curve: log(1 + "
            "e^-|z|) is missing, log 2 at z = 0.",
        ),
        Mistake(
            lambda z, t: np.mean(np.logaddexp(0, z) - t * z),
            "This is the mean. One loss for each logit is asked for.",
        ),
        Mistake(
            lambda z, t: np.where(t == 1, np.logaddexp(0, -z), np.logaddexp(0, z)),
            "Right for the targets 0 and 1. A target may lie between them, and then both terms "
            "count, with the shares t and 1 - t.",
        ),
    ),
    after="Next: compare with softplus in minigrad/ops/activation.py.",
)

# --- 6.4 smoothed labels --------------------------------------------------------------------------


def smoothed_gradient(z: Array, classes: Array, s: float) -> Array:
    """Return dL/dz (N, K) of the mean cross-entropy, with labels smoothed by s."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    t = (1 - s) * np.eye(z.shape[1])[classes] + s / z.shape[1]
    return (p - t) / len(z)


SMOOTHED = Exercise(
    number="6.4",
    chapter=6,
    title="Labels that are not quite sure",
    level=2,
    minutes=15,
    task="""
As in 6.2, z has the shape (N, K) and classes holds the right class of each row. Label smoothing
makes of each class a target that is a row of probabilities: a share s of the probability 1 is
spread evenly over all K classes, the right one among them, and the right class gets the rest too.
Return the gradient dL/dz of the mean cross-entropy with these targets.
""",
    hints=(
        "First build the targets t (N, K), each row of which adds up to 1. Equation (5) has the "
        "gradient of one row for any such targets.",
        "The right class has the target 1 - s + s / K, each other class s / K.",
    ),
    answer=smoothed_gradient,
    judge=Values(
        truth=lambda z, classes, s: differences(
            _mean_cross_entropy, {"z": z, "classes": classes, "s": s}, "z", np.ones(())
        ),
        needs=("z", "classes", "s"),
        cases=(
            draw(0, z=(3, 3), classes=np.array([0, 2, 2]), s=0.1),
            draw(1, z=(4, 5), classes=np.array([4, 0, 2, 1]), s=0.3),
            draw(2, z=(2, 3), classes=np.array([1, 1]), s=0.0),
        ),
        torch="torch.func.grad(torch.nn.functional.cross_entropy)(z, classes, label_smoothing=s)",
        names=("dL/dz",),
        against="central differences of the loss",
    ),
    mistakes=(
        Mistake(
            lambda z, classes, s: (_softmax(z) - _one_hot(classes, z)) / len(z),
            "Right for s = 0: the labels are not smoothed. The targets are no longer 0 and 1.",
        ),
        Mistake(
            lambda z, classes, s: (_softmax(z) - (1 - s) * _one_hot(classes, z)) / len(z),
            "The targets of a row add up to 1 - s only: the share s is taken from the right class "
            "and given to nobody. It is spread over all K classes.",
        ),
        Mistake(
            lambda z, classes, s: (
                (_softmax(z) - np.where(_one_hot(classes, z), 1 - s, s / z.shape[1])) / len(z)
            ),
            "The right class takes part in the spreading: its target is 1 - s + s / K. Without "
            "that the targets of a row do not add up to 1.",
        ),
        Mistake(
            lambda z, classes, s: (
                (_softmax(z) - np.where(_one_hot(classes, z), 1 - s, s / (z.shape[1] - 1))) / len(z)
            ),
            "Here s is spread over the K - 1 wrong classes. That is a possible convention too, but "
            "in this exercise, as in PyTorch, all K classes get an equal part.",
        ),
        Mistake(
            lambda z, classes, s: _softmax(z) - (1 - s) * _one_hot(classes, z) - s / z.shape[1],
            "The gradient of the sum of the losses: L is their mean, which has the factor 1/N.",
        ),
        Mistake(
            lambda z, classes, s: (
                ((1 - s) * _softmax(z) + s / z.shape[1] - _one_hot(classes, z)) / len(z)
            ),
            "The predictions are smoothed, and the labels are not. What the network says stays "
            "as it is; it is the target that becomes less sure.",
        ),
        Mistake(
            lambda z, classes, s: (
                (_softmax(z) - s * _one_hot(classes, z) - (1 - s) / z.shape[1]) / len(z)
            ),
            "s and 1 - s are exchanged: s is the share that is spread, the right class keeps the "
            "rest.",
        ),
        Mistake(
            lambda z, classes, s: (
                (_softmax(z) - (1 - s) * _one_hot(classes, z) - s / len(z)) / len(z)
            ),
            "s is divided by the number of examples. It is spread over the K classes of one "
            "example.",
        ),
        Mistake(
            lambda z, classes, s: (_softmax(z) - _one_hot(classes, z) - s / z.shape[1]) / len(z),
            "The right class keeps all of its 1, and s comes on top, so the targets of a row add "
            "up to 1 + s. What is spread has to be taken from somewhere.",
        ),
        Mistake(
            lambda z, classes, s: (1 - s) * (_softmax(z) - _one_hot(classes, z)) / len(z),
            "The whole gradient is multiplied by 1 - s. The predictions p keep their full share; "
            "only the target of the right class becomes smaller.",
        ),
    ),
    after="Next: how large is the loss where the gradient is 0? Look up entropy in the chapter.",
)

EXERCISES = (LOGSUMEXP, GRADIENT, BINARY, SMOOTHED)
