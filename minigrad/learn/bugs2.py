"""Planted bugs B.3 and B.4: losses that broadcast in silence, and that overflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Values, Wrong, call, draw

# --- B.3 (N, 1) against (N,) ----------------------------------------------------------------------


def mean_squared_error(prediction: Array, target: Array) -> Array:
    """Return the mean of the squared errors; prediction has shape (N, 1), target shape (N,)."""
    return ((prediction[:, 0] - target) ** 2).mean()


def _mean_squared_error_of_all_pairs(prediction: Array, target: Array) -> Array:
    """Return the mean of the squared errors; prediction has shape (N, 1), target shape (N,)."""
    return ((prediction - target) ** 2).mean()


def _by_loop(prediction: Array, target: Array) -> float:
    pairs = zip(prediction.tolist(), target.tolist(), strict=True)
    return float(sum((p - t) ** 2 for [p], t in pairs) / len(target))


MSE = Exercise(
    number="B.3",
    chapter=2,
    title="A bug: a loss that does not go down",
    level=2,
    minutes=5,
    task="""
A network with one output gives `prediction` of shape (N, 1); the file of targets has shape (N,).
This loss, the mean over the N examples of (prediction - target)^2, raises no error. But however
long one trains, all predictions become the mean of the targets. Find the bug and mend it.
""",
    hints=(
        "Which shape does `prediction - target` have? Print it for N = 3.",
        "NumPy lines up (N, 1) with (N,) as with (1, N), and repeats both: (N, N), every "
        "prediction with every target. Give both the same shape before you subtract.",
    ),
    answer=mean_squared_error,
    planted=_mean_squared_error_of_all_pairs,
    judge=Values(
        truth=_by_loop,
        needs=("prediction", "target"),
        cases=(
            draw(0, prediction=(3, 1), target=(3,)),
            draw(1, prediction=(5, 1), target=(5,)),
            draw(2, prediction=(1, 1), target=(1,)),
        ),
        torch="torch.nn.functional.mse_loss(prediction[:, 0], target)",
        names=("the loss",),
        against="a loop over the examples",
    ),
    mistakes=(
        Mistake(
            _mean_squared_error_of_all_pairs,
            "(N, 1) minus (N,) is (N, N): broadcasting subtracts every target from every "
            "prediction. Least wrong for all targets at once is their mean, so this is what the "
            "network learns.",
        ),
        Mistake(
            lambda prediction, target: ((prediction[:, 0] - target) ** 2).sum(),
            "Each prediction now meets its own target, but this is the sum. A mean is divided by "
            "N, so that the size of the loss does not depend on the size of the batch.",
        ),
        Mistake(
            lambda prediction, target: ((prediction - target) ** 2).sum() / len(target),
            "This divides the sum over all (N, N) pairs by N. The pairs themselves are the fault: "
            "each prediction is to meet its own target only.",
        ),
        Mistake(
            lambda prediction, target: (prediction[:, 0] - target).mean() ** 2,
            "The errors are averaged before they are squared, so errors above and below cancel. "
            "Square each error first.",
        ),
        Mistake(
            lambda prediction, target: np.abs(prediction[:, 0] - target).mean(),
            "The shapes are right, and this is the mean absolute error. The exercise asks for "
            "squares.",
        ),
        Mistake(
            lambda prediction, target: ((prediction[:, 0] - target.mean()) ** 2).mean(),
            "Every prediction is compared with the mean of the targets. Each is to meet its own "
            "target.",
        ),
        Mistake(
            lambda prediction, target: ((prediction[:, 0] - target) ** 2).mean() / 2,
            "The shapes are right, and this is half of the mean of the squares. The exercise asks "
            "for the mean.",
        ),
    ),
    after="Next: give mg.nn.functional.mse_loss these two shapes, and read what it says.",
)

# --- B.4 log of softmax -------------------------------------------------------------------------


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Return the mean over N examples of -log softmax(logits)[label]; logits has shape (N, K)."""
    shifted = logits - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1))
    return (log_sum - shifted[np.arange(len(labels)), labels]).mean()


def _cross_entropy_that_overflows(logits: Array, labels: Array) -> Array:
    """Return the mean over N examples of -log softmax(logits)[label]; logits has shape (N, K)."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


def _stable_softmax(logits: Array) -> Array:
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def _of_labels(values: Array, labels: Array) -> Array:
    return values[np.arange(len(labels)), labels]


def _log_softmax(logits: Array, labels: Array) -> Array:
    """The faulty way, before the mean."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.log(_of_labels(p, labels))


def _cross_entropy_with_one_maximum(logits: Array, labels: Array) -> Array:
    shifted = logits - logits.max()
    return (np.log(np.exp(shifted).sum(1)) - _of_labels(shifted, labels)).mean()


def _cross_entropy_shifted_half(logits: Array, labels: Array) -> Array:
    log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1))
    return (log_sum - _of_labels(logits, labels)).mean()


def _cross_entropy_of_columns(logits: Array, labels: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(1, keepdims=True))
    return (log_sum - shifted[:, labels]).mean()


