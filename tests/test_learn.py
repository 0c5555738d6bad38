"""The course's exercises: answers pass, each mistake reads its own message, nothing gives away."""

import ast
import functools
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.learn import __main__ as console
from minigrad.learn import answer, check, checking, exercises, hint, listing, show
from minigrad.learn.exercise import LEVELS, Exercise, Mistake, NoExerciseError, Rule, Values, files
from minigrad.learn.faults import Known, explain, is_close
from minigrad.learn.judges import Result, Wrong, call, draw
from minigrad.learn.source import ends_without_return

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


# --- every exercise ---------------------------------------------------------------------------


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
        assert not report
        if report.message != mistake.message:  # where the numbers do not tell, what is known first
            first, perhaps, last = report.message.partition(" Perhaps: ")
            assert len(first) > 20 and perhaps and last == mistake.message
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
        message = report.message.rpartition("Perhaps: ")[2]
        assert message in [mistake.message for mistake in exercise.mistakes]


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


@pytest.mark.parametrize("file", files())
def test_stored_values_are_what_pytorch_computes(file):
    pytest.importorskip("torch", reason="PyTorch's stored values are used anyway")
    found = make_learn().values(file)
    path = ROOT / "minigrad" / "learn" / "values" / f"{file}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if found else {}
    assert found.keys() == stored.keys(), "run tests/reference/make_learn.py"
    for number, results in found.items():
        for new, old in zip(results, stored[number], strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-12, atol=1e-12)


# --- faults that no exercise knows ------------------------------------------------------------

A = np.array([[1.5, -2.0, 0.5], [0.25, 3.0, 1.0], [2.0, -0.75, 4.0]])
N, M = np.array([[1.5, -2.0], [0.25, 3.0]]), np.array([[0.3, 1.0, 2.0], [1.0, -1.0, 0.5]])


def told(*pairs, **known):
    results = [Result("dL/dx", got, right, f"case {i}", "x") for i, (got, right) in pairs]
    return explain(results, Known(**known))


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (..., "still `...`"),
        (None, "dL/dx is None (for case 0)."),
        ("text", "of type str (for case 0); expected a NumPy array"),
        (
            A.tolist(),
            "of type list (for case 0); expected a NumPy array; `np.array(...)` makes one",
        ),
        (A > 1, "is an array of type bool (for case 0); expected float64 numbers."),
        (A + 0j, "is an array of type complex128"),
        (mg.tensor(A), "`.numpy()` gives its array"),
        (A[:2], "has shape (2, 3) (for case 0); dL/dx has the shape of x, (3, 3)."),
        (A[:, :, None], "an axis of length 1 is missing or too many"),
        (np.stack([A, A]), "is the sum over the copies"),
        (A.sum(), "each element of x needs a number of its own"),
        (np.where(A > 3, np.nan, A), "contains NaN"),
        (np.where(A > 3, np.inf, A), "contains infinity"),
        (A // 1, "dL/dx is rounded down, as `//` does."),
        (1e-12 * A**2, "is 0 everywhere"),
        (np.round(A).astype(int), "consists of integers (int64)"),
        (A.astype("float32"), "is float32"),
        (0 * A, "is 0 everywhere"),
        (-A, "has the wrong sign everywhere"),
        (2 * A, "is 2 times too large"),
        (A / 4, "is 4 times too small"),
        (-A / 4, "4 times too small, and has the wrong sign"),
        (A.T, "is the transpose"),
        (A[::-1], "in reverse order along axis 0"),
        (np.roll(A, 1, 1), "one place too late along axis 1"),
        (np.roll(A, -1, 0), "one place too early along axis 0"),
        (np.sort(A, axis=None).reshape(3, 3), "the right numbers, in the wrong places"),
        (A + 1, "is 1 too large"),
        (A - 0.5, "is 0.5 too small"),
        (A * [[1], [2], [3]], "Each row of dL/dx is right but for a factor"),
        (A * [1, 2, 3], "Each column of dL/dx is right but for a factor"),
        (np.where(A > 3, 0, A), "1 of 9 numbers is wrong. For case 0: dL/dx at [2, 2] is 0, and"),
        (A**2 + 7, "every number is wrong"),
    ],
)
def test_a_fault_is_named(got, words):
    assert words in told((0, (got, A)))


