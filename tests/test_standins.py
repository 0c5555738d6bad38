"""What stands in for compiled modules in the browser, against the compiled modules.

The stand-ins run here under names of their own, on the same input. At the end a whole figure is
drawn by the files of drawing.zip, in a program of its own, and compared with matplotlib's.
"""

import importlib.util
import io
import json
import random
import re
import subprocess
import sys
import types
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

SITE = Path(__file__).parent.parent / "docs" / "site"
sys.path.insert(0, str(SITE))
MADE_FOR = re.search(r"matplotlib==(\d+\.\d+\.)", (SITE / "wheels.txt").read_text())[1]
if not metadata.version("matplotlib").startswith(MADE_FOR):
    pytest.skip(f"the stand-ins are for matplotlib {MADE_FOR}*", allow_module_level=True)

import contourpy  # noqa: E402
import drawing_bundle  # noqa: E402
import kiwisolver  # noqa: E402
import matplotlib  # noqa: E402
import safetensors.numpy  # noqa: E402
from font_tables import font_table  # noqa: E402
from matplotlib import _image, _path, ft2font  # noqa: E402
from matplotlib.path import Path as Curve  # noqa: E402
from matplotlib.transforms import Affine2D, Bbox  # noqa: E402
from PIL import Image  # noqa: E402

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
PIXEL = 1 / 64  # of which FreeType's lengths are whole numbers


def standin(name: str) -> types.ModuleType:
    """Load a stand-in under a name that the compiled module does not have."""
    path = drawing_bundle.STANDINS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"standin_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


# fonts


@cache
def table(name: str) -> bytes:
    """The table of a font."""
    return font_table((FONTS / f"{name}.ttf").read_bytes())


@pytest.fixture(scope="module")
def font_module():
    sys.modules["matplotlib._font_outlines"] = standin("font_outlines")
    yield standin("ft2font")
    del sys.modules["matplotlib._font_outlines"]


NAMES = ["DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono", "cmsy10", "STIXSizOneSymReg"]


@pytest.fixture(scope="module", params=NAMES)
def fonts(request, font_module, tmp_path_factory):
    path = tmp_path_factory.mktemp("fonts") / f"{request.param}.json"
    path.write_bytes(table(request.param))
    return ft2font.FT2Font(FONTS / f"{request.param}.ttf"), font_module.FT2Font(path)


def test_a_font_says_the_same_of_itself(fonts):
    real, own = fonts
    names = "family_name style_name postscript_name units_per_EM ascender descender height bbox"
    for name in (*names.split(), "num_glyphs"):
        assert getattr(own, name) == getattr(real, name), name
    for name in ("head", "hhea", "OS/2"):
        assert own.get_sfnt_table(name).items() <= real.get_sfnt_table(name).items()
    assert str(own.style_flags) == str(real.style_flags)
    assert own.get_charmap() and own.get_charmap().items() <= real.get_charmap().items()


def test_glyphs_have_the_same_lengths_and_outlines(fonts, font_module):
    real, own = fonts
    chance = random.Random(0)
    for char in chance.sample(sorted(own.get_charmap()), 30):
        size, dpi = chance.choice([(100, 72), (34.3, 72), (11, 160)])
        found = []
        for font, module in ((real, ft2font), (own, font_module)):
            font.set_size(size, dpi)
            glyph = font.load_char(char, module.LoadFlags.NO_HINTING)
            lengths = [*glyph.bbox, glyph.horiAdvance, glyph.linearHoriAdvance / 1024]
            found.append((np.array(lengths), *font.get_path()))
        (lengths, points, codes), (own_lengths, own_points, own_codes) = found
        # parts of composed letters are rounded one by one there, and together here
        assert np.abs(lengths - own_lengths).max() <= 2, hex(char)
        np.testing.assert_array_equal(own_codes, codes)
        np.testing.assert_allclose(own_points, points, atol=3 * PIXEL)


