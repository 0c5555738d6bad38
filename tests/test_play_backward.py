"""The Python side of docs/play/backward.md: what is read, the graph, and the way back."""

import json
import math
import random
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg

sys.path.insert(0, str(Path(__file__).parent.parent / "docs/site/python"))
import play_backward
from play_backward import show

DIAMOND = "d = a * b; e = d + a; d * e"
CHAIN = "tanh(tanh(tanh(tanh(tanh(x)))))"
DEAD = "y = relu(w * x + b); (y - t) ** 2"
EXAMPLES: list[tuple[str, dict[str, float]]] = [
    (DIAMOND, {"a": 3, "b": 2}),
    ("x * x", {"x": 3}),
    ("x * x * x + x", {"x": -1.5}),
    (CHAIN, {"x": 2}),
    (DEAD, {"w": 1, "x": 1, "b": -2, "t": 1}),
    ("(a + b) * tanh(a * b) + b", {"a": 0.5, "b": -1.5}),
    ("-a / (2 - b) ** 3 + 2 ** a", {"a": 0.7, "b": 0.3}),
    ("log(a) * sin(b) - cos(a ** b) / exp(-b)", {"a": 1.5, "b": 0.5}),
    ("sigmoid(x1 * y_2) * sigmoid(x1 * y_2)", {"x1": 1.5, "y_2": -1}),
    ("gradient * tensor + g * L - v", dict(gradient=1, tensor=2, g=3, L=4, v=5)),
]
SHOWN = 5e-4  # relative, half a unit in the last of four digits


@pytest.fixture(params=EXAMPLES, ids=[text for text, _ in EXAMPLES])
def shown(request: pytest.FixtureRequest) -> dict[str, Any]:
    found = show(*request.param)
    assert "error" not in found
    return found


def gradients(found: dict[str, Any]) -> dict[str, float]:
    return {each["name"]: float(each["gradient"]) for each in found["letters"]}


