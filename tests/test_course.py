"""The course: its pages show what they say, in the form that they share, with no word too early.

docs/course/run.py runs the cells of a page and compares; here stands what else a page promises.
"""

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from minigrad.learn.exercise import LEVELS, exercises

ROOT = Path(__file__).parent.parent
COURSE = ROOT / "docs" / "course"
STEPS = ROOT / "docs" / "steps"
CHAPTERS = sorted(COURSE.glob("[0-9]*.md"))
NAMES = [page.stem for page in CHAPTERS]


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run = loaded("course_run", COURSE / "run.py")
style = loaded("course_style", COURSE / "figures" / "style.py")


def text_of(page: Path) -> str:
    """A page without its front matter and fenced blocks; lines keep their numbers."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"\A---\n.*?^---$", _blank, text, flags=re.M | re.S)
    return re.sub(r"^```.*?^```$", _blank, text, flags=re.M | re.S)


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


# what cells show


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_page_shows_what_it_says(page: Path) -> None:
    shown = []
    try:
        for cell, result in run.shown_by(page):
            shown.append((cell, result))
    except run.PageError as error:
        pytest.fail(str(error), pytrace=False)
    problems = run.compared(page, shown)
    assert not problems, "\n\n".join(problems)
    silent = [cell.line for cell, result in shown if not result.text and result.png is None]
    for cell, _ in shown:
        if cell.line in silent:
            kinds = {type(node) for node in ast.parse(cell.code).body}
            defines = kinds <= {ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef}
            assert defines, f"{page.name}:{cell.line}: this cell shows nothing"
    assert len(silent) <= len(shown) / 3, f"{page.name}: cells {silent} show nothing"
    for cell, result in shown:
        both = result.png is not None and result.text
        assert not both, f"{page.name}:{cell.line}: text and a picture need two cells"
        if isinstance(result.value, Figure):
            assert not faults_of(result.value), f"{page.name}:{cell.line}"


PALETTE = {
    to_hex(colour)
    for name, colour in vars(style).items()
    if name.isupper() and isinstance(colour, str)
} | {"#ffffff", "#dddddd", "#333333"}


def faults_of(figure: Figure) -> Iterator[str]:
    """What cannot be read on a phone, or told apart without seeing colours."""
    faults = []
    if figure.get_figwidth() > 6:
        faults.append(f"{figure.get_figwidth()} inches wide")
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text.get_fontsize() < 9:
            faults.append(f"{text.get_text()!r} in {text.get_fontsize()} points")
    for line in figure.findobj(Line2D):
        if to_hex(line.get_color()) not in PALETTE:
            faults.append(f"a line in {line.get_color()}, which style.py does not have")
    return faults


def test_figures_that_cannot_be_read_are_found() -> None:
    figure, [axes] = style.panels()
    assert not faults_of(figure)
    axes.plot([0, 1], color="red")
    axes.text(0, 0, "small", fontsize=6)
    assert len(faults_of(figure)) == 2
    with pytest.raises(ValueError, match="6 inches wide, got 8"):
        style.panels(width=8)


def test_every_picture_is_one_that_a_cell_shows() -> None:
    made = set()
    for page in CHAPTERS:
        of_cells = {cell.picture for cell in run.cells_of(page)}
        for alternative, target in re.findall(r"!\[([^\]]*)\]\((\S+)\)", text_of(page)):
            path = page.parent / target
            assert len(alternative) >= 20, f"{page.name}: say what one sees in {target}"
            assert path in of_cells or path in made, f"{page.name}: no cell shows {target}"
            with Image.open(path) as picture:
                assert picture.width <= 6 * style.DOTS_PER_INCH or "graph" in target
            made.add(path)
    assert made == set((COURSE / "pictures").iterdir()), "a picture that no page shows"


# what pages quote


INCLUDE = re.compile(r"^```\{literalinclude\} (\S+)\n((?::.*\n)*)```$", re.M)


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_quoted_source_exists_and_is_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("```{literalinclude}") == len(INCLUDE.findall(text))
    for target, options in INCLUDE.findall(text):
        source = (page.parent / target).read_text(encoding="utf-8")
        assert f"]({target})" in text, (
            f"{page.name}: no link to {target} for those without the site"
        )
        found = dict(re.findall(r"^:([\w-]+): (.*)$", options, flags=re.M))
        assert "#" not in options, f"{page.name}: MyST takes what follows # for a comment"
        lines = quoted(source, found)
        assert set(found) <= {"pyobject", "start-at", "end-at", "end-before", "language", "dedent"}
        assert lines, f"{page.name}: {target} has nothing that is {found}"
        assert len(lines) <= 60, f"{page.name}: {target}: {len(lines)} lines"


def quoted(source: str, options: dict[str, str]) -> list[str]:
    """The lines that Sphinx would take from a file."""
    lines = source.splitlines()
    if "pyobject" in options:
        nodes = {}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                nodes[node.name] = node
            if isinstance(node, ast.ClassDef):
                methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
                nodes |= {f"{node.name}.{method.name}": method for method in methods}
        node = nodes.get(options["pyobject"])
        lines = lines[node.lineno - 1 : node.end_lineno] if node else []
    if "start-at" in options:
        starts = [i for i, line in enumerate(lines) if options["start-at"] in line]
        lines = lines[starts[0] :] if starts else []
    for name, more in (("end-at", 1), ("end-before", 0)):
        if name in options:
            ends = [i for i, line in enumerate(lines) if options[name] in line]
            lines = lines[: ends[0] + more] if ends else []
    return lines


def test_every_step_is_shown_as_the_difference_from_the_one_before() -> None:
    steps = sorted(STEPS.glob("[0-9]*.py"))
    first = f"```{{literalinclude}} ../steps/{steps[0].name}\n```"
    texts = {page: page.read_text(encoding="utf-8") for page in CHAPTERS}
    assert [page.stem for page in CHAPTERS if first in texts[page]] == ["01-graph"]
    shown = []
    for page, text in texts.items():
        found = re.findall(r"^```\{step\} (\S+)\n:after: (\S+)\n```$", text, flags=re.M)
        assert len(found) == text.count("```{step}")
        assert all(f"]({target})" in text for target, _ in found)
        shown += [tuple((page.parent / name).resolve() for name in pair) for pair in found]
    assert shown == [(new, old) for old, new in pairwise(steps)]


def test_differences_show_engines_alone() -> None:
    steps = sorted(STEPS.glob("[0-9]*.py"))
    for before, after in pairwise(steps):
        source = after.read_text(encoding="utf-8")
        engine = "\n".join(run.engine_of(source))
        names = [
            [node.name for node in ast.parse(text).body if hasattr(node, "name")]
            for text in (engine, source)
        ]
        assert names[0] == names[1] and "__main__" not in engine
        changes = run.changes_of_engine(before, after).splitlines()
        new = [line[1:] for line in changes if line.startswith("+")]
        assert changes[0].startswith("@@") and set(new) <= set(engine.splitlines())


# the form that they share


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_page_has_the_form_of_a_chapter(page: Path) -> None:
    text = text_of(page)
    number = int(page.name[:2])
    assert re.search(rf"^# {number}\. ", text, flags=re.M)
    overview = text[: text.index("\n## ")]
    for part in ("**The question.**", "**You need**", "**Afterwards you can**", "**Time**"):
        assert part in overview, part
    headings = re.findall(r"^## (.*)$", text, flags=re.M)
    for heading in ("Break it", "Exercises", "Summary", "Where to go on"):
        assert heading in headings, heading
    assert len(re.findall(r"!\[", text)) >= 2, "two pictures at least"
    source = page.read_text(encoding="utf-8")
    assert source.startswith(
        "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n"
        "  language: python\n---\n"
    )
    fences = re.findall(r"^```(\S.*)$", source, flags=re.M)
    known = ("{code-cell}", "{output}", "{literalinclude}", "{step}", "{exercise}", "text", "sh")
    assert all(fence.startswith(known) for fence in fences), fences


TIME = re.compile(r"\*\*Time\*\*: (\d+) minutes of reading, (\d+) of exercises\.")


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_page_lists_the_exercises_of_its_chapter(page: Path) -> None:
    chapter = int(page.name[:2])
    section = page.read_text(encoding="utf-8").partition("\n## Exercises\n")[2]
    listed = re.findall(
        r"^\| ([\dPB]+\.\d+) \| .* \| (easy|medium|hard) \| (\d+) \|$", section, re.M
    )
    own = [e for e in exercises() if e.chapter == chapter]
    assert listed == [(e.number, LEVELS[e.level], str(e.minutes)) for e in own]
    [here] = re.findall(r"^```\{exercise\}\n(.*?)```$", section, re.M | re.S)  # to do in the page
    assert here.split() == [e.number for e in own]
    reading, exercise = TIME.search(text_of(page)).groups()
    assert abs(sum(e.minutes for e in own) - int(exercise)) <= 5
    for name, form in (("index.md", "{} + {} min"), ("teaching.md", "{} min | {} min")):
        [line] = [
            x for x in (ROOT / "docs" / name).read_text().splitlines() if f"/{page.name})" in x
        ]
        assert form.format(reading, exercise) in line, name
    assert sum(e.number.startswith(f"{chapter}.") for e in own) >= 3


# no term before it is explained


class Term(NamedTuple):
    """A term of the glossary, the chapter that explains it, and what finds it in a text."""

    name: str
    chapter: str
    pattern: re.Pattern[str]


@cache
def glossary() -> list[Term]:
    text = (COURSE / "glossary.md").read_text(encoding="utf-8")
    terms = []
    for entry in text.split("\n## ")[1:]:
        found = re.fullmatch(
            r"(?P<name>.+)\n\n(?:Also: (?P<forms>.+)\.\n\n)?(?P<definition>.+) "
            r"\[Chapter (?P<number>\d+)\]\((?P<page>\S+)\.md\)\n*",
            entry,
        )
        assert found, f"an entry of another form: {entry}"
        assert found["page"] in NAMES and int(found["page"][:2]) == int(found["number"])
        forms = [found["name"], *re.split(r", *", found["forms"] or found["name"])]
        words = "|".join(sorted(map(re.escape, forms), key=len, reverse=True))
        pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.I)
        terms.append(Term(found["name"], found["page"], pattern))
    return terms


def test_glossary_is_in_alphabetical_order() -> None:
    names = [term.name.lower().lstrip(".`") for term in glossary()]
    assert names == sorted(names) and len(names) == len(set(names)) > 80


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_terms_are_explained_where_they_come_first(page: Path) -> None:
    """A term is first met, overviews aside, in its own chapter, and there in bold."""
    early = []
    text = text_of(page)
    start = text.index("\n## ")
    body = text[:start].count("\n") * "\n" + text[start:]
    links_to_files = r"\[[\w/]+\.py\]\(\S+?\)"
    body = re.sub(
        rf"{links_to_files}|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|^#+ .*$", "", body, flags=re.M
    )
    spans = list(re.finditer(r"\*\*[^*]+\*\*", body))  # in order, so a closing ** opens none
    for term in glossary():
        first = term.pattern.search(body)
        if not first or term.chapter < page.stem:
            continue
        line = body.count("\n", 0, first.start()) + 1
        bold = next((span for span in spans if term.pattern.search(span[0])), None)
        if term.chapter > page.stem:
            early.append(f"{page.name}:{line}: {first[0]!r} is explained in {term.chapter}")
        elif not bold:
            early.append(f"{page.name}:{line}: {first[0]!r} is nowhere in bold")
        elif bold.start() > first.start():
            early.append(f"{page.name}:{line}: {first[0]!r} comes before it is explained")
    assert not early, "\n".join(early)


# the runner itself


@pytest.mark.parametrize(
    ("now", "before", "same"),
    [
        ("loss 0.123", "loss 0.124", True),  # the last digit
        ("loss 0.123", "loss 0.126", False),
        ("12345.6", "12350.1", True),  # a thousandth
        ("count 7", "count 8", False),  # integers exactly
        ("loss 0.1", "Loss 0.1", False),
        ("1.0 2.0", "1.0", False),
        ("[1. 2.]\n", "[1.  2.]", True),  # spaces
        ("[1. 2.]", "[1.\n 2.]", False),  # but not lines
        ("x1 and 1e-07", "x1 and 2e-07", True),
        ("x1 and 1e-07", "x1 and 3e-07", False),
        ("a 3.0", "a 3", True),
        ("a -3", "a 3", False),
    ],
)
def test_texts_are_compared_number_by_number(now: str, before: str, same: bool) -> None:
    assert run.same_text(now, before) == same


def test_a_cell_that_varies_may_show_other_numbers_in_the_same_text() -> None:
    assert run.same_text("took 3.1 s", "took 9.7 s", varies=True)
    assert not run.same_text("took 3.1 ms", "took 9.7 s", varies=True)


def drawn(height: float = 1.0, word: str = "loss") -> bytes:
    figure, [axes] = style.panels()
    axes.plot([0, 1, 2], [0, height, 0.5])
    style.label(axes, 0.5, 0.2, word)
    return figure._repr_png_()


def test_pictures_are_compared_by_what_they_show() -> None:
    assert run.same_picture(run.compressed(drawn()), drawn())
    assert not run.same_picture(drawn(height=0.9), drawn())
    assert not run.same_picture(drawn(word="accuracy"), drawn())


PAGE = """# A page

