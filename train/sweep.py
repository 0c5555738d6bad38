"""A sweep: train every model for every length with several seeds; a table and a picture."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from minigrad.data import DataError
from minigrad.files import read_member

from . import drawing
from .allowed import LENGTH
from .checkpoint import Ground
from .console import talker, tell
from .drawing import TITLES
from .files import quoted, text_of
from .loop import Loop
from .run import Run, RunFolder

if TYPE_CHECKING:
    from .lstm import LSTMConfig

MOST = 2**22  # bytes of a table


def sweep(
    config: LSTMConfig, learn: Callable[[LSTMConfig, RunFolder], Loop], run: RunFolder
) -> Run:
    """Do every training that is not done yet; after each, write the table and draw it.

    Args:
        config: Its `parts` are the trainings.
        learn: Trains in a folder, and returns the loop when it has ended.
        run: The sweep's folder; each training has a folder in it.

    Returns:
        The run, without networks.
    """
    say = talker(config.quiet)
    rows: list[dict[str, Any]] = []
    parts = config.parts()
    folders = [run.path / f"{part.model}-{part.input_length}-seed{part.seed}" for part in parts]
    for folder in filter(Path.exists, folders):
        RunFolder(folder).look()  # if one is damaged, none is changed
    run.begin(Ground({"program": run.program} | config.settings(), cwd=run.cwd))
    for number, (part, folder) in enumerate(zip(parts, folders, strict=True), start=1):
        said = f"{part.model}, {part.input_length} digits, seed {part.seed}"
        own = RunFolder(folder, folder.exists(), run.program, run.environment)
        folder.mkdir(exist_ok=True)
        say(f"Run {number} of {len(parts)}: {said}")
        loop = learn(part, own)
        if loop.stopped_by is not None:
            return Run(run.path, {}, loop.state.step, loop.stopped_by)
        lines = own.read_lines("metrics.jsonl")
        accuracies = [line["val_accuracy"] for line in lines]
        good = [int(line["epoch"]) for line in lines if line["val_accuracy"] >= 0.99]
        rows.append(
            {
                "model": part.model,
                "length": part.input_length,
                "seed": part.seed,
                "epochs": int(lines[-1]["epoch"]),
                "final_accuracy": accuracies[-1],
                "best_accuracy": max(accuracies),
                "epoch_of_99_percent": good[0] if good else "",
            }
        )
        say(f"{said}: {accuracies[-1]:.1%} of the palindromes that it has never seen")
        _write(rows, run)
        if not config.no_plots:
            draw(run, run)
    tell(table(rows))
    tell(f"Results: {run.path}")
    return Run(run.path, {})


def by_model_and_length(rows: list[dict[str, Any]]) -> dict[str, dict[int, list[float]]]:
    """Return the final accuracy of each seed, by model and length."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        lengths = found.setdefault(row["model"], {})
        lengths.setdefault(row["length"], []).append(row["final_accuracy"])
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Return final accuracies as a table in Markdown: the mean over seeds, and their range."""
    found = by_model_and_length(rows)
    lengths = sorted({length for each in found.values() for length in each})
    lines = [["accuracy", *(f"T = {length}" for length in lengths)]]
    for model, each in found.items():
        lines.append([model, *(_cell(each.get(length, [])) for length in lengths)])
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|---" * (len(lengths) + 1) + "|", *body])


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{fmean(values):.3f}" + ("" if low == high else f" ({low:.3f} to {high:.3f})")


def _write(rows: list[dict[str, Any]], run: RunFolder) -> None:
    run.write_csv("sweep.csv", rows)
    with run.replacing("sweep.md") as path:
        path.write_text(table(rows) + "\n", encoding="utf-8")


def read_rows(run: RunFolder) -> list[dict[str, Any]]:
    """Read the trainings that a sweep has done; none if there is no table yet.

    Raises:
        OSError: If the table cannot be read.
        DataError: If it is damaged.
    """
    path = run.path / "sweep.csv"
    if not os.path.lexists(path):
        return []
    text = text_of(read_member(path, MOST))
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(csv.DictReader(text.splitlines()), 1):
        try:
            length, accuracy = int(row["length"]), float(row["final_accuracy"])
            is_possible = row["model"] in TITLES and LENGTH.test(length) and 0 <= accuracy <= 1
        except (KeyError, TypeError, ValueError):  # a column is missing, or holds no number
            is_possible = False
        if not is_possible:
            raise DataError(f"{path.name} is damaged: row {number} is {quoted(row)}")
        rows.append({"model": row["model"], "length": length, "final_accuracy": accuracy})
    if len({row["length"] for row in rows}) > LENGTH.many:
        raise DataError(f"{path.name} holds more than {LENGTH.many} lengths")
    return rows


def draw(run: RunFolder, into: RunFolder) -> list[str]:
    """Draw accuracy against length from a sweep's table; return the picture's name."""
    figure = drawing.accuracy_by_length(by_model_and_length(read_rows(run)))
    return [drawing.save(figure, into, "accuracy.png")]
