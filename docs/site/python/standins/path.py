"""matplotlib._path in NumPy: points, extents, and the text of a path in an SVG.

The compiled module does this by the Anti-Grain Geometry library, of which no build runs in the
browser. Results are the same, but that lines of very many points are not thinned out: thinning
changes a picture by less than a pixel. What needs pixels (snapping, sketching) or what only a mouse
asks for raises NotImplementedError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
STOP, MOVE, LINE, CURVE3, CURVE4, CLOSE = 0, 1, 2, 3, 4, 79
POINTS = {MOVE: 1, LINE: 1, CURVE3: 2, CURVE4: 3, CLOSE: 1}
Segment = tuple[int, list[float]]  # a code, and the coordinates that it takes


def affine_transform(points: Any, trans: Any) -> Array:
    """Points (N, 2) or one point (2,), moved by a matrix (3, 3)."""
    points, trans = np.asarray(points, dtype=float), np.asarray(trans, dtype=float)
    if points.shape[-1:] != (2,) and points.size:
        raise ValueError(f"expected points of two coordinates, got an array {points.shape}")
    moved = points.reshape(*points.shape[:-1], 2) @ trans[:2, :2].T
    return np.asarray(moved + trans[:2, 2])


def count_bboxes_overlapping_bbox(bbox: Any, bboxes: Any) -> int:
    """How many of the boxes overlap the box."""
    boxes = np.array([np.asarray(each) for each in bboxes], dtype=float).reshape(-1, 2, 2)
    low, high = np.sort(np.asarray(bbox, dtype=float), axis=0)
    lows, highs = boxes.min(axis=1), boxes.max(axis=1)
    return int(((lows < high) & (highs > low)).all(axis=1).sum())


def is_sorted_and_has_non_nan(array: Any) -> bool:
    """Whether the numbers never fall, NaNs aside, of which not all may be."""
    array = np.asarray(array, dtype=float)
    numbers = array[~np.isnan(array)]
    return bool(len(numbers)) and bool((numbers[1:] >= numbers[:-1]).all())


def _matrix(trans: Any) -> Array:
    if trans is None:
        return np.eye(3)
    return np.asarray(trans.get_matrix() if hasattr(trans, "get_matrix") else trans, dtype=float)


def _moved(path: Any, trans: Any) -> tuple[Array, Array]:
    """A path's points after a transform, and its codes."""
    points = affine_transform(np.asarray(path.vertices, dtype=float), _matrix(trans))
    points = points.reshape(-1, 2)
    if path.codes is not None:
        return points, np.asarray(path.codes)
    codes = np.full(len(points), LINE)
    codes[:1] = MOVE
    return points, codes


def _segments(path: Any, trans: Any, remove_nans: bool) -> list[Segment]:
    """A path's segments; those with a coordinate that is no finite number can be left out."""
    points, codes = _moved(path, trans)
    found: list[Segment] = []
    places, numbers = points.tolist(), codes.tolist()
    k = 0
    while k < len(numbers) and numbers[k] != STOP:
        count = POINTS[numbers[k]]
        own = [c for place in places[k : k + count] for c in place]
        found.append((numbers[k], own if numbers[k] != CLOSE else [0.0, 0.0]))
        k += count
    if remove_nans and not np.isfinite(points).all():
        return list(_finite(found, path.codes is not None))
    return found


def _finite(segments: list[Segment], has_codes: bool) -> Iterator[Segment]:
    """Leave out what is not finite; behind a gap the path begins anew."""
    start: list[float] = []  # of the contour
    waiting: list[Segment] = []
    broken = needs_move = has_begun = is_valid = False
    for code, places in segments:
        if code == CLOSE and has_begun:
            if not broken:
                yield code, places
            elif is_valid and all(map(math.isfinite, start)):
                yield LINE, start
            continue
        if code == MOVE:
            start, broken = places, False
        if needs_move and not has_codes:
            code = MOVE
        elif needs_move:
            waiting.append((MOVE, places[:2]))
        is_valid = all(map(math.isfinite, places))
        needs_move = False
        if is_valid:
            yield from (*waiting, (code, places))
            has_begun, waiting = True, []
            continue
        broken = True
        needs_move = not all(map(math.isfinite, places[-2:]))
        waiting = [] if needs_move else [(MOVE, places[-2:])]


