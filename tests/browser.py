"""What the tests of the site share: the scripts of tests/site/, which see pages in Chromium."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ROOT / "docs" / "site" / "node_modules"
SCRIPTS = ROOT / "tests" / "site"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
Fact = dict[str, Any]  # what a script says in one line


def browser() -> str | None:
    """The path of Chromium, or of Chrome; CHROMIUM names another."""
    names = [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else BROWSERS
    return next(filter(None, map(shutil.which, names)), None)


def missing() -> str:
    """What this machine lacks for these tests, with the remedy; "" if nothing."""
    if not shutil.which("npm"):
        return "Node.js 20 or newer with npm, from https://nodejs.org"
    if not all((PACKAGES / name).is_dir() for name in ("playwright-core", "axe-core")):
        return "Node's packages: npm ci --prefix docs/site"
    if not browser():
        return "Chromium: apt-get install chromium, or CHROMIUM=PATH"
    if not importlib.util.find_spec("myst_nb"):
        return 'Sphinx and its extensions: pip install -e ".[docs]"'
    return ""


# continuous integration has to have all of it; there these tests run and fail by the same words
MARKS = [
    pytest.mark.site,
    pytest.mark.skipif(
        bool(missing()) and "CI" not in os.environ, reason=f"the site's tests need {missing()}"
    ),
]


def built(folder: Path) -> Path:
    """Build the site into a folder; SITE names one that is built already."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"]).resolve()
    command = [sys.executable, ROOT / "docs" / "site" / "build.py", "--out", folder]
    called = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if called.returncode:
        pytest.fail(f"no site:\n{called.stdout}\n{called.stderr}", pytrace=False)
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # a connection for many files

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        pass  # a browser that leaves a page closes its connections: BrokenPipeError


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as `python -m http.server` does; yields the address."""
    with _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


# What scripts say

LOADING = ("console", "error", "request", "host", "stuck")  # faults that any of them may say


def say(script: str, **task: Any) -> list[Fact]:
    """Let a script of tests/site/ do its task, and return what it says."""
    if lacking := missing():
        pytest.fail(f"the site's tests need {lacking}", pytrace=False)
    done = subprocess.run(
        ["node", SCRIPTS / script],
        input=json.dumps(task),
        env=os.environ | {"CHROMIUM": str(browser())},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        pytest.fail(f"{script}: {done.stderr[-3000:]}", pytrace=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_kind(facts: list[Fact], *kinds: str) -> list[Fact]:
    """The facts of some kinds."""
    return [fact for fact in facts if fact.get("kind") in kinds]


def assert_none(facts: list[Fact], *kinds: str) -> None:
    """Fail with the facts of some kinds; those that are alike make one line."""
    places: dict[str, list[str]] = {}
    for fact in of_kind(facts, *kinds):
        place = " ".join(str(fact[key]) for key in ("page", "width", "theme") if key in fact)
        places.setdefault(f"{fact['kind']}: {fact['text']}", []).append(place)
    if places:
        lines = [
            f"{text}\n    at {len(at)} places: {', '.join(at[:8])}" for text, at in places.items()
        ]
        pytest.fail("\n".join(lines), pytrace=False)
