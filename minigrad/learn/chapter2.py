"""Exercises of chapter 2: arrays and un-broadcasting."""

from __future__ import annotations

from minigrad.learn.exercise import Array, Exercise, Mistake, Rule, draw

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
    ),
    after="Next: read the rules of matmul in minigrad/ops/linalg.py; they also take stacks.",
)

EXERCISES = (MATMUL,)
