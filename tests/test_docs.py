"""The documentation: its blocks run, its quotations stand in the source, its links lead somewhere.

A page's ```python blocks run in order in one namespace. A block that starts with >>> is a doctest;
```python quote=path/to/file.py is not run, but has to stand in that file, at any indentation; a
line "# ..." stands for lines left out.
"""

import doctest
import re
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITHOUT_BLOCKS = {"benchmarks.md", "decisions.md", "results.md"}
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
        language, *options = block.info.split()
        if language != "python":
            continue
        count += 1
        if options:
            [(key, source)] = [option.split("=") for option in options]
            assert key == "quote", f"{page.name}:{block.line}: unknown option {key!r}"
            check_quotation(page, block, ROOT / source)
        elif block.text.startswith(">>>"):
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


def check_quotation(page: Path, block: Block, source: Path) -> None:
    """Check that a block stands in a source file, at any indentation."""
    lines = source.read_text(encoding="utf-8").splitlines()
    pieces: list[list[str]] = [[]]
    for line in block.text.splitlines():
        if line.strip() == "# ...":
            pieces.append([])
        else:
            pieces[-1].append(line)
    if not any(_follow_each_other(pieces, lines, " " * indent) for indent in range(0, 20, 4)):
        raise AssertionError(f"{page.name}:{block.line}: this does not stand in {source.name}")


def _follow_each_other(pieces: list[list[str]], lines: list[str], indent: str) -> bool:
    position = 0
    for piece in pieces:
        passage = [indent + line if line else "" for line in piece]
        count = len(passage)
        while lines[position : position + count] != passage:
            position += 1
            if position > len(lines):
                return False
        position += count
    return True


def links_of(page: Path) -> list[tuple[int, str]]:
    """The targets of a page's links, with their lines."""
    text = re.sub(r"^```.*?^```$", _blank, page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`|\$[^$]*\$", _blank, text)
    return [
        (text.count("\n", 0, match.start()) + 1, match[1])
        for match in re.finditer(r"\]\(([^)\s]+)\)", text)
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
    try:
        count = run(page)
    except AssertionError as failure:
        pytest.fail(str(failure), pytrace=False)
    assert count or page.name in WITHOUT_BLOCKS, f"{page.name} has no ```python block"


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
def test_formulas_end_where_their_line_ends(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", _blank, page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`|\$\$.*?\$\$", _blank, text, flags=re.S)
    for line, content in enumerate(text.splitlines(), start=1):
        assert content.count("$") % 2 == 0, (
            f"{page.name}:{line}: GitHub wants a formula on one line"
        )


def test_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    reached = {(index.parent / link).resolve() for _, link in links_of(index)}
    assert reached.issuperset(set(PAGES[1:]) - {index})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# A page\n\n```python\nx = 1\nassert x == 2\n```\n", r"page.md:5: assert x == 2"),
        ("```python\nx = 1\n```\n\n```python\nx +\n```\n", r"page.md:6: x \+\nSyntaxError"),
        ("```python\n>>> 1 + 1\n3\n```\n", r"(?s)page.md:2: .*line 2, .*Expected:"),
        ("```python quote=minigrad/engine.py\nclass Rekord:\n```\n", r"page.md:2: .*engine.py"),
        (
            "```python quote=minigrad/engine.py\n    on = True\n    # ...\nclass Record:\n```\n",
            r"page.md:2: .*engine.py",
        ),
        ("text\n```python\nx = 1\n", r"page.md:2: this fence is never closed"),
    ],
    ids=["assertion", "syntax", "doctest", "quotation", "order", "fence"],
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
        "```python quote=minigrad/engine.py\nwhile True:\n    # ...\n"
        "    _, record = heappop(queue)\n    # ...\n"
        "    gradients = record.pull(g, wanted, create_graph)\n```\n"
    )
    assert run(page) == 4


def test_links_and_headings_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Un-broadcasting: `x + b`\n\n[a](b.md)\n"
        "```python\nc[d](e)\n# no heading\n```\n`[f](g)`\n[h](i)"
    )
    assert links_of(page) == [(3, "b.md"), (9, "i")]
    assert anchors_of(page) == {"un-broadcasting-x--b"}
