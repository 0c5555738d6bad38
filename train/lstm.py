"""Teach an LSTM palindromes: `python -m train.lstm`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from .command import command, ending
from .config import COUNT, EPOCHS, NOT_NEGATIVE, PAIR, POSITIVE, RECIPE, SHARE, BadInput, RunConfig
from .console import DONE, leave, talker, tell
from .drawing import GUESSING, TITLES
from .insight import Recurrent, gradient_norms
from .loop import Loop, Meter, State, training
from .palindromes import Examples
from .run import RunFolder
from .sweep import Part, sweep

PROGRAM = "train.lstm"
EVALUATION_BATCH = 1000
SHOWN = 64  # palindromes whose gradients are averaged in the picture
TAUGHT, TESTED = 300, 100  # palindromes to find out with which step knows the first digit
TOO_FEW = 1000  # palindromes, to learn a rule from rather than each of them
criterion = nn.CrossEntropyLoss()


@dataclass(frozen=True)
class LSTMConfig(RunConfig):
    """Teach a recurrent network palindromes: it reads all digits but the last, and tells the last.

    As a palindrome's last digit is its first, it has to remember one digit to the end.
    """

    REPORT: ClassVar[dict[str, Any]] = {
        "epochs": 100,
        "init": "normal",
        "optimizer": "rmsprop",
        "learning_rate": 1e-3,
        "decay_epochs": 100,
        "curriculum": 0,
    }

    model: Literal["lstm", "textbook", "rnn"] = "lstm"
    """The LSTM as one fast layer or as textbooks write it, or a plain recurrent network."""

    input_length: Annotated[int, COUNT, tyro.conf.arg(metavar="T")] = 5
    """How many digits are read; the palindromes have one more."""

    hidden: Annotated[int, COUNT] = 128
    """How many numbers the network remembers from one digit to the next."""

    epochs: Annotated[int, EPOCHS, RECIPE] = 40
    """How many times to go through all the training examples (recipe report: 100)."""

    init: Annotated[Literal["uniform", "normal", "forget", "chrono"] | None, RECIPE] = None
    """Initial weights: uniform in +-1/sqrt(hidden) or standard normal (recipe report); uniform with
    gates that remember a little (forget), or for about T steps (chrono). Recipe best: chrono, but
    uniform for the plain network, which has no gates."""

    optimizer: Annotated[Literal["adam", "rmsprop"], RECIPE] = "adam"
    """What follows the gradient (recipe report: rmsprop)."""

    learning_rate: Annotated[float, POSITIVE, RECIPE, tyro.conf.arg(aliases=["--lr"])] = 3e-3
    """The optimizer's step size at the start (recipe report: 0.001)."""

    decay_epochs: Annotated[int | None, COUNT, RECIPE] = None
    """After how many epochs, each time, the learning rate falls to a tenth (recipe report: 100);
    without, it falls along a cosine to 0 at the end."""

    curriculum: Annotated[int, NOT_NEGATIVE, RECIPE, tyro.conf.arg(metavar="N")] = 20
    """Read only the first N digits at first, and twice as many again and again, up to all T; with 0
    all from the start (recipe report: 0)."""

    data_size: Annotated[int, PAIR] = 10_000
    """How many different palindromes there are in all, as far as so many exist."""

    portion_train: Annotated[float, SHARE] = 0.8
    """The share of them that is trained on; the others are only used to check."""

    max_norm: Annotated[float, POSITIVE] = 10.0
    """The length to which longer gradients are cut."""

    sweep: Annotated[tuple[int, ...], COUNT, tyro.conf.arg(metavar="T [T ...]")] = ()
    """Train for each of these lengths instead of one, and draw accuracy against length."""

    models: tuple[Literal["lstm", "textbook", "rnn"], ...] = ("rnn", "lstm")
    """Which networks a sweep compares."""

    seeds: Annotated[int, COUNT, tyro.conf.arg(metavar="N")] = 3
    """How many seeds a sweep uses for each, from --seed on."""

    @property
    def title(self) -> str:
        """What its curves show."""
        return f"{TITLES[self.model]} on palindromes: {self.input_length} digits read"

    def decided(self) -> Self:
        """Choose what nobody has chosen."""
        if self.sweep:
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


