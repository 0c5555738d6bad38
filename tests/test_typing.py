"""What a type checker sees of minigrad in a user's program."""

import re
from pathlib import Path

import typed_program
from mypy import api

import minigrad as mg

PROGRAM = Path(typed_program.__file__)


def complaints(source, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(source, encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache")]
    return api.run([*options, str(file)])[0].splitlines()


def test_program_is_sound(tmp_path):
    assert complaints(PROGRAM.read_text(encoding="utf-8"), tmp_path) == []
    losses = typed_program.train(8)
    assert losses[-1] < losses[0]
    assert typed_program.slope(mg.ones(2, 3).requires_grad_()).requires_grad


def test_names_that_only_give_a_hint_are_no_names(tmp_path):
    uses = ["x.view(2)", "x.foo", "mg.cat([x])", "mg.nn.Conv2d(1, 1, 1)", "mg.optim.Adagrad(x)"]
    uses += ["mg.nn.functional.gelu(x)", "mg.nn.Linear(1, 1).cuda()"]
    source = "\n".join(["import minigrad as mg", "x = mg.ones(2)", *uses, ""])
    found = complaints(source, tmp_path)
    seen = {int(number) for number in re.findall(r"\.py:(\d+): error: ", str(found))}
    assert seen == set(range(3, 3 + len(uses))), found


def test_mistakes_are_seen(tmp_path):
    source = PROGRAM.read_text(encoding="utf-8")
    wrong = {
        "nn.Linear(hidden, classes)": 'nn.Linear(hidden, "4")',
        "output, (h, c) = self.lstm(x)": "output, h, c = self.lstm(x)",
        "lr=0.05)": "rate=0.05)",
        "best = mg.argmax(model(x), axis=-1)": "best: int = model(x)",
    }
    for right, mistake in wrong.items():
        assert right in source
        source = source.replace(right, mistake)
    found = complaints(source, tmp_path)
    lines = {int(re.search(r":(\d+): error", text)[1]) for text in found if ": error" in text}
    for mistake in wrong.values():
        number = next(i for i, line in enumerate(source.splitlines(), 1) if mistake in line)
        assert number in lines, (mistake, found)
