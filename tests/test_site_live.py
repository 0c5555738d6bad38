"""What runs in the pages of the site: cells, exercises, and things to play with.

`python -m pytest -m site` builds the site and runs these tests in a browser; see test_site.py.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import LOADING, MARKS, ROOT, Fact, assert_none, of_kind, say
from PIL import Image

import minigrad as mg
from minigrad.learn import check
from minigrad.learn.exercise import find

for place in ("docs/site/python", "docs/course"):
    sys.path.insert(0, str(ROOT / place))
run = importlib.import_module("run")
remember = importlib.import_module("cell").remember

pytestmark = MARKS
COURSE = ROOT / "docs" / "course"
CHAPTERS = sorted(COURSE.glob("[0-9]*.md"))
NAMES = [chapter.stem for chapter in CHAPTERS]
LIMIT = 900  # seconds for all cells of a page; a busy machine may make of one minute ten

# What runs in pages

LOOKS = ("width", "code", "tag", "image", "axe")
SLOWEST_FIRST = ("10-gan", "12-fast", "09-lstm", "11-judging")


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are put."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="session")
def ran(site: str, shots: Path) -> list[Fact]:
    """What all cells of all chapters show in the worker."""
    order = sorted(NAMES, key=lambda name: (name not in SLOWEST_FIRST, name))
    pages = [f"course/{name}.html" for name in order]
    return say("cells.mjs", site=site, pages=pages, folder=str(shots), seconds=LIMIT)


def difference(cell: Any, fact: Fact, shots: Path) -> str:
    """How a cell in the worker differs from its page; "" if it does not."""
    if fact["state"] != "done":
        return f"is {fact['state']}: {fact['error']}"
    if {f"tag_{tag}" for tag in cell.tags} != set(fact["tags"]):
        return f"has the tags {fact['tags']}"
    if not run.same_text(fact["text"], cell.output or "", "varies" in cell.tags):
        return f"shows\n{fact['text']}\nand the page says\n{cell.output}"
    if (fact["picture"] is None) != (cell.picture is None):
        return "shows a picture" if fact["picture"] else "shows no picture"
    if cell.picture and not fact["built"]["picture"]:
        return "has no picture in the built page"
    if cell.picture:
        return picture_difference(shots / fact["picture"], cell.picture, "varies" in cell.tags)
    return ""


REACH = 8  # pixels, see `_near`: Agg rounds the widths of letters, which makes 5 in a line of 690
SHADE = 86  # of 255: Agg moves a line of 4/3 pixels onto one; halves of it on two lack a third
SHARE = 0.0005  # of the pixels, which may have no counterpart


def picture_difference(now: Path, before: Path, varies: bool) -> str:
    """How a picture of the worker differs from that of the page; "" if it does not."""
    a, b = (Image.open(path).convert("RGB") for path in (now, before))
    if abs(a.width - b.width) > 2 * REACH or abs(a.height - b.height) > 2 * REACH:
        return f"shows a picture of {a.size} pixels, not {b.size}: {now}"
    if np.ptp(np.asarray(a)) < SHADE:
        return f"shows an empty picture: {now}"
    left, top = (a.width - b.width) // 2, (a.height - b.height) // 2
    a = moved(a, b.size, left, top)  # to resize it would blur its lines
    share = float((_without_counterpart(a, b) | _without_counterpart(b, a)).mean())
    wrong = share > SHARE and not varies
    return f"shows another picture than {before.name} in {share:.2%} of it: {now}" if wrong else ""


def moved(picture: Image.Image, size: tuple[int, int], left: int, top: int) -> Image.Image:
    """The part of a picture from a place on, with white paper where there is none."""
    matrix = (1, 0, left, 0, 1, top)
    return picture.transform(size, Image.Transform.AFFINE, matrix, fillcolor="white")


def _without_counterpart(a: Image.Image, b: Image.Image) -> np.ndarray:
    """The pixels of one picture whose colour the other one does not have near that place."""
    low, high = (_near(np.asarray(b), extreme) for extreme in (np.minimum, np.maximum))
    here = np.asarray(a, int)
    return ((here < low.astype(int) - SHADE) | (here > high.astype(int) + SHADE)).any(axis=-1)


def _near(array: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The extreme of the square around each pixel: of 2, 4, 8, 16 and 17 on each axis."""
    for axis in (0, 1):
        width = [(REACH, REACH) if axis == k else (0, 0) for k in range(3)]
        array = np.moveaxis(np.pad(array, width, mode="edge"), axis, 0)
        for step in (1, 2, 4, 8, 1):
            array = extreme(array[:-step], array[step:])
        array = np.moveaxis(array, 0, axis)
    return array


@pytest.mark.parametrize("chapter", CHAPTERS, ids=NAMES)
def test_cells_show_what_the_page_says(chapter: Path, ran: list[Fact], shots: Path) -> None:
    facts = [fact for fact in ran if fact["page"] == f"course/{chapter.stem}.html"]
    assert_none(facts, *LOADING, *LOOKS)
    cells, shown = run.cells_of(chapter), of_kind(facts, "cell")
    assert len(cells) == len(shown)
    differences = [
        f"{chapter.name}, block {number}, line {cell.line}: {text}"
        for number, (cell, fact) in enumerate(zip(cells, shown, strict=True), 1)
        if (text := difference(cell, fact, shots))
    ]
    assert not differences, "\n".join(differences)


