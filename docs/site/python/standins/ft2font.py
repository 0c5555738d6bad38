"""matplotlib.ft2font in plain Python: texts as outlines, from tables in the place of fonts.

The compiled module reads TrueType fonts by FreeType and sets texts by HarfBuzz. No build of it runs
in the browser. There a font is the table that docs/site/font_tables.py makes of matplotlib's own,
and this module measures and outlines texts from it, without hints for pixels, as matplotlib does
for an SVG: lengths are FreeType's to 1/64 of a pixel. What needs pixels, hints, or the joining of
letters (Arabic, combined accents) raises NotImplementedError.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, Flag
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib import _api
from matplotlib._font_outlines import outline, read  # type: ignore[import-not-found]

__freetype_version__ = "none"
__freetype_build_type__ = "stand-in"
__libraqm_version__ = "none"
CharacterCodeType = int
GlyphIndexType = int


class FaceFlags(Flag):
    """What a font can do."""

    SCALABLE = 1
    FIXED_SIZES = 2
    FIXED_WIDTH = 4
    SFNT = 8
    HORIZONTAL = 16
    VERTICAL = 32
    KERNING = 64
    GLYPH_NAMES = 512
    HINTER = 2048
    VARIATION = 32768


class StyleFlags(Flag):
    """Whether a font is bold or slanted."""

    NORMAL = 0
    ITALIC = 1
    BOLD = 2


class Kerning(Enum):
    """In which units `get_kerning` answers."""

    DEFAULT = 0
    UNFITTED = 1
    UNSCALED = 2


class RenderMode(Enum):
    """How pixels would be made of an outline."""

    NORMAL = 0
    LIGHT = 1
    MONO = 2
    LCD = 3
    LCD_V = 4
    SDF = 5


class LoadFlags(Flag):
    """How a glyph is taken from its font."""

    DEFAULT = 0
    NO_SCALE = 1
    NO_HINTING = 2
    RENDER = 4
    NO_BITMAP = 8
    FORCE_AUTOHINT = 32
    NO_AUTOHINT = 32768
    TARGET_NORMAL = 0
    TARGET_LIGHT = 65536
    TARGET_MONO = 131072


class Glyph:
    """The lengths of a glyph, in 1/64 pixels."""

    def __init__(self, bbox: tuple[int, int, int, int], advance: int, linear: int) -> None:
        self.bbox = bbox
        self.width, self.height = bbox[2] - bbox[0], bbox[3] - bbox[1]
        self.horiBearingX, self.horiBearingY = bbox[0], bbox[3]
        self.horiAdvance, self.linearHoriAdvance = advance, linear


class LayoutItem(NamedTuple):
    """A glyph in its place; see `FT2Font._layout`."""

    ft_object: FT2Font
    char: str
    glyph_index: int
    x: float
    y: float
    prev_kern: float


class _Placed(NamedTuple):
    font: FT2Font
    char: str
    glyph: int
    x: int
    kern: float
    advance: int


class FT2Font:
    """A font in a size. Lengths are whole numbers of 1/64 pixels, if nothing else is said."""

    def __init__(
        self,
        filename: Any,
        *,
        face_index: int = 0,
        _fallback_list: Sequence[FT2Font] | None = None,
        _kerning_factor: int | None = None,
        _warn_if_used: bool = False,
    ) -> None:
        if face_index or _kerning_factor or _warn_if_used:
            raise NotImplementedError("fonts in the browser have one face, and no kerning factor")
        self.fname = str(filename)
        table = self._table = read(self.fname)
        self.family_name, self.style_name = table.family, table.style
        self.postscript_name, self.units_per_EM = table.postscript, table.units
        lines = table.sfnt["hhea"]
        self.ascender, self.descender = lines["ascent"], lines["descent"]
        self.height = self.ascender - self.descender + lines["lineGap"]
        self.bbox, self.num_glyphs = tuple(table.box), table.glyphs
        self.face_index, self.num_faces, self.scalable = 0, 1, True
        self._fallbacks = list(_fallback_list or [])
        self._glyph: int | None = None
        self.set_size(12, 72)

    @property
    def style_flags(self) -> StyleFlags:
        """Whether it is bold or slanted."""
        flags = StyleFlags.BOLD if self._table.bold else StyleFlags.NORMAL
        return flags | StyleFlags.ITALIC if self._table.italic else flags

    @property
    def face_flags(self) -> FaceFlags:
        """What it can do."""
        flags = FaceFlags.SCALABLE | FaceFlags.SFNT | FaceFlags.HORIZONTAL
        flags |= FaceFlags.KERNING if self._table.kern else FaceFlags(0)
        return flags | FaceFlags.FIXED_WIDTH if self._table.fixed else flags

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"FT2Font.{name} is not there in the browser, where fonts are tables")

    def set_size(self, ptsize: float, dpi: float) -> None:
        """Set the size; FreeType takes it in 1/64 pixels, rounded down after half of 1/72."""
        self._size = (int(ptsize * 64) * int(dpi) + 36) // 72
        self._ppem = (self._size + 32) >> 6
        self._scale = round(self._size * 65536 / self._table.units)
        for font in self._fallbacks:
            font.set_size(ptsize, dpi)

    def _scaled(self, units: float) -> int:
        """A length in units of the font; a half is rounded away from 0."""
        product = abs(units) * self._scale + 32768
        return int(product // 65536) * (1 if units >= 0 else -1)

    def clear(self) -> None:
        """Forget the text and the glyph."""
        self._glyph = None
        self._extent = (0, 0, 0)

    def get_sfnt_table(self, name: str) -> dict[str, int]:
        """Of the font's tables "head", "hhea" and "OS/2" what places lines of text."""
        return dict(self._table.sfnt[name])

    def _set_transform(self, matrix: Any, delta: Any) -> None:
        if [list(row) for row in matrix] != [[65536, 0], [0, 65536]] or list(delta) != [0, 0]:
            raise NotImplementedError("letters cannot be slanted in the browser")

    def set_charmap(self, i: int) -> None:
        """A table has one map of characters: its font's first that FreeType takes by itself."""
        if i != 0:
            raise NotImplementedError("fonts in the browser have one map of characters")

    def get_char_index(self, codepoint: int) -> int:
        """The glyph of a character; 0 if the table has none."""
        return int(self._table.charmap.get(codepoint, 0))

    def get_charmap(self) -> dict[int, int]:
        """All characters with their glyphs."""
        return dict(self._table.charmap)

    def get_kerning(self, left: int, right: int, mode: Kerning) -> int:
        """How much closer the right glyph stands, by the font's old table, as FreeType says it."""
        units: int = self._table.kern.get(left, {}).get(right, 0)
        if mode is Kerning.UNSCALED:
            return units
        length = self._scaled(units)
        if mode is Kerning.UNFITTED:
            return length
        if self._ppem < 25:  # FreeType lets it fade in small sizes
            length = _divided(length * self._ppem, 25)
        return (length + 32) & -64

    def load_char(self, charcode: int, flags: LoadFlags = LoadFlags.FORCE_AUTOHINT) -> Glyph:
        """Take the glyph of a character for `get_path`."""
        glyph = self.get_char_index(charcode)
        if not glyph:
            self._warn(charcode, [self])
        return self.load_glyph(glyph, flags)

    def load_glyph(self, glyphindex: int, flags: LoadFlags = LoadFlags.FORCE_AUTOHINT) -> Glyph:
        """Take a glyph for `get_path`."""
        _without_hints(flags)
        self._glyph = int(glyphindex)
        box = outline(self.fname, self._glyph).box
        units = self._table.advance[self._glyph]
        x0, y0, x1, y1 = map(self._scaled, box)
        return Glyph(
            (x0, y0, x1, y1),
            self._scaled(units),
            _divided(units * self._size * 1024, self._table.units),
        )

    def get_path(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The outline of the glyph that was taken last, in pixels, as a path's points and codes."""
        if self._glyph is None:
            raise RuntimeError("no glyph loaded")
        drawn = outline(self.fname, self._glyph)
        return np.rint(drawn.points * (self._scale / 65536)) / 64, drawn.codes.copy()

    def set_text(
        self,
        string: str,
        angle: float = 0.0,
        flags: LoadFlags = LoadFlags.FORCE_AUTOHINT,
        *,
        features: Sequence[str] | None = None,
        language: Any = None,
    ) -> np.ndarray[Any, Any]:
        """Measure a text for `get_width_height` and `get_descent`; return its glyphs' places."""
        _without_hints(flags)
        if angle:
            raise NotImplementedError("an SVG turns texts by itself: set_text(angle=...)")
        placed = [each for each in self._placed(string, features, language) if each.glyph]
        boxes = [outline(each.font.fname, each.glyph).box for each in placed]
        boxes = [
            (each.font._scaled(box[1]), each.font._scaled(box[3]))
            for each, box in zip(placed, boxes, strict=True)
        ]
        low, high = (
            min((low for low, _ in boxes), default=0),
            max((top for _, top in boxes), default=0),
        )
        self._extent = (sum(each.advance for each in placed), high - low, -low)
        return np.array([(each.x, 0) for each in placed], dtype=float).reshape(-1, 2)

    def get_width_height(self) -> tuple[int, int]:
        """The size of the text that was set last."""
        return self._extent[:2]

    def get_descent(self) -> int:
        """How far the text that was set last goes below its line."""
        return self._extent[2]

    def _layout(
        self,
        text: str,
        flags: LoadFlags,
        features: Sequence[str] | None = None,
        language: Any = None,
    ) -> list[LayoutItem]:
        """The glyphs of a text in their places, in pixels."""
        _without_hints(flags)
        placed = self._placed(text, features, language)
        return [LayoutItem(p.font, p.char, p.glyph, p.x / 64, 0.0, p.kern) for p in placed]

    def _placed(self, text: str, features: Any, language: Any) -> list[_Placed]:
        if features or language:
            raise NotImplementedError("features and languages of fonts are not in the browser")
        found: list[_Placed] = []
        x = 0
        for font, script, run in _runs(self, unicodedata.normalize("NFC", text)):
            glyphs = font._glyphs_of(script, run)
            kerning = font._table.kerning[script]
            for (char, glyph), (_, after) in zip(glyphs, [*glyphs[1:], ("", -1)], strict=True):
                units = font._table.advance[glyph]
                advance = font._scaled(units) + font._scaled(kerning.get(glyph, {}).get(after, 0))
                before = found[-1] if found else None
                linear = 0.0 if before is None else before.font._linear(before.glyph)
                kern = 0.0 if before is None else (x - before.x) / 64 - linear
                found.append(_Placed(font, char, glyph, x, kern, advance))
                x += advance
        return found

    def _linear(self, glyph: int) -> float:
        """A glyph's advance in pixels, not rounded to 1/64."""
        return float(self._table.advance[glyph] * self._size / self._table.units / 64)

    def _glyphs_of(self, script: str, run: str) -> list[tuple[str, int]]:
        """The glyphs of a run of text, each with its characters: "ffi" may be one glyph."""
        glyphs = [self.get_char_index(ord(char)) for char in run]
        ligatures = self._table.ligatures[script]
        found: list[tuple[str, int]] = []
        start = 0
        while start < len(run):
            for parts, ligature in ligatures.items():  # the longest first
                if tuple(glyphs[start : start + len(parts)]) == parts:
                    found.append((run[start : start + len(parts)], ligature))
                    start += len(parts)
                    break
            else:
                found.append((run[start], glyphs[start]))
                start += 1
        return found

    def _warn(self, codepoint: int, fonts: Iterable[FT2Font]) -> None:
        names = ", ".join(font.family_name for font in fonts)
        name = chr(codepoint).encode("ascii", "namereplace").decode("ascii")
        _api.warn_external(f"Glyph {codepoint} ({name}) missing from font(s) {names}.")


def _without_hints(flags: LoadFlags) -> None:
    if LoadFlags.NO_HINTING not in LoadFlags(flags):
        raise NotImplementedError(
            "only an SVG, whose texts have no hints, can be drawn in the browser"
        )


def _divided(number: int, by: int) -> int:
    """The quotient; a half is rounded away from 0."""
    quotient = (2 * abs(number) + by) // (2 * by)
    return quotient if number >= 0 else -quotient


def _runs(font: FT2Font, text: str) -> Iterator[tuple[FT2Font, str, str]]:
    """Parts of a text in one font and one script; a sign belongs to the script before it."""
    fonts = [font, *font._fallbacks]
    letters = (_script(char) for char in text)
    script = next((own for own in letters if own), "DFLT")
    run, last = "", None
    for char in text:
        _check(char)
        own = next((each for each in fonts if each.get_char_index(ord(char))), None)
        if own is None:
            font._warn(ord(char), fonts)
        here = (own or font, _script(char) or (last[1] if last else script))
        if last is not None and here != last:
            yield (*last, run)
            run = ""
        run, last = run + char, here
    if last is not None:
        yield (*last, run)


@cache
def _script(char: str) -> str | None:
    """The script of a letter, as fonts call it; None for signs."""
    names = {"LATIN": "latn", "GREEK": "grek", "CYRILLIC": "cyrl"}
    return names.get(unicodedata.name(char, "").partition(" ")[0]) if char.isalpha() else None


@cache
def _check(char: str) -> None:
    joins = unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf")
    if joins or unicodedata.bidirectional(char) in ("R", "AL"):
        raise NotImplementedError(
            f"the character U+{ord(char):04X} needs its neighbours joined or turned around, which "
            "pictures in the browser cannot do"
        )
