"""The Python of the site's live pages: cells, their errors, and the checks of exercises."""

import json
import re
import sys
from pathlib import Path

import pytest

from minigrad.learn import exercises

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "docs" / "course"
NUMBERS = [exercise.number for exercise in exercises()]


@pytest.fixture
def live(monkeypatch):
    """The module that runs in the worker; what it reports is in `live.said`."""
    modules = [str(COURSE), str(ROOT / "docs" / "site" / "python")]
    monkeypatch.setattr(sys, "path", [*modules, *sys.path])
    monkeypatch.chdir(ROOT)  # so that the folder is this one again afterwards
    import live

    live.said = []
    live.connect(lambda message: live.said.append(json.loads(message)), lambda text: None)
    live.forget()
    return live


def printed(live):
    return "".join(message["text"] for message in live.said)


def test_cells_share_names_and_show_what_a_notebook_shows(live):
    assert live.run_cell("a = 2\nprint('a =', a)", "block 1") == {}
    assert live.run_cell("print(end='no newline, ')\n[a, 'é ✓']", "block 2") == {}
    assert printed(live) == "a = 2\nno newline, [2, 'é ✓']\n"
    assert live.run_cell("a;", "block 3") == {}
    live.forget()
    assert live.run_cell("a", "block 4")["error"] == "NameError: name 'a' is not defined\n"


def test_a_cell_runs_in_the_folder_of_the_course(live):
    live.run_cell("import os; print(os.getcwd())", "block 1")
    assert printed(live).strip() == str(COURSE)


def test_what_goes_to_stderr_is_shown_too(live):
    live.run_cell("import sys\nprint('careful', file=sys.stderr)", "block 1")
    assert printed(live) == "careful\n"


@pytest.mark.parametrize(
    ("form", "picture", "shown"),
    [
        ("_repr_svg_", "<svg/>", {"svg": "<svg/>"}),
        ("_repr_png_", b"\x89PNG", {"png": "iVBORw=="}),
        ("_repr_svg_", None, {}),
    ],
)
def test_a_value_that_is_a_picture_is_shown_as_one(live, form, picture, shown):
    code = f"class Drawn:\n    def {form}(self): return {picture!r}\n"
    assert live.run_cell(code + "Drawn()", "block 1") == shown
    assert ("Drawn object" in printed(live)) == (not shown)


def test_a_graph_is_shown_as_svg(live):
    code = "import minigrad as mg\nx = mg.tensor([1.0], requires_grad=True)\nmg.draw((x * x).sum())"
    assert "multiply" in live.run_cell(code, "block 1")["svg"]


@pytest.mark.parametrize(
    ("code", "error", "place"),
    [
        ("x = 1\nx / 0", "ZeroDivisionError: division by zero\n", "line 2: `x / 0`"),
        (
            "def f(x):\n    return x[0]\nf(())",
            "IndexError: tuple index out of range\n",
            "line 2: `return x[0]`",
        ),
        (
            "x = 1\nprint((1, 2)",
            "SyntaxError: '(' was never closed (block 1, line 2)\n",
            "line 2: `print((1, 2)`",
        ),
        (
            "exit = __import__('sys').exit\nexit()",
            "SystemExit: \nHere this ends the block, and nothing else.\n",
            "line 2: `exit()`",
        ),
        (
            "import no_such_module",
            "ModuleNotFoundError: there is no module no_such_module here. Python in a page has "
            "minigrad, NumPy, matplotlib and most of the standard library.\n",
            "line 1: `import no_such_module`",
        ),
        (
            "input('name')",
            "RuntimeError: input: a block cannot ask its reader; write the text into the code "
            "instead\n",
            "line 1: `input('name')`",
        ),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: \n", "line 1: `raise KeyboardInterrupt`"),
        (
            "raise MemoryError",
            "MemoryError: \nPython in a browser has 4 GB at most.\n",
            "line 1: `raise MemoryError`",
        ),
        (
            "class C:\n    def __repr__(self): return 1 / 0\nC()",
            "ZeroDivisionError: division by zero\n",
            "line 2: `def __repr__(self): return 1 / 0`",
        ),
    ],
)
def test_an_error_says_what_and_where(live, code, error, place):
    found = live.run_cell(code, "block 1")
    assert (found["error"], found["place"]) == (error, place)


def test_an_error_in_a_function_of_another_cell_names_both_lines(live):
    live.run_cell("def half(x):\n    y = 2\n    return x / (y - 2)", "block 2")
    found = live.run_cell("a = 3\nhalf(a)", "block 7")
    assert found["place"] == "block 2, line 3: `return x / (y - 2)`, called from line 2: `half(a)`"


