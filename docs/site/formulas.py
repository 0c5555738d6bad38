"""Formulas as HTML and MathML, made by KaTeX when the site is built.

Each process that reads pages notes their formulas; before the pages are written, one call of Node
renders all of them. A formula that KaTeX refuses is a warning with its page and line.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Set
from html import unescape
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
KATEX = HERE / "node_modules" / "katex" / "dist"
logger = logging.getLogger(__name__)


class Formula(NamedTuple):
    """What KaTeX renders: TeX, and whether it stands in a line of its own."""

    tex: str
    display: bool


def formula_of(node: nodes.Node) -> Formula:
    """The formula of a math node."""
    return Formula(node.astext(), isinstance(node, nodes.math_block))


def render(formulas: list[Formula]) -> list[dict[str, str]]:
    """Each formula as {"html": ...} or {"error": ...}, by one call of Node."""
    made = subprocess.run(
        ["node", HERE / "katex.mjs"],
        input=json.dumps([formula._asdict() for formula in formulas]),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if made.returncode:
        raise RuntimeError(f"node {HERE / 'katex.mjs'} failed:\n{made.stderr}")
    results: list[dict[str, str]] = json.loads(made.stdout)
    return results


# what Sphinx calls


def note(app: Sphinx, doctree: nodes.document) -> None:
    """Note the formulas of a page, each with its line."""
    noted(app.env)[app.env.docname] = [
        (formula_of(node), line_of(node))
        for node in doctree.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))
    ]


def line_of(node: nodes.Node | None) -> int | None:
    """The line of a node, or of what it stands in."""
    while node is not None and not node.line:
        node = node.parent
    return node.line if node is not None else None


def noted(env: BuildEnvironment) -> dict[str, list[tuple[Formula, int | None]]]:
    """The formulas of each page, kept with the pages that were read."""
    formulas: dict[str, list[tuple[Formula, int | None]]]
    formulas = vars(env).setdefault("formulas", {})
    return formulas


def forget(app: Sphinx, env: BuildEnvironment, name: str) -> None:
    """Forget a page that is read anew."""
    noted(env).pop(name, None)


def merge(app: Sphinx, env: BuildEnvironment, names: Set[str], other: BuildEnvironment) -> None:
    """Take over what another process has noted."""
    noted(env).update({name: noted(other)[name] for name in names if name in noted(other)})


def render_all(app: Sphinx, env: BuildEnvironment) -> None:
    """Render the formulas of all pages, for the processes that write them."""
    places = {formula: (name, line) for name in noted(env) for formula, line in noted(env)[name]}
    results = dict(zip(places, render(list(places)), strict=True))
    for formula, result in results.items():
        if "error" in result:
            logger.warning("KaTeX: %s", result["error"], location=places[formula])
    HTML.update({formula: result.get("html", formula.tex) for formula, result in results.items()})


HTML: dict[Formula, str] = {}
ENDS = "</span></span>"
SHORT = 14  # characters


def keep_together(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Let no new line part a formula from what touches it, as in "(x)," or "k-th"."""
    for node in doctree.findall(nodes.math):
        node["before"] = taken(node, -1, r"\S+$")
        node["behind"] = taken(node, +1, r"^\S+")


def taken(node: nodes.math, step: int, pattern: str) -> str:
    """Take what matches out of the text beside a formula."""
    place = node.parent.index(node) + step
    text = node.parent[place] if 0 <= place < len(node.parent) else None
    if not isinstance(text, nodes.Text) or not (found := re.search(pattern, text)):
        return ""
    node.parent[place] = nodes.Text(text[: found.start()] + text[found.end() :])
    return found[0]


def inline(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line, with what touches it."""
    before, behind = (writer.encode(node.get(side, "")) for side in ("before", "behind"))
    html = HTML[formula_of(node)]
    start, base, rest = html.rpartition('<span class="katex-base">')
    if behind and base:  # browsers break a line behind the last part of a formula, if they may
        base, rest = f'<span class="math-end">{base}', f"{rest.removesuffix(ENDS)}</span>{ENDS}"
    name = "math short" if is_short(html) else "math"
    writer.body.append(f'<span class="{name}">{before}{start}{base}{rest}{behind}</span>')
    raise nodes.SkipNode


def is_short(html: str) -> bool:
    """Whether a formula is short enough to stand in one line, wherever it stands."""
    seen = unescape(re.sub("<[^>]*>", "", html.partition("</math>")[2]))
    return len(re.sub("[\\s\\u200b]", "", seen)) <= SHORT  # KaTeX's empty boxes hold a U+200B


def block(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula in a line of its own."""
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({node["number"]})</span>')
    writer.body.append(f"{HTML[formula_of(node)]}</div>\n")
    raise nodes.SkipNode


def copy_styles(app: Sphinx) -> None:
    """Serve KaTeX's style sheet with the site, and its fonts as woff2 alone."""
    target = app.outdir / "_static" / "katex"
    shutil.rmtree(target, ignore_errors=True)
    (target / "fonts").mkdir(parents=True)
    styles = (KATEX / "katex.min.css").read_text(encoding="utf-8")
    styles = re.sub(r',url\(\S+\.(woff|ttf)\) format\("\w+"\)', "", styles)
    (target / "katex.min.css").write_text(styles, encoding="utf-8")
    for font in (KATEX / "fonts").glob("*.woff2"):
        shutil.copy(font, target / "fonts")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer "katex"."""
    app.add_html_math_renderer("katex", (inline, None), (block, None))
    app.add_css_file("katex/katex.min.css")
    app.connect("doctree-read", note)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", render_all)
    app.connect("doctree-resolved", keep_together)
    app.connect("builder-inited", copy_styles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
