"""Rule puzzles P.1 to P.4, one line each: shapes, and numbers that are used several times."""

from __future__ import annotations

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Rule, draw


def sum_rule(g: Array, x: Array, axis: int) -> Array:
    """Return dL/dx, where y = x.sum(axis) and g = dL/dy; x has any number of axes."""
    return np.broadcast_to(np.expand_dims(g, axis), x.shape)


SUM = Exercise(
    number="P.1",
    chapter=2,
    title="Sum over an axis",
    level=1,
    minutes=3,
    task="""
y = x.sum(axis). Given g = dL/dy, return dL/dx. One line is enough.

For x of shape (2, 3, 4) and axis = 1, y and g have shape (2, 4).
""",
    hints=(
        "Each element of x is an addend of one element of y, so dy/dx is 1 for this one. Which "
        "element of g does x[i, j] get, if axis = 1?",
        "Give g the lost axis again, with length 1 (`np.expand_dims`). Then repeat it along this "
        "axis, up to the shape of x.",
    ),
    answer=sum_rule,
    judge=Rule(
        forward=lambda x, axis: x.sum(axis),
        needs=("g", "x", "axis"),
        of=("x",),
        cases=(
            draw(0, x=(3, 3), axis=1),
            draw(1, x=(3, 3), axis=0),
            draw(2, x=(4, 2), axis=1),
            draw(3, x=(2, 3, 4), axis=1),
        ),
        torch="x.sum(axis)",
    ),
    mistakes=(
        Mistake(
            lambda g, x, axis: g,
            "This is dL/dy as it came: the summed axis is missing. Each element of x needs a "
            "number of its own, so g is to be repeated along the axis that the sum has removed.",
        ),
        Mistake(
            lambda g, x, axis: np.expand_dims(g, axis),
            "The axis is back, but with length 1. dL/dx has the shape of x: all elements that were "
            "added up get the same g, each its own copy.",
        ),
        Mistake(
            lambda g, x, axis: np.broadcast_to(g, x.shape),
            "g is repeated along the wrong axis. NumPy lines up shapes at their ends, so a g that "
            "has lost an axis inside, or the last one, is not where it belongs: give it that axis "
            "again first, with length 1.",
        ),
        Mistake(
            lambda g, x, axis: np.expand_dims(g, axis) * x,
            "x does not belong here: y = x[0] + x[1] + ..., so the derivative of y by each addend "
            "is 1, whatever its value. (Two factors have this rule: the derivative by one is the "
            "other.)",
        ),
        Mistake(
            lambda g, x, axis: np.expand_dims(g, axis) / x.shape[axis] + 0 * x,
            "This is the rule of the mean. A sum is not divided by the number of its addends: if "
            "one of them grows by 1, the sum grows by 1.",
        ),
        Mistake(
            lambda g, x, axis: np.full(x.shape, g.sum()),
            "Every element got the sum of all of g. But an element of x is in one element of y "
            "only, and gets the g of this one.",
        ),
        Mistake(
            lambda g, x, axis: np.broadcast_to(np.expand_dims(g, 1), x.shape),
            "`axis` plays no part: the lost axis is put back as axis 1, whichever it was. This is "
            "right for axis = 1; for axis = 0 g is repeated the wrong way.",
        ),
        Mistake(
            lambda g, x, axis: np.broadcast_to(np.expand_dims(g, -1), x.shape),
            "`axis` plays no part: the lost axis is put back as the last one, whichever it was. "
            "Right where the last axis was summed; else g is repeated the wrong way, or fits "
            "nowhere.",
        ),
    ),
    after="Next: P.3, which is this puzzle backwards.",
)


