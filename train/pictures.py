"""The pictures of a run: curves and grids, readable in print and by the colour-blind."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from minigrad.data import DataError

from .windows import Lines, thinned, windows

Grey = npt.NDArray[np.uint8]

# Okabe and Ito's colours, and a dash pattern each for print without colour.
BLUE = {"color": "#0072B2", "linestyle": "-"}
ORANGE = {"color": "#D55E00", "linestyle": "--"}
STYLES: tuple[dict[str, Any], ...] = (
    BLUE,
    ORANGE,
    {"color": "#009E73", "linestyle": "-."},
    {"color": "#CC79A7", "linestyle": ":"},
    {"color": "#000000", "linestyle": (0, (6, 1, 1, 1, 1, 1))},
    {"color": "#56B4E9", "linestyle": (0, (8, 2))},
    {"color": "#E69F00", "linestyle": (0, (3, 1))},
)
MARKERS = dict(zip((style["color"] for style in STYLES), "os^DvPX", strict=True))
TITLES = {
    "lstm": "LSTM",
    "textbook": "LSTM (textbook form)",
    "rnn": "Plain recurrent network",
}
PAPER = 255
MOST_FRAMES = 100
STRIP_WIDTH = 9  # inches


def style_of(number: int) -> dict[str, Any]:
    """A colour and a dash pattern; the pairs repeat after 49."""
    count = len(STYLES)
    dashes = STYLES[(number + number // count) % count]["linestyle"]
    return {"color": STYLES[number % count]["color"], "linestyle": dashes}


def new_figure(width: float, height: float, rows: int, columns: int) -> tuple[Figure, Any]:
    """Return a figure, sizes in inches, and its axes as an array (rows, columns)."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def curve(axes: Axes, x: str, y: str, lines: Lines, label: str, style: Mapping[str, Any]) -> None:
    """Draw one measurement against another."""
    marker = MARKERS[style["color"]] if len(lines) < 20 else ""  # a line of one point is invisible
    axes.plot(
        [line[x] for line in lines],
        [line[y] for line in lines],
        label=literal(label),
        marker=marker,
        markersize=4,
        linewidth=1.5,
        **style,
    )


def literal(text: str) -> str:
    """Return a text that is drawn as it stands: no formula, no letter that does not exist."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")


def dress(axes: Axes, title: str, x: str, y: str, legend: bool = True) -> None:
    """Give axes a title, names with units, a grid and a legend."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if legend:
        axes.legend()


def log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with numbers that one can read: 20, 50, 100."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def learning_curves(lines: Lines, title: str, path: Path) -> None:
    """Draw loss and accuracy over the epochs, for training and validation.

    Args:
        lines: Measurements with epoch, loss, accuracy, val_loss and val_accuracy (0 to 1).
        title: What was trained.
        path: The PNG file to write.
    """
    figure, axes = new_figure(9, 3.8, 1, 2)
    lines = _percent(lines, ("accuracy", "val_accuracy"))
    axes[0, 1].axhline(10, color="black", linestyle=":", label="10 %: guessing")
    for axis, name, unit in ((axes[0, 0], "loss", "nats"), (axes[0, 1], "accuracy", "%")):
        curve(axis, "epoch", name, lines, "training", BLUE)
        curve(axis, "epoch", f"val_{name}", lines, "validation", ORANGE)
        dress(axis, name.capitalize(), "epoch", f"{name} ({unit})")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 1].set_ylim(0, 103)
    figure.suptitle(title)
    figure.savefig(path)