def test_a_difference_is_seen(tmp_path: Path) -> None:
    page = COURSE / "00-derivatives.md"
    cell = next(cell for cell in run.cells_of(page) if cell.output)
    fact = {"state": "done", "tags": [], "text": cell.output, "picture": None, "error": ""}
    assert not difference(cell, fact, tmp_path)
    for change in (
        {"state": "failed", "error": "NameError"},
        {"text": cell.output.replace("2.4", "2.9")},
        {"text": ""},
        {"tags": ["tag_varies"]},
        {"picture": "0.png"},
    ):
        assert difference(cell, fact | change, tmp_path), change
    picture = COURSE / "pictures" / "00-valley.png"
    assert not picture_difference(picture, picture, False)
    other = tmp_path / "other.png"
    with Image.open(picture) as whole:
        moved(whole.convert("RGB"), whole.size, 12, 0).save(other)
        Image.new("RGB", whole.size, "white").save(tmp_path / "empty.png")
    assert "another picture" in picture_difference(other, picture, False)
    assert "empty" in picture_difference(tmp_path / "empty.png", picture, True)
    assert "pixels" in picture_difference(COURSE / "pictures" / "00-sums.png", picture, True)


@pytest.fixture(scope="module")
def tried(site: str) -> dict[str, Fact]:
    """What came of each thing that tests/site/stop.mjs tries."""
    facts = say("stop.mjs", site=site, page="course/00-derivatives.html", missing="numpy.zip")
    assert_none(facts, *LOADING)
    return {fact["step"]: fact for fact in facts}


def test_an_endless_loop_is_stopped(tried: dict[str, Fact]) -> None:
    cells = run.cells_of(COURSE / "00-derivatives.md")
    stopped, again = tried["stopALoop"], tried["runAgain"]
    assert stopped["state"] == "idle" and "stopped" in stopped["status"]
    assert stopped["seconds"] < 2
    shown = [*again["above"], again]
    assert [fact["state"] for fact in shown] == ["done"] * 3
    assert all(run.same_text(f["text"], c.output) for f, c in zip(shown, cells[:3], strict=True))


def test_an_error_has_its_line(tried: dict[str, Fact]) -> None:
    failed = tried["seeAnError"]
    assert failed["state"] == "failed"
    assert re.search(r"ZeroDivisionError: .*\nline 3: `one / zero`", failed["error"])


def test_the_reader_keeps_what_was_written_until_reset(tried: dict[str, Fact]) -> None:
    kept, reset = tried["reload"], tried["reset"]
    assert kept["kept"] == 'print("kept by", 40 + 2)'
    assert kept["text"].strip() == "kept by 42" and not kept["built"]
    assert reset["code"] == run.cells_of(COURSE / "00-derivatives.md")[1].code.strip()
    assert reset["built"] and not reset["text"]


def test_python_that_does_not_come_is_said(tried: dict[str, Fact]) -> None:
    assert tried["withoutPython"]["state"] != "done"
    assert "numpy.zip could not be loaded (404)" in tried["withoutPython"]["said"]


# Exercises

WRONG = {  # one of each chapter, a puzzle and a bug; what a learner writes whose mistake is known
    "0.1": "lambda f, x, h: (f(x + h) - f(x)) / h",
    "1.1": "lambda a, b: ((b + 1) * a, (b + 1) * a + (a + b) * a)",
    "2.1": "lambda g, x: g[:, None] + 0 * x",
    "3.2": "lambda g, x: g * np.tanh(x)",
    "4.1": "lambda sizes: sum(n * m for n, m in pairwise(sizes))",
    "5.4": "lambda x, batch_norm: batch_norm(x)",
    "6.1": "lambda z: np.log(np.sum(np.exp(z), axis=1))",
    "7.1": "lambda theta, g, m, lr, mu: (theta - lr * g, mu * m + g)",
    "8.1": "lambda x, W_x, W_h, b: np.tanh(x[:, -1] @ W_x.T + b)",
    "9.3": "lambda u: (np.log(u), np.log(u))",
    "10.1": "lambda p, q, share: p / (p + q)",
    "11.4": "lambda digits, p: (np.bincount(digits) / len(digits) - p)"
    " / np.sqrt(p * (1 - p) / len(digits))",
    "12.2": "lambda W_f, W_i, W_C, W_o, z: (W_f @ z, W_i @ z, W_C @ z, W_o @ z)",
    "P.1": "lambda g, x, axis: g",
    "B.3": "lambda prediction, target: ((prediction - target) ** 2).mean()",
}
IMPORTS = "from itertools import pairwise\n\nimport numpy as np\n\n"


