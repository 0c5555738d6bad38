"""What live pages load: Python for the browser, NumPy, and the project itself; and the editor.

pyodide 0.27 is the newest for which a registry has NumPy. Its wheel is emscripten-forge's, packed
anew; see `numpy_archive` and `BACKTRACE`.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import drawing_bundle

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = HERE / "node_modules"

RUNTIME = (
    "pyodide.mjs",
    "pyodide.asm.js",
    "pyodide-lock.json",
    "python_stdlib.zip",
)
PROJECT = (  # what the cells, the exercises and the plays import or read
    "minigrad/**/*.py",
    "minigrad/learn/values/*",
    "models/*.py",
    "train/*.py",
    "docs/course/**/*.py",
    "docs/steps/*.py",
    "docs/tiny.py",
    "docs/benchmarks.md",
)
DATA = (  # read by some cells and plays only
    "minigrad/digits/*",
    "train/judge.safetensors",
    "docs/site/latent/generator.npz",
    "docs/pictures/gan-progress.png",
)
NOT_NEEDED = ("/tests/", "numpy/f2py/", "numpy/distutils/", "__pycache__")

# This NumPy asks for the C stack in arithmetic with temporaries of 256 KiB and more, by a function
# that the browser's C library lacks. The module exports `backtrace`, which finds no frames: 0.
BACKTRACE = bytes.fromhex(
    "0061736d01000000000f0864796c696e6b2e3001040000000001070160027f7f017f03020100070d01"
    "096261636b747261636500000a0601040041000b"
)


def build(folder: Path) -> None:
    """Write all that the worker loads.

    Args:
        folder: Where to, `_static/python` of the site; it is made anew.

    Raises:
        FileNotFoundError: `npm ci` has not been called in docs/site.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in RUNTIME:
        shutil.copy(PACKAGES / "pyodide" / name, folder)
    # a third of its size; worker.js unpacks it, since few hosts compress such files by themselves
    wasm = (PACKAGES / "pyodide" / "pyodide.asm.wasm").read_bytes()
    (folder / "pyodide.asm.wasm.gz").write_bytes(gzip.compress(wasm, mtime=0))
    (folder / "backtrace.so").write_bytes(BACKTRACE)
    (folder / "loops.so").write_bytes(loops())
    write_archive(folder / "numpy.zip", numpy_files())
    write_archive(folder / "project.zip", project_files(PROJECT))
    data = dict(project_files(DATA))
    for name, content in data.items():
        target = folder / "data" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    settings = {"data": sorted(data), "environment": environment()}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    write_archive(folder / "site.zip", ((p.name, p.read_bytes()) for p in site_modules()))
    drawing_bundle.build(folder)


def environment() -> dict[str, str]:
    """The variables of this build that also hold in the browser: whether answers are shown."""
    return {name: os.environ[name] for name in ("MINIGRAD_ANSWERS",) if name in os.environ}


def editor(folder: Path) -> None:
    """Write the editor of the blocks, with all that it imports, as one file.

    Args:
        folder: The site, whose `_static/editor.js` it is.

    Raises:
        FileNotFoundError: `npm ci` has not been called in docs/site.
        subprocess.CalledProcessError: The editor's source is not JavaScript; esbuild says why.
    """
    source, target = HERE / "editor" / "editor.js", folder / "_static" / "editor.js"
    options = [
        "--bundle",
        "--minify",
        "--format=esm",
        "--legal-comments=eof",
        "--log-level=warning",
    ]
    subprocess.run(
        [PACKAGES / ".bin" / "esbuild", source, *options, f"--outfile={target}"], check=True
    )


def loops() -> bytes:
    """The library of docs/site/loops, which docs/site/python/fast_loops.py loads.

    Raises:
        FileNotFoundError: `npm ci` has not been called in docs/site.
        subprocess.CalledProcessError: A file is not AssemblyScript; its compiler says why.
    """
    options = [
        "--importMemory",
        "--noExportMemory",
        "--runtime=stub",
        "--optimizeLevel=3",
        "--noAssert",
        "--enable=simd",
    ]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "loops.wasm"
        compiler, sources = PACKAGES / ".bin" / "asc", sorted((HERE / "loops").glob("*.ts"))
        subprocess.run([compiler, *sources, *options, f"--outFile={target}"], check=True)
        module = target.read_bytes()
    # a library says first what memory it needs of its own: none
    return module[:8] + BACKTRACE[8:25] + module[8:]


def site_modules() -> list[Path]:
    """The modules that run in the worker beside the project."""
    return sorted((HERE / "python").glob("*.py"))


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip file; equal files give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def numpy_files() -> Iterator[tuple[str, bytes]]:
    """NumPy's files by their names in site-packages, without its tests and headers."""
    [package] = (PACKAGES / "@emscripten-forge" / "numpy" / "pkg").glob("numpy-*.tar.gz")
    inside = "lib/python3.12/site-packages/"
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            name = member.name.removeprefix(inside)
            if not member.isfile() or name == member.name:
                continue
            if name.endswith((".pyi", ".h", ".a", ".lib")) or any(x in name for x in NOT_NEEDED):
                continue
            if "_tests.cpython" in name and "_multiarray_tests" not in name:
                continue
            content = archive.extractfile(member)
            assert content is not None  # it is a file
            yield name, content.read()


def project_files(patterns: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The project's files by their paths from its root."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            if "node_modules" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path.read_bytes()


if __name__ == "__main__":
    site = Path(sys.argv[1])
    build(site / "_static" / "python")
    editor(site)
