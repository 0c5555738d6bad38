"""PyTorch: eager, with its fused layer and optimizer, and compiled."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.contestants.task import (
    BETAS,
    CLASSES,
    MAX_NORM,
    RATES,
    SLOPE,
    Run,
    Task,
    batch,
    layers,
    values,
)

PACKAGE = "torch"


def make(task: Task, form: str) -> Run | None:
    """One step; forms: "eager", "layer" (nn.LSTM), "fused" (Adam) and "compile"."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if task.kind == "gan":
        return None if form == "layer" else _gan(task, form)
    # unrolled over 100 steps, compilation takes several minutes
    if form == "fused" or (form == "compile" and task.steps > 20):
        return None
    return _lstm(task, form)


def _filled(model: Any) -> Any:
    import torch

    state = values({name: tuple(p.shape) for name, p in model.named_parameters()})
    model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    return model


def _lstm(task: Task, form: str) -> Run:
    import torch
    from torch import nn

    hidden = task.hidden

    class Textbook(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for gate in "fiCo":
                setattr(self, f"W_{gate}", nn.Parameter(torch.empty(hidden, 1 + hidden)))
                setattr(self, f"b_{gate}", nn.Parameter(torch.empty(hidden, 1)))
            self.output = nn.Linear(hidden, CLASSES)

        def forward(self, x: Any) -> Any:
            h = C = torch.zeros(hidden, len(x))
            for t in range(x.shape[1]):
                z = torch.cat([x[:, t].T, h])
                f = torch.sigmoid(self.W_f @ z + self.b_f)
                i = torch.sigmoid(self.W_i @ z + self.b_i)
                C = f * C + i * torch.tanh(self.W_C @ z + self.b_C)
                h = torch.sigmoid(self.W_o @ z + self.b_o) * torch.tanh(C)
            return self.output(h.T)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, hidden, batch_first=True)
            self.output = nn.Linear(hidden, CLASSES)

        def forward(self, x: Any) -> Any:
            _, (h, _) = self.lstm(x)
            return self.output(h[0])

    model = _filled(Layer() if form == "layer" else Textbook())
    called = torch.compile(model) if form == "compile" else model
    optimizer = torch.optim.RMSprop(model.parameters(), lr=RATES["lstm"])
    x, labels = map(torch.tensor, batch(task))

    def step() -> float:
        logits = called(x)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        (logits.detach().argmax(1) == labels).float().mean()
        return loss.item()  # type: ignore[no-any-return]

    return step


def _gan(task: Task, form: str) -> Run:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            parts: list[Any] = []
            after = {"leaky_relu": nn.LeakyReLU(SLOPE), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}
            for n, m, normalized, activation in layers(kind):
                parts += [nn.Linear(n, m), *([nn.BatchNorm1d(m)] if normalized else [])]
                parts.append(after[activation])
            self.layers = nn.Sequential(*parts)

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    nets = _filled(Net("generator")), _filled(Net("discriminator"))
    optimizers = [
        torch.optim.Adam(m.parameters(), RATES["gan"], BETAS, fused=form == "fused") for m in nets
    ]
    generator, discriminator = (torch.compile(m) if form == "compile" else m for m in nets)
    latent, real = map(torch.tensor, batch(task))
    criterion = nn.BCELoss()

    def step() -> float:
        fake = generator(latent)
        believed = discriminator(fake)
        loss = criterion(believed, torch.ones_like(believed))
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        on_real, on_fake = discriminator(real), discriminator(fake.detach())
        loss = criterion(on_real, torch.ones_like(on_real))
        loss = loss + criterion(on_fake, torch.zeros_like(on_fake))
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        (on_real > 0.5).float().mean(), (on_fake < 0.5).float().mean()
        return loss.item()  # type: ignore[no-any-return]

    return step