def _clipped(segments: list[Segment], clip: Sequence[float]) -> Iterator[Segment]:
    """Cut lines off a pixel outside a box; curves stay whole."""
    x0, y0, x1, y1 = clip[0] - 1, clip[1] - 1, clip[2] + 1, clip[3] + 1
    last = start = [math.nan, math.nan]
    moved, was_cut = True, False

    def lone() -> list[Segment]:  # a point without a line; it may carry a marker
        is_lone = moved and x0 <= last[0] <= x1 and y0 <= last[1] <= y1
        return [(MOVE, last)] if is_lone else []

    def line(to: list[float]) -> list[Segment]:
        nonlocal moved, was_cut
        part = _part_inside(last, to, x0, y0, x1, y1)
        was_cut = was_cut or part != (0, 1)
        if part is None:
            return []
        begin, end = (
            [last[0] + t * (to[0] - last[0]), last[1] + t * (to[1] - last[1])]
            if 0 < t < 1
            else whole
            for t, whole in zip(part, (last, to), strict=True)
        )
        found = [(MOVE, begin)] if part[0] > 0 or moved else []
        moved = False
        return [*found, (LINE, end)]

    for code, places in segments:
        if code == MOVE:
            yield from lone()
            start = last = places
            moved, was_cut = True, False
        elif code == LINE:
            yield from line(places)
            last = places
        elif code == CLOSE:
            yield from line(start)
            if not was_cut:
                yield CLOSE, start
            last = start
        else:
            if moved:
                yield MOVE, last
            yield code, places
            last, moved = places[-2:], False
    yield from lone()


def _part_inside(
    a: list[float], b: list[float], x0: float, y0: float, x1: float, y1: float
) -> tuple[float, float] | None:
    """Between which shares of the way from a to b a line is in a box (Liang and Barsky 1984)."""
    enter, leave = 0.0, 1.0
    for place, way, low, high in ((a[0], b[0] - a[0], x0, x1), (a[1], b[1] - a[1], y0, y1)):
        if way == 0:
            if not low <= place <= high:
                return None
            continue
        one, other = sorted(((low - place) / way, (high - place) / way))
        enter, leave = max(enter, one), min(leave, other)
    return (enter, leave) if enter <= leave else None


def _cleaned(path: Any, trans: Any, remove_nans: bool, clip: Any, sketch: Any) -> list[Segment]:
    if sketch is not None:
        raise NotImplementedError("sketched lines are not in the browser: leave out sketch_params")
    segments = _segments(path, trans, remove_nans)
    if clip is None or not segments:
        return segments
    places = np.array([c for _, own in segments for c in own]).reshape(-1, 2)
    low, high = np.asarray(clip[:2]) - 1, np.asarray(clip[2:]) + 1
    inside = (places >= low).all() and (places <= high).all()
    return segments if inside else list(_clipped(segments, clip))


def convert_to_string(
    path: Any,
    trans: Any,
    cliprect: Any,
    simplify: bool | None,
    sketch: Any,
    precision: int,
    codes: Sequence[bytes],
    postfix: bool,
) -> bytes:
    """A path as the text of an SVG.

    Args:
        path: The path.
        trans: An affine transform, or None.
        cliprect: Where lines are cut off, (x0, y0, x1, y1), or None.
        simplify: Whether points could be left out; none are.
        sketch: Must be None.
        precision: Digits after the point, of which zeros at the end are left out.
        codes: The letters for move, line, both curves, and close.
        postfix: Must be False: letters stand before their numbers.
    """
    if postfix:
        raise NotImplementedError("PostScript is not in the browser: save as SVG")
    letters = dict(zip((MOVE, LINE, CURVE3, CURVE4, CLOSE), codes, strict=True))
    lines = []
    for code, places in _cleaned(path, trans, True, cliprect, sketch):
        numbers = [] if code == CLOSE else [_short(place, precision) + " " for place in places]
        lines.append(letters[code].decode() + "".join([" ", *numbers] if numbers else []))
    return "".join(line + "\n" for line in lines).encode()


