"""Write reference.npz: what PyTorch computes, for test_reference.py where PyTorch is absent.

Run from the repository's root: python tests/reference/make_reference.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

import checks  # noqa: E402
import torch_checks  # noqa: E402
from samples import SAMPLES  # noqa: E402

# name, arguments, options, shapes of the inputs (an integer: labels below it)
LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], list[Any]]] = [
    ("Linear", (4, 3), {}, [(5, 4)]),
    ("Linear", (4, 3), {"bias": False}, [(2, 5, 4)]),
    ("BatchNorm1d", (3,), {}, [(6, 3)]),
    ("BatchNorm1d", (3,), {"eps": 0.1, "momentum": 0.3}, [(4, 3, 2)]),
    ("BatchNorm1d", (3,), {"affine": False, "momentum": None}, [(6, 3)]),
    ("LeakyReLU", (0.2,), {}, [(3, 4)]),
    ("ReLU", (), {}, [(3, 4)]),
    ("Tanh", (), {}, [(3, 4)]),
    ("Sigmoid", (), {}, [(3, 4)]),
    ("Softmax", (), {"dim": 1}, [(3, 4)]),
    ("LogSoftmax", (), {"dim": 0}, [(3, 4)]),
    ("MSELoss", (), {}, [(3, 4), (3, 4)]),
    ("BCEWithLogitsLoss", (), {}, [(5, 1), (5, 1)]),
    ("BCEWithLogitsLoss", (), {"reduction": "sum"}, [(5,), (5,)]),
    ("CrossEntropyLoss", (), {}, [(6, 4), 4]),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1, "reduction": "none"}, [(6, 4), 4]),
]
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]
STEPS = 3


def operations() -> dict[str, Any]:
    """Outputs and gradients of every sample, under its name."""
    found: dict[str, Any] = {}
    for sample in SAMPLES:
        args = torch_checks.torch_arguments(sample.inputs)
        outputs = checks.listed(sample.torch(*args, **sample.options))
        leaves = [x for x in args if isinstance(x, torch.Tensor) and x.requires_grad]
        rooted = [y for y in outputs if y.requires_grad]
        seeds = checks.seeds_for([y.detach().numpy() for y in rooted])
        slopes: Any = []
        if rooted:
            slopes = torch.autograd.grad(
                rooted, leaves, [torch.tensor(s) for s in seeds], allow_unused=True
            )
            slopes = [
                np.zeros(x.shape) if g is None else g.numpy()
                for x, g in zip(leaves, slopes, strict=True)
            ]
        found[sample.name] = {
            "inputs": [x for x in sample.inputs if isinstance(x, np.ndarray)],
            "options": {k: x for k, x in sample.options.items() if isinstance(x, np.ndarray)},
            "outputs": [y.detach().numpy() for y in outputs],
            "gradients": slopes,
        }
    return found


def layers() -> list[dict[str, Any]]:
    """Outputs, gradients and states of one call in training mode."""
    found = []
    for name, args, options, sizes in LAYERS:
        torch.manual_seed(0)
        layer = getattr(torch.nn, name)(*args, **options).double()
        for parameter in layer.parameters():
            parameter.data = torch.rand_like(parameter) + 0.5
        before = {k: v.clone().numpy() for k, v in layer.state_dict().items()}
        inputs = []
        for size in sizes:
            if isinstance(size, int):
                inputs.append(torch.randint(size, (sizes[0][0],)))
            elif inputs and "BCE" in name:
                inputs.append(torch.rand(size, dtype=torch.float64))
            else:
                inputs.append(torch.randn(size, dtype=torch.float64))
        inputs[0].requires_grad_()
        y = layer(*inputs)
        seed = torch.randn_like(y)
        y.backward(seed)
        found.append(
            {
                "name": name,
                "arguments": args,
                "options": options,
                "state": before,
                "inputs": [x.detach().numpy() for x in inputs],
                "output": y.detach().numpy(),
                "seed": seed.numpy(),
                "gradient": inputs[0].grad.numpy(),
                "gradients": {k: p.grad.numpy() for k, p in layer.named_parameters()},
                "state_after": {k: v.numpy() for k, v in layer.state_dict().items()},
            }
        )
    return found


def optimizers() -> list[dict[str, Any]]:
    """The parameters after each of a few steps on sum((p - 1)^4) + sum(p q)."""
    found = []
    for name, options in OPTIMIZERS:
        torch.manual_seed(1)
        p, q = (torch.randn(size, dtype=torch.float64) for size in [(2, 3), (3,)])
        start = [p.clone().numpy(), q.clone().numpy()]
        parameters = [torch.nn.Parameter(p), torch.nn.Parameter(q)]
        optimizer = getattr(torch.optim, name)(parameters, **options)
        steps = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            a, b = parameters
            (((a - 1) ** 4).sum() + (a * b).sum()).backward()
            optimizer.step()
            steps.append([x.detach().clone().numpy() for x in parameters])
        found.append({"name": name, "options": options, "start": start, "steps": steps})
    return found


class Store:
    """All numbers in one vector, and a tree in JSON that says where each array stands in it."""

    def __init__(self) -> None:
        self.numbers: list[np.ndarray] = []
        self.length = 0

    def tree(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: self.tree(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(v) for v in value]
        if not isinstance(value, np.ndarray):
            return value
        at, self.length = self.length, self.length + value.size
        self.numbers.append(value.astype(np.float64).ravel())
        return {"at": at, "shape": value.shape, "dtype": str(value.dtype)}


if __name__ == "__main__":
    store = Store()
    tree = store.tree({"operations": operations(), "layers": layers(), "optimizers": optimizers()})
    text = np.frombuffer(json.dumps(tree, separators=(",", ":")).encode(), np.uint8)
    np.savez_compressed(HERE / "reference.npz", numbers=np.concatenate(store.numbers), tree=text)
    print(f"{(HERE / 'reference.npz').stat().st_size} bytes, torch {torch.__version__}")
