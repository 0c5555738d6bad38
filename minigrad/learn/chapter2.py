"""Exercises of chapter 2: arrays and un-broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Rule, Values, draw

# --- 2.1 the rule of the mean ------------------------------------------------------------------


def mean_rule(g: Array, x: Array) -> Array:
    """Return dL/dx, where y = x.mean(axis=1), the mean of each row of x (N, D), and g = dL/dy."""
    return np.repeat(g[:, None] / x.shape[1], x.shape[1], axis=1)


MEAN = Exercise(
    number="2.1",
    chapter=2,
    title="The rule of the mean",
    level=1,
    minutes=5,
    task="""
x has shape (N, D), and y = x.mean(axis=1), of shape (N,), is the mean of each row. Given g = dL/dy,
return dL/dx. Find it from the equation of the chapter: <g, dy> = <rule(g), dx> for every dx.
""",
    hints=(
        "Write down dy[n] for a change dx of all elements. Which factor stands before each "
        "dx[n, d]?",
        "dy[n] = (dx[n, 0] + ... + dx[n, D - 1]) / D. So all elements of a row get the same "
        "number, made of g[n] and D. `g[:, None]` is g as a column, which then has to fill D "
        "columns.",
    ),
    answer=mean_rule,
    judge=Rule(
        forward=lambda x: np.mean(x, axis=1),
        needs=("g", "x"),
        of=("x",),
        cases=(draw(0, x=(3, 3)), draw(1, x=(3, 4)), draw(2, x=(5, 2)), draw(3, x=(1, 4))),
        torch="x.mean(1)",
    ),
    mistakes=(
        Mistake(
            lambda g, x: g[:, None] + 0 * x,
            "This is the rule of the sum. The mean divides by the length of the row D, so each "
            "element moves the mean by only the D-th part of its own change.",
        ),
        Mistake(
            lambda g, x: g / x.shape[1],
            "The numbers are right, but dL/dx has the shape of x: each element of a row needs a "
            "number of its own, even if all of them are the same.",
        ),
        Mistake(
            lambda g, x: g[:, None] / len(x) + 0 * x,
            "`len(x)` is the number of rows N. The mean divides by the length of a row, D.",
        ),
        Mistake(
            lambda g, x: g[:, None] * x / x.shape[1],
            "The elements of x have slipped in. The mean is linear, so its derivative by an "
            "element depends on no element.",
        ),
        Mistake(
            lambda g, x: g / x.shape[1] + 0 * x,
            "g lies along the wrong axis: NumPy aligns shapes at their ends, so g of shape (N,) "
            "was repeated as a row. It belongs in a column.",
        ),
    ),
    after="Next: P.1, the sum over any axis.",
)

# --- 2.2 softmax, its change and its rule ------------------------------------------------------


def softmax_both_ways(y: Array, dx: Array, g: Array) -> tuple[Array, Array]:
    """Return dy for a small change dx, and dL/dx for g = dL/dy; y is the softmax of a vector x."""
    dy = y * (dx - (y * dx).sum())
    return dy, y * (g - (g * y).sum())


def _softmax_jacobian(y: Array, dx: Array, g: Array) -> tuple[Array, Array]:
    jacobian = np.zeros((len(y), len(y)))
    for i in range(len(y)):
        for j in range(len(y)):
            jacobian[i, j] = y[i] * ((i == j) - y[j])
    return jacobian @ dx, jacobian.T @ g


def _softmax_case(seed: int, n: int) -> dict[str, Array]:
    case = draw(seed, y=(n,), dx=(n,), g=(n,))
    e = np.exp(case["y"])
    return case | {"y": e / e.sum()}


SOFTMAX = Exercise(
    number="2.2",
    chapter=2,
    title="Softmax: its change and its rule",
    level=2,
    minutes=15,
    task="""
The softmax of a vector x is y with y[i] = exp(x[i]) / s, where s is the sum of all exp(x[j]). Every
x[j] changes every y[i], through s. Given y,

