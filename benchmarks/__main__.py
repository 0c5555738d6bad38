"""The command line of the benchmarks: `python -m benchmarks` for all of them."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from benchmarks import overhead, results, steps


def everything(threads: int = 2, out: Path = steps.OUT) -> None:
    """Measure all there is, in about half an hour.

    Args:
        threads: For linear algebra.
        out: Where the results go.
    """
    steps.main(threads=threads, out=out)
    steps.curves(threads=threads, out=out)
    steps.costs(threads=threads, out=out)
    overhead.main(out=out)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {
            "all": everything,
            "steps": steps.main,
            "curves": steps.curves,
            "costs": steps.costs,
            "overhead": overhead.main,
            "results": results.main,
        },
        prog="python -m benchmarks",
        args=sys.argv[1:] or ["all"],
    )
