"""Planted bugs B.5 and B.6: gradients that are never emptied, a validation set that was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Wrong, call
from minigrad.learn.faults import listed
from minigrad.learn.judges import require_numbers, several

# --- B.5 a forgotten zero_grad --------------------------------------------------------------------


def train(model: Any, x: Any, target: Any, steps: int) -> list[float]:
    """Fit a model by gradient descent, all examples at once; return the loss before each step."""
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        loss = ((model(x) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _train_accumulating(model: Any, x: Any, target: Any, steps: int) -> list[float]:
    """Fit a model by gradient descent, all examples at once; return the loss before each step."""
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        loss = ((model(x) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _training(
    order: str, rate: float = 0.1, mean: bool = True, late: bool = False
) -> Callable[..., list[float]]:
    """The loop with its three calls in another order: z(ero_grad), b(ackward), s(tep)."""

    def train(model: Any, x: Any, target: Any, steps: int) -> list[float]:
        def compute() -> Any:
            squares = (model(x) - target) ** 2
            return squares.mean() if mean else squares.sum()

        optimizer = mg.optim.SGD(model.parameters(), lr=rate)
        losses = []
        for _ in range(steps):
            loss = compute()
            for letter in order:
                {"z": optimizer.zero_grad, "b": loss.backward, "s": optimizer.step}[letter]()
            losses.append((compute() if late else loss).item())
        return losses

    return train


def _judge_training(train: Callable[..., Any]) -> Iterator[Result]:
    """Compare with gradient descent on a linear model, its gradient written out in NumPy."""
    for n, steps in ((4, 3), (6, 5)):
        random = np.random.RandomState(n)
        x, target = random.standard_normal((n, 2)), random.standard_normal((n, 1))
        w, b = random.standard_normal((1, 2)), random.standard_normal(1)
        model = mg.nn.Linear(2, 1).astype("float64")
        model.load_state_dict({"weight": w, "bias": b})
        losses = train(model, mg.tensor(x), mg.tensor(target), steps)
        require_numbers(losses)
        right = []
        for _ in range(steps):
            error = x @ w.T + b - target
            right.append((error**2).mean())
            w, b = w - 0.1 * 2 / n * error.T @ x, b - 0.1 * 2 / n * error.sum(0)
        where = f"{n} examples, {steps} steps"
        got = np.array(losses) if isinstance(losses, list | tuple) else losses
        yield Result("the list of losses", got, np.array(right), where)
        for name, expected in (("weight", w), ("bias", b)):
            learnt = model.state_dict()[name].numpy().copy()
            yield Result(f"model.{name}", learnt, expected, where)


TRAIN = Exercise(
    number="B.5",
    chapter=7,
    title="A bug: the loss goes down, then up",
    level=1,
    minutes=5,
    task="""
