"""The documentation: its blocks run, its links lead somewhere, its commands exist.

Formulas survive Markdown, and numbers in tables are those that they were computed from.

A page's ```python blocks run in order in one namespace. A block that starts with >>> is a doctest.
The chapters of docs/course/ have cells, which test_course.py runs.
"""

import ast
import doctest
import importlib.util
import json
import re
import shlex
import string
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import minigrad as mg
from benchmarks.results import tables

ROOT = Path(__file__).parent.parent
IN_DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if "node_modules" not in page.parts)
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGES = [ROOT / name for name in AT_THE_TOP] + IN_DOCS
WITHOUT_BLOCKS = {
    "CHANGELOG.md",
    "SECURITY.md",
    "benchmarks.md",
    "decisions.md",
    "index.md",
    "reading.md",
    "reliability.md",
    "results.md",
    "teaching.md",
}
FOLDERS_WITHOUT_BLOCKS = {"play", "reference"}  # scripts run there, and docstrings' examples do
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


class Block(NamedTuple):
    """A fenced block: what stands behind its fence, its text, and the line that it starts in."""

    info: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    blocks = []
    lines = page.read_text(encoding="utf-8").splitlines()
    start = None
    for number, line in enumerate(lines, start=1):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
        else:
            text = "\n".join(lines[start : number - 1])
            blocks.append(Block(lines[start - 1].removeprefix("```").strip(), text, start + 1))
            start = None
    if start is not None:
        raise AssertionError(f"{page.name}:{start}: this fence is never closed")
    return blocks