def test_nothing_is_said_of_what_is_right():
    assert told((0, (A + 1e-9, A)), (1, (A.T, A.T))) == ""
    nan = np.array([np.nan, np.inf, 1.0])
    assert told((0, (nan, nan)), (1, (3, 3)), (2, ("a", "a")), (3, (2.0, 2))) == ""


def test_a_mean_over_an_axis_is_recognised():
    assert "N times too small, where N is the length of axis 0" in told(
        (0, (N / 2, N)), (1, (A / 3, A))
    )
    assert "N times too large, where N is the length of axis 1" in told(
        (0, (N * 2, N)), (1, (M * 3, M))
    )
    assert "a factor, which differs" in told((0, (N * 5, N)), (1, (M * 7, M)))


def test_a_factor_of_an_input_is_recognised():
    results = [Result("dL/db", A * A**2, A, inputs={"b": A})]
    assert "dL/db is multiplied by b twice too often" in explain(results)
    results = [Result("dL/db", A / A.T, A, inputs={"b": A.T})]
    assert "dL/db is divided by b once too often" in explain(results)


def test_what_is_right_for_some_inputs_only_is_told_without_a_guess():
    said = told((0, (A, A)), (1, (M * M, M)))
    assert said.startswith("dL/dx is right for 1 of 2 inputs, as case 0. For case 1: dL/dx at [0")
    said = told((0, (A, A)), (1, (2 * M, M)), (2, (2 * N, N)))
    assert "is right for 1 of 3 inputs, as case 0. For the other 2: Every number" in said


def sized(*pairs, numbers=()):
    results = [
        Result("dL/dx", got, x, f"case {i}", inputs={"x": x, "axis": i})
        for i, (got, x) in enumerate(pairs)
    ]
    return explain(results, Known(is_written=lambda what, number: number in numbers))


def test_what_only_the_right_inputs_have_is_told():
    one = np.ones((1, 4)) * 0.3
    assert "only where axis is 1." in sized((M**2 + 7, M), (A, A))
    assert "the length of axis 0 of x is 1." in sized((one, one), (A**2 + 7, A), (M**2, M))
    written = "the length of axis 0 of x is 3, and this number is written in the"
    assert written in sized((A, A), (M**2 + 7, M), numbers=[3])
    assert "is 3" not in sized((A, A), (M**2 + 7, M), numbers=[0])
    assert "only" not in told((0, (A, A)), (1, (M**2 + 7, M)), (2, (N**2, N)))
    several = sized((A + 7, A), (A, A), (A, A), (M**2 + 7, M), (N**2, N))
    assert "only" not in several  # no length is that of both right inputs alone
    line = np.ones((4, 1)) * [[0.3]]
    both = [Result("y", x, x, "a", inputs={"x": x, "w": x}) for x in (line,)]
    both += [Result("y", x**2 + 7, x, "b", inputs={"x": x, "w": x}) for x in (A, M)]
    assert "only" not in explain(both)  # an axis of x is 1, and one of w


def squares(x):
    """Return the sum of the squares."""
    return (x**2).sum()


LENGTHS = Values(truth=squares, needs=("x",), cases=tuple(draw(n, x=(n,)) for n in (3, 4, 5)))


@pytest.mark.parametrize(
    ("body", "is_written"),
    [
        ("sum(x[i] ** 2 for i in range(3))", True),
        ("x[:3] @ x[:3]", True),
        ("(x[0] ** 2 + x[1] ** 2 + x[2] ** 2) * 3 / 3", False),
        ("abs(x[0] ** 3) ** (2 / 3) + x[1] ** 2 + x[2] ** 2", False),
    ],
)
def test_a_number_is_said_to_stand_for_a_length_if_the_length_in_its_place_is_right(
    body, is_written
):
    exercise = Exercise(**{**vars(made_up(LENGTHS)), "answer": squares})
    said = checking.judged(
        exercise, load(f"def squares(x):\n    return {body}\n")["squares"]
    ).message
    assert ("this number is written in the function" in said) == is_written


def test_small_numbers_are_compared_to_as_many_digits():
    small = 1e-4 * A
    assert told((0, (small, small + 1e-11))) == ""
    assert "right for" in told((0, (A, A)), (1, (np.round(1e-3 * M / 7, 6), 1e-3 * M / 7)))
    assert "multiplied" not in explain([Result("t", 2e-5, 5e-5, inputs={"call": 1e-6})])
    assert told((0, (0 * A, 1e-11 * A)), (1, (1e-11 * M, 0 * M))) == ""  # of a central difference