This loop fits a model by gradient descent. Its loss falls at first, then it swings and grows, even
at a small learning rate. The model and the loss are right. Find the bug and mend it.
""",
    hints=(
        "Print `model.weight.grad` in each step, and compare it with the gradient of this step's "
        "loss.",
        "`backward` adds to `.grad`; it never sets it to zero. So after three steps it holds the "
        "sum of three gradients. Who has to empty it, and when?",
    ),
    answer=train,
    planted=_train_accumulating,
    judge=_judge_training,
    against="gradient descent written out in NumPy",
    mistakes=(
        Mistake(
            _train_accumulating,
            "`backward` adds to `.grad`, so each step walks along the sum of all gradients so far,"
            " the old ones too. It is like a ball that never slows down. Empty the gradients in "
            "every step.",
        ),
        Mistake(
            _training("bzs"),
            "The model never changes: `step` finds no gradient. Either `backward` is not called, or"
            " the gradients are emptied between `backward` and `step`.",
        ),
        Mistake(
            _training("szb"),
            "A weight changed between the forward pass and `backward`, as by a `step` that comes "
            "too early. `backward` needs the values that this loss was computed with.",
        ),
        Mistake(
            _training("zbss"),
            "`step` is called twice with the same gradient, which doubles the learning rate.",
        ),
        Mistake(
            _training("bs", rate=0.01),
            "A smaller learning rate only hides the bug: `backward` still adds to `.grad`, and each"
            " step walks along the sum of all gradients so far. Keep 0.1, and empty the gradients.",
        ),
        Mistake(
            _training("zbs", rate=0.01),
            "The gradients are emptied as they should be, but the learning rate is another. The "
            "loop had 0.1.",
        ),
        Mistake(
            _training("zbs", mean=False),
            "The gradients are emptied as they should be, but the loss is now a sum, and the loop "
            "had a mean.",
        ),
        Mistake(
            _training("zbs", late=True),
            "The model is trained as it should be, but the list holds the losses after each step. "
            "Asked for is the loss before each step.",
        ),
    ),
    after="Next: when is adding up wanted? Two half batches, one step: accumulate on purpose.",
)

# --- B.6 a validation set that was seen ---------------------------------------------------------


def split(
    x: Array, labels: Array, n_validation: int, seed: int
) -> tuple[Array, Array, Array, Array]:
    """Split examples at random; return x and labels to train on, then x and labels to validate."""
    order = np.random.RandomState(seed).permutation(len(x))
    validation, train = order[:n_validation], order[n_validation:]
    return x[train], labels[train], x[validation], labels[validation]


def _split_twice(
    x: Array, labels: Array, n_validation: int, seed: int
) -> tuple[Array, Array, Array, Array]:
    """Split examples at random; return x and labels to train on, then x and labels to validate."""
    random = np.random.RandomState(seed)
    train = random.permutation(len(x))[n_validation:]
    validation = random.permutation(len(x))[:n_validation]
    return x[train], labels[train], x[validation], labels[validation]


def _split_labels_apart(x: Array, labels: Array, n: int, seed: int) -> tuple[Array, ...]:
    random = np.random.RandomState(seed)
    x, labels = x[random.permutation(len(x))], labels[random.permutation(len(x))]
    return x[n:], labels[n:], x[:n], labels[:n]


def _split_all_for_training(x: Array, labels: Array, n: int, seed: int) -> tuple[Array, ...]:
    order = np.random.RandomState(seed).permutation(len(x))
    return x[order], labels[order], x[order[:n]], labels[order[:n]]


def _split_swapped(x: Array, labels: Array, n: int, seed: int) -> tuple[Array, ...]:
    order = np.random.RandomState(seed).permutation(len(x))
    return x[order[:n]], labels[order[:n]], x[order[n:]], labels[order[n:]]


def _split_with_repeats(x: Array, labels: Array, n: int, seed: int) -> tuple[Array, ...]:
    validation = np.random.RandomState(seed).choice(len(x), n)
    train = np.setdiff1d(np.arange(len(x)), validation)
    return x[train], labels[train], x[validation], labels[validation]


def _split_losing_some(x: Array, labels: Array, n: int, seed: int) -> tuple[Array, ...]:
    order = np.random.RandomState(seed).permutation(len(x))
    train, validation = order[n + 1 :], order[:n]
    return x[train], labels[train], x[validation], labels[validation]


def _judge_split(split: Callable[..., Any]) -> Iterator[Result]:
    """Count what both parts hold; example i of class i // 10 is the row (i, -i)."""
    for count, n, seed in ((40, 10, 0), (30, 12, 1)):
        numbers = np.arange(count)
        x, labels = np.stack([numbers, -numbers], 1) * 1.0, numbers // 10
        names = "training x", "training labels", "validation x", "validation labels"
        given = {"x": x, "labels": labels, "n_validation": n, "seed": seed}
        parts = several(call(split, given), names)
        if [np.ndim(part) for part in parts] != [2, 1, 2, 1]:
            raise Wrong(
                f"The four results have {listed([str(np.ndim(part)) for part in parts])} axes; it "
                "should be 2, 1, 2 and 1. The order: x and labels to train on come first, then x "
                "and labels to validate."
            )
        train, train_labels, validation, validation_labels = map(np.asarray, parts)
        seen, kept = (part[:, 0].astype(int).tolist() for part in (train, validation))
        told = [*train_labels.tolist(), *validation_labels.tolist()]
        strangers = sum(i // 10 != k for i, k in zip([*seen, *kept], told, strict=True))
        where = f"{count} examples, {n} of them for validation"
        yield Result("the number of different validation examples", len({*kept}), n, where)
        yield Result("the number of examples in both parts", len({*seen} & {*kept}), 0, where)
        lost = count - len({*seen, *kept})
        yield Result("the number of examples in neither part", lost, 0, where)
        yield Result("the number of examples with another's label", strangers, 0, where)
        if len({i // 10 for i in kept}) == 1:
            raise Wrong(
                "The parts have nothing in common, but the validation examples are all of one "
                "class: the data are sorted by class, and the split is not random."
            )
        again, *others = (
            set(several(call(split, {**given, "seed": k}), names)[2][:, 0])
            for k in (seed, seed + 1, seed + 2, seed + 3)
        )
        if again != {*kept}:
            raise Wrong(
                "Two calls with the same seed give different parts. A generator that is made from "
                "`seed` gives the same numbers each time, so that a run can be repeated."
            )
        if all(other == again for other in others):
            raise Wrong("Each seed gives the same parts: `seed` plays no part in the split.")


SPLIT = Exercise(
    number="B.6",
    chapter=7,
    title="A bug: validation as good as training",
    level=2,
    minutes=6,
    task="""
This function splits examples into a part to train on and a part to validate. The network overfits
badly, and yet the validation accuracy is nearly as high as that of the training. Find the bug and
mend it. The examples come sorted by class, so the split has to stay random.
""",
    hints=(
        "Count the examples that are in both parts. How many should there be, and how many are "
        "there?",
        "Each call of `permutation` shuffles anew. The end of one shuffle and the beginning of "
        "another have many examples in common.",
    ),
    answer=split,
    planted=_split_twice,
    judge=_judge_split,
    against="what a split must be",
    mistakes=(
        Mistake(
            _split_twice,
            "The examples are shuffled twice, so most of the validation set is in the training set"
            " too. The network has seen these answers, and its accuracy there says nothing about "
            "new ones.",
        ),
        Mistake(
            _split_labels_apart,
            "x and labels are shuffled apart, so examples have the labels of others: nothing can "
            "be learnt from them. One order for both.",
        ),
        Mistake(
            _split_all_for_training,
            "The training part holds all examples, those for validation too. What is measured "
            "there is how well the network remembers.",
        ),
        Mistake(
            _split_swapped,
            "The two parts are exchanged: n_validation examples are to be kept for validation, and"
            " the many others are to train on.",
        ),
        Mistake(
            _split_with_repeats,
            "`choice` draws with replacement: some examples are in the validation set twice, and "
            "it holds fewer different ones than asked for. A permutation has each example once.",
        ),
        Mistake(
            _split_losing_some,
            "The parts have nothing in common, but one example is in neither: the second part "
            "begins where the first ends, at n_validation.",
        ),
    ),
    after="Next: means and scales for standardizing come from the training part alone. Why?",
)

EXERCISES = (TRAIN, SPLIT)
