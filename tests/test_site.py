"""The pages of the built site in a browser: `python -m pytest -m site`, in a quarter of an hour.

The scripts in tests/site/ open pages in Chromium and say what they see; here it is judged. What
runs in the pages is tested in test_site_live.py. SITE=FOLDER takes a site that is built already.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from browser import LOADING, MARKS, ROOT, Fact, assert_none, of_kind, say, served

for place in ("docs/site", "docs/course"):
    sys.path.insert(0, str(ROOT / place))
links = importlib.import_module("links")
run = importlib.import_module("run")

pytestmark = MARKS
DOCS = ROOT / "docs"
CHAPTERS = sorted((DOCS / "course").glob("[0-9]*.md"))
LISTS = ("genindex.html", "py-modindex.html")  # Sphinx's own, of links alone
READABLE = 3.0  # seconds until a page is there: 1 on an idle machine, and tests keep it busy


@pytest.fixture(scope="session")
def pages(site_folder: Path) -> list[str]:
    """All pages, by their paths in the site."""
    found = [path.relative_to(site_folder).as_posix() for path in site_folder.rglob("*.html")]
    return sorted(name for name in found if name not in LISTS and not name.startswith("_static/"))


# How pages look

LOOKS = {
    "loads": LOADING,
    "fits into 390 pixels": ["width"],
    "has room for 100 columns": ["code"],
    "has formulas beside their numbers": ["tag"],
    "says what its pictures show": ["image"],
    "is accessible": ["axe"],
}


THEMES = ["light", "dark"]


def is_source(page: str) -> bool:
    """Whether it is one of the pages of source code, which are all alike."""
    return page.startswith("source/")


View = tuple[str, list[tuple[int, list[str] | None]]]


def views(pages: list[str]) -> list[View]:
    """At which widths pages are looked at, and in which themes axe looks at their colours.

    A narrow page has the colours of a wide one; only its header is another, on all pages the same.
    Of source code axe sees every tenth page, and chapters when their cells have run (cells.mjs).
    """
    found: list[View] = []
    for number, page in enumerate(sorted(pages, key=is_source)):
        if fnmatch(page, "course/[0-9]*") or (is_source(page) and number % 10):
            found.append((page, [(1280, None), (390, None)]))
        else:
            found.append((page, [(1280, THEMES), (390, THEMES if page == "index.html" else [])]))
    return found


@pytest.fixture(scope="module")
def looked(site: str, pages: list[str]) -> list[Fact]:
    """What is seen of all pages."""
    return say("pages.mjs", site=site, views=views(pages))


@pytest.mark.parametrize("kinds", LOOKS.values(), ids=LOOKS)
def test_every_page(kinds: list[str], looked: list[Fact], pages: list[str]) -> None:
    assert {fact["page"] for fact in of_kind(looked, "opened")} == set(pages)
    assert_none(looked, *kinds)


def test_every_page_can_soon_be_read(looked: list[Fact]) -> None:
    opened = of_kind(looked, "opened")
    slowest = max(opened, key=lambda fact: fact["seconds"])
    print(f"the slowest page: {slowest['page']}, {slowest['seconds']:.2f} s")
    assert slowest["seconds"] < READABLE, f"{slowest['page']}: {slowest['seconds']:.2f} s"


def test_no_page_loads_much(looked: list[Fact], site_folder: Path, site: str) -> None:
    for fact in of_kind(looked, "opened"):
        urls = [url.partition("?")[0] for url in fact["loaded"] if url.startswith(site)]
        weight = sum(links.sent(site_folder / url.removeprefix(site)) for url in set(urls))
        limits = [n for pattern, n in links.LIMITS.items() if fnmatch(fact["page"], pattern)]
        assert weight < min(limits, default=links.ALL), f"{fact['page']}: {weight // 1024} KiB"


FAULTS = {
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
MORE = {"request": {"console", "image"}, "host": {"console", "image"}}  # what these bring with them


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> list[Fact]:
    """What is seen of small pages, each of which has one fault."""
    folder = tmp_path_factory.mktemp("faulty")
    for name, body in FAULTS.items():
        write(folder / f"{name}.html", body)
    with served(folder) as address:
        return say("pages.mjs", site=address, views=views([f"{name}.html" for name in FAULTS]))


def write(path: Path, body: str) -> None:
    """Write a small page."""
    page = (
        "<!doctype html><html lang=en><title>a page</title><link rel=icon href='data:,'>"
        f"<main><article>{body}</article></main></html>"
    )
    path.write_text(page, encoding="utf-8")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str, faulty: list[Fact]) -> None:
    seen = {fact["kind"] for fact in faulty if fact["page"] == f"{name}.html"} - {"opened"}
    kind = name.partition(" ")[0]
    expected = {kind} - {"sound"}
    assert expected <= seen <= expected | MORE.get(kind, set())


# Without JavaScript


@pytest.fixture(scope="module")
def book(pages: list[str]) -> list[str]:
    """All pages of text, and every tenth of source code."""
    sources = [page for page in pages if is_source(page)]
    return [page for page in pages if not is_source(page)] + sources[::10]


@pytest.fixture(scope="module")
def read(site: str, book: list[str]) -> list[Fact]:
    """What is there to be read with JavaScript switched off."""
    return say("noscript.mjs", site=site, pages=book)


def test_pages_are_a_book_without_javascript(read: list[Fact], book: list[str]) -> None:
    assert {fact["page"] for fact in of_kind(read, "text")} == set(book)
    assert_none(read, *LOADING, "control", "empty")


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_a_chapter_is_whole_without_javascript(chapter: Path, read: list[Fact]) -> None:
    [fact] = [f for f in of_kind(read, "text") if f["page"] == f"course/{chapter.stem}.html"]
    text = " ".join(fact["text"].split())
    cells = run.cells_of(chapter)
    for cell in cells:
        for part in (cell.code, cell.output or ""):
            assert " ".join(part.split()) in text, f"{chapter.name}:{cell.line}: {part}"
    assert fact["pictures"] >= sum(cell.picture is not None for cell in cells)
    source = re.sub(r"^```.*?^```$", "", chapter.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert fact["formulas"] == source.count("$$") / 2
    for title in re.findall(r"^#+ ([^$`\[\n]*)$", source, flags=re.M):
        assert title in text


def test_what_needs_javascript_is_seen(tmp_path: Path) -> None:
    write(tmp_path / "a.html", "<button>Run</button><div style='height: 9px'></div><p>text</p>")
    with served(tmp_path) as address:
        facts = say("noscript.mjs", site=address, pages=["a.html"])
    assert [fact["kind"] for fact in facts] == ["text", "control", "empty"]


# Search and downloads

FOUND = {
    "palindrome": "course/09-lstm.html",
    "broadcasting": "course/02-arrays.html",
    "discriminator": "course/10-gan.html",
    "checkpoint": "howto/",
    "clip_grad_norm_": "reference/",
}


def test_search_finds_pages_by_their_words(site: str) -> None:
    facts = say("search.mjs", site=site, words=[*FOUND])
    assert_none(facts, *LOADING)
    found = {fact["word"]: fact["pages"] for fact in of_kind(facts, "found")}
    for word, page in FOUND.items():
        assert any(f"{site}{page}" in url for url in found[word]), f"{word}: {found[word]}"


def test_each_chapter_is_a_notebook(site_folder: Path) -> None:
    nbformat = importlib.import_module("nbformat")
    for chapter in CHAPTERS:
        page = site_folder / "course" / f"{chapter.stem}.html"
        [target] = re.findall(r'href="([^"]+\.ipynb)"', page.read_text(encoding="utf-8"))
        notebook = nbformat.read(page.parent / target, as_version=4)
        nbformat.validate(notebook)
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        assert code == [cell.code for cell in run.cells_of(chapter)]


def test_a_notebook_runs(site_folder: Path, tmp_path: Path) -> None:
    notebook = site_folder / "course" / "01-graph.ipynb"
    command = [
        "import sys, nbformat, nbclient",
        "notebook = nbformat.read(sys.argv[1], as_version=4)",
        "place = {'metadata': {'path': sys.argv[2]}}",
        "nbclient.NotebookClient(notebook, resources=place, kernel_name='python3').execute()",
        "nbformat.write(notebook, sys.argv[3])",
    ]
    done = tmp_path / "done.ipynb"
    subprocess.run(
        [sys.executable, "-c", "\n".join(command), notebook, DOCS / "course", done], check=True
    )
    nbformat = importlib.import_module("nbformat")
    cells = [c for c in nbformat.read(done, as_version=4).cells if c.cell_type == "code"]
    for cell, expected in zip(cells, run.cells_of(DOCS / "course" / "01-graph.md"), strict=True):
        if expected.output and "raises-exception" not in expected.tags:
            shown = "".join(o.get("text") or o["data"]["text/plain"] for o in cell.outputs)
            varies = "varies" in expected.tags
            assert run.same_text(shown, expected.output, varies), expected.line