@dataclass(frozen=True)
class WithoutLimit(Values):
    """Judges like `Values`, and asks whether a loss that is right so far stops growing."""

    def __call__(self, function: Any) -> Iterator[Result]:
        """Yield each result in each case."""
        results = super().__call__(function)
        first = next(results)
        yield first
        if np.shape(first.got) == () and np.allclose(first.got, first.expected):
            _require_growth(function)
        yield from results


def _require_growth(function: Any) -> None:
    """Raise `Wrong` where larger and larger mistakes of the network cost no more."""
    for small, large in ((100.0, 200.0), (600.0, 650.0)):  # exp(650) is finite
        first, second = (
            call(function, {"logits": np.array([[x, 0.0]]), "labels": np.array([1])})
            for x in (small, large)
        )
        if np.isfinite(first) and abs(first - second) < 1e-6:
            raise Wrong(
                f"The loss goes no higher than {float(first):.4g}: for label 1 and logits "
                f"[[{small:.0f}, 0]] it should be {small:.0f}, and for [[{large:.0f}, 0]] "
                f"{large:.0f}. So there its gradient is 0, and the worst examples teach nothing. "
                "A number added inside the logarithm does this, and clipping does; neither is "
                "needed."
            )


def _cross_entropy_by_pairs(logits: Array, labels: Array) -> float:
    """By logaddexp, two numbers at a time."""
    pairs = zip(logits, labels, strict=True)
    return sum(float(np.logaddexp.reduce(row)) - float(row[k]) for row, k in pairs) / len(labels)


CROSS_ENTROPY = Exercise(
    number="B.4",
    chapter=6,
    title="A bug: NaN in the tenth epoch",
    level=2,
    minutes=8,
    task="""
This cross-entropy is right in the first epochs. Then the logits grow, and the loss becomes infinite
or NaN. It must be right for logits of any size, 1000 and -1000 too. Find the reason and mend it.
""",
    hints=(
        "Try it with logits [[1000, 0]], label 0, then with label 1. Which step gives infinity, "
        "and which gives log 0?",
        "A constant may be subtracted from a row: the softmax stays the same. With the largest "
        "number of the row, no exp is above 1. And log(exp(z) / s) is z - log(s): the logarithm "
        "never meets the tiny number itself.",
    ),
    answer=cross_entropy,
    planted=_cross_entropy_that_overflows,
    judge=WithoutLimit(
        truth=_cross_entropy_by_pairs,
        needs=("logits", "labels"),
        cases=(
            draw(0, logits=(3, 4), labels=np.array([3, 0, 2])),
            draw(1, logits=(2, 2), labels=np.array([1, 1])),
            {"logits": np.array([[40.0, 0.0], [2.0, 1.0]]), "labels": np.array([1, 0])},
            {"logits": np.array([[1000.0, 999.0], [2.0, 1.0]]), "labels": np.array([0, 1])},
            {"logits": np.array([[30000.0, 0.0], [-1000.0, 5.0]]), "labels": np.array([1, 1])},
        ),
        torch="torch.nn.functional.cross_entropy(logits, labels)",
        names=("the loss",),
        against="logaddexp, two logits at a time",
    ),
    mistakes=(
        Mistake(
            _cross_entropy_that_overflows,
            "exp(1000) is infinite, and infinity / infinity is NaN; exp(-1000) is 0, and its "
            "logarithm is minus infinity. Large and small logits are not wrong, only this way of "
            "computing is.",
        ),
        Mistake(
            lambda logits, labels: -np.log(_of_labels(_stable_softmax(logits), labels)).mean(),
            "Nothing overflows any more, but a probability of e^-1000 is rounded to 0, and log 0 "
            "is minus infinity. Take the logarithm of the quotient by hand, before anything is "
            "rounded.",
        ),
        Mistake(
            _cross_entropy_with_one_maximum,
            "The largest number of the whole array is subtracted. A row whose logits are all far "
            "below it gets exp = 0 everywhere, and log 0. Each row needs its own maximum.",
        ),
        Mistake(
            _cross_entropy_shifted_half,
            "The maximum is subtracted inside the exponentials only, and not from the label's "
            "logit. Shift both, or add the maximum again after the logarithm.",
        ),
        Mistake(
            lambda logits, labels: np.nan_to_num(-_log_softmax(logits, labels)).mean(),
            "`nan_to_num` puts some other number in the place of infinity and NaN: 0 for NaN, so "
            "that a wrong answer may cost nothing. Mend what makes them.",
        ),
        Mistake(
            _cross_entropy_of_columns,
            "[:, labels] takes whole columns, for every row the labels of all rows. Row n has one "
            "label: a pair of row number and label for each.",
        ),
        Mistake(
            lambda logits, labels: cross_entropy(logits, labels) * len(labels),
            "The numbers stay finite, but this is the sum over the examples, and the mean is asked"
            " for.",
        ),
    ),
    after="Next: P.11, the rule of the log-sum-exp; mg.nn.functional.cross_entropy is both in one.",
)

EXERCISES = (MSE, CROSS_ENTROPY)