@pytest.mark.parametrize(("share", "digits"), [(1e-4, 3), (3e-5, 4), (4e-6, 5)])
def test_what_is_right_but_for_its_last_digits_is_told(share, digits):
    inexact = A * (1 + share * np.sign(np.arange(9).reshape(3, 3) - 4.5))
    assert f"dL/dx is right to {digits} digits only." in told((0, (inexact, A)))
    assert f"dL/dx is right to {digits} digits only." in told((0, ((1 + share) * A, A)))
    assert "digits only" not in told((0, (inexact, A)), (1, (M**2, M)))


def test_float64_is_said_to_be_that_of_the_arguments_only_if_it_is():
    for given, is_said in ({"n": 10}, False), ({"x": A}, True), ({"x": A > 1}, False):
        said = explain([Result("the bias", np.float32(2.5), 2.5, inputs=given)])
        assert "is float32; expected float64" in said and ("arguments" in said) == is_said


def test_swapped_results_are_recognised():
    for first, second in ((A, M), (A, A**2)):
        pair = [Result("dL/dA", second, first, "c", "A"), Result("dL/dB", first, second, "c", "B")]
        exchanged = "dL/dA is what dL/dB should be and dL/dB is what dL/dA should be"
        assert f"The right numbers, but exchanged: {exchanged}." == explain(pair * 2)
        right = [Result(r.name, r.expected, r.expected) for r in pair]
        assert explain([*right, *right]) == "" and "exchanged" not in explain([*right, *pair])
    once = [Result("dL/dA", M, A, "c", "A"), Result("dL/dB", M, M, "c", "B")]
    assert "It is dL/dB." in explain(once)
    single = [Result(r.name, r.expected.astype("float32"), r.expected) for r in pair]
    assert explain(single).startswith("dL/dA is float32")
    three = [Result(name, x, y) for name, x, y in (("a", N, N), ("b", A, M), ("c", M, A))]
    assert explain(three).endswith("exchanged: b is what c should be and c is what b should be.")


def test_moved_numbers_are_told_only_if_all_inputs_agree():
    assert "transpose" in told((0, (A.T, A)), (1, (N.T, N)))
    assert "transpose" not in told((0, (A.T, A)), (1, (N, N)))
    assert "transpose" not in told((0, (A.T, A)), (1, (M.T, M)))
    assert "transpose" not in told((0, (A.T, A)), is_cut=True)


def test_the_first_wrong_result_is_told_first():
    said = told((0, (2 * A, A)), (1, (np.full_like(M, np.nan), M)))
    assert said.startswith("Every number of dL/dx is 2 times too large")
    several = [Result("a", A, A), Result("b", -A, A), Result("c", A, M), Result("d", None, M)]
    assert explain(several).startswith("a is right. b has the wrong sign everywhere.")
    assert explain(several).endswith(" c and d are wrong too.")


def test_none_asks_for_return_only_where_it_is_missing():
    ask = "does each way through the function end with `return`?"
    assert ask in check("P.3", load("def f(g):\n    if len(g) == 4: return g\n")["f"]).message
    assert ask in check("P.3", load("def f(g):\n    g = g.sum(0)\n    return\n")["f"]).message
    init = "class Block:\n    def __init__(self):\n        self.a = 1\n"
    assert not ends_without_return(load(f"{init}\n    def forward(self): return 1\n")["Block"])
    assert ends_without_return(load(f"{init}\n    def forward(self): self.a += 1\n")["Block"])
    said = check("P.3", load("def f(g):\n    return [].append(g)\n")["f"]).message
    assert said.startswith("dL/db is None (for ") and ask not in said


def test_truth_values_may_stand_for_0_and_1_only():
    assert told((0, (A > 1, 1.0 * (A > 1)))) == ""
    assert "type bool" in told((0, (A > 1, 2.0 * (A > 1))))


def test_what_is_right_is_praised():
    results = [Result("dL/dA", A, A), Result("dL/dB", -M, M)]
    assert explain(results).startswith("dL/dA is right. dL/dB has the wrong sign everywhere.")


