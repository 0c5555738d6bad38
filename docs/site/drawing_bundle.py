"""drawing.zip: matplotlib, and what the trainers import, for Python in the browser.

The browser gets the Python files of the wheels in wheels.txt as they are. What is compiled in them
is replaced by plain Python, docs/site/python/standins; each file there says for what it stands in.
Fonts come as tables (font_tables.py). What a page does not need is left out: other ways to show a
figure than as SVG, tests, sample data. All files are compiled for pyodide (compile.mjs), without
docstrings: matplotlib is imported in 1.6 seconds of an idle core instead of 3.9.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from font_tables import font_table

HERE = Path(__file__).parent
STANDINS = HERE / "python" / "standins"
CACHE = HERE.parent.parent / "build" / "drawing"
PROGRAMS = [HERE / name for name in ("drawing_bundle.py", "font_tables.py", "compile.mjs")]
FONTS = "matplotlib/mpl-data/fonts/ttf/"

PLACES = {  # of each stand-in, in site-packages
    "backend_agg.py": ["matplotlib/backends/_backend_agg.py"],
    "c_internal_utils.py": ["matplotlib/_c_internal_utils.py"],
    "contourpy.py": ["contourpy.py"],
    "font_outlines.py": ["matplotlib/_font_outlines.py"],
    "ft2font.py": ["matplotlib/ft2font.py"],
    "image.py": ["matplotlib/_image.py"],
    "kiwisolver.py": ["kiwisolver.py"],
    "missing.py": [
        "fontTools/__init__.py",
        "fontTools/agl.py",
        "matplotlib/_qhull.py",
        "matplotlib/_tri.py",
    ],
    "path.py": ["matplotlib/_path.py"],
    "pil.py": ["PIL/__init__.py"],
    "pil_image.py": ["PIL/Image.py"],
    "pil_rest.py": [
        "PIL/features.py",
        "PIL/ImageDraw.py",
        "PIL/ImageFont.py",
        "PIL/PngImagePlugin.py",
    ],
    "safetensors_rust.py": ["safetensors/_safetensors_rust.py"],
}
PACKAGES = (
    "cycler",
    "dateutil",
    "docstring_parser",
    "matplotlib",
    "packaging",
    "pyparsing",
    "safetensors",
    "tqdm",
    "typeguard",
    "typing_extensions.py",
    "tyro",
)
DATA = ("matplotlib/mpl-data/matplotlibrc", "matplotlib/mpl-data/fonts/ttf/LICENSE_*")
LEFT_OUT = (
    "*/tests/*",
    "*/testing/*",
    "*/sphinxext/*",
    "matplotlib/animation.py",
    "matplotlib/backends/*",
    "matplotlib/mpl-data/*",
    "safetensors/[!_n]*",  # for other frameworks
    "tqdm/contrib/*",
)
BACKENDS = ("__init__.py", "registry.py", "backend_agg.py", "backend_mixed.py", "backend_svg.py")
UNUSED_FONTS = ("*Serif*", "*Mono*Oblique*", "LastResort*")

# matplotlib as it is looks through all folders for fonts, draws pixels, and loads what is 3-D
CHANGES = {
    "matplotlib/font_manager.py": [
        (
            "\nfontManager = _load_fontmanager()\n",
            '\nfontManager = json_load(cbook._get_data_path("fontlist.json"))\n',
        )
    ],
    "matplotlib/projections/__init__.py": [
        ("    from mpl_toolkits.mplot3d import Axes3D\n", "    Axes3D = None  # takes long\n")
    ],
}

SETTINGS = {  # in matplotlib's own file of settings
    "backend": "svg",
    "savefig.format": "svg",
    "figure.dpi": "72",  # an SVG's; a figure that has another measures its first label wrongly
    "font.enable_last_resort": "False",  # a large font, which shows a box for a missing letter
}


def build(folder: Path) -> Path:
    """Write drawing.zip, or copy it, if it has been made of the same parts before.

    Args:
        folder: Where to.

    Returns:
        The file.

    Raises:
        RuntimeError: pip cannot get the wheels, or Node cannot compile their files.
    """
    from bundle import write_archive  # which itself imports this module

    key = hashlib.sha256()
    for part in (HERE / "wheels.txt", *sorted(STANDINS.glob("*.py")), *PROGRAMS):
        key.update(part.read_bytes())
    made = CACHE / f"drawing-{key.hexdigest()[:16]}.zip"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=CACHE) as own:  # two builds may run at once
            sources, compiled = Path(own, "sources.zip"), Path(own, "compiled.zip")
            write_archive(sources, drawing_files(wheel_files(download())))
            _run(["node", str(HERE / "compile.mjs"), str(sources), str(compiled)])
            compiled.replace(made)
    return Path(shutil.copy(made, folder / "drawing.zip"))


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        shown = "\n".join(line[:200] for line in ended.stderr.splitlines()[-20:])
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{shown}")


def download() -> list[Path]:
    """The wheels of wheels.txt, from a cache or the package index.

    Raises:
        RuntimeError: pip cannot get them.
    """
    wanted = HERE / "wheels.txt"
    folder = CACHE / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--python-version", "3.12"]
        for platform in ("manylinux_2_17_x86_64", "manylinux_2_28_x86_64"):
            command += ["--platform", platform]
        unfinished = folder.with_suffix(".unfinished")
        _run([*command, "--dest", str(unfinished), "--requirement", str(wanted)])
        unfinished.rename(folder)
    return sorted(folder.glob("*.whl"))


def wheel_files(wheels: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """All files of wheels, by their names in site-packages."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield name, archive.read(name)


