"""The exercises of a page, where the reader reads the tasks and writes the answers.

An `{exercise}` block holds their numbers, such as `2.3 P.1 B.3`. Tasks, starting code, hints and
answers come from minigrad.learn. static/live/exercises.js adds the editor and the buttons; without
JavaScript the reader still finds the task and the starting code.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from minigrad.learn.exercise import LEVELS, NoExerciseError, find


class exercise(nodes.General, nodes.Element):
    """One exercise, folded up: `number`, `title` and `facts` are what is seen of it then."""


class help_(nodes.General, nodes.Element):
    """A hint, or the answer: the script of the page shows it when the reader asks for it."""


class Exercises(SphinxDirective):
    """Exercises of minigrad.learn, by their numbers."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Each exercise, folded up, with its task, its starting code, its hints and its answer."""
        return [self._exercise(number) for number in " ".join(self.content).split()]

    def _exercise(self, number: str) -> exercise:
        try:
            found = find(number)
        except NoExerciseError as error:
            raise self.error(str(error)) from None
        self.env.note_dependency(inspect.getfile(found.answer))
        facts = f"{LEVELS[found.level]}, {found.minutes} minutes"
        box = exercise("", number=found.number, title=found.title, facts=facts)
        box += self._parsed(found.task)
        box += nodes.container("", _code(found.template), classes=["exercise-code"])
        for step, text in enumerate(found.hints, 1):
            box += help_("", *self._parsed(text), kind="hint", name=f"Hint {step}")
        if self.config.exercise_answers:
            box += help_("", _code(found.solution), kind="answer", name="Answer")
        return box

    def _parsed(self, markdown: str) -> list[nodes.Node]:
        return self.parse_text_to_nodes(textwrap.dedent(markdown).strip())


def _code(source: str) -> nodes.literal_block:
    return nodes.literal_block(source, source, language="python")


def _begin_exercise(writer: HTML5Translator, node: exercise) -> None:
    """Fold the exercise up under its number, its title, and how hard it is."""
    number, title, facts = (escape(node[name]) for name in ("number", "title", "facts"))
    writer.body.append(
        f'<details class="exercise" id="exercise-{number}" data-number="{number}"><summary>'
        f'<span class="exercise-number">{number}</span> '
        f'<span class="exercise-title">{title}</span> '
        f'<span class="exercise-facts">{facts}</span></summary>\n'
    )


def _end_exercise(writer: HTML5Translator, node: exercise) -> None:
    writer.body.append("</details>\n")


def _begin_help(writer: HTML5Translator, node: help_) -> None:
    name = escape(node["name"])
    writer.body.append(f'<div class="exercise-{node["kind"]}" data-name="{name}" hidden>\n')


def _end_help(writer: HTML5Translator, node: help_) -> None:
    writer.body.append("</div>\n")


def add_look(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add to a page with code that runs the look of its buttons, and what to do if it cannot."""
    classes = {"cell", "play"}
    boxes = doctree.findall(nodes.container) if doctree else ()
    if any(classes & set(box["classes"]) for box in boxes):
        app.add_css_file("live.css")
        app.add_js_file("served.js")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    is_on = os.environ.get("MINIGRAD_ANSWERS", "").lower() != "off"
    app.add_config_value("exercise_answers", is_on, "env")  # another value: all is built anew
    app.add_directive("exercise", Exercises)
    app.add_node(exercise, html=(_begin_exercise, _end_exercise))
    app.add_node(help_, html=(_begin_help, _end_help))
    app.connect("html-page-context", add_look)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
