"""Rule puzzles P.5 to P.8, one line each: operations that select, repeat or move numbers."""

from __future__ import annotations

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Rule, draw


def max_rule(g: Array, x: Array, y: Array) -> Array:
    """Return dL/dx, where y = x.max(1), x is a matrix, and g = dL/dy; no row has equal numbers."""
    return g[:, np.newaxis] * (x == y[:, np.newaxis])


def _into_rows(g: Array, x: Array, y: Array) -> Array:
    slope = np.zeros_like(x)
    slope[x.argmax(1)] = g
    return slope


MAX = Exercise(
    number="P.5",
    chapter=2,
    title="The largest of each row",
    level=2,
    minutes=4,
    task="""
x has shape (N, D), and y = x.max(1) has shape (N,): the largest number of each row. Given
g = dL/dy, return dL/dx. No row has equal numbers.
""",
    hints=(
        "If the largest number of a row grows by a little, y grows by the same. If another one "
        "grows by a little, what happens to y?",
        "The gradient goes to the largest number alone; the others get 0. Comparing x with y finds "
        "these places; both y and g need a second axis to be compared with the rows of x.",
    ),
    answer=max_rule,
    judge=Rule(
        forward=lambda x: x.max(1),
        needs=("g", "x", "y"),
        of=("x",),
        cases=(draw(0, x=(3, 3)), draw(1, x=(2, 4)), draw(2, x=(5, 2))),
        torch="x.max(1).values",
    ),
    mistakes=(
        Mistake(
            lambda g, x, y: g[:, np.newaxis] + 0 * x,
            "This is the rule of the sum: every element gets g. The largest number is the only one "
            "of its row that y depends on; a small change of another changes nothing.",
        ),
        Mistake(
            lambda g, x, y: 1.0 * (x == y[:, np.newaxis]),
            "This is dy/dx: 1 where x is the largest, else 0. The chain rule multiplies it by the "
            "row's g = dL/dy.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * y[:, np.newaxis] * (x == y[:, np.newaxis]),
            "The places are right, but the value of y does not belong here: when the largest "
            "number grows by 1, y grows by 1, whatever its value.",
        ),
        Mistake(
            lambda g, x, y: g[:, np.newaxis] * (x == x.max()),
            "Only the largest number of the whole matrix gets a gradient. Each row has a largest "
            "number of its own.",
        ),
        Mistake(
            lambda g, x, y: g * (x == y[:, np.newaxis]),
            "The places are right, but g[n] belongs to row n, and NumPy lines it up with the "
            "columns: g needs a second axis, as y does.",
        ),
        Mistake(
            lambda g, x, y: g * (x == y),
            "y[n] is the largest number of row n, but NumPy lines y up with the columns, and "
            "compares x[n, d] with y[d]. y needs a second axis, of length 1, and so does g.",
        ),
        Mistake(
            _into_rows,
            "`x.argmax(1)` gives a column for each row, and slope[these] takes them for rows. A "
            "place in a matrix needs both: the rows 0, 1, 2, ... and their columns.",
        ),
    ),
    after="Next: what should happen when two numbers are the largest? Try `mg.max` and PyTorch.",
)


def rows_rule(g: Array, x: Array, rows: Array) -> Array:
    """Return dL/dx, where y = x[rows] and g = dL/dy; x is a matrix, rows holds row numbers."""
    return np.eye(len(x))[rows].T @ g


def _overwrites(g: Array, x: Array, rows: Array) -> Array:
    slope = np.zeros_like(x)
    slope[rows] = g
    return slope


def _averages(g: Array, x: Array, rows: Array) -> Array:
    counts = np.bincount(rows, minlength=len(x))
    return np.eye(len(x))[rows].T @ g / np.maximum(counts, 1)[:, np.newaxis]


ROWS = Exercise(
    number="P.6",
    chapter=2,
    title="Gather rows",
    level=2,
    minutes=5,
    task="""
x has shape (V, D), rows is a vector of N row numbers, and y = x[rows] has shape (N, D): row n of y
is row rows[n] of x. A row may be taken several times, or never. Given g = dL/dy, return dL/dx.

An embedding (a table of word vectors) is this operation. One line is possible; several are fine.
""",
    hints=(
        "Row v of x is used wherever rows[n] = v. What does a row that is used twice get, and what "
        "one that is never used?",
        "Gathering is linear: y = P x, where row n of P is a 1 at rows[n] and else 0, a one-hot "
        "row: `np.eye(V)[rows]`. Which product does 2.3 say dL/dx is? (Or a loop: add g[n] to row "
        "rows[n].)",
    ),
    answer=rows_rule,
    judge=Rule(
        forward=lambda x, rows: x[rows],
        needs=("g", "x", "rows"),
        of=("x",),
        cases=(
            draw(0, x=(4, 2), rows=np.array([2, 0, 2])),
            draw(1, x=(3, 3), rows=np.array([1, 1, 0])),
            draw(2, x=(3, 2), rows=np.array([0, 2, 1, 2, 2])),
        ),
        torch="x[rows]",
    ),
    mistakes=(
        Mistake(
            lambda g, x, rows: g,
            "g has a row for each number in `rows`; dL/dx has a row for each row of x. Row n of g "
            "belongs to row rows[n] of x.",
        ),
        Mistake(
            _overwrites,
            "A row that is taken twice kept the last gradient only: `slope[rows] = g` overwrites, "
            "and `slope[rows] += g` does too, since NumPy reads all old values first. The "
            "gradients of all uses must add up.",
        ),
        Mistake(
            _averages,
            "A row that is taken twice got the mean of its gradients. Each use changes L on its "
            "own, so the gradients are added up, not averaged.",
        ),
        Mistake(
            lambda g, x, rows: np.eye(len(x))[rows] @ g,
            "P = np.eye(V)[rows] gathers: y = P x. The gradient goes the other way, from the N "
            "rows of g to the V rows of x, so P is to be transposed.",
        ),
        Mistake(
            lambda g, x, rows: g[rows],
            "This gathers once more. Backwards, row n of g has to be put where it came from, into "
            "row rows[n], and added to what is there.",
        ),
    ),
    after="Next: `np.add.at` adds into places one by one; minigrad/nn/embedding.py is this rule.",
)


