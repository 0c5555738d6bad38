"""What the tests of the trainers share: short trainings, their folders, and steps that end them."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from idx_files import write_digits

from minigrad.data import Bytes
from train import classifier, gan, lstm, trainer

trainer._versions = cache(trainer._versions)  # of installed packages: a fifth of a short training

ROOT = Path(__file__).parent.parent
TRAINERS = [lstm, gan, classifier]
over_trainers = pytest.mark.parametrize(
    "module", TRAINERS, ids=lambda module: module.__name__.split(".")[-1]
)


def words_of(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line."""
    words = []
    for name, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def only_run(out: Path) -> Path:
    """The one run folder under out."""
    [run] = out.glob("*/*")
    return run


def contents(folder: Path) -> dict[Path, bytes]:
    """All files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damaged(name: str, content: bytes | None) -> Callable[[Path], None]:
    """What replaces the content of a run's file, or takes the file away."""

    def damage(run: Path) -> None:
        (run / name).unlink() if content is None else (run / name).write_bytes(content)

    return damage


def done(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these words, in the root of the project."""
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


class Terminal(io.StringIO):
    """Takes itself for a terminal, of unknown width."""

    def isatty(self) -> bool:
        return True


def write_random_digits(folder: Path, count: int = 70, prefix: str = "train") -> Bytes:
    """Write random digits under folder/MNIST/raw, and return the images."""
    images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
    write_digits(folder, images, np.arange(count, dtype=np.uint8) % 10, prefix)
    return images


def before_step(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, number: int, do: Callable[[], Any]
) -> None:
    """Let something happen before a trainer's step of this number, counted from 1."""
    step, seen = module.step, []

    def doing(*args: Any) -> Any:
        seen.append(1)
        if len(seen) == number:
            do()
        return step(*args)

    monkeypatch.setattr(module, "step", doing)


def stop_before_step(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, number: int, by: int = signal.SIGINT
) -> None:
    """Let the user press Ctrl-C (or another signal come) before a step: it is the last."""
    before_step(monkeypatch, module, number, lambda: os.kill(os.getpid(), by))
