"""The two training steps, whole: forward, backward, clipping, update, on batches of random data.

The LSTM step: batch 128, input 1, hidden 128, 10 classes; forward over the sequence, a linear layer
on the last h, mean cross-entropy, backward, `clip_grad_norm_` to 10, RMSprop. "textbook" has four
separate gate matrices on [x; h]; "layer" is `nn.LSTM`. The GAN step: the two networks and the two
updates of `train.gan`, batch 64. All start from the same weights, and must compute the same losses.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workers import answer, interleaved, summary

BATCH, HIDDEN, CLASSES = 128, 128, 10
GAN_BATCH, LATENT = 64, 100
WIDTHS = {"generator": (LATENT, 128, 256, 512, 1024, 784), "discriminator": (784, 512, 256, 1)}
STEPS = ["gan", *[f"{kind} {t}" for t in (5, 20, 100) for kind in ("textbook", "layer")]]
COUNTS = {"generator": (1, 1, 1), "discriminator": (3, 3, 2)}  # forward, for g, for the weights
LEAST = 0.3  # seconds of a measurement
CHECKED = 3  # steps before losses are compared

Run = Callable[[], float]  # one step; its loss


def main(
    rounds: int = 9,
    threads: int = 2,
    steps: tuple[str, ...] = tuple(STEPS),
    out: Path = Path("runs/benchmarks"),
) -> None:
    """Measure whole training steps beside PyTorch and beside the matrix products alone.

    Args:
        rounds: How often everything is measured; medians are compared.
        threads: For linear algebra.
        steps: Which: gan, or "layer T" or "textbook T" for an LSTM over T time steps.
        out: Where steps.json goes.
    """
    questions = [*[f"loss {step}" for step in steps], *steps]
    libraries = ["torch", "minigrad", "products"]
    versions, times = interleaved("benchmarks.steps", libraries, questions, rounds, threads)
    for step in steps:
        losses = {
            library: rows[f"loss {step}"][0]
            for library, rows in times.items()
            if library != "products"
        }
        if not all(math.isclose(losses["minigrad"], x, rel_tol=1e-4) for x in losses.values()):
            raise SystemExit(f"{step}: the losses differ: {losses}")
    print(f"Milliseconds of a step: medians of {rounds} rounds, {threads} threads.")
    reference = "torch" if "torch" in versions else "minigrad"
    print(f"In brackets the ratio to the step of {reference}, for a layer to its textbook form.\n")
    print(f"{'':<16}" + "".join(f"{library + ' ' + v:>26}" for library, v in versions.items()))
    table = {
        step: {library: summary([1e3 * s for s in rows[step]]) for library, rows in times.items()}
        for step in steps
    }
    for step, row in table.items():
        cells = ""
        for entry in row.values():
            base = table.get(step.replace("layer", "textbook"), row)[reference]["median"]
            cells += f"{entry['median']:>18.2f} ({entry['median'] / base:.2f})"
        print(f"{step:<16}{cells}")
    out.mkdir(parents=True, exist_ok=True)
    result = {"unit": "milliseconds", "threads": threads, "versions": versions, "times": table}
    (out / "steps.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


# --- the worker's side ------------------------------------------------------------------------


def weights(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray[Any, Any]]:
    """The same initial weights in every library, by name."""
    random = np.random.RandomState(0)
    return {
        name: (random.uniform(-1, 1, shape) / math.sqrt(max(shape[-1:], default=1))).astype("f4")
        for name, shape in shapes
    }


def batch(kind: str, steps: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Random digits (N, T, 1) and labels; for the GAN noise and pictures."""
    random = np.random.RandomState(1)
    if kind == "gan":
        latent = random.standard_normal((GAN_BATCH, LATENT)).astype("f4")
        return latent, random.uniform(-1, 1, (GAN_BATCH, 784)).astype("f4")
    x = random.randint(0, 10, (BATCH, steps, 1)).astype("f4")
    return x, random.randint(0, CLASSES, BATCH)


def minigrad_step(kind: str, steps: int) -> Run:
    """One step in minigrad."""
    import minigrad as mg
    from minigrad import nn, optim
    from models.lstm import LSTM
    from models.lstm_layer import LayerLSTM
    from train import gan, lstm

    def filled(model: nn.Module) -> nn.Module:
        shapes = [(name, p.shape) for name, p in model.named_parameters()]
        model.load_state_dict(weights(shapes), strict=False)
        return model

    if kind == "gan":
        from models.gan import Discriminator, Generator

        nets = filled(Generator(LATENT)), filled(Discriminator())
        game = gan.Game(*nets, *[optim.Adam(m.parameters(), 2e-4, (0.5, 0.999)) for m in nets])
        latent, real = map(mg.tensor, batch(kind, 0))
        return lambda: gan.step(game, real, latent)["d_loss"].item()

    kinds = {"layer": LayerLSTM, "textbook": LSTM}
    model = filled(kinds[kind](1, HIDDEN, CLASSES))
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3)
    x, labels = map(mg.tensor, batch(kind, steps))
    return lambda: lstm.step(model, optimizer, x, labels, 10.0)["loss"].item()


