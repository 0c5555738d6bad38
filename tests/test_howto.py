"""The how-to pages say what they promise, and what they show of PyTorch is true.

test_docs.py runs their ```python blocks; the ```py blocks need PyTorch.
"""

from pathlib import Path

import pytest
from test_docs import blocks_of, links_of, run_code

FOLDER = Path(__file__).parent.parent / "docs" / "howto"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "index.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_begins_with_what_one_has_at_its_end_and_says_where_to_read_on(page):
    title, first, *_, last = page.read_text(encoding="utf-8").split("\n\n")
    assert title.startswith("# ") and first.startswith("At the end of this page ")
    assert "\n## Where to read on\n" in page.read_text(encoding="utf-8")
    assert last.lstrip("\n").startswith("- ")
    assert len(blocks_of(page)) >= 2


def test_blocks_with_pytorch_run():
    pytest.importorskip("torch")
    namespace = {"__name__": "__main__"}
    blocks = [block for block in blocks_of(FOLDER / "pytorch.md") if block.info == "py"]
    assert len(blocks) == 3
    for block in blocks:
        run_code(FOLDER / "pytorch.md", block, namespace)


def test_no_other_page_has_blocks_that_nothing_runs():
    for page in PAGES:
        if page.name != "pytorch.md":
            assert not [block for block in blocks_of(page) if block.info == "py"], page.name


def test_contents_list_every_page():
    listed = {(FOLDER / link).resolve() for _, link in links_of(FOLDER / "index.md")}
    assert listed.issuperset(PAGES)
