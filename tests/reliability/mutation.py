"""Mutation testing with cosmic-ray: would the tests notice a wrong sign, or a wrong bound?

A mutant is minigrad with one small mistake, which cosmic-ray makes in its source: `+` becomes `-`,
`<` becomes `<=`, 1 becomes 2, a decorator is gone. If a test fails, the mutant is killed. If all
pass, it survives: either a test is missing, or the mutant computes the same.

    pip install cosmic-ray coverage
    python -m tests.reliability.mutation draw    # a random sample of the mutants: mutants.json
    python -m tests.reliability.mutation run     # an hour; goes on where it was interrupted
    python -m tests.reliability.mutation run 3 8 # these two again, after their tests have changed
    python -m tests.reliability.mutation report  # killed, survived, and why each survivor did

`run` works on a copy of the repository, in a folder for temporary files. It first notes which test
reaches which line. A mutant then meets the tests that reach its line, the quickest first, until one
fails, in a process of its own: most often one that is forked when the tests are collected already,
and in which minigrad's functions are given the mutant's code. Mutants of what is done at import,
and those named on the command line, are written into the copy, as cosmic-ray does it, and minigrad
is imported anew. It needs `os.fork`: Linux or macOS.
"""

import argparse
import json
import tomllib
from pathlib import Path

from tests.reliability.mutants import LIST, draw, read_results

REASONS = Path(__file__).with_name("mutants-survivors.toml")


def report() -> None:
    """Print how many were killed, and each survivor with its reason."""
    mutants = {m["id"]: m for m in json.loads(LIST.read_text(encoding="utf-8"))["mutants"]}
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {}
    results = [result for result in read_results() if result["fate"] != "left to import"]
    fates = [result["fate"] for result in results]
    survivors = [mutants[result["id"]] for result in results if result["fate"] == "survived"]
    killed = len(results) - len(survivors)
    print(
        f"{len(results)} of {len(mutants)} mutants were tried: {fates.count('killed')} killed, "
        f"{fates.count('timed out')} timed out, {len(survivors)} survived: "
        f"{100 * killed / max(1, len(results)):.1f} % noticed"
    )
    for m in survivors:
        reason = reasons.get(str(m["id"]), "not explained")
        print(f"\n{m['id']} {m['module']}:{m['position'][0]} {m['operator'].partition('/')[2]}")
        print(f"  - {m['line']}\n  + {m['mutant']}\n  {reason}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["draw", "run", "report"])
    parser.add_argument("ids", nargs="*", type=int, help="run only these mutants, also once more")
    given = parser.parse_args()
    if given.command == "run":
        from tests.reliability.mutant_tests import run  # needs os.fork

        run(given.ids)
    else:
        {"draw": draw, "report": report}[given.command]()