def run(page: Path) -> int:
    """Run a page's blocks in order in one namespace, and return how many there are."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for block in blocks_of(page):
        language, _, options = block.info.partition(" ")
        if language != "python":
            continue
        assert not options, f"{page.name}:{block.line}: unknown option {options!r}"
        count += 1
        if block.text.startswith(">>>"):
            run_doctest(page, block, namespace)
        else:
            run_code(page, block, namespace)
    return count


def run_code(page: Path, block: Block, namespace: dict[str, Any]) -> None:
    """Run a block of code; a failure names the page and the line."""
    line = block.line
    try:
        code = compile("\n" * (line - 1) + block.text, str(page), "exec", dont_inherit=True)
        exec(code, namespace)
    except Exception as error:
        if isinstance(error, SyntaxError):
            line = error.lineno or line
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == str(page) and frame.lineno is not None:
                line = frame.lineno
        source = page.read_text(encoding="utf-8").splitlines()[line - 1].strip()
        message = f"{page.name}:{line}: {source}\n{type(error).__name__}: {error}"
        raise AssertionError(message) from error


def run_doctest(page: Path, block: Block, namespace: dict[str, Any]) -> None:
    """Run a block of >>> lines and compare what they print."""
    parser = doctest.DocTestParser()
    test = parser.get_doctest(block.text, namespace, page.name, str(page), block.line - 1)
    messages: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=messages.append, clear_globs=False)
    namespace.update(test.globs)
    if runner.failures:
        raise AssertionError(f"{page.name}:{block.line}: a line failed\n{''.join(messages)}")


def links_of(page: Path) -> list[tuple[int, str]]:
    """The targets of a page's links, with their lines."""
    text = re.sub(r"^```.*?^```$", _blank, page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`|\$[^$]*\$", _blank, text)
    return [
        (text.count("\n", 0, match.start()) + 1, match[1])
        for match in re.finditer(r"(?:\]\(|<img src=\")([^)\"\s]+)[)\"]", text)
    ]


def _blank(match: re.Match[str]) -> str:
    """Nothing but the line ends, so that lines keep their numbers."""
    return "\n" * match[0].count("\n")


def anchors_of(page: Path) -> set[str]:
    """The names under which GitHub and MyST link to a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, flags=re.M)
    }


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_blocks_run(page: Path) -> None:
    if page.parent.name == "course":
        assert not any(block.info.startswith("python") for block in blocks_of(page)), page.name
        return
    try:
        count = run(page)
    except AssertionError as failure:
        pytest.fail(str(failure), pytrace=False)
    is_expected = page.name not in WITHOUT_BLOCKS and page.parent.name not in FOLDERS_WITHOUT_BLOCKS
    assert count or not is_expected, f"{page.name} has no ```python block"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for line, link in links_of(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}:{line}: {path} does not exist"
        if anchor:
            assert anchor in anchors_of(target), f"{page.name}:{line}: no heading for #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_line_of_text_is_a_comment(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", _blank, page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for line, content in enumerate(text.splitlines(), start=1):
        assert not content.lstrip().startswith("%"), (
            f"{page.name}:{line}: the site leaves out a line that begins with %"
        )


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_formulas_end_where_their_line_ends(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", _blank, page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`|\$\$.*?\$\$", _blank, text, flags=re.S)
    for line, content in enumerate(text.splitlines(), start=1):
        assert content.count("$") % 2 == 0, (
            f"{page.name}:{line}: GitHub wants a formula on one line"
        )


def formulas_of(text: str) -> Iterator[re.Match[str]]:
    """The formulas of a page, with their dollars; of its code nothing but the line ends is left."""
    text = re.sub(r"^```.*?^```$", _blank, text, flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`", "code", text)
    return re.finditer(r"\$\$.*?\$\$|\$[^$\n]+\$", text, flags=re.S)


def opens_emphasis(text: str, place: int) -> bool:
    """Whether Markdown may take the * or _ at a place for the beginning of emphasis.

    CommonMark 0.31, section 6.2: _ opens between a sign and whatever follows, but not in a word; of
    * a formula can do without, so that any is refused.
    """
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    return text[place] == "*" or (before in string.punctuation and not after.isspace())


def eaten_by_markdown(text: str) -> list[str]:
    """What Markdown would change in the formulas of a page, each with its line."""
    found = []
    for formula in formulas_of(text):
        inline = not formula[0].startswith("$$")
        marks = [
            m for m in re.finditer(r"[*_]", formula[0]) if opens_emphasis(formula[0], m.start())
        ]
        marks += re.finditer(r"~|</?[a-zA-Z]|&\w+;|\]\(", formula[0])
        marks += re.finditer(r"\\[!-/:-@\[-`{-~]", formula[0]) if inline else ()
        row_start = formula.string.rfind("\n", 0, formula.start()) + 1
        marks += re.finditer(r"\|", formula[0]) if formula.string[row_start] == "|" else ()
        for mark in marks:
            line = formula.string.count("\n", 0, formula.start() + mark.start()) + 1
            found.append(f"{line}: {mark[0]} in {formula[0]}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_markdown_leaves_formulas_as_they_are(page: Path) -> None:
    assert eaten_by_markdown(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "eaten"),
    [
        ("With $D = D^*$ and $D^*$", 2),
        ("$$D^*$$", 1),
        ("$x_1$, $\\sum_{ij} A_{ij}$, $c_*$", 1),
        ("$(A B)_{pq} + (B A)_{pq}$", 2),
        ("$$\\underbrace{g}_{n}$$", 1),
        ("$a\\,b$ and $$a\\,b$$", 1),
        ("$a <b$ and $a < b$", 1),
        ("| $|x|$ | b |", 2),
        ("$|x|$, `$D^*$`\n```text\n$D^*$\n```\n", 0),
    ],
)
def test_what_markdown_eats_is_found(text: str, eaten: int) -> None:
    assert len(eaten_by_markdown(text)) == eaten


# the directions in which each character goes on: left, right, up, down
WIRES = {"─": "lr", "│": "ud", "┬": "lrd", "┴": "lru", "├": "rud", "┤": "lud"}
WIRES |= {"┌": "rd", "┐": "ld", "└": "ru", "┘": "lu", "┼": "lrud"}
STEPS = {"l": (0, -1), "r": (0, 1), "u": (-1, 0), "d": (1, 0)}
BACK = dict(zip("lrud", "rldu", strict=True))


def edges_of(drawing: str) -> set[tuple[str, str]]:
    """The edges of a drawn graph, from the leftmost end of each wire to its other ends.

    Nodes are names and (signs); one blank may lie between a name and its wire. Of several nodes of
    one name each after the first has its number behind it.
    """
    lines = drawing.splitlines()
    nodes: dict[tuple[int, int], str] = {}
    names: list[str] = []
    for row, line in enumerate(lines):
        for match in re.finditer(r"\(.\)|\w+", line):
            names.append(match[0])
            count = names.count(match[0])
            name = match[0] if count == 1 else f"{match[0]}{count}"
            nodes |= {(row, column): name for column in range(match.start(), match.end())}
    wires = {
        (row, column): WIRES[sign]
        for row, line in enumerate(lines)
        for column, sign in enumerate(line)
        if sign in WIRES
    }
    edges, seen = set(), set()
    for start in wires:
        ends: list[tuple[int, str]] = []
        waiting = [start] if start not in seen else []
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            for way in wires[place]:
                (down, right), (row, column) = STEPS[way], place
                next_to = (row + down, column + right)
                if BACK[way] in wires.get(next_to, ""):
                    waiting.append(next_to)
                    continue
                if next_to not in nodes:
                    next_to = (row, column + 2 * right)
                ends.append((next_to[1], nodes[next_to]))
        for _, end in sorted(ends)[1:]:
            edges.add((min(ends)[1], end))
    return edges


def test_drawn_paths_of_chapter_0_are_those_of_its_text() -> None:
    page = ROOT / "docs" / "course" / "00-derivatives.md"
    [drawing] = [block.text for block in blocks_of(page) if "─" in block.text]
    assert edges_of(drawing) == {  # (*) is z = u v
        ("t", "u"),
        ("t", "v"),
        ("u", "(*)"),
        ("v", "(*)"),
        ("(*)", "z"),
    }


def test_results_are_those_of_the_runs() -> None:
    rows = tables(json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("|")] == [
        line for line in rows.splitlines() if line
    ]


def test_ratios_to_pytorch_are_those_of_the_times() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    cell = re.compile(r" ([\d.]+) = \*\*([\d.]+)\*\*")
    checked = 0
    for table in re.findall(r"^\| PyTorch, eager \|.*?\n\n", text, flags=re.M | re.S):
        rows = [[cell.match(part) for part in row.split("|")[2:]] for row in table.splitlines()]
        for row in rows:
            for found, reference in zip(row, rows[0], strict=False):
                if found and reference:
                    # both times are rounded to hundredths, and so is the ratio
                    ratio = float(found[1]) / float(reference[1])
                    error = 0.005 + 0.005 * (1 + ratio) / float(reference[1])
                    assert abs(ratio - float(found[2])) <= error, found[0]
                    checked += 1
    assert checked > 50


def test_superseded_decisions_name_what_replaced_them() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8").replace("\n", " ")
    marks = re.findall(r"\*\* \*(Superseded[^*]*)\*", text)
    assert marks and len(marks) == text.count(" *Superseded") - 2  # the preface shows two
    for mark in marks:
        names = re.findall(r'"([^"]+)"', mark)
        files = re.findall(r"[\w/]+\.md", mark)
        assert names or files, mark
        for name in names:
            assert f"**{name}" in text.replace("`", ""), f"no paragraph begins with {name!r}"
        assert all((ROOT / "docs" / file).exists() for file in files), mark


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"`([\w./-]+\.(?:py|sh|h))`", page.read_text(encoding="utf-8")):
        assert next(ROOT.rglob(name), None), f"{page.name}: there is no {name}"


# --- the commands that pages name exist, with their options -------------------------------------


STARTS = "python |pip |ruff |mypy|git |pre-commit |benchmarks/|\\.ci/"


def commands_of(page: Path) -> list[list[str]]:
    """The words of each command of a page, in blocks of shell or between backticks."""
    text = page.read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", text, flags=re.M | re.S)).splitlines()
    lines += re.findall(rf"`((?:{STARTS})[^`\n]*)`", text)
    commands: list[list[str]] = []
    for line in lines:
        words = ["&&", *shlex.split(line, comments=True)]
        for word in words:
            if word == "&&":
                commands.append([])
            else:
                commands[-1].append(word)
    return [words for words in commands if words]


COMMANDS = {name: commands_of(page) for name, page in zip(NAMES, PAGES, strict=True)}


@pytest.mark.parametrize("page", [name for name in NAMES if COMMANDS[name]])
def test_commands_of_a_page_exist(page: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    installed = {re.split(r"[^\w-]", package)[0] for package in extras["test"]}
    for words in COMMANDS[page]:
        if words[:2] == ["pip", "install"]:
            installed.update(word for word in words[2:] if not word.startswith(("-", ".")))
    for words in COMMANDS[page]:
        command = " ".join(words)
        for extra in re.findall(r"\[([a-z0-9,]+)\]$", command):
            assert set(extra.split(",")) <= set(extras), f"{command}: no such extra"
        for file in re.findall(r"(?<![\w/.])(?:tests|benchmarks|\.ci)/[\w./-]+", command):
            assert (ROOT / file).exists(), f"{command}: there is no {file}"
        if words[:2] == ["python", "-m"]:
            top = words[2].partition(".")[0]
            known = top in installed or importlib.util.find_spec(words[2])
            assert known, f"{command}: there is no module {words[2]}"
        if words[0] in ("ruff", "mypy", "pre-commit"):
            assert words[0] in installed, f"{command}: nothing installs {words[0]}"


def options_of(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """One of our programs, with its subcommand where it has some, and the options it is given."""
    if words[:2] != ["python", "-m"] or not re.match(r"train|benchmarks|minigrad", words[2]):
        return (), []
    program = (words[2],)
    if program == ("benchmarks",):
        program += (words[3] if words[3:] and words[3].isalpha() else "all",)
    if program == ("minigrad.learn",):
        program += tuple(words[3:4])
    return program, [word for word in words if word.startswith("--")]


OPTIONS: dict[tuple[str, ...], dict[str, str]] = {}  # of each program, with a page that names it
for _page, _commands in COMMANDS.items():
    for _program, _options in map(options_of, _commands):
        OPTIONS.setdefault(_program, {}).update(dict.fromkeys(_options, _page))


@pytest.mark.parametrize("program", [p for p in OPTIONS if OPTIONS[p]], ids=" ".join)
def test_options_that_a_page_names_exist(program: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", *program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for option, page in OPTIONS[program].items():
        assert re.search(rf"{option}\b", done.stdout), (
            f"{page}: {' '.join(program)} has no {option}"
        )


def test_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```sh\npip install -e ".[test]" && mypy  # both\n```\n1. a\n\n   ```sh\n   ruff check .\n'
        "   ```\n\n`python -m train.gan --epochs 1`, `pythons`\n```python\npip = 1\n```\n"
    )
    assert commands_of(page) == [
        ["pip", "install", "-e", ".[test]"],
        ["mypy"],
        ["ruff", "check", "."],
        ["python", "-m", "train.gan", "--epochs", "1"],
    ]


# --- the changelog ------------------------------------------------------------------------------

KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # Keep a Changelog's


def test_changelog_is_of_this_version_and_of_the_usual_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+)\] - (\d{4}-\d\d-\d\d|Unreleased)$", text, flags=re.M)
    assert len(versions) == len(re.findall(r"^## ", text, flags=re.M)), "a heading of another form"
    assert versions[0][0] == mg.__version__
    dates = [date for _, date in versions]
    assert "Unreleased" not in dates[1:] and dates[1:] == sorted(dates[1:], reverse=True)
    assert set(re.findall(r"^### (.*)$", text, flags=re.M)) <= KINDS


NAMED = "cuBLAS cuDNN minigrad tinygrad float32 float64 int64"  # that begin with a small letter
SHAPES = "NTDHVC"  # sizes, which are written large


def docstrings_of(source: str) -> Iterator[tuple[str, str]]:
    """The docstrings of a file, each with the rest of what it describes."""
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node, clean=False)):
            start, end = getattr(node, "lineno", 1), getattr(node, "end_lineno", None)
            yield docstring, "\n".join(source.splitlines()[start - 1 : end]).replace(docstring, "")


