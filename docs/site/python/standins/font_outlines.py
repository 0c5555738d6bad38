"""The tables of fonts that the stand-in for matplotlib.ft2font reads; font_tables.py makes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np


class Table(NamedTuple):
    """A font, as font_tables.py describes it."""

    family: str
    style: str
    postscript: str
    units: int
    bold: bool
    italic: bool
    fixed: bool
    box: list[int]
    sfnt: dict[str, dict[str, int]]
    glyphs: int
    charmap: dict[int, int]
    advance: dict[int, int]
    outline: dict[int, str]
    ligatures: dict[str, dict[tuple[int, ...], int]]
    kerning: dict[str, dict[int, dict[int, int]]]
    kern: dict[int, dict[int, int]]


@cache
def read(path: str) -> Table:
    """The table of a font, which matplotlib's list of fonts names.

    Raises:
        NotImplementedError: The file is another.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(b'{"family"'):
        raise NotImplementedError(
            f"{path} cannot be read in the browser, where only matplotlib's own fonts are at hand"
        )
    table = json.loads(content, object_pairs_hook=_with_numbers)
    for name, rows in table["ligatures"].items():
        table["ligatures"][name] = {
            parts if isinstance(parts, tuple) else (parts,): glyph for parts, glyph in rows.items()
        }
    return Table(**table)


def _with_numbers(pairs: Iterable[tuple[str, Any]]) -> dict[Any, Any]:
    """A JSON object, with numbers as keys where JSON could have texts only."""
    return {_number(key): value for key, value in pairs}


def _number(key: str) -> Any:
    if key.isdecimal():
        return int(key)
    return tuple(map(int, key.split())) if " " in key else key


class Outline(NamedTuple):
    """Contours in units of the font, as matplotlib's paths have them, and the box of all points."""

    points: np.ndarray[Any, Any]
    codes: np.ndarray[Any, Any]
    box: tuple[int, int, int, int]


@cache
def outline(path: str, glyph: int) -> Outline:
    """A glyph of a font."""
    codes: list[int] = []
    places: list[tuple[float, float]] = []
    points = np.zeros((0, 2))
    x = y = 0
    for contour in filter(None, read(path).outline[glyph].split(";")):
        flags, *words = contour.split(" ")
        steps = np.array(words, dtype=float).reshape(-1, 2)
        own = np.array([x, y]) + np.cumsum(steps, axis=0)
        x, y = own[-1]
        points = np.concatenate([points, own])
        for code, place in _drawn(list(map(tuple, own.tolist())), [flag == "1" for flag in flags]):
            codes.append(code)
            places.append(place)
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else ((0, 0), (0, 0))
    return Outline(
        np.array(places).reshape(-1, 2),
        np.array(codes, dtype=np.uint8),
        (int(low[0]), int(low[1]), int(high[0]), int(high[1])),
    )


def _drawn(
    points: list[tuple[float, float]], on_curve: list[bool]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """A TrueType contour as a path: halfway between two control points lies one on the curve."""
    if on_curve[0]:
        start, rest = points[0], list(zip(points[1:], on_curve[1:], strict=True))
    elif on_curve[-1]:
        start, rest = points[-1], list(zip(points[:-1], on_curve[:-1], strict=True))
    else:
        start, rest = _between(points[0], points[-1]), list(zip(points, on_curve, strict=True))
    yield 1, start
    control = None
    for point, is_on_curve in rest:
        if control is not None:
            yield 3, control
            yield 3, point if is_on_curve else _between(control, point)
        elif is_on_curve:
            yield 2, point
        control = None if is_on_curve else point
    if control is None:
        yield 2, start
    else:
        yield 3, control
        yield 3, start
    yield 79, (0.0, 0.0)


def _between(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2