def test_other_things_than_numbers_are_compared():
    assert explain([Result("the order", ["b", "a"], ["a", "b"])]) == (
        "The order is ['b', 'a']; expected ['a', 'b']."
    )
    assert "True; expected False" in explain([Result("it", True, False)])
    assert explain([Result("the mask", A > 1, A > 1)]) == ""
    assert explain([Result("the mask", A > 1, A > 2)]).startswith("The mask is array([[ True,")
    assert explain([Result("the mask", A > 1, M > 2)]).startswith("The mask is array([[ True,")
    assert explain([Result("the count", 3, 0)]) == (
        "The count is wrong. The count is 3, and should be 0."
    )


# --- functions that fail in other ways --------------------------------------------------------


def in_file(body):
    """A function of three arguments, as from a learner's file."""
    return load(f"import numpy as np\n\ndef f(g, A, B):\n    {body}\n")["f"]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (in_file("return g @ C, A"), "raised NameError: name 'C' is not defined"),
        (in_file("return g / 0, A @ 'a'"), "Line 4"),
        (in_file("return 1 // 0"), "It was called with g of shape (3, 3), A of shape (3, 3)"),
        (in_file("raise SystemExit(1)"), "raised SystemExit: 1"),
        (in_file("A *= 2; return g @ B.T, A.T @ g"), "has changed its argument A in place"),
        (
            in_file("return g @ B.T"),
            "returns one result, an array of shape (3, 3); the exercise asks for 2",
        ),
        (in_file("return g, g, g"), "returns 3 results; the exercise asks for 2"),
        (in_file("pass"), "The body is still empty"),
        (in_file("return"), "The body is still empty"),
        (in_file("x = A.T; B = g"), "dL/dA is None"),
        (
            in_file("return 1 + 0 * A, A.T @ g"),
            "does not depend on g: the chain rule multiplies dy/dA",
        ),
        (in_file("return g @ B.T, A.T @ g + A"), "dL/dA is right. dL/dB has a term without g"),
        (in_file("return g @ g @ B.T, A.T @ g"), "has g as a factor twice"),
        (
            in_file("return g @ B.T if len(A) == 3 else A @ A.T @ g @ B.T, A.T @ g"),
            "right for 1 of",
        ),
        (lambda g, A: A, "calls matmul_rules(g, A, B); yours takes (g, A)"),
        (lambda g, A, B: (_ for _ in ()).throw(ValueError), "raised ValueError. It was called"),
        (17, "Expected the function matmul_rules, not an int"),
        (np.add.reduce, "The function raised TypeError"),
        (np.einsum, "The function raised"),
        (
            lambda A, B, g: (g @ B.T, A.T @ g),
            "calls matmul_rules(g, A, B), in this order; yours takes them as (A, B, g)",
        ),
        (in_file("return np.random.rand(*A.shape), A.T @ g"), "Two calls with the same arguments"),
        (in_file("return np.tanh(g) @ B.T, A.T @ g"), "dL/dA is not linear in g"),
        (in_file("return g @ B.T // 1, A.T @ g"), "dL/dA is rounded down, as `//` does."),
        (in_file("return {'A': g}"), "returns one result of type dict; the exercise asks for 2"),
    ],
)
def test_a_function_that_fails_is_explained(function, words):
    report = check("2.3", function)
    assert not report.right
    assert words in report.message


def test_an_earlier_wrong_result_comes_before_a_failure():
    function = in_file("return (-g @ B.T, A.T @ g) if len(A) == len(B) else 1 // 0")
    assert "dL/dA has the wrong sign everywhere" in check("2.3", function).message


def test_a_failure_after_a_wrong_result_is_told_too():
    said = check("P.4", in_file("return g @ A, 2 * B @ g")).message
    assert "every number is wrong" in said
    assert "raised ValueError: matmul" in said.partition("every number")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "raised ZeroDivisionError: division by zero."),
        ({"x": mg.tensor(A)}, "It was called with x of shape (3, 3)."),
        ({"x": A, "n": 2}, "It was called with x of shape (3, 3), n = 2."),
    ],
)
def test_what_a_function_was_called_with_is_said_in_short(arguments, words):
    def judge(function):
        yield Result("it", call(function, arguments), 1.0)

    f = load("def answer_to_all(*x):\n    return 1 / 0\n")["answer_to_all"]
    assert checking.run(made_up(judge), f).fault.endswith(words)


def test_a_cross_entropy_that_subtracts_the_mean_overflows_too():
    source = """
    import numpy as np
    def cross_entropy(logits, labels):
        z = logits - logits.mean(1, keepdims=True)
        return (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]).mean()
    """
    assert not check("B.4", load(textwrap.dedent(source))["cross_entropy"])


