"""The built site in a browser: `python -m pytest -m site`, in a quarter of an hour.

The scripts in tests/site/ open pages in Chromium and say what they see; here it is judged. The site
is built once; SITE=FOLDER takes one that is built already.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import MARKS, ROOT, Fact, say, served

sys.path.insert(0, str(ROOT / "docs" / "course"))
run = importlib.import_module("run")

pytestmark = MARKS
COURSE = ROOT / "docs" / "course"
CHAPTERS = sorted(COURSE.glob("[0-9]*.md"))
NAMES = [chapter.stem for chapter in CHAPTERS]
NO_TEXT = ("genindex.html", "py-modindex.html")  # Sphinx's lists of links
READABLE = 3.0  # seconds until a page is there: 1 on an idle machine, and tests keep it busy
LIMIT = 420  # seconds for all cells of a page; the slowest take a third of it on two busy cores


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"]).resolve()
    out = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, ROOT / "docs" / "site" / "build.py", "--out", out]
    built = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if built.returncode:
        pytest.fail(f"the site cannot be built:\n{built.stdout}\n{built.stderr}", pytrace=False)
    return out


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[str]:
    """Its address."""
    with served(folder) as address:
        yield address


@pytest.fixture(scope="session")
def pages(folder: Path) -> list[str]:
    """All pages, by their paths in the site."""
    found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
    return [name for name in found if name not in NO_TEXT and not name.startswith("_static/")]


def told(facts: list[Fact]) -> str:
    """Facts as lines, for the message of a test that fails."""
    keys = ("page", "width", "theme", "kind", "text")
    return "\n".join(" ".join(str(fact[k]) for k in keys if k in fact) for fact in facts)


def of_kind(facts: list[Fact], *kinds: str) -> list[Fact]:
    """The facts of some kinds."""
    return [fact for fact in facts if fact.get("kind") in kinds]


LOADING = ("console", "error", "request", "host", "stuck")  # the faults that any script may say


# How pages look

LOOKS = {
    "loads": LOADING,
    "fits into 390 pixels": ("width",),
    "has lines of 100 columns": ("code",),
    "has formulas beside their numbers": ("tag",),
    "says what its pictures show": ("image",),
    "is accessible": ("axe",),
}


@pytest.fixture(scope="session")
def looked(site: str, pages: list[str]) -> list[Fact]:
    """What is seen of all pages, at two widths, light and dark."""
    return say("pages.mjs", site=site, pages=pages)


@pytest.mark.parametrize("kinds", LOOKS.values(), ids=LOOKS)
def test_every_page(kinds: tuple[str, ...], looked: list[Fact], pages: list[str]) -> None:
    assert {fact["page"] for fact in of_kind(looked, "opened")} == set(pages)
    faults = of_kind(looked, *kinds)
    assert not faults, told(faults)


def test_every_page_can_soon_be_read(looked: list[Fact]) -> None:
    seconds: dict[str, float] = {}
    for fact in of_kind(looked, "opened"):
        seconds[fact["page"]] = min(fact["seconds"], seconds.get(fact["page"], np.inf))
    slowest = max(seconds, key=seconds.__getitem__)
    print(f"slowest: {slowest}, {seconds[slowest]:.2f} s")
    assert seconds[slowest] < READABLE, f"{slowest}: {seconds[slowest]:.2f} s"


FAULTY = {
    "sound": "<p>Nothing is wrong here.</p>",
    "console": "<script>console.error('wrong')</script>",
    "error": "<script>throw Error('wrong')</script>",
    "request": "<img src='no.png' alt='a picture'>",
    "host": "<img src='http://192.0.2.1/a.png' alt='a picture'>",
    "host of a worker": "<script>new Worker(URL.createObjectURL(new Blob("
    "[\"fetch('http://192.0.2.1/').catch(() => 0)\"])))</script>",
    "width": "<div style='width: 500px'>wide</div>",
    "code": f"<pre tabindex=0 style='width: 300px; overflow: auto'>{'x' * 90}</pre>",
    "tag": "<div class='katex-html'><span class='base'>x = 1</span>"
    "<span class='tag' style='position: absolute; left: 8px'>(1)</span></div>",
    "image": "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' alt=''>",
    "axe": "<p style='color: #999; background: #fff'>pale</p>",
    "axe in the dark": "<style>@media (prefers-color-scheme: dark) "
    "{ p { color: #333; background: #000 } }</style><p>dark</p>",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> list[Fact]:
    """What is seen of small pages, each of which has one fault."""
    folder = tmp_path_factory.mktemp("faulty")
    for name, body in FAULTY.items():
        page = (
            "<!doctype html><html lang=en><title>a page</title>"
            f"<link rel=icon href='data:,'><main><article>{body}</article></main></html>"
        )
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    with served(folder) as address:
        return say("pages.mjs", site=address, pages=[f"{name}.html" for name in FAULTY])


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_seen(name: str, faulty: list[Fact]) -> None:
    seen = {fact["kind"] for fact in faulty if fact["page"] == f"{name}.html"} - {"opened"}
    also = {"request": {"console", "image"}, "host": {"console", "image", "request"}}
    expected = name.partition(" ")[0]
    if expected == "sound":
        assert not seen
    else:
        assert expected in seen and seen <= {expected} | also.get(expected, set()), seen
