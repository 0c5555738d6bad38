"""The command line of the benchmarks: `python -m benchmarks` for all of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import tyro

from benchmarks import gpu, results, steps
from benchmarks.tables import OUT


def everything(threads: int = 2, out: Path = OUT, device: Literal["cpu", "gpu"] = "cpu") -> None:
    """Measure all there is: on the CPU in about half an hour, on the GPU in minutes.

    Args:
        threads: For linear algebra.
        out: Where the results go.
        device: With gpu the whole training steps on it, as by the subcommand gpu.
    """
    if device == "gpu":
        gpu.main(threads=threads, out=out)
        return
    steps.main(threads=threads, out=out)
    steps.costs(threads=threads, out=out)
    steps.overhead(out=out)


def arguments(given: list[str]) -> list[str]:
    """What was given, behind "all" where that names no subcommand."""
    if given and (not given[0].startswith("-") or given[0] in ("-h", "--help")):
        return given
    return ["all", *given]


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {
            "all": everything,
            "steps": steps.main,
            "costs": steps.costs,
            "overhead": steps.overhead,
            "gpu": gpu.main,
            "results": results.main,
        },
        prog="python -m benchmarks",
        args=arguments(sys.argv[1:]),
    )