def test_texts_have_the_same_places_and_sizes(fonts, font_module):
    real, own = fonts
    if "Sans" not in real.family_name:
        return  # a font of symbols, in which no texts are written
    chance = random.Random(1)
    letters = "aAfiflTVyo.,-1 0(=)_éÀλσЖя→≤∂∑“\N{MINUS SIGN}\N{MULTIPLICATION SIGN}\N{EN DASH}"
    for _ in range(60):
        text = "".join(chance.choices(letters, k=chance.randint(0, 12)))
        size, dpi = chance.choice([(100, 72), (34.3, 72), (11, 160)])
        found = []
        for font, module in ((real, ft2font), (own, font_module)):
            flags = module.LoadFlags.NO_HINTING
            font.set_size(size, dpi)
            places = font.set_text(text, 0.0, flags=flags).reshape(-1, 2)
            extent = np.array([*font.get_width_height(), font.get_descent()])
            items = font._layout(text, flags)
            glyphs = [(item.glyph_index, item.char) for item in items]
            kerned = np.array([(item.x, item.prev_kern) for item in items]).reshape(-1, 2)
            found.append((glyphs, places, kerned, extent))
        (glyphs, *lengths), (own_glyphs, *own_lengths) = found
        assert own_glyphs == glyphs, text
        for there, here in zip(lengths, own_lengths, strict=True):
            np.testing.assert_allclose(here, there, atol=1.01, err_msg=text)


def test_formulas_kern_by_the_old_table(fonts, font_module):
    real, own = fonts
    for size in (100, 49, 24.01, 8):
        for font in fonts:
            font.set_size(size, 72)
        for left, right in ("AV", "To", "Ty", "r.", "11"):
            pair = [real.get_char_index(ord(char)) for char in (left, right)]
            if all(char in own.get_charmap() for char in map(ord, (left, right))):
                for mode in ft2font.Kerning:
                    kerning = own.get_kerning(*pair, font_module.Kerning[mode.name])
                    assert kerning == real.get_kerning(*pair, mode)


def test_what_a_font_cannot_do_it_says(font_module, tmp_path):
    path = tmp_path / "font.json"
    path.write_bytes(table("DejaVuSans"))
    font, flags = font_module.FT2Font(path), font_module.LoadFlags.NO_HINTING
    with pytest.raises(NotImplementedError, match="no hints"):
        font.set_text("a", 0.0)
    with pytest.raises(NotImplementedError, match=r"U\+05D0"):
        font.set_text("א", 0.0, flags=flags)
    with pytest.raises(NotImplementedError, match="cannot be read in the browser"):
        font_module.FT2Font(FONTS / "DejaVuSans.ttf")
    with pytest.raises(AttributeError, match="get_image is not there"):
        font.get_image()
    with pytest.warns(UserWarning, match=r"Glyph 19968 .* missing from font\(s\) DejaVu Sans"):
        font.set_text("一", 0.0, flags=flags)


# paths


def random_path(chance: np.random.Generator, codes: list[int]) -> Curve:
    """Up to three closed contours, within 100 pixels and around them."""
    places, kinds = [], []
    for _ in range(chance.integers(1, 4)):
        kinds.append(Curve.MOVETO)
        for code in chance.choice(codes, chance.integers(2, 6)):
            kinds += [code] * {Curve.LINETO: 1, Curve.CURVE3: 2, Curve.CURVE4: 3}[code]
        kinds.append(Curve.CLOSEPOLY)
    places = chance.uniform(-30, 130, (len(kinds), 2))
    places[np.array(kinds) == Curve.CLOSEPOLY] = 0
    return Curve(places, kinds)


LINES, CURVES = [Curve.LINETO], [Curve.LINETO, Curve.CURVE3, Curve.CURVE4]
TURN = Affine2D().rotate(0.3).scale(1.3).translate(5, 6)


@pytest.mark.parametrize("codes", [LINES, CURVES])
def test_paths_become_the_same_text_and_points(codes):
    own, chance = standin("path"), np.random.default_rng(0)
    for clip in (None, (0.0, 0.0, 100.0, 90.0)):
        for _ in range(60):
            path = random_path(chance, codes)
            arguments = (path, TURN, clip, False, None, 6, [b"M", b"L", b"Q", b"C", b"z"], False)
            assert own.convert_to_string(*arguments) == _path.convert_to_string(*arguments)
            arguments = (path, TURN, True, clip, False, 1.0, False, True, None)
            for here, there in zip(
                own.cleanup_path(*arguments), _path.cleanup_path(*arguments), strict=True
            ):
                np.testing.assert_allclose(here, there, atol=1e-9)


