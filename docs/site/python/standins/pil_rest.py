"""The modules of Pillow beside PIL.Image: names that programs import, and that say what is missing.

Pillow is compiled for no browser that we could use. PIL.features, PIL.PngImagePlugin, PIL.ImageDraw
and PIL.ImageFont are all this file there.
"""

from __future__ import annotations

from typing import Any

MISSING = "is a part of Pillow, which is not there in the browser"


def check(feature: str) -> bool:
    """Whether Pillow was compiled with a library: with none."""
    return False


class PngInfo:
    """Texts within a PNG file."""

    def __init__(self) -> None:
        raise NotImplementedError(f"PngInfo {MISSING}")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(f"{name} {MISSING}")
