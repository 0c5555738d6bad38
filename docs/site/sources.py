"""Files of the repository as pages, so that links to them lead somewhere within the site.

A page says [engine.py](../../minigrad/engine.py), which is right on any host of the repository. On
the site the link leads to source/minigrad/engine.py.html, the file with its lines numbered. So does
the link of each name in the reference to its source.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.filter import simplefilter
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.token import Name, Punctuation, Text, Whitespace, _TokenType
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms import SphinxTransform
from sphinx.util.osutil import relative_uri

ROOT = Path(__file__).parent.parent.parent
NUMBER = re.compile(
    r'<a id="(L-\d+)" name="\1"></a><a href="#\1"><span class="linenos">( *\d+)</span></a>'
)  # one element does, and a page weighs a tenth less
PLAIN = {Name, Name.Namespace, Punctuation, Whitespace}  # in the styles of docs/conf.py
Page = tuple[str, dict[str, Any], str]
Tokens = Iterable[tuple[_TokenType, str]]


class LinksToFiles(SphinxTransform):
    """Lead each link to a file or folder that is no page to the page of that file."""

    default_priority = 10

    def apply(self, **options: Any) -> None:
        """Replace the links, and note the files."""
        for link in list(self.document.findall(addnodes.download_reference)):
            self._lead(link)
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link.get("reftype") == "myst" and link["reftarget"] not in self.env.found_docs:
                self._lead(link)

    def _lead(self, link: nodes.Element) -> None:
        target = link["reftarget"]
        path = Path(os.path.normpath(self.env.relfn2path(target)[1]))
        if link.get("refdomain") == "doc":  # so MyST calls each .md file, also outside docs/
            path = self.env.srcdir / f"{target}.md"
        if not path.exists() or ROOT not in path.parents:
            return
        link.replace_self(link_to(self.app, path, *link.children))


def link_to(app: Sphinx, path: Path, *children: nodes.Node, line: int = 0) -> nodes.reference:
    """A link from the page that is read to a file, which becomes a page."""
    here = app.env.docname
    app.env.metadata[here].setdefault("files", []).append(path.relative_to(ROOT).as_posix())
    pages = app.builder.get_target_uri(here), app.builder.get_target_uri(page_of(path))
    uri = relative_uri(*pages) + (f"#L-{line}" if line else "")
    return nodes.reference("", "", *children, refuri=uri, internal=True)


def link_definitions(app: Sphinx, doctree: nodes.document) -> None:
    """Give each name in the reference a link to the lines that define it."""
    for signature in doctree.findall(addnodes.desc_signature):
        if not signature.get("module"):
            continue  # a module itself
        found = definition(signature["module"], signature["fullname"])
        if found is not None:
            text = nodes.inline("", "[source]", classes=["viewcode-link"])
            signature += link_to(app, found[0], text, line=found[1])


def definition(module: str, name: str) -> tuple[Path, int] | None:
    """The file and the line in which a name is defined; None for what is no class or function."""
    owner = getattr(importlib.import_module(module), name.partition(".")[0])
    source = getattr(owner, "__module__", None)
    if source is None:
        return None
    analyzer = ModuleAnalyzer.for_module(source)
    analyzer.find_tags()
    if name not in analyzer.tags:
        return None
    return Path(analyzer.srcname).resolve(), analyzer.tags[name][1]


def page_of(path: Path) -> str:
    """The name of a file's page, or of a folder's."""
    return f"source/{path.relative_to(ROOT).as_posix()}"


def pages(app: Sphinx) -> Iterator[Page]:
    """A page for each file that is linked, and for each file of a folder that is linked."""
    linked = {ROOT / name for data in app.env.metadata.values() for name in data.get("files", [])}
    folders = {path for path in linked if path.is_dir()}
    for folder in folders:
        linked |= {path for path in folder.iterdir() if path.is_file()}
    for path in sorted(linked):
        body = list_of(path) if path.is_dir() else code_of(path)
        title = path.relative_to(ROOT).as_posix()
        heading = re.sub("[/_]", r"\g<0><wbr>", escape(title))  # where a long path may be broken
        body = f"<h1>{heading}</h1>\n{body}"
        yield page_of(path), {"title": title, "body": body}, "page.html"


def list_of(folder: Path) -> str:
    """A folder's files as links."""
    names = [escape(path.name) for path in sorted(folder.iterdir()) if path.is_file()]
    items = (f'<li><a href="{folder.name}/{name}.html">{name}</a></li>' for name in names)
    return f"<ul>{''.join(items)}</ul>"


def code_of(path: Path) -> str:
    """A file's text with its lines numbered; line 7 has the anchor L-7."""
    try:
        lexer = get_lexer_for_filename(path.name, stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_for_filename("plain.txt", stripnl=False)
    lexer.add_filter(plain())
    formatter = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True)
    text: str = highlight(path.read_text(encoding="utf-8"), lexer, formatter)
    text = NUMBER.sub(r'<a id="\1" href="#\1" class="linenos">\2</a>', text)
    return f'<div class="source-code">{text}</div>'


@simplefilter  # type: ignore[untyped-decorator]
def plain(
    _self: object, _lexer: object, stream: Tokens, _options: object
) -> Iterator[tuple[_TokenType, str]]:
    """Give no element to what has the colour of plain text; a page weighs a third less."""
    for kind, value in stream:
        yield (Text if kind in PLAIN else kind), value


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the links and the pages."""
    app.add_transform(LinksToFiles)
    app.connect("doctree-read", link_definitions)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
