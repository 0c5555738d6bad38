"""How the site is built, without a browser: what is wrong in a page fails with its line.

What pages do in a browser is tested in test_site.py.
"""

import base64
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SITE = ROOT / "docs" / "site"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
FRONT = """\
---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
  language: python
---

"""

sys.path.insert(0, str(SITE))
build = importlib.import_module("build")
links = importlib.import_module("links")


def folder_with(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


# links


SOUND = {
    "index.html": (
        '<h1 id="top">A</h1><a href="b/page.html#place">b</a> <a href="#top">up</a>'
        '<link rel="stylesheet" href="style.css?v=1"><script src="s.js"></script>'
        '<a href="https://example.org/read">elsewhere</a> <img src="data:image/gif;base64,R0==">'
    ),
    "b/page.html": '<p id="place">here</p><a href="../index.html">back</a>',
    "style.css": 'p { background: url("b/page.html"); color: red }',
    "s.js": 'import { a } from "./a.js"; // see https://example.org',
}


def test_a_sound_site_has_no_problems(tmp_path: Path) -> None:
    assert list(links.problems(folder_with(tmp_path, SOUND))) == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.html", '\n<a href="gone.html">', "p.html:2: gone.html leads nowhere: there is no gone"),
        ("p.html", '<a href="b/page.html#no">', "p.html:1: .* page.html has no place #no"),
        ("p.html", '<a href="#no">', "p.html:1: #no leads nowhere"),
        ("p.html", '<a href="../../x.html">', "p.html:1: ../../x.html leads out of the site"),
        ("p.html", '<img src="no.png">', "p.html:1: no.png leads nowhere"),
        ("p.html", '<img src="https://a.org/x.png">', "p.html:1: loads https://a.org/x.png from"),
        ("p.html", '<script src="//a.org/x.js">', "p.html:1: loads //a.org/x.js from"),
        ("p.html", '<link href="https://a.org/x.css" rel="stylesheet">', "p.html:1: loads https:"),
        ("p.html", '<p style="background: url(http://a.org/x)">', "p.html:1: loads http://a.org/x"),
        ("p.css", "\na { b: url(https://a.org/f.woff2) }", "p.css:2: loads https://a.org/f.woff2"),
        ("p.css", '@import "https://a.org/x.css";', "p.css:1: loads https://a.org/x.css"),
        ("p.css", "a { b: url('no.woff2') }", "p.css:1: no.woff2 leads nowhere"),
        ("p.js", '\nimport x from "https://a.org/x.js";', "p.js:2: loads https://a.org/x.js"),
        ("p.js", 'fetch("https://a.org/x.json")', "p.js:1: loads https://a.org/x.json"),
        ("p.mjs", "await import('https://a.org/x.js')", "p.mjs:1: loads https://a.org/x.js"),
        ("p.js", "importScripts(`//a.org/x.js`)", "p.js:1: loads //a.org/x.js"),
    ],
)
def test_a_dead_link_and_another_host_are_found(
    name: str, text: str, problem: str, tmp_path: Path
) -> None:
    [found] = links.problems(folder_with(tmp_path, {**SOUND, name: text}))
    assert found.startswith("p.")
    assert re.search(problem, found), found


def test_a_heavy_page_is_found_as_a_host_sends_it(tmp_path: Path) -> None:
    limit = links.LIMITS["index.html"]
    site = folder_with(tmp_path, {"index.html": "<img src=a.png>" + "x" * limit})
    picture = site / "a.png"
    picture.write_bytes(b"x" * (limit - 2 * links.KIB))
    assert list(links.too_heavy(site)) == []  # text is compressed
    links.sent.cache_clear()
    picture.write_bytes(b"x" * (limit + 2 * links.KIB))  # a picture is not
    [problem] = links.too_heavy(site)
    assert problem == "index.html: 302 KiB are sent, more than 300"


def test_a_page_weighs_the_fonts_of_its_formulas(tmp_path: Path) -> None:
    page = '<span class="katex"><span class="mord mathnormal">x</span></span>'
    site = folder_with(tmp_path, {"index.html": page, "b.html": "<p>katex</p>"})
    fonts = [path.name for path in links.fonts_of(site, site / "index.html")]
    assert fonts == ["KaTeX_Main-Regular.woff2", "KaTeX_Math-Italic.woff2"]
    assert links.fonts_of(site, site / "b.html") == []