- return dy, the change of y for a small change dx of x;
- return dL/dx for g = dL/dy.

The Jacobian has n^2 numbers for a vector of length n. It is not needed: about 4 n operations are
enough for each.
""",
    hints=(
        "The logarithm makes it easier: log y[i] = x[i] - log s. Take the change of both sides; "
        "the change of log y[i] is dy[i] / y[i], and that of log s is the sum of y[j] dx[j].",
        "So dy[i] = y[i] (dx[i] - m), where m is that sum. Put it into <g, dy>, and collect what "
        "is multiplied by one dx[j]: a term from the first part, and one from m, which contains "
        "dx[j] and stands in every dy[i].",
    ),
    answer=softmax_both_ways,
    judge=Values(
        truth=_softmax_jacobian,
        needs=("y", "dx", "g"),
        cases=(_softmax_case(0, 4), _softmax_case(1, 2), _softmax_case(2, 7)),
        torch=(
            "torch.autograd.functional.jvp(lambda x: x.softmax(0), y.log(), dx)[1], "
            "torch.autograd.functional.vjp(lambda x: x.softmax(0), y.log(), g)[1]"
        ),
        names=("dy", "dL/dx"),
        against="the Jacobian, element by element",
    ),
    mistakes=(
        Mistake(
            lambda y, dx, g: (y * (1 - y) * dx, y * (1 - y) * g),
            "This is the diagonal of the Jacobian alone: as if y[i] depended on x[i] only. But all "
            "x[j] are in the sum s, and s divides each y[i].",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx - (y * dx).sum()), y * (g - g.sum())),
            "dy is right. In dL/dx the sum lacks its weights: from each y[i] comes the part "
            "g[i] y[i], not g[i].",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx - dx.sum()), y * (g - (g * y).sum())),
            "dL/dx is right. In dy the change of log s lacks its weights: x[j] changes s by "
            "exp(x[j]) dx[j], and so log s by y[j] dx[j].",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx - (y * dx).sum()), g - y * g.sum()),
            "dy is right. The second result is the rule of log(softmax(x)); without the "
            "logarithm, another factor y belongs to each part.",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx + (y * dx).sum()), y * (g + (g * y).sum())),
            "A sign: s stands below the fraction bar, so y falls where s grows.",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx - dx.sum()), y * (g - g.sum())),
            "Both sums lack their weights: x[j] changes s by exp(x[j]) dx[j], and so log s by "
            "y[j] dx[j]; and from each y[i] comes the part g[i] y[i].",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx - (y * dx).sum()), y * (1 - y) * g),
            "dy is right. dL/dx is made of the diagonal of the Jacobian alone: x[j] also reaches "
            "the other y[i], through s.",
        ),
        Mistake(
            lambda y, dx, g: (dx - (y * dx).sum(), g - (g * y).sum()),
            "A factor y is missing in front: dx[i] minus the sum is the change of log y[i], which "
            "is dy[i] / y[i].",
        ),
        Mistake(
            lambda y, dx, g: (y * (dx - (y * dx).mean()), y * (g - (g * y).mean())),
            "A mean in place of a sum. The y add up to 1, so the sum of y[j] dx[j] is a mean "
            "already, weighted by y.",
        ),
    ),
    after="Both formulas are the same: the Jacobian of softmax is symmetric. Chapter 6 uses it.",
)
# --- 2.3 the rule of the matrix product --------------------------------------------------------


def matmul_rules(g: Array, A: Array, B: Array) -> tuple[Array, Array]:
    """Return dL/dA and dL/dB, where Y = A B and g = dL/dY; all are matrices."""
    return g @ B.T, A.T @ g


MATMUL = Exercise(
    number="2.3",
    chapter=2,
    title="The rule of the matrix product",
    level=1,
    minutes=5,
    task="""
