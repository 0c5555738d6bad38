"""`python -m train` lists the commands: the trainers, and the tools for their runs."""

import ast
import difflib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from .console import BAD_INPUT, answer, leave, warn


def commands() -> dict[str, str]:
    """Return each module here that can be run, and the first words of its docstring."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        source = path.read_text(encoding="utf-8")
        if '\nif __name__ == "__main__":' in source:
            told = ast.get_docstring(ast.parse(source)) or ""
            found[path.stem] = told.partition("\n")[0].partition(": `python")[0].rstrip(".")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """List the commands, or say how to run the one that the user probably meant.

    Returns:
        The exit code: 0 for the list, 1 if it cannot be written, 2 for an unknown command.
    """
    words = sys.argv[1:] if args is None else args
    known = commands()
    if not words or words[0] in ("-h", "--help"):
        lines = [f"python -m train.{name:<12} {told}" for name, told in known.items()]
        lines += ["", "Options and their defaults: python -m train.lstm --help, and so for each."]
        return answer("\n".join(lines))
    name = words[0].removesuffix(".py").lower()
    close = difflib.get_close_matches(name, known, 1)
    if name.startswith("-"):
        remedy = "the options go to a trainer, as in: python -m train.lstm --help"
    elif close:
        remedy = f"a dot joins them: python -m {shlex.join([f'train.{close[0]}', *words[1:]])}"
    else:
        remedy = f"allowed: {', '.join(f'python -m train.{each}' for each in known)}"
    warn(f"error: python -m train {words[0]}: {remedy}")
    return BAD_INPUT


if __name__ == "__main__":
    leave(main())
