"""`python -m minigrad.learn`: list, show, hint, check and answer, for the course's exercises."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from minigrad.learn.checking import Report, answer, hint, judged, listing, show
from minigrad.learn.exercise import Exercise, NoExerciseError, find
from minigrad.learn.source import file_of, raised

RIGHT, WRONG, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes
PROGRAM = "python -m minigrad.learn"

Number = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NUMBER")]
File = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]


class BadInput(ValueError):
    """Something on the command line cannot be used; the message says what is allowed."""


def _list(chapter: Annotated[int | None, tyro.conf.arg(metavar="N")] = None) -> int:
    """List the exercises: number, title, difficulty, minutes.

    Args:
        chapter: Those of one chapter only.
    """
    table = listing(chapter)
    if not table.strip():
        raise BadInput(f"--chapter {chapter}: no chapter of this number has exercises")
    print(f"{table}\nNext: {PROGRAM} show NUMBER")
    return RIGHT


def _show(number: Number, out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None) -> int:
    """Show the task of an exercise and the template to fill in.

    Args:
        number: As the list has it: 2.3, P.1 (a rule puzzle), B.1 (a planted bug).
        out: Write the template into this new file.
    """
    text = show(number)
    if out is not None:
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(find(number).template)
        except FileExistsError:
            raise BadInput(f"--out {out}: this file exists already; name a new one") from None
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be written: {error.strerror}") from None
    print(f"{plain(text)}\nNext: {PROGRAM} check {number} {out or 'FILE'}")
    return RIGHT


def _hint(number: Number, step: Literal[1, 2] = 1) -> int:
    """Give a hint; the second one says more.

    Args:
        number: As the list has it.
        step: The first or the second hint.
    """
    print(hint(number, step))
    return RIGHT


def _check(number: Number, file: File) -> int:
    """Check the function in a file: say that it is right, or what is wrong and why.

    Args:
        number: As the list has it.
        file: A Python file that defines the function of the template.
    """
    exercise = find(number)
    try:
        report = checked(exercise, file)
    except BrokenPipeError:  # the file printed more than a reader, such as `head`, has taken
        print_no_more()
        report = checked(exercise, file)
    code = RIGHT if report else WRONG
    try:
        print(report if report else f"{report}\nA hint: {PROGRAM} hint {report.number}", flush=True)
    except BrokenPipeError:  # the verdict is the exit code, read or not
        print_no_more()
    return code


def _answer(number: Number) -> int:
    """Print a right answer.

    Args:
        number: As the list has it.
    """
    print(plain(answer(number)))
    return RIGHT


def plain(markdown: str) -> str:
    """Markdown as a terminal shows it best: code without its fences, headings without signs."""
    lines = [line.removeprefix("## ") for line in markdown.splitlines()]
    return "\n".join(line for line in lines if not line.startswith("```")) + "\n"


def print_no_more() -> None:
    """Send what is printed from now on nowhere, since nobody reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


COMMANDS: dict[str, Callable[..., int]] = {
    "list": _list,
    "show": _show,
    "hint": _hint,
    "check": _check,
    "answer": _answer,
}


def checked(exercise: Exercise, path: Path) -> Report:
    """Check the function that a file defines.

    Args:
        exercise: What it answers.
        path: The file.

    Raises:
        BadInput: The file cannot be read, or does not define the function.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), names)
    except BrokenPipeError:
        raise
    except (Exception, SystemExit) as error:
        return Report(exercise.number, False, raised(error, str(path)))
    if exercise.name not in names:
        found = [name for name, x in names.items() if file_of(x) == str(path)]
        rename = f" (it defines {found[0]}: rename it?)" if len(found) == 1 else ""
        raise BadInput(
            f"{path}: does not define {exercise.name}, the function of exercise "
            f"{exercise.number}{rename}; `{PROGRAM} show {exercise.number}` prints its template"
        )
    return judged(exercise, names[exercise.name])


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: Its words, None for those of the process.

    Returns:
        The exit code: 0 done or right, 1 wrong, 2 bad input, 130 interrupted by Ctrl-C.
    """
    words = list(sys.argv[1:] if args is None else args) or ["list"]
    try:
        code = tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog=PROGRAM, description="The course's exercises.", args=words
        )
        sys.stdout.flush()
        return int(code)
    except SystemExit as ended:  # tyro's, after its own message
        return ended.code if isinstance(ended.code, int) else BAD_INPUT
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        print_no_more()
        return RIGHT
    except (BadInput, NoExerciseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks ends nothing
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
