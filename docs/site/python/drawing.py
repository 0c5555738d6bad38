"""Loads matplotlib and other packages that few pages need, when one of them is first imported."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import io
import sys
import zipfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from live import progress

PACKAGES = (
    "PIL",
    "contourpy",
    "cycler",
    "dateutil",
    "docstring_parser",
    "kiwisolver",
    "matplotlib",
    "mpl_toolkits",
    "packaging",
    "pyparsing",
    "safetensors",
    "tqdm",
    "typeguard",
    "typing_extensions",
    "tyro",
)


def install() -> None:
    """Let imports find these packages; before pyodide says that it does not have them."""
    sys.meta_path.insert(0, Loader())


class Loader(importlib.abc.MetaPathFinder):
    """Unpacks drawing.zip beside this file, and has no part in imports from then on."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a package of the archive."""
        if name.partition(".")[0] not in PACKAGES:
            return None
        sys.meta_path.remove(self)
        progress("loading matplotlib")
        try:
            archive = fetch("python/drawing.zip")
        except ImportError:
            sys.meta_path.insert(0, self)  # so that the next import tries again
            raise
        finally:
            progress("")
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(Path(__file__).parent)
        importlib.invalidate_caches()
        return importlib.util.find_spec(name)


def fetch(name: str) -> bytes:
    """Load a file that lies beside the worker's script; a worker may wait for it."""
    from js import XMLHttpRequest, location
    from pyodide.ffi import JsException

    request = XMLHttpRequest.new()
    request.open("GET", f"{location.href.rpartition('/')[0]}/{name}", False)
    request.responseType = "arraybuffer"
    try:
        request.send()
    except JsException as error:
        raise ImportError(f"{name} could not be loaded: {error}") from None
    if request.status != 200:
        raise ImportError(f"{name} could not be loaded ({request.status})")
    return bytes(request.response.to_bytes())
