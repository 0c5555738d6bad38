"""Rule puzzles P.9 to P.12, one line each: every output of a row or column needs all of it."""

from __future__ import annotations

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Rule, draw


def normalize_rule(g: Array, x: Array, y: Array) -> Array:
    """Return dL/dx, where each row of y is the row of x divided by its length, and g = dL/dy."""
    return (g - y * (g * y).sum(1, keepdims=True)) / np.linalg.norm(x, axis=1, keepdims=True)


def _length(x: Array) -> Array:
    return np.linalg.norm(x, axis=1, keepdims=True)


NORMALIZE = Exercise(
    number="P.9",
    chapter=4,
    title="Rows of length 1",
    level=3,
    minutes=8,
    task="""
x has shape (N, D). y = x / r, where r is the length of the row: r = sqrt(x[0]^2 + x[1]^2 + ...).
So each row of y has length 1. Given g = dL/dy, return dL/dx.
""",
    hints=(
        "x stands in the numerator, and in r. If a row grows but keeps its direction, y does not "
        "change: so the gradient has no part along y.",
        "dr/dx = x / r = y. By the quotient rule dL/dx = g / r - (sum of g x) y / r^2, and x = r "
        "y. The sum is over one row; `keepdims=True` keeps it a column.",
    ),
    answer=normalize_rule,
    judge=Rule(
        forward=lambda x: x / _length(x),
        needs=("g", "x", "y"),
        of=("x",),
        cases=(draw(0, x=(3, 3)), draw(1, x=(2, 4)), draw(2, x=(4, 2))),
        torch="torch.nn.functional.normalize(x, dim=1)",
    ),
    mistakes=(
        Mistake(
            lambda g, x, y: g / _length(x),
            "This takes the length r for a constant. r changes with x as well: if x grows along "
            "its own direction, y stays the same, so the part of g along y must be taken away.",
        ),
        Mistake(
            lambda g, x, y: g - y * (g * y).sum(1, keepdims=True),
            "The direction is right, the size is not: y = x / r, so a change of x counts 1/r. Long"
            " rows turn less than short ones when the same is added.",
        ),
        Mistake(
            lambda g, x, y: (g - x * (g * x).sum(1, keepdims=True)) / _length(x),
            "The part of g along a direction is <g, y> y for a vector y of length 1. Here x, of "
            "length r, is used in its place, so r^2 times too much is taken away.",
        ),
        Mistake(
            lambda g, x, y: (g - y * g.sum(1, keepdims=True)) / _length(x),
            "The part of g along y is the inner product <g, y>, the sum of g times y. This is the "
            "sum of g alone.",
        ),
        Mistake(
            lambda g, x, y: (g - g * y * y) / _length(x),
            "This is only the diagonal of the Jacobian: the effect of x[d] on y[d]. Through r, "
            "x[d] changes every element of its row, so a sum over the row belongs here.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).sum()) / _length(x),
            "The inner product <g, y> is summed over the whole matrix. Rows do not know each "
            "other: one sum for each row.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).sum()) / np.linalg.norm(x),
            "The sum and the length are those of the whole matrix. Each row has a length of its "
            "own, and an inner product <g, y> of its own.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).sum(1)) / np.linalg.norm(x, axis=1),
            "The formula is right, but the sum and the length of row n lie along the wrong axis: "
            "NumPy lines up a vector of N numbers with the columns. Keep them as columns, with "
            "`keepdims=True`.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).sum(1)) / _length(x),
            "The formula is right, but the sum of row n lies along the wrong axis: NumPy lines up "
            "a vector of N numbers with the columns. Keep it as a column, with `keepdims=True`.",
        ),
        Mistake(
            lambda g, x, y: (g + y * (g * y).sum(1, keepdims=True)) / _length(x),
            "The part of g along y is added here, and should be taken away: a row that grows along "
            "itself changes nothing in y.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).mean(1, keepdims=True)) / _length(x),
            "The inner product <g, y> is a sum over the row. This is its mean, so too little is "
            "taken away.",
        ),
        Mistake(
            lambda g, x, y: (g - (g * y).sum(1, keepdims=True)) / _length(x),
            "The inner product <g, y> says how much of y there is in g. What is to be taken away "
            "is that much *of y*: the vector y is missing.",
        ),
        Mistake(
            lambda g, x, y: (g - x * (g * y).sum(1, keepdims=True)) / _length(x),
            "What is to be taken away is the part along y, a vector of length 1. Here it is along "
            "x, which is r times as long.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).sum(1, keepdims=True)) / _length(x) ** 2,
            "Divided by r^2, as if the root was forgotten: y = x / r, so a change of x counts 1/r.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).sum(0)) / np.linalg.norm(x, axis=0),
            "Sum and length are taken over the columns. The rows have length 1: both belong to a "
            "row, axis 1.",
        ),
    ),
    after="Next: P.10 and P.12 have the same form: g, less the part that cannot change y.",
)


