"""What runs in the worker of a page: its cells, and the functions that its plays call."""

from __future__ import annotations

import importlib.abc
import importlib.util
import io
import json
import os
import sys
import traceback
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PROJECT = Path("/minigrad")
COURSE = PROJECT / "docs" / "course"
sys.path[:0] = [str(COURSE), str(PROJECT)]

from cell import evaluate, line_of, remember, text_of  # noqa: E402

DRAWING = ("matplotlib", "mpl_toolkits", "PIL", "safetensors", "tyro", "tqdm")


class _Drawing(importlib.abc.MetaPathFinder):
    """Loads what few pages need, matplotlib above all, when it is first imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in DRAWING or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        from js import XMLHttpRequest, location  # a worker may wait for a file

        request = XMLHttpRequest.new()
        request.open("GET", location.href.rpartition("/")[0] + "/python/drawing.zip", False)
        request.responseType = "arraybuffer"
        request.send()
        if request.status != 200:
            raise ImportError(f"{name}: drawing.zip could not be loaded ({request.status})")
        with zipfile.ZipFile(io.BytesIO(request.response.to_bytes())) as archive:
            archive.extractall(Path(__file__).parent)
        importlib.invalidate_caches()
        return importlib.util.find_spec(name)


sys.meta_path.append(_Drawing())

_send: Callable[[str], None] = print  # the worker's way to the page; see `connect`
_namespace: dict[str, Any] = {"__name__": "__main__"}


def connect(send: Callable[[str], None]) -> None:
    """Take the function that sends a text to the page."""
    global _send
    _send = send


def report(message: Any) -> None:
    """Send a message to the page while a call goes on.

    Args:
        message: Anything that JSON can express.
    """
    _send(json.dumps(message))


def call(module: str, function: str, arguments: str) -> str:
    """Call a function of a module, with arguments and result as JSON."""
    result = getattr(importlib.import_module(module), function)(*json.loads(arguments))
    return json.dumps(result)


class _Stream(io.TextIOBase):
    """What a cell prints, sent to the page line by line."""

    def __init__(self) -> None:
        self.waiting = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.waiting += text
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self.waiting:
            report({"text": self.waiting})
        self.waiting = ""


def run_cell(code: str, name: str) -> dict[str, Any]:
    """Run a cell of the page in the names of those before it.

    What it prints is reported as `{"text": ...}` while it runs.

    Args:
        code: Its source.
        name: What messages call it, such as "block 3".

    Returns:
        `svg` or `png` (base64) if its value shows itself so, else `value`, its text, if it has one;
        after an error `error`, what it says, `line`, where in the cell it arose (None if in no line
        of it), and `traceback`.
    """
    os.chdir(COURSE)
    remember(code, name)
    stream = _Stream()
    try:
        with redirect_stdout(stream):
            value = evaluate(code, name, _namespace)
            shown = _shown(value)
    except BaseException as error:
        stream.flush()
        return {
            "error": text_of(error),
            "line": line_of(error, name),
            "traceback": "".join(traceback.format_exception(error)),
        }
    stream.flush()
    return shown


def _shown(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if draw := getattr(value, "_repr_svg_", None):
        return {"svg": draw()}
    return {"value": f"{value!r}\n"}
