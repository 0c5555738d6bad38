"""Build the site: `python docs/site/build.py`, after `pip install -e ".[docs]"`.

It runs the cells of the course and compares them with what the pages say, makes what the reader's
browser loads, lets Sphinx make the pages, and checks every link. A failure in any of these leaves
the site that was there before.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent
ROOT = DOCS.parent
WORK = ROOT / "build" / "site"  # what makes the next build faster; may be deleted
PROCESSES = 2
REMEDY = (
    "The site needs Node 20 or newer with npm (https://nodejs.org), and at its first build "
    "the registry of npm. Mend that, and call this again."
)


class BuildError(Exception):
    """A stage failed.

    Attributes:
        code: The exit code: 2 if something has to be installed first.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say how long a stage took, in its line."""
    start = time.perf_counter()
    print(f"{name} ...", end="", flush=True)
    try:
        yield
    finally:
        print(f" {time.perf_counter() - start:.1f} s", flush=True)


def digest(parts: Iterable[str], files: Iterable[Path]) -> str:
    """A key that changes with any of the texts and files."""
    found = hashlib.sha256("\n".join(parts).encode())
    for path in files:
        found.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:20]


def versions(*packages: str) -> list[str]:
    """The versions of Python and of packages, where they are installed."""
    found = {d.name.lower(): d.version for d in importlib.metadata.distributions()}
    return [platform.python_version(), *(f"{p} {found.get(p)}" for p in packages)]


# what npm brings


def install_packages() -> None:
    """Call `npm ci` where docs/site/node_modules does not fit the lock file.

    Raises:
        BuildError: There is no Node, or npm fails.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise BuildError(f"There is no {program}. {REMEDY}", 2)
    if installed() == wanted():
        return
    called = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, capture_output=True, text=True
    )
    if called.returncode:
        raise BuildError(f"{called.stderr}\n`npm ci` failed in {HERE}. {REMEDY}", 2)


def wanted() -> dict[str, str]:
    """The packages of the lock file with their versions, without those of other systems."""
    return _versions(HERE / "package-lock.json")


def installed() -> dict[str, str]:
    """The packages in node_modules with their versions, by npm's own list."""
    path = HERE / "node_modules" / ".package-lock.json"
    return _versions(path) if path.exists() else {}


def _versions(lock: Path) -> dict[str, str]:
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {n: p["version"] for n, p in packages.items() if n and not p.get("optional")}


# the cells of the course


def check_cells() -> None:
    """Run the chapters that have changed since they last showed what they say.

    Raises:
        BuildError: A cell fails, or shows something else than its page says.
    """
    course = DOCS / "course"
    pages = sorted(course.glob("[0-9]*.md"), reverse=True)  # the later, the longer
    shared = [*course.rglob("*.py"), *(DOCS / "steps").glob("*.py"), *package_files()]
    rest = digest(versions("numpy", "matplotlib", "pillow", "numba"), sorted(shared))
    kept = WORK / "cells"
    kept.mkdir(parents=True, exist_ok=True)
    marks = {}
    for page in pages:
        pictures = sorted((course / "pictures").glob(f"{page.stem[:2]}-*"))
        marks[page] = kept / f"{page.stem}-{digest([rest], [page, *pictures])}"
    for old in set(kept.iterdir()) - set(marks.values()):
        old.unlink()
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = pool.map(check_page, (page for page in pages if not marks[page].exists()))
        failures = []
        for page, problem in results:
            if problem:
                failures.append(problem)
            else:
                marks[page].touch()
    if failures:
        raise BuildError("\n\n".join(failures))


def package_files() -> list[Path]:
    """The files of minigrad/, models/ and train/ that cells may read."""
    folders = (ROOT / name for name in ("minigrad", "models", "train"))
    files = (path for folder in folders for path in folder.rglob("*"))
    return [path for path in files if path.is_file() and "__pycache__" not in path.parts]


def check_page(page: Path) -> tuple[Path, str]:
    """Run a page in a process of its own; what is wrong with it, or nothing."""
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    called = subprocess.run(
        [sys.executable, DOCS / "course" / "run.py", page],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=one | os.environ,
    )
    return page, called.stdout + called.stderr if called.returncode else ""


# the pages


def build_pages(html: Path) -> None:
    """Call Sphinx; pages that have not changed are not read anew.

    Raises:
        BuildError: Sphinx warns of something.
    """
    key = digest(versions("sphinx", "myst-nb", "furo"), [DOCS / "conf.py", *HERE.glob("*.py")])
    doctrees = WORK / f"doctrees-{key}"
    for old in set(WORK.glob("doctrees-*")) - {doctrees}:
        shutil.rmtree(old)
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--jobs", str(PROCESSES)]
    called = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", doctrees, DOCS, html], cwd=ROOT
    )
    if called.returncode:
        raise BuildError("Sphinx warns; each warning above has its page and line.")


def lighten_pictures(folder: Path) -> None:
    """Write the pictures that have more colours anew, as docs/course/run.py writes its own."""
    sys.path.insert(0, str(DOCS / "course"))
    from PIL import Image
    from run import compressed

    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            is_light = picture.mode == "P"
        if not is_light:
            path.write_bytes(compressed(path.read_bytes()))


# all of it


def build(out: Path) -> None:
    """Build the site, and put it into a folder.

    Raises:
        BuildError: A stage failed. What was in the folder is still there.
    """
    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        raise BuildError(f"{out} has files, but no site. Name an empty folder, or none.", 2)
    with stage("Packages of npm"):
        install_packages()
    html = WORK / "html"
    shutil.rmtree(html, ignore_errors=True)
    with stage("Cells of the course"):
        check_cells()
    with stage("Pages"):
        build_pages(html)
        lighten_pictures(html / "_images")
    sys.path.insert(0, str(HERE))
    import bundle
    import links

    with stage("Python for the browser"):
        bundle.build(html / "_static" / "python")
        bundle.editor(html)
    with stage("Links and weights"):
        problems = [*links.problems(html), *links.too_heavy(html)]
    print(links.summary(html))
    if problems:
        raise BuildError("\n".join(problems))
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(html, out)


def main() -> int:
    """Build the site; say what is wrong and what to do."""
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="where to; site/")
    out = parser.parse_args().out.resolve()
    try:
        build(out)
    except BuildError as error:
        print(f"\n{error}\nThere is no new site.", file=sys.stderr)
        return error.code
    print(f"The site is in {out}. To look at it on http://localhost:8000:")
    print(f"  python -m http.server -d {os.path.relpath(out)} 8000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