def torch_step(kind: str, steps: int) -> Run:
    """One step in PyTorch, eager."""
    import torch
    from torch import nn

    def filled(model: nn.Module) -> nn.Module:
        shapes = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
        state = {name: torch.tensor(value) for name, value in weights(shapes).items()}
        model.load_state_dict(state, strict=False)
        return model

    if kind == "gan":
        return torch_gan(filled)

    class Textbook(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for gate in "fiCo":
                setattr(self, f"W_{gate}", nn.Parameter(torch.empty(HIDDEN, 1 + HIDDEN)))
                setattr(self, f"b_{gate}", nn.Parameter(torch.empty(HIDDEN, 1)))
            self.output = nn.Linear(HIDDEN, CLASSES)

        def forward(self, x: Any) -> Any:
            h = C = torch.zeros(HIDDEN, len(x))
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
            self.lstm = nn.LSTM(1, HIDDEN, batch_first=True)
            self.output = nn.Linear(HIDDEN, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.output(self.lstm(x)[0][:, -1])

    model = filled(Layer() if kind == "layer" else Textbook())
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    x, labels = map(torch.tensor, batch(kind, steps))

    def step() -> float:
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        (logits.detach().argmax(1) == labels).float().mean()
        return loss.item()  # type: ignore[no-any-return]

    return step


def torch_gan(filled: Callable[[Any], Any]) -> Run:
    """The GAN's step in PyTorch, eager."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            layers, widths = [], WIDTHS[kind]
            for number, (n, m) in enumerate(itertools.pairwise(widths)):
                layers.append(nn.Linear(n, m))
                if number < len(widths) - 2:
                    if kind == "generator" and number:
                        layers.append(nn.BatchNorm1d(m))
                    layers.append(nn.LeakyReLU(0.2))
            layers.append(nn.Tanh() if kind == "generator" else nn.Sigmoid())
            self.layers = nn.Sequential(*layers)

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    generator, discriminator = filled(Net("generator")), filled(Net("discriminator"))
    optimizers = [
        torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999)) for m in (generator, discriminator)
    ]
    latent, real = map(torch.tensor, batch("gan", 0))
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


def products_step(kind: str, steps: int) -> Run:
    """The matrix products of a step and nothing else, in the shapes that this BLAS likes best."""
    random = np.random.RandomState(0)

    def matrix(*shape: int) -> np.ndarray[Any, Any]:
        return random.standard_normal(shape).astype("f4")

    pairs: list[tuple[Any, Any]] = []
    if kind == "gan":
        for name, (forward, back, learn) in COUNTS.items():
            for n, m in itertools.pairwise(WIDTHS[name]):
                x, w, g = matrix(n, GAN_BATCH), matrix(m, n), matrix(m, GAN_BATCH)
                pairs += [(w, x)] * forward + [(w.T, g)] * back + [(g, x.T)] * learn
    else:
        h, w, g = matrix(HIDDEN, BATCH), matrix(4 * HIDDEN, HIDDEN), matrix(4 * HIDDEN, BATCH)
        pairs = [(w, h), (w.T, g), (g, h.T)] * steps
    outs = {(a.shape[0], b.shape[1]): np.empty((a.shape[0], b.shape[1]), "f4") for a, b in pairs}

    def step() -> float:
        for a, b in pairs:
            np.matmul(a, b, out=outs[a.shape[0], b.shape[1]])
        return 0.0

    return step


def measured(step: Run) -> float:
    """Seconds of a step, over as many as fill the time of a measurement."""
    times: list[float] = []
    end = time.perf_counter() + LEAST
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def worker(library: str) -> tuple[str, Callable[[str], float]]:
    """The version of a library, and what answers questions about it."""
    from importlib.metadata import version

    makers: Mapping[str, Callable[[str, int], Run]] = {
        "minigrad": minigrad_step,
        "torch": torch_step,
        "products": products_step,
    }
    if library == "torch":
        import torch

        torch.set_num_threads(int(sys.argv[2]))
    runs: dict[str, Run] = {}

    def measure(question: str) -> float:
        name = question.removeprefix("loss ")
        kind, _, steps = name.partition(" ")
        if name not in runs:
            runs[name] = makers[library](kind, int(steps or 0))
            first = [runs[name]() for _ in range(CHECKED)][-1]
            losses[name] = first
        return losses[name] if question != name else measured(runs[name])

    losses: dict[str, float] = {}
    return version("numpy" if library == "products" else library), measure


if __name__ == "__main__":
    try:
        answering = worker(sys.argv[1])
    except ImportError:
        sys.exit()
    answer(*answering)
