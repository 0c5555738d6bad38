"""The course's exercises: answers pass, each mistake reads its own message, nothing gives away."""

import ast
import functools
import importlib.util
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from minigrad.learn import answer, check, checking, exercises, hint, show
from minigrad.learn.exercise import LEVELS, Rule, Values
from minigrad.learn.faults import is_close

ROOT = Path(__file__).parent.parent
EXERCISES = exercises()
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.number)


def load(source):
    names = {"__name__": "answer"}
    exec(compile(source, "answer.py", "exec"), names)
    return names


@functools.cache
def ran(exercise, k):
    return checking.run(exercise, exercise.mistakes[k].wrong)


def code_lines(source):
    """The lines of code that say how, without docstrings, headers, and the word `return`."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    lines = {line.strip() for line in ast.unparse(tree).splitlines()}
    lines = {line for line in lines if not line.startswith(("def ", "class ", "import ", "from "))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Return):
            lines.discard(ast.unparse(node))
            parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            lines |= {ast.unparse(part) for part in parts if part}
    return lines


# --- every exercise -----------------------------------------------------------------------------


@each
def test_all_is_said(exercise):
    assert re.fullmatch(r"(\d+|P|B)\.[1-9]\d*", exercise.number)
    if exercise.number[0].isdigit():
        assert exercise.number.startswith(f"{exercise.chapter}.")
    assert exercise.level in LEVELS and 1 <= exercise.minutes <= 60
    first, second = exercise.hints
    assert len(first) > 30 and len(second) > 30 and first != second
    assert exercise.title[0].isupper() and len(exercise.title) <= 60
    assert len(exercise.task) > 60 and exercise.answer.__doc__
    assert exercise.after[-1] in ".?" and len(exercise.mistakes) >= 3
    assert exercise.against or exercise.judge.against
    texts = [
        exercise.task,
        *exercise.hints,
        exercise.after,
        *(m.message for m in exercise.mistakes),
    ]
    assert all(text.strip()[-1] in ".`?)" for text in texts)


def test_numbers_are_unique_and_complete():
    numbers = [exercise.number for exercise in EXERCISES]
    assert len(set(numbers)) == len(numbers)
    for series in {number.partition(".")[0] for number in numbers}:
        mine = [n for n in numbers if n.partition(".")[0] == series]
        assert sorted(int(n.partition(".")[2]) for n in mine) == list(range(1, len(mine) + 1))


@each
def test_answer_is_right(exercise):
    report = check(exercise.number, exercise.answer)
    assert report.right, report
    assert exercise.after in report.message


@each
def test_answer_as_it_is_printed_is_right(exercise):
    source = answer(exercise.number).removeprefix("```python\n").removesuffix("```\n")
    assert check(exercise.number, load(source)[exercise.name]).right


@each
def test_each_mistake_has_a_message_of_its_own(exercise):
    messages = [mistake.message for mistake in exercise.mistakes]
    assert len(set(messages)) == len(messages)
    for mistake in exercise.mistakes:
        report = check(exercise.number, mistake.wrong)
        assert not report and report.message == mistake.message
        assert 40 <= len(mistake.message) <= 500


@each
def test_mistakes_differ(exercise):
    for i, k in itertools.combinations(range(len(exercise.mistakes)), 2):
        same = ran(exercise, i).is_like(ran(exercise, k))
        assert not same, f"mistakes {i} and {k} have the same results: add a case"


@each
def test_template_fails_with_a_message(exercise):
    function = load(exercise.template)[exercise.name]
    report = check(exercise.number, function)
    assert not report
    if exercise.planted is None:
        assert "still empty" in report.message
    else:
        assert report.message == check(exercise.number, exercise.planted).message
        assert report.message in [mistake.message for mistake in exercise.mistakes]


@each
def test_nothing_gives_the_answer_away(exercise):
    secret = code_lines(exercise.solution) - code_lines(exercise.template)
    secret = {line for line in secret if len(line) > 4 and not line.isidentifier()}
    assert secret or len(code_lines(exercise.solution)) == 1
    number = exercise.number
    told = [show(number), hint(number, 1), hint(number, 2), exercise.after]
    told += [mistake.message for mistake in exercise.mistakes]
    told = " ".join(" ".join(told).split())
    assert [line for line in secret if line in told] == []


@each
def test_truth_is_what_the_answer_takes(exercise):
    judge = exercise.judge
    if isinstance(judge, Rule | Values):
        names = exercise.answer.__code__.co_varnames[: exercise.answer.__code__.co_argcount]
        assert judge.needs == names
        assert len(judge.cases) >= 2
    if isinstance(judge, Rule):
        assert judge.torch
        assert len({np.shape(judge.forward(**case)) for case in judge.cases}) > 1, "one size only"


WITH_TORCH = [e for e in EXERCISES if getattr(e.judge, "torch", "")]


@pytest.mark.parametrize("exercise", WITH_TORCH, ids=lambda e: e.number)
def test_truth_has_the_stored_values_of_pytorch(exercise):
    truth = list(exercise.judge(exercise.answer))
    assert exercise.torch, "run tests/reference/make_learn.py"
    for stored, result in zip(exercise.torch, truth, strict=False):
        stored = np.asarray(stored, np.float64).reshape(np.shape(result.expected))
        assert is_close(result.expected, stored)


def make_learn():
    path = ROOT / "tests" / "reference" / "make_learn.py"
    spec = importlib.util.spec_from_file_location("make_learn", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILES = sorted({e.answer.__module__.rpartition(".")[2] for e in EXERCISES})


@pytest.mark.parametrize("file", FILES)
def test_stored_values_are_what_pytorch_computes(file):
    pytest.importorskip("torch", reason="PyTorch's stored values are used anyway")
    found = make_learn().values(file)
    path = ROOT / "minigrad" / "learn" / "values" / f"{file}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if found else {}
    assert found.keys() == stored.keys(), "run tests/reference/make_learn.py"
    for number, results in found.items():
        for new, old in zip(results, stored[number], strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-12, atol=1e-12)
