"""A GAN whose pictures are single numbers, learning in steps of the page's reader.

The networks and both losses are chapter 10's, but for one thing: the generator has one latent
number, so that the map from z to G(z) is a curve that can be drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.nn import functional as F

Array = npt.NDArray[Any]

BATCH = 128
SAMPLE = 2000  # numbers that are measured, real ones and fakes
LINE = (-2.0, 10.0)  # what is drawn of it
BINS = 60
ARROWS = 10
FEW = 20  # numbers in a bin; with fewer the best D is a matter of chance
criterion = nn.BCEWithLogitsLoss()


@dataclass(frozen=True)
class Settings:
    """What the reader chooses; all but `data` and `seed` may change between steps."""

    data: str = "one"
    """Where the real numbers come from: "one" hump, "two" humps, or "uniform"."""

    seed: int = 0
    """Of the first weights, and of all that is drawn."""

    lr_g: float = 2e-3
    """The learning rate of G."""

    lr_d: float = 1e-2
    """The learning rate of D."""

    beta1: float = 0.5
    """The share of the past that Adam's mean keeps."""

    d_steps: int = 1
    """Steps of D in a round."""

    r1: float = 0.0
    """The weight gamma of the penalty on D's slope at real numbers."""

    saturating: bool = False
    """Whether the loss of G is log(1 - D) instead of -log D."""


def real_numbers(data: str, count: int, chance: np.random.Generator) -> Array:
    """Draw real numbers (count, 1).

    >>> real_numbers("two", 3, np.random.default_rng(0)).shape
    (3, 1)
    """
    if data == "uniform":
        return chance.uniform(2.0, 6.0, (count, 1)).astype(np.float32)
    centre = {"one": np.array([4.0]), "two": np.array([2.0, 6.0])}[data]
    numbers = chance.choice(centre, (count, 1)) + 0.5 * chance.standard_normal((count, 1))
    return numbers.astype(np.float32)