def back(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The moments of the way back in which something is sent."""
    return [moment for moment in found["moments"] if moment.get("moves")]


def python(text: str, values: dict[str, float]) -> float:
    """The expression's value by Python's own arithmetic."""
    names: dict[str, Any] = {name: getattr(math, name) for name in ("tanh", "exp", "log", "sin")}
    names["cos"] = math.cos
    names["sigmoid"] = lambda x: 1 / (1 + math.exp(-x))
    names["relu"] = lambda x: max(x, 0.0)
    *results, last = text.split(";")
    names.update(values)
    for result in results:
        exec(result.strip(), names)
    return float(eval(last.strip(), names))


@pytest.mark.parametrize(("text", "values"), EXAMPLES)
def test_values_are_those_of_python(text: str, values: dict[str, float]) -> None:
    value = float(show(text, values)["nodes"][-1]["value"].removeprefix("= "))
    assert value == pytest.approx(python(text, values), rel=SHOWN)


@pytest.mark.parametrize(("text", "values"), EXAMPLES)
def test_gradients_agree_with_central_differences(text: str, values: dict[str, float]) -> None:
    for each in show(text, values)["letters"]:
        # six digits are shown; the rest of a difference is of order eps ** (2 / 3)
        assert float(each["gradient"]) == pytest.approx(
            float(each["difference"]), rel=1e-5, abs=1e-8
        )


def test_the_course_example_has_its_numbers() -> None:
    found = show(DIAMOND, {"a": 3, "b": 2})
    assert gradients(found) == {"a": 36, "b": 45}
    assert [node["title"] for node in found["nodes"]] == [
        "a",
        "b",
        "d = a * b",
        "e = d + a",
        "L = d * e",
    ]
    words = [moment["words"] for moment in back(found)]
    assert "To d it sends g * e = 1 * 9 = 9. Still to come at d: 1." in words[0]
    assert "The sum at d is now 9 + 6 = 15." in words[1]
    assert "Its gradient is g = 15, the sum of 2." in words[2]


def test_numbers_are_those_of_show_backward() -> None:
    a, b = (mg.tensor(x, dtype="float64", requires_grad=True) for x in (3.0, 2.0))
    d = a * b
    e = d + a
    watched = mg.show_backward(d * e, a=a, b=b, d=d, e=e)
    expected = [str(move.gradient.item()) for step in watched.steps for move in step.contributions]
    moments = back(show(DIAMOND, {"a": 3, "b": 2}))
    assert [f"{move['part']}.0" for moment in moments for move in moment["moves"]] == expected


def test_what_an_edge_brings_is_gradient_times_slope(shown: dict[str, Any]) -> None:
    moved = [move for moment in back(shown) for move in moment["moves"]]
    assert sorted(move["edge"] for move in moved) == list(range(len(shown["edges"])))
    for move in moved:
        edge = shown["edges"][move["edge"]]
        assert edge["from"] == move["to"]
        product = float(move["g"]) * float(edge["slope"])
        assert float(move["part"]) == pytest.approx(product, rel=3 * SHOWN, abs=1e-300)


def test_a_node_sends_when_all_has_arrived_and_the_youngest_first(shown: dict[str, Any]) -> None:
    moments = back(shown)
    assert [moment["node"] for moment in moments] == sorted(
        {edge["to"] for edge in shown["edges"]}, reverse=True
    )
    complete = {len(shown["nodes"]) - 1}
    for moment in moments:
        assert moment["node"] in complete
        complete |= {move["to"] for move in moment["moves"] if move["waits"] == 0}
    assert complete == set(range(len(shown["nodes"])))


def test_sums_grow_part_by_part(shown: dict[str, Any]) -> None:
    totals: dict[int, float] = {}
    for moment in back(shown):
        for move in moment["moves"]:
            assert bool(move["sum"]) == (move["to"] in totals)
            total = totals.get(move["to"], 0.0) + float(move["part"])
            told = float(move["gradient"].removeprefix("grad ").removesuffix(" so far"))
            assert told == pytest.approx(total, rel=4 * SHOWN, abs=4 * SHOWN)
            assert move["gradient"].endswith("so far") == (move["waits"] > 0)
            totals[move["to"]] = told
    for each in shown["letters"]:
        assert totals[each["node"]] == pytest.approx(float(each["gradient"]), rel=SHOWN)


def test_every_node_is_computed_once_after_its_parents(shown: dict[str, Any]) -> None:
    order = [node for moment in shown["moments"] for node in moment.get("computed", [])]
    assert sorted(order) == list(range(len(shown["nodes"])))
    place = {node: k for k, node in enumerate(order)}
    assert all(place[edge["from"]] < place[edge["to"]] for edge in shown["edges"])


@pytest.mark.parametrize("direction", ["across", "down"])
def test_boxes_stand_apart_and_edges_go_one_way(shown: dict[str, Any], direction: str) -> None:
    layout = shown["layout"][direction]
    for one, other in combinations(layout["nodes"], 2):
        distances = [abs(p - q) for p, q in zip(one["at"], other["at"], strict=True)]
        needed = [(p + q) / 2 for p, q in zip(one["size"], other["size"], strict=True)]
        assert distances[0] >= needed[0] or distances[1] >= needed[1]
    along = 0 if direction == "across" else 1
    for edge, points in zip(shown["edges"], layout["edges"], strict=True):
        ends = layout["nodes"][edge["from"]]["at"], layout["nodes"][edge["to"]]["at"]
        assert points[0] == ends[0]
        assert all(p[along] < q[along] for p, q in pairwise([*points, ends[1]]))


def test_pages_get_plain_json(shown: dict[str, Any]) -> None:
    json.dumps(shown, allow_nan=False)


def test_what_the_page_tells_is_so() -> None:
    found = show(CHAIN, {"x": 2})
    assert [edge["slope"] for edge in found["edges"]] == [
        "0.07065",
        "0.4434",
        "0.5996",
        "0.6864",
        "0.742",
    ]
    assert gradients(found)["x"] == pytest.approx(0.0096, abs=5e-5)
    assert gradients(show(CHAIN, {"x": 0})) == {"x": 1}
    dead = {"w": 1.0, "x": 1.0, "b": -2.0, "t": 1.0}
    assert gradients(show(DEAD, dead)) == {"w": 0, "x": 0, "b": 0, "t": 2}
    kink = show(DEAD, {**dead, "b": -1.0})["letters"][2]
    assert (kink["name"], float(kink["gradient"])) == ("b", 0)
    assert float(kink["difference"]) == pytest.approx(-1, abs=1e-4)
    assert gradients(show(DEAD, {**dead, "b": -0.95}))["b"] == pytest.approx(-1.9)


# what strangers type

REFUSED = [
    ("", "Type an expression", ""),
    ("   ", "Type an expression", ""),
    ("a *", "ends too early", "*"),
    ("2a", "write *", "2"),
    ("3 + a b", "write *", "b"),
    ("(a + b", "not closed", "("),
    ("a)", "was not opened", ")"),
    ("a ^ 2", "a power is written **", "^"),
    ("0,5 * a", "with a point", ","),
    ("2 \u00d7 a", "write *", "\u00d7"),
    ("a(b)", "a is no function here", "a"),
    ("foo(a)", "foo is no function here", "foo"),
    ("tanh", "write tanh(a)", "tanh"),
    ("tanh()", "takes one number", "tanh()"),
    ("2(a)", "A product needs *", "2(a)"),
    ("a.real", "not known here", "a.real"),
    ("a if b else c", "not known here", "a if b else c"),
    ("[a]", "not known here", "[a]"),
    ("a == b", "not known here", "a == b"),
    ("True * a", "no number", "True"),
    ("'s' * a", "no number", "'s'"),
    ("1j * a", "no number", "1j"),
    ('__import__("os").system("true") * a', "A product needs *", '__import__("os").system("true")'),
    ("1 + 2", "no letter", ""),
    ("a", "Only a letter", ""),
    ("d = a", "Only a letter", ""),
    ("a = a + 1", "a is taken", "a"),
    ("import os", "given like this", "import os"),
    ("a * b; c", "given like this", "a * b"),
    ("d = a * b; e = d + a; d * d", "e is not used", "d + a"),
    ("a" * 13 + " * b", "too long", ""),
    ("a" * 201, "at most 200", "a"),
    ("a + b + c + d + e + f + h + i + j", "room for 8", ""),
    (" + ".join("a" * 42), "room for 40", ""),
    ("-" * 150 + "a", "room for 40", ""),
    ("  log(-a)", "wants a number above 0", "log(-a)"),
    ("b * (1 / 0)", "divides by 0", "1 / 0"),
    ("b / (a - a)", "divides by 0", "b / (a - a)"),
    ("(a - 1) ** 0.5", "whole exponents only", "(a - 1) ** 0.5"),
    ("(a - a) ** -1", "0 has no power -1", "(a - a) ** -1"),
    ("(a - a) ** 0.5", "no finite slope", "(a - a) ** 0.5"),
    ("1e400 * a", "ends at 1.798e+308", "1e400"),
    ("9" * 199 + "a", "write *", "9"),
    ("10 ** 400 * a", "too large", "10 ** 400"),
    ("exp(exp(exp(a * 10)))", "too large", "exp(exp(exp(a * 10)))"),
    ("1e300 * tanh(1e300 * (a * 0))", "gradient becomes too large", "1e300 * (a * 0)"),
]


@pytest.mark.parametrize(("text", "message", "part"), REFUSED)
def test_what_cannot_be_shown_is_told_with_its_place(text: str, message: str, part: str) -> None:
    found = show(text, {})
    assert message in found["error"]
    assert found["error"].endswith(".") and len(found["error"]) < 200 + len(text)
    assert text[found["start"] : found["end"]] == part
    json.dumps(found, allow_nan=False)


def test_a_letter_without_a_value_is_told() -> None:
    for value in (None, math.nan, math.inf):
        assert "a has no value" in show("a * b", {"a": value})["error"]


def test_letters_that_are_new_get_a_value() -> None:
    assert show("a * b", {"b": 7})["values"] == {"a": play_backward.FIRST_VALUES[0], "b": 7}


def test_the_longest_expressions_are_shown() -> None:
    text = "a*" * 40 + "a"
    assert gradients(show(text, {"a": 1})) == {"a": 41}
    deep = "(" * 90 + "a" + ")" * 90 + "*b"
    assert gradients(show(deep, {"a": 2, "b": 3})) == {"a": 3, "b": 2}


def test_any_text_gets_an_answer() -> None:
    choose = random.Random(0)
    odd = [*"()^.,=;[' _", "tanh(", "**", "\t", "\u20ac", "lambda ", "if ", "9" * 30]
    values = ["a", "b", "a*b", "1e9", "2", "tanh(a)", "log(b)", "relu(-a)", "exp(a*b)", "(a-b)"]
    signs = [" + ", "-", "*", "/", "**", "-", "*", " ", "; d = "]
    count = 0
    for _ in range(500):
        mixed = [choose.choice(part) for part in (values, signs) * choose.randrange(1, 6)]
        mixed += [choose.choice(values)]
        if choose.random() < 0.5:
            mixed.insert(choose.randrange(len(mixed)), choose.choice(odd))
        text = "".join(mixed)
        found = show(text, {"a": choose.uniform(-3, 3), "b": choose.choice([0.0, 1e300, -2.0])})
        json.dumps(found, allow_nan=False)
        count += "error" not in found
    assert 50 < count < 450  # some are expressions, and some are not


def test_nothing_of_the_text_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr("builtins.exit", lambda: called.append("exit"))
    for text in ("exit()", "tanh(exit())", "a * exit()", "(lambda: exit())()"):
        assert "error" in show(text, {})
    assert called == []


def test_central_differences_at_the_edge_of_a_domain_are_left_out() -> None:
    [found] = show("log(x)", {"x": 1e-7})["letters"]
    assert found["difference"] == "" and float(found["gradient"]) == pytest.approx(1e7)