def bent_in(source: str) -> list[str]:
    """The docstrings of a file in which a formula or a name begins large though it is small."""
    large = "|".join(name.capitalize() for name in NAMED.split()) + "|CuBLAS|CuDNN"
    bent = []
    for docstring, rest in docstrings_of(source):
        formula = re.match(
            r"([A-Z]) (?:[=+*/<>-]|where\b)", docstring
        )  # "y = a b", "x where x > 0"
        if re.search(rf"\b(?:{large})\b", docstring) or (
            formula
            and formula[1] not in SHAPES
            and not re.search(rf"\b{formula[1]}\b", docstring[1:] + rest)
        ):
            bent.append(docstring)
    return bent


def test_formulas_and_names_keep_their_case() -> None:
    tops = ("minigrad", "models", "train", "benchmarks", "tests")
    for source in (path for top in tops for path in (ROOT / top).rglob("*.py")):
        assert bent_in(source.read_text(encoding="utf-8")) == [], source


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_keep_the_case_of_names(page: Path) -> None:
    large = "|".join(name.capitalize() for name in NAMED.split()) + "|CuBLAS|CuDNN"
    assert re.findall(rf"\b(?:{large})\b", page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "bent"),
    [
        ('def f(g, a, b):\n    """Y = a b, so dL/da = g b^T."""', 1),
        ('def f(g, a, b):\n    """y = a b, so dL/da = g b^T."""', 0),
        ('def f(A, B):\n    """C = A B by rows."""', 0),
        ('def f(R):\n    """R + a small number."""', 0),
        ('class F:\n    """X where x > 0, else 0."""', 1),
        ('"""CuBLAS\'s handle."""', 1),
        ('"""Float32 sums."""', 1),
        ('"""A - however it is meant - is an article; A."""', 0),
    ],
)
def test_bent_docstrings_are_found(source: str, bent: int) -> None:
    assert len(bent_in(source)) == bent