def gates(values: Mapping[str, Any], digits: Sequence[int], title: str, path: Path) -> None:
    """Draw an LSTM's gates and memory while it reads one sequence, a row for each memory cell.

    Args:
        values: "input", "forget" and "output" (T, H), 0 is closed and 1 open, and "memory" (T, H).
        digits: The T digits that are read.
        title: What was trained.
        path: The PNG file to write.
    """
    figure, axes = new_figure(12, 4.6, 1, 4)
    order = np.argsort(values["forget"].mean(axis=0))  # those that forget least at the top
    few = len(digits) <= 30
    names = {"input": "takes in", "forget": "keeps", "output": "shows", "memory": "memory"}
    for axis, (name, does) in zip(axes[0], names.items(), strict=True):
        signed = name == "memory"
        reach = np.abs(values[name]).max() or 1.0
        image = axis.imshow(
            values[name][:, order].T,
            aspect="auto",
            interpolation="nearest",
            origin="lower",
            cmap="RdBu_r" if signed else "viridis",
            vmin=-reach if signed else 0,
            vmax=reach if signed else 1,
            extent=(0.5, len(digits) + 0.5, 0.5, len(order) + 0.5),
        )
        axis.set_title("memory C" if signed else f"{name} gate: {does}")
        if few:
            axis.set_xticks(range(1, len(digits) + 1), [str(digit) for digit in digits])
        axis.set_xlabel("digit that is read" if few else "time step t")
        says = "content" if signed else "0: closed, 1: open"
        figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.9, label=says)
    axes[0, 0].set_ylabel("memory cell, by how much it keeps")
    figure.suptitle(title)
    figure.savefig(path)


def gradients(norms: Mapping[str, Any], title: str, path: Path) -> None:
    """Draw how much of the gradient is left at each distance from the end of the sequence.

    Args:
        norms: By label |dL/dh_t| (T,) for t = 1 ... T.
        title: What was trained.
        path: The PNG file to write.
    """
    figure, axes = new_figure(7, 4, 1, 1)
    lowest = 1.0
    for number, (label, values) in enumerate(norms.items()):
        distance = np.arange(len(values))[::-1]
        relative = np.maximum(values / max(values[-1], 1e-300), 1e-30)
        lowest = min(lowest, float(relative.min()))
        axes[0, 0].plot(distance, relative, label=label, linewidth=1.5, **style_of(number))
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(bottom=max(lowest / 3, 1e-20))
    dress(
        axes[0, 0],
        title,
        "distance T - t from the end (time steps)",
        "$|\\partial L/\\partial h_t|$ relative to t = T",
    )
    figure.savefig(path)


