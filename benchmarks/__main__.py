"""The command line of the benchmarks."""

import tyro

from benchmarks import overhead, steps

if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"overhead": overhead.main, "steps": steps.main}, prog="python -m benchmarks"
    )