def to_tensors(examples: Examples, chosen: Any, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return the chosen examples as x (N, T, 1), float32, and labels (N,), int64."""
    x = examples.digits[chosen, :, None].astype(np.float32)
    return mg.tensor(x, device=device), mg.tensor(examples.labels[chosen], device=device)


def train(config: LSTMConfig, make_run: Callable[..., RunFolder]) -> int:
    """Train as configured, draw what came of it, and say how well it went.

    Args:
        config: What to do.
        make_run: Makes the run folder.

    Returns:
        The exit code.
    """
    say = talker(config.quiet)
    if config.sweep:
        for each in config.parts():
            make_examples(each)  # what cannot be done is said before anything is
        run = make_run()
        parts = [
            Part(
                each.model,
                each.input_length,
                each.seed,
                {"program": PROGRAM} | each.settings(),
                partial(learn, each),
            )
            for each in config.parts()
        ]
        stopped = sweep(parts, run, config.quiet)
        return DONE if stopped is None else ending(PROGRAM, run, stopped)
    examples = make_examples(config)
    run = make_run()
    say(describe(config, *map(len, examples)))
    loop = learn(config, run)
    return finish(config, run, loop, *examples)


def make_examples(config: LSTMConfig) -> tuple[Examples, Examples]:
    """Draw the palindromes to learn from, and others that check it."""
    random = np.random.default_rng(config.seed)
    drawn = palindromes.draw(config.input_length, config.data_size, random)
    return palindromes.split(drawn, config.portion_train)


def learn(config: LSTMConfig, run: RunFolder) -> Loop:
    """Train, and return the loop that has ended."""
    learnt, unseen = make_examples(config)
    mg.manual_seed(config.seed)
    model = make_model(config)
    optimizer, scheduler = make_optimizer(config, model)
    shuffle = np.random.default_rng([config.seed, 1])
    state = State({"": model}, {"": optimizer}, shuffle, {"": scheduler})

    take_step = mg.capture(step, config.device)  # it moves x and labels there
    steps_per_epoch = math.ceil(len(learnt) / config.batch_size)
    cost = partial(digits_read, config)
    with training(state, run, config, steps_per_epoch, step_cost=cost) as loop:
        for epoch in loop.epochs():
            read = digits_read(config, epoch)
            for chosen in loop.steps(batches(len(learnt), config.batch_size, shuffle)):
                x, labels = to_tensors(learnt.first(read), chosen)
                found = take_step(model, optimizer, x, labels, config.max_norm)
                loop.meter.add(len(chosen), **found)
            scheduler.step()
            check = evaluate(model, unseen, config.device)
            unknown = {"val_accuracy": check["accuracy"], "val_loss": check["loss"]}
            loop.log(show=("val_accuracy",), **unknown, digits_read=read)
            loop.keep_best(check["accuracy"], -check["loss"])
    return loop


def digits_read(config: LSTMConfig, epoch: int) -> int:
    """Return how many digits are read in an epoch, counted from 1.

    Over a long sequence the first digit leaves no more trace in the loss, at first, than any other.
    A network that has learnt to keep it over a few steps needs to learn no more than to go on.

    Of the epochs the first quarter reads `curriculum` digits, the next half ever more, and the last
    quarter all.

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
    """Return what follows the gradient, and what lowers its learning rate after each epoch."""
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
    text = f"Learning from {learnt} palindromes of {length} digits; {unseen} others check it."
    exist = palindromes.possible(config.input_length)
    if exist is not None and exist < TOO_FEW:
        text += (
            f"\nOnly {exist} palindromes of {length} digits exist: too few to generalise from, "
            "so expect it to do badly on those that it has not seen."
        )
    init = f"{config.init} initialisation"
    if config.init == "chrono":
        init += f" for {config.input_length} steps"
    name = {"adam": "Adam", "rmsprop": "RMSprop"}[config.optimizer]
    falls = (
        "falls along a cosine to 0"
        if config.decay_epochs is None
        else f"falls to a tenth every {config.decay_epochs} epochs"
    )
    text += (
        f"\nRecipe {config.recipe}: {init}, {name} with a learning rate of "
        f"{config.learning_rate:g}, which {falls}."
    )
    if digits_read(config, 1) < config.input_length:
        text += f" It reads {config.curriculum} digits at first, and ever more."
    return text


def finish(
    config: LSTMConfig, run: RunFolder, loop: Loop, learnt: Examples, unseen: Examples
) -> int:
    """Draw curves, gates and gradients, say how it went, and return the exit code."""
    lines = run.measured()
    if lines:
        figure = drawing.learning_curves(lines, config.title, GUESSING)
        drawing.save(figure, run, "curves.png")
        look_inside(config, run, loop.state.networks[""], learnt, unseen)
        last = lines[-1]
        tell(
            f"After epoch {last['epoch']} it tells the last digit of {last['val_accuracy']:.1%} of "
            "the palindromes that it has never seen, and of "
            f"{last['accuracy']:.1%} of those that it learnt from. Results: {run.path}"
        )
    return ending(PROGRAM, run, loop)


def look_inside(
    config: LSTMConfig, run: RunFolder, model: Any, learnt: Examples, unseen: Examples
) -> None:
    """Draw when the network knows the first digit, and how far back the gradient reaches."""
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


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Its words, None for those of the process.

    Returns:
        The exit code.
    """
    return command(PROGRAM, LSTMConfig, train, args)


if __name__ == "__main__":
    leave(main())
