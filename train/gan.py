"""Teach a GAN to write digits: `python -m train.gan`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import Bytes, DataError, batches
from models.gan import Discriminator, Generator

from . import drawing
from .allowed import AT_LEAST_ZERO, BELOW_ONE, COUNT, EPOCHS, PAIR, POSITIVE, WIDTH
from .average import Average
from .config import DATA, DIR, FILE, LR, MODEL, OUTPUT, N, RunConfig
from .console import conclude, leave, talker, warn
from .digits import source, training_digits
from .drawing import HALF, Panel
from .judge import Judge, judge_option
from .latent import CONFIDENT, DIGITS, choose, clearest, sample, search, strips
from .loop import Loop, training
from .run import Run, RunFolder
from .state import State
from .trainer import Start, Trainer

R1_EVERY = 4  # every fourth step has the penalty, four times as strong
GRID_SIDE = 10
EARLY = (1, 2, 5, 10, 20, 50, 100, 200)  # steps with a grid of samples: most happens at first
TRIES = 2000  # number of latent points among which the interpolation looks for clear digits
criterion = nn.BCEWithLogitsLoss()


@dataclass(frozen=True)
class GANConfig(RunConfig):
    """Teach a generator to write digits that a discriminator takes for handwriting.

    Both begin with random weights. The discriminator learns to tell MNIST's digits from the
    generator's, and the generator learns to deceive it.
    """

    QUICK: ClassVar[dict[str, Any]] = {
        "epochs": 150,
        "learning_rate": 3e-3,
        "r1": 5.0,
        "average": 0.99,
        "latent_dim": 10,
        "generator_hidden": (128, 128),
        "discriminator_hidden": (256,),
        "limit": 500,
        "judge_interval": 150,
    }
    REPORT: ClassVar[dict[str, Any]] = {
        "learning_rate": 2e-4,
        "betas": (0.9, 0.999),
        "r1": 0.0,
        "average": 0.0,
    }

    epochs: Annotated[int, EPOCHS, N] = 200
    """Number of passes over the training digits."""

    batch_size: Annotated[int, PAIR, N] = 64
    """Number of real digits, and of fakes, in one training step."""

    learning_rate: Annotated[float, POSITIVE, LR] = 5e-4
    """Step size of both optimizers (Adam) at the start."""

    decay: Literal["none", "cosine"] = "none"
    """Keep the step size, or let it fall along a cosine to 0 at the end."""

    betas: Annotated[tuple[float, float], BELOW_ONE] = (0.5, 0.999)
    """Decay of Adam's averages of gradients and of their squares."""

    r1: Annotated[float, AT_LEAST_ZERO] = 0.1
    """Weight of the penalty on the discriminator's slope at real digits."""

    average: Annotated[float, BELOW_ONE] = 0.999
    """Decay, in each step, of the moving average of the generator's weights, which draws the
    samples; with 0 the generator itself draws them."""

    latent_dim: Annotated[int, MODEL, WIDTH, N] = 100
    """Number of random numbers from which the generator makes a digit."""

    generator_hidden: Annotated[tuple[int, ...], MODEL, WIDTH] = (128, 256, 512, 1024)
    """Sizes of the generator's hidden layers."""

    discriminator_hidden: Annotated[tuple[int, ...], MODEL, WIDTH] = (512, 256)
    """Sizes of the discriminator's hidden layers."""

    data_dir: Annotated[Path | None, DATA, DIR] = None
    """Folder that holds MNIST/raw/. Without this option: "data", which torchvision fills if it can,
    or else the 10,000 bundled digits."""

    limit: Annotated[int | None, DATA, COUNT, N] = None
    """Train on the first N digits only."""

    log_interval: Annotated[int, OUTPUT, COUNT, N] = 20
    """Write a line of metrics, averages over N steps, every N steps."""

    save_interval: Annotated[int, OUTPUT, COUNT, N] = 500
    """Save a grid of samples every N steps, and after 1, 2, 5, 10, 20, 50, 100 and 200."""

    judge_interval: Annotated[int, OUTPUT, COUNT, N] = 5
    """Every N epochs and at the end, let a classifier judge as many fakes as there are real digits
    to compare them with: FID, precision, recall, shares of the ten digits."""

    judge: Annotated[Path | None, OUTPUT, FILE] = None
    """Weights of that classifier, from train.classifier. Without this option the bundled one, which
    makes FIDs comparable."""

    def least_weights(self) -> int:
        """Return how many numbers the matrices of both networks hold."""
        generator = (self.latent_dim, *self.generator_hidden, 784)
        discriminator = (784, *self.discriminator_hidden, 1)
        return sum(a * b for sizes in (generator, discriminator) for a, b in pairwise(sizes))

    def is_saved(self, step: int) -> bool:
        """Tell whether a grid of samples is saved after a step, counted from 1."""
        return not self.no_plots and (step in EARLY or step % self.save_interval == 0)

    def is_judged(self, epoch: int) -> bool:
        """Tell whether the classifier judges after an epoch, counted from 1."""
        return epoch % self.judge_interval == 0 or epoch == self.epochs