def test_a_changed_list_is_told():
    judge = Values(truth=lambda x: x[0].sum(), needs=("x",), cases=({"x": [A, M]}, {"x": [M]}))
    for change in ("x[0] *= 2", "x.pop()", "x[0] = x[0] * 2"):
        f = load(f"def answer_to_all(x):\n    {change}\n    return 1.0\n")["answer_to_all"]
        said = checking.judged(made_up(judge), f).message
        assert "has changed its argument x in place" in said and "new list" in said


def test_an_error_that_is_not_the_mistakes_own_gets_no_explanation_of_it():
    f = load("def backward(o):\n    for p, s in o.parents:\n        p.grad += None\n")["backward"]
    said = check("B.2", f).message
    assert said.startswith("Line 3") and "NoneType" in said and "heap" not in said


LOOP = """
import numpy as np

def backward(output):
    def visit(node, g):
        node.grad += g
        for parent, slope in node.parents:
            visit(parent, g * slope)
    visit(output, 1.0)

def cross_entropy(logits, labels):
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -np.log(p[np.arange(len(labels)), labels] + 1e-9).mean()

def split(x, labels, n, seed):
    order = ORDER
    return x[order[n:]], labels[order[n:]], x[order[:n]], labels[order[:n]]
"""


@pytest.mark.parametrize(
    ("number", "name", "order", "words"),
    [
        ("B.2", "backward", "0", "each `y = y + y` doubles the time"),
        ("B.4", "cross_entropy", "0", "goes no higher than 20.72: for label 1 and logits [[100, 0"),
        ("B.6", "split", "np.arange(len(x))", "are all of one class"),
        ("B.6", "split", "np.random.permutation(len(x))", "Two calls with the same seed give"),
        ("B.6", "split", "np.random.RandomState(7).permutation(len(x))", "`seed` plays no part"),
        ("B.6", "split", "np.arange(len(x)); x -= 1", "changed its argument x in pl"),
        ("B.6", "split", "0; return x, x, labels, labels", "have 2, 2, 1 and 1 axes; it should"),
    ],
)
def test_a_bug_that_is_mended_in_another_wrong_way_is_told(number, name, order, words):
    report = check(number, load(LOOP.replace("ORDER", order))[name])
    assert not report and words in report.message and "Perhaps" not in report.message


def test_a_recursion_limit_that_an_answer_raises_is_put_back():
    limit = sys.getrecursionlimit()
    source = (
        "import sys\ndef sum_rule(g, x, axis):\n    sys.setrecursionlimit(7777)\n    return g\n"
    )
    assert not check("P.1", load(source)["sum_rule"])
    assert sys.getrecursionlimit() == limit


def test_warnings_of_numpy_are_no_errors():
    assert "contains" in check("2.3", lambda g, A, B: (g / 0, B)).message


# --- another judge ----------------------------------------------------------------------------


def answer_to_all(x):
    """Return 42."""
    return 42.0 + 0 * x


def made_up(judge):
    return Exercise(
        "99.1", 99, "Made up", 1, 1, "A task.", ("a", "b"), answer_to_all, judge, (), "Next: rest."
    )


def test_a_judge_may_speak_for_itself():
    def judge(function):
        yield Result("the answer", function(1.0), 42.0)
        if function(2.0) != 42.0:
            raise Wrong("It must not depend on x.")

    exercise = made_up(judge)
    assert checking.judged(exercise, answer_to_all).right
    report = checking.judged(exercise, lambda x: 41.0 + x)
    assert repr(report) == "99.1 Not yet. It must not depend on x."


def test_a_judge_that_cannot_use_a_result_says_so():
    def judge(function):
        yield Result("the answer", function(1.0).shape[0], 1)

    listed = load("def answer_to_all(x):\n    return [x]\n")["answer_to_all"]
    report = checking.judged(made_up(judge), listed)
    assert "could not use what the function returned" in report.message