class Game:
    """Two networks that play against each other, and what they have come to.

    Args:
        settings: The data and the seed; the rest comes with each step.
    """

    def __init__(self, settings: Settings) -> None:
        mg.manual_seed(settings.seed)
        self.data = settings.data
        self.chance = np.random.default_rng(settings.seed)
        self.G = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
        self.D = nn.Sequential(
            nn.Linear(1, 32),
            nn.LeakyReLU(0.2),
            nn.Linear(32, 32),
            nn.LeakyReLU(0.2),
            nn.Linear(32, 1),
        )
        self.g_optimizer = optim.Adam(self.G.parameters())
        self.d_optimizer = optim.Adam(self.D.parameters())
        self.round = 0
        measured = np.random.default_rng(1)  # the same numbers for every seed and at every time
        self.real = real_numbers(self.data, SAMPLE, measured)
        other = real_numbers(self.data, SAMPLE, measured)
        self.floor = distance(self.real, other)
        self.z = mg.tensor(measured.standard_normal((SAMPLE, 1)).astype(np.float32))

    def generator_step(self, settings: Settings) -> None:
        """Let G learn: it follows the slope of D at its fakes."""
        set_up(self.g_optimizer, settings.lr_g, settings.beta1)
        loss = generator_loss(self.D(self.G(mg.randn(BATCH, 1))), settings.saturating).mean()
        self.g_optimizer.zero_grad()
        loss.backward(inputs=list(self.G.parameters()))  # D does not move
        self.g_optimizer.step()

    def discriminator_step(self, settings: Settings) -> None:
        """Let D learn to tell real numbers from fakes."""
        set_up(self.d_optimizer, settings.lr_d, settings.beta1)
        real = mg.tensor(real_numbers(self.data, BATCH, self.chance), requires_grad=settings.r1 > 0)
        fake = self.G(mg.randn(BATCH, 1)).detach()  # G does not move
        on_real, on_fake = self.D(real), self.D(fake)
        loss = discriminator_loss(on_real, on_fake)
        if settings.r1 > 0:
            [slope] = mg.grad(on_real.sum(), real, create_graph=True)
            assert slope is not None  # every logit depends on its number
            loss = loss + settings.r1 / 2 * (slope * slope).sum(axis=1).mean()
        self.d_optimizer.zero_grad()
        loss.backward(inputs=list(self.D.parameters()))
        self.d_optimizer.step()

    def play(self, settings: Settings) -> None:
        """One round: a step of G, then as many of D as the settings say."""
        self.generator_step(settings)
        for _ in range(settings.d_steps):
            self.discriminator_step(settings)
        self.round += 1

    def arrows(self, saturating: bool) -> tuple[Array, Array, Array]:
        """Where the loss pushes fakes that stand for a tenth of all each.

        Returns:
            Their latent numbers, their places x, minus the slopes of their losses by x; each (10,).
        """
        z = np.quantile(self.z.numpy(), (np.arange(ARROWS) + 0.5) / ARROWS).astype(np.float32)
        with mg.no_grad():
            x = self.G(mg.tensor(z.reshape(-1, 1)))
        x = x.detach().requires_grad_()
        [slope] = mg.grad(generator_loss(self.D(x), saturating).sum(), x)
        assert slope is not None  # every logit depends on its fake
        return z, x.detach().numpy().ravel(), -slope.numpy().ravel()

    def look(self, saturating: bool) -> dict[str, Any]:
        """What is to be seen: see `Snapshot` in the page's script."""
        edges = np.linspace(*LINE, BINS + 1)
        line = np.linspace(*LINE, 2 * BINS + 1, dtype=np.float32)
        latent = np.linspace(-2.5, 2.5, 51, dtype=np.float32)
        with mg.no_grad():
            fake = self.G(self.z)
            on_real, on_fake = self.D(mg.tensor(self.real)), self.D(fake)
            answers = mg.sigmoid(self.D(mg.tensor(line.reshape(-1, 1))))
            ways = self.G(mg.tensor(latent.reshape(-1, 1)))
            d_loss = discriminator_loss(on_real, on_fake).item()
            g_loss = generator_loss(on_fake, saturating).mean().item()
            d_real, d_fake = mg.sigmoid(on_real).mean().item(), mg.sigmoid(on_fake).mean().item()
        fakes = fake.numpy()
        counts = [np.histogram(sample, edges)[0] for sample in (self.real, fakes)]
        both = counts[0] + counts[1]
        best = counts[0] / np.maximum(both, 1)
        z, x, push = self.arrows(saturating)
        return {
            "round": self.round,
            "line": line.tolist(),
            "answers": answers.numpy().ravel().tolist(),
            "edges": edges.tolist(),
            "real": (counts[0] / SAMPLE).tolist(),
            "fake": (counts[1] / SAMPLE).tolist(),
            "best": [float(b) if n >= FEW else None for b, n in zip(best, both, strict=True)],
            "latent": latent.tolist(),
            "ways": ways.numpy().ravel().tolist(),
            "arrows": np.stack([z, x, push], axis=1).tolist(),
            "push": float(np.abs(push).mean()),
            "d_loss": d_loss,
            "g_loss": g_loss,
            "d_real": d_real,
            "d_fake": d_fake,
            "mean": float(fakes.mean()),
            "distance": distance(self.real, fakes),
            "floor": self.floor,
            "left": float((fakes < 4).mean()) if self.data == "two" else None,
        }