def accuracy_by_length(results: Mapping[str, Mapping[int, Sequence[float]]], path: Path) -> None:
    """Draw accuracy against the length of the sequence: the mean over seeds, and their spread.

    Args:
        results: By model and length the accuracy (0 to 1) of each seed.
        path: The PNG file to write.
    """
    figure, axes = new_figure(7, 4, 1, 1)
    axis = axes[0, 0]
    for number, (model, row) in enumerate(results.items()):
        style, lengths = style_of(number), sorted(row)
        means = [100 * fmean(row[length]) for length in lengths]
        low, high = ([100 * f(row[length]) for length in lengths] for f in (min, max))
        points = [{"T": a, "mean": b} for a, b in zip(lengths, means, strict=True)]
        curve(axis, "T", "mean", points, TITLES.get(model, model), style)
        axis.fill_between(lengths, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axis.axhline(10, color="black", linestyle=":", label="10 %: guessing")
    seeds = max(len(each) for row in results.values() for each in row.values())
    spread = "" if seeds == 1 else f", mean and range of {seeds} seeds"
    dress(axis, f"Last digit of unseen palindromes{spread}", "digits read, T", "accuracy (%)")
    every = sorted({length for row in results.values() for length in row})
    axis.set_xscale("log")
    axis.set_xticks(every, [str(length) for length in every])
    axis.minorticks_off()
    axis.set_ylim(0, 103)
    figure.savefig(path)


def gan_curves(lines: Lines, floor: float | None, path: Path) -> None:
    """Draw both losses, how often the discriminator is right, and what the judge says, over steps.

    Args:
        lines: Measurements with step, g_loss, d_loss, d_real and d_fake (0 to 1); some with fid.
        floor: The FID of real digits, if it is known.
        path: The PNG file to write.
    """
    judged = [line for line in lines if "fid" in line]
    figure, axes = new_figure(14 if judged else 10, 3.8, 1, 3 if judged else 2)
    measured = windows(lines, ("g_loss", "d_loss", "d_real", "d_fake"))
    lines = _percent(thinned(measured), ("d_real", "d_fake"))
    losses, shares, *rest = axes[0]
    curve(losses, "step", "g_loss", lines, "generator", ORANGE)
    curve(losses, "step", "d_loss", lines, "discriminator (real + fake)", BLUE)
    dress(losses, "Losses (binary cross-entropy)", "training step", "loss (nats)")
    losses.set_ylim(bottom=0)
    curve(shares, "step", "d_real", lines, "real digits taken for real", BLUE)
    curve(shares, "step", "d_fake", lines, "fakes taken for fakes", ORANGE)
    shares.axhline(50, color="black", linestyle=":", label="50 %: no better than guessing")
    dress(shares, "How often the discriminator is right", "training step", "right (%)")
    shares.set_ylim(0, 103)
    for axis in rest:
        curve(axis, "step", "fid", judged, "fakes", BLUE)
        if floor is not None:
            axis.axhline(floor, color="black", linestyle=":", label="real digits")
        dress(axis, "Distance from real digits, by a classifier", "training step", "FID")
        log_scale(axis)
    figure.savefig(path)


def _percent(lines: Lines, names: Sequence[str]) -> Lines:
    return [{**line, **{name: 100 * line[name] for name in names}} for line in lines]


def to_grey(images: npt.NDArray[Any]) -> Grey:
    """Turn images (N, 784) from -1 (paper) to 1 (ink) into grey values (N, 28, 28), 255 is ink."""
    return np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8).reshape(-1, 28, 28)


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
    """Read a PNG file's grey values (height, width).

    Raises:
        DataError: If it cannot be read, or is damaged.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except Exception as error:  # of a damaged file PIL may raise anything, SyntaxError too
        raise DataError(f"{path} is no picture, or damaged: {error}") from None


def side_by_side(pictures: Mapping[str, Grey], title: str, path: Path) -> None:
    """Draw pictures beside each other, each under its name.

    Args:
        pictures: Grey values (height, width) by name.
        title: What they are together.
        path: The PNG file to write.
    """
    figure, axes = new_figure(4.3 * len(pictures), 4.8, 1, len(pictures))
    figure.set_layout_engine("constrained", wspace=0.06)
    for axis, (name, picture) in zip(axes[0], pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=PAPER, interpolation="nearest")
        axis.set_title(name)
        axis.set_axis_off()
    figure.suptitle(title)
    figure.savefig(path)


@dataclass(frozen=True)
class Strip:
    """Images in a row, each above its caption."""

    name: str
    """Of the row."""

    images: Grey
    """(N, 28, 28), uint8, 255 is ink."""

    captions: Sequence[str]
    """N, of one letter or two."""


def strips(rows: Sequence[Strip], title: str, caption: str, path: Path) -> None:
    """Draw strips below each other; what their ends are called stands in bold.

    Args:
        rows: At least one, all of the same length.
        title: What they show.
        caption: What the captions say.
        path: The PNG file to write.
    """
    count = len(rows[0].images)
    size = min(0.75, STRIP_WIDTH / count)  # of an image, in inches
    width = max(6.6, count * size + 1.3)  # the caption needs as much
    figure, axes = new_figure(width, len(rows) * (size + 0.32) + 0.75, len(rows), 1)
    for axis, row in zip(axes[:, 0], rows, strict=True):
        picture = grid(row.images, count)
        axis.imshow(picture, cmap="gray", vmin=0, vmax=PAPER, interpolation="nearest")
        each = picture.shape[1] / count
        axis.set_xticks([(i + 0.5) * each for i in range(count)], row.captions)
        axis.tick_params(axis="x", length=0, labelsize=min(10, 50 * size))
        for label in (axis.get_xticklabels()[0], axis.get_xticklabels()[-1]):
            label.set_fontweight("bold")
        axis.set_yticks([])
        axis.set_ylabel(row.name, rotation="horizontal", ha="right", va="center")
        axis.spines[:].set_visible(False)
    figure.supxlabel(caption, fontsize=9)
    figure.suptitle(textwrap.fill(title, int(9 * width)))
    figure.savefig(path)


def animation(frames: Sequence[Grey], path: Path) -> None:
    """Write pictures as an animated GIF of about ten seconds, which pauses at the end.

    Args:
        frames: Grey values (height, width), at least one; of many, some are left out.
        path: The GIF file to write.
    """
    step = -(-len(frames) // MOST_FRAMES)
    chosen = [*frames[:-1:step], frames[-1]]
    first, *others = map(Image.fromarray, chosen)
    each = min(500, 10_000 // len(chosen))
    times = [each] * (len(chosen) - 1) + [2500]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)
