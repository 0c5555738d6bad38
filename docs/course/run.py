"""Run the pages of the course: `python docs/course/run.py 01-graph.md`, or all of them.

The `{code-cell}` blocks of a page run in order in one namespace, as a notebook's cells do. Behind a
cell stands what it shows: its text in an `{output}` block, and its picture as an image. Both are
compared with what the cell shows now; `--write` writes them anew.

Numbers in a text may differ in their last digit, since no two processors round alike. A cell tagged
`varies`, such as one that takes times, may show other numbers. A cell tagged `raises-exception` has
to fail, and shows its exception.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from cell import evaluate, line_of, text_of

COURSE = Path(__file__).parent
DIFFERENT = 20  # of 255: a block of pixels that differs by more shows something else
SHARE = 0.001  # of the blocks of a picture, which may differ: fonts are drawn a little differently


class PageError(Exception):
    """A cell of a page fails, or shows something else than the page says."""


@dataclass
class Cell:
    """A cell of a page.

    Attributes:
        code: Its source.
        line: The line of the page in which the source starts, from 1.
        end: The line after its closing fence.
        tags: Its tags.
        output: The text that the page says it shows; None where the page says nothing.
        behind: The line after the output block; `end` where there is none.
        picture: The path of the image that follows it.
    """

    code: str
    line: int
    end: int
    tags: list[str]
    output: str | None
    behind: int
    picture: Path | None


@dataclass
class Shown:
    """What a cell has shown: its text; its last value, also as a PNG file if it is a picture."""

    text: str
    value: Any
    png: bytes | None


def cells_of(page: Path) -> list[Cell]:
    """The cells of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    cells, place = [], 0
    while place < len(lines):
        if not lines[place].startswith("```{code-cell}"):
            place += 1
            continue
        end = _closing(lines, place, page)
        body = lines[place + 1 : end]
        options = [line for line in body if re.match(r":\w+:", line)]
        body = body[len(options) :]
        while body and not body[0].strip():
            body = body[1:]
        tags = re.findall(r"[\w-]+", " ".join(options).removeprefix(":tags:"))
        output, behind = None, end + 1
        follows = _next(lines, end + 1)
        if follows < len(lines) and lines[follows].startswith("```{output}"):
            stop = _closing(lines, follows, page)
            output, behind = "\n".join(lines[follows + 1 : stop]), stop + 1
            follows = _next(lines, behind)
        image = re.match(r"!\[[^\]]*\]\((\S+)\)", lines[follows]) if follows < len(lines) else None
        picture = page.parent / image[1] if image else None
        code = "\n".join(body)
        cells.append(Cell(code, end - len(body) + 1, end + 1, tags, output, behind, picture))
        place = behind
    return cells


def _closing(lines: list[str], place: int, page: Path) -> int:
    for number in range(place + 1, len(lines)):
        if lines[number].rstrip() == "```":
            return number
    raise PageError(f"{page.name}:{place + 1}: this fence is never closed")


def _next(lines: list[str], place: int) -> int:
    while place < len(lines) and not lines[place].strip():
        place += 1
    return place


# running


