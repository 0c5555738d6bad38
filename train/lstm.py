"""Teach an LSTM palindromes: `python -m train.lstm`."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import tyro

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import batches
from models.lstm import LSTM
from models.lstm_layer import LayerLSTM
from models.rnn import RNN

from . import palindromes, pictures
from .command import command, ending
from .config import COUNT, PAIR, POSITIVE, RECIPE, SHARE, RunConfig
from .loop import Loop, Meter, State, training
from .palindromes import Examples
from .progress import talker
from .run import RunFolder

MODELS: dict[str, type[LayerLSTM] | type[LSTM] | type[RNN]] = {
    "lstm": LayerLSTM,
    "textbook": LSTM,
    "rnn": RNN,
}
TITLES = {
    "lstm": "LSTM",
    "textbook": "LSTM (textbook form)",
    "rnn": "Plain recurrent network",
}
EVALUATION_BATCH = 1000
TOO_FEW = 1000  # palindromes, to learn a rule from rather than each of them
criterion = nn.CrossEntropyLoss()


@dataclass(frozen=True)
class LSTMConfig(RunConfig):
    """Teach a recurrent network palindromes: it reads all digits but the last, and tells the last.

    As a palindrome's last digit is its first, it has to remember one digit to the end.
    """

    REPORT: ClassVar[dict[str, Any]] = {"init": "normal", "decay_epochs": 100}

    model: Literal["lstm", "textbook", "rnn"] = "lstm"
    """The LSTM as one fast layer or as textbooks write it, or a plain recurrent network."""

    input_length: Annotated[int, COUNT, tyro.conf.arg(metavar="T")] = 5
    """How many digits are read; the palindromes have one more."""

    hidden: Annotated[int, COUNT] = 128
    """How many numbers the network remembers from one digit to the next."""

    init: Annotated[Literal["uniform", "normal"], RECIPE] = "uniform"
    """Initial weights: uniform in +-1/sqrt(hidden), or standard normal (recipe report)."""

    decay_epochs: Annotated[int, COUNT, RECIPE] = 70
    """After how many epochs, each time, the learning rate falls to a tenth (recipe report: 100)."""

    data_size: Annotated[int, PAIR] = 10_000
    """How many different palindromes there are in all, as far as so many exist."""

    portion_train: Annotated[float, SHARE] = 0.8
    """The share of them that is trained on; the others are only used to check."""

    max_norm: Annotated[float, POSITIVE] = 10.0
    """The length to which longer gradients are cut."""


def step(
    model: nn.Module, optimizer: optim.Optimizer, x: Tensor, labels: Tensor, max_norm: float
) -> dict[str, Tensor]:
    """Learn from one batch: predict, measure the error, follow its gradient downhill.

    Args:
        model: Turns x into logits (N, 10).
        optimizer: Holds the model's parameters.
        x: The digits that are read (N, T, 1), float32, 0 to 9.
        labels: The digits that follow (N,), int64.
        max_norm: The length to which a longer gradient is cut.

    Returns:
        Loss and accuracy of the predictions.
    """
    logits = model(x)
    loss = criterion(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return {"loss": loss.detach(), "accuracy": accuracy(logits, labels)}


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of the rows whose largest logit is the label's."""
    return (logits.detach().argmax(axis=1) == labels).astype(np.float32).mean()


def evaluate(model: nn.Module, examples: Examples, device: str) -> dict[str, float]:
    """Return loss and accuracy on examples, learning nothing from them."""
    meter = Meter()
    model.eval()
    with mg.no_grad():
        for start in range(0, len(examples), EVALUATION_BATCH):
            chosen = np.arange(start, min(start + EVALUATION_BATCH, len(examples)))
            x, labels = to_tensors(examples, chosen, device)
            logits = model(x)
            loss = criterion(logits, labels)
            meter.add(len(chosen), loss=loss, accuracy=accuracy(logits, labels))
    model.train()
    return meter.read()


def to_tensors(examples: Examples, chosen: Any, device: str) -> tuple[Tensor, Tensor]:
    """Return the chosen examples as x (N, T, 1), float32, and labels (N,), int64."""
    x = examples.digits[chosen, :, None].astype(np.float32)
    return mg.tensor(x, device=device), mg.tensor(examples.labels[chosen], device=device)


def train(config: LSTMConfig, make_run: Callable[..., RunFolder]) -> int:
    """Train as configured, draw the curves, and say how well it went.

    Args:
        config: What to do.
        make_run: Makes the run folder.

    Returns:
        The exit code.
    """
    random = np.random.default_rng(config.seed)
    drawn = palindromes.draw(config.input_length, config.data_size, random)
    learnt, unseen = palindromes.split(drawn, config.portion_train)
    run = make_run()
    talker(config.quiet)(describe(config, len(learnt), len(unseen)))

    mg.manual_seed(config.seed)
    model = MODELS[config.model](1, config.hidden, num_classes=10, init=config.init)
    model.to(config.device)
    optimizer = optim.RMSprop(model.parameters(), lr=config.learning_rate, alpha=0.99)
    scheduler = optim.lr_scheduler.StepLR(optimizer, config.decay_epochs, gamma=0.1)
    state = State({"": model}, {"": optimizer}, random, {"": scheduler})

    steps_per_epoch = math.ceil(len(learnt) / config.batch_size)
    with training(state, run, config, steps_per_epoch) as loop:
        for _ in loop.epochs():
            for chosen in loop.steps(batches(len(learnt), config.batch_size, random)):
                x, labels = to_tensors(learnt, chosen, config.device)
                loop.meter.add(len(chosen), **step(model, optimizer, x, labels, config.max_norm))
            scheduler.step()
            check = evaluate(model, unseen, config.device)
            loop.log(val_accuracy=check["accuracy"], val_loss=check["loss"])
            loop.keep_best(check["accuracy"], -check["loss"])
    return finish(config, run, loop)


def describe(config: LSTMConfig, learnt: int, unseen: int) -> str:
    """Say in words what is about to happen."""
    length = config.input_length + 1
    text = f"Learning from {learnt} palindromes of {length} digits; {unseen} others check it."
    exist = palindromes.possible(config.input_length)
    if exist is not None and exist < TOO_FEW:
        text += (
            f"\nOnly {exist} palindromes of {length} digits exist: too few to generalise from, "
            "so expect it to do badly on those that it has not seen."
        )
    return text


def finish(config: LSTMConfig, run: RunFolder, loop: Loop) -> int:
    """Draw the curves, say how it went, and return the exit code."""
    lines = run.read_lines("metrics.jsonl")
    if lines:
        title = f"{TITLES[config.model]} on palindromes: {config.input_length} digits read"
        with run.replacing("curves.png") as path:
            pictures.learning_curves(lines, title, path)
        last = lines[-1]
        print(
            f"After epoch {last['epoch']} it tells the last digit of {last['val_accuracy']:.1%} of "
            "the palindromes that it has never seen, and of "
            f"{last['accuracy']:.1%} of those that it learnt from. Results: {run.path}"
        )
    return ending("train.lstm", run, loop)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Its words, None for those of the process.

    Returns:
        The exit code.
    """
    return command("train.lstm", LSTMConfig, train, args)


if __name__ == "__main__":
    sys.exit(main())
