"""Every picture of a run: curves, what a network remembers, what it misreads, digits that it draws.

All can be read without colour and at 800 pixels. A function that draws returns a figure; `save`
writes it into a run's folder.
"""

import io
import math
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)
from PIL import Image, ImageDraw, ImageFont

from minigrad.data import DataError
from minigrad.files import read_member

from .insight import Memory
from .run import RunFolder

Grey = npt.NDArray[np.uint8]
Lines = Sequence[Mapping[str, float]]
Guide = tuple[float, str]  # a line to compare with, and what it means

TITLES = {
    "lstm": "LSTM",
    "textbook": "LSTM (textbook form)",
    "rnn": "Plain recurrent network",
}
GUESSING: Guide = (10, "10 %: guessing")
HALF: Guide = (50, "50 %: guessing")
MOST_POINTS = 80  # of a curve; more would be noise in a panel of 4 inches
MOST_FRAMES = 100
MOST_PIXELS = 2**20  # of a grid of samples that is read, which has 360,000
MOST_PICTURE = 2**22  # bytes of it
PAPER = 255
STRIP_WIDTH = 9  # inches
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LEAST = 1e-12  # on a logarithmic axis: a smaller share of a gradient teaches nothing


class Look(NamedTuple):
    """How a contestant is drawn in every figure, in colour and without."""

    color: str
    dashes: Any
    marker: str


# Okabe and Ito's colours
LOOKS = {
    "lstm": Look("#0072B2", "-", "o"),
    "rnn": Look("#D55E00", "--", "s"),
    "discriminator": Look("#009E73", "-.", "^"),
    "training": Look("#CC79A7", (0, (3, 1)), "D"),
    "validation": Look("#000000", (0, (4, 3)), ">"),
    "textbook": Look("#56B4E9", (0, (8, 2)), "<"),
    "generator": Look("#E69F00", (0, (6, 1, 1, 1)), "X"),
    "real": Look("#666666", ":", "p"),
}
UNTRAINED = (0, (1, 2))  # the dashes of a network that has learnt nothing


