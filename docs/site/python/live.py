"""What runs in the worker of a page: its cells, and the functions that its plays call."""

from __future__ import annotations

import base64
import importlib
import json
import linecache
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import TextIOBase
from pathlib import Path
from typing import Any, NoReturn

import minigrad

PROJECT = Path(minigrad.__file__).parents[1]
COURSE = PROJECT / "docs" / "course"
sys.path.insert(0, str(COURSE))

import cell  # noqa: E402, since it lies in the course's folder

LONGEST = 50_000  # letters that one cell may show
CUT = "(This is as much as a page can show. What is printed from here on is left out.)"
AT_ONCE, PAUSE = 200, 0.1  # messages that are sent without delay; seconds between later ones

_send: Callable[[str], None] = print  # the worker's way to the page; see `connect`
_progress: Callable[[str], None] = print
_namespace: dict[str, Any] = {}


def connect(send: Callable[[str], None], progress: Callable[[str], None]) -> None:
    """Take the functions that send a report, and what is being loaded, to the page."""
    global _send, _progress
    _send, _progress = send, progress


def report(message: Any) -> None:
    """Send a message to the page while a call goes on.

    Args:
        message: Anything that JSON can express; NaN is nothing of that kind, None is.
    """
    _send(json.dumps(message, allow_nan=False))


def progress(text: str) -> None:
    """Tell the page what is being loaded; "" once it is there."""
    _progress(text)


def call(module: str, function: str, arguments: str) -> str:
    """Call a function of a module.

    Args:
        module: Its name.
        function: The name of the function.
        arguments: As a list in JSON.

    Returns:
        As JSON `{"result": ...}`, or `{"error": ..., "traceback": ...}`.
    """
    try:
        result = getattr(importlib.import_module(module), function)(*json.loads(arguments))
        return json.dumps({"result": result}, allow_nan=False)
    except BaseException as error:
        said = {"error": cell.text_of(error).strip(), "traceback": traceback_of(error)}
        return json.dumps(said)


# cells


def new_names() -> dict[str, Any]:
    """What a program of the reader finds at its beginning."""
    return {"__name__": "__main__", "input": _refuse_input}


def forget() -> None:
    """Forget the names of all cells."""
    _namespace.clear()
    _namespace.update(new_names())


def _refuse_input(prompt: object = "") -> NoReturn:
    """Say that nobody can be asked."""
    raise RuntimeError("input: a block cannot ask its reader; write the text into the code instead")


forget()


def run_cell(code: str, name: str) -> dict[str, str]:
    """Run a cell of the page in the names of those before it.

    What it prints, and its value unless that is a picture, is reported as `{"text": ...}`.

    Args:
        code: Its source.
        name: What messages call it, such as "block 3".

    Returns:
        `svg`, or `png` in base64, if its value is a picture; after an error `error`, what it says,
        `place`, the line of the page where it arose, and `traceback`.
    """
    os.chdir(COURSE)
    cell.remember(code, name)
    printed = Printed()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            return _shown(cell.evaluate(code, name, _namespace), printed)
    except BaseException as error:
        return {
            "error": _text_of(error),
            "place": _place_of(error, name),
            "traceback": traceback_of(error),
        }
    finally:
        printed.flush()


def _shown(value: Any, printed: Printed) -> dict[str, str]:
    """The picture of a value; any other value but None is printed."""
    draw_svg, draw_png = (getattr(value, f"_repr_{form}_", None) for form in ("svg", "png"))
    if draw_svg and (svg := draw_svg()):
        return {"svg": svg}
    png = draw_png() if draw_png else getattr(value, "png", None)
    if isinstance(png, bytes):
        return {"png": base64.b64encode(png).decode()}
    if value is not None:
        printed.write(f"{value!r}\n")
    return {}


class Printed(TextIOBase):
    """What is printed, sent to the page: at once while it is little, then in lots, then no more."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._left = LONGEST
        self._messages = 0
        self._last = 0.0

    def writable(self) -> bool:
        """Whether one can write: yes."""
        return True

    def write(self, text: str) -> int:
        """Send a text, or keep it until more has come."""
        if self._left > 0 and text:
            self._waiting.append(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._waiting.append(f"\n{CUT}\n")
            is_due = self._messages < AT_ONCE or time.monotonic() - self._last > PAUSE
            if is_due or self._left <= 0:
                self.flush()
        return len(text)

    def flush(self) -> None:
        """Send what waits."""
        text = "".join(self._waiting)
        self._waiting.clear()
        if text:
            report({"text": text})
            self._messages += 1
            self._last = time.monotonic()


# errors

HERE_ARE = "Python in a page has minigrad, NumPy, matplotlib and most of the standard library."
MEANINGS = {
    SystemExit: "Here this ends the block, and nothing else.",
    MemoryError: "Python in a browser has 4 GB at most.",
}


def _text_of(error: BaseException) -> str:
    """What an error says, and what it means here where a reader could not know."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"ModuleNotFoundError: there is no module {error.name} here. {HERE_ARE}\n"
    meanings = [meaning for kind, meaning in MEANINGS.items() if isinstance(error, kind)]
    return cell.text_of(error) + "".join(f"{meaning}\n" for meaning in meanings)


def _place_of(error: BaseException, name: str) -> str:
    """The line of a cell that raised, with its source; if it called another cell's, both lines."""
    line = cell.line_of(error, name)
    own = _quoted(name, line) if line else ""
    if isinstance(error, SyntaxError) and error.filename == name:
        return f"line {own}"
    frames = traceback.extract_tb(error.__traceback__)
    blocks = [frame for frame in frames if frame.filename.startswith("block ")]
    if blocks and blocks[-1].filename != name:
        inner = _quoted(blocks[-1].filename, blocks[-1].lineno)
        return f"{blocks[-1].filename}, line {inner}, called from line {own}"
    return f"line {own}" if own else ""


def _quoted(name: str, line: int | None) -> str:
    return f"{line}: `{linecache.getline(name, line or 0).strip()}`"


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, from the reader's code on, with paths from the project on."""
    whole = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = whole
    while part:
        kept = [frame for frame in part.stack if frame.filename not in (__file__, cell.__file__)]
        part.stack = traceback.StackSummary.from_list(kept)
        part = part.__cause__ or part.__context__
    return "".join(whole.format()).replace(f'File "{PROJECT}/', 'File "')
