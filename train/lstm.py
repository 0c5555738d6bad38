"""Teach an LSTM palindromes: `python -m train.lstm`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import tyro

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import batches
from models.lstm import LSTM
from models.lstm_layer import LayerLSTM
from models.rnn import RNN

from . import drawing, insight, palindromes
from .allowed import COUNT, EPOCHS, LENGTH, NOT_NEGATIVE, PAIR, POSITIVE, SHARE, WIDTH, whole
from .config import DATA, LR, MODEL, SWEEP, N, RunConfig
from .console import BadInput, conclude, leave, talker
from .digits import source
from .drawing import GUESSING, TITLES, learning_panels
from .evaluation import accuracy, criterion, evaluate
from .insight import Recurrent, gradient_norms
from .loop import Loop, training
from .palindromes import Examples
from .run import Run, RunFolder
from .state import State
from .sweep import draw as draw_sweep
from .sweep import sweep
from .trainer import Start, Trainer

MOST_DIGITS = 2**30  # of all palindromes together
SHOWN = 64  # the picture of gradients averages over so many palindromes
TAUGHT, TESTED = 300, 100  # palindromes to find out with which step knows the first digit
TOO_FEW = 1000  # from fewer palindromes a network learns each of them rather than the rule


@dataclass(frozen=True)
class LSTMConfig(RunConfig):
    """Teach a recurrent network palindromes: it reads all digits but one, and predicts the last.

    A palindrome's last digit is its first, so the network has to remember one digit to the end.
    """

    QUICK: ClassVar[dict[str, Any]] = {"epochs": 20}
    REPORT: ClassVar[dict[str, Any]] = {
        "epochs": 100,
        "init": "normal",
        "optimizer": "rmsprop",
        "learning_rate": 1e-3,
        "decay_epochs": 100,
        "curriculum": 0,
    }

    model: Annotated[Literal["lstm", "textbook", "rnn"], MODEL] = "lstm"
    """The LSTM as one fast layer, the LSTM as textbooks write it, or a plain recurrent network."""

    input_length: Annotated[int, DATA, LENGTH, tyro.conf.arg(metavar="T")] = 5
    """Number of digits that are read; the palindromes have one more."""

    hidden: Annotated[int, MODEL, WIDTH, N] = 128
    """Size of the hidden state."""

    epochs: Annotated[int, EPOCHS, N] = 40
    """Number of passes over the training examples."""

    init: Annotated[
        Literal["uniform", "normal", "forget", "chrono"] | None,
        MODEL,
        tyro.conf.arg(metavar="{uniform,normal,forget,chrono}"),
    ] = None
    """Initial weights: uniform in +-1/sqrt(hidden), or standard normal. "forget" and "chrono" are
    uniform with gates that remember for a few steps, or for about T steps. Without this option
    chrono, but uniform for the plain network, which has no gates."""

    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Method that updates the weights."""

    learning_rate: Annotated[float, POSITIVE, LR] = 3e-3
    """Step size of the optimizer at the start."""

    decay_epochs: Annotated[int | None, COUNT, N] = None
    """Divide the learning rate by ten every N epochs; without this option it falls along a cosine
    to 0 at the end."""

    curriculum: Annotated[int, DATA, NOT_NEGATIVE, N] = 20
    """Read only the first N digits at first, then 2N, 4N, ... until all T digits are read; with 0
    read all T from the start."""

    data_size: Annotated[int, DATA, PAIR, N] = 10_000
    """Number of different palindromes, or all there are if they are fewer."""

    portion_train: Annotated[float, DATA, SHARE] = 0.8
    """Share of the palindromes to train on; the others are for validation."""

    max_norm: Annotated[float, POSITIVE] = 10.0
    """Longer gradients are cut to this length."""

    sweep: Annotated[tuple[int, ...], SWEEP, LENGTH, tyro.conf.arg(metavar="T [T ...]")] = ()
    """Train for each of these lengths instead of one, and draw accuracy against length."""

    models: Annotated[
        tuple[Literal["lstm", "textbook", "rnn"], ...],
        SWEEP,
        tyro.conf.arg(metavar="MODEL [MODEL ...]"),
    ] = ("rnn", "lstm")
    """Networks that a sweep compares, of those that --model takes."""

    seeds: Annotated[int, SWEEP, whole(1, 100), N] = 3
    """Number of seeds for each network and length of a sweep, from --seed on."""

    def decided(self) -> Self:
        """Choose the initial weights if the user has not, and check what must go together."""
        longest = max(self.sweep, default=self.input_length)
        if self.data_size * (longest + 1) > MOST_DIGITS:
            raise BadInput(
                f"--data-size is {self.data_size}, each of {longest + 1} digits; allowed: at most "
                f"{MOST_DIGITS:,} digits together"
            )
        if self.sweep:
            if self.seed + self.seeds > 2**63:
                raise BadInput(
                    f"--seeds is {self.seeds}, from --seed {self.seed} on; allowed: seeds up to "
                    "2^63 - 1"
                )
            for name, each in (("--sweep", self.sweep), ("--models", self.models)):
                if not each or len(set(each)) < len(each):
                    shown = " ".join(map(str, each)) or "empty"
                    raise BadInput(
                        f"{name} is {shown}; allowed in a sweep: at least one, each once"
                    )
            return self
        plain = self.model == "rnn"
        if plain and self.init in ("forget", "chrono"):
            raise BadInput(
                f"--init is {self.init}, which is about gates, but --model is rnn; allowed with "
                "it: uniform, normal"
            )
        return replace(self, init=self.init or ("uniform" if plain else "chrono"))

    def least_weights(self) -> int:
        """Return how many numbers the matrices from hidden state to hidden state hold."""
        return (1 if self.model == "rnn" else 4) * self.hidden**2

    def parts(self) -> list[Self]:
        """Return the configs of a sweep's trainings."""
        single = replace(self, sweep=())
        return [
            replace(single, model=model, input_length=length, seed=self.seed + number).decided()
            for length in self.sweep
            for model in self.models
            for number in range(self.seeds)
        ]


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


