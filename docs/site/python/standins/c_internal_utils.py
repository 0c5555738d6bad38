"""matplotlib._c_internal_utils: whether a window could be opened. In a browser's worker, never."""

from __future__ import annotations


def display_is_valid() -> bool:
    """No window can be opened."""
    return False


def xdisplay_is_valid() -> bool:
    """No window can be opened."""
    return False


def Win32_GetCurrentProcessExplicitAppUserModelID() -> None:
    """Only Windows knows such names."""
    return None