def standardize_rule(g: Array, x: Array, y: Array) -> Array:
    """Return dL/dx, where y = (x - x.mean(0)) / x.std(0), x has shape (N, D), and g = dL/dy."""
    return (g - g.mean(0) - y * (g * y).mean(0)) / x.std(0)


STANDARDIZE = Exercise(
    number="P.10",
    chapter=5,
    title="Standardizing: batch norm's core",
    level=3,
    minutes=10,
    task="""
x has shape (N, D), and y = (x - x.mean(0)) / x.std(0): each column of y has mean 0 and standard
deviation 1 (the sum of squares is divided by N). Given g = dL/dy, return dL/dx. This is batch
normalization without eps, scale and shift.
""",
    hints=(
        "x[n, d] has three ways to y: directly, through the mean, and through the standard "
        "deviation. Two changes of a column leave y as it is: adding the same number to all, and "
        "stretching all about the mean. So dL/dx has no part along either.",
        "Take from g its mean over the batch, and the part along y, whose size is the mean over "
        "the batch of g times y. Then divide by the standard deviation.",
    ),
    answer=standardize_rule,
    judge=Rule(
        forward=lambda x: (x - x.mean(0)) / x.std(0),
        needs=("g", "x", "y"),
        of=("x",),
        cases=(draw(0, x=(3, 3)), draw(1, x=(5, 2)), draw(2, x=(4, 3))),
        torch="(x - x.mean(0)) / x.std(0, correction=0)",
    ),
    mistakes=(
        Mistake(
            lambda g, x, y: g / x.std(0),
            "This takes mean and standard deviation for constants. Both change with x: adding 1 to"
            " a whole column changes nothing in y, so each column of dL/dx must sum to 0.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0)) / x.std(0),
            "The way through the mean is there, the one through the standard deviation is missing:"
            " stretching a column about its mean leaves y as it is, so the part of g along y goes "
            "too.",
        ),
        Mistake(
            lambda g, x, y: (g - y * (g * y).mean(0)) / x.std(0),
            "The way through the standard deviation is there, the one through the mean is missing: "
            "adding 1 to a whole column leaves y as it is, so each column of dL/dx must sum to 0.",
        ),
        Mistake(
            lambda g, x, y: (g - g.sum(0) - y * (g * y).sum(0)) / x.std(0),
            "Sums in the place of means: each x[n] has a share of 1/N in the mean and in the "
            "variance, so the gradient that comes back through them is divided by N.",
        ),
        Mistake(
            lambda g, x, y: g - g.mean(0) - y * (g * y).mean(0),
            "All three ways are there, but a division by the standard deviation is missing: y is x"
            " in units of it.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0) - y * (g * y).mean(0)) / x.std(0, ddof=1),
            "Everything is right but for the standard deviation: the forward pass divides the sum "
            "of squares by N, and this one divides it by N - 1.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0) - x * (g * x).mean(0)) / x.std(0),
            "The part of g that goes through the standard deviation is along y, which has mean 0 "
            "and deviation 1. Here it is taken along x.",
        ),
        Mistake(
            lambda g, x, y: (
                (g - g.mean(1, keepdims=True) - y * (g * y).mean(1, keepdims=True)) / x.std(0)
            ),
            "The means are taken over the features. The statistics of a column come from the "
            "batch, so their gradients are means over the batch, axis 0.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0) - (g * y).mean(0)) / x.std(0),
            "The mean of g times y says how much of y there is in g. What goes is that much *of "
            "y*: the factor y is missing in the last term.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0) + y * (g * y).mean(0)) / x.std(0),
            "The part along y is added here, and should be taken away: stretching a column about "
            "its mean leaves y as it is.",
        ),
        Mistake(
            lambda g, x, y: (g + g.mean(0) - y * (g * y).mean(0)) / x.std(0),
            "The mean of g is added here, and should be taken away: adding 1 to a whole column "
            "leaves y as it is, so each column of dL/dx must sum to 0.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean() - y * (g * y).mean()) / x.std(),
            "The means, and the deviation, are taken over the whole matrix. Each column is "
            "standardized by itself: it has means of its own, over the batch.",
        ),
        Mistake(
            lambda g, x, y: (
                (g - g.mean(1, keepdims=True) - y * (g * y).mean(1, keepdims=True))
                / x.std(1, keepdims=True)
            ),
            "The means, and the deviation, are taken over the features: this is the rule of layer "
            "norm. Here the statistics are those of a column, over the batch: axis 0.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0) - y * (g * y).mean(0)) / x.var(0),
            "All three ways are there, but it is divided by the variance. y is x in units of the "
            "standard deviation, its root.",
        ),
        Mistake(
            lambda g, x, y: (g - g.mean(0) - y * g * y) / x.std(0),
            "The last term is the diagonal only: what x[n] does to y[n] through the standard "
            "deviation. It changes every y of its column, so a mean over the batch belongs there.",
        ),
    ),
    after="Next: the rule of batch norm in minigrad/ops/norm.py is this line, with the scale.",
)


