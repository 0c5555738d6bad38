"""What trainings came to: run folders in, small records and tables out.

`python -m benchmarks results RUN...` reads finished runs of `train.lstm` and `train.gan`. It writes
`results.json` with what is worth keeping of each, and `results.md` with tables over the seeds.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import tyro

from train.config import RunConfig, option
from train.folder import read_lines
from train.gan import GANConfig
from train.lstm import LSTMConfig

Record = dict[str, Any]

CONFIGS: dict[str, type[RunConfig]] = {"train.lstm": LSTMConfig, "train.gan": GANConfig}
PLACES = {"data_dir": "DIR", "judge": "FILE"}  # paths mean nothing on another machine
UNSAID = frozenset(
    {"program", "out", "name", "sweep", "models", "seeds", "no_plots", "tensorboard"}
)
LENGTH = "input_length"
OUT = Path("build/benchmarks")


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a run's config.json that its recipe does not give by itself."""
    cls = CONFIGS[config["program"]]
    recipe = {"recipe": config["recipe"]} | cls.of_recipe(config["recipe"])
    shape = {name: config[name] for name in ("model", LENGTH) if name in config}
    usual = cls(**(recipe | shape)).decided().settings()
    usual |= {name: getattr(cls(), name) for name in ("recipe", *shape)}
    chosen = {
        name: PLACES.get(name, value)
        for name, value in config.items()
        if name not in UNSAID and value is not None and _plain(usual.get(name)) != value
    }
    return {name: chosen[name] for name in sorted(chosen, key=lambda name: name == "seed")}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def command(program: str, chosen: Mapping[str, Any]) -> str:
    """Return the command line that repeats a run.

    >>> command("train.gan", {"recipe": "report", "betas": [0.5, 0.999], "data_dir": "DIR"})
    'python -m train.gan --recipe report --betas 0.5 0.999 --data-dir DIR'
    """
    words = ["python", "-m", program]
    for name, value in chosen.items():
        words.append(option(name))
        words += map(str, value) if isinstance(value, list) else [str(value)]
    return shlex.join(words)


def record(run: Path) -> Record:
    """Return what is worth keeping of a finished run.

    Args:
        run: Its folder.

    Raises:
        ValueError: If it is no run of the two trainers, or has not come to its end.
    """
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        # a part of a sweep is described by the sweep's folder
        folder = next(f for f in (run, run.parent) if (f / "environment.json").exists())
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        chosen = settings(config)
    except (OSError, KeyError, ValueError, StopIteration) as error:
        raise ValueError(f"{run}: not a run of {' or '.join(CONFIGS)} ({error!r})") from None
    lines = read_lines(run / "metrics.jsonl")
    if not lines or lines[-1]["epoch"] < config["epochs"]:
        raise ValueError(f"{run}: has not come to its end, epoch {config['epochs']}")
    program: str = config["program"]
    kept = {"train.lstm": "val_accuracy", "train.gan": "fid"}[program]
    measured = [line for line in lines if kept in line]
    found = {
        "command": command(program, chosen),
        "program": program,
        "settings": {name: value for name, value in chosen.items() if name != "seed"},
        "seed": config["seed"],
        "commit": environment["commit"],
        "packages": environment["packages"],
        "seconds": round(sum(line["seconds"] for line in read_lines(run / "timing.jsonl"))),
        "epochs": [int(line["epoch"]) for line in measured],
        kept: [round(line[kept], 4) for line in measured],
    }
    if program == "train.gan":
        names = ("precision", "recall", "smallest_share", "largest_share")
        found |= {name: round(measured[-1][name], 4) for name in names}
    return found


def tables(records: Iterable[Record]) -> str:
    """Return a table in Markdown for each trainer, with one row for each setting."""
    parts = []
    for program, draw in (("train.lstm", _lstm_table), ("train.gan", _gan_table)):
        rows: dict[str, list[Record]] = {}
        for each in sorted(records, key=lambda each: each["seed"]):
            if each["program"] == program:
                words = command(program, each["settings"]).split()[3:]
                rows.setdefault(f"`{' '.join(words)}`" if words else "none", []).append(each)
        if rows:
            parts.append(draw(rows))
    return "\n\n".join(parts) + "\n"


def _lstm_table(rows: Mapping[str, Sequence[Record]]) -> str:
    lines = [
        "| options | validation accuracy at the end | first epoch of the best | time |",
        "|---|---|---|---|",
    ]
    for words, runs in sorted(rows.items(), key=lambda row: row[1][0]["settings"].get(LENGTH, 5)):
        ends = [each["val_accuracy"][-1] for each in runs]
        first = [
            each["epochs"][each["val_accuracy"].index(max(each["val_accuracy"]))] for each in runs
        ]
        lines.append(
            f"| {words} | {_listed(ends, '.4g')} | {_listed(first, 'd')} | {_time(runs)} |"
        )
    return "\n".join(lines)


def _listed(values: Iterable[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)


def _gan_table(rows: Mapping[str, Sequence[Record]]) -> str:
    lines = [
        "| options | FID | mean | precision | recall | shares of the digits | time |",
        "|---|---|---|---|---|---|---|",
    ]
    for words, runs in rows.items():
        fids = [each["fid"][-1] for each in runs]
        shares = [100 * each[f"{end}_share"] for each in runs for end in ("smallest", "largest")]
        lines.append(
            f"| {words} | {_listed(fids, '.1f')} | {fmean(fids):.1f} "
            f"| {_listed((each['precision'] for each in runs), '.2f')} "
            f"| {_listed((each['recall'] for each in runs), '.2f')} "
            f"| {min(shares):.1f} to {max(shares):.1f} % | {_time(runs)} |"
        )
    return "\n".join(lines)


def _time(runs: Sequence[Record]) -> str:
    """The longest run's."""
    seconds = max(each["seconds"] for each in runs)
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def main(runs: tyro.conf.Positional[tuple[Path, ...]], /, out: Path = OUT) -> None:
    """Gather what finished runs came to.

    Args:
        runs: Their folders.
        out: Where results.json and results.md go.
    """
    try:
        records = [record(run) for run in runs]
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(map(json.dumps, records))
    (out / "results.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    (out / "results.md").write_text(tables(records), encoding="utf-8")
    print(tables(records))
