"""A user's program with types: test_typing.py lets mypy check it strictly, and runs it."""

from __future__ import annotations

import minigrad as mg
from minigrad import nn, optim


class Tagger(nn.Module):
    """An LSTM with a classifier on every step."""

    def __init__(self, size: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(size, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        output, (h, c) = self.lstm(x)
        assert h.shape == c.shape
        return self.head(output)


def train(steps: int) -> list[float]:
    """The losses of a few steps on one batch."""
    mg.manual_seed(0)
    model = Tagger(3, 8, 4)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, step_size=5)
    x = mg.randn(2, 5, 3)
    target = mg.tensor([[0, 1, 2, 3, 0], [3, 2, 1, 0, 3]])
    losses: list[float] = []
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(x)
        penalty: mg.Tensor = 1e-4 * (model.head.weight**2).sum()
        loss = nn.functional.cross_entropy(logits.swapaxes(1, 2), target) + penalty
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.item()))
    with mg.no_grad():
        best = mg.argmax(model(x), axis=-1)
    assert best.shape == (2, 5)
    right = (best == target) & ~(best < 0)
    assert right.float().clone().numel() == 10 and (right.any() | right.all()).tolist() is True
    return losses


def slope(x: mg.Tensor) -> mg.Tensor:
    """The derivative of tanh, by operators and functions of several forms."""
    y = mg.tanh(x * 2.0) / 2 - x.mean(axis=0, keepdims=True) + mg.maximum(x, -x)[0:1]
    [g] = mg.grad(y.sum(), x, create_graph=True)
    assert g is not None
    return g