@pytest.mark.parametrize("has_codes", [False, True])
def test_paths_with_gaps_begin_anew_behind_them(has_codes):
    own, chance = standin("path"), np.random.default_rng(1)
    for _ in range(60):
        places = chance.uniform(0, 90, (9, 2))
        places[chance.random(9) < 0.3, 0] = np.nan
        codes = [1, 2, 2, 3, 3, 2, 4, 4, 4] if has_codes else None
        arguments = (Curve(places, codes), TURN, True, None, False, 1.0, False, True, None)
        for here, there in zip(
            own.cleanup_path(*arguments), _path.cleanup_path(*arguments), strict=True
        ):
            np.testing.assert_allclose(here, there, atol=1e-9)


def test_points_are_in_the_same_areas():
    own, chance = standin("path"), np.random.default_rng(2)
    points = chance.uniform(-40, 180, (400, 2))
    for _ in range(20):
        path = random_path(chance, LINES)
        inside = _path.points_in_path(points, 0.0, path, TURN)
        np.testing.assert_array_equal(own.points_in_path(points, 0.0, path, TURN), inside)
    circle = Curve.circle((50, 50), 40)
    for radius in (0.0, 8.0, -8.0):  # a curve is drawn of lines, but not of the same ones
        inside = _path.points_in_path(points, radius, circle, None)
        differ = inside != own.points_in_path(points, radius, circle, None)
        distance = np.hypot(*(points - 50).T) - (40 + radius / 2)
        assert np.abs(distance[differ]).max(initial=0) < 0.2


def test_paths_and_boxes_cross_in_the_same_cases():
    own, chance = standin("path"), np.random.default_rng(3)
    for _ in range(150):
        one, other = (Curve(chance.uniform(0, 100, (4, 2))) for _ in range(2))
        box = chance.uniform(0, 100, 4)
        for filled in (False, True):
            crosses = _path.path_intersects_path(one, other, filled)
            assert own.path_intersects_path(one, other, filled) == crosses
            crosses = _path.path_intersects_rectangle(one, *box, filled)
            assert own.path_intersects_rectangle(one, *box, filled) == crosses
    boxes = [Bbox(box) for box in chance.uniform(0, 9, (50, 2, 2))]
    for box in boxes:
        count = _path.count_bboxes_overlapping_bbox(box, boxes)
        assert own.count_bboxes_overlapping_bbox(box, boxes) == count


def test_many_paths_have_the_same_box_and_polygons():
    own, chance = standin("path"), np.random.default_rng(4)
    for count in range(20):
        paths = [random_path(chance, CURVES) for _ in range(3)]
        transforms = [Affine2D().scale(k + 1).get_matrix() for k in range(count % 3)]
        transforms = np.array(transforms).reshape(-1, 3, 3)
        offsets = chance.uniform(0, 90, (1 + count % 4, 2))
        arguments = (TURN, paths, transforms, offsets, Affine2D().scale(2))
        for here, there in zip(
            own.get_path_collection_extents(*arguments),
            _path.get_path_collection_extents(*arguments),
            strict=True,
        ):
            np.testing.assert_allclose(here, there)
        path = random_path(chance, LINES)
        polygons = _path.convert_path_to_polygons(path, TURN, 0, 0, True)
        for here, there in zip(
            own.convert_path_to_polygons(path, TURN, 0, 0, True), polygons, strict=True
        ):
            np.testing.assert_allclose(here, there)


def test_points_are_moved_alike_and_order_is_found():
    own, chance = standin("path"), np.random.default_rng(5)
    matrix = TURN.get_matrix()
    for points in (chance.normal(size=(7, 2)), chance.normal(size=2), np.zeros((0, 2))):
        moved = _path.affine_transform(points, matrix)
        np.testing.assert_allclose(own.affine_transform(points, matrix), moved)
    for numbers in ([1, 2, 2], [1, np.nan, 3], [2, 1], [np.nan, np.nan], []):
        numbers = np.array(numbers, dtype=float)
        is_sorted = _path.is_sorted_and_has_non_nan(numbers)
        assert own.is_sorted_and_has_non_nan(numbers) == is_sorted
    with pytest.raises(NotImplementedError, match="sketch"):
        own.cleanup_path(
            Curve([[0, 0], [1, 1]]), None, True, None, False, 1, False, True, (1, 1, 1)
        )


# images