@dataclass(frozen=True)
class Game:
    """The two networks and their optimizers."""

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: optim.Optimizer
    discriminator_optimizer: optim.Optimizer


def step(game: Game, real: Tensor, latent: Tensor, r1: float = 0.0) -> dict[str, Tensor]:
    """Let both networks learn from one batch: the generator first, then the discriminator.

    Args:
        game: The two networks.
        real: Digits (N, 784), float32, -1 to 1.
        latent: Random numbers (M, latent_dim) for as many fakes.
        r1: Weight gamma of the penalty on the discriminator's slope.

    Returns:
        Both losses, and the shares of real digits and of fakes that the discriminator got right.

    Source: Goodfellow et al. 2014, algorithm 1, with the generator's loss of their section 3.
    """
    fake = game.generator(latent)  # (M, 784)
    on_fake = game.discriminator.logits(fake)  # (M, 1)
    generator_loss = criterion(on_fake, mg.ones_like(on_fake))
    game.generator_optimizer.zero_grad()
    generator_loss.backward(inputs=list(game.generator.parameters()), retain_graph=True)
    game.generator_optimizer.step()

    on_real = game.discriminator.logits(real)  # (N, 1)
    real_loss = criterion(on_real, mg.ones_like(on_real))
    # the discriminator has not moved, so what it thinks of the fakes still stands
    discriminator_loss = real_loss + criterion(on_fake, mg.zeros_like(on_fake))
    total = discriminator_loss
    if r1 > 0:
        total = total + r1 / 2 * slope(game.discriminator, real)
    game.discriminator_optimizer.zero_grad()
    total.backward(inputs=list(game.discriminator.parameters()))
    game.discriminator_optimizer.step()

    return {
        "g_loss": generator_loss.detach(),
        "d_loss": discriminator_loss.detach(),
        "d_real": share(on_real.detach() > 0),
        "d_fake": share(on_fake.detach() < 0),
    }


def slope(discriminator: Discriminator, real: Tensor) -> Tensor:
    """Return how steep the discriminator is at real digits x (N, 784): the mean of |dD(x)/dx|^2.

    Where the discriminator is flat, it no longer pushes the generator away from digits that are as
    good as real ones, so the game can come to rest. D(x) is the logit.

    Source: Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually
    converge?", equation 9 (R1). That it need not be paid at each step is from Karras et al. 2020,
    "Analyzing and improving the image quality of StyleGAN", section 3.1.
    """
    x = real.detach().requires_grad_()
    [gradient] = mg.grad(discriminator.logits(x).sum(), x, create_graph=True)
    assert gradient is not None  # every logit depends on its digit
    return (gradient * gradient).sum(axis=1).mean()


def share(truths: Tensor) -> Tensor:
    """Return the share of the entries that are true."""
    return truths.astype(np.float32).mean()


def to_tensor(images: Bytes, device: str = "cpu") -> Tensor:
    """Return images (N, 28, 28), 0 to 255, as (N, 784), float32, -1 to 1."""
    pixels = images.reshape(len(images), 784)
    return mg.tensor(pixels.astype(np.float32) / 127.5 - 1, device=device)


def train(config: GANConfig, start: Start) -> Run:
    """Train as configured, and draw what the generator has learnt."""
    say = talker(config.quiet)
    learnt = training_digits(config.data_dir, say, start.cwd, not start.resumed)[: config.limit]
    images, digits = learnt.images, f"{len(learnt)} digits of {learnt.source}"
    with judge_option(config.judge):
        judge = Judge.load(config.judge, config.data_dir, start.cwd)
    data = {"digits": source(digits, images), "judge": judge.fingerprint}
    run = start.run(digits=digits, judged_against=judge.source)
    say(f"Learning from {digits}; judged against {judge.source}.")

    mg.manual_seed(config.seed)
    game = make_game(config)
    shown = mg.randn(GRID_SIDE**2, config.latent_dim, device=config.device)
    judged = mg.randn(judge.count, config.latent_dim, device=config.device)
    average = Average(game.generator, config.average)
    artist = average.network if config.average > 0 else game.generator
    state = make_state(config, game, average)
    steps_per_epoch = math.ceil(len(images) / config.batch_size)
    with training(state, run, config, steps_per_epoch, data) as loop:
        take_step = loop.guarded(mg.capture(step, config.device))  # it moves digits there
        if state.step == 0 and not config.no_plots:
            save_samples(artist, shown, run, 0)
        for epoch in loop.epochs():
            for chosen in loop.steps(batches(len(images), config.batch_size, state.shuffle)):
                real = to_tensor(images[chosen])
                latent = mg.randn(config.batch_size, config.latent_dim)
                r1 = config.r1 * R1_EVERY if state.step % R1_EVERY == 0 else 0.0
                loop.meter.add(len(chosen), **take_step(game, real, latent, r1))
                average.update(state.step)
                if state.step % config.log_interval == 0:
                    loop.log()
                if config.is_saved(state.step):
                    save_samples(artist, shown, run, state.step)
            for scheduler in state.schedulers.values():
                scheduler.step()
            if config.is_judged(epoch):
                loop.log(show=("fid",), **judge.report(sample(artist, judged)))
    lines = run.measured()
    if not config.no_plots:
        if lines:
            drawing.save(drawing.gan_curves(lines, judge.floor), run, "curves.png")
        draw_digits(artist, shown, run, loop, judge)
    conclude(config.quiet, *summary(lines, judge.floor), f"Results: {run.path}")
    return loop.result()


