"""Measurements as tables for docs/benchmarks.md, as pictures, and as JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.workers import machine

OUT = Path("runs/benchmarks")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, with columns that are as wide as their longest cell."""
    every = [head, *rows]
    widths = [max(3, *(len(row[k]) for row in every)) for k in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in every
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def number(value: float, form: str) -> str:
    """Return a number as text; an empty text for NaN."""
    return "" if math.isnan(value) else format(value, form)


def title(step: str) -> str:
    """Return the heading of a step's column."""
    return step.replace("lstm", "LSTM, T =").replace("gan", "GAN")


def draw(ratios: Mapping[str, Mapping[str, float]], reference: str, path: Path) -> None:
    """Bars: for each step the ratio of everybody to the reference, ours in another colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 5), layout="constrained")
    every = figure.subplots(1, len(ratios), squeeze=False)[0]
    for axes, (step, row) in zip(every, ratios.items(), strict=True):
        shown = sorted([(r, n) for n, r in row.items() if not math.isnan(r)], reverse=True)
        colours = [
            "tab:blue" if "minigrad" in n else "tab:orange" if "PyTorch" in n else "tab:grey"
            for _, n in shown
        ]
        longest = min(2.2, 1.25 * max(r for r, _ in shown))  # a bar that is cut says its number
        lengths = [min(r, longest) for r, _ in shown]
        bars = axes.barh([n for _, n in shown], lengths, color=colours)
        axes.bar_label(bars, [f"{r:.2f}" for r, _ in shown], fontsize=7, padding=2)
        axes.set_xlim(0, longest)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_title(title(step), fontsize=10, loc="right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"time of a step, {reference} = 1", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def write(path: Path, **result: Any) -> None:
    """Write measurements as JSON, with the day and the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"date": date.today().isoformat(), "machine": machine()} | result
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