# cells


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course with one page, which fails in its second cell."""
    page = "# A\n\n```{code-cell}\nx = 1\nx\n```\n\n```{output}\n1\n```\n\n"
    page += "```{code-cell}\ny = 2\nx / 0\n```\n"
    names = {f"{name}/__init__.py": "" for name in ("minigrad", "models", "train")}
    folder_with(tmp_path, {**names, "docs/course/00-a.md": page, "docs/steps/01.py": ""})
    for name in ("run.py", "cell.py"):
        shutil.copy(ROOT / "docs" / "course" / name, tmp_path / "docs" / "course")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(build, "WORK", tmp_path / "build")
    return tmp_path / "docs" / "course" / "00-a.md"


def test_a_failing_cell_fails_the_build_with_its_line(course: Path) -> None:
    for _ in range(2):  # a failure is not remembered
        with pytest.raises(build.BuildError, match=r"00-a.md:14: ZeroDivisionError"):
            build.check_cells()


def test_cells_run_again_only_where_something_has_changed(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = course.read_text(encoding="utf-8")
    course.write_text(text.replace("x / 0\n", "x / 1;\n"), encoding="utf-8")
    ran = []
    check = build.check_page
    monkeypatch.setattr(build, "check_page", lambda page: ran.append(page) or check(page))
    build.check_cells()
    build.check_cells()
    assert ran == [course]
    folder_with(build.ROOT, {"minigrad/engine.py": "changed = True"})
    build.check_cells()
    assert ran == [course, course]
    course.write_text(course.read_text(encoding="utf-8").replace("\n1\n", "\n3\n"))
    with pytest.raises(build.BuildError, match=r"00-a.md:4: this cell shows\n1\nand the page says"):
        build.check_cells()


def test_without_node_the_build_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["build.py", "--out", str(tmp_path / "site")])
    assert build.main() == 2
    message = capsys.readouterr().err
    assert "There is no node. The site needs Node 20 or newer with npm" in message
    assert not (tmp_path / "site").exists()


def test_a_folder_that_is_no_site_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_with(tmp_path, {"mine.txt": "mine"})
    monkeypatch.setattr(sys, "argv", ["build.py", "--out", str(tmp_path)])
    assert build.main() == 2
    assert "has files, but no site" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


# pages


SKIPPED = (
    "sphinx is not installed: pip install -e '.[docs]'"
    if importlib.util.find_spec("myst_nb") is None
    else f"npm ci has not been called in {SITE.relative_to(ROOT)}"
    if build.installed() != build.wanted() or shutil.which("node") is None
    else ""
)
NEEDS_SPHINX = pytest.mark.skipif(bool(SKIPPED), reason=SKIPPED)

GOOD = (
    FRONT
    + r"""# A page

A formula, $\frac{1}{2}$, the file [engine.py](../minigrad/engine.py), [its folder](../minigrad/).