@pytest.mark.parametrize("scale", [(3.7, 2.2), (-4.0, 5.0), (1.0, 1.0), (0.43, 0.37)])
@pytest.mark.parametrize("name", ["NEAREST", "BILINEAR", "HANNING", "HERMITE"])
@pytest.mark.parametrize("channels", [(), (4,)])
def test_images_are_resampled_alike(name, scale, channels):
    own, chance = standin("image"), np.random.default_rng(6)
    image = chance.random((20, 30, *channels)).astype(np.float32)
    if channels:
        image[..., :3] *= image[..., 3:]  # as matplotlib does before
    width, height = (abs(round(size * s)) for size, s in zip((30, 20), scale, strict=True))
    transform = Affine2D().scale(*scale).translate(width if scale[0] < 0 else 0, 0)
    results = []
    for module in (_image, own):
        target = np.zeros((height, width, *channels), np.float32)
        kind = getattr(module, name)
        module.resample(image, target, transform, kind, True, 1.0, True, 1.0)
        results.append(target)
    if name == "NEAREST":
        np.testing.assert_allclose(results[1], results[0], rtol=2**-22)  # in float32
    else:  # compiled, places are rounded to 1/256 of a pixel, and a slope is at most pi / 2
        np.testing.assert_allclose(results[1], results[0], atol=2 * np.pi / 2 / 256)


def test_a_turned_image_is_refused():
    own = standin("image")
    with pytest.raises(NotImplementedError, match="turned"):
        own.resample(np.zeros((2, 2)), np.zeros((2, 2)), Affine2D().rotate(0.1))
    with pytest.raises(NotImplementedError, match="interpolation"):
        own.resample(np.zeros((2, 2)), np.zeros((2, 2)), Affine2D(), own.LANCZOS)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_pictures_are_written_for_pillow_and_read_from_it(shape, tmp_path):
    own = standin("pil_image")
    pixels = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    own.fromarray(pixels).save(tmp_path / "own.png")
    with Image.open(tmp_path / "own.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    smooth = np.cumsum(pixels // 60, axis=1).astype(np.uint8)  # for which Pillow takes all filters
    Image.fromarray(smooth).save(tmp_path / "pillow.png")
    with own.open(tmp_path / "pillow.png", formats=["PNG"]) as picture:
        assert picture.size == (7, 5)
        np.testing.assert_array_equal(np.asarray(picture), smooth)
        for mode in ("L", "RGB", "RGBA"):
            with Image.open(tmp_path / "pillow.png") as real:
                converted = np.asarray(real.convert(mode))
            np.testing.assert_array_equal(np.asarray(picture.convert(mode)), converted)


@pytest.mark.parametrize("colors", [2, 5, 200])
def test_pictures_with_few_colours_are_read(colors):
    own, file = standin("pil_image"), io.BytesIO()
    pixels = np.random.default_rng(8).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    few = Image.fromarray(pixels).quantize(colors)
    few.save(file, format="png")
    np.testing.assert_array_equal(np.asarray(own.open(file)), np.asarray(few.convert("RGB")))


def test_damaged_and_unknown_pictures_are_refused():
    own, file = standin("pil_image"), io.BytesIO()
    own.fromarray(np.zeros((3, 3), np.uint8)).save(file, format="png")
    content = file.getvalue()
    for damaged in (b"", content[:-20], content[:50] + b"!" + content[51:]):
        with pytest.raises(own.UnidentifiedImageError):
            own.open(io.BytesIO(damaged))
    with pytest.raises(NotImplementedError, match="PNG"):
        own.fromarray(np.zeros((3, 3), np.uint8)).save(file, format="gif")
    with pytest.raises(NotImplementedError, match="PngInfo"):
        standin("pil_rest").PngInfo()


# contours


def area(lines: tuple) -> float:
    """The area within closed lines; holes run the other way around."""
    total = 0.0
    for points, codes in zip(*lines, strict=True):
        for part in np.split(points, np.flatnonzero(codes == 1)[1:]):
            x, y = part.T
            total += 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    return total


@pytest.mark.parametrize("seed", range(6))
def test_contours_have_the_same_points_and_areas(seed):
    own, chance = standin("contourpy"), np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-2, 2, 13), np.linspace(-1, 3, 9))
    z = chance.normal(size=x.shape) if seed % 2 else np.sin(2 * x) * np.cos(y) + 0.3 * x
    z = np.round(z) if seed == 5 else z  # corners that lie on the level
    arguments = {"line_type": "SeparateCode", "fill_type": "OuterCode"}
    real, here = contourpy.contour_generator(x, y, z, **arguments), own.contour_generator(x, y, z)
    for level in (-0.8, 0.0, 0.37):
        theirs, ours = real.create_contour(level), here.create_contour(level)
        assert len(ours[0]) == len(theirs[0])
        points = [
            sorted(map(tuple, np.concatenate(p).round(9) + 0.0)) for p in (theirs[0], ours[0])
        ]
        assert len(set(points[0])) == len(set(points[1]))
        np.testing.assert_allclose(sorted(set(points[1])), sorted(set(points[0])), atol=1e-8)
        for upper in (0.5, 9.0):
            theirs = real.create_filled_contour(level, upper)
            ours = here.create_filled_contour(level, upper)
            assert area(ours) == pytest.approx(area(theirs), abs=1e-9)


