"""Write what PyTorch computes for the first case of each exercise into minigrad/learn/values/.

Run from the repository's root, all or some files: python tests/reference/make_learn.py chapter2
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from minigrad.learn.exercise import HERE, Exercise, Rule, files  # noqa: E402


def computed(exercise: Exercise) -> list[Any] | None:
    """PyTorch's results for the first case, in order; None where it has no expression."""
    judge: Any = exercise.judge
    if not getattr(judge, "torch", ""):
        return None
    case = judge.cases[0]
    known = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in case.items()
    }
    is_rule = isinstance(judge, Rule)
    if is_rule:
        for name in judge.of:
            known[name].requires_grad_()
    y = eval(judge.torch, {"torch": torch}, known)
    if is_rule:
        y = torch.autograd.grad(y, [known[name] for name in judge.of], torch.tensor(judge.g(case)))
    results = list(y) if isinstance(y, tuple | list) else [y]
    return [x.detach().tolist() if isinstance(x, torch.Tensor) else x for x in results]


def values(file: str) -> dict[str, Any]:
    """What a file of exercises is to store, by number."""
    return {e.number: found for e in files()[file] if (found := computed(e)) is not None}


if __name__ == "__main__":
    for file in sys.argv[1:] or files():
        lines = [f"{json.dumps(number)}: {json.dumps(x)}" for number, x in values(file).items()]
        path = HERE / "values" / f"{file}.json"
        path.unlink(missing_ok=True)
        if lines:
            path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