def set_up(optimizer: optim.Adam, lr: float, beta1: float) -> None:
    """Give an optimizer the learning rate and the memory that now hold."""
    for group in optimizer.param_groups:
        group["lr"], group["betas"] = lr, (beta1, 0.999)


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Return the mean of -log D over real numbers plus that of -log(1 - D) over fakes."""
    real = criterion(on_real, mg.ones_like(on_real))
    return real + criterion(on_fake, mg.zeros_like(on_fake))


def generator_loss(on_fake: Tensor, saturating: bool) -> Tensor:
    """Return the loss of each fake from its logit a: log(1 - D) if saturating, else -log D."""
    target = mg.zeros_like(on_fake) if saturating else mg.ones_like(on_fake)
    loss = F.binary_cross_entropy_with_logits(on_fake, target, reduction="none")
    return -loss if saturating else loss


def distance(a: Array, b: Array) -> float:
    """Return how far the numbers of one sample must move, in the mean, to become the other.

    It is the Wasserstein distance W1. On a line the smallest goes to the smallest, and so on.

    >>> distance(np.array([1.0, 2.0]), np.array([4.0, 2.0]))
    1.5
    """
    return float(np.abs(np.sort(a, axis=None) - np.sort(b, axis=None)).mean())


_game: Game  # the one that is played; `begin` makes it


def begin(settings: dict[str, Any]) -> dict[str, Any]:
    """Make new networks and show them; further calls go on with them.

    Args:
        settings: Fields of `Settings`.
    """
    global _game
    _game = Game(Settings(**settings))
    shown = _game.look(Settings(**settings).saturating)
    return shown | {"said": "New networks: neither has learned anything. " + state_of(shown)}


def discriminator(settings: dict[str, Any]) -> dict[str, Any]:
    """Let D take one step."""
    before, after = _around(settings, _game.discriminator_step)
    said = (
        f"D took one step. It now says {after['d_real']:.2f} to real numbers "
        f"(before: {before['d_real']:.2f}) and {after['d_fake']:.2f} to fakes "
        f"({before['d_fake']:.2f}), in the mean. The fakes have not moved; the arrows have "
        "changed, for they follow the slope of D."
    )
    return after | {"said": said}


def generator(settings: dict[str, Any]) -> dict[str, Any]:
    """Let G take one step."""
    before, after = _around(settings, _game.generator_step)
    said = (
        f"G took one step along the arrows. {moved(after['mean'] - before['mean'])} D has not "
        f"moved; it now says {after['d_fake']:.2f} to the fakes (before: {before['d_fake']:.2f}), "
        "in the mean."
    )
    return after | {"said": said}


def rounds(settings: dict[str, Any], count: int) -> dict[str, Any]:
    """Play a number of rounds."""

    def play(chosen: Settings) -> None:
        for _ in range(count):
            _game.play(chosen)

    before, after = _around(settings, play)
    if count == 1:
        way = moved(after["mean"] - before["mean"])
        return after | {"said": f"Round {after['round']}. {way} {state_of(after)}"}
    return after | {"said": f"After {after['round']} rounds. {state_of(after)}"}


def _around(
    settings: dict[str, Any], act: Callable[[Settings], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is seen before and after something is done."""
    chosen = Settings(**settings)
    before = _game.look(chosen.saturating)
    act(chosen)
    return before, _game.look(chosen.saturating)


def moved(by: float) -> str:
    """Say how far the fakes have moved.

    >>> moved(-0.0312)
    'The fakes moved by 0.031 to the left, in the mean.'
    """
    return f"The fakes moved by {abs(by):.2g} to the {'left' if by < 0 else 'right'}, in the mean."


def state_of(shown: dict[str, Any]) -> str:
    """Say what the reader is looking at, and name what has gone wrong."""
    words = [
        f"D says {shown['d_real']:.2f} to real numbers and {shown['d_fake']:.2f} to fakes, in the "
        f"mean. The fakes are {shown['distance']:.2f} away from the real numbers."
    ]
    far = shown["distance"] > 10 * shown["floor"]
    if shown["left"] is not None and not 0.05 <= shown["left"] <= 0.95 and shown["round"] > 0:
        side, other = ("left", "right") if shown["left"] > 0.5 else ("right", "left")
        words.append(f"Nearly all fakes are on the {side} side; the {other} hump is not drawn.")
    if far and shown["push"] < 0.005 and shown["d_fake"] < 0.05:
        words.append("D is sure of every fake, and nothing pushes: the loss of G is flat here.")
    if shown["distance"] < 4 * shown["floor"]:
        words.append(
            f"That is nearly as good as real numbers, of which two samples are "
            f"{shown['floor']:.2f} apart."
        )
    return " ".join(words)
