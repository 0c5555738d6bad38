"""Modules that matplotlib imports, but that no page needs: asking them raises NotImplementedError.

They are matplotlib._qhull and matplotlib._tri, which are compiled and find triangles between
scattered points, and fontTools.agl, which is large and names the letters in TeX's fonts.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(f"{__name__}.{name} is not there in the browser")
