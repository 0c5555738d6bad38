"""Teach a network to read digits: `python -m train.classifier`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import Bytes, MissingDataError, batches
from models.classifier import Classifier

from . import drawing
from .allowed import BELOW_ONE, COUNT, EPOCHS, POSITIVE, Allowed
from .config import DATA, DIR, LR, MODEL, N, RunConfig
from .console import BadInput, conclude, leave, talker
from .digits import HELD_OUT, Digits, source, training_digits, unseen_digits
from .evaluation import accuracy, criterion, evaluate
from .judge import Reader
from .loop import training
from .run import Run, RunFolder
from .state import State
from .trainer import Start, Trainer

PIXELS = Allowed(lambda n: 0 <= n <= 27, "a whole number from 0 to 27")
END_FACTOR = 0.01  # the learning rate falls evenly to this share of itself


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """Teach a network to tell which digit was written.

    It sees every digit at a slightly different place each time, so that it learns the shape.
    """

    QUICK: ClassVar[dict[str, Any]] = {"epochs": 8}

    epochs: Annotated[int, EPOCHS, N] = 40
    """Number of passes over the training digits."""

    learning_rate: Annotated[float, POSITIVE, LR] = 2e-3
    """Step size of Adam at the start; it falls evenly to a hundredth."""

    dropout: Annotated[float, MODEL, BELOW_ONE] = 0.1
    """Share of each hidden layer's outputs that a training step sets to zero."""

    shift: Annotated[int, DATA, PIXELS] = 2
    """Move each training digit by up to so many pixels, up or down and left or right."""

    data_dir: Annotated[Path | None, DATA, DIR] = None
    """Folder that holds MNIST/raw/. Without this option: "data", which torchvision fills if it can,
    or else the 10,000 bundled digits."""

    limit: Annotated[int | None, DATA, COUNT, N] = None
    """Train on the first N digits only."""


