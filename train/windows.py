"""Lines of metrics as averages over windows of steps, each step weighing the same."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

Lines = Sequence[Mapping[str, float]]

MOST_POINTS = 250  # of a curve


def windows(lines: Lines, names: Sequence[str]) -> Lines:
    """Return step and these measurements of all lines that have them."""
    return [{name: line[name] for name in ("step", *names)} for line in lines if names[0] in line]


def thinned(lines: Lines, x: str | None = "step") -> Lines:
    """Average neighbours so that at most MOST_POINTS are left and noise does not hide the trend."""
    return evened(lines, x, sum(lengths(lines, x)) / MOST_POINTS)


def evened(lines: Lines, x: str | None = "step", least: float = 0) -> Lines:
    """Average lines with their neighbours until each stands for about as many steps.

    A line of metrics averages over the steps since the line before: over 20, or, at the end of an
    epoch, over one. As a point of its own that one would look like a fall or a peak.

    Args:
        lines: Measurements with x, in order.
        x: What tells how much a line averages over; None if all count the same.
        least: For how much each shall stand; at least for as much as the longest line.
    """
    weights = lengths(lines, x)
    least = max([least, *weights])
    ends, length = [], 0.0
    for number, weight in enumerate(weights, start=1):
        length += weight
        if length >= least:
            ends.append(number)
            length = 0.0
    if 2 * length >= least > 0:
        ends.append(len(lines))
    elif length:  # too short to stand alone
        ends[-1:] = [len(lines)]
    return averages(lines, x, ends)


def averages(lines: Lines, x: str | None, ends: Sequence[int]) -> Lines:
    """Average consecutive lines, each weighed by its length; groups end before these numbers."""
    weights = lengths(lines, x)
    groups = [(lines[start:end], weights[start:end]) for start, end in pairwise([0, *ends])]
    return [
        {name: fmean([line[name] for line in group], own) for name in group[0]}
        for group, own in groups
    ]


def lengths(lines: Lines, x: str | None) -> list[float]:
    """Return over how many steps (or epochs) x each line averages: those since the line before."""
    if x is None:
        return [1.0] * len(lines)
    places = [0.0, *(line[x] for line in lines)]
    return [max(1.0, here - before) for before, here in pairwise(places)]