def numbered(number: int) -> Look:
    """Return the look of one of many: a colour with a dash pattern; they repeat after 49."""
    looks = list(LOOKS.values())[:7]
    color, _, marker = looks[number % 7]
    return Look(color, looks[(number + number // 7) % 7].dashes, marker)


def selected(lines: Lines, names: Sequence[str]) -> Lines:
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


def aligned(
    runs: Sequence[Lines], x: str, y: str, moment: bool = False
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return where all runs have been measured (P,), and what each was there (R, P).

    Args:
        runs: The measurements of each.
        x: What tells where: "epoch" or "step".
        y: What was measured.
        moment: Whether at moments; else a line averages over all since the line before, and what
            is returned over all since the place before.
    """
    series = [{line[x]: line[y] for line in lines if y in line} for lines in runs]
    common = set(series[0]).intersection(*series)
    found = []
    for each in series:
        lines = [{x: place, y: each[place]} for place in sorted(each)]
        ends = [number for number, line in enumerate(lines, start=1) if line[x] in common]
        means = [lines[end - 1] for end in ends] if moment else averages(lines, x, ends)
        at = [{x: lines[end - 1][x], y: mean[y]} for end, mean in zip(ends, means, strict=True)]
        found.append(thinned(at, None if moment else x))
    places = np.array([line[x] for line in found[0]])
    return places, np.array([[line[y] for line in each] for each in found]).reshape(len(runs), -1)


class Curve(NamedTuple):
    """One measurement against another, in axes that others may share."""

    label: str

    look: Look

    x: Any
    """(P,)."""

    y: Any
    """(P,), of several seeds the mean."""

    low: Any = None
    """(P,), of several seeds the lowest."""

    high: Any = None
    """(P,), of several seeds the highest."""


def curve(lines: Lines, x: str, y: str, label: str, look: str, percent: bool = False) -> Curve:
    """Return one measurement against another; shares from 0 to 1 become per cent."""
    factor = 100 if percent else 1
    own = [line for line in lines if y in line]
    return Curve(label, LOOKS[look], [line[x] for line in own], [factor * line[y] for line in own])


def panel(
    axes: Axes,
    title: str,
    curves: Sequence[Curve],
    x: str,
    y: str,
    guide: Guide | None = None,
    log: bool = False,
    legend: bool = True,
) -> None:
    """Draw curves in axes; what was measured only once is no curve, and said in words.

    Args:
        axes: Where to draw.
        title: What is shown.
        curves: At least one.
        x: The name of the horizontal axis.
        y: The name of the vertical axis. An axis of accuracy without a guide begins where the
            curves live; where one comes from below stands a triangle.
        guide: A line to compare with, and what it means.
        log: Whether the vertical axis is logarithmic.
        legend: Whether to explain the curves here.
    """
    axes.set_title(title)
    if max(len(each.x) for each in curves) < 2:
        axes.set_axis_off()
        words = [f"{y}, measured at {x} {max(each.x[0] for each in curves):,g} only", ""]
        for each in curves:
            spread = "" if each.low is None else f" ({each.low[0]:.4g} to {each.high[0]:.4g})"
            words.append(f"{each.label}: {each.y[0]:.4g}{spread}")
        words += [guide[1]] if guide is not None else []
        text = literal("\n".join(words))
        size = min(11, 140 / len(words))
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", size=size)
        return
    # a logarithmic axis needs something to show
    log = log and any(value > LEAST for each in curves for value in each.y)
    if guide is not None:
        axes.axhline(guide[0], color="0.3", linestyle=":", linewidth=1.2, label=guide[1])
    bottom = LEAST if log else 0.0
    if "accuracy" in y and guide is None:
        bottom = _begins_at(curves)
    if log:
        axes.set_yscale("log")
    cut = [_plot(axes, each, bottom) for each in curves]
    top = axes.dataLim.y1
    if "%" in y:
        margin = 0.03 * (100 - bottom)
        axes.set_ylim(bottom - margin, 100 + margin)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=(1, 2, 5, 10)))
    elif any(cut) and log:
        axes.set_ylim(bottom, top * (top / bottom) ** 0.04)
    elif not log and top > bottom:
        axes.set_ylim(bottom, top + 0.04 * (top - bottom))
    if log:
        low, high = axes.get_ylim()
        few = high < 1000 * low
        subs = (1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9) if high < 4 * low else (1, 2, 5)
        axes.yaxis.set_major_locator(LogLocator(subs=subs if few else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, not few)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y}\n(▼: below {shown(bottom, log)})" if any(cut) else y)
    axes.grid(alpha=0.3)
    if legend:
        axes.legend(handlelength=3.5, borderaxespad=1.0)  # below markers at 100 %


def same_range(panels: Iterable[Axes]) -> None:
    """Let the horizontal axes of all panels that show curves begin and end alike."""
    drawn = [axes for axes in panels if axes.axison]
    ends = [axes.get_xlim() for axes in drawn]
    for axes in drawn:
        axes.set_xlim(min(left for left, _ in ends), max(right for _, right in ends))


def _begins_at(curves: Iterable[Curve]) -> float:
    """Where an axis of percentages begins: below all that curves show after their first fifth."""
    missing = 100 - min(y for each in curves for y in each.y[len(each.x) // 5 :])
    spans = (span for span in (1, 2, 5, 10, 20, 50) if span >= missing)
    return 100.0 - next(spans, 100)


def _plot(axes: Axes, each: Curve, bottom: float) -> bool:
    """Draw a curve, and a triangle where it falls below the bottom; return whether it does."""
    color, dashes, marker = each.look
    below = np.asarray(each.y) < bottom
    above = np.pad(~below, 1)
    where = axes.get_xaxis_transform()
    for place in np.asarray(each.x)[below & (above[:-2] | above[2:])]:
        axes.plot(
            place, 0, "v", color=color, markersize=9, clip_on=False, transform=where, zorder=3
        )
    axes.plot(
        each.x,
        each.y,
        label=literal(each.label),
        color=color,
        linestyle=dashes,
        linewidth=1.5,
        marker=marker,
        markersize=6,
        markeredgecolor="white",
        markeredgewidth=0.5,
        markevery=max(1, len(each.x) // 10),
        clip_on=bool(below.any()),  # else a marker at the edge is whole
    )
    if each.low is not None:
        axes.fill_between(each.x, each.low, each.high, color=color, alpha=0.2, linewidth=0)
    return bool(below.any())


def shown(value: float, power: bool) -> str:
    """Return a number as it stands at an axis, or as the power of ten that it is nearest to."""
    return "10" + str(round(math.log10(value))).translate(SUPERSCRIPT) if power else f"{value:g}"


def literal(text: str) -> str:
    """Return a text that is drawn as it stands: no formula, no letter that does not exist."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **shape: Any
) -> tuple[Figure, Any]:
    """Return a figure, sizes in inches, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **shape)


def save(figure: Figure, run: RunFolder, name: str) -> str:
    """Write a figure into a run's folder, and return its name."""
    with run.replacing(name) as path:
        figure.savefig(path)
    return name


def learning_curves(lines: Lines, title: str, guide: Guide | None = None) -> Figure:
    """Draw loss and accuracy over the epochs, for training and validation.

    Args:
        lines: Measurements with epoch, loss, accuracy, val_loss and val_accuracy (0 to 1).
        title: What was trained.
        guide: An accuracy (in %) to compare with, and what it means.
    """
    figure, axes = new_figure(9, 3.8, 1, 2)
    for place, name, unit in zip(axes[0], ("loss", "accuracy"), ("nats", "%"), strict=True):
        both = [
            curve(lines, "epoch", name, "training", "training", unit == "%"),
            curve(lines, "epoch", f"val_{name}", "validation", "validation", unit == "%"),
        ]
        own = guide if unit == "%" else None
        panel(place, name.capitalize(), both, "epoch", f"{name} ({unit})", own)
    figure.suptitle(title)
    return figure


def gan_curves(lines: Lines, floor: float | None) -> Figure:
    """Draw both losses, how often the discriminator is right, and what the judge says, over steps.

    Args:
        lines: Measurements with step, g_loss, d_loss, d_real and d_fake (0 to 1); some with fid,
            and precision and recall (0 to 1).
        floor: The FID of real digits, if it is known.
    """
    judged = [line for line in lines if "fid" in line]
    rows = 2 if len(judged) > 1 else 1
    figure, axes = new_figure(9, 3.6 * rows, rows, 2)
    measured = thinned(selected(lines, ("g_loss", "d_loss", "d_real", "d_fake")))
    (losses, shares), *rest = axes
    x = "training step"
    players = [
        curve(measured, "step", "g_loss", "generator", "generator"),
        curve(measured, "step", "d_loss", "discriminator (real + fake)", "discriminator"),
    ]
    panel(losses, "Losses (binary cross-entropy)", players, x, "loss (nats)")
    right = [
        curve(measured, "step", "d_real", "real digits taken for real", "real", percent=True),
        curve(measured, "step", "d_fake", "fakes taken for fakes", "generator", percent=True),
    ]
    panel(shares, "How often the discriminator is right", right, x, "right (%)", HALF)
    known = None if floor is None else (floor, f"as many real digits: {floor:.1f}")
    for distance, overlap in rest:
        fid = [curve(judged, "step", "fid", "fakes", "generator")]
        panel(
            distance, "Distance from real digits, by a classifier", fid, x, "FID", known, log=True
        )
        both = [
            curve(judged, "step", "precision", "fakes that look real", "generator", True),
            curve(judged, "step", "recall", "real digits that fakes cover", "real", True),
        ]
        panel(overlap, "Precision and recall", both, x, "share (%)")
    same_range(axes.flat)
    if len(judged) == 1:
        words = f"Judged once, at step {judged[0]['step']:,g}: FID {judged[0]['fid']:.1f}"
        figure.suptitle(words if known is None else f"{words} ({known[1]})", fontsize="medium")
    return figure


@dataclass(frozen=True)
class Panel:
    """One measurement, to be compared among runs."""

    name: str
    """In the lines of metrics."""

    title: str

    y: str
    """The name of the axis; measurements in % are logged from 0 to 1."""

    log: bool = False

    guide: Guide | None = None

    moment: bool = False
    """Measured at a moment, now and then; else averaged over all that is between two lines."""


def learning_panels(guide: Guide | None = None) -> list[Panel]:
    """Return what is compared of networks that classify; the guide is an accuracy in %."""
    return [
        Panel("loss", "Training loss", "loss (nats)"),
        Panel("accuracy", "Training accuracy", "accuracy (%)", guide=guide),
        Panel("val_loss", "Validation loss", "loss (nats)"),
        Panel("val_accuracy", "Validation accuracy", "accuracy (%)", guide=guide),
    ]


def comparison(
    groups: Mapping[str, Sequence[Lines]],
    looks: Sequence[Look],
    panels: Sequence[Panel],
    x: str,
    title: str,
) -> Figure:
    """Draw measurements of several runs, a panel for each: the mean of every group, and its range.

    Args:
        groups: By label the measurements of one run or more.
        looks: One for each group.
        panels: What to draw; what no group has is left out.
        x: What stands on the horizontal axis: "epoch" or "step".
        title: What is compared.

    Raises:
        DataError: If the runs of no group have anything in common.
    """
    drawn: dict[Panel, list[Curve]] = {}
    for each in panels:
        for (label, runs), look in zip(groups.items(), looks, strict=True):
            places, values = aligned(runs, x, each.name, each.moment)
            if len(places):
                values = 100 * values if "%" in each.y else values
                spread = (values.min(axis=0), values.max(axis=0)) if len(runs) > 1 else ()
                found = Curve(label, look, places, values.mean(axis=0), *spread)
                drawn.setdefault(each, []).append(found)
    if not drawn:
        raise DataError(f"these runs have not been measured at the same {x}: nothing to compare")
    rows = -(-len(drawn) // 2)
    figure, axes = new_figure(9.2, 3.2 * rows + 0.25 * len(groups) + 0.4, rows, 2)
    named: dict[str, Any] = {}
    for axis, (each, curves) in zip(axes.flat, drawn.items(), strict=False):
        name = x.replace("step", "training step")
        panel(axis, each.title, curves, name, each.y, each.guide, each.log, legend=False)
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    for axis in axes.flat[len(drawn) :]:
        axis.set_axis_off()
    same_range(axes.flat)
    figure.legend([*named.values()], [*named], loc="outside lower center", handlelength=4)
    figure.suptitle(title)
    return figure


def accuracy_by_length(results: Mapping[str, Mapping[int, Sequence[float]]]) -> Figure:
    """Draw accuracy against the length of the sequence: the mean over seeds, and their range.

    Args:
        results: By network and length the accuracy (0 to 1) of each seed. More may follow the
            network's name behind a comma.
    """
    figure, axes = new_figure(8, 4.5)
    axis = axes[0, 0]
    curves, every = [], sorted({length for row in results.values() for length in row})
    seeds = max(len(each) for row in results.values() for each in row.values())
    for number, (label, row) in enumerate(results.items()):
        network, comma, rest = label.partition(",")
        look = LOOKS[network] if not comma else numbered(number)._replace(color=LOOKS[network][0])
        mean, low, high = ([100 * f(row[n]) for n in sorted(row)] for f in (fmean, min, max))
        curves.append(Curve(TITLES[network] + comma + rest, look, sorted(row), mean, low, high))
    spread = "" if seeds == 1 else f", mean and range of {seeds} seeds"
    title = f"Last digit of unseen palindromes{spread}"
    panel(axis, title, curves, "digits read, T", "accuracy (%)", GUESSING)
    if len(every) > 1:
        axis.set_xscale("log")
        axis.set_xticks(every, [str(length) for length in every])
        axis.minorticks_off()
    return figure


def memory(found: Memory, network: str) -> Figure:
    """Draw which steps know the first digit, and below what the gates of a few memory cells do.

    Args:
        found: What `insight.look_inside` found out.
        network: Which network it is, a key of `TITLES`.
    """
    heights = [2.9] + [0.7] * len(found.cells)
    height = sum(heights) + 1.6
    figure, axes = new_figure(9, height, len(heights), 1, height_ratios=heights)
    top, *rows = axes[:, 0]
    own, steps = LOOKS[network], len(found.digits)
    looks = (own, LOOKS["validation"], LOOKS["real"]._replace(dashes="-", marker="s"))
    curves = [
        Curve(label, look, found.moments, 100 * values)
        for look, (label, values) in zip(looks, found.known.items(), strict=False)
    ][::-1]  # the network's own is drawn last, above the others
    x = f"digits read, t ({found.tested} unseen palindromes)"
    title = f"{TITLES[network]}: which step knows the first digit?"
    figure.suptitle(title)
    panel(top, "", curves, x, "read right (%)", GUESSING, legend=False)
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    top.set_xlim(0.5, steps + 0.5)
    few = steps <= 25
    for row, (name, values) in zip(rows, found.cells.items(), strict=True):
        gate = "gate" in name
        image = row.imshow(
            values.T if gate else (values / np.maximum(np.abs(values).max(axis=0), 1e-300)).T,
            "cividis",
            aspect="auto",
            interpolation="nearest",
            extent=(0.5, steps + 0.5, len(found.chosen) - 0.5, -0.5),
            vmin=0 if gate else -1,
            vmax=1,
        )
        row.set_yticks(range(len(found.chosen)), map(str, found.chosen), fontsize=8)
        row.set_ylabel(name)
        row.set_xticks([])
        bar = figure.colorbar(image, ax=row, pad=0.01, ticks=[0 if gate else -1, 1])
        bar.set_ticklabels(["closed", "open"] if gate else ["negative", "positive"])
    if rows:
        rows[0].set_title("Its memory cells (by number) that keep the first digit best")
        if few:
            rows[-1].set_xticks(range(1, steps + 1), map(str, found.digits))
        rows[-1].set_xlabel("one palindrome's digits, from left to right")
    return figure


def gradients(norms: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Draw how much of the gradient is left at each distance from the end of the sequence.

    Args:
        norms: By network, and by "trained" or "untrained", |dL/dh_t| (T,) for t = 1 ... T.
        title: What was trained.
    """
    figure, axes = new_figure(8, 4.5)
    curves = []
    for network, states in norms.items():
        for state, values in states.items():
            own = LOOKS[network]
            look = own if state == "trained" else own._replace(dashes=UNTRAINED)
            share = values[::-1] / max(values[-1], 1e-300)
            label = f"{TITLES[network]}, {state}"
            curves.append(Curve(label, look, np.arange(len(values)), share))
    x = "distance T - t from the end (time steps)"
    y = "|∂L/∂h_t| relative to t = T"
    panel(axes[0, 0], title, curves, x, y, log=True)
    return figure


def confusion(labels: npt.NDArray[Any], probabilities: npt.NDArray[Any], when: str) -> Figure:
    """Draw what each digit was taken for: how many of the wrong, and the share of the right.

    Args:
        labels: What was written (N,), 0 to 9.
        probabilities: Of the ten digits (N, 10).
        when: When in the training.
    """
    table = np.zeros((10, 10), int)
    np.add.at(table, (labels, probabilities.argmax(axis=1)), 1)
    wrong = table * (1 - np.eye(10, dtype=int))
    most = max(1, wrong.max())
    figure, axes = new_figure(7, 6.4)
    axis = axes[0, 0]
    axis.imshow(wrong, "Greys", vmin=0, vmax=1.3 * most)
    for written, row in enumerate(table):
        for read, count in enumerate(row):
            if written == read and row.sum():
                words, color = f"{100 * count / row.sum():.1f} %", LOOKS["lstm"].color
                axis.text(read, written, words, ha="center", va="center", fontsize=8, color=color)
            elif count:
                color = "white" if count > 0.6 * most else "black"
                axis.text(read, written, str(count), ha="center", va="center", color=color)
    axis.set_xticks(range(10))
    axis.set_yticks(range(10), [f"{digit} ({n:,})" for digit, n in enumerate(table.sum(axis=1))])
    axis.set_xlabel("what it was taken for")
    axis.set_ylabel("digit that was written (and how many of them)")
    axis.set_title(f"{wrong.sum():,} of {table.sum():,} unseen digits misread, {when}")
    return figure


def worst_read(
    images: Grey, labels: npt.NDArray[Any], probabilities: npt.NDArray[Any], when: str
) -> Figure:
    """Draw the digits whose true reading was found least probable, the worst first.

    Args:
        images: (N, 28, 28), 255 is ink.
        labels: What was written (N,), 0 to 9.
        probabilities: Of the ten digits (N, 10).
        when: When in the training.
    """
    rows, columns = 4, 8
    order = np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")
    figure, axes = new_figure(9, 5.8, rows, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, i in zip(axes.flat, order, strict=False):
        axis.imshow(images[i], "gray_r", vmin=0, vmax=255, interpolation="nearest")
        read = probabilities[i].argmax()
        axis.set_title(f"{labels[i]}, read as {read}\n({probabilities[i, read]:.0%})", fontsize=9)
    figure.suptitle(f"The worst read of {len(labels):,} unseen digits, {when}")
    return figure


def grid(images: Grey, columns: int, scale: int = 2) -> Grey:
    """Lay images out in rows, black ink on white paper.

    Args:
        images: (N, 28, 28), uint8, 255 is ink.
        columns: How many go into a row.
        scale: How many pixels wide and high a pixel of an image becomes.

    Returns:
        The grey values of the whole, 0 is ink.
    """
    rows = -(-len(images) // columns)
    sheet = np.full((rows * columns, 30, 30), PAPER, np.uint8)
    sheet[: len(images), 1:-1, 1:-1] = PAPER - images
    picture = sheet.reshape(rows, columns, 30, 30).swapaxes(1, 2).reshape(rows * 30, columns * 30)
    return picture.repeat(scale, 0).repeat(scale, 1)


def write_grey(picture: Grey, path: Path) -> None:
    """Write grey values (height, width) as a PNG file."""
    Image.fromarray(picture).save(path)


def read_grey(path: Path) -> Grey:
    """Read a PNG file's grey values (height, width), of at most MOST_PIXELS.

    Raises:
        DataError: If it cannot be read, is damaged, or is too large.
    """
    try:
        content = io.BytesIO(read_member(path, MOST_PICTURE))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a picture so large that it may be an attack
            with Image.open(content, formats=["PNG"]) as image:  # others may start programs
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"it has {image.width} x {image.height} pixels")
                image.verify()
            with Image.open(content, formats=["PNG"]) as image:
                return np.asarray(image.convert("L"))
    except Exception as error:  # of a damaged file PIL may raise anything, SyntaxError too
        raise DataError(f"{path} is no picture, or damaged: {error}") from None


def captioned(picture: Grey, text: str) -> Grey:
    """Write a line of text below a picture (height, width)."""
    size = 18
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
    sheet = Image.fromarray(np.pad(picture, ((0, 2 * size), (0, 0)), constant_values=PAPER))
    middle = (picture.shape[1] / 2, len(picture) + size * 0.9)
    ImageDraw.Draw(sheet).text(middle, text, fill=0, font=font, anchor="mm")
    return np.asarray(sheet)


def animation(frames: Sequence[Grey], path: Path) -> None:
    """Write pictures as an animated GIF of about ten seconds, which pauses at the end.

    Args:
        frames: Grey values (height, width), at least one; of many, some are left out.
        path: The GIF file to write.
    """
    chosen = spread(frames)
    first, *others = map(Image.fromarray, chosen)
    each = min(500, 10_000 // len(chosen))
    times = [each] * (len(chosen) - 1) + [2500]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)


def spread(items: Sequence[Any]) -> list[Any]:
    """Return at most MOST_FRAMES of the items, evenly spread, with the last."""
    return [*items[: -1 : -(-len(items) // MOST_FRAMES)], *items[-1:]]


def moments(steps: Collection[int]) -> set[int]:
    """Return the steps nearest to the beginning, 1 %, 10 % and the end."""
    last = max(steps)
    return {min(steps, key=lambda step: abs(step - part * last)) for part in (0, 0.01, 0.1, 1)}


def read_grids(folder: Path, say: Callable[[str], object]) -> dict[int, Grey]:
    """Read the grids of samples that are drawn, by their steps; others are not even opened.

    Args:
        folder: Where they are.
        say: Tells the user of pictures that are left out: damaged ones, and those of another size.
    """
    if folder.is_symlink():
        say(f"{folder} is a link, and left out")
        return {}
    names = ((path.stem.removeprefix("step-"), path) for path in folder.glob("step-*.png"))
    files = {int(step): path for step, path in names if step.isdecimal() and len(step) <= 18}
    grids, steps = {}, sorted(files)
    for step in sorted({*spread(steps), *moments(steps)}) if steps else ():
        try:
            grids[step] = read_grey(files[step])
        except DataError as error:
            say(f"Left out: {error}")
    sizes = Counter(grid.shape for grid in grids.values()).most_common(1)
    for step in [step for step, grid in grids.items() if grid.shape != sizes[0][0]]:
        say(f"Left out: {files[step]} is of another size than the others")
        del grids[step]
    return grids


def gan_progress(run: RunFolder, into: RunFolder, say: Callable[[str], object]) -> list[str]:
    """Draw the grids of samples of train.gan: four moments beside each other, all as an animation.

    The moments are the beginning, about 1 % and 10 % of the way, and the end. `say` tells the user
    of pictures that are left out; the names of the new pictures are returned.
    """
    grids = read_grids(run.path / "samples", say)
    if not grids:
        return []
    shown = moments(grids)
    columns = 2 if len(shown) == 4 else len(shown)
    rows = len(shown) // columns
    figure, axes = new_figure(9, (9 / columns + 0.3) * rows + 0.3, rows, columns)
    for axis, step in zip(axes.flat, sorted(shown), strict=True):
        axis.imshow(grids[step], "gray", vmin=0, vmax=PAPER, interpolation="nearest")
        axis.set_title(f"step {step:,}")
        axis.set_axis_off()
    figure.suptitle("What the generator makes of the same 100 latent points")
    frames = [captioned(grids[step][::2, ::2], f"step {step:,}") for step in spread([*grids])]
    with into.replacing("progress.gif") as path:
        animation(frames, path)
    return [save(figure, into, "progress.png"), "progress.gif"]


@dataclass(frozen=True)
class Strip:
    """Images in a row, each above its caption."""

    name: str
    """Of the row."""

    images: Grey
    """(N, 28, 28), uint8, 255 is ink."""

    captions: Sequence[str]
    """N, of one letter or two."""


def strips(rows: Sequence[Strip], digits: Sequence[int]) -> Figure:
    """Draw strips on the way through these digits below each other; their ends stand in bold.

    Args:
        rows: At least one, all of the same length; captions say what a classifier reads.
        digits: The digits that were looked for, in order.
    """
    count = len(rows[0].images)
    size = min(0.75, STRIP_WIDTH / count)  # of an image, in inches
    width = max(6.6, count * size + 1.3)  # the caption needs as much
    figure, axes = new_figure(width, len(rows) * (size + 0.32) + 0.75, len(rows), 1)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        picture = grid(row.images, count)
        axis.imshow(picture, "gray", vmin=0, vmax=PAPER, interpolation="nearest")
        each = picture.shape[1] / count
        axis.set_xticks([(i + 0.5) * each for i in range(count)], row.captions)
        axis.tick_params(axis="x", length=0, labelsize=min(10, 50 * size))
        for label in (axis.get_xticklabels()[0], axis.get_xticklabels()[-1]):
            label.set_fontweight("bold")
        axis.set_yticks([])
        axis.set_ylabel(row.name, rotation="horizontal", ha="right", va="center")
        axis.spines[:].set_visible(False)
    caption = "what the classifier reads in each picture (bold: the points that were looked for)"
    figure.supxlabel(caption, fontsize=9)
    title = f"The way from {' to '.join(map(str, digits))} in the generator's latent space"
    figure.suptitle(textwrap.fill(title, int(9 * width)))
    return figure
