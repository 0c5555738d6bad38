"""The parts of a page: what a cell shows, a step as its difference, a thing to play with.

A page of the course says behind each cell what the cell shows: its text in an `{output}` block, its
picture as an image. docs/course/run.py runs the cells and compares, so the site shows these texts
and pictures and need not run the cells once more.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent.parent / "course"))
from run import changes_of_engine

COLUMNS = 100  # fit beside each other at 1280 pixels


class Output(SphinxDirective):
    """What a page says that a cell shows. Sentences that are wider than the page wrap there."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A block with the text."""
        text = "\n".join(self.content)
        block = nodes.literal_block(text, text, language="text")
        is_wide = any(len(line) > COLUMNS for line in self.content)
        classes = ["output-of-cell", *(["wrapped"] if is_wide else [])]
        return [nodes.container("", block, classes=classes)]


class Step(SphinxDirective):
    """A program of docs/steps/ as its difference from the one before."""

    required_arguments = 1
    option_spec = {"after": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """A block with the lines that are new, those that are gone, and three around each."""
        names = (self.options["after"], self.arguments[0])
        paths = [Path(self.env.relfn2path(name)[1]) for name in names]
        for path in paths:
            self.env.note_dependency(path)
        changes = changes_of_engine(*paths)
        return [nodes.literal_block(changes, changes, language="diff")]


class Play(SphinxDirective):
    """A thing to play with: its script takes the place of what stands in the block.

    `{play} NAME` loads _static/play/NAME.js. Without JavaScript, and in print, the block's content
    is read: a still picture and a sentence.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """A container that the script finds by its name."""
        box = nodes.container(classes=["play", f"play-{self.arguments[0]}"])
        self.state.nested_parse(self.content, self.content_offset, box)
        played = self.env.metadata[self.env.docname].setdefault("play", [])
        played.append(self.arguments[0])
        return [box]


class PicturesOfCells(SphinxPostTransform):
    """Mark the image that follows a cell, so that the page can show a newer one in its place."""

    default_priority = 10

    def run(self, **options: Any) -> None:
        """Give the paragraph of the image a class."""
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if len(paragraph) != 1 or not isinstance(paragraph[0], nodes.image):
                continue
            place = paragraph.parent.index(paragraph)
            before = paragraph.parent[place - 1] if place else None
            classes = before["classes"] if isinstance(before, nodes.container) else []
            if "cell" in classes:
                paragraph["classes"].append("picture-of-cell")


CLOSE = re.compile(r"(?<=[Cc]hapter)\s(?=\d)|(?<=[Cc]hapters)\s(?=\d)|(?<=\d)\s(?=%)")
AS_WRITTEN = nodes.FixedTextElement | nodes.literal | nodes.math


def keep_together(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Let no new line part what is read as one, as in "chapter 8" and "50 %"."""
    for block in list(doctree.findall(nodes.TextElement)):
        if isinstance(block, AS_WRITTEN):
            continue
        for place, text in enumerate(block):
            if not isinstance(text, nodes.Text):
                continue
            before, behind = (
                part[0].astext() if part else ""  # a link, for instance, or the line before
                for part in (block[max(place - 1, 0) : place], block[place + 1 : place + 2])
            )
            kept = CLOSE.sub("\N{NO-BREAK SPACE}", before + text + behind)
            block[place] = nodes.Text(kept[len(before) : len(before) + len(text)])


def end_at_text(app: Sphinx, doctree: nodes.document) -> None:
    """Drop the empty lines at the end of quoted code, as before the next function of a file."""
    for block in doctree.findall(nodes.literal_block):
        block.rawsource = text = block.astext().rstrip()
        block.children = [nodes.Text(text)]


def add_scripts(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add to a page the scripts that it needs, and to others none."""
    if name == "search":
        app.add_js_file("search.js", type="module")
    if doctree is None:
        return
    played = app.env.metadata[name].get("play", [])
    if any("cell" in box["classes"] for box in doctree.findall(nodes.container)):
        app.add_js_file("live.js", type="module")
    for script in played:
        app.add_js_file(f"play/{script}.js", type="module")


def say_levels(app: Sphinx, name: str, template: str, context: dict[str, Any], *_: Any) -> None:
    """Say for screen readers of which level the captions of the navigation are."""
    heading = 'role="heading"'
    tree: str = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree.replace(heading, f'{heading} aria-level="2"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("output", Output)
    app.add_directive("step", Step, override=True)  # sphinx_design has one too, of another kind
    app.add_directive("play", Play)
    app.add_post_transform(PicturesOfCells)
    app.connect("doctree-read", end_at_text)
    app.connect("doctree-resolved", keep_together)
    app.connect("html-page-context", add_scripts)
    app.connect("html-page-context", say_levels, priority=900)  # after Furo
    return {"parallel_read_safe": True, "parallel_write_safe": True}
