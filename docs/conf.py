"""The pages of docs/ as a site: `pip install -e ".[docs]"`, then `sphinx-build -W docs site`.

The build runs the cells of the course. What a page says that a cell shows (an `{output}` block) is
for readers of the page as it stands, such as on GitHub: here the cell's own output takes its place.
A picture stands in the page with its description, so the cell that draws it does not show it again.
"""

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent / "course"))
from run import changes_of_engine

project = "minigrad"
extensions = ["myst_nb"]
html_theme = "furo"
exclude_patterns = ["steps", "pictures"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True  # what a cell prints stands in one block, however slowly it came
suppress_warnings = ["myst.xref_missing"]  # links to source files, which are no pages

PICTURE = re.compile(
    r"(?m)^```\{code-cell\}\n(?::tags: \[(.*)\]\n)?((?:(?!```)[^\n]*\n)*)```\n+(?=!\[)"
)


class Output(SphinxDirective):
    """What a page says that a cell shows."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Nothing: the build shows what the cell has shown."""
        return []


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


def hide_outputs_of_drawing_cells(app: Sphinx, name: str, source: list[str]) -> None:
    """Tag the cells that an image follows."""
    source[0] = PICTURE.sub(
        lambda cell: (
            f"```{{code-cell}}\n:tags: [{cell[1] or 'picture'}, remove-output]\n\n{cell[2]}```\n\n"
        ),
        source[0],
    )


def setup(app: Sphinx) -> None:
    """Register the directives and the change of the source."""
    app.add_directive("output", Output)
    app.add_directive("step", Step)
    app.connect("source-read", hide_outputs_of_drawing_cells)
