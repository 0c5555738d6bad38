"""Networks that learn palindromes while one watches: docs/play/palindromes.md.

It is the training of `python -m train.lstm --model textbook`, at a constant learning rate, cut into
short calls, so that the page can show a network at any moment of its training.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import Indices, batches
from models.lstm import LSTM
from models.rnn import RNN
from train import insight, palindromes
from train.evaluation import criterion, evaluate
from train.palindromes import Examples

DATA_SIZE, PORTION_TRAIN, BATCH, MAX_NORM = 10_000, 0.8, 128, 10.0  # as in train.lstm
VALIDATED = 500  # palindromes that measure the accuracy, at most
PROBED = 300  # palindromes that tell which units know the first digit, at most

Values: TypeAlias = npt.NDArray[np.floating[Any]]


class Pupil:
    """A network that is being taught.

    Args:
        model: Turns digits (N, T, 1) into logits (N, 10).
        rate: The learning rate.
    """

    def __init__(self, model: LSTM | RNN, rate: float) -> None:
        self.model = model
        self.optimizer = optim.Adam(model.parameters(), lr=rate)

    def step(self, x: Tensor, labels: Tensor) -> float:
        """Learn from one batch; return the loss before."""
        loss = criterion(self.model(x), labels)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
        self.optimizer.step()
        return float(loss.item())


class Lesson:
    """A training, with one network or two that see the same batches.

    Args:
        length: The number of digits that are read.
        hidden: The number of units.
        rate: The learning rate.
        seed: Draws the palindromes, the first weights and the batches.
        with_rnn: Whether a plain recurrent network learns beside the LSTM.
    """

    def __init__(self, length: int, hidden: int, rate: float, seed: int, with_rnn: bool) -> None:
        drawn = palindromes.draw(length, DATA_SIZE, np.random.default_rng(seed))
        self.learnt, unseen = palindromes.split(drawn, PORTION_TRAIN)
        self.unseen = Examples(unseen.digits[:VALIDATED], unseen.labels[:VALIDATED])
        self.length, self.seen = length, 0
        mg.manual_seed(seed)
        lstm = LSTM(1, hidden, num_classes=10, init="chrono", memory=length)
        self.pupils = {"lstm": Pupil(lstm, rate)}
        if with_rnn:
            mg.manual_seed(seed)
            self.pupils["rnn"] = Pupil(RNN(1, hidden, num_classes=10), rate)
        self._batches = self._endless(np.random.default_rng([seed, 1]))
        self.orders = {name: np.arange(hidden) for name in self.pupils}

    def _endless(self, shuffle: np.random.Generator) -> Iterator[Indices]:
        while True:
            yield from batches(len(self.learnt), BATCH, shuffle)

    def advance(self, steps: int) -> dict[str, float]:
        """Teach for some steps; return the mean loss of each network."""
        losses: dict[str, list[float]] = {name: [] for name in self.pupils}
        for _ in range(steps):
            chosen = next(self._batches)
            x, labels = _tensors(self.learnt, chosen)
            for name, pupil in self.pupils.items():
                losses[name].append(pupil.step(x, labels))
            self.seen += len(chosen)
        return {name: float(np.mean(each)) for name, each in losses.items()}

    def validated(self) -> dict[str, dict[str, float]]:
        """Loss and accuracy of each network on palindromes that it has not learnt from."""
        return {
            name: evaluate(pupil.model, len(self.unseen), lambda part: _tensors(self.unseen, part))
            for name, pupil in self.pupils.items()
        }

    def known(self, model: LSTM | RNN) -> Values:
        """How much of what the units hold, after each digit, the first digit explains, (H, T)."""
        x, labels = _tensors(self.learnt, slice(PROBED))
        states = [step.h if step.C is None else step.C for step in insight.steps(model, x)]
        shares = [insight.explained(each.detach().numpy().T, labels.numpy()) for each in states]
        return np.stack(shares, axis=1)


def _tensors(examples: Examples, chosen: Any) -> tuple[Tensor, Tensor]:
    """Digits (N, T, 1), as float32, and the digits that follow (N,)."""
    digits = examples.digits[chosen, :, None].astype(np.float32)
    return mg.tensor(digits), mg.tensor(examples.labels[chosen])


_lesson: Lesson | None = None


def _current() -> Lesson:
    if _lesson is None:
        raise RuntimeError("no training has begun: call begin first")
    return _lesson


# What the page calls


def begin(length: int, hidden: int, rate: float, seed: int, with_rnn: bool) -> dict[str, Any]:
    """Begin anew, with networks that know nothing.

    Args:
        length: The number of digits that are read, T.
        hidden: The number of units, H.
        rate: The learning rate.
        seed: Draws the palindromes, the first weights and the batches.
        with_rnn: Whether a plain recurrent network learns beside the LSTM.

    Returns:
        How many palindromes there are, in `exist`, how many the networks learn from, and `unseen`,
        how many others measure them; and what `advance` returns.
    """
    global _lesson
    _lesson = Lesson(length, hidden, rate, seed, with_rnn)
    exist = palindromes.possible(length)
    counts = {"exist": exist, "learnt": len(_lesson.learnt), "unseen": len(_lesson.unseen)}
    return counts | advance(0)


def advance(steps: int) -> dict[str, Any]:
    """Teach for some steps.

    Args:
        steps: How many batches.

    Returns:
        `seen`, the examples that were seen so far, and for each of the `networks` its accuracy on
        unseen palindromes, and its loss: on the batches of these steps, before each; after no step
        on unseen palindromes. `diverged` if a loss is no number; the loss is then None.
    """
    lesson = _current()
    losses = lesson.advance(steps) if steps else {}
    networks = {}
    for name, found in lesson.validated().items():
        loss = losses.get(name, found["val_loss"])
        finite = math.isfinite(loss)
        networks[name] = {
            "accuracy": found["val_accuracy"],
            "loss": loss if finite else None,
        }
    diverged = any(each["loss"] is None for each in networks.values())
    return {"seen": lesson.seen, "networks": networks, "diverged": diverged}


def set_rate(rate: float) -> None:
    """Change the learning rate; what has been learnt stays."""
    for pupil in _current().pupils.values():
        for group in pupil.optimizer.param_groups:
            group["lr"] = rate


def look(typed: str, sort: bool) -> dict[str, Any]:
    """Let the networks read a palindrome, as they are now.

    Args:
        typed: The palindrome, or so many of its first digits that the others follow.
        sort: Whether to sort the units anew: first those whose memory at the end tells most of
            the first digit.

    Returns:
        `problem`, if it is no palindrome of this length; else its `digits`; for each of the
        `networks` ten `probabilities` of the last digit; `maps`, each with its network, a symbol
        and values (H, T) after each digit, where "knows" is how much the first digit explains;
        and `units`, the numbers of each network's units in the order of the maps.
    """
    lesson = _current()
    try:
        digits = completed(typed, lesson.length)
    except ValueError as error:
        return {"problem": str(error)}
    x = mg.tensor(np.array(digits[:-1], np.float32).reshape(1, -1, 1))
    networks, maps = {}, []
    with mg.no_grad():
        for name, pupil in lesson.pupils.items():
            steps = list(insight.steps(pupil.model, x))
            chances = nn.functional.softmax(pupil.model.output(steps[-1].h.T), dim=1)
            networks[name] = {"probabilities": chances[0].numpy().tolist()}
            known = lesson.known(pupil.model)
            if sort:
                lesson.orders[name] = np.argsort(-known[:, -1])
            for symbol, values in {**_held(pupil.model, x, steps), "knows": known}.items():
                rows = values[lesson.orders[name]].tolist()
                maps.append({"network": name, "symbol": symbol, "values": rows})
    units = {name: order.tolist() for name, order in lesson.orders.items()}
    return {"digits": digits, "networks": networks, "maps": maps, "units": units}


def _held(model: LSTM | RNN, x: Tensor, steps: Sequence[insight.Step]) -> dict[str, Values]:
    """What a network holds while it reads x (1, T, 1): for each symbol (H, T)."""
    held: dict[str, list[Values]] = defaultdict(list)
    h = mg.zeros(*steps[0].h.shape)
    for t, step in enumerate(steps):
        now = {"h": step.h}
        if isinstance(model, LSTM):
            assert step.C is not None  # an LSTM has a memory
            i, f, o = step.gates
            candidate = mg.tanh(model.W_C @ mg.concatenate([x[:, t].T, h]) + model.b_C)
            now = {"f": f, "i": i, "candidate": candidate, "C": step.C, "o": o, "h": step.h}
        for symbol, values in now.items():
            held[symbol].append(values.numpy()[:, 0])
        h = step.h
    return {symbol: np.stack(values, axis=1) for symbol, values in held.items()}


def completed(typed: str, length: int) -> list[int]:
    """Complete a palindrome.

    Args:
        typed: Its first digits, at least half of them; spaces do not count.
        length: The number of digits that are read; the palindrome has one more.

    Returns:
        All its digits.

    Raises:
        ValueError: It cannot become a palindrome of this length; the message says why.

    Example:
        >>> completed("407", 5)
        [4, 0, 7, 7, 0, 4]
    """
    text = typed.replace(" ", "")
    for character in text:
        if character not in "0123456789":
            raise ValueError(f"{character} is no digit: type digits from 0 to 9.")
    half, whole = length // 2 + 1, length + 1
    if len(text) < half:
        missing = half - len(text)
        raise ValueError(
            f"Type {missing} more {'digit' if missing == 1 else 'digits'}: the first {half} of "
            f"{whole} fix the others."
        )
    if len(text) > whole:
        raise ValueError(f"These are {len(text)} digits; the palindromes have {whole} here.")
    digits = [int(character) for character in text[:half]]
    digits += digits[: whole - half][::-1]
    for place, character in enumerate(text[half:], half + 1):
        mirror = whole + 1 - place
        if int(character) != digits[place - 1]:
            raise ValueError(
                f"No palindrome: digit {place} is {character}, and its mirror image, digit "
                f"{mirror}, is {digits[place - 1]}."
            )
    return digits