def to_tensors(examples: Examples, chosen: Any, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return the chosen examples as x (N, T, 1), float32, and labels (N,), int64."""
    x = examples.digits[chosen, :, None].astype(np.float32)
    return mg.tensor(x, device=device), mg.tensor(examples.labels[chosen], device=device)


def train(config: LSTMConfig, start: Start) -> Run:
    """Train as configured, draw the pictures, and say how well it went."""
    if config.sweep:
        for length in config.sweep:
            make_examples(replace(config, input_length=length))  # if one is impossible, none is
        return sweep(config, learn, start.run())
    examples = make_examples(config)
    run = start.run()
    talker(config.quiet)(describe(config, *map(len, examples)))
    loop = learn(config, run)
    finish(config, run, loop, *examples)
    return loop.result()


def make_examples(config: LSTMConfig) -> tuple[Examples, Examples]:
    """Draw the palindromes for training and those for validation."""
    random = np.random.default_rng(config.seed)
    drawn = palindromes.draw(config.input_length, config.data_size, random)
    return palindromes.split(drawn, config.portion_train)


def learn(config: LSTMConfig, run: RunFolder) -> Loop:
    """Train, and return the loop when it has ended."""
    learnt, unseen = make_examples(config)
    mg.manual_seed(config.seed)
    model = make_model(config)
    optimizer, scheduler = make_optimizer(config, model)
    shuffle = np.random.default_rng([config.seed, 1])
    state = State({"": model}, {"": optimizer}, shuffle, {"": scheduler})

    steps_per_epoch = math.ceil(len(learnt) / config.batch_size)
    data = {
        name: source(f"palindromes of seed {config.seed}", each.digits, each.labels)
        for name, each in (("palindromes", learnt), ("validation", unseen))
    }
    with training(state, run, config, steps_per_epoch, data) as loop:
        take_step = loop.guarded(mg.capture(step, config.device))  # it moves x and labels there
        for epoch in loop.epochs():
            read = digits_read(config, epoch)
            for chosen in loop.steps(batches(len(learnt), config.batch_size, shuffle)):
                x, labels = to_tensors(learnt.first(read), chosen)
                found = take_step(model, optimizer, x, labels, config.max_norm)
                loop.meter.add(len(chosen), **found)
            scheduler.step()
            check = evaluate(
                model, len(unseen), lambda part: to_tensors(unseen, part, config.device)
            )
            loop.log(show=("val_accuracy",), **check, digits_read=read)
            loop.keep_best(check["val_accuracy"], -check["val_loss"])
    return loop


def digits_read(config: LSTMConfig, epoch: int) -> int:
    """Return how many digits are read in an epoch, counted from 1.

    At first the first digit of a long sequence changes the loss no more than any other digit. A
    network that has learnt to keep it over a few steps only has to learn to keep it longer.

    The first quarter of the epochs reads `curriculum` digits, the next half doubles them again and
    again, and the last quarter reads all.

    Source: Bengio et al. 2009, "Curriculum learning".
    """
    if config.curriculum == 0 or config.curriculum >= config.input_length:
        return config.input_length
    doublings = math.ceil(math.log2(config.input_length / config.curriculum))
    past_quarter = 4 * (epoch - 1) - config.epochs  # in quarters of an epoch
    done = 0 if past_quarter < 0 else 1 + past_quarter * (doublings - 1) // (2 * config.epochs)
    return min(config.input_length, int(config.curriculum * 2**done))


def make_model(config: LSTMConfig) -> Recurrent:
    """Return a new network."""
    assert config.init is not None  # it is decided
    if config.model == "rnn":
        return RNN(1, config.hidden, num_classes=10, init=config.init).to(config.device)
    gated = LayerLSTM if config.model == "lstm" else LSTM
    model = gated(1, config.hidden, 10, init=config.init, memory=config.input_length)
    return model.to(config.device)


def make_optimizer(
    config: LSTMConfig, model: nn.Module
) -> tuple[optim.Optimizer, optim.lr_scheduler.LRScheduler]:
    """Return the optimizer, and the scheduler that lowers its learning rate after each epoch."""
    parameters, rate = model.parameters(), config.learning_rate
    optimizer: optim.Optimizer
    if config.optimizer == "adam":
        optimizer = optim.Adam(parameters, lr=rate)
    else:
        optimizer = optim.RMSprop(parameters, lr=rate, alpha=0.99)
    if config.decay_epochs is None:
        return optimizer, optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    return optimizer, optim.lr_scheduler.StepLR(optimizer, config.decay_epochs, gamma=0.1)


def describe(config: LSTMConfig, learnt: int, unseen: int) -> str:
    """Say in words what is about to happen."""
    length = config.input_length + 1
    text = f"Learning from {learnt} palindromes of {length} digits; {unseen} others validate it."
    exist = palindromes.possible(config.input_length)
    if exist is not None and exist < TOO_FEW:
        text += (
            f"\nOnly {exist} palindromes of {length} digits exist: too few to generalise from, "
            "so expect bad predictions of the others."
        )
    init = f"{config.init} initialisation"
    if config.init == "chrono":
        init += f" for {config.input_length} steps"
    name = {"adam": "Adam", "rmsprop": "RMSprop"}[config.optimizer]
    falls = (
        "falls along a cosine to 0"
        if config.decay_epochs is None
        else f"is divided by ten every {config.decay_epochs} epochs"
    )
    text += (
        f"\nRecipe {config.recipe}: {init}, {name} with a learning rate of "
        f"{config.learning_rate:g}, which {falls}."
    )
    if digits_read(config, 1) < config.input_length:
        text += f" It reads {config.curriculum} digits at first, and then more and more."
    return text


def draw(
    config: LSTMConfig, run: RunFolder, into: RunFolder, say: Callable[[str], None]
) -> list[str]:
    """Draw the curves of a run, or a sweep's accuracies; see `Trainer.draw`."""
    if config.sweep:
        return draw_sweep(run, into)
    digits = "1 digit" if config.input_length == 1 else f"{config.input_length} digits"
    title = f"{TITLES[config.model]} on palindromes: {digits} read"
    figure = drawing.learning_curves(run.read_lines("metrics.jsonl"), title, GUESSING)
    return [drawing.save(figure, into, "curves.png")]


def finish(
    config: LSTMConfig, run: RunFolder, loop: Loop, learnt: Examples, unseen: Examples
) -> None:
    """Draw curves, gates and gradients, and say how it went."""
    lines = run.measured()
    if not lines:
        return
    if not config.no_plots:
        draw(config, run, run, talker(config.quiet))
        look_inside(config, run, loop.state.networks[""], learnt, unseen)
    last = lines[-1]
    conclude(
        config.quiet,
        f"After epoch {last['epoch']} it predicts the last digit of {last['val_accuracy']:.1%} of "
        "the palindromes that it has never seen.",
        f"Of the palindromes that it learnt from: {last['accuracy']:.1%}.",
        f"Results: {run.path}",
    )


def look_inside(
    config: LSTMConfig, run: RunFolder, model: Any, learnt: Examples, unseen: Examples
) -> None:
    """Draw when the network knows the first digit, and how far back the gradient reaches."""
    if config.input_length == 1:
        return  # of a single step there is no course
    digits = np.concatenate([learnt.digits[:TAUGHT], unseen.digits[:TESTED]])
    x = mg.tensor(digits[:, :, None].astype(np.float32), device=config.device)
    found = insight.look_inside(model, x, digits[:, 0], min(TAUGHT, len(learnt)))
    figure = drawing.memory(found, config.model)
    drawing.save(figure, run, "gates.png" if found.cells else "memory.png")

    x, labels = to_tensors(unseen, np.arange(min(len(unseen), SHOWN)), config.device)
    mg.manual_seed(config.seed)
    other = replace(config, model="lstm" if config.model == "rnn" else "rnn", init=None).decided()
    norms: dict[str, dict[str, Any]] = {
        config.model: {
            "trained": gradient_norms(model, x, labels),
            "untrained": gradient_norms(make_model(config), x, labels),
        },
        other.model: {"untrained": gradient_norms(make_model(other), x, labels)},
    }
    figure = drawing.gradients(norms, "What is left of the gradient on its way back")
    drawing.save(figure, run, "gradients.png")


trainer = Trainer("train.lstm", LSTMConfig, train, draw, "epoch", learning_panels(GUESSING))
main, run = trainer.main, trainer.run

if __name__ == "__main__":
    leave(main())