def logsumexp_rule(g: Array, x: Array, y: Array) -> Array:
    """Return dL/dx, where y = log(exp(x).sum(1)), x is a matrix, and g = dL/dy."""
    return g[:, np.newaxis] * np.exp(x - y[:, np.newaxis])


def _logsumexp(x: Array) -> Array:
    largest = x.max(1)
    return largest + np.log(np.exp(x - largest[:, np.newaxis]).sum(1))


def _over(g: Array, x: Array, axis: int | None) -> Array:
    """The answer, but for the axis of the softmax's sum."""
    shares = np.exp(x - x.max(1, keepdims=True))
    return g[:, np.newaxis] * shares / shares.sum(axis)


LOGSUMEXP = Exercise(
    number="P.11",
    chapter=6,
    title="Log-sum-exp",
    level=2,
    minutes=6,
    task="""
x has shape (N, D), and y = log(exp(x).sum(1)), of shape (N,), computed so that it does not
overflow. Given g = dL/dy, return dL/dx. One case has x near 1000, where exp(x) is infinite, but y
is not.
""",
    hints=(
        "Differentiate from outside to inside: log, the sum, exp. The result has a name of its "
        "own.",
        "dy/dx[n, d] = exp(x[n, d]) / exp(y[n]), the softmax. Written as one exp of a difference "
        "it cannot overflow, since x is never larger than y.",
    ),
    answer=logsumexp_rule,
    judge=Rule(
        forward=_logsumexp,
        needs=("g", "x", "y"),
        of=("x",),
        cases=(
            draw(0, x=(3, 3)),
            draw(1, x=(2, 4)),
            {"x": np.array([[1000.0, 999.0], [-1.0, 998.5], [0.0, 1.0]])},
        ),
        torch="torch.logsumexp(x, 1)",
    ),
    mistakes=(
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * np.exp(x) / np.exp(x).sum(1, keepdims=True),
            "The formula is right, but for x = 1000 exp(x) is infinity, and infinity / infinity is"
            " NaN. Use y: a quotient of two exponentials is the exponential of a difference.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * np.exp(x),
            "The derivative of the logarithm is missing: d log(s)/ds = 1/s, where s is the sum of "
            "the row's exponentials.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] / np.exp(y)[:, np.newaxis] + 0 * x,
            "This is the derivative of the logarithm, 1/s. The sum s also depends on x, through "
            "exp: the factor exp(x) is missing.",
        ),
        Mistake(
            lambda g, x, y: np.exp(x - y[:, np.newaxis]),
            "This is dy/dx, the softmax. The chain rule multiplies each row by its g = dL/dy.",
        ),
        Mistake(
            lambda g, x, y: g * np.exp(x - y[:, np.newaxis]),
            "The softmax is right, but g[n] belongs to row n, and NumPy lines it up with the "
            "columns: g needs a second axis, as y does.",
        ),
        Mistake(
            lambda g, x, y: g * np.exp(x - y),
            "Both g and y have one axis, and NumPy lines them up with the columns of x. g[n] and "
            "y[n] belong to row n: both need a second axis, of length 1.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * np.exp(x - y),
            "g stands in its rows, but x[n, d] meets y[d], since NumPy lines up a vector with the "
            "columns. y[n] belongs to row n: it needs a second axis, as g has.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * (x - y[:, np.newaxis]),
            "x - y is the logarithm of the softmax. dy/dx is the softmax itself: its exponential.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * np.exp(y[:, np.newaxis] - x),
            "The exponent has the wrong sign, which turns the softmax into its inverse: above 1 "
            "everywhere. A large x has a large share of y.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * np.exp(x - x.max(1, keepdims=True)),
            "Subtracting the maximum keeps exp finite, but the softmax also divides by the sum of "
            "the row's exponentials. y is the logarithm of this sum.",
        ),
        Mistake(
            lambda g, x, y: _over(g, x, None),
            "The softmax is divided by the sum over the whole matrix. Each row has a sum of its "
            "own; its shares of y add up to 1.",
        ),
        Mistake(
            lambda g, x, y: _over(g, x, 0),
            "The softmax is divided by the sums over the columns. y[n] is made from row n: the sum "
            "runs along it, axis 1.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * (x == x.max(1, keepdims=True)),
            "This is the rule of the maximum, where all goes to the largest number. The log-sum-exp"
            " is a soft maximum: each number gets its share, the softmax.",
        ),
    ),
    after="Next: P.12; cross-entropy is logsumexp minus the right class's logit (chapter 6).",
)