def test_a_mistake_is_recognised_by_how_it_fails():
    def judge(function):
        yield Result("the answer", function(0.0), 42.0)

    exercise = made_up(judge)
    mistake = Mistake(lambda x: 1 / x, "You divide by 0.")
    exercise = Exercise(**{**vars(exercise), "mistakes": (mistake,)})
    said = checking.judged(exercise, lambda y: 1.0 / y).message
    assert "ZeroDivisionError" in said and said.endswith(" Perhaps: You divide by 0.")
    other = load("def f(y):\n    return 1 // int(y)\n")["f"]
    assert "Perhaps" not in checking.judged(exercise, other).message
    assert "TypeError" in checking.judged(exercise, lambda y: y + "a").message


def test_a_mistake_that_returns_a_tensor_is_recognised():
    def judge(function):
        yield Result("a.grad", function(0.0), 42.0)

    mistake = Mistake(lambda x: mg.tensor([x, 2.0], requires_grad=True), "No Tensors, please.")
    exercise = Exercise(**{**vars(made_up(judge)), "mistakes": (mistake,), "against": "it"})
    two = checking.judged(exercise, lambda x: mg.tensor([0.0, 2.0]))
    assert two.message == "No Tensors, please."
    three = checking.judged(exercise, lambda x: mg.tensor([0.0, 3.0]))
    assert (
        three.message == "a.grad is of type Tensor; expected a number; `.numpy()` gives its array."
    )
    assert checking.judged(exercise, answer_to_all).message.startswith(
        "a.grad agrees with it. Next"
    )


def test_values_of_several_results_are_judged_each():
    judge = Values(
        truth=lambda x: (x.min(), x.max()),
        needs=("x",),
        cases=(draw(0, x=(3,)), draw(1, x=(4,))),
        names=("the smallest", "the largest"),
    )
    exercise = made_up(judge)
    assert checking.judged(exercise, lambda x: (min(x), max(x))).right
    report = checking.judged(exercise, lambda x: (min(x), min(x)))
    assert report.message.startswith("The smallest is right. The largest")
    assert "on 2 inputs" in checking.judged(exercise, lambda x: (min(x), max(x))).message


def test_both_verdicts_count_the_same_inputs():
    same = draw(0, x=(3,))
    judge = Values(truth=lambda x: 42.0 + 0 * x, needs=("x",), cases=(same, same, draw(1, x=(4,))))
    assert "on 3 inputs" in checking.judged(made_up(judge), answer_to_all).message
    wrong = checking.judged(made_up(judge), lambda x: (40.0 + 2 * (len(x) == 3)) + 0 * x)
    assert "right for 2 of 3 inputs" in wrong.message


def test_gradients_that_are_left_switched_off_are_told_and_switched_on_again():
    def judge(function):
        x = mg.tensor(1.0, requires_grad=True)
        yield Result("y", function(x).item(), 42.0)
        (x * x).backward()  # the judge's own work, which fails with gradients switched off

    def leaving(x):
        mg.no_grad().__enter__()
        return 42.0 + 0 * x

    exercise = made_up(judge)
    said = checking.judged(exercise, leaving)
    assert not said and said.message.startswith("After the call gradients are still switched off")
    assert mg.is_grad_enabled() and checking.judged(exercise, answer_to_all).right
    with mg.no_grad():
        assert checking.judged(exercise, answer_to_all).right
        assert not mg.is_grad_enabled()


def test_what_is_kept_from_one_call_to_the_next_is_told():
    source = """
    import numpy as np
    kept = {}
    def last_states(x, W_x, W_h, b):
        h = kept.get(x.shape, np.zeros((len(x), len(b))))
        for t in range(x.shape[1]):
            h = kept[x.shape] = np.tanh(x[:, t] @ W_x.T + h @ W_h.T + b)
        return h
    """
    said = check("8.1", load(textwrap.dedent(source))["last_states"])
    assert not said and "something is kept from one call to the next" in said.message
    assert check(
        "8.1", load(textwrap.dedent(source).replace("h = kept[", "h = {}["))["last_states"]
    )


def test_nan_on_the_way_is_told_where_the_result_hides_it():
    judge = Values(truth=lambda x: 42.0 + 0 * x, needs=("x",), cases=({"x": A}, {"x": M}))
    said = checking.judged(made_up(judge), lambda x: np.fmax(np.sqrt(-(x**2)), x)).message
    assert "On the way NaN arose: it comes from" in said and "contains NaN" not in said
    assert "NaN" not in checking.judged(made_up(judge), lambda x: np.fmax(np.abs(x), x)).message
    judge = Values(truth=lambda x: 42.0 + 0 * np.sqrt(-(x**2)), needs=("x",), cases=({"x": A},))
    assert "On the way" not in checking.judged(made_up(judge), lambda x: x).message


