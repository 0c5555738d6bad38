"""The same steps of both trainers in minigrad, on each device, and in PyTorch.

Initial weights and batches come from NumPy's legacy generator, whose stream is frozen, so that the
values which reference/make_trajectories.py wrote can be compared with where PyTorch is absent.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

STEPS = 50
HIDDEN, LENGTH, CLASSES, MAX_NORM = 128, 5, 10, 10.0
LSTM_BATCH, GAN_BATCH, LATENT = 128, 64, 100
GENERATOR = (LATENT, 128, 256, 512, 1024, 784)
DISCRIMINATOR = (784, 512, 256, 1)

Arrays = dict[str, np.ndarray]


@dataclass
class Trajectory:
    """What some steps gave: the losses (steps, losses per step), and the weights at the end."""

    losses: np.ndarray
    weights: Arrays


# --- the LSTM ---------------------------------------------------------------------------------


def lstm_weights() -> Arrays:
    random = np.random.RandomState(0)
    weights = {}
    for gate in "fiCo":
        weights[f"W_{gate}"] = random.uniform(-1, 1, (HIDDEN, 1 + HIDDEN)) / np.sqrt(HIDDEN)
        weights[f"b_{gate}"] = random.uniform(-1, 1, (HIDDEN, 1)) / np.sqrt(HIDDEN)
    weights["output.weight"] = random.uniform(-1, 1, (CLASSES, HIDDEN)) / np.sqrt(HIDDEN)
    weights["output.bias"] = random.uniform(-1, 1, CLASSES) / np.sqrt(HIDDEN)
    return weights


def layer_weights() -> Arrays:
    """The same for models/lstm_layer.py, which has them one below the other, and two biases."""
    weights = lstm_weights()
    both = np.concatenate([weights.pop(f"W_{gate}") for gate in "ifCo"])
    bias = np.concatenate([weights.pop(f"b_{gate}")[:, 0] for gate in "ifCo"])
    layer = {
        "weight_ih": both[:, :1],
        "weight_hh": both[:, 1:],
        "bias_ih": bias,
        "bias_hh": 0 * bias,
    }
    return weights | {f"lstm.{name}_l0": value for name, value in layer.items()}


def lstm_batches(dtype: Any, steps: int = STEPS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Palindromes of six digits: the first five to read, the last to predict."""
    random = np.random.RandomState(1)
    halves = random.randint(0, 10, (steps, LSTM_BATCH, 3))
    digits = np.concatenate([halves, halves[:, :, :0:-1]], axis=2)
    return [(d[:, :LENGTH, None].astype(dtype), d[:, 0].astype(np.int64)) for d in digits]


def lstm_in_minigrad(dtype: Any, device: str = "cpu", steps: int = STEPS) -> Trajectory:
    import minigrad as mg
    from models.lstm import LSTM

    model = LSTM(1, HIDDEN, CLASSES).astype(dtype).to(device)
    model.load_state_dict(_cast(lstm_weights(), dtype))
    optimizer = mg.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.99)
    return _trained(model, optimizer, lstm_batches(dtype, steps), device)


def layer_in_minigrad(dtype: Any, device: str = "cpu", steps: int = STEPS) -> Trajectory:
    """The trainer's own network; by RMSprop, not by Adam at the trainer's rate of 0.003.

    With that, two programs whose sums are in different orders are a percent apart after 200 steps.
    """
    import minigrad as mg
    from models.lstm_layer import LayerLSTM

    model = LayerLSTM(1, HIDDEN, CLASSES).astype(dtype).to(device)
    model.load_state_dict(_cast(layer_weights(), dtype))
    optimizer = mg.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.99)
    return _trained(model, optimizer, lstm_batches(dtype, steps), device)


def _trained(model: Any, optimizer: Any, batches: Any, device: str) -> Trajectory:
    import minigrad as mg
    from train.lstm import step

    take_step = mg.capture(step, device)
    seen = [
        take_step(model, optimizer, mg.tensor(x), mg.tensor(labels), MAX_NORM)["loss"]
        for x, labels in batches
    ]
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    return Trajectory(np.array([[loss.item()] for loss in seen]), weights)


def lstm_in_torch(dtype: Any) -> Trajectory:
    import torch

    weights = {
        name: torch.tensor(w.astype(dtype), requires_grad=True)
        for name, w in lstm_weights().items()
    }
    optimizer = torch.optim.RMSprop(weights.values(), lr=1e-3, alpha=0.99)
    losses = []
    for digits, labels in lstm_batches(dtype):
        x = torch.tensor(digits)
        h = C = torch.zeros(len(x), HIDDEN, dtype=x.dtype)
        for t in range(LENGTH):
            z = torch.cat([x[:, t], h], dim=1)
            f, i, candidate, o = (z @ weights[f"W_{g}"].T + weights[f"b_{g}"].T for g in "fiCo")
            C = torch.sigmoid(f) * C + torch.sigmoid(i) * torch.tanh(candidate)
            h = torch.sigmoid(o) * torch.tanh(C)
        logits = h @ weights["output.weight"].T + weights["output.bias"]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), MAX_NORM)
        optimizer.step()
        losses.append([loss.item()])
    return Trajectory(np.array(losses), {n: w.detach().numpy() for n, w in weights.items()})


# --- the GAN ----------------------------------------------------------------------------------