def test_index_leads_to_every_page() -> None:
    """By links of its own, or of the index of a folder to which it leads."""
    waiting, reached = [ROOT / "docs" / "index.md"], set()
    while waiting:
        index = waiting.pop()
        targets = {(index.parent / link).resolve() for _, link in links_of(index)}
        waiting += [page for page in targets - reached if page.name == "index.md"]
        reached |= targets
    assert reached.issuperset(IN_DOCS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# A page\n\n```python\nx = 1\nassert x == 2\n```\n", r"page.md:5: assert x == 2"),
        ("```python\nx = 1\n```\n\n```python\nx +\n```\n", r"page.md:6: x \+\nSyntaxError"),
        ("```python\n>>> 1 + 1\n3\n```\n", r"(?s)page.md:2: .*line 2, .*Expected:"),
        ("```python quote=a.py\nx = 1\n```\n", r"page.md:2: unknown option 'quote=a.py'"),
        ("text\n```python\nx = 1\n", r"page.md:2: this fence is never closed"),
    ],
    ids=["assertion", "syntax", "doctest", "option", "fence"],
)
def test_failure_names_page_and_line(tmp_path: Path, text: str, message: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=message):
        run(page)


def test_blocks_share_one_namespace(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 1\n```\n```text\nno code\n```\n```python\n>>> y = x + 1\n```\n"
        "```python\nassert (x, y) == (1, 2)\n```\n"
    )
    assert run(page) == 3


def test_links_and_headings_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Un-broadcasting: `x + b`\n\n[a](b.md)\n"
        '```python\nc[d](e)\n# no heading\n```\n`[f](g)`\n[h](i)\n<img src="j.png" width="9">'
    )
    assert links_of(page) == [(3, "b.md"), (9, "i"), (10, "j.png")]
    assert anchors_of(page) == {"un-broadcasting-x--b"}