def shown_by(page: Path) -> Iterator[tuple[Cell, Shown]]:
    """Run the cells of a page one after the other; each with what it has shown.

    Raises:
        PageError: A cell fails without the tag `raises-exception`, or succeeds with it.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    sys.path[:0] = [str(page.parent)]
    try:
        for cell in cells_of(page):
            with chdir(page.parent):
                shown = _run(page, cell, namespace)
            yield cell, shown
    finally:
        sys.path.remove(str(page.parent))


def _run(page: Path, cell: Cell, namespace: dict[str, Any]) -> Shown:
    text, value = io.StringIO(), None
    name = page.name  # whose lines are the cell's, so that messages can quote them
    failed = None
    try:
        with redirect_stdout(text):
            value = evaluate(cell.code, name, namespace, cell.line)
    except Exception as error:
        failed = error
    if ("raises-exception" in cell.tags) != (failed is not None):
        if failed is None:
            raise PageError(f"{page.name}:{cell.line}: this cell should fail, and does not")
        line = line_of(failed, name) or cell.line
        raise PageError(f"{page.name}:{line}: {type(failed).__name__}: {failed}") from failed
    if failed is not None:
        text.write(text_of(failed))
    png = png_of(value)
    if value is not None and png is None:
        text.write(f"{value!r}\n")
    shown = "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")
    return Shown(shown, value, png)


def png_of(value: Any) -> bytes | None:
    """The picture that a value shows in a notebook; None for other values."""
    draw = getattr(value, "_repr_png_", None)
    png = draw() if draw else getattr(value, "png", None)
    return png if isinstance(png, bytes) else None


# comparing

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?(?![\w])", re.I)


def same_text(now: str, before: str, varies: bool = False) -> bool:
    """Whether two texts agree: numbers to their last digit or a thousandth, all else exactly.

    Args:
        now: What a cell shows.
        before: What the page says.
        varies: Whether numbers may be any.
    """
    if _words(now) != _words(before):
        return False
    pairs = zip(NUMBER.findall(now), NUMBER.findall(before), strict=True)
    return varies or all(_same_number(a, b) for a, b in pairs)


def _words(text: str) -> list[list[str]]:
    """The words of each line, with every number replaced."""
    return [NUMBER.sub("#", line).split() for line in text.strip().splitlines()]


def _same_number(now: str, before: str) -> bool:
    if re.fullmatch(r"[-+]?\d+", before):
        return int(before) == float(now)
    mantissa, _, exponent = before.lower().partition("e")
    digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(now) - float(before)) <= 1.01 * digit + 1e-3 * abs(float(before))


def same_picture(now: bytes, before: bytes) -> bool:
    """Whether two PNG files show the same, up to the drawing of edges and letters."""
    pictures = [Image.open(io.BytesIO(png)).convert("RGB") for png in (now, before)]
    if any(abs(a - b) > 4 for a, b in zip(pictures[0].size, pictures[1].size, strict=True)):
        return False
    size = (pictures[0].width // 4, pictures[0].height // 4)
    small = [np.asarray(p.resize(size, Image.Resampling.BOX), dtype=int) for p in pictures]
    return float((np.abs(small[0] - small[1]).max(axis=-1) > DIFFERENT).mean()) <= SHARE


def compressed(png: bytes) -> bytes:
    """The same picture in 128 colours, which a drawing does not exceed by much."""
    file = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    return file.getvalue()


def compared(page: Path, results: Iterable[tuple[Cell, Shown]]) -> list[str]:
    """Where a page says something else than its cells have shown, each with its line."""
    problems = []
    for cell, shown in results:
        place = f"{page.name}:{cell.line}"
        varies = "varies" in cell.tags
        if shown.text and cell.output is None:
            problems.append(f"{place}: the page does not say what this cell shows:\n{shown.text}")
        elif not same_text(shown.text, cell.output or "", varies):
            problems.append(
                f"{place}: this cell shows\n{shown.text}\nand the page says\n{cell.output}"
            )
        if shown.png is not None:
            if cell.picture is None:
                problems.append(f"{place}: no image follows this cell, which shows a picture")
            elif not cell.picture.exists():
                problems.append(f"{place}: there is no {cell.picture.name}; --write makes it")
            elif not varies and not same_picture(shown.png, cell.picture.read_bytes()):
                problems.append(f"{place}: {cell.picture.name} shows something else")
    return problems


# the steps


def engine_of(source: str) -> list[str]:
    """The lines of a step without its first docstring, and without what shows it at the end."""
    lines = source.partition("\n\n\nif __name__ ==")[0].splitlines()
    docstring = ast.parse(source).body[0]
    return lines[docstring.end_lineno :]


def changes_of_engine(before: Path, after: Path) -> str:
    """The lines of a step's engine that are new (+) or gone (-), with three lines around each."""
    old, new = (engine_of(path.read_text(encoding="utf-8")) for path in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, lineterm=""))[2:]).rstrip()


# writing


def write(page: Path) -> None:
    """Write what the cells of a page show into the page and its pictures.

    What `varies` is written where it is missing only: text and picture stay those of one run.
    """
    results = list(shown_by(page))
    lines = page.read_text(encoding="utf-8").splitlines()
    for cell, shown in reversed(results):
        varies = "varies" in cell.tags
        if not same_text(shown.text, cell.output or "", varies):
            block = ["", "```{output}", *shown.text.splitlines(), "```"] if shown.text else []
            lines[cell.end : cell.behind] = block
        if shown.png is not None and cell.picture is not None:
            path = cell.picture
            if not path.exists() or not (varies or same_picture(shown.png, path.read_bytes())):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(compressed(shown.png))
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Run pages; the exit code is 1 if one says something else than its cells show."""
    parser = argparse.ArgumentParser(description="Run the pages of the course.")
    parser.add_argument("pages", nargs="*", type=Path, help="their files; all without any")
    parser.add_argument("--write", action="store_true", help="write what the cells show")
    options = parser.parse_args()
    pages = [page if page.exists() else COURSE / page for page in options.pages]
    for page in pages:
        if not page.is_file():
            parser.error(f"there is no page {page.name!r} here or in {os.path.relpath(COURSE)}")
    wrong = []
    for page in pages or sorted(COURSE.glob("[0-9]*.md")):
        try:
            if options.write:
                write(page.resolve())
            wrong += compared(page, shown_by(page.resolve()))
        except PageError as error:
            wrong.append(str(error))
    print("\n\n".join(wrong) or "The pages say what their cells show.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
