"""The pictures of chapter 9: what a trained LSTM answers, knows and remembers.

The LSTM's cell itself is drawn in cells.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from figures.style import (
    BLACK,
    GREY,
    LOOKS,
    PALE_BLUE,
    Drawing,
    label,
    names_at_the_end,
    panels,
)

Array = npt.NDArray[np.floating[Any]]


def answers(probabilities: Mapping[str, Array], right: int) -> Drawing:
    """The probabilities that networks give to the ten digits, a panel for each network.

    Args:
        probabilities: By the title of the panel: ten probabilities.
        right: The digit that follows; its bar is black.
    """
    figure, grid = panels(1, len(probabilities), height=2.4, sharey=True)
    for axes, (title, values) in zip(grid, probabilities.items(), strict=True):
        colors = [BLACK if digit == right else PALE_BLUE for digit in range(10)]
        axes.bar(np.arange(10), values, color=colors, edgecolor=BLACK, linewidth=0.8)
        axes.set(title=title, xlabel="digit", xticks=range(10), ylim=(0, 1.08))
    grid[0].set_ylabel("probability")
    return figure


def who_knows(
    shares: Mapping[str, Mapping[str, Array]],
    places: Mapping[str, Mapping[str, tuple[float, float]]],
) -> Drawing:
    """For how many palindromes the first digit is told after each step, a panel for each network.

    Args:
        shares: By the title of the panel, then by who tells it: shares from 0 to 1, one for each
            step.
        places: By the same names: where the name stands, as (step, percent).
    """
    figure, grid = panels(1, len(shares), height=3.0, sharey=True)
    for axes, (title, lines) in zip(grid, shares.items(), strict=True):
        for (name, share), look in zip(lines.items(), LOOKS, strict=False):
            steps = np.arange(1, len(share) + 1)
            axes.plot(steps, 100 * share, color=look.color, linestyle=look.linestyle)
            label(axes, *places[title][name], name, look.color)
        axes.axhline(10, color=GREY, linestyle=":", linewidth=1)
        axes.set(title=title, xlabel="digits read", xlim=(0.5, len(share) + 0.5), ylim=(0, 106))
        axes.set_xticks([1, *range(5, len(share) + 1, 5)])
    grid[0].set_ylabel("first digit told right (%)")
    return figure


def apart(
    differences: Mapping[str, Array], places: Sequence[tuple[float, float]], digits: Sequence[int]
) -> Drawing:
    """How far apart the states of a network are after two sequences, at each step.

    Args:
        differences: By name: one number for each step; none is 0.
        places: Where each name begins, as (step, number).
        digits: The digits that both have in common, written below; the first is a question mark.
    """
    figure, [axes] = panels(height=3.2)
    for (name, line), place, look in zip(differences.items(), places, LOOKS, strict=False):
        steps = np.arange(1, len(line) + 1)
        axes.semilogy(steps, line, color=look.color, linestyle=look.linestyle)
        label(axes, *place, name, look.color)
    marks = ["?", *map(str, digits[1:])]
    axes.set_xticks(np.arange(1, len(marks) + 1), marks, fontsize=9)
    axes.set(xlabel="the digits that both read", ylabel="distance of the two states")
    axes.grid(axis="y")
    return figure


def a_memory_cell(memory: Array, first: Array, gates: Mapping[str, Array]) -> Drawing:
    """What one memory cell holds while palindromes are read, and how far its gates are open.

    Args:
        memory: The cell's content after each step, (T, N).
        first: The first digit of each of the N palindromes; there is each of 0 to 9.
        gates: By name: how far a gate is open in the mean over the palindromes, (T,).
    """
    figure, (top, bottom) = panels(2, 1, height=4.6, sharex=True, height_ratios=[2.2, 1])
    steps = np.arange(1, len(memory) + 1)
    top.axhline(0, color="#DDDDDD", linewidth=1)
    ends = {}
    for digit in range(10):
        of_digit = memory[:, first == digit]
        look = LOOKS[1 - digit % 2]  # odd digits full, even ones dashed
        top.plot(steps, of_digit, color=look.color, linewidth=0.5, alpha=0.35)
        mean = of_digit.mean(axis=1)
        top.plot(steps, mean, color=look.color, linestyle=look.linestyle, linewidth=1.4)
        ends[str(digit)] = float(of_digit[-1].mean()), look.color
    top.set(ylabel="memory C of the cell", xlim=(0.5, len(memory) + 0.5))
    names_at_the_end(top, ends)
    top.set_title("a bundle: palindromes with the same first digit")
    ends = {}
    for (name, gate), look in zip(gates.items(), LOOKS[2:], strict=False):
        bottom.plot(steps, gate, color=look.color, linestyle=look.linestyle)
        ends[name] = float(gate[-1]), look.color
    bottom.set(xlabel="digits read", ylabel="gate", ylim=(-0.05, 1.05), yticks=[0, 0.5, 1])
    names_at_the_end(bottom, ends)
    return figure