def divide_rules(g: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Return dL/da and dL/db, where y = a / b, elementwise, and g = dL/dy; all have one shape."""
    return g / b, -g * a / b**2


DIVIDE = Exercise(
    number="P.2",
    chapter=2,
    title="Division",
    level=1,
    minutes=3,
    task="""
y = a / b, elementwise; a and b have the same shape. Given g = dL/dy, return dL/da and dL/db.
""",
    hints=(
        "With b held fast, y is a times a constant. With a held fast, y is a times 1/b.",
        "The derivative of 1/b = b^-1 is -1 b^-2. The chain rule multiplies each derivative by g.",
    ),
    answer=divide_rules,
    judge=Rule(
        forward=lambda a, b: a / b,
        needs=("g", "a", "b"),
        of=("a", "b"),
        cases=tuple(
            {"a": case["a"], "b": case["b"] + np.sign(case["b"])}  # not near 0
            for case in (draw(0, a=(2, 3), b=(2, 3)), draw(1, a=(4,), b=(4,)))
        ),
        torch="a / b",
    ),
    mistakes=(
        Mistake(
            lambda g, a, b: (g / b, g * a / b**2),
            "dL/da is right. dL/db has the wrong sign: if you divide by more you get less, so the "
            "derivative of 1/b is negative.",
        ),
        Mistake(
            lambda g, a, b: (g / b, -g * a / b),
            "dL/da is right. In dL/db a division by b is missing: 1/b is the power b^-1, and "
            "differentiating lowers the exponent by one.",
        ),
        Mistake(
            lambda g, a, b: (g / b, -g / b**2),
            "dL/da is right. In dL/db a is missing: y = a (1/b), and the constant factor a stays "
            "when 1/b is differentiated.",
        ),
        Mistake(
            lambda g, a, b: (g * b, g * a),
            "These are the rules of the product a b. Write the quotient as a b^-1, and "
            "differentiate by one factor at a time.",
        ),
        Mistake(
            lambda g, a, b: (1 / b, -a / b**2),
            "These are dy/da and dy/db. The rule is asked for dL/da and dL/db: the chain rule "
            "multiplies both by g = dL/dy.",
        ),
        Mistake(
            lambda g, a, b: (g / b, -g * a / (b * 2)),
            "dL/da is right. In dL/db the square of b is asked for, `b**2`; this is its double.",
        ),
        Mistake(
            lambda g, a, b: (g / b, -g * a / b * 2),
            "dL/da is right. dL/db is -2 g a / b, where it should be divided by b once more: a "
            "square is written `b**2`, and Python takes `/` and `*` from left to right.",
        ),
        Mistake(
            lambda g, a, b: (g / b, -g * b / a**2),
            "dL/da is right. In dL/db a and b are exchanged: b is in the denominator of y, so it is"
            " b that is squared and divided by.",
        ),
    ),
    after="Next: the rules of divide in minigrad/ops/elementwise.py, one of which names y.",
)


def bias_rule(g: Array) -> Array:
    """Return dL/db, where y = x + b, x has shape (N, D), b shape (D,), and g = dL/dy."""
    return g.sum(0)


BIAS = Exercise(
    number="P.3",
    chapter=2,
    title="Adding a bias to each row",
    level=1,
    minutes=3,
    task="""
x is a batch of shape (N, D), b a bias of shape (D,), and y = x + b: NumPy adds b to each row.
Given g = dL/dy, of shape (N, D), return dL/db.
""",
    hints=(
        "b[d] is used in y[0, d], y[1, d], ..., y[N - 1, d]. What happens to the gradients of a "
        "number that is used several times?",
        "They are added up. Which axis of g counts the uses of b[d]?",
    ),
    answer=bias_rule,
    judge=Rule(
        forward=lambda x, b: x + b,
        needs=("g",),
        of=("b",),
        cases=(
            draw(0, x=(3, 3), b=(3,)),
            draw(1, x=(4, 2), b=(2,)),
            draw(2, x=(1, 5), b=(5,)),
        ),
        torch="x + b",
    ),
    mistakes=(
        Mistake(
            lambda g: g,
            "dL/db must have the shape of b, (D,). b was added to N rows, so each b[d] is used N "
            "times, and the gradients of all its uses add up.",
        ),
        Mistake(
            lambda g: g.mean(0),
            "This is N times too small, a mean. Gradients of several uses are added, not averaged; "
            "if L is a mean over the batch, its 1/N is in g already.",
        ),
        Mistake(
            lambda g: g.sum(1),
            "Summed over the wrong axis: row n of y has all of b in it, but b[d] is in column d "
            "only. Add up over the rows n that repeat it.",
        ),
        Mistake(
            lambda g: g.sum(),
            "One number for all of b. But b[d] changes only column d of y, so its gradient is the "
            "sum of g over this column.",
        ),
        Mistake(
            lambda g: g[0],
            "This is the gradient that comes from the first row. b was added to the other rows "
            "too, and their gradients add up.",
        ),
        Mistake(
            lambda g: g.sum(0, keepdims=True),
            "The numbers are right, but the shape is (1, D), and b has shape (D,): without "
            "`keepdims`.",
        ),
        Mistake(
            lambda g: g.max(0),
            "This is the largest gradient of each column. b[d] is used in every row, and the "
            "gradients of all its uses count: they add up.",
        ),
    ),
    after="Next: unbroadcast in docs/tiny.py does this for every shape, so that no rule has to.",
)


def outer_rules(g: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Return dL/da and dL/db, where y[i, j] = a[i] b[j] and g = dL/dy; a and b are vectors."""
    return g @ b, a @ g


OUTER = Exercise(
    number="P.4",
    chapter=2,
    title="The outer product",
    level=1,
    minutes=4,
    task="""
a has shape (n,), b has shape (m,), and y = np.outer(a, b): y[i, j] = a[i] b[j]. Given g = dL/dy,
of shape (n, m), return dL/da and dL/db.
""",
    hints=(
        "a[i] is used in row i of y: m times. The derivative of y[i, j] by a[i] is b[j].",
        "So dL/da[i] is the sum over j of g[i, j] b[j]. A matrix times a vector is such a sum. Do "
        "the same for b[j], which is used in column j.",
    ),
    answer=outer_rules,
    judge=Rule(
        forward=lambda a, b: a[:, np.newaxis] * b,
        needs=("g", "a", "b"),
        of=("a", "b"),
        cases=(draw(0, a=(3,), b=(3,)), draw(1, a=(4,), b=(2,)), draw(2, a=(2,), b=(5,))),
        torch="torch.outer(a, b)",
    ),
    mistakes=(
        Mistake(
            lambda g, a, b: (b @ g, g @ a),
            "The sums run over the wrong index: a[i] is used in row i of y, so its sum goes along "
            "the row, where j counts; b[j] is used in column j.",
        ),
        Mistake(
            lambda g, a, b: (a @ g, g @ b),
            "Both gradients are right, but swapped: dL/da, which has the shape of a, comes first.",
        ),
        Mistake(
            lambda g, a, b: (g.sum(1), g.sum(0)),
            "The sums run over the right axes, but y[i, j] changes by b[j] when a[i] grows by 1: "
            "each g[i, j] has to be multiplied by this before it is added up.",
        ),
        Mistake(
            lambda g, a, b: (g * b, g * a[:, np.newaxis]),
            "These are the right products, one for each use. a[i] is used m times and b[j] n "
            "times, and the gradients of all uses are still to be added up.",
        ),
        Mistake(
            lambda g, a, b: (g.sum(1) * b, g.sum(0) * a),
            "Added up too early: g[i, j] meets b[j], and the sum over j comes after the product. "
            "The sum of products is not the product with a sum.",
        ),
        Mistake(
            lambda g, a, b: (g.sum(1) * b.sum(), g.sum(0) * a.sum()),
            "Two sums, and then their product. g[i, j] meets b[j], the b of its own column: first "
            "multiply the pairs, then add up.",
        ),
        Mistake(
            lambda g, a, b: (g @ a, b @ g),
            "In each gradient the wrong vector: y[i, j] = a[i] b[j], so its derivative by a[i] is "
            "b[j]. dL/da contains no a.",
        ),
        Mistake(
            lambda g, a, b: (g @ b, g @ a),
            "dL/da is right. In dL/db the sum runs along the rows of g, where j counts. b[j] is "
            "used in column j, so its sum runs over i.",
        ),
        Mistake(
            lambda g, a, b: (b @ g, a @ g),
            "dL/db is right. In dL/da the sum runs along the columns of g, where i counts. a[i] is "
            "used in row i, so its sum runs over j.",
        ),
        Mistake(
            lambda g, a, b: ((g * b).sum(0), (g * a[:, np.newaxis]).sum(1)),
            "The products are right, and the sums run along the wrong axes: a[i] is used in row i, "
            "so the products of row i are added up; b[j] is used in column j.",
        ),
    ),
    after="Next: 2.3, where each element of a matrix is used in a whole row.",
)


EXERCISES = (SUM, DIVIDE, BIAS, OUTER)