def gan_weights() -> tuple[Arrays, Arrays]:
    """For Generator and Discriminator, by the names of their state."""
    random = np.random.RandomState(2)

    def linear(weights: Arrays, name: str, n_in: int, n_out: int) -> None:
        bound = 1 / np.sqrt(n_in)
        weights[f"{name}.weight"] = random.uniform(-bound, bound, (n_out, n_in))
        weights[f"{name}.bias"] = random.uniform(-bound, bound, n_out)

    generator: Arrays = {}
    place = 0
    for number, (n_in, n_out) in enumerate(itertools.pairwise(GENERATOR)):
        linear(generator, f"layers.{place}", n_in, n_out)
        if 0 < number < 4:  # the three middle layers are normalized
            place += 1
            generator[f"layers.{place}.weight"] = np.ones(n_out)
            generator[f"layers.{place}.bias"] = np.zeros(n_out)
            generator[f"layers.{place}.running_mean"] = np.zeros(n_out)
            generator[f"layers.{place}.running_var"] = np.ones(n_out)
            generator[f"layers.{place}.num_batches_tracked"] = np.array(0)
        place += 2
    discriminator: Arrays = {}
    for number, (n_in, n_out) in enumerate(itertools.pairwise(DISCRIMINATOR)):
        linear(discriminator, f"layers.{2 * number}", n_in, n_out)
    return generator, discriminator


def gan_batches(dtype: Any, steps: int = STEPS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures of random strokes in [-1, 1], and noise for the generator."""
    random = np.random.RandomState(3)
    return [
        (
            np.tanh(3 * random.standard_normal((GAN_BATCH, 784))).astype(dtype),
            random.standard_normal((GAN_BATCH, LATENT)).astype(dtype),
        )
        for _ in range(steps)
    ]


def _cast(weights: Arrays, dtype: Any) -> Arrays:
    return {n: w if w.dtype.kind == "i" else w.astype(dtype) for n, w in weights.items()}


def gan_in_minigrad(dtype: Any, device: str = "cpu", steps: int = STEPS) -> Trajectory:
    import minigrad as mg
    from models.gan import Discriminator, Generator
    from train.gan import Game, step

    generator, discriminator = Generator(LATENT).astype(dtype), Discriminator().astype(dtype)
    for model, weights in zip((generator, discriminator), gan_weights(), strict=True):
        model.to(device).load_state_dict(_cast(weights, dtype))
    adam = [
        mg.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for model in (generator, discriminator)
    ]
    game = Game(generator, discriminator, *adam)
    take_step = mg.capture(step, device)
    seen = [
        take_step(game, mg.tensor(real), mg.tensor(latent))
        for real, latent in gan_batches(dtype, steps)
    ]
    losses = [[each["g_loss"].item(), each["d_loss"].item()] for each in seen]
    weights = {f"generator.{n}": w.numpy() for n, w in generator.state_dict().items()}
    weights |= {f"discriminator.{n}": w.numpy() for n, w in discriminator.state_dict().items()}
    return Trajectory(np.array(losses), weights)


def torch_networks() -> tuple[Any, Any]:
    """PyTorch's generator and discriminator, each with its `layers`, as models/gan.py has them."""
    from torch import nn

    class Layers(nn.Module):
        def __init__(self, *layers: nn.Module) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    blocks: list[nn.Module] = []
    for number, (n_in, n_out) in enumerate(itertools.pairwise(GENERATOR)):
        blocks.append(nn.Linear(n_in, n_out))
        if 0 < number < 4:
            blocks.append(nn.BatchNorm1d(n_out))
        blocks.append(nn.LeakyReLU(0.2) if number < 4 else nn.Tanh())
    discriminator = Layers(
        nn.Linear(784, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
        nn.Sigmoid(),
    )
    return Layers(*blocks), discriminator


def gan_in_torch(dtype: Any) -> Trajectory:
    import torch

    generator, discriminator = torch_networks()
    for model, weights in zip((generator, discriminator), gan_weights(), strict=True):
        model.to(torch.float64 if dtype == np.float64 else torch.float32)
        model.load_state_dict({n: torch.tensor(w) for n, w in _cast(weights, dtype).items()})
    generator_adam, discriminator_adam = (
        torch.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for model in (generator, discriminator)
    )
    bce = torch.nn.BCELoss()
    losses = []
    for pictures, noise in gan_batches(dtype):
        real, latent = torch.tensor(pictures), torch.tensor(noise)
        one, zero = torch.ones(GAN_BATCH, 1).to(real), torch.zeros(GAN_BATCH, 1).to(real)

        fake = generator(latent)
        g_loss = bce(discriminator(fake), one)
        generator_adam.zero_grad()
        g_loss.backward()
        generator_adam.step()

        d_loss = bce(discriminator(real), one) + bce(discriminator(fake.detach()), zero)
        discriminator_adam.zero_grad()
        d_loss.backward()
        discriminator_adam.step()
        losses.append([g_loss.item(), d_loss.item()])
    final = {f"generator.{n}": w.numpy() for n, w in generator.state_dict().items()}
    final |= {f"discriminator.{n}": w.numpy() for n, w in discriminator.state_dict().items()}
    return Trajectory(np.array(losses), final)


PROGRAMS = {
    "lstm": (lstm_in_minigrad, lstm_in_torch),
    "gan": (gan_in_minigrad, gan_in_torch),
}
ON_EACH_DEVICE = {"lstm": lstm_in_minigrad, "layer": layer_in_minigrad, "gan": gan_in_minigrad}


def digest(weights: Arrays) -> Arrays:
    """Of each tensor its largest magnitude and 16 entries spread over it, to keep a file small."""
    digests = {}
    for name, w in weights.items():
        flat = np.ascontiguousarray(w).reshape(-1).astype(np.float64)
        places = np.linspace(0, flat.size - 1, 16).astype(int)
        digests[name] = np.concatenate([[np.abs(flat).max()], flat[places]])
    return digests
