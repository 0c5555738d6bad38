"""Pictures of chapter 2: what operations on arrays do to their elements, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import minigrad as mg
from figures.style import (
    BLACK,
    BLUE,
    GREY,
    LOOKS,
    PALE_BLUE,
    PALE_VERMILION,
    VERMILION,
    Drawing,
    label,
    panels,
)

Array = np.ndarray[Any, Any]


def wires(operations: Sequence[tuple[str, Callable[[Any], Any], Sequence[float]]]) -> Drawing:
    """Draw linear operations on few numbers, and below them their way back.

    A line from an input to an output stands where the output depends on the input, which is found
    by applying the operation to 1 in one place and 0 elsewhere. In the lower row g is 1, 10, 100,
    ... and so one sees which of its elements were added.

    Args:
        operations: A title, a function of a Tensor, and the numbers that it is applied to.
    """
    figure, axes = panels(2, len(operations), height=3.9)
    for column, (title, function, numbers) in enumerate(operations):
        x = mg.tensor(np.array(numbers, dtype=np.float64), requires_grad=True)
        y = function(x)
        units = np.eye(x.size)
        jacobian = np.stack([np.ravel(function(mg.tensor(unit)).numpy()) for unit in units], axis=1)
        g = 10.0 ** np.arange(y.size).reshape(y.shape)
        y.backward(mg.tensor(g))
        assert x.grad is not None
        forward, backward = axes[column], axes[column + len(operations)]
        _columns(forward, np.array(numbers), y.detach().numpy(), jacobian, back=False)
        _columns(backward, x.grad.numpy(), g, jacobian, back=True)
        forward.set_title(title)
    return figure


def _columns(axes: Axes, left: Array, right: Array, jacobian: Array, back: bool) -> None:
    """Two columns of numbered cells, with a wire for each element of the Jacobian that is not 0."""
    heights = [_heights(left.size), _heights(right.size)]
    color = VERMILION if back else BLUE
    for i, j in np.argwhere(jacobian):
        start, end = (0.3, heights[0][j]), (1.7, heights[1][i])
        axes.annotate(
            "",
            xy=start if back else end,
            xytext=end if back else start,
            arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.4, "shrinkA": 1, "shrinkB": 1},
        )
    names = ("rule(g)", "g") if back else ("x", "y")
    fill = PALE_VERMILION if back else PALE_BLUE
    for x, numbers, ys, name in zip((0, 2), (left, right), heights, names, strict=True):
        for number, y in zip(np.ravel(numbers), ys, strict=True):
            cell = Rectangle((x - 0.3, y - 0.32), 0.6, 0.64, facecolor=fill, edgecolor=color, lw=1)
            axes.add_patch(cell)
            axes.text(x, y, f"{number:g}", ha="center", va="center", fontsize=10)
        axes.text(x, 1.75, name, ha="center", va="center", fontsize=10, color=color)
    axes.set(xlim=(-0.75, 2.5), ylim=(-1.45, 2.1))
    axes.axis("off")


def _heights(count: int) -> Array:
    return (count - 1) / 2 - np.arange(count)


def repeated(inputs: Sequence[Array], g: Array) -> Drawing:
    """Draw how broadcasting repeats arrays, and how the gradient of each is summed.

    Args:
        inputs: Arrays that broadcast to the shape of g; a column of the picture for each.
        g: The gradient that arrives, of the larger shape.
    """
    rows, columns = g.shape
    ratios = {"height_ratios": [rows + 0.1, rows + 1.45]}
    figure, axes = panels(2, len(inputs), height=4.1, gridspec_kw=ratios)
    for column, values in enumerate(inputs):
        b = mg.tensor(values, requires_grad=True)
        (b + mg.zeros(*g.shape, dtype="float64")).backward(mg.tensor(g))
        assert b.grad is not None
        own = _own_cells(values.shape, g.shape)
        forward, backward = axes[column], axes[column + len(inputs)]
        _grid(forward, np.broadcast_to(values, g.shape), BLUE, PALE_BLUE, dashed=~own)
        forward.set_title(f"b of shape {values.shape}\nis repeated")
        _grid(backward, g, GREY, "white")
        along_rows = own.all(axis=1).any()  # a whole row is b's own: columns are summed
        total = np.broadcast_to(b.grad.numpy(), (1, columns) if along_rows else (rows, 1))
        shift = (0.0, -rows - 0.45) if along_rows else (columns + 0.45, 0.0)
        _grid(backward, total, VERMILION, PALE_VERMILION, shift=shift)
        for i in range(columns if along_rows else rows):
            start = (i, -rows + 0.75) if along_rows else (columns - 0.75, -i)
            end = (i, -rows + 0.1) if along_rows else (columns - 0.1, -i)
            arrow = {"arrowstyle": "-|>", "color": VERMILION, "lw": 1.4}
            backward.annotate("", xy=end, xytext=start, arrowprops=arrow)
        backward.set_title("g is summed where\nb was repeated")
    for number, each in enumerate(axes):
        lowest = -rows + 0.4 if number < len(inputs) else -rows - 0.95
        each.set(xlim=(-0.6, columns + 1.0), ylim=(lowest, 0.5), aspect="equal")
        each.axis("off")
    return figure


def _own_cells(shape: tuple[int, ...], longer: tuple[int, ...]) -> Array:
    """Which cells of the larger array are not copies: index 0 on each axis that is repeated."""
    aligned = (1,) * (len(longer) - len(shape)) + shape
    own = np.ones(longer, dtype=bool)
    for axis, n in enumerate(aligned):
        index = np.arange(longer[axis]).reshape(
            [-1 if i == axis else 1 for i in range(len(longer))]
        )
        own &= (index == 0) | (n == longer[axis])
    return own


def _grid(
    axes: Axes,
    numbers: Array,
    edge: str,
    fill: str,
    dashed: Array | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
) -> None:
    """A matrix as cells with numbers, without those that are nan; copies have a dashed edge."""
    for row, column in np.argwhere(np.isfinite(numbers)):
        number = numbers[row, column]
        x, y = column + shift[0], -row + shift[1]
        copy = dashed is not None and dashed[row, column]
        axes.add_patch(
            Rectangle(
                (x - 0.44, y - 0.4),
                0.88,
                0.8,
                facecolor="white" if copy else fill,
                edgecolor=edge,
                linestyle="--" if copy else "-",
                lw=0.9 if copy else 1.4,
            )
        )
        color = GREY if copy else BLACK
        axes.text(x, y, f"{number:g}", ha="center", va="center", fontsize=10, color=color)


def speed(sizes: Sequence[int], times: dict[str, Sequence[float]]) -> Drawing:
    """Draw how long a computation takes, against how many numbers it has, on logarithmic axes.

    Args:
        sizes: The counts of numbers.
        times: The label of each line, and its seconds.
    """
    figure, [axes] = panels(height=2.9)
    for look, (name, seconds) in zip(LOOKS, times.items(), strict=False):
        axes.loglog(sizes, seconds, color=look.color, linestyle=look.linestyle, marker=look.marker)
        label(axes, sizes[-1] * 1.5, seconds[-1], name, look.color, va="center")
    axes.set(xlabel="how many numbers", ylabel="seconds, forward and back")
    axes.set_xlim(sizes[0] * 0.8, sizes[-1] * 1.25)
    axes.grid(True)
    return figure


def influence(A: Array, B: Array, place: tuple[int, int]) -> Drawing:
    """Draw which elements of Y = A B change when one element of A grows by 1, and by how much.

    Args:
        A: The first matrix.
        B: The second matrix.
        place: Row and column of the element of A.
    """
    moved = A.copy()
    moved[place] += 1
    change = moved @ B - A @ B
    figure, [axes] = panels(height=1.9)
    left = 0.0
    marked_A, marked_B = np.zeros(A.shape, bool), np.zeros(B.shape, bool)
    marked_A[place], marked_B[place[1]] = True, True
    height = max(A.shape[0], B.shape[0])
    row, column = place
    pieces = [
        ("A: one element + 1", A, marked_A, row, "p", column),
        ("B: its row q", B, marked_B, column, "q", None),
        ("Y changes in row p", change, change != 0, row, "p", None),
    ]
    for number, (title, values, marked, named, name, below) in enumerate(pieces):
        rows, columns = values.shape
        top = -(height - rows) / 2
        _grid(axes, np.where(marked, np.nan, values), GREY, "white", shift=(left, top))
        _grid(axes, np.where(marked, values, np.nan), VERMILION, PALE_VERMILION, shift=(left, top))
        axes.text(left + (columns - 1) / 2, top + 0.8, title, ha="center", va="center", fontsize=10)
        axes.text(left - 0.75, top - named, name, ha="center", va="center", color=VERMILION)
        if below is not None:
            axes.text(
                left + below, top - rows + 0.25, "q", ha="center", va="center", color=VERMILION
            )
        if number < 2:
            sign = "@" if number == 0 else "→"
            axes.text(left + columns - 0.05, -(height - 1) / 2, sign, ha="center", va="center")
        left += columns + 1.4
    axes.set(xlim=(-1.0, left - 1.8), ylim=(-height + 0.4, 1.2), aspect="equal")
    axes.axis("off")
    return figure


def fits(x: Array, t: Array, lines: dict[str, Array]) -> Drawing:
    """Draw points, and lines that were fitted to them.

    Args:
        x: Where the points are.
        t: Their heights.
        lines: The label of each line, and its heights at x.
    """
    figure, [axes] = panels(height=2.7)
    axes.plot(x, t, "o", color=GREY, markerfacecolor="white")
    for look, (name, heights) in zip(LOOKS, lines.items(), strict=False):
        axes.plot(x, heights, color=look.color, linestyle=look.linestyle)
        label(axes, x[-1] + 0.03 * (x[-1] - x[0]), heights[-1], name, look.color, va="center")
    axes.set(xlabel="x", ylabel="target and prediction")
    return figure
