"""The chapters as notebooks for Jupyter, with what their cells show.

A notebook runs where minigrad is installed from a clone, started in docs/course: its cells import
the course's figures from there, and its pictures are the files in docs/course/pictures.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.directives.code import LiteralIncludeReader
from sphinx.transforms import SphinxTransform

sys.path.insert(0, str(Path(__file__).parent.parent / "course"))
from run import Cell, cells_of, changes_of_engine

START = """\
*This notebook is a chapter of minigrad's course. It runs in the folder docs/course of a clone,
after `pip install -e . jupyterlab` in the clone: put it there, and start `jupyter lab` there.*"""
FENCE = re.compile(r"^```\{([\w-]+)\} *(\S*)\n((?::[\w-]+:.*\n)*)((?:.*\n)*?)```$", re.M)
IMAGE = re.compile(r"^!\[([^\]]*)\]\((\S+)\)$", re.M)


def notebook_of(page: Path) -> nbformat.NotebookNode:
    """A page as a notebook."""
    lines = page.read_text(encoding="utf-8").splitlines()
    place = lines.index("---", 1) + 1 if lines[0] == "---" else 0
    cells = [new_markdown_cell(START)]
    for cell in cells_of(page):
        begin = cell.line - 1
        while not lines[begin].startswith("```{code-cell}"):
            begin -= 1
        cells += texts(page, lines[place:begin])
        place, picture = cell.behind, ""
        if cell.picture is not None:
            while not IMAGE.match(lines[place]):
                place += 1
            picture = lines[place]
            place += 1
        cells.append(code_cell(cell, picture))
    cells += texts(page, lines[place:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same at each build
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def code_cell(cell: Cell, picture: str) -> nbformat.NotebookNode:
    """A cell with the text and the picture that the page shows behind it."""
    outputs = []
    if cell.output is not None:
        outputs.append(new_output("stream", name="stdout", text=cell.output + "\n"))
    if picture:
        outputs.append(new_output("display_data", {"text/markdown": picture}))
    return new_code_cell(cell.code, outputs=outputs, metadata={"tags": cell.tags})


def texts(page: Path, lines: list[str]) -> list[nbformat.NotebookNode]:
    """The text between two cells, as one cell; none if there is no text."""
    text = "\n".join(lines) + "\n"
    text = FENCE.sub(lambda block: quoted(page, block), text).strip()
    return [new_markdown_cell(text)] if text else []


def quoted(page: Path, block: re.Match[str]) -> str:
    """A block of the site as what a notebook can show.

    Raises:
        ValueError: There is no way to show this kind of block.
    """
    kind, argument, lines, content = block.groups()
    options: dict[str, Any] = dict(re.findall(r"^:([\w-]+): *(.*)$", lines, re.M))
    if kind == "literalinclude":
        if "dedent" in options:
            options["dedent"] = int(options["dedent"])
        text, _ = LiteralIncludeReader(str(page.parent / argument), options, Config()).read()
        return f"```{options.get('language', 'python')}\n{text.rstrip()}\n```"
    if kind == "step":
        changes = changes_of_engine(page.parent / options["after"], page.parent / argument)
        return f"```diff\n{changes}\n```"
    if kind == "exercise":
        first, *others = content.split()
        return (
            f"`python -m minigrad.learn show {first}` prints the first exercise. "
            f"After it come {', '.join(others)}."
        )
    raise ValueError(f"{page.name}: notebooks.py does not know how to show {{{kind}}}")


# what Sphinx calls


class Download(SphinxTransform):
    """A link to the notebook, below the title of each page that has cells."""

    default_priority = 500

    def apply(self, **options: Any) -> None:
        """Add the link."""
        title = next(self.document.findall(nodes.title), None)
        if title is None or not has_cells(self.document):
            return
        name = self.env.docname.rpartition("/")[2]
        link = nodes.reference("", "Download as a notebook", refuri=f"{name}.ipynb", internal=True)
        place = title.parent.index(title) + 1
        title.parent.insert(place, nodes.paragraph("", "", link, classes=["download-notebook"]))
        self.env.metadata[self.env.docname]["notebook"] = True


def has_cells(document: nodes.document) -> bool:
    """Whether a page has cells that run."""
    return any("cell" in box["classes"] for box in document.findall(nodes.container))


def write_all(app: Sphinx, error: Exception | None) -> None:
    """Write the notebook of each page that offers one."""
    for name, data in app.env.metadata.items():
        if error is None and data.get("notebook"):
            target = app.outdir / f"{name}.ipynb"
            nbformat.write(notebook_of(Path(app.env.doc2path(name))), target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the link and the writing of the files."""
    app.add_transform(Download)
    app.connect("build-finished", write_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
