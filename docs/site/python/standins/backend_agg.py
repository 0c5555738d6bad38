"""matplotlib.backends._backend_agg: the drawing of pixels, which is not there in the browser.

It is a hundred thousand lines of compiled C++. A picture is drawn as SVG instead, by matplotlib's
own backend_svg.py, which needs none of them.
"""

from __future__ import annotations

from typing import Any


class RendererAgg:
    """Says that a picture cannot be drawn as pixels here."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        raise NotImplementedError(
            'a picture cannot be made of pixels in the browser: use savefig(..., format="svg")'
        )


def get_hinting_flag() -> Any:
    """How letters would be fitted to pixels."""
    raise NotImplementedError("letters are not fitted to pixels in the browser")
