"""Tables of matplotlib's own fonts, which the browser's stand-in for FreeType reads.

A table holds what drawing a text by outlines needs: for each character its glyph, for each glyph
its width and its outline, pairs of glyphs that stand closer together, and ligatures. All lengths
are in units of the font. Hints for small pixels are left out: an SVG has none.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

# What a page may write: Latin, accents, Greek, Russian; punctuation, arrows, mathematics, shapes.
# STIX has only what formulas take from it when DejaVu lacks it.
LETTERS = ((0x20, 0x17F), (0x1A0, 0x1B0), (0x2B0, 0x3FF), (0x400, 0x45F), (0xFB00, 0xFB04))
SIGNS = ((0x2000, 0x22FF), (0x2500, 0x25FF), (0x2600, 0x266F), (0x2700, 0x27BF), (0x27E6, 0x27EF))
FORMULAS = (
    (0x2100, 0x23FF),
    (0x27C0, 0x27FF),
    (0x2900, 0x2AFF),
    (0xE000, 0xF8FF),
    (0x1D400, 0x1D7FF),
)
SCRIPTS = ("DFLT", "latn", "grek", "cyrl")
NAMES = {"family": 1, "style": 2, "postscript": 6}  # by their numbers in the `name` table


def font_table(content: bytes) -> bytes:
    """The table of a font as JSON.

    Args:
        content: Of a TrueType font's file.

    Raises:
        ValueError: The font composes characters in a way that the stand-in does not know.
    """
    font = TTFont(io.BytesIO(content), lazy=True)
    family = font["name"].getDebugName(NAMES["family"])
    charmap = {code: name for code, name in _charmap(font).items() if _is_wanted(code, family)}
    ligatures = {script: _ligatures(font, script) for script in SCRIPTS}
    names = {".notdef", *charmap.values()}
    ids = {name: font.getGlyphID(name) for name in font.getGlyphOrder()}
    made = (pair for found in ligatures.values() for pair in found.items())
    names |= {ligature for parts, ligature in made if names.issuperset(parts)}
    order = sorted(names, key=lambda name: ids[name])
    head = font["head"]
    table = {name: font["name"].getDebugName(number) for name, number in NAMES.items()}
    table |= {
        "units": head.unitsPerEm,
        "bold": bool(head.macStyle & 1),
        "italic": bool(head.macStyle & 2),
        "fixed": bool(font["post"].isFixedPitch),
        "box": [head.xMin, head.yMin, head.xMax, head.yMax],
        "sfnt": _lines(font),
        "glyphs": len(ids),
        "charmap": {code: ids[name] for code, name in sorted(charmap.items())},
        "advance": {ids[name]: font["hmtx"][name][0] for name in order},
        "outline": {ids[name]: _outline(font, name) for name in order},
        "ligatures": {
            script: {
                " ".join(str(ids[part]) for part in parts): ids[ligature]
                for parts, ligature in found.items()
                if ligature in names
            }
            for script, found in ligatures.items()
        },
        "kerning": {script: _kerning(font, script, names, ids) for script in SCRIPTS},
        "kern": _kern_table(font, names, ids),
    }
    return json.dumps(table, separators=(",", ":")).encode()


def _lines(font: Any) -> dict[str, dict[str, int]]:
    """How far lines of text stand apart, as the font's own tables say it, by their names."""
    head, hhea, os2 = font["head"], font["hhea"], font["OS/2"]
    return {
        "head": {"unitsPerEm": head.unitsPerEm},
        "hhea": {"ascent": hhea.ascent, "descent": hhea.descent, "lineGap": hhea.lineGap},
        "OS/2": {
            "sTypoAscender": os2.sTypoAscender,
            "sTypoDescender": os2.sTypoDescender,
            "sTypoLineGap": os2.sTypoLineGap,
        },
    }


def _charmap(font: Any) -> dict[int, str]:
    """Characters to glyphs; of a font of symbols its own codes, as FreeType takes them."""
    best = font["cmap"].getBestCmap()
    return dict(best if best is not None else font["cmap"].tables[0].cmap)


def _is_wanted(code: int, family: str) -> bool:
    if family.startswith("DejaVu"):
        return any(low <= code <= high for low, high in LETTERS + SIGNS)
    if family.startswith("STIXGeneral"):
        return any(low <= code <= high for low, high in FORMULAS)
    return True  # a font of symbols is taken whole


