"""What is wrong with a built site: `python docs/site/links.py site`.

Every link within the site has to lead to a file and, with an anchor, to a place in it. No page may
load anything from another host; it may link to one, for reading. No page may be too heavy.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

KIB = 1024
LIMITS = {"index.html": 300 * KIB, "course/*.html": 700 * KIB, "reference/*.html": 700 * KIB}
ALL = 40 * KIB * KIB  # on the disk; a page is weighed as it is sent
TEXT = {".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt", ".ipynb"}  # what a host compresses
LINKS = {("a", "href"), ("area", "href")}  # followed by a reader's click only
LOADS = {"src", "href", "poster", "data", "srcset", "action", "xlink:href"}
FONTS = {  # of KaTeX, with the classes by which its style sheet asks for them
    "Main-Regular": "katex",
    "Main-Bold": "mathbf|textbf",
    "Main-Italic": "mathit|textit",
    "Math-Italic": "mathnormal",
    "Math-BoldItalic": "boldsymbol",
    "AMS-Regular": "amsrm|mathbb|textbb",
    "Caligraphic-Regular": "mathcal",
    "SansSerif-Regular": "mathsf|textsf",
    "Typewriter-Regular": "mathtt|texttt",
    "Size1-Regular": "delimsizing size1|delim-size1|op-symbol small-op",
    "Size2-Regular": "delimsizing size2|op-symbol large-op",
    "Size3-Regular": "delimsizing size3",
    "Size4-Regular": "delimsizing size4|delim-size4",
}
IN_CSS = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")
IN_JS = re.compile(
    r"(?:\bfrom\s*|\bimport\s*\(?\s*|\bfetch\(\s*|\bimportScripts\(\s*|\bWorker\(\s*|\.src\s*=\s*)"
    r"[\"'`]((?:https?:|wss?:)?//[^\"'`]+)"
)


class Page(HTMLParser):
    """What a page says of others: its links, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[int, str]] = []
        self.loads: list[tuple[int, str]] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the attributes of a tag that name something."""
        line = self.getpos()[0]
        facts = dict(attrs)
        for name, value in facts.items():
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif (tag, name) in LINKS and value is not None:
                self.links.append((line, value))
            elif name in LOADS and value and "canonical" not in (facts.get("rel") or ""):
                urls = [part.split()[0] for part in value.split(",")] if "set" in name else [value]
                self.loads += [(line, url) for url in urls]
            elif name == "style" and value:
                self.loads += [(line, url) for url in urls_of_css(value)]


def urls_of_css(text: str) -> list[str]:
    """What a style sheet loads."""
    return [a or b for a, b in IN_CSS.findall(text)]


@cache
def page_of(path: Path) -> Page:
    """A page, read once."""
    return Page(path.read_text(encoding="utf-8"))


def problems(site: Path) -> Iterator[str]:
    """What is wrong with the links of a site, each with its file and line."""
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.suffix == ".html":
            page = page_of(path)
            for line, url in page.links + page.loads:
                problem = fault_of(site, path, url, loads=(line, url) in page.loads)
                if problem:
                    yield f"{name}:{line}: {problem}"
        elif path.suffix in (".css", ".js", ".mjs"):
            for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                found = urls_of_css(text) if path.suffix == ".css" else IN_JS.findall(text)
                for url in found:
                    problem = fault_of(site, path, url, loads=True)
                    if problem:
                        yield f"{name}:{number}: {problem}"


def fault_of(site: Path, path: Path, url: str, loads: bool) -> str | None:
    """What is wrong with one link of a file; None if nothing is."""
    parts = urlsplit(url)
    if parts.scheme in ("data", "mailto", "javascript", "blob"):
        return None
    if parts.scheme or parts.netloc:
        return f"loads {url} from another host" if loads else None
    target = path
    if parts.path:
        start = site if parts.path.startswith("/") else path.parent
        target = (start / unquote(parts.path).lstrip("/")).resolve()
        target = target / "index.html" if target.is_dir() else target
    if not target.is_relative_to(site.resolve()) and parts.path:
        return f"{url} leads out of the site"
    if not target.is_file():
        return f"{url} leads nowhere: there is no {target.relative_to(site.resolve())}"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in page_of(target).anchors:
        return f"{url} leads nowhere: {target.name} has no place #{anchor}"
    return None


# weights


@cache
def sent(path: Path) -> int:
    """The bytes that a host sends for a file, which compresses text."""
    content = path.read_bytes()
    return len(gzip.compress(content, 6)) if path.suffix in TEXT else len(content)


def weight(site: Path, path: Path) -> int:
    """The bytes sent for a page with all its pictures, scripts, style sheets and fonts."""
    loaded, wanted = set(), [path]
    while wanted:
        file = wanted.pop()
        if file in loaded or not file.is_file():
            continue
        loaded.add(file)
        urls: list[str] = []
        if file.suffix == ".html":
            urls = [url for _, url in page_of(file).loads]
            wanted += fonts_of(site, file)
        elif file.suffix in (".js", ".mjs"):
            text = file.read_text(encoding="utf-8")
            urls = re.findall(r"^(?:import|export)\b[^;]*?[\"'](\.[^\"']+)[\"']", text, re.M)
        parts = [urlsplit(url) for url in urls]
        wanted += [
            (file.parent / unquote(part.path)).resolve()
            for part in parts
            if not part.scheme and not part.netloc and not part.path.endswith(".html")
        ]
    return sum(map(sent, loaded))


def fonts_of(site: Path, page: Path) -> list[Path]:
    """The fonts that the formulas of a page need."""
    text, folder = page.read_text(encoding="utf-8"), site / "_static" / "katex" / "fonts"
    asked = {
        name: re.search(rf'class="(?:[^"]* )?(?:{classes})[ "]', text)
        for name, classes in FONTS.items()
    }
    return [folder / f"KaTeX_{name}.woff2" for name, found in asked.items() if found]


def weights(site: Path) -> dict[str, int]:
    """The weight of each page that has a limit."""
    pages = {path for pattern in LIMITS for path in site.glob(pattern)}
    return {p.relative_to(site).as_posix(): weight(site.resolve(), p) for p in sorted(pages)}


def too_heavy(site: Path) -> Iterator[str]:
    """The pages that weigh more than they may, and the site if it does."""
    for name, bytes_ in weights(site).items():
        [limit] = [limit for pattern, limit in LIMITS.items() if fnmatch(name, pattern)]
        if bytes_ > limit:
            yield f"{name}: {bytes_ // KIB} KiB are sent, more than {limit // KIB}"
    everything = sum(path.stat().st_size for path in files(site))
    if everything > ALL:
        yield f"all files have {mib(everything)}, more than {mib(ALL)}"


def files(site: Path) -> list[Path]:
    """All files of a site."""
    return [path for path in site.rglob("*") if path.is_file()]


def mib(bytes_: int) -> str:
    """A number of bytes in MiB."""
    return f"{bytes_ / KIB / KIB:.1f} MiB"


def summary(site: Path) -> str:
    """What was measured, in a line."""
    measured = weights(site)
    heaviest = max(measured, key=lambda name: measured[name])
    first, most = measured["index.html"] // KIB, measured[heaviest] // KIB
    everything, stored = sum(map(sent, files(site))), sum(p.stat().st_size for p in files(site))
    return (
        f"index.html weighs {first} KiB as sent, the heaviest page ({heaviest}) {most} KiB; "
        f"all files together {mib(everything)} as sent, {mib(stored)} on the disk."
    )


def main() -> int:
    """Check a site; the exit code is 1 if something is wrong with it."""
    parser = argparse.ArgumentParser(description="Check the links and the weights of a site.")
    parser.add_argument("site", type=Path, help="the folder that docs/site/build.py has made")
    site = parser.parse_args().site
    print(summary(site))
    found = [*problems(site), *too_heavy(site)]
    print("\n".join(found) or "No link is dead, no page loads from another host or is too heavy.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
