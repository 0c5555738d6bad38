"""minigrad: the trainers' models, in the steps of `train/lstm.py` and `train/gan.py`.

They are written out, as for the peers, because importing a trainer brings the command line and
matplotlib: 40 MB that no step needs, and that the others have not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks.contestants.task import (
    BETAS,
    CLASSES,
    FACTOR,
    LATENT,
    MAX_NORM,
    RATES,
    START,
    Clock,
    Queue,
    Step,
    Task,
    Unable,
    batch,
    chained,
    operations,
    values,
)

PACKAGE = "minigrad"


def queue(task: Task, form: str, mode: str, device: str) -> Queue:
    """Steps that are not waited for; modes: "eager" and "captured".

    Args:
        task: Which step, or chain.
        form: "textbook" or "layer".
        mode: Whether `mg.capture` is to record it.
        device: "cpu" or "gpu".
    """
    step = _step(task, form, device, mode == "captured")
    if device == "cpu":
        return Queue(step)
    if mode == "eager":
        return Queue(step, _clock())
    return Queue(step, _clock(), graph=_recorded_from_now_on())


def _clock() -> Clock:
    """The GPU's."""
    cuda = importlib.import_module("cupy").cuda

    def mark() -> Any:
        event = cuda.Event()
        event.record()
        return event

    def between(first: Any, last: Any) -> float:
        return float(cuda.get_elapsed_time(first, last)) / 1e3

    return Clock(lambda: cuda.Device().synchronize(), mark, between)


def _recorded_from_now_on() -> Callable[[], str]:
    """What gives the last graph that CuPy has recorded by then, in the DOT language."""
    stream = importlib.import_module("cupy").cuda.Stream
    plain = stream.end_capture
    graphs: list[Any] = []

    def end_capture(self: Any) -> Any:
        graphs.append(plain(self))
        return graphs[-1]

    def graph() -> str:
        stream.end_capture = plain
        if not graphs:
            raise Unable("mg.capture has recorded nothing")
        return str(graphs[-1].debug_dot_str(1))  # 1: with the kind of each node

    stream.end_capture = end_capture
    return graph


def _step(task: Task, form: str, device: str, captured: bool) -> Step:
    if device != "cpu":  # `--against` measures other checkouts, by the public API alone
        importlib.import_module("minigrad.backends").require_device(device)
    if task.kind not in ("gan", "lstm"):
        return _chain(task.kind)
    step = _gan(device) if task.kind == "gan" else _lstm(task, form, device)
    import minigrad as mg

    first, second = (mg.tensor(x, device=device) for x in batch(task))
    run = mg.capture(step, device) if captured else step
    return lambda: run(first, second)


def _chain(kind: str) -> Step:
    import minigrad as mg

    x, w = (mg.tensor(values, requires_grad=True) for values in (START, FACTOR))
    operation, seed = operations(mg.tanh, mg.tensor(FACTOR), w)[kind], mg.tensor(START)

    def step() -> Any:
        for leaf in (x, w):
            leaf.grad = None
        chained(operation, x).backward(seed)
        assert x.grad is not None
        return x.grad[0]

    return step


def _lstm(task: Task, form: str, device: str) -> Any:
    import minigrad as mg
    from minigrad import nn, optim
    from models.lstm import LSTM
    from models.lstm_layer import LayerLSTM

    model: nn.Module = (LayerLSTM if form == "layer" else LSTM)(1, task.hidden, CLASSES)
    state = values({name: p.shape for name, p in model.named_parameters()})
    model.load_state_dict(state, strict=False)
    model.to(device)
    optimizer = optim.RMSprop(model.parameters(), lr=RATES["lstm"])
    criterion = nn.CrossEntropyLoss()

    def step(x: mg.Tensor, labels: mg.Tensor) -> mg.Tensor:
        logits = model(x)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        (logits.detach().argmax(axis=1) == labels).astype("float32").mean()
        return loss.detach()

    return step


def _gan(device: str) -> Any:
    import minigrad as mg
    from minigrad import nn, optim
    from models.gan import Discriminator, Generator

    generator, discriminator = Generator(LATENT), Discriminator()
    for model in (generator, discriminator):
        state = values({name: p.shape for name, p in model.named_parameters()})
        model.load_state_dict(state, strict=False)
        model.to(device)
    of_generator, of_discriminator = (
        optim.Adam(model.parameters(), RATES["gan"], BETAS) for model in (generator, discriminator)
    )
    criterion = nn.BCELoss()

    def step(latent: mg.Tensor, real: mg.Tensor) -> mg.Tensor:
        fake = generator(latent)
        on_fake = discriminator(fake)
        loss = criterion(on_fake, mg.ones_like(on_fake))
        of_generator.zero_grad()
        loss.backward(inputs=list(generator.parameters()), retain_graph=True)
        of_generator.step()
        on_real = discriminator(real)
        loss = criterion(on_real, mg.ones_like(on_real))
        loss = loss + criterion(on_fake, mg.zeros_like(on_fake))
        of_discriminator.zero_grad()
        loss.backward(inputs=list(discriminator.parameters()))
        of_discriminator.step()
        for right in (on_real > 0.5, on_fake < 0.5):
            right.astype("float32").mean()
        return loss.detach()

    return step