def test_a_mistake_is_not_guessed_from_the_type_of_an_error():
    def judge(function):
        yield Result("the answer", function(A[:2]), A[:2])

    mistake = Mistake(lambda x: x + A[:, :2], "The columns do not fit.")
    exercise = Exercise(**{**vars(made_up(judge)), "mistakes": (mistake,)})
    assert "The columns" in checking.judged(exercise, lambda x: x * A[:, :2]).message
    other = checking.judged(exercise, lambda x: x * A[:, :1].T[:, :2]).message
    assert "could not be broadcast" in other and "The columns" not in other


def test_that_a_result_was_of_no_use_is_said_where_there_is_nothing_else_to_say():
    def judge(function):
        got = function(1.0)
        yield Result("the answer", got, 42.0)
        got.shape  # noqa: B018

    report = checking.judged(made_up(judge), lambda x: [x])
    assert "of type list" in report.message and "could not use" not in report.message


# --- in Python --------------------------------------------------------------------------------


def test_check_as_a_decorator_prints_and_returns_the_function(capsys):
    @check("P.3")
    def rule(g):
        return g.sum(0)

    assert rule(A).shape == (3,)
    assert capsys.readouterr().out.startswith("P.3 Right. dL/db agrees with central differences")


def test_a_notebook_shows_markdown_and_messages():
    assert repr(show("2.3")) == show("2.3")._repr_markdown_() == str(show("2.3"))
    assert show("P.6").startswith("## P.6 Gather rows (chapter 2, medium, 5 minutes)")
    assert "Expected the function matmul_rules, not None" in repr(check("2.3", None))
    assert "```python" in show("2.3") and "5 minutes" in show("2.3")
    assert repr(check("2.3", lambda g, A, B: (g @ B, A.T @ g))).startswith("2.3 Not yet. ")
    assert check("p.3", lambda g: g.sum(0))
    assert listing() == listing(None) and "Chapter 2" in listing() and "Chapter 2" not in listing(1)


@pytest.mark.parametrize(
    ("number", "near"),
    [
        ("2.99", "the nearest: 2.1 to 2."),
        ("13.1", "the nearest: 12.1 to 12."),
        ("99.1", "the nearest: 12.1 to 12."),
        ("Q.1", "the nearest: P.1"),
        ("P.13", "the nearest: P.1 to P.12"),
        ("", "no exercise '' (`python"),
        ("two.three", "no exercise 'two.three' (`python"),
    ],
)
def test_an_unknown_number_names_the_nearest(number, near):
    for function in (show, hint, answer, check):
        with pytest.raises(NoExerciseError, match=re.escape(near)):
            function(number)


def test_a_hint_has_two_steps():
    with pytest.raises(ValueError, match="hints 1 and 2, not 3"):
        hint("2.3", 3)


def test_a_browser_needs_numpy_and_minigrad_only():
    code = "import sys, minigrad.learn as l; l.check('2.3', print); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"tyro", "torch", "matplotlib", "tqdm", "numba", "train"} == set()


# --- at the command line ----------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    def write(source):
        path = tmp_path / "mine.py"
        path.write_text(source, encoding="utf-8")
        return str(path)

    return write


RIGHT = "def matmul_rules(g, A, B):\n    return g @ B.T, A.T @ g\n"


def test_list_shows_all(capsys):
    assert console.main([]) == 0
    out = capsys.readouterr().out
    assert all(f"{e.number} " in out and e.title in out for e in EXERCISES)
    assert console.main(["list", "--chapter", "2"]) == 0
    assert "B.1" not in capsys.readouterr().out
    assert console.main(["list", "--chapter", "77"]) == 2


