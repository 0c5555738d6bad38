"""Training in two ways: each step told to the GPU by Python, or captured; what both leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.backends import to_numpy
from minigrad.ops.random import generator

criterion = nn.CrossEntropyLoss()


@dataclass
class Task:
    """Something to train: a step, its arguments, and everything that it changes."""

    step: Callable[..., Any]
    args: Callable[[int], tuple[Any, ...]]
    """Of the step of this number; Tensors on the CPU."""

    modules: list[nn.Module]
    optimizers: list[optim.Optimizer] = field(default_factory=list)
    schedulers: list[optim.lr_scheduler.LRScheduler] = field(default_factory=list)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested results as pairs of a name and an array or a number."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flat(part, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from flat(part, f"{name}.{number}")
    elif isinstance(value, mg.Tensor):
        yield name, to_numpy(value.data)
    elif isinstance(value, bool | int | float):
        yield name, np.array(value)


def on_gpu(value: Any) -> Any:
    """Nested arguments with their Tensors on the GPU."""
    if isinstance(value, dict):
        return {key: on_gpu(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(on_gpu, value))
    return value.to("gpu") if isinstance(value, mg.Tensor) and not value.requires_grad else value


def train(
    make: Callable[[], Task],
    steps: int,
    captured: bool,
    between: Callable[[Task, int], object] = lambda task, number: None,
) -> dict[str, np.ndarray]:
    """Train from the same beginning, and return all that came of it."""
    mg.manual_seed(1)
    task = make()
    call = mg.capture(task.step, "gpu") if captured else lambda *args: task.step(*on_gpu(args))
    results = []
    for number in range(steps):
        between(task, number)
        results.append(call(*task.args(number)))
        for scheduler in task.schedulers:
            scheduler.step()
    parameters = [p for module in task.modules for p in module.parameters()]
    state = {
        "results": results,
        "modules": [module.state_dict() for module in task.modules],
        "optimizers": [optimizer.state_dict() for optimizer in task.optimizers],
        "gradients": [p.grad for p in parameters],
        "random": generator().bit_generator.state,
    }
    found = dict(flat(state))
    found["gradients"] = np.array([p.grad is None for p in parameters])
    return found


def assert_same(gpu: Any, actual: dict[str, Any], expected: dict[str, Any], steps: int) -> None:
    """The same bits on the stand-in; on a GPU cuBLAS may sum in another order at each address."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if gpu is not None or value.dtype.kind != "f":
            np.testing.assert_array_equal(actual[name], value, err_msg=name)
        else:
            within = 16 * float(np.finfo(np.float32).eps) * (8 + 128) * steps
            np.testing.assert_allclose(actual[name], value, within, within, err_msg=name)


# --- tasks ------------------------------------------------------------------------------------


def classification(
    make_model: Callable[[], nn.Module],
    make_optimizer: Callable[[Any], optim.Optimizer],
    make_scheduler: Callable[[Any], Any] | None = None,
    shape: tuple[int, ...] = (4, 3),
) -> Task:
    """Tell classes apart, as the trainers' steps do."""
    model = make_model().to("gpu")
    optimizer = make_optimizer(model.parameters())
    random = np.random.default_rng(0)
    x = random.standard_normal((64, *shape[1:])).astype(np.float32)
    labels = random.integers(0, 2, 64)

    def step(x: mg.Tensor, labels: mg.Tensor) -> dict[str, mg.Tensor]:
        logits = model(x)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach(), "logits": logits}

    def args(number: int) -> tuple[Any, ...]:
        chosen = np.arange(number * shape[0], (number + 1) * shape[0]) % 64
        return mg.tensor(x[chosen]), mg.tensor(labels[chosen])

    schedulers = [make_scheduler(optimizer)] if make_scheduler else []
    return Task(step, args, [model], [optimizer], schedulers)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def by_adam(parameters: Any) -> optim.Optimizer:
    return optim.Adam(parameters, lr=0.05)


def simple() -> Task:
    """A small network, by Adam."""
    return classification(small, by_adam)