def _outline(font: Any, name: str) -> str:
    """A glyph's contours, between semicolons.

    A contour's first word has a digit for each point: 1 on the curve, 0 a control point. The
    numbers behind it are x and y of each, as steps from the point before, the first from (0, 0).
    """
    points, ends, on_curve = font["glyf"][name].getCoordinates(font["glyf"])
    contours, x, y, start = [], 0, 0, 0
    for end in ends:
        words = ["".join(str(flag & 1) for flag in on_curve[start : end + 1])]
        for px, py in points[start : end + 1]:
            words.append(f"{px - x} {py - y}")
            x, y = px, py
        contours.append(" ".join(words))
        start = end + 1
    return ";".join(contours)


def _lookups(font: Any, table: str, script: str, feature: str) -> Iterator[Any]:
    """The lookups of a feature for a script, in order; none if the font lacks the table."""
    if table not in font:
        return
    content = font[table].table
    for record in content.ScriptList.ScriptRecord:
        if record.ScriptTag == script and record.Script.DefaultLangSys:
            found = [
                number
                for i in record.Script.DefaultLangSys.FeatureIndex
                if (own := content.FeatureList.FeatureRecord[i]).FeatureTag == feature
                for number in own.Feature.LookupListIndex
            ]
            yield from (content.LookupList.Lookup[number] for number in sorted(found))


def _ligatures(font: Any, script: str) -> dict[tuple[str, ...], str]:
    """Sequences of glyphs to the one that replaces them, the longest sequences first."""
    found: dict[tuple[str, ...], str] = {}
    for lookup in _lookups(font, "GSUB", script, "liga"):
        for table in lookup.SubTable:
            for first, ligatures in table.ligatures.items():
                for ligature in ligatures:
                    found.setdefault((first, *ligature.Component), ligature.LigGlyph)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def _kerning(font: Any, script: str, names: set[str], ids: dict[str, int]) -> dict[str, Any]:
    """By the left glyph, how much its advance changes before each right one.

    A font writes this as pairs, or as a table of classes of glyphs. In a lookup the first table
    that has the left glyph (and, for pairs, the right one) decides; lookups add up.
    """
    total: dict[str, dict[int, int]] = {}
    for lookup in _lookups(font, "GPOS", script, "kern"):
        if lookup.LookupType != 2:
            raise ValueError(f"kerning by a lookup of type {lookup.LookupType}")
        decided: dict[str, set[str]] = {left: set() for left in names}
        for table in lookup.SubTable:
            for left, rights in _pairs(table, names):
                row = total.setdefault(str(ids[left]), {})
                for right in rights.keys() - decided[left]:
                    row[ids[right]] = row.get(ids[right], 0) + rights[right]
                decided[left] |= rights.keys() if table.Format == 1 else names
    rows = ((left, {r: v for r, v in sorted(row.items()) if v}) for left, row in total.items())
    return {left: row for left, row in sorted(rows) if row}


def _pairs(table: Any, names: set[str]) -> Iterator[tuple[str, dict[str, int]]]:
    """For each left glyph that a table decides on, the right ones that it names."""
    if table.Format == 1:
        for left, own in zip(table.Coverage.glyphs, table.PairSet, strict=True):
            if left in names:
                pairs = [(pair.SecondGlyph, pair.Value1) for pair in own.PairValueRecord]
                yield left, {right: value.XAdvance for right, value in pairs if right in names}
        return
    classes: dict[int, list[str]] = {}
    for name in names:
        classes.setdefault(table.ClassDef2.classDefs.get(name, 0), []).append(name)
    for left in names.intersection(table.Coverage.glyphs):
        row = table.Class1Record[table.ClassDef1.classDefs.get(left, 0)].Class2Record
        values = ((classes.get(k, ()), record.Value1) for k, record in enumerate(row))
        yield left, {name: value.XAdvance for own, value in values if value for name in own}


def _kern_table(font: Any, names: set[str], ids: dict[str, int]) -> dict[str, Any]:
    """The pairs of the old `kern` table, which formulas use."""
    found: dict[str, dict[int, int]] = {}
    if "kern" in font:
        for (left, right), value in font["kern"].kernTables[0].kernTable.items():
            if value and left in names and right in names:
                found.setdefault(str(ids[left]), {})[ids[right]] = value
    return found