A is a matrix of shape (m, k), B of shape (k, n), and Y = A B. Given g = dL/dY, of shape (m, n),
return the gradients dL/dA and dL/dB.
""",
    hints=(
        "Write down the three shapes. dL/dA has the shape of A: which product of g and B, one of "
        "them transposed perhaps, has that shape?",
        "One element of A, A[i, j], is used in row i of Y alone: Y[i, n] = ... + A[i, j] B[j, n]. "
        "So dL/dA[i, j] is the sum over n of g[i, n] B[j, n]. Find the matrix product that "
        "computes this sum; then do the same for B[j, n].",
    ),
    answer=matmul_rules,
    judge=Rule(
        forward=lambda A, B: A @ B,
        needs=("g", "A", "B"),
        of=("A", "B"),
        cases=(
            draw(0, A=(3, 3), B=(3, 3)),
            draw(1, A=(2, 2), B=(2, 2)),
            draw(2, A=(4, 3), B=(3, 2)),
            draw(3, A=(1, 5), B=(5, 3)),
        ),
        torch="A @ B",
    ),
    mistakes=(
        Mistake(
            lambda g, A, B: (g @ B, A.T @ g),
            "dL/dB is right. In dL/dA, B is not transposed: A[i, j] meets g[i, n] through B[j, n], "
            "so the sum runs over the columns of B, and g @ B would sum over its rows. For square "
            "matrices the shape does not show it.",
        ),
        Mistake(
            lambda g, A, B: (g @ B.T, A @ g),
            "dL/dA is right. In dL/dB, A is not transposed: B[j, n] is used in every row i of Y, "
            "so its gradient is the sum over the rows i of A[i, j] g[i, n].",
        ),
        Mistake(
            lambda g, A, B: (g @ B, A @ g),
            "Neither A nor B is transposed. Take A of shape (4, 3), B of shape (3, 2): dL/dA must "
            "have the shape of A, and g @ B cannot even be formed.",
        ),
        Mistake(
            lambda g, A, B: (B.T @ g, g @ A.T),
            "The right factors in the wrong order: a matrix product is not commutative. A stands "
            "left of B in the product, so the factor that replaces A stands left too.",
        ),
        Mistake(
            lambda g, A, B: (A.T @ g, g @ B.T),
            "The two gradients are swapped: the first result is dL/dA.",
        ),
        Mistake(
            lambda g, A, B: (g * B, g * A),
            "This is the rule of the elementwise product. In a matrix product each element of A "
            "meets a whole row of B, so its gradient is a sum.",
        ),
        Mistake(
            lambda g, A, B: (
                g @ B.reshape(B.shape[::-1]),
                A.reshape(A.shape[::-1]) @ g,
            ),
            "The shapes fit, but `reshape` is no transpose: it reads the numbers row by row and "
            "writes them row by row into the new shape. `.T` exchanges rows and columns.",
        ),
    ),
    after="Next: read the rules of matmul in minigrad/ops/linalg.py; they also take stacks.",
)

# --- 2.4 un-broadcasting -----------------------------------------------------------------------


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum g over what broadcasting repeated, so that it gets the shape of the input."""
    added = g.ndim - len(shape)
    aligned = (1,) * added + shape
    axes = tuple(i for i, n in enumerate(aligned) if n == 1)
    return g.sum(axis=axes, keepdims=True).reshape(shape)


def _sum_at_origins(g: Array, shape: tuple[int, ...]) -> Array:
    """Add each element of g where the element that broadcasting copied there came from."""
    size = int(np.prod(shape))
    origins = np.broadcast_to(np.arange(size).reshape(shape), g.shape)
    sums = np.zeros(size)
    for place in np.ndindex(g.shape):
        sums[origins[place]] += g[place]
    return sums.reshape(shape)


def _ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis, n in enumerate(shape) if n == 1)