def softmax_rule(g: Array, y: Array) -> Array:
    """Return dL/dx, where each row of y is the softmax of the row of x, and g = dL/dy."""
    return y * (g - (g * y).sum(1, keepdims=True))


def _softmax(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


SOFTMAX = Exercise(
    number="P.12",
    chapter=6,
    title="Softmax",
    level=3,
    minutes=8,
    task="""
x has shape (N, D), and y = softmax(x), row by row: y[i] = exp(x[i]) / s, where s is the sum of the
exponentials of the row. Given g = dL/dy, return dL/dx. The rule needs y alone, and not x.
""",
    hints=(
        "Each x[j] changes every y[i] of its row: its own exponential, and the sum that all are "
        "divided by. dy[i]/dx[j] = y[i] (1 - y[j]) if i = j, else -y[i] y[j].",
        "Sum g[i] dy[i]/dx[j] over i: g[j] y[j] comes from i = j, and -y[j] times the sum of all "
        "g[i] y[i] from the divisor. y[j] stands in both.",
    ),
    answer=softmax_rule,
    judge=Rule(
        forward=_softmax,
        needs=("g", "y"),
        of=("x",),
        cases=(draw(0, x=(3, 3)), draw(1, x=(2, 4)), draw(2, x=(4, 2))),
        torch="torch.softmax(x, 1)",
    ),
    mistakes=(
        Mistake(
            lambda g, y: g * y * (1 - y),
            "This is the sigmoid's rule: only the diagonal of the Jacobian. The divisor of a "
            "softmax holds all inputs of the row, so each x[j] changes every y[i], and a sum "
            "belongs here.",
        ),
        Mistake(
            lambda g, y: g * y,
            "This differentiates exp(x) and takes the divisor for a constant. Adding 1 to a whole "
            "row leaves its softmax as it is, so each row of dL/dx must sum to 0.",
        ),
        Mistake(
            lambda g, y: y * (g - g.sum(1, keepdims=True)),
            "Nearly: what is taken from g is its mean weighted by y, not its plain sum. Each row "
            "of dL/dx must sum to 0, since adding 1 to a whole row of x changes nothing.",
        ),
        Mistake(
            lambda g, y: y * (g - g.mean(1, keepdims=True)),
            "Nearly: what is taken from g is its mean weighted by y, whose weights sum to 1. A "
            "plain mean is right only where all y are equal.",
        ),
        Mistake(
            lambda g, y: y * (g - (g * y).sum()),
            "The weighted mean is summed over the whole matrix. Each row is a softmax of its own, "
            "so each has a sum of its own.",
        ),
        Mistake(
            lambda g, y: y - g,
            "y minus the target is the gradient of softmax and cross-entropy together. Here L is "
            "any function of y, and g is its gradient, not a target.",
        ),
        Mistake(
            lambda g, y: y * (g - (g * y).sum(1)),
            "The formula is right, but the sum of row n lies along the wrong axis: NumPy lines up "
            "a vector of N numbers with the columns. Keep it as a column, with `keepdims=True`.",
        ),
        Mistake(
            lambda g, y: y * (g + (g * y).sum(1, keepdims=True)),
            "The weighted mean is added here, and should be taken away: each row of dL/dx must sum "
            "to 0, since adding 1 to a whole row of x changes nothing.",
        ),
        Mistake(
            lambda g, y: y * (g - (g * y).mean(1, keepdims=True)),
            "Nearly: the weights y sum to 1 already, so the weighted mean is the sum of g y. This "
            "divides it by the number of columns once more.",
        ),
        Mistake(
            lambda g, y: y * (g - (g * y).sum(0)),
            "The weighted mean is taken over a column. A softmax is over a row, axis 1.",
        ),
        Mistake(
            lambda g, y: y * g - (g * y).sum(1, keepdims=True),
            "The sum is taken away as it is; the factor y is missing before it. Brackets: y times "
            "all of the difference.",
        ),
    ),
    after="Next: put L = -log(y[target]) into your rule: it becomes y minus one-hot (chapter 6).",
)

EXERCISES = (NORMALIZE, STANDARDIZE, LOGSUMEXP, SOFTMAX)