def test_show_writes_the_template_into_a_new_file_only(capsys, tmp_path):
    path = tmp_path / "mine.py"
    assert console.main(["show", "2.3", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert path.read_text(encoding="utf-8") in out
    assert "```" not in out and out.startswith("2.3 The rule of the matrix product (easy, 5 min")
    assert console.main(["check", "2.3", str(path)]) == 1
    out = capsys.readouterr().out
    assert "still empty" in out and "hint 2.3" in out
    assert console.main(["show", "2.3", "--out", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert console.main(["show", "2.3", "--out", str(tmp_path / "no" / "x.py")]) == 2
    assert "cannot be written: No such file" in capsys.readouterr().err


def test_hint_and_answer(capsys):
    assert console.main(["hint", "2.3"]) == 0
    first = capsys.readouterr().out
    assert console.main(["hint", "2.3", "--step", "2"]) == 0
    assert first != capsys.readouterr().out
    assert console.main(["answer", "2.3"]) == 0
    assert "return g @ B.T, A.T @ g" in capsys.readouterr().out


def test_check_of_a_file(capsys, file):
    assert console.main(["check", "2.3", file(RIGHT)]) == 0
    assert "2.3 Right." in capsys.readouterr().out
    assert console.main(["check", "2.3", file(RIGHT.replace("B.T", "B"))]) == 1
    assert "B is not transposed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(:\n", "Python cannot read line 1, `def f(:`: invalid syntax"),
        ("import no_such_thing\n", "Line 1, `import no_such_thing`, raised ModuleNotFoundError"),
        ("\nexit(3)\n", "Line 2, `exit(3)`, raised SystemExit: 3"),
        (
            RIGHT.replace("return g", "return h"),
            "Line 2, `return h @ B.T, A.T @ g`, raised NameErr",
        ),
        ("def matmul_rules(g, A, B):\n    return matmul_rules(g, A, B)\n", "RecursionError"),
    ],
)
def test_code_that_fails_is_wrong_and_the_line_is_named(capsys, file, source, words):
    assert console.main(["check", "2.3", file(source)]) == 1
    out = capsys.readouterr()
    assert words in out.out and "Traceback" not in out.out + out.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["check", "2.99", "FILE"], "no exercise '2.99'"),
        (
            ["check", "P.1", "FILE"],
            "does not define sum_rule, the function of exercise P.1 (it def",
        ),
        (["check", "2.3", "no-such-file.py"], "cannot be read: No such file"),
        (["check", "2.3", "."], "cannot be read: "),
        (["hint", "2.3", "--step", "3"], "--step"),
        (["frobnicate"], "frobnicate"),
        (["check", "2.3"], "FILE"),
    ],
)
def test_bad_input_is_one_message(capsys, file, args, words):
    path = file(RIGHT)
    assert console.main([path if word == "FILE" else word for word in args]) == 2
    out = capsys.readouterr()
    assert words in out.err and "Traceback" not in out.err and out.out == ""


def test_a_file_that_is_no_text_is_refused(capsys, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\xff")
    assert console.main(["check", "2.3", str(path)]) == 2
    assert "not a text file in UTF-8" in capsys.readouterr().err


def test_control_c_ends_an_endless_loop(capsys, file):
    source = "import _thread\ndef matmul_rules(g, A, B):\n    _thread.interrupt_main()\n"
    assert console.main(["check", "2.3", file(source + "    while True:\n        pass\n")]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_a_terminal_without_the_letters_of_a_message_gets_their_numbers(file):
    path = file("def matmul_rules(g, A, B):\n    raise ValueError('caf\u00e9')\n")
    done = subprocess.run(
        [sys.executable, "-m", "minigrad.learn", "check", "2.3", path],
        cwd=ROOT,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1 and rb"ValueError: caf\xe9." in done.stdout


def test_the_program_runs():
    done = subprocess.run(
        [sys.executable, "-m", "minigrad.learn", "show", "2.3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0 and done.stdout.startswith("2.3 The rule of the matrix product")


def test_answers_can_be_switched_off(monkeypatch, capsys):
    monkeypatch.setenv("MINIGRAD_ANSWERS", "off")
    assert "MINIGRAD_ANSWERS=off" in answer("2.3") and "return" not in answer("2.3")
    assert console.main(["answer", "2.3"]) == console.RIGHT
    assert "switched off" in capsys.readouterr().out


def test_reader_that_has_seen_enough_ends_nothing():
    command = f"{sys.executable} -m minigrad.learn list | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("Chapter 0\n", "")


@pytest.mark.parametrize("shout", ["", "    print('x' * 200_000)\n"])
def test_the_verdict_does_not_depend_on_who_reads_it(file, shout):
    for source, code in ((RIGHT, 0), (RIGHT.replace("B.T", "B"), 1)):
        path = file(source.replace("    return", f"{shout}    return"))
        command = f"{sys.executable} -m minigrad.learn check 2.3 {path} | head -c 0"
        script = f"{command}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, done.stderr) == (code, "")