def step(
    model: nn.Module, optimizer: optim.Optimizer, x: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Learn from one batch.

    Args:
        model: Turns x into logits (N, 10).
        optimizer: Holds the model's parameters.
        x: Digits (N, 784), float32, 0 to 1.
        labels: Their digits (N,), int64.

    Returns:
        Loss and accuracy of the predictions.
    """
    logits = model(x)
    loss = criterion(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return {"loss": loss.detach(), "accuracy": accuracy(logits, labels)}


def moved(images: Bytes, most: int) -> Bytes:
    """Move each of the images (N, 28, 28) at random, by up to `most` pixels in each direction."""
    around = np.pad(images, ((0, 0), (most, most), (most, most)))
    views = np.lib.stride_tricks.sliding_window_view(around, (28, 28), axis=(1, 2))
    down, right = (mg.rand(2, len(images)).numpy() * (2 * most + 1)).astype(np.intp)
    chosen: Bytes = views[np.arange(len(images)), down, right]
    return chosen


def to_tensors(images: Bytes, labels: Bytes, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return digits as x (N, 784), float32, 0 to 1, and their labels (N,), int64."""
    x = images.reshape(len(images), 784).astype(np.float32) / 255
    return mg.tensor(x, device=device), mg.tensor(labels.astype(np.int64), device=device)


def find(
    config: ClassifierConfig, say: Callable[[str], None], cwd: Path = Path(), fetch: bool = True
) -> tuple[Digits, Digits]:
    """Find the digits for training and those for validation.

    Returns:
        Training digits, and the test digits if the folder has them. If not, the last fifth of the
        training digits, at most 2,000, is kept for validation.

    Raises:
        BadInput: If there are too few digits.
    """
    learnt = training_digits(config.data_dir, say, cwd, fetch)
    try:
        unseen = unseen_digits(config.data_dir, cwd)
    except MissingDataError:
        kept = min(HELD_OUT, len(learnt) // 5)
        if kept == 0:
            raise BadInput(
                f"--data-dir {config.data_dir}: {len(learnt)} digits; allowed: at least 5"
            ) from None
        name = f"the last {kept:,} digits of {learnt.source}, which are not trained on"
        unseen = Digits(learnt.images[-kept:], learnt.labels[-kept:], name)
        learnt = learnt[:-kept]
    return learnt[: config.limit], unseen


def train(config: ClassifierConfig, start: Start) -> Run:
    """Train as configured, draw the curves, and say how well it went."""
    say = talker(config.quiet)
    learnt, unseen = find(config, say, start.cwd, not start.resumed)
    digits = f"{len(learnt):,} digits of {learnt.source}"
    data = {
        "digits": source(digits, learnt.images, learnt.labels),
        "validation": source(unseen.source, unseen.images, unseen.labels),
    }
    run = start.run(digits=digits, validation=unseen.source)
    say(f"Learning from {digits}. Validation: {unseen.source}.")

    mg.manual_seed(config.seed)
    model = Classifier(config.dropout).to(config.device)
    optimizer = optim.Adam(model.parameters(), lr=config.learning_rate)
    scheduler = optim.lr_scheduler.LinearLR(optimizer, 1.0, END_FACTOR, total_iters=config.epochs)
    shuffle = np.random.default_rng(config.seed)
    state = State({"": model}, {"": optimizer}, shuffle, {"": scheduler})

    steps_per_epoch = math.ceil(len(learnt) / config.batch_size)
    with training(state, run, config, steps_per_epoch, data) as loop:
        take_step = loop.guarded(mg.capture(step, config.device))  # it moves x and labels there
        for _ in loop.epochs():
            for chosen in loop.steps(batches(len(learnt), config.batch_size, state.shuffle)):
                images = moved(learnt.images[chosen], config.shift)
                x, labels = to_tensors(images, learnt.labels[chosen])
                loop.meter.add(len(chosen), **take_step(model, optimizer, x, labels))
            scheduler.step()
            check = evaluate(
                model,
                len(unseen),
                lambda part: to_tensors(unseen.images[part], unseen.labels[part], config.device),
            )
            loop.log(show=("val_accuracy",), **check)
            loop.keep_best(check["val_accuracy"], -check["val_loss"])
    finish(config, unseen, model, run)
    return loop.result()


def draw(
    config: ClassifierConfig, run: RunFolder, into: RunFolder, say: Callable[[str], None]
) -> list[str]:
    """Draw the curves of a run; see `Trainer.draw`."""
    lines = run.read_lines("metrics.jsonl")
    figure = drawing.learning_curves(lines, "Reading handwritten digits")
    return [drawing.save(figure, into, "curves.png")]


def finish(config: ClassifierConfig, unseen: Digits, model: Classifier, run: RunFolder) -> None:
    """Draw the curves and the mistakes, and say how it went."""
    lines = run.measured()
    if not lines:
        return
    if not config.no_plots:
        draw(config, run, run, talker(config.quiet))
        _, read = Reader(model).look(unseen.images)
        when = f"after epoch {lines[-1]['epoch']}"
        drawing.save(drawing.confusion(unseen.labels, read, when), run, "confusion.png")
        figure = drawing.worst_read(unseen.images, unseen.labels, read, when)
        drawing.save(figure, run, "worst-read.png")
    best = max(lines, key=lambda line: (line["val_accuracy"], -line["val_loss"]))
    conclude(
        config.quiet,
        f"After epoch {lines[-1]['epoch']} it reads {lines[-1]['val_accuracy']:.2%} of the "
        f"{len(unseen):,} digits that it has never seen.",
        f"The best weights, of epoch {best['epoch']}, read {best['val_accuracy']:.2%}.",
        f"Results: {run.path}",
    )


panels = drawing.learning_panels()
trainer = Trainer("train.classifier", ClassifierConfig, train, draw, "epoch", panels)
main, run = trainer.main, trainer.run

if __name__ == "__main__":
    leave(main())