def cumsum_rule(g: Array) -> Array:
    """Return dL/dx, where y = np.cumsum(x), x is a vector, and g = dL/dy."""
    return np.cumsum(g[::-1])[::-1]


CUMSUM = Exercise(
    number="P.7",
    chapter=2,
    title="The running sum",
    level=2,
    minutes=4,
    task="""
x is a vector, and y = np.cumsum(x): y[0] = x[0], y[1] = x[0] + x[1], y[2] = x[0] + x[1] + x[2], ...
Given g = dL/dy, return dL/dx.
""",
    hints=(
        "Which elements of y does x[0] appear in? And the last element of x?",
        "x[i] is in y[i], y[i + 1], ... up to the end, so its gradient is g[i] + g[i + 1] + ... "
        "This is a running sum too, from the other end.",
    ),
    answer=cumsum_rule,
    judge=Rule(
        forward=lambda x: np.cumsum(x),
        needs=("g",),
        of=("x",),
        cases=(draw(0, x=(4,)), draw(1, x=(1,)), draw(2, x=(6,))),
        torch="torch.cumsum(x, 0)",
    ),
    mistakes=(
        Mistake(
            lambda g: np.cumsum(g),
            "The sum runs from the wrong end. x[0] is in every y, so dL/dx[0] is the sum of all of"
            " g; the last x is in the last y only.",
        ),
        Mistake(
            lambda g: np.cumsum(g[::-1]),
            "The right sums in reverse order: dL/dx[0] must be the sum of all of g, and here it "
            "stands last.",
        ),
        Mistake(
            lambda g: np.cumsum(g)[::-1],
            "The order is turned after the sum, so the sums still begin at g[0]. The last x is in "
            "the last y only: its gradient is the last g.",
        ),
        Mistake(
            lambda g: g,
            "This is right for the last x only. x[i] is an addend of y[i] and of every later y, "
            "and the gradients of all these uses add up.",
        ),
        Mistake(
            lambda g: np.full_like(g, g.sum()),
            "This is right for x[0] only, which is in every y. x[i] is not in the elements of y "
            "before y[i], so their g does not count.",
        ),
        Mistake(
            lambda g: g.sum() - np.cumsum(g),
            "One addend is missing: x[i] is in y[i] itself too, not only in the later ones.",
        ),
    ),
    after="Next: time runs backwards in a recurrent network's gradient for the same reason.",
)


def sort_rule(g: Array, x: Array) -> Array:
    """Return dL/dx, where y = np.sort(x), x is a vector of different numbers, and g = dL/dy."""
    return g[np.argsort(np.argsort(x))]


SORT = Exercise(
    number="P.8",
    chapter=2,
    title="Sorting",
    level=3,
    minutes=6,
    task="""
x is a vector of numbers that all differ, and y = np.sort(x). Given g = dL/dy, return dL/dx.
""",
    hints=(
        "Sorting only moves numbers. With order = np.argsort(x), y is x[order]: y[k] came from the "
        "place order[k]. Where does g[k] have to go?",
        "g[k] goes to the place order[k], so you need the inverse of the permutation `order`: for "
        "each i, the k with order[k] = i, which is the rank of x[i]. Sorting `order` itself finds "
        "it.",
    ),
    answer=sort_rule,
    judge=Rule(
        forward=lambda x: np.sort(x),
        needs=("g", "x"),
        of=("x",),
        cases=(
            {"x": np.array([0.3, -1.2, 2.0, 0.9])},
            {"x": np.array([1.5, 0.1, 0.7, -0.4, -2.0])},
            {"x": np.array([-0.5, 1.0, 0.2])},
        ),
        torch="torch.sort(x).values",
    ),
    mistakes=(
        Mistake(
            lambda g, x: g,
            "g is in the order of y: g[0] belongs to the smallest number. dL/dx is in the order of"
            " x, so each g has to go back to where its number came from.",
        ),
        Mistake(
            lambda g, x: g[np.argsort(x)],
            "This sorts once more. order = argsort(x) says where each y[k] came from: y = "
            "x[order]. Backwards, g[k] goes *to* order[k], which is the inverse permutation.",
        ),
        Mistake(
            lambda g, x: np.sort(g),
            "This sorts the gradients by their own size. Their places follow from x: g[k] belongs "
            "to the k-th smallest element of x.",
        ),
        Mistake(
            lambda g, x: g[np.argsort(np.argsort(-x))],
            "The ranks are counted from the largest number. np.sort puts the smallest first, so "
            "g[0] belongs to the smallest.",
        ),
        Mistake(
            lambda g, x: g[::-1][np.argsort(x)],
            "Reversing undoes a permutation only by chance. Ask for each x[i] at which place k of "
            "y it stands: it gets g[k].",
        ),
    ),
    after="Next: say why `slope[order] = g`, which P.6 forbids, would be right here.",
)


EXERCISES = (MAX, ROWS, CUMSUM, SORT)
