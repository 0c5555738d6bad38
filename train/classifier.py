"""Teach a network to read digits: `python -m train.classifier`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import Bytes, MissingDataError, batches
from models.classifier import Classifier

from . import drawing
from .command import command, ending
from .config import BELOW_ONE, COUNT, EPOCHS, POSITIVE, Allowed, BadInput, RunConfig
from .console import leave, talker, tell
from .digits import HELD_OUT, Digits, training_digits, unseen_digits
from .judge import Reader
from .loop import Loop, Meter, State, training
from .lstm import accuracy
from .run import RunFolder

PROGRAM = "train.classifier"
PIXELS = Allowed(lambda n: 0 <= n <= 27, "a whole number from 0 to 27")
EVALUATION_BATCH = 1000
END_FACTOR = 0.01  # of the learning rate, which falls evenly to this share
criterion = nn.CrossEntropyLoss()


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """Teach a network to tell which digit was written.

    It sees every digit at a slightly different place each time, so that it learns the shape.
    """

    epochs: Annotated[int, EPOCHS] = 40
    """How many times to go through all the training digits."""

    learning_rate: Annotated[float, POSITIVE, tyro.conf.arg(aliases=["--lr"])] = 2e-3
    """Adam's step size at the start; it falls evenly to a hundredth."""

    dropout: Annotated[float, BELOW_ONE] = 0.1
    """The share of each hidden layer's outputs that a training step hides."""

    shift: Annotated[int, PIXELS] = 2
    """By how many pixels at most, up or down and left or right, a digit is moved in training."""

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder with MNIST/raw/; else "data", filled by torchvision if need be; else a sample."""

    limit: Annotated[int | None, COUNT, tyro.conf.arg(metavar="N")] = None
    """Train on the first N digits only."""

    @property
    def title(self) -> str:
        """What its curves show."""
        return "Reading handwritten digits"


def step(
    model: nn.Module, optimizer: optim.Optimizer, x: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Learn from one batch.

    Args:
        model: Turns x into logits (N, 10).
        optimizer: Holds the model's parameters.
        x: Digits (N, 784), float32, 0 to 1.
        labels: What they stand for (N,), int64.

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
    """Move each of the images (N, 28, 28) by up to `most` pixels in both directions, by chance."""
    around = np.pad(images, ((0, 0), (most, most), (most, most)))
    views = np.lib.stride_tricks.sliding_window_view(around, (28, 28), axis=(1, 2))
    down, right = (mg.rand(2, len(images)).numpy() * (2 * most + 1)).astype(np.intp)
    chosen: Bytes = views[np.arange(len(images)), down, right]
    return chosen


def to_tensors(images: Bytes, labels: Bytes, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return digits as x (N, 784), float32, 0 to 1, and their labels (N,), int64."""
    x = images.reshape(len(images), 784).astype(np.float32) / 255
    return mg.tensor(x, device=device), mg.tensor(labels.astype(np.int64), device=device)


def evaluate(model: nn.Module, digits: Digits, device: str) -> dict[str, float]:
    """Return loss and accuracy on digits, learning nothing from them."""
    meter = Meter()
    model.eval()
    with mg.no_grad():
        for start in range(0, len(digits), EVALUATION_BATCH):
            part = digits[start : start + EVALUATION_BATCH]
            x, labels = to_tensors(part.images, part.labels, device)
            logits = model(x)
            loss = criterion(logits, labels)
            meter.add(len(part), loss=loss, accuracy=accuracy(logits, labels))
    model.train()
    return meter.read()


def find(config: ClassifierConfig, say: Callable[[str], None]) -> tuple[Digits, Digits]:
    """Find the digits to learn from, and others to check with.

    Returns:
        Training digits, and the test digits if the folder has them; if not, the last fifth of the
        training digits, at most 2,000, which then are not trained on.

    Raises:
        BadInput: If there are too few digits.
    """
    learnt = training_digits(config.data_dir, say)
    try:
        unseen = unseen_digits(config.data_dir)
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


def train(config: ClassifierConfig, make_run: Callable[..., RunFolder]) -> int:
    """Train as configured, draw the curves, and say how well it went.

    Args:
        config: What to do.
        make_run: Makes the run folder.

    Returns:
        The exit code.
    """
    say = talker(config.quiet)
    learnt, unseen = find(config, say)
    digits = f"{len(learnt):,} digits of {learnt.source}"
    run = make_run(digits=digits, validation=unseen.source)
    say(f"Learning from {digits}. Validation: {unseen.source}.")

    mg.manual_seed(config.seed)
    model = Classifier(config.dropout).to(config.device)
    optimizer = optim.Adam(model.parameters(), lr=config.learning_rate)
    scheduler = optim.lr_scheduler.LinearLR(optimizer, 1.0, END_FACTOR, total_iters=config.epochs)
    shuffle = np.random.default_rng(config.seed)
    state = State({"": model}, {"": optimizer}, shuffle, {"": scheduler})

    take_step = mg.capture(step, config.device)  # it moves x and labels there
    steps_per_epoch = math.ceil(len(learnt) / config.batch_size)
    with training(state, run, config, steps_per_epoch) as loop:
        for _ in loop.epochs():
            for chosen in loop.steps(batches(len(learnt), config.batch_size, state.shuffle)):
                images = moved(learnt.images[chosen], config.shift)
                x, labels = to_tensors(images, learnt.labels[chosen])
                loop.meter.add(len(chosen), **take_step(model, optimizer, x, labels))
            scheduler.step()
            check = evaluate(model, unseen, config.device)
            found = {"val_accuracy": check["accuracy"], "val_loss": check["loss"]}
            loop.log(show=("val_accuracy",), **found)
            loop.keep_best(check["accuracy"], -check["loss"])
    return finish(config, unseen, run, loop)


def finish(config: ClassifierConfig, unseen: Digits, run: RunFolder, loop: Loop) -> int:
    """Draw the curves and the mistakes, say how it went, and return the exit code."""
    lines = run.measured()
    if lines:
        drawing.save(drawing.learning_curves(lines, config.title), run, "curves.png")
        [model] = loop.state.networks.values()
        assert isinstance(model, Classifier)
        _, read = Reader(model).look(unseen.images)
        when = f"after epoch {lines[-1]['epoch']}"
        drawing.save(drawing.confusion(unseen.labels, read, when), run, "confusion.png")
        figure = drawing.worst_read(unseen.images, unseen.labels, read, when)
        drawing.save(figure, run, "worst-read.png")
        best = max(lines, key=lambda line: (line["val_accuracy"], -line["val_loss"]))
        tell(
            f"After epoch {lines[-1]['epoch']} it reads {lines[-1]['val_accuracy']:.2%} of the "
            f"{len(unseen):,} digits that it has never seen; the best weights, of epoch "
            f"{best['epoch']}, read {best['val_accuracy']:.2%}. Results: {run.path}"
        )
    return ending(PROGRAM, run, loop)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Its words, None for those of the process.

    Returns:
        The exit code.
    """
    return command(PROGRAM, ClassifierConfig, train, args)


if __name__ == "__main__":
    leave(main())
