"""A sweep: train every model for every length with several seeds; a table and a picture."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from . import drawing
from .console import talker, tell
from .files import text_of
from .loop import Loop
from .run import Run, RunFolder


@dataclass(frozen=True)
class Part:
    """One training of a sweep."""

    model: str

    length: int

    seed: int

    settings: Mapping[str, Any]
    """The content of its config.json."""

    learn: Callable[[RunFolder], Loop]
    """Trains in a folder, and returns the loop when it has ended."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.model}-{self.length}-seed{self.seed}"

    def __str__(self) -> str:
        """Say what is trained."""
        return f"{self.model}, {self.length} digits, seed {self.seed}"


def sweep(parts: list[Part], run: RunFolder, quiet: bool, plots: bool = True) -> Run:
    """Do every training that is not done yet; after each, write the table and draw it.

    Args:
        parts: The trainings.
        run: The sweep's folder; each part has a folder in it.
        quiet: Whether to say nothing in between.
        plots: Whether to draw.

    Returns:
        The run, without networks.
    """
    say = talker(quiet)
    rows: list[dict[str, Any]] = []
    for number, part in enumerate(parts, start=1):
        folder = run.path / part.name
        begun = folder.exists()
        folder.mkdir(exist_ok=True)
        own = RunFolder(folder, resumed=begun)
        own.write_json("config.json", part.settings)
        say(f"Run {number} of {len(parts)}: {part}")
        loop = part.learn(own)
        if loop.stopped_by is not None:
            return Run(run.path, {}, loop.state.step, loop.stopped_by)
        lines = own.read_lines("metrics.jsonl")
        accuracies = [line["val_accuracy"] for line in lines]
        rows.append(
            {
                "model": part.model,
                "length": part.length,
                "seed": part.seed,
                "epochs": int(lines[-1]["epoch"]),
                "final_accuracy": accuracies[-1],
                "best_accuracy": max(accuracies),
                "epoch_of_99_percent": next(
                    (int(line["epoch"]) for line in lines if line["val_accuracy"] >= 0.99), ""
                ),
            }
        )
        say(f"{part}: {accuracies[-1]:.1%} of the palindromes that it has never seen")
        _write(rows, run)
        if plots:
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
    lines = ["| accuracy | " + " | ".join(f"T = {length}" for length in lengths) + " |"]
    lines.append("|---" * (len(lengths) + 1) + "|")
    for model, each in found.items():
        cells = [_cell(each.get(length, [])) for length in lengths]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{fmean(values):.3f}" + ("" if low == high else f" ({low:.3f} to {high:.3f})")


def _write(rows: list[dict[str, Any]], run: RunFolder) -> None:
    with run.replacing("sweep.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with run.replacing("sweep.md") as path:
        path.write_text(table(rows) + "\n", encoding="utf-8")


def read_rows(run: RunFolder) -> list[dict[str, Any]]:
    """Read the trainings that a sweep has done; none if there is no table yet.

    Raises:
        ValueError: If the table is damaged.
    """
    path = run.path / "sweep.csv"
    if not path.exists():
        return []
    return [
        {
            "model": row["model"],
            "length": int(row["length"]),
            "final_accuracy": float(row["final_accuracy"]),
        }
        for row in csv.DictReader(text_of(path.read_bytes()).splitlines())
    ]


def draw(run: RunFolder, into: RunFolder) -> list[str]:
    """Draw accuracy against length from a sweep's table; return the picture's name."""
    figure = drawing.accuracy_by_length(by_model_and_length(read_rows(run)))
    return [drawing.save(figure, into, "accuracy.png")]