def _short(number: float, precision: int) -> str:
    text = f"{number:.{precision}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cleanup_path(
    path: Any,
    trans: Any,
    remove_nans: bool,
    clip_rect: Any,
    snap_mode: bool | None,
    stroke_width: float,
    simplify: bool | None,
    return_curves: bool,
    sketch: Any,
) -> tuple[Array, Array]:
    """A path's points and codes after a transform, without NaNs, cut off at a box."""
    if snap_mode:
        raise NotImplementedError(
            "lines cannot be moved onto pixels in the browser: leave out snap"
        )
    codes: list[int] = []
    places: list[float] = []
    for code, own in _cleaned(path, trans, remove_nans, clip_rect, sketch):
        if not return_curves and code in (CURVE3, CURVE4):
            own, code = _flattened(places[-2:], own), LINE
        codes += [code] * (len(own) // 2)
        places += own
    return (
        np.array([*places, 0.0, 0.0]).reshape(-1, 2),
        np.array([*codes, STOP], dtype=np.uint8),
    )


def _flattened(start: list[float], places: list[float]) -> list[float]:
    """A curve as lines: enough that none is off by more than about a tenth of a pixel."""
    points = np.array([*start, *places]).reshape(-1, 2)
    length = np.hypot(*np.diff(points, axis=0).T).sum()
    t = np.linspace(0, 1, 2 + int(2 * math.sqrt(length)))[1:, None]
    while len(points) > 1 and points.ndim == 2:
        points = points[:, None, :]
    while len(points) > 1:  # de Casteljau
        points = points[:-1] * (1 - t) + points[1:] * t
    return [float(c) for c in points[0].ravel()]


def convert_path_to_polygons(
    path: Any, trans: Any, width: float = 0, height: float = 0, closed_only: bool = False
) -> list[Array]:
    """A path's contours as polygons, curves as lines."""
    clip = (0.0, 0.0, width, height) if width and height else None
    points, codes = cleanup_path(path, trans, True, clip, False, 0, False, False, None)
    polygons: list[list[list[float]]] = []
    for place, code in zip(points.tolist(), codes.tolist(), strict=True):
        if code == MOVE or not polygons:
            polygons.append([])
        if code == CLOSE:
            if polygons[-1]:
                polygons[-1].append(polygons[-1][0])
            polygons.append([])
        elif code != STOP:
            polygons[-1].append(place)
    if closed_only:
        polygons = [p for p in polygons if len(p) > 2]
        polygons = [p if p[0] == p[-1] else [*p, p[0]] for p in polygons]
    return [np.array(polygon) for polygon in polygons if polygon]


def get_path_collection_extents(
    master_transform: Any, paths: Any, transforms: Any, offsets: Any, offset_transform: Any
) -> tuple[Array, Array]:
    """The box around all paths ((x0, y0), (x1, y1)), and the least positive coordinates."""
    transforms, offsets = np.asarray(transforms, dtype=float), np.asarray(offsets, dtype=float)
    moves = affine_transform(offsets.reshape(-1, 2), _matrix(offset_transform))
    found = [np.zeros((0, 2))]
    for i in range(max(len(paths), len(moves)) if len(paths) else 0):
        own = transforms[i % len(transforms)] if len(transforms) else _matrix(master_transform)
        move = moves[i % len(moves)] if len(moves) else 0.0
        segments = _segments(paths[i % len(paths)], own, remove_nans=True)
        places = [c for code, own_places in segments if code != CLOSE for c in own_places]
        found.append(np.array(places).reshape(-1, 2) + move)
    points = np.concatenate(found)
    positive = np.where(points > 0, points, math.inf)
    box = [points.min(axis=0, initial=math.inf), points.max(axis=0, initial=-math.inf)]
    return np.array(box), positive.min(axis=0, initial=math.inf)


def point_in_path(x: float, y: float, radius: float, path: Any, trans: Any) -> bool:
    """Whether a point is in the area of a path; see `points_in_path`."""
    return bool(points_in_path([[x, y]], radius, path, trans)[0])


def points_in_path(points: Any, radius: float, path: Any, trans: Any) -> Array:
    """Which points are in the area of a path, to which its edge adds half of the radius.

    Of a contour that runs clockwise the edge is taken off.
    """
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    inside = np.zeros(len(points), dtype=bool)
    if len(path.vertices) < 3:
        return inside
    for polygon in convert_path_to_polygons(path, trans):
        ends = np.concatenate([polygon[1:], polygon[:1]])
        crossings = np.zeros(len(points), dtype=bool)
        distance = np.full(len(points), math.inf)
        for (ax, ay), (bx, by) in zip(polygon, ends, strict=True):
            straddles = (ay >= points[:, 1]) != (by >= points[:, 1])
            with np.errstate(divide="ignore", invalid="ignore"):
                at = ax + (points[:, 1] - ay) * (bx - ax) / (by - ay)
            crossings ^= straddles & (at > points[:, 0])
            way = np.array([bx - ax, by - ay])
            t = ((points - (ax, ay)) @ way) / max(float(way @ way), 1e-300)
            off = points - (ax, ay) - np.clip(t, 0, 1)[:, None] * way
            distance = np.minimum(distance, np.hypot(off[:, 0], off[:, 1]))
        area = (polygon[:, 0] * ends[:, 1] - ends[:, 0] * polygon[:, 1]).sum()
        wider = radius / 2 if area > 0 else -radius / 2
        near = distance <= abs(wider)
        inside |= (crossings | near) if wider >= 0 else (crossings & ~near)
    return inside


def path_in_path(one: Any, one_trans: Any, other: Any, other_trans: Any) -> bool:
    """Whether all of a path's points are in the area of the first."""
    if len(one.vertices) < 3:
        return False
    points, codes = cleanup_path(other, other_trans, True, None, False, 0, False, False, None)
    return bool(points_in_path(points[codes != STOP], 0.0, one, one_trans).all())


def path_intersects_path(one: Any, other: Any, filled: bool = False) -> bool:
    """Whether two paths cross, or one is in the other if they are filled."""
    if len(one.vertices) < 2 or len(other.vertices) < 2:
        return False
    if any(map(_cross, *_pairs_of_sides(one, other))):
        return True
    return filled and (path_in_path(one, None, other, None) or path_in_path(other, None, one, None))


def _pairs_of_sides(one: Any, other: Any) -> tuple[list[Any], list[Any]]:
    sides = [
        [side for p in convert_path_to_polygons(path, None) for side in pairwise(p)]
        for path in (one, other)
    ]
    pairs = [(a, b) for a in sides[0] for b in sides[1]]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _cross(one: Any, other: Any) -> bool:
    """Whether two line segments have a point in common."""

    def side(a: Any, b: Any, c: Any) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    (a, b), (c, d) = one, other
    around = [side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)]
    if not any(around):  # on one line
        low, high = (
            np.maximum(np.minimum(a, b), np.minimum(c, d)),
            np.minimum(np.maximum(a, b), np.maximum(c, d)),
        )
        return bool((low <= high).all())
    return around[0] * around[1] <= 0 and around[2] * around[3] <= 0


def path_intersects_rectangle(
    path: Any, x0: float, y0: float, x1: float, y1: float, filled: bool = False
) -> bool:
    """Whether a path crosses a box or is in it, or the box is in the path if that is filled."""
    low, high = (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))
    for polygon in convert_path_to_polygons(path, None):
        points = polygon.tolist()
        if any(_part_inside(a, b, *low, *high) for a, b in pairwise(points)):
            return True
    middle = [[(low[0] + high[0]) / 2, (low[1] + high[1]) / 2]]
    return filled and bool(points_in_path(middle, 0.0, path, None)[0])


def clip_path_to_rect(path: Any, rect: Any, inside: bool) -> list[Array]:
    """A path's polygons, cut off at a box."""
    raise NotImplementedError("Path.clip_to_bbox is not in the browser")


def point_in_path_collection(*arguments: Any) -> Array:
    """What is under a mouse; there is none."""
    raise NotImplementedError("picking by the mouse is not in the browser")