def test_contours_of_a_grid_with_gaps_are_refused():
    own = standin("contourpy")
    z = np.ma.masked_equal(np.arange(9).reshape(3, 3), 4)
    with pytest.raises(NotImplementedError, match="gaps"):
        own.contour_generator(np.arange(3), np.arange(3), z)
    assert own.contour_generator(np.arange(3), np.arange(3), z.data).create_contour(99) == ([], [])
    assert own.contour_generator(np.arange(3), np.arange(3), z.data).create_filled_contour(
        98, 99
    ) == (
        [],
        [],
    )


# layout


def laid_out(module: types.ModuleType, seed: int) -> dict[str, float]:
    """The sizes of a grid in a grid, by a solver."""
    from matplotlib import _layoutgrid

    chance = random.Random(seed)
    kiwi, _layoutgrid.kiwi = _layoutgrid.kiwi, module
    try:
        ratios = [chance.uniform(1, 3) for _ in range(3)]
        outer = _layoutgrid.LayoutGrid([0, 0, 1, 1], ncols=3, nrows=2, width_ratios=ratios)
        inner = _layoutgrid.LayoutGrid(outer, (1, [0, 1]), ncols=2, nrows=2, name="inner")
        for grid in (outer, inner):
            for side in grid.margins:
                grid.edit_margins(side, chance.uniform(0, 0.04))
                grid.edit_margin_min(side, chance.uniform(0, 0.04), 0)
        outer.update_variables()
        sides = ("lefts", "rights", "bottoms", "tops")
        return {
            f"{k} {side} {n}": variable.value()
            for k, grid in enumerate((outer, inner))
            for side in sides
            for n, variable in enumerate(getattr(grid, side))
        }
    finally:
        _layoutgrid.kiwi = kiwi


@pytest.mark.parametrize("seed", range(5))
def test_layouts_are_solved_alike(seed):
    assert laid_out(standin("kiwisolver"), seed) == pytest.approx(
        laid_out(kiwisolver, seed), abs=1e-7
    )


def test_a_layout_that_contradicts_itself_is_refused():
    own = standin("kiwisolver")
    solver, x = own.Solver(), own.Variable("x")
    solver.addConstraint(x == 1)
    solver.addConstraint(2 * x - 1 == 3)
    with pytest.raises(own.UnsatisfiableConstraint):
        solver.updateVariables()


# weights


def arrays() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(9)
    dtypes = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    shapes = ((), (3,), (2, 0), (2, 3, 2))
    return {
        f"{dtype}.{len(shape)}": np.asarray(9 * chance.random(shape)).astype(dtype)
        for dtype in dtypes
        for shape in shapes
    }


def test_weights_are_written_to_the_byte_and_read():
    own, found = standin("safetensors_rust"), arrays()
    metadata = {"format": "test"}
    content = safetensors.numpy.save(found, metadata)
    specs = {
        name: own.TensorSpec(array.dtype.name, array.shape, array.ctypes.data, array.nbytes)
        for name, array in found.items()
    }
    assert own.serialize(specs, metadata) == content
    entries = own.deserialize(content)
    assert sorted(entries, key=lambda pair: pair[0]) == sorted(safetensors.deserialize(content))


def test_what_is_no_file_of_weights_is_refused_alike():
    own = standin("safetensors_rust")
    content = safetensors.numpy.save({"a": np.arange(3.0), "b": np.arange(4)})
    size = int.from_bytes(content[:8], "little")
    header, values = json.loads(content[8 : 8 + size]), content[8 + size :]

    def file(**changes: object) -> bytes:
        text = json.dumps(header | changes).encode()
        return len(text).to_bytes(8, "little") + text + values

    assert len(own.deserialize(file())) == 2
    wrong = [
        b"",
        content[:20],
        content[:-1],
        content + b"!",
        b"\xff" * 8 + content[8:],
        file(a=3),
        file(a=header["a"] | {"dtype": "F99"}),
        file(a=header["a"] | {"shape": [4]}),
        file(a=header["a"] | {"data_offsets": [8, 32]}),
        file(__metadata__={"a": 1}),
        (2).to_bytes(8, "little") + b"[]",
    ]
    for each in wrong:
        with pytest.raises(safetensors.SafetensorError):
            safetensors.deserialize(each)
        with pytest.raises(own.SafetensorError):
            own.deserialize(each)