def test_a_traceback_shows_the_readers_code_and_the_projects_and_no_other(live):
    live.run_cell("import minigrad as mg", "block 1")
    code = "try:\n    mg.zeros(3) + mg.zeros(4)\nexcept ValueError as error:\n"
    found = live.run_cell(code + "    raise RuntimeError('sizes') from error", "block 2")
    files = set(re.findall(r'File "([^"]*)"', found["traceback"]))
    assert "block 2" in files and "minigrad/operation.py" in files
    assert not [name for name in files if name.endswith(("live.py", "cell.py"))]
    assert not [name for name in files if name.startswith(str(ROOT))]


def test_endless_printing_is_cut_and_sent_before_the_end(live):
    class Enough(Exception):
        pass

    def send(message):
        live.said.append(json.loads(message))
        if live.CUT in live.said[-1]["text"]:
            raise Enough  # the page has what it needs, while the cell goes on

    live.connect(send, lambda text: None)
    assert live.run_cell("while True: print('more')", "block 1")["error"].startswith("Enough")
    assert len(printed(live)) < live.LONGEST + len(live.CUT) + 3
    assert len(live.said) < 2 * live.AT_ONCE


def test_a_long_value_is_cut(live):
    live.run_cell("'x' * 10**6", "block 1")
    assert printed(live) == "'" + "x" * (live.LONGEST - 1) + f"\n{live.CUT}\n"


def test_no_time_is_zero_where_the_clock_stands_still(live, monkeypatch):
    import clock

    monkeypatch.setattr(clock, "_now", lambda: 5.0)
    times = [clock.perf_counter() for _ in range(3)]
    assert times[0] < times[1] < times[2] < 5.0001


def test_a_call_answers_in_json(live):
    assert json.loads(live.call("math", "gcd", "[12, 18]")) == {"result": 6}
    said = json.loads(live.call("builtins", "int", '["x"]'))
    assert said["error"] == "ValueError: invalid literal for int() with base 10: 'x'"
    assert "live.py" not in said["traceback"]
    said = json.loads(live.call("builtins", "float", '["nan"]'))  # which JSON cannot express
    assert said["error"].startswith("ValueError")


@pytest.mark.parametrize("number", NUMBERS)
def test_an_exercise_is_not_yet_right_as_it_begins_and_right_with_its_answer(live, number):
    from exercises_in_page import check

    [exercise] = [each for each in exercises() if each.number == number]
    begins, solved = check(number, exercise.template), check(number, exercise.solution)
    assert not begins["right"] and begins["message"].startswith(f"{number} Not yet.")
    assert solved["right"] and solved["message"].startswith(f"{number} Right.")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def rule(:", "0.1 Not yet. Python cannot read line 1, `def rule(:`: invalid syntax."),
        (
            "x = 1\nx / 0",
            "0.1 Not yet. Line 2, `x / 0`, raised ZeroDivisionError: division by zero.",
        ),
        (
            "def difference(f, x, h):\n    return 1",
            "0.1 Not yet. The check calls central_difference, which your answer does not define. "
            "It defines difference: rename it?",
        ),
        ("", "0.1 Not yet. The check calls central_difference, which your answer does not define."),
    ],
)
def test_an_answer_that_cannot_be_called_is_told_why(live, code, message):
    from exercises_in_page import check

    assert check("0.1", code) == {"right": False, "message": message}


def test_answers_have_names_of_their_own(live):
    from exercises_in_page import check

    live.run_cell("secret = 1", "block 1")
    assert "NameError" in check("0.1", "secret")["message"]
    assert check("0.1", "print('seen')\nfrom math import pi")["right"] is False
    assert printed(live) == "seen\n"


def test_each_exercise_stands_in_the_page_of_its_chapter_once():
    stands = []
    for page in sorted(COURSE.glob("[0-9]*.md")):
        [block] = re.findall(r"^```\{exercise\}\n(.*?)\n```$", page.read_text("utf-8"), re.M | re.S)
        stands += [(int(page.name[:2]), number) for number in block.split()]
    assert stands == [(exercise.chapter, exercise.number) for exercise in exercises()]


def test_times_of_steps_needs_no_processes_in_a_browser(live, monkeypatch):
    from figures import fast

    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.chdir(COURSE)
    found = fast.times_of_steps(8)
    assert [*found] == ["NumPy", "Numba"]
    assert all(times.shape == (2, 2) and (times > 0).all() for times in found.values())