def _aligned(g: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * int(g.ndim - len(shape)) + shape


def _aligned_at_the_left(g: Array, shape: tuple[int, ...]) -> Array:
    axes = _ones(shape + (1,) * (g.ndim - len(shape)))
    return np.asarray(g.sum(axis=axes, keepdims=True)).reshape(shape)


def _summed_from(
    axis: int, at_most: int = 9, take: Callable[[Array], Array] | None = None
) -> Callable[[Array, tuple[int, ...]], Array]:
    """A wrong answer that takes the surplus axes from one end; axes of length 1 it sums rightly."""

    def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
        for _ in range(min(at_most, g.ndim - len(shape))):
            g = take(g) if take else g.sum(axis=axis)
        for i, n in enumerate(shape):
            if n == 1:
                g = g.sum(axis=i, keepdims=True)
        return g

    return unbroadcast


UNBROADCAST = Exercise(
    number="2.4",
    chapter=2,
    title="Un-broadcasting, once for all operations",
    level=2,
    minutes=15,
    task="""
An input of shape `shape` was broadcast to the shape of g. Return the gradient of the input: g,
summed over all that was repeated, in the shape of the input. Axes that NumPy put in front were
repeated, and axes of length 1 were (where g is longer there). `shape` may be (), or that of g.
""",
    hints=(
        "Write both shapes one below the other, their ends aligned, and fill up the shorter one "
        "with 1 in front. Over which axes has g to be summed?",
        "Over each axis where the filled-up shape has a 1; where g has a 1 there too, the sum "
        "changes nothing. `g.sum(axis=a_tuple, keepdims=True)` keeps the axes in their places; "
        "`reshape` then drops the ones in front.",
    ),
    answer=unbroadcast,
    judge=Values(
        truth=_sum_at_origins,
        needs=("g", "shape"),
        cases=tuple(
            {"g": draw(seed, g=g)["g"], "shape": shape}
            for seed, (g, shape) in enumerate(
                [
                    ((4, 4), (4,)),
                    ((3, 4), (4,)),
                    ((3, 4), (3, 1)),
                    ((2, 3, 4), (3, 1)),
                    ((2, 3, 4), (4,)),
                    ((3, 3, 3), (3,)),
                    ((2, 3, 4), (2, 1, 4)),
                    ((3, 4), ()),
                    ((3, 4), (3, 4)),
                    ((2, 3), (1, 1)),
                    ((1, 3), (1, 3)),
                ]
            )
        ),
        torch="g.sum_to_size(shape)",
        names=("the gradient",),
        against="a loop over all elements",
    ),
    mistakes=(
        Mistake(
            lambda g, shape: g.sum(axis=tuple(range(g.ndim - len(shape)))),
            "The axes that were put in front are summed. But an axis of length 1 was repeated too: "
            "for the shape (3, 1) each row of g has to be summed.",
        ),
        Mistake(
            _aligned_at_the_left,
            "The shapes are aligned at their beginnings. NumPy aligns them at their ends: an input "
            "of shape (4,) lies along the *last* axis of g.",
        ),
        Mistake(
            lambda g, shape: g.sum(axis=_ones(_aligned(g, shape))),
            "The sums are right, but all axes of length 1 are lost. An input of shape (3, 1) needs "
            "a gradient of shape (3, 1), not (3,).",
        ),
        Mistake(
            lambda g, shape: g.mean(axis=_ones(_aligned(g, shape))).reshape(shape),
            "These are means. Each copy moves L on its own, and the parts add up.",
        ),
        Mistake(
            lambda g, shape: g[tuple(slice(n) for n in _aligned(g, shape))].reshape(shape),
            "Only the gradient of the first copy comes back. The others are copies of the same "
            "number, so what arrives at them belongs to it as well.",
        ),
        Mistake(
            lambda g, shape: g.reshape(shape),
            "`reshape` drops no numbers: it works only where the sums before it have left as many "
            "numbers as `shape` has.",
        ),
        Mistake(
            _summed_from(-1),
            "The *last* axes are summed until there are as many axes as `shape` has. NumPy puts "
            "new axes in front, so those are the repeated ones.",
        ),
        Mistake(
            _summed_from(0, at_most=1),
            "Right where one axis was put in front, wrong where there are two: `if` sums over one "
            "of them. Go on until g has as many axes as `shape`.",
        ),
        Mistake(
            _summed_from(0, take=lambda g: g[0]),
            "Along the axes that were put in front only the first copy is taken. The others are "
            "copies of the same number, so what arrives at them belongs to it as well.",
        ),
        Mistake(
            lambda g, shape: g.sum(axis=0),
            "This sums over axis 0, whatever `shape` is. Which axes were repeated depends on both "
            "shapes; there may be none, or several.",
        ),
    ),
    after="Next: compare with `repeated_axes` in minigrad/engine.py.",
)

# --- 2.5 the traces of products ----------------------------------------------------------------


def trace_rules(g: Array, A: Array, B: Array) -> tuple[Array, Array]:
    """Return dL/dA and dL/dB, where y[n] = np.trace(A[n] @ B[n]) and g = dL/dy."""
    return g[:, None, None] * B.transpose(0, 2, 1), g[:, None, None] * A.transpose(0, 2, 1)


TRACE = Exercise(
    number="2.5",
    chapter=2,
    title="The traces of products",
    level=3,
    minutes=12,
    task="""
The trace of a square matrix is the sum of its diagonal. A is a stack of N matrices, of shape
(N, i, j), and B one of shape (N, j, i). y has shape (N,), with y[n] = np.trace(A[n] @ B[n]). Given
g = dL/dy, return dL/dA and dL/dB.

Use indices, as in `np.einsum("nij,nji->n", A, B)`; the products themselves are not needed.
""",
    hints=(
        "Element (i, i) of A[n] B[n] is the sum over j of A[n, i, j] B[n, j, i]. The trace adds "
        "these up over i as well.",
        "So y[n] is the sum over all i and j of A[n, i, j] B[n, j, i]. Which number is A[n, i, j] "
        "multiplied by? The array with this number at the place (n, i, j) has its last two axes "
        "exchanged; and g[n] multiplies a whole matrix (`g[:, None, None]`).",
    ),
    answer=trace_rules,
    judge=Rule(
        forward=lambda A, B: np.array([np.trace(a @ b) for a, b in zip(A, B, strict=True)]),
        needs=("g", "A", "B"),
        of=("A", "B"),
        cases=(
            draw(0, A=(3, 3, 3), B=(3, 3, 3)),
            draw(1, A=(2, 2, 2), B=(2, 2, 2)),
            draw(2, A=(2, 3, 4), B=(2, 4, 3)),
        ),
        torch='torch.einsum("nij,nji->n", A, B)',
    ),
    mistakes=(
        Mistake(
            lambda g, A, B: (g[:, None, None] * B, g[:, None, None] * A),
            "Not transposed. A[n, i, j] meets B[n, j, i], its mirror image. With square matrices "
            "the shape does not show it.",
        ),
        Mistake(
            lambda g, A, B: (
                g[:, None, None] * A.transpose(0, 2, 1),
                g[:, None, None] * B.transpose(0, 2, 1),
            ),
            "The two are swapped: y is linear in A, so dL/dA contains the elements of B.",
        ),
        Mistake(
            lambda g, A, B: (g * B.transpose(0, 2, 1), g * A.transpose(0, 2, 1)),
            "g lies along the last axis of the matrices. g[n] belongs to the whole n-th matrix, so "
            "it needs two axes of length 1 behind.",
        ),
        Mistake(
            lambda g, A, B: (g[:, None, None] * B.T, g[:, None, None] * A.T),
            "`.T` of a stack reverses *all* its axes, the first one too, so the matrices are torn "
            "apart. Only the last two are to be exchanged.",
        ),
        Mistake(
            lambda g, A, B: (g.sum() * B.transpose(0, 2, 1), g.sum() * A.transpose(0, 2, 1)),
            "Each matrix is multiplied by the sum of all g. A[n] reaches y[n] alone, so it gets "
            "g[n] alone.",
        ),
    ),
    after="Such a sum is an inner product, so both rules look like those of multiply.",
)

EXERCISES = (MEAN, SOFTMAX, MATMUL, UNBROADCAST, TRACE)
