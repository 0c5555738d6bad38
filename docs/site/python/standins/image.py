"""matplotlib._image in NumPy: an image in another size.

The compiled module resamples by the Anti-Grain Geometry library, of which no build runs in the
browser. Here are its nearest pixels, and those of its kernels that matplotlib takes by itself, for
images that are moved, stretched and mirrored. Turned and bent images raise NotImplementedError.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

(
    NEAREST, BILINEAR, BICUBIC, SPLINE16, SPLINE36, HANNING, HAMMING, HERMITE, KAISER, QUADRIC,
    CATROM, GAUSSIAN, BESSEL, MITCHELL, SINC, LANCZOS, BLACKMAN,
) = range(17)  # fmt: skip

# name: how far a kernel reaches, in pixels of the image, and its weight at a distance within
KERNELS: dict[int, tuple[float, Callable[[Array], Array]]] = {
    BILINEAR: (1.0, lambda x: 1 - x),
    HANNING: (1.0, lambda x: 0.5 + 0.5 * np.cos(np.pi * x)),
    HERMITE: (1.0, lambda x: (2 * x - 3) * x * x + 1),
}


def resample(
    input_array: Any,
    output_array: Any,
    transform: Any,
    interpolation: int = NEAREST,
    resample: bool = False,
    alpha: float = 1.0,
    norm: bool = True,
    radius: float = 1.0,
) -> None:
    """Write an image into an array, moved, stretched and mirrored by a transform.

    Args:
        input_array: The image (rows, columns) or (rows, columns, channels).
        output_array: Where to; places outside the image stay as they are.
        transform: From pixels of the image to pixels of the array; None for none.
        interpolation: One of this module's numbers.
        resample: Whether a smaller picture averages; matplotlib's kernels always do here.
        alpha: Must be 1, or apply to an image with an alpha channel.
        norm: Whether the weights of each pixel are made to sum to 1.
        radius: The reach of kernels that have none of their own; not used by those here.
    """
    source, target = np.asarray(input_array), output_array
    if source.ndim != target.ndim or source.dtype != target.dtype:
        raise ValueError(f"the dtypes {source.dtype} and {target.dtype} or shapes do not fit")
    matrix = np.eye(3) if transform is None else _matrix(transform)
    if matrix[0, 1] or matrix[1, 0]:
        raise NotImplementedError("turned and bent images are not in the browser")
    axes = [
        (source.shape[axis], target.shape[axis], matrix[i, i], matrix[i, 2])
        for axis, i in ((0, 1), (1, 0))
    ]
    if interpolation == NEAREST:
        (rows, row), (columns, column) = (_nearest(*axis) for axis in axes)
        target[np.ix_(rows, columns)] = source[np.ix_(row, column)]
    else:
        if interpolation not in KERNELS:
            raise NotImplementedError(
                "only nearest, bilinear, hanning and hermite interpolation are in the browser"
            )
        if not norm:
            raise NotImplementedError("filternorm=False is not in the browser")
        (rows, across), (columns, along) = (_weights(*axis, interpolation) for axis in axes)
        part = np.tensordot(across, source.astype(float), axes=(1, 0))
        part = np.moveaxis(np.tensordot(part, along, axes=(1, 1)), -1, 1)
        if source.dtype.kind in "ui":
            part = np.clip(np.rint(part), *_limits(source.dtype))
        target[np.ix_(rows, columns)] = part
    if alpha != 1.0:
        if target.ndim != 3 or target.shape[2] != 4:
            raise NotImplementedError("alpha of an image without an alpha channel")
        target[..., 3] = target[..., 3] * alpha


def _matrix(transform: Any) -> Array:
    if not transform.is_affine:
        raise NotImplementedError("turned and bent images are not in the browser")
    return np.asarray(transform.get_matrix(), dtype=float)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def _nearest(size: int, length: int, scale: float, start: float) -> tuple[Array, Array]:
    """Which places of an axis get a pixel, and which pixel of the image each gets."""
    pixel = np.floor((np.arange(length) + 0.5 - start) / scale).astype(int)
    places = np.flatnonzero((pixel >= 0) & (pixel < size))
    return places, pixel[places]


def _weights(
    size: int, length: int, scale: float, start: float, interpolation: int
) -> tuple[Array, Array]:
    """Which places of an axis get a pixel, and the weights (places, size) of the image's pixels.

    A picture smaller than the image averages over all pixels that fall into one of its own: the
    kernel is wider. Beyond its edge the image goes on with its last pixel.
    """
    reach, kernel = KERNELS[interpolation]
    middle = (np.arange(length) + 0.5 - start) / scale
    places = np.flatnonzero((middle >= 0) & (middle < size))
    wider = max(1.0, 1 / abs(scale))
    margin = math.ceil(reach * wider) + 1
    pixels = np.arange(-margin, size + margin)
    distance = np.abs(middle[places, None] - 0.5 - pixels) / wider
    weights = np.where(distance < reach, kernel(np.minimum(distance, reach)), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    found = np.zeros((len(places), size))
    for pixel, weight in zip(np.clip(pixels, 0, size - 1), weights.T, strict=True):
        found[:, pixel] += weight
    return places, found


def calculate_rms_and_diff(*arguments: Any) -> Any:
    """The comparison of two pictures in matplotlib's own tests."""
    raise NotImplementedError("matplotlib's own tests do not run in the browser")
