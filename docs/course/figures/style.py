"""One look for all pictures of the course: readable on a phone, in print, and without colours.

A picture is at most 6 inches wide, with letters of 11 points, so that on a phone (390 pixels) a
line of text is still 10 pixels high. Lines differ in colour *and* in dashes or markers, and are
labelled where they are drawn. The colours are those of Okabe and Ito 2008, "Color universal
design", which people with each kind of colour blindness tell apart.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
AMBER, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#666666"
PALE_BLUE, PALE_VERMILION = "#CFE3F3", "#F7DCC4"  # areas behind points, boxes
DOTS_PER_INCH = 160
IN_BROWSER = sys.platform == "emscripten"  # where matplotlib cannot draw pixels

SETTINGS = {
    "font.size": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


class Look(NamedTuple):
    """How a line is drawn: its colour, its dashes, and its marker where it has points."""

    color: str
    linestyle: Any
    marker: str


# the first line of a picture, the second, ...
LOOKS = [
    Look(BLUE, "-", "o"),
    Look(VERMILION, "--", "s"),
    Look(GREEN, "-.", "^"),
    Look(PURPLE, (0, (3, 1)), "D"),
    Look(BLACK, ":", "v"),
    Look(AMBER, (0, (6, 1, 1, 1)), "X"),
    Look(SKY, (0, (8, 2)), "<"),
]


class Drawing(Figure):
    """A figure that a notebook shows by itself, as PNG; in the browser, as SVG."""

    def _repr_png_(self) -> bytes | None:
        return None if IN_BROWSER else self._saved("png")

    def _repr_svg_(self) -> str | None:
        return self._saved("svg").decode() if IN_BROWSER else None

    def _saved(self, form: str) -> bytes:
        file = io.BytesIO()
        with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
            self.savefig(file, format=form, dpi=DOTS_PER_INCH)
        return file.getvalue()


def panels(
    rows: int = 1, columns: int = 1, width: float = 6.0, height: float = 2.8, **options: Any
) -> tuple[Drawing, list[Axes]]:
    """A figure with a grid of axes, row by row.

    Args:
        rows: The number of rows.
        columns: The number of columns; of more than three nothing could be read on a phone.
        width: In inches, at most 6.
        height: In inches, of the whole figure.
        options: Options of `Figure.subplots`, such as `sharey=True`.

    Raises:
        ValueError: The figure would be too wide.
    """
    if width > 6:
        raise ValueError(f"a figure may be 6 inches wide, got {width}")
    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Drawing(figsize=(width, height), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, [axes for row in grid for axes in row]


def label(axes: Axes, x: float, y: float, text: str, color: str = BLACK, **options: Any) -> None:
    """Write a word beside a line or a point, with a white edge that keeps it readable."""
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=3, foreground="white")]
    axes.text(x, y, text, color=color, path_effects=edge, **({"fontsize": 10} | options))


def names_at_the_end(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write names right of the axes, beside the ends of their lines but a line of text apart.

    Args:
        axes: Its limits and scales are final.
        ends: By name: where its line ends, as a value of the y axis, and the colour of the name.
    """
    at = {name: axes.transData.transform((1.0, end))[1] for name, (end, _) in ends.items()}
    low, high = axes.transAxes.transform([(0, 0), (0, 1)])[:, 1]
    order = sorted(reversed(at), key=lambda name: at[name])  # of equal ends the first is on top
    places = [(at[name] - low) / (high - low) for name in order]
    apart = 0.16 * axes.figure.dpi / (high - low)  # a line of text in inches
    for _ in range(100):  # push neighbours apart, as little as is simple
        for k in range(len(places) - 1):
            missing = max(0.0, apart - (places[k + 1] - places[k]))
            places[k] -= missing / 2
            places[k + 1] += missing / 2
    text: dict[str, Any] = {"fontsize": 10, "va": "center", "annotation_clip": False}
    text |= {"xycoords": "axes fraction", "xytext": (5, 0), "textcoords": "offset points"}
    for name, place in zip(order, places, strict=True):
        axes.annotate(name, (1.0, place), color=ends[name][1], **text)