@pytest.fixture(scope="module")
def answered(site: str) -> list[Fact]:
    """What the pages say of wrong and of right answers."""
    answers = []
    for number, code in WRONG.items():
        exercise = find(number)
        page = f"course/{CHAPTERS[exercise.chapter].stem}.html"
        wrong = f"{IMPORTS}{exercise.name} = {code}\n"
        answers.append({"page": page, "number": number, "code": [wrong, exercise.solution]})
    return say("exercises.mjs", site=site, answers=answers)


def test_an_exercise_of_each_chapter_is_tried() -> None:
    assert {find(number).chapter for number in WRONG} == set(range(len(CHAPTERS)))


@pytest.mark.parametrize("number", WRONG)
def test_answers_are_checked_in_the_page(number: str, answered: list[Fact]) -> None:
    assert_none(answered, *LOADING)
    wrong, right = [fact for fact in answered if fact.get("number") == number]
    exercise = find(number)
    names: dict[str, Any] = {}
    remember(wrong["code"], "your answer")  # whose lines messages quote, here as in the page
    exec(compile(wrong["code"], "your answer", "exec"), names)
    expected = check(number, names[exercise.name])
    assert any(mistake.message in expected.message for mistake in exercise.mistakes)
    assert wrong["state"] == "wrong" and run.same_text(wrong["text"], str(expected))
    assert right["state"] == "right", right["text"]


# Things to play with

START = [["to", ".play-start"], ["press", "Enter"]]
PLAYS = {
    "backward": [
        *START,
        ["to", ".play-expression"],
        ["type", "a * tanh(b) + a * a"],
        ["to", ".play-letter input[type=range]"],
        ["press", "Home"],
        ["press", "ArrowRight", 10],
        ["to", "button:text-is('Last')"],
        ["press", "Enter"],
        ["until", "gradient-a", "\\d"],
        ["read", "gradient-a"],
    ],
    "palindromes": [
        *START,
        ["to", "button:text-is('One step')"],
        ["press", "Enter"],
        ["until", "seen", "[1-9]"],
        ["read", "seen"],
        ["to", "button:text-is('Train')"],
        ["press", "Enter"],
        ["until", "accuracy", "^(9[5-9]|100)"],
        ["press", "Enter"],
        ["to", "input[inputmode=numeric]"],
        ["type", "271"],
        ["until", "answer", "2"],
        ["read", "answer"],
    ],
    "gan": [
        *START,
        ["to", "button:text-is('One round')"],
        *[step for k in "123" for step in (["press", "Enter"], ["until", "round", k])],
        ["read", "distance"],
        ["read", "d-loss"],
    ],
    "latent": [
        *START,
        ["to", "button:text-is('Find it')"],
        ["press", "Enter"],
        ["until", "tried", "\\d"],
        ["read", "digit"],
        ["read", "tried"],
        ["read", "length"],
    ],
}


@pytest.fixture(scope="module")
def played(site: str) -> list[Fact]:
    """What the things to play with show, after the keys of PLAYS."""
    plays = [{"page": f"play/{name}.html", "keys": keys} for name, keys in PLAYS.items()]
    return say("play.mjs", site=site, plays=plays)


def shown_in(played: list[Fact], name: str) -> dict[str, str]:
    """The numbers that were read, once nothing else is wrong with the page."""
    facts = [fact for fact in played if fact["page"] == f"play/{name}.html"]
    assert_none(facts, *LOADING, *LOOKS)
    return {f["read"]: f["text"].replace("\u2212", "-") for f in facts if "read" in f}


def test_a_gradient_is_shown(played: list[Fact]) -> None:
    a, b = (mg.tensor(x, dtype="float64", requires_grad=True) for x in (-2.5, 2.0))
    (a * mg.tanh(b) + a * a).backward()
    assert run.same_text(shown_in(played, "backward")["gradient-a"], f"{a.grad.item():.6f}")


def test_a_network_learns_while_one_watches(played: list[Fact]) -> None:
    shown = shown_in(played, "palindromes")
    module = importlib.import_module("play_palindromes")
    module.begin(5, 32, 0.003, 0, False)
    seen = module.advance(1)["seen"]
    assert shown == {"seen": str(seen), "answer": "2"}


def test_a_game_is_played(played: list[Fact]) -> None:
    module = importlib.import_module("play_gan")
    usual = {"data": "one", "seed": 0, "lr_g": 0.002, "lr_d": 0.01, "beta1": 0.5, "d_steps": 1}
    usual |= {"r1": 0, "saturating": False}
    module.begin(usual)
    expected = module.rounds(usual, 3)
    shown = shown_in(played, "gan")
    assert run.same_text(shown["distance"], f"{expected['distance']:.2f}")
    assert run.same_text(shown["d-loss"], f"{expected['d_loss']:.2f}")


def test_a_digit_is_found(played: list[Fact]) -> None:
    module = importlib.import_module("play_latent")
    module.begin()
    found = module.find(7, 2)  # the way from digit to digit has taken the seeds 0 and 1
    length = module.show(found["z"])["length"]
    shown = shown_in(played, "latent")
    assert (shown["digit"], shown["tried"]) == ("7", str(found["tried"]))
    assert run.same_text(shown["length"], f"{length:.1f}")