```{code-cell}
from figures.style import panels
```

```{code-cell}
x = 3.0
print("x is", x)
[].append(x);
x / 7
```

```{code-cell}
:tags: [raises-exception]

[][1]
```

```{code-cell}
figure, [axes] = panels()
axes.plot([0, x])
figure
```

![A line that rises from zero to three](a-line.png)
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "figures").symlink_to(COURSE / "figures")
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_outputs_are_written_once_and_then_compared(page: Path) -> None:
    assert len(run.compared(page, run.shown_by(page))) == 3  # two texts and a picture are missing
    run.write(page)
    text = page.read_text(encoding="utf-8")
    assert "```{output}\nx is 3.0\n0.42857142857142855\n```" in text
    assert "```{output}\nIndexError: list index out of range\n```" in text
    assert run.compared(page, run.shown_by(page)) == []
    run.write(page)
    assert page.read_text(encoding="utf-8") == text
    page.write_text(text.replace("x is 3.0", "x is 4.0"), encoding="utf-8")
    [problem] = run.compared(page, run.shown_by(page))
    assert problem.startswith("page.md:8: this cell shows\nx is 3.0")
    page.write_text(text.replace("[0, x]", "[x, 0]"), encoding="utf-8")
    assert "a-line.png shows something else" in run.compared(page, run.shown_by(page))[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x = 3.0", "x = y", "page.md:8: NameError: name 'y' is not defined"),
        ("x = 3.0", "x = (", "page.md:8: SyntaxError: "),
        ("[][1]", "[1][0]", "page.md:17: this cell should fail, and does not"),
        (
            "rises from zero to three](a-line.png)\n",
            "](a-line.png)\n```{code-cell}\n",
            "never closed",
        ),
    ],
)
def test_failing_cells_are_named(page: Path, old: str, new: str, message: str) -> None:
    page.write_text(PAGE.replace(old, new), encoding="utf-8")
    with pytest.raises(run.PageError, match=re.escape(message)):
        list(run.shown_by(page))


def test_command_says_which_page_is_wrong(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, code in [([], 1), (["--write"], 0), ([], 0)]:
        monkeypatch.setattr(sys, "argv", ["run.py", str(page), *options])
        assert run.main() == code
    assert "say what their cells show" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["run.py", "no-page.md"])
    with pytest.raises(SystemExit, match="2"):
        run.main()
    assert "there is no page 'no-page.md'" in capsys.readouterr().err