def drawing_files(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """What goes into drawing.zip, by names in site-packages.

    Args:
        files: All files of the packages in wheels.txt.

    Raises:
        ValueError: A file is not as `CHANGES` expects it.
    """
    fonts = []
    for name, content in sorted(files):
        if name.startswith(FONTS) and name.endswith(".ttf"):
            if not any(PurePosixPath(name).match(each) for each in UNUSED_FONTS):
                table = font_table(content)
                fonts.append(_font_entry(name, table))
                yield name.removesuffix("ttf") + "json", table
        elif _is_needed(name):
            yield name, _changed(name, content)
    listed: dict[str, Any] = {"_version": "browser", "_FontManager__default_weight": "normal"}
    listed |= {"default_size": None, "afmlist": [], "ttflist": fonts, "__class__": "FontManager"}
    listed |= {"defaultFamily": {"ttf": "DejaVu Sans", "afm": "Helvetica"}}
    yield "matplotlib/mpl-data/fontlist.json", json.dumps(listed).encode()
    for name, places in PLACES.items():
        content = (STANDINS / name).read_bytes()
        yield from ((place, content) for place in places)


def _is_needed(name: str) -> bool:
    path = PurePosixPath(name)
    if path.parts[0] not in PACKAGES:
        return False
    if path.parts[:2] == ("matplotlib", "backends") and len(path.parts) == 3:
        return path.name in BACKENDS
    if any(path.match(each) for each in DATA):
        return True
    return path.suffix == ".py" and not any(fnmatchcase(name, each) for each in LEFT_OUT)


def _changed(name: str, content: bytes) -> bytes:
    changes = [(re.escape(old), new) for old, new in CHANGES.get(name, ())]
    if name.endswith("/matplotlibrc"):
        changes = [(rf"\n#+{key}:.*", f"\n#{key}: {value}") for key, value in SETTINGS.items()]
    text = content.decode()
    for old, new in changes:
        text, count = re.subn(old, new, text)
        if count != 1:
            raise ValueError(f"drawing_bundle: {name} has {count} places like {old}, not one")
    return text.encode()


def _font_entry(name: str, table: bytes) -> dict[str, Any]:
    """What matplotlib's list of fonts says of one."""
    font = json.loads(table)
    slanted = "italic" if font["italic"] else "normal"
    return {
        "fname": name.removeprefix("matplotlib/mpl-data/").removesuffix("ttf") + "json",
        "index": 0,
        "name": font["family"],
        "style": "oblique" if "Oblique" in font["style"] else slanted,
        "variant": "normal",
        "weight": 700 if font["bold"] else 400,
        "stretch": "normal",
        "size": "scalable",
        "__class__": "FontEntry",
    }


if __name__ == "__main__":
    made = build(Path(sys.argv[1]))
    print(f"{made}: {made.stat().st_size / 1e6:.2f} MB")