def make_game(config: GANConfig) -> Game:
    """Return new networks with an Adam optimizer each."""
    generator = Generator(config.latent_dim, config.generator_hidden)
    discriminator = Discriminator(config.discriminator_hidden)
    first, second = (
        optim.Adam(network.to(config.device).parameters(), config.learning_rate, config.betas)
        for network in (generator, discriminator)
    )
    return Game(generator, discriminator, first, second)


def make_state(config: GANConfig, game: Game, average: Average) -> State:
    """Return the state of a training that has not begun."""
    networks: dict[str, nn.Module] = {
        "generator": game.generator,
        "discriminator": game.discriminator,
    }
    if config.average > 0:
        networks["average"] = average.network
    optimizers = {
        "generator": game.generator_optimizer,
        "discriminator": game.discriminator_optimizer,
    }
    schedulers: dict[str, optim.lr_scheduler.LRScheduler] = {
        name: optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
        for name, optimizer in optimizers.items()
        if config.decay == "cosine"
    }
    return State(networks, optimizers, np.random.default_rng(config.seed), schedulers)


def save_samples(generator: nn.Module, latent: Tensor, run: RunFolder, step: int) -> None:
    """Save a grid of samples under the number of the step."""
    with run.replacing(f"samples/step-{step:07d}.png") as path:
        drawing.write_grey(drawing.grid(sample(generator, latent), GRID_SIDE), path)


def draw(
    config: GANConfig, run: RunFolder, into: RunFolder, say: Callable[[str], None]
) -> list[str]:
    """Draw the curves and the progress of a run; see `Trainer.draw`."""
    lines, floor = run.read_lines("metrics.jsonl"), floor_of(config, run)
    if any("fid" in line for line in lines) and floor is None:
        say("The FID of real digits is left out: those it was judged against are not here.")
    figure = drawing.gan_curves(lines, floor)
    return [drawing.save(figure, into, "curves.png"), *drawing.gan_progress(run, into, warn)]


def floor_of(config: GANConfig, run: RunFolder) -> float | None:
    """Return the FID of the real digits that a run was judged against; None if they are gone."""
    try:
        found = Judge.load(config.judge, config.data_dir)
    except (OSError, ValueError, nn.StateDictError, DataError):
        return None
    same = found.source == run.read_json("environment.json").get("judged_against")
    return found.floor if same else None


def draw_digits(
    generator: nn.Module, shown: Tensor, run: RunFolder, loop: Loop, judge: Judge
) -> None:
    """Draw the samples, their progress, and the way from one digit to another."""
    if loop.stopped_by is None:
        save_samples(generator, shown, run, loop.state.step)
    drawing.gan_progress(run, run, warn)
    found = search(generator, judge, shown.shape[1], TRIES, 1, np.random.default_rng(0))
    ends = clearest(found, DIGITS, CONFIDENT)
    rows = strips(generator, judge, choose(found, ends, 0), ends)
    drawing.save(drawing.strips(rows, ends), run, "interpolation.png")


def summary(lines: Sequence[Mapping[str, float]], floor: float) -> list[str]:
    """Say how the game stands, and what the judge found last; `floor` is the FID of real digits."""
    if not lines:
        return []
    recent = drawing.evened(drawing.selected(lines, ("d_real", "d_fake")))[-1]
    said = [
        f"After {lines[-1]['step']} steps the discriminator recognises {recent['d_real']:.0%} of "
        f"the real digits and {recent['d_fake']:.0%} of the fakes (50% is guessing)."
    ]
    judged = [line for line in lines if "fid" in line]
    if judged:
        last = judged[-1]
        said.append(
            f"FID {last['fid']:.1f} (real digits: {floor:.1f}), precision {last['precision']:.2f}, "
            f"recall {last['recall']:.2f}; each digit is {last['smallest_share']:.0%} to "
            f"{last['largest_share']:.0%} of the fakes."
        )
    return said


PANELS = (
    Panel("g_loss", "Generator's loss", "loss (nats)"),
    Panel("d_loss", "Discriminator's loss (real + fake)", "loss (nats)"),
    Panel("fid", "Distance from real digits", "FID", log=True, moment=True),
    Panel("d_real", "Real digits taken for real", "right (%)", guide=HALF),
    Panel("d_fake", "Fakes taken for fakes", "right (%)", guide=HALF),
    Panel("recall", "Recall: real digits that fakes cover", "share (%)", moment=True),
)
trainer = Trainer("train.gan", GANConfig, train, draw, "step", PANELS)
main, run = trainer.main, trainer.run

if __name__ == "__main__":
    leave(main())