# all together

FIGURE = r"""
import json, sys
import numpy as np
import matplotlib
from matplotlib.figure import Figure
from matplotlib.backends.backend_svg import FigureCanvasSVG

figure = Figure(figsize=(6, 3), dpi=72, layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(np.arange(1, 9), np.arange(1, 9) ** 3.0, "o--", label="cubes, $x^3$")
left.set_yscale("log")
left.set_xlabel("offset $h_{t-1}$ of AVAIL")
left.set_ylabel(r"$\hat{x}, \tilde{C}, \mathbb{R}, \sqrt{2}, \sum$")
left.set_title("efficient")
left.legend()
x, y = np.meshgrid(np.linspace(-2, 2, 30), np.linspace(-2, 2, 30))
right.contourf(x, y, x * x - y * y, [-1, 0, 1, 2])
right.imshow(np.arange(6).reshape(2, 3), extent=(-1, 1, -1, 1))
right.annotate("here", (0, 0), (1, 1), arrowprops={"arrowstyle": "->"}, bbox={"pad": 2})
figure.suptitle("two panels")
FigureCanvasSVG(figure)
figure.savefig(sys.argv[1], format="svg", metadata={"Date": None})
boxes = [axes.get_position().bounds for axes in figure.axes]
texts = [
    [text.get_text(), *text.get_window_extent().bounds]
    for axes in figure.axes
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels())
]
print(json.dumps([boxes, texts, matplotlib.__file__]))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The files of drawing.zip, made of the packages that are installed here."""
    folder = tmp_path_factory.mktemp("drawing")
    files = (
        (path.as_posix(), path.locate().read_bytes())
        for name in ("matplotlib", "cycler", "packaging", "pyparsing", "python-dateutil")
        for path in metadata.distribution(name).files
        if path.suffix in (".py", ".ttf") or path.name == "matplotlibrc"
    )
    for name, content in drawing_bundle.drawing_files(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def drawn(program: str, folder: Path | None, svg: Path) -> list:
    """What a program prints as JSON, with matplotlib from a folder."""
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}" if folder else program
    command = [sys.executable, "-W", "error", "-c", program, str(svg)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert not ended.stderr
    return json.loads(ended.stdout)


def test_a_whole_figure_is_drawn_alike(bundle, tmp_path):
    boxes, texts, _ = drawn(FIGURE, None, tmp_path / "real.svg")
    own_boxes, own_texts, file = drawn(FIGURE, bundle, tmp_path / "own.svg")
    assert file.startswith(str(bundle))
    pixels = np.array([6, 3, 6, 3]) * 72  # of the figure
    np.testing.assert_allclose(own_boxes * pixels, boxes * pixels, atol=0.5)
    assert [text for text, *_ in own_texts] == [text for text, *_ in texts]
    extents = [np.array([numbers for _, *numbers in each]) for each in (own_texts, texts)]
    np.testing.assert_allclose(*extents, atol=1)
    svg = (tmp_path / "own.svg").read_text(encoding="utf-8")
    real = (tmp_path / "real.svg").read_text(encoding="utf-8")
    for tag in ("<path ", "<use ", "<image ", "<clipPath ", "<g "):
        assert svg.count(tag) == real.count(tag), tag


def test_what_the_bundle_cannot_draw_it_says(bundle, tmp_path):
    program = """
import json, sys
from matplotlib.figure import Figure
from matplotlib import tri
said = []
for attempt in (
    lambda: Figure().savefig(sys.argv[1] + ".png"),
    lambda: tri.Triangulation([0, 1, 0], [0, 0, 1]).triangles,
):
    try:
        attempt()
    except NotImplementedError as error:
        said.append(str(error))
print(json.dumps(said))
"""
    pixels, triangles = drawn(program, bundle, tmp_path / "own")
    assert 'savefig(..., format="svg")' in pixels
    assert "not there in the browser" in triangles