As in chapter
[4](#a-page), in chapter [5](#a-page) and in chapter 6: 7
per cent is 7 %, and `8 %` is code.

$$
x^2 \tag{1}
$$

```{code-cell}
print("shown")
```

```{output}
shown
```

```{code-cell}
:tags: [raises-exception]

1 / 0
```

```{output}
ZeroDivisionError: division by zero
```

![A picture of one pixel.](pictures/00-a.png)

```{literalinclude} steps/01.py
:pyobject: f
```

```{step} steps/02.py
:after: steps/01.py
```
"""
)
BAD = "# A page\n\nA formula $\\frac{1}{$.\n\nAnd $x^2 = é$.\n\nA [link](gone.md).\n"


def site_of(tmp_path: Path, page: str) -> subprocess.CompletedProcess[str]:
    """Build a project with one page, by the settings and the extensions of the real one."""
    files = {
        "docs/index.md": page,
        "docs/steps/01.py": '"""A step."""\n\n\ndef f():\n    return 1\n',
        "docs/steps/02.py": '"""A step."""\n\n\ndef f():\n    return 2\n',
        "minigrad/engine.py": "first = 1\nsecond = 2\n",
    }
    folder_with(tmp_path, files)
    (tmp_path / "docs" / "pictures").mkdir()
    (tmp_path / "docs" / "pictures" / "00-a.png").write_bytes(base64.b64decode(PNG))
    for name in ("conf.py", "site", "course"):
        (tmp_path / "docs" / name).symlink_to(ROOT / "docs" / name)
    options = ["-q", "-W", "--keep-going", "-D", "exclude_patterns=site,course,steps"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, tmp_path / "docs", tmp_path / "out"],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    called = site_of(folder, GOOD)
    assert called.returncode == 0, called.stderr
    return folder / "out"


@NEEDS_SPHINX
def test_bad_formulas_and_dead_links_fail_with_their_lines(tmp_path: Path) -> None:
    called = site_of(tmp_path, BAD)
    assert called.returncode == 1
    for line, words in [(3, "KaTeX parse error"), (5, "unicodeTextInMathMode"), (7, "gone.md")]:
        [found] = [text for text in called.stderr.splitlines() if f"index.md:{line}:" in text]
        assert words in found


@NEEDS_SPHINX
@pytest.mark.parametrize("setting", ["on", "off"])
def test_a_class_may_get_a_site_without_answers(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGRAD_ANSWERS", setting)
    called = site_of(tmp_path, "# A page\n\n```{exercise}\n0.1\n```\n")
    assert called.returncode == 0, called.stderr
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert 'data-name="Hint 2"' in page
    assert ('data-name="Answer"' in page) == (setting == "on")
    assert importlib.import_module("bundle").environment() == {"MINIGRAD_ANSWERS": setting}


@NEEDS_SPHINX
def test_formulas_are_there_without_scripts(good: Path) -> None:
    page = (good / "index.html").read_text(encoding="utf-8")
    assert page.count('class="katex-html"') == page.count("<math ") == 2
    assert not re.search("<script[^>]*mathjax", page, re.I)
    assert list(links.problems(good)) == []
    styles = (good / "_static" / "katex" / "katex.min.css").read_text(encoding="utf-8")
    assert styles.count(".woff2") == len(list((good / "_static" / "katex" / "fonts").iterdir()))


@NEEDS_SPHINX
def test_no_new_line_parts_a_number_from_its_word(good: Path) -> None:
    text = re.sub("<[^>]*>", "", (good / "index.html").read_text(encoding="utf-8"))
    words = [f"chapter\N{NO-BREAK SPACE}{number}" for number in (4, 5, 6)]
    assert all(text.count(word) == 1 for word in (*words, "7\N{NO-BREAK SPACE}%", "8 %"))


@NEEDS_SPHINX
def test_a_cell_its_output_and_its_picture_stand_together(good: Path) -> None:
    page = (good / "index.html").read_text(encoding="utf-8")
    assert page.index("cell_input") < page.index("output-of-cell") < page.index("00-a.png")
    assert "raises-exception]" not in page  # tags are not text
    assert 'class="gd"' in page
    assert 'class="gi"' in page


@NEEDS_SPHINX
def test_files_of_the_repository_are_pages(good: Path) -> None:
    page = (good / "index.html").read_text(encoding="utf-8")
    assert 'href="source/minigrad/engine.py.html"' in page
    assert 'href="source/minigrad.html"' in page
    source = (good / "source" / "minigrad" / "engine.py.html").read_text(encoding="utf-8")
    assert 'id="L-2"' in source
    folder = (good / "source" / "minigrad.html").read_text(encoding="utf-8")
    assert 'href="minigrad/engine.py.html"' in folder


@NEEDS_SPHINX
@pytest.mark.parametrize(
    ("module", "name", "line"),
    [
        ("minigrad", "exp", "def exp("),
        ("minigrad", "Tensor", "class Tensor"),
        ("minigrad", "Tensor.shape", "@property"),
        ("minigrad.nn.functional", "relu", "def relu("),
        ("minigrad.nn", "ReLU", "class ReLU"),
    ],
)
def test_names_of_the_reference_lead_to_their_definitions(
    module: str, name: str, line: str
) -> None:
    path, number = importlib.import_module("sources").definition(module, name)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert line in "\n".join(lines[number - 1 : number + 1])


@NEEDS_SPHINX
def test_a_page_can_be_downloaded_as_a_notebook_that_runs(good: Path) -> None:
    assert 'href="index.ipynb"' in (good / "index.html").read_text(encoding="utf-8")
    path = good / "index.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    first, second = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert "".join(first["outputs"][0]["text"]) == "shown\n"
    assert second["metadata"]["tags"] == ["raises-exception"]
    texts = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
    text = "\n".join(texts)
    assert "```python\ndef f():\n    return 1\n```" in text
    assert "```diff\n" in text
    assert "+    return 2" in text
    assert "```{" not in text
    program = "import sys\nfrom nbclient.cli import main\nmain()"
    ran = subprocess.run(
        [sys.executable, "-c", program, "--inplace", path], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if "outputs" in c]
    assert [c["outputs"][0]["output_type"] for c in cells] == ["stream", "error"]


@NEEDS_SPHINX
def test_a_block_that_a_notebook_cannot_show_is_named(tmp_path: Path) -> None:
    notebooks: ModuleType = importlib.import_module("notebooks")
    page = folder_with(tmp_path, {"a.md": "# A\n\n```{figure} x.png\n```\n"}) / "a.md"
    with pytest.raises(ValueError, match=r"a.md: notebooks.py does not know how .*\{figure\}"):
        notebooks.notebook_of(page)
