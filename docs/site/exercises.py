"""The exercises of a page: `{exercise} 2.3` shows the task, where the reader writes the answer.

Task, starting code, hints and answer come from minigrad.learn. static/live/exercises.js adds the
editor and the buttons; without JavaScript the reader still finds the task and the starting code.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from minigrad.learn.exercise import LEVELS, NoExerciseError, find


class exercise(nodes.General, nodes.Element):  # noqa: N801, since docutils' nodes are lower case
    """One exercise, folded up: `number`, `title` and `facts` are what is seen of it then."""


class hidden(nodes.General, nodes.Element):  # noqa: N801
    """A hint, or the answer: the script of the page shows it when the reader asks for it."""


class ExerciseDirective(SphinxDirective):
    """An exercise of minigrad.learn, by its number."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The folded exercise with its task, its starting code, its hints and its answer."""
        try:
            found = find(self.arguments[0])
        except NoExerciseError as error:
            raise self.error(str(error)) from None
        self.env.note_dependency(inspect.getfile(inspect.unwrap(found.answer)))
        facts = f"{LEVELS[found.level]}, {found.minutes} minutes"
        box = exercise("", number=found.number, title=found.title, facts=facts)
        box["ids"].append(f"exercise-{found.number.replace('.', '-').lower()}")
        box += self._parsed(found.task)
        box += nodes.container("", _code(found.template), classes=["exercise-code"])
        for step, text in enumerate(found.hints, 1):
            box += hidden("", *self._parsed(text), kind="hint", name=f"Hint {step}")
        if os.environ.get("MINIGRAD_ANSWERS", "").lower() != "off":
            box += hidden("", _code(found.solution), kind="answer", name="Answer")
        return [box]

    def _parsed(self, markdown: str) -> list[nodes.Node]:
        return self.parse_text_to_nodes(textwrap.dedent(markdown).strip())


def _code(source: str) -> nodes.literal_block:
    return nodes.literal_block(source, source, language="python")


def _begin_exercise(writer: HTML5Translator, node: exercise) -> None:
    """Fold the exercise up under its number, its title, and how hard it is."""
    number, title, facts = (escape(node[name]) for name in ("number", "title", "facts"))
    writer.body.append(
        f'<details class="exercise" id="{node["ids"][0]}" data-number="{number}"><summary>'
        f'<span class="exercise-number">{number}</span> '
        f'<span class="exercise-title">{title}</span> '
        f'<span class="exercise-facts">{facts}</span></summary>\n'
    )


def _end_exercise(writer: HTML5Translator, node: exercise) -> None:
    writer.body.append("</details>\n")


def _begin_hidden(writer: HTML5Translator, node: hidden) -> None:
    name = escape(node["name"])
    writer.body.append(f'<div class="exercise-{node["kind"]}" data-name="{name}" hidden>\n')


def _end_hidden(writer: HTML5Translator, node: hidden) -> None:
    writer.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("exercise", ExerciseDirective)
    app.add_node(exercise, html=(_begin_exercise, _end_exercise))
    app.add_node(hidden, html=(_begin_hidden, _end_hidden))
    app.add_css_file("live.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
