"""Exercises of chapter 5: batch normalization and its way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.learn.exercise import (
    Array,
    Exercise,
    Mistake,
    Result,
    Rule,
    Values,
    Wrong,
    draw,
)

# --- 5.1 the way back --------------------------------------------------------------------------


def batch_norm_rules(g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return dL/dx, dL/dgamma and dL/dbeta of y = gamma x_hat + beta.

    Args:
        g: dL/dy, (N, D).
        x: (N, D).
        gamma: (D,).
        eps: Added to the variance under the root.
    """
    s = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) / s
    to_x_hat = g * gamma
    to_x = (to_x_hat - to_x_hat.mean(axis=0) - x_hat * (to_x_hat * x_hat).mean(axis=0)) / s
    return to_x, (g * x_hat).sum(axis=0), g.sum(axis=0)


def _normalized(x: Array, eps: float) -> tuple[Array, Array]:
    s = np.sqrt(x.var(axis=0) + eps)
    return (x - x.mean(axis=0)) / s, s


def _gradients(to_x: Callable[[Array, Array, Array], Array]) -> Any:
    """A wrong answer: dL/dx from dL/dx_hat, x_hat and s; the other two are right."""

    def rules(g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
        x_hat, s = _normalized(x, eps)
        return to_x(g * gamma, x_hat, s), (g * x_hat).sum(axis=0), g.sum(axis=0)

    return rules


def _unbiased(g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    s = np.sqrt(x.var(axis=0, ddof=1) + eps)
    x_hat, h = (x - x.mean(axis=0)) / s, g * gamma
    to_x = (h - h.mean(axis=0) - x_hat * (h * x_hat).mean(axis=0)) / s
    return to_x, (g * x_hat).sum(axis=0), g.sum(axis=0)


BACKWARD = Exercise(
    number="5.1",
    chapter=5,
    title="The way back through batch norm",
    level=3,
    minutes=25,
    task="""
For a batch x of shape (N, D), batch norm in training computes

    x_hat = (x - mean) / s,   s = sqrt(variance + eps),   y = gamma * x_hat + beta

with the mean and the (biased) variance of each column. Given g = dL/dy, of shape (N, D), return
the three gradients dL/dx (N, D), dL/dgamma (D,) and dL/dbeta (D,).
""",
    hints=(
        "Begin at the end. y depends on gamma and beta, which were repeated for each example, and "
        "on x_hat. What is dL/dx_hat? From there on it is equation (4) of the chapter.",
        "dL/dbeta is g summed over the batch, dL/dgamma is g x_hat summed over the batch, and "
        "dL/dx_hat is g gamma. From dL/dx_hat take away its mean and x_hat times the mean of "
        "dL/dx_hat times x_hat, and divide by s.",
    ),
    answer=batch_norm_rules,
    judge=Rule(
        forward=lambda x, gamma, beta, eps: (
            (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) * gamma + beta
        ),
        needs=("g", "x", "gamma", "eps"),
        of=("x", "gamma", "beta"),
        cases=(
            draw(0, x=(4, 3), gamma=(3,), beta=(3,), eps=0.1),
            draw(1, x=(3, 3), gamma=(3,), beta=(3,), eps=1e-5),
            draw(2, x=(6, 2), gamma=(2,), beta=(2,), eps=0.5),
        ),
        torch="torch.nn.functional.batch_norm(x, None, None, gamma, beta, True, 0.1, eps)",
    ),
    mistakes=(
        Mistake(
            _gradients(lambda h, x_hat, s: h / s),
            "This takes mean and s for constants. But each x is a part of both: two paths are "
            "missing in dL/dx, the one through the mean and the one through s.",
        ),
        Mistake(
            _gradients(lambda h, x_hat, s: (h - x_hat * (h * x_hat).mean(axis=0)) / s),
            "In dL/dx the path through the mean is missing. Adding 1 to a whole column changes no "
            "output, so each column of dL/dx must have the mean 0.",
        ),
        Mistake(
            _gradients(lambda h, x_hat, s: (h - h.mean(axis=0)) / s),
            "In dL/dx the path through s is missing. Stretching a column about its mean changes "
            "(nearly) no output, so the part of the gradient along x_hat has to go as well.",
        ),
        Mistake(
            _gradients(
                lambda h, x_hat, s: (h - h.sum(axis=0) - x_hat * (h * x_hat).sum(axis=0)) / s
            ),
            "Sums in place of means in dL/dx: each x has the share 1/N in the mean and in the "
            "variance, so what comes back through them is divided by N.",
        ),
        Mistake(
            lambda g, x, gamma, eps: (
                batch_norm_rules(g, x, np.ones_like(gamma), eps)[0],
                *batch_norm_rules(g, x, gamma, eps)[1:],
            ),
            "dL/dx lacks gamma. The formula starts from dL/dx_hat, and y = gamma x_hat + beta, so "
            "g has to pass gamma first.",
        ),
        Mistake(
            lambda g, x, gamma, eps: batch_norm_rules(g, x, gamma, 0.0),
            "eps is missing under the root. x_hat and s of the way back are those of the way "
            "forward, eps included.",
        ),
        Mistake(
            lambda g, x, gamma, eps: (
                batch_norm_rules(g, x, gamma, eps)[0],
                g.sum(axis=0),
                g.sum(axis=0),
            ),
            "dL/dgamma is the sum of g alone, as if gamma were added. It multiplies x_hat, so each "
            "term of the sum has the factor x_hat.",
        ),
        Mistake(
            lambda g, x, gamma, eps: (
                batch_norm_rules(g, x, gamma, eps)[0],
                (g * _normalized(x, eps)[0]).mean(axis=0),
                g.mean(axis=0),
            ),
            "Means in place of sums for gamma and beta. Each was repeated for every example, and "
            "the gradient of what was repeated is the sum over the copies.",
        ),
        Mistake(
            _gradients(lambda h, x_hat, s: h - h.mean(axis=0) - x_hat * (h * x_hat).mean(axis=0)),
            "In dL/dx the division by s is missing: if x is spread widely, a change of x changes "
            "x_hat little.",
        ),
        Mistake(
            _gradients(
                lambda h, x_hat, s: (h - h.mean(axis=0) + x_hat * (h * x_hat).mean(axis=0)) / s
            ),
            "In dL/dx the last term has the wrong sign: the path through s is *taken away*, since "
            "x_hat shrinks where s grows.",
        ),
        Mistake(
            _unbiased,
            "s is the unbiased deviation (`ddof=1`), in x_hat too. In training batch norm divides "
            "by the biased one, so that each column of x_hat has the variance 1.",
        ),
        Mistake(
            lambda g, x, gamma, eps: (
                batch_norm_rules(g, x, gamma, eps)[0],
                (g * x).sum(axis=0),
                g.sum(axis=0),
            ),
            "dL/dgamma has x as a factor. gamma multiplies the *normalized* x, so it is x_hat.",
        ),
    ),
    after="Next: compare with `backward` in minigrad/backends/numpy/norm.py, which does the same.",
)

# --- 5.2 running statistics --------------------------------------------------------------------


def updated_statistics(
    running_mean: Array, running_var: Array, x: Array, momentum: float
) -> tuple[Array, Array]:
    """Return the running mean and the running variance after a batch x (N, D) of training."""
    mean = running_mean + momentum * (x.mean(axis=0) - running_mean)
    return mean, running_var + momentum * (x.var(axis=0, ddof=1) - running_var)


def _by_the_layer(
    running_mean: Array, running_var: Array, x: Array, momentum: float
) -> tuple[Array, Array]:
    layer = nn.BatchNorm1d(x.shape[1], momentum=momentum, dtype="float64")
    state = {"running_mean": running_mean, "running_var": running_var}
    layer.load_state_dict(state, strict=False)
    layer(mg.tensor(x))
    after = layer.state_dict()
    return after["running_mean"].numpy(), after["running_var"].numpy()


RUNNING = Exercise(
    number="5.2",
    chapter=5,
    title="Running statistics",
    level=2,
    minutes=10,
    task="""
In training, batch norm keeps a running mean and a running variance of each column. Given both, of
shape (D,), and a batch x of shape (N, D), return them as they are after this batch, by PyTorch's
convention: `momentum` is the share of the new batch, and the batch's variance is the unbiased one.
""",
    hints=(
        "Both move in the same way: a step from the old value towards the batch's value. With the "
        "momentum 1 only the batch would count, with 0 only the past.",
        "new = old + momentum * (batch - old). For the variance divide the sum of squares by N - 1 "
        "(`ddof=1` in NumPy).",
    ),
    answer=updated_statistics,
    judge=Values(
        truth=_by_the_layer,
        needs=("running_mean", "running_var", "x", "momentum"),
        cases=(
            draw(
                0, running_mean=(3,), running_var=np.array([1.0, 0.5, 2.0]), x=(4, 3), momentum=0.1
            ),
            draw(1, running_mean=(2,), running_var=np.array([1.0, 3.0]), x=(2, 2), momentum=0.3),
            draw(2, running_mean=(1,), running_var=np.array([0.25]), x=(50, 1), momentum=0.9),
        ),
        torch="(lambda m, v, x, a: (torch.nn.functional.batch_norm(x, m, v, None, None, True, a)"
        ", m, v)[1:])(running_mean.clone(), running_var.clone(), x, momentum)",
        names=("the running mean", "the running variance"),
        against="nn.BatchNorm1d's buffers",
    ),
    mistakes=(
        Mistake(
            lambda running_mean, running_var, x, momentum: (
                running_mean + momentum * (x.mean(axis=0) - running_mean),
                running_var + momentum * (x.var(axis=0) - running_var),
            ),
            "The running mean is right. The variance is the biased one, divided by N. A batch lies "
            "closer to its own mean than to the true one, so its variance is too small on average; "
            "N - 1 corrects this.",
        ),
        Mistake(
            lambda running_mean, running_var, x, momentum: updated_statistics(
                running_mean, running_var, x, 1 - momentum
            ),
            "The momentum is the other way round: here it is the share of the past. For a layer it "
            "is the share of the new batch, 0.1 by default. (SGD's momentum has the other sense.)",
        ),
        Mistake(
            lambda running_mean, running_var, x, momentum: (
                running_mean + momentum * x.mean(axis=0),
                running_var + momentum * x.var(axis=0, ddof=1),
            ),
            "The batch is added and the past is not weakened, so both would grow with each batch. "
            "A running mean gives the past the weight 1 - momentum.",
        ),
        Mistake(
            lambda running_mean, running_var, x, momentum: (
                running_mean + momentum * (x.mean(axis=0) - running_mean),
                running_var + momentum * (x.std(axis=0, ddof=1) - running_var),
            ),
            "The running mean is right. The other one follows the standard deviation; what is kept "
            "is the variance, its square.",
        ),
        Mistake(
            lambda running_mean, running_var, x, momentum: (
                x.mean(axis=0),
                x.var(axis=0, ddof=1),
            ),
            "These are the mean and variance of the batch alone, and the past plays no part. They "
            "are to move the running ones a little, by the share `momentum`.",
        ),
        Mistake(
            lambda running_mean, running_var, x, momentum: (
                running_mean + momentum * (x.mean() - running_mean),
                running_var + momentum * (x.var(ddof=1) - running_var),
            ),
            "One mean and one variance are taken over all numbers of the batch. Each column has "
            "its own: `axis=0`.",
        ),
    ),
    after="Next: in update_statistics of minigrad/backends/arrays.py the same stands in two lines.",
)

# --- 5.3 who depends on whom -------------------------------------------------------------------


def affected(shape: tuple[int, int], n: int, d: int, layer: str) -> Array:
    """Return where y changes if x[n, d] changes: an array of floats, 1.0 there and 0.0 elsewhere.

    Args:
        shape: (N, D), of x and y.
        n: The example.
        d: The feature.
        layer: "batch norm, train()", "batch norm, eval()" or "layer norm".
    """
    mask = np.zeros(shape)
    if layer == "layer norm":
        mask[n] = 1.0
    elif layer == "batch norm, train()":
        mask[:, d] = 1.0
    else:
        mask[n, d] = 1.0
    return mask


LAYERS = TRAIN, EVAL, LAYER = "batch norm, train()", "batch norm, eval()", "layer norm"


def _tried(shape: tuple[int, int], n: int, d: int, layer: str) -> Array:
    x = np.random.RandomState(0).standard_normal(shape)
    moved = x.copy()
    moved[n, d] += 0.1
    module: nn.Module
    if layer == LAYER:
        module = nn.LayerNorm(shape[1], dtype="float64")
    else:
        module = nn.BatchNorm1d(shape[1], dtype="float64").train(layer == TRAIN)
    before, after = (module(mg.tensor(values)).detach().numpy() for values in (x, moved))
    return np.asarray(np.abs(after - before) > 1e-9, np.float64)


def _changed_like(change: Callable[[Array, int, int, str], None]) -> Any:
    """A wrong answer that sets other numbers, from the right ones on."""

    def mark(shape: tuple[int, int], n: int, d: int, layer: str) -> Array:
        mask = affected(shape, n, d, layer)
        change(mask, n, d, layer)
        return mask

    return mark


def _all_in_training(mask: Array, n: int, d: int, layer: str) -> None:
    mask[...] = 1.0 if layer == TRAIN else mask


def _not_itself(mask: Array, n: int, d: int, layer: str) -> None:
    mask[n, d] = 1.0 if layer == EVAL else 0.0


def _cross(mask: Array, n: int, d: int, layer: str) -> None:
    mask[n] = 1.0 if layer == TRAIN else mask[n]


def _taken_for(others: dict[str, str]) -> Any:
    """A wrong answer that takes some of the layers for others."""

    def mark(shape: tuple[int, int], n: int, d: int, layer: str) -> Array:
        return affected(shape, n, d, others.get(layer, layer))

    return mark


AFFECTED = Exercise(
    number="5.3",
    chapter=5,
    title="Which outputs change with one input?",
    level=1,
    minutes=10,
    task="""
y has the shape (N, D) of x. One number of x changes a little: feature d of example n. Which
numbers of y change? Return an array of shape (N, D) with 1.0 where y changes and 0.0 where it does
not, for the layers "batch norm, train()", "batch norm, eval()" and "layer norm".
""",
    hints=(
        "Each of the layers subtracts a mean. Which numbers share their mean with x[n, d]? And "
        "which mean is no function of x at all?",
        "Batch norm in training has a mean for each column, layer norm a mean for each row. After "
        "eval() the mean is a stored number, so only the output at the same place changes.",
    ),
    answer=affected,
    judge=Values(
        truth=_tried,
        needs=("shape", "n", "d", "layer"),
        cases=tuple(
            {"shape": shape, "n": n, "d": d, "layer": layer}
            for shape, n, d in (((4, 3), 1, 2), ((3, 3), 0, 1))
            for layer in LAYERS
        ),
        names=("the array of changes",),
        against="what the layers do when the number is changed",
    ),
    mistakes=(
        Mistake(
            _taken_for({TRAIN: LAYER, LAYER: TRAIN}),
            "Rows and columns are swapped: batch norm has a mean for each feature, over the "
            "examples, and layer norm a mean for each example, over its features.",
        ),
        Mistake(
            _taken_for({TRAIN: EVAL}),
            "In training x[n, d] is also a part of the mean and the variance, which normalize the "
            "same feature of all other examples.",
        ),
        Mistake(
            _taken_for({EVAL: TRAIN}),
            "After eval() mean and variance are stored numbers. They do not change with x, so "
            "examples do not depend on each other.",
        ),
        Mistake(
            _taken_for({LAYER: EVAL}),
            "Layer norm has a mean as well, over the features of the example: x[n, d] is a part of "
            "it, and the other features of the example feel it.",
        ),
        Mistake(
            _taken_for({TRAIN: EVAL, LAYER: EVAL}),
            "Only y[n, d] itself is marked, for every layer. Two of them compute a mean of x: all "
            "numbers that share it with x[n, d] change with it.",
        ),
        Mistake(
            _changed_like(_not_itself),
            "y[n, d] itself is left out where a mean is computed. It changes as well, since "
            "x[n, d] changes.",
        ),
        Mistake(
            _changed_like(_all_in_training),
            "In training not everything changes: batch norm has a mean for each feature, so the "
            "other features do not feel x[n, d].",
        ),
        Mistake(
            _changed_like(_cross),
            "In training a row is marked as well as a column. Batch norm has a mean over the "
            "examples of one feature alone, so the other features of example n stay.",
        ),
    ),
    after="Try it on a network: which gradients of the inputs are 0 if L is one output only?",
)

# --- 5.4 layer norm from batch norm ------------------------------------------------------------


class _BatchNorm:
    """Batch norm in training without scale and shift, on arrays, as the exercise hands it over."""

    calls = 0

    def __call__(self, x: Array) -> Array:
        self.calls += 1
        x_hat, _ = _normalized(x, 1e-5)
        return x_hat

    def __deepcopy__(self, memo: Any) -> _BatchNorm:
        """Return itself, so that its calls are counted."""
        return self

    def __repr__(self) -> str:
        return "batch_norm"


BATCH_NORM = _BatchNorm()


def layer_norm(x: Array, batch_norm: Callable[[Array], Array]) -> Array:
    """Return the rows of x (N, D), each with mean 0 and variance 1; batch_norm does columns."""
    return batch_norm(x.T).T


def _by_rows(x: Array, batch_norm: Any) -> Array:
    return np.stack([(row - row.mean()) / np.sqrt(row.var() + 1e-5) for row in x])


class _ByBatchNorm(Values):
    """Values of a function that has to use what it is given."""

    def __call__(self, function: Any) -> Iterator[Result]:
        """Yield each result in each case."""
        before = BATCH_NORM.calls
        for result in super().__call__(function):
            if BATCH_NORM.calls == before:
                raise Wrong(
                    "`batch_norm` was not called. The exercise is to find how it can do the work, "
                    "without a mean of your own."
                )
            yield replace(result, where=result.where.partition(", batch_norm")[0])


LAYER_NORM = Exercise(
    number="5.4",
    chapter=5,
    title="Layer norm from batch norm",
    level=1,
    minutes=5,
    task="""
You are given a function `batch_norm(x)` that normalizes each *column* of an array (N, D): mean 0,
variance 1 (a little less, since eps = 1e-5 is added to the variance under the root). With its help,
and without any mean of your own, normalize each *row* of x.
""",
    hints=(
        "What would x have to look like for its rows to be columns?",
        "Transpose, normalize, and transpose back, so that the result has the shape of x.",
    ),
    answer=layer_norm,
    judge=_ByBatchNorm(
        truth=_by_rows,
        needs=("x", "batch_norm"),
        cases=(
            draw(0, x=(4, 3), batch_norm=BATCH_NORM),
            draw(1, x=(3, 3), batch_norm=BATCH_NORM),
        ),
        torch="torch.nn.functional.layer_norm(x, (3,))",
        names=("the normalized array",),
        against="a loop over the rows",
    ),
    mistakes=(
        Mistake(
            lambda x, batch_norm: batch_norm(x),
            "These are normalized columns: a feature over the batch. Layer norm normalizes the "
            "features of one example.",
        ),
        Mistake(
            lambda x, batch_norm: batch_norm(x.T),
            "The right numbers, transposed: the result has to have an example in each row again.",
        ),
        Mistake(
            lambda x, batch_norm: batch_norm(batch_norm(x.T).T),
            "The rows are right, and then the columns are normalized as well, which spoils the "
            "rows.",
        ),
        Mistake(
            lambda x, batch_norm: batch_norm(x.reshape(-1, 1)).reshape(x.shape),
            "One mean and one variance are taken over all numbers. Each row needs its own.",
        ),
    ),
    after="So layer norm's way back is batch norm's, with means over the features.",
)

EXERCISES = (BACKWARD, RUNNING, AFFECTED, LAYER_NORM)
