"""PyTorch: eager, with its fused layer and optimizer, compiled, and recorded as a CUDA graph."""

from __future__ import annotations

import inspect
from typing import Any

from benchmarks.contestants.task import (
    BETAS,
    CLASSES,
    FACTOR,
    MAX_NORM,
    RATES,
    SLOPE,
    START,
    Clock,
    Queue,
    Step,
    Task,
    Unable,
    batch,
    chained,
    layers,
    operations,
    values,
)

PACKAGE = "torch"
WARM_UP = 3  # steps before a recording, as PyTorch's manual has it
LONGEST_UNROLLED = 20  # over 100 steps, compilation takes several minutes
# Adam: one kernel for all parameters; capturable: what changes from step to step is on the GPU
OPTIONS = {
    "eager": {},
    "fused": {"fused": True},
    "compile": {"fused": True},
    "reduce-overhead": {"fused": True},
    "graph": {"fused": True, "capturable": True},
}


def queue(task: Task, form: str, mode: str, device: str) -> Queue:
    """Steps that are not waited for, in float32 without TF32.

    Args:
        task: Which step.
        form: "textbook", or "layer" for nn.LSTM, which is cuDNN's.
        mode: "eager", "fused" (Adam), "compile", "reduce-overhead" (compile's, with CUDA graphs),
            or "graph": the whole step recorded by hand.
        device: "cpu" or "gpu".

    Raises:
        Unable: This form, mode, device or version of PyTorch does not go.
    """
    import torch

    place = "cpu" if device == "cpu" else "cuda"
    if device == "gpu" and not torch.cuda.is_available():
        raise Unable("this PyTorch finds no GPU")
    if device == "cpu" and mode in ("reduce-overhead", "graph"):
        raise Unable("CUDA graphs need a GPU")
    if mode in ("compile", "reduce-overhead") and form == "textbook":
        if task.steps > LONGEST_UNROLLED:
            raise Unable(f"compiling {task.steps} unrolled time steps takes several minutes")
    if device == "gpu":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    step = _step(task, form == "layer", mode, place)
    clock = Clock() if device == "cpu" else _clock()
    return Queue(_recorded(step), clock, WARM_UP) if mode == "graph" else Queue(step, clock)


def _clock() -> Clock:
    """The GPU's."""
    import torch

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(first: Any, last: Any) -> float:
        return float(first.elapsed_time(last)) / 1e3

    return Clock(torch.cuda.synchronize, mark, between)


def _recorded(step: Step) -> Step:
    """The step as one CUDA graph, after `WARM_UP` steps on a stream of their own."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Any:
        graph.replay()
        return loss

    return replay


def _optimizer(kind: str, parameters: Any, mode: str, place: str, *args: Any) -> Any:
    """An optimizer in its fastest form that the mode allows; not all have a fused one."""
    import torch

    made = getattr(torch.optim, kind)
    known = inspect.signature(made).parameters
    wanted = OPTIONS[mode] if place == "cuda" or mode == "fused" else {}
    if "capturable" in wanted and "capturable" not in known:
        raise Unable(f"{kind} of PyTorch {torch.__version__} is not capturable")
    return made(parameters, *args, **{name: on for name, on in wanted.items() if name in known})


def _compiled(model: Any, mode: str) -> Any:
    import torch

    if mode == "compile":
        return torch.compile(model)
    return torch.compile(model, mode=mode) if mode == "reduce-overhead" else model


def _step(task: Task, layer: bool, mode: str, place: str) -> Step:
    import torch

    if task.kind not in ("gan", "lstm"):
        return _chain(task.kind)
    data = [torch.tensor(x).to(place) for x in batch(task)]
    step: Step = (
        _gan(mode, place, *data) if task.kind == "gan" else _lstm(task, layer, mode, place, *data)
    )
    if mode != "reduce-overhead":
        return step

    def marked() -> Any:  # what earlier steps returned may be overwritten
        torch.compiler.cudagraph_mark_step_begin()
        return step()

    return marked


def _chain(kind: str) -> Step:
    import torch

    x, w = (torch.tensor(values, requires_grad=True) for values in (START, FACTOR))
    operation, seed = operations(torch.tanh, torch.tensor(FACTOR), w)[kind], torch.tensor(START)

    def step() -> Any:
        x.grad = w.grad = None
        chained(operation, x).backward(seed)
        return x.grad[0]

    return step


def _filled(model: Any, place: str) -> Any:
    import torch

    state = values({name: tuple(p.shape) for name, p in model.named_parameters()})
    model.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    return model.to(place)


def _lstm(task: Task, layer: bool, mode: str, place: str, x: Any, labels: Any) -> Step:
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
            h = C = torch.zeros(hidden, len(x), device=x.device)
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

    model = _filled(Layer() if layer else Textbook(), place)
    called = _compiled(model, mode)
    optimizer = _optimizer("RMSprop", model.parameters(), mode, place, RATES["lstm"])

    def step() -> Any:
        logits = called(x)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        (logits.detach().argmax(1) == labels).float().mean()
        return loss.detach()

    return step


def _gan(mode: str, place: str, latent: Any, real: Any) -> Step:
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

    nets = [_filled(Net(kind), place) for kind in ("generator", "discriminator")]
    optimizers = [
        _optimizer("Adam", m.parameters(), mode, place, RATES["gan"], BETAS) for m in nets
    ]
    generator, discriminator = (_compiled(m, mode) for m in nets)
    criterion = nn.BCELoss()

    def step() -> Any:
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
        return loss.detach()

    return step
