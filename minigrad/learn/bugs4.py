"""Planted bugs B.7 and B.11: two players, each of whom moves the other by mistake.

Both judges let a game of four weights be played, G(z) = a z + b against D(x) = w x + c, and compare
with the same game in NumPy, its gradients written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Wrong

RATE = 0.5  # of both optimizers


def step(
    generator: Any, discriminator: Any, g_optimizer: Any, d_optimizer: Any, real: Any, z: Any
) -> tuple[float, float]:
    """Let the discriminator learn, then the generator, from real (N, 1) and noise z (N, 1).

    Return both losses. The discriminator gives logits.
    """
    criterion = mg.nn.BCEWithLogitsLoss()
    ones, zeros = mg.ones_like(real), mg.zeros_like(real)
    g_optimizer.zero_grad()
    d_optimizer.zero_grad()

    fake = generator(z).detach()
    d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake), zeros)
    d_loss.backward()
    d_optimizer.step()

    g_loss = criterion(discriminator(generator(z)), ones)
    g_loss.backward()
    g_optimizer.step()
    return d_loss.item(), g_loss.item()


def _step_for_both(
    generator: Any, discriminator: Any, g_optimizer: Any, d_optimizer: Any, real: Any, z: Any
) -> tuple[float, float]:
    """Let the discriminator learn, then the generator, from real (N, 1) and noise z (N, 1).

    Return both losses. The discriminator gives logits.
    """
    criterion = mg.nn.BCEWithLogitsLoss()
    ones, zeros = mg.ones_like(real), mg.zeros_like(real)
    g_optimizer.zero_grad()
    d_optimizer.zero_grad()

    fake = generator(z)
    d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake), zeros)
    d_loss.backward()
    d_optimizer.step()

    g_loss = criterion(discriminator(generator(z)), ones)
    g_loss.backward()
    g_optimizer.step()
    return d_loss.item(), g_loss.item()


def train(generator: Any, discriminator: Any, batches: Any) -> list[float]:
    """Train both players; batches holds pairs of real (N, 1) and noise z (N, 1).

    Return the discriminator's loss on each batch. The discriminator gives logits.
    """
    criterion = mg.nn.BCEWithLogitsLoss()
    g_optimizer = mg.optim.SGD(generator.parameters(), lr=0.5)
    d_optimizer = mg.optim.SGD(discriminator.parameters(), lr=0.5)
    losses = []
    for real, z in batches:
        ones, zeros = mg.ones_like(real), mg.zeros_like(real)
        for player in (generator, discriminator):
            player.zero_grad()
        fake = generator(z).detach()
        d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake), zeros)
        d_loss.backward()
        d_optimizer.step()

        g_loss = criterion(discriminator(generator(z)), ones)
        g_loss.backward()
        g_optimizer.step()
        losses.append(d_loss.item())
    return losses


def _train_with_remains(generator: Any, discriminator: Any, batches: Any) -> list[float]:
    """Train both players; batches holds pairs of real (N, 1) and noise z (N, 1).

    Return the discriminator's loss on each batch. The discriminator gives logits.
    """
    criterion = mg.nn.BCEWithLogitsLoss()
    g_optimizer = mg.optim.SGD(generator.parameters(), lr=0.5)
    d_optimizer = mg.optim.SGD(discriminator.parameters(), lr=0.5)
    losses = []
    for real, z in batches:
        ones, zeros = mg.ones_like(real), mg.zeros_like(real)
        fake = generator(z).detach()
        d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake), zeros)
        d_loss.backward()
        d_optimizer.step()
        d_optimizer.zero_grad()

        g_loss = criterion(discriminator(generator(z)), ones)
        g_loss.backward()
        g_optimizer.step()
        g_optimizer.zero_grad()
        losses.append(d_loss.item())
    return losses


# --- the same games with other mistakes -----------------------------------------------------------


def _step(turns: str = "xydDgG", cut: str = "d") -> Callable[..., tuple[float, float]]:
    """A step of both players with its calls in another order, or its losses cut elsewhere.

    Args:
        turns: d and g are the backward passes of D's and of G's loss, b of their sum; D and G the
            steps of the optimizers; x and y empty the gradients of D and of G.
        cut: Where `detach` stands: at the fakes (d) or behind D (e) in D's loss, at the fakes (g)
            or behind D (h) in G's loss. With s both losses share the same fakes.
    """

    def step(
        generator: Any, discriminator: Any, g_optimizer: Any, d_optimizer: Any, real: Any, z: Any
    ) -> tuple[float, float]:
        criterion = mg.nn.BCEWithLogitsLoss()
        ones, zeros = mg.ones_like(real), mg.zeros_like(real)
        shared = generator(z)

        def on_fake(before: str, behind: str) -> Any:
            fake = shared if "s" in cut else generator(z)
            logits = discriminator(fake.detach() if before in cut else fake)
            return logits.detach() if behind in cut else logits

        def d_loss() -> Any:
            return criterion(discriminator(real), ones) + criterion(on_fake("d", "e"), zeros)

        def g_loss() -> Any:
            return criterion(on_fake("g", "h"), ones)

        losses: dict[str, Any] = {}
        for turn in turns:
            if turn in "dgb":
                now = {k: f() for k, f in (("d", d_loss), ("g", g_loss)) if turn in (k, "b")}
                losses |= now
                sum(now.values()).backward()
            else:
                optimizer = d_optimizer if turn in "xD" else g_optimizer
                (optimizer.zero_grad if turn in "xy" else optimizer.step)()
        return losses["d"].item(), losses["g"].item()

    return step


def _train(turns: str, cut: str = "d") -> Callable[..., list[float]]:
    """A training whose steps have their calls in another order, or their losses cut elsewhere."""

    def train(generator: Any, discriminator: Any, batches: Any) -> list[float]:
        optimizers = [mg.optim.SGD(p.parameters(), lr=RATE) for p in (generator, discriminator)]
        one = _step(turns, cut)
        return [one(generator, discriminator, *optimizers, real, z)[0] for real, z in batches]

    return train


# --- the judges -----------------------------------------------------------------------------------


def _players(random: Any) -> tuple[Any, Any, list[float]]:
    """Both players in float64, and their weights a, b, w and c."""
    weights = [float(x) for x in random.uniform(0.5, 1.5, 4)]
    players = []
    for slope, shift in (weights[:2], weights[2:]):
        player = mg.nn.Linear(1, 1).astype("float64")
        player.load_state_dict({"weight": np.array([[slope]]), "bias": np.array([shift])})
        players.append(player)
    return players[0], players[1], weights


def _play(weights: list[float], batches: Sequence[tuple[Array, Array]]) -> Array:
    """Play the game in NumPy, changing the weights; return both losses for each batch."""
    a, b, w, c = weights
    losses = []
    for real, z in batches:
        fake, n = a * z + b, len(z)
        on_real, on_fake = w * real + c, w * fake + c
        d_loss = np.logaddexp(0, -on_real).mean() + np.logaddexp(0, on_fake).mean()
        to_real, to_fake = -_sigmoid(-on_real) / n, _sigmoid(on_fake) / n  # d loss / d logit
        w, c = (
            w - RATE * np.sum(to_real * real + to_fake * fake),
            c - RATE * np.sum(to_real + to_fake),
        )
        on_fake = w * fake + c
        losses.append((d_loss, np.logaddexp(0, -on_fake).mean()))
        to_fake = -w * _sigmoid(-on_fake) / n  # d loss / d fake, which passes through D
        a, b = a - RATE * np.sum(to_fake * z), b - RATE * np.sum(to_fake)
    weights[:] = map(float, (a, b, w, c))
    return np.array(losses)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _weights(generator: Any, discriminator: Any, right: list[float], where: str) -> Iterator[Any]:
    """Yield what each player's weights have become."""
    a, b, w, c = right
    yield Result("discriminator.weight", discriminator.weight.item(), w, where)
    yield Result("discriminator.bias", discriminator.bias.item(), c, where)
    yield Result("generator.weight", generator.weight.item(), a, where)
    yield Result("generator.bias", generator.bias.item(), b, where)


def require_numbers(losses: Any) -> None:
    """Raise `Wrong` where there are Tensors among the losses that a function returned."""
    if isinstance(losses, list | tuple) and any(isinstance(x, mg.Tensor) for x in losses):
        raise Wrong(
            "The losses are Tensors, each of which keeps a whole graph in memory; `loss.item()` "
            "gives the number."
        )


def _batches(random: Any, n: int, steps: int) -> list[tuple[Array, Array]]:
    return [
        (2 + random.standard_normal((n, 1)), random.standard_normal((n, 1))) for _ in range(steps)
    ]


def _judge_step(step: Callable[..., Any]) -> Iterator[Result]:
    for n, steps in ((3, 1), (5, 3)):
        random = np.random.RandomState(n)
        generator, discriminator, weights = _players(random)
        optimizers = [mg.optim.SGD(p.parameters(), lr=RATE) for p in (generator, discriminator)]
        batches = _batches(random, n, steps)
        found = []
        for real, z in batches:
            given = (mg.tensor(real), mg.tensor(z))
            found.append(step(generator, discriminator, *optimizers, *given))
            require_numbers(found[-1])
        right = _play(weights, batches)
        where = f"{n} examples, {steps} step{'s' * (steps > 1)}"
        yield from _weights(generator, discriminator, weights, where)
        got = found if any(x is None for x in found) else np.array(found)
        yield Result("the pair of losses", None if got is found else got, right, where)


def _judge_train(train: Callable[..., Any]) -> Iterator[Result]:
    for n, steps in ((3, 2), (5, 4)):
        random = np.random.RandomState(10 + n)
        generator, discriminator, weights = _players(random)
        batches = _batches(random, n, steps)
        losses = train(generator, discriminator, [tuple(map(mg.tensor, b)) for b in batches])
        require_numbers(losses)
        right = _play(weights, batches)[:, 0]
        where = f"{n} examples, {steps} steps"
        yield from _weights(generator, discriminator, weights, where)
        got = np.array(losses) if isinstance(losses, list | tuple) else losses
        yield Result("the list of losses", got, right, where)


# --- B.7 a missing detach -------------------------------------------------------------------------

STEP = Exercise(
    number="B.7",
    chapter=10,
    title="A bug: a generator that stops halfway",
    level=2,
    minutes=8,
    task="""
One step of a GAN: the discriminator learns, then the generator. It runs, and the losses look like
losses. But the generator stops as soon as the discriminator is unsure of its fakes, however unlike
the real examples they still are. The check lets tiny players play, G(z) = a z + b against
D(x) = w x + c, and looks at the four weights. Find the bug and mend it; the discriminator stays
first.
""",
    hints=(
        "Print `generator.weight.grad` just before the generator's own `backward`. What should "
        "stand there?",
        "The discriminator's loss depends on the fakes, and the fakes on the generator's weights. "
        "So its `backward` leaves gradients in the generator too, and the next `backward` adds to "
        "them. Let the first way end at the fakes.",
    ),
    answer=step,
    planted=_step_for_both,
    judge=_judge_step,
    against="the game of four weights, written out in NumPy",
    mistakes=(
        Mistake(
            _step_for_both,
            "The discriminator's loss goes back through the fakes into the generator, and stays in "
            "its gradients. So the generator follows both losses, and one of them asks it to be "
            "found out: where D says 1/2 they cancel, and it stands still.",
        ),
        Mistake(
            _step(cut="s"),
            "The generator's loss uses the same fakes, and the discriminator's `backward` has been "
            "through their graph. `retain_graph=True` would silence the error and leave the bug: "
            "that `backward` has no business in the generator.",
        ),
        Mistake(
            _step(cut="dh"),
            "Between the generator and its loss lies a `no_grad`, or a `detach` behind the "
            "discriminator. The gradient has to come through the discriminator, though only the "
            "generator moves.",
        ),
        Mistake(
            _step(cut="dg"),
            "The generator never changes: in its own loss the fakes are cut off from its weights, "
            "or the gradients are emptied before its step. Its gradient can only come through the "
            "discriminator's input.",
        ),
        Mistake(
            _step(cut="g"),
            "The cut is at the wrong place: the generator's own loss no longer reaches it, and the "
            "discriminator's loss does. So it learns to be found out.",
        ),
        Mistake(
            _step(cut="e"),
            "The discriminator learns from the real examples alone: what it says of the fakes is "
            "cut off behind it. Cut in front of it, so that it still learns, and the generator "
            "does not.",
        ),
        Mistake(
            _step("xybDG"),
            "Both losses go back together, so the discriminator gets the gradient of the "
            "generator's loss as well, which asks it to be deceived. Each loss belongs to one "
            "player; and the generator is to play against the discriminator that has just moved.",
        ),
        Mistake(
            _step("xybDG", cut=""),
            "Both losses go back together, to both players: each follows the sum of what it wants "
            "and what its opponent wants. Each loss belongs to one player.",
        ),
        Mistake(
            _step("xygGxdD"),
            "Each player now has its own gradient, but the generator moves first. Both orders are "
            "in use; this step was to begin with the discriminator.",
        ),
        Mistake(
            _step("dDgG"),
            "The first step is right, but the gradients are never emptied: from then on each "
            "player follows the sum of all its gradients.",
        ),
    ),
    after="Next: how does train/gan.py do without a detach? Look for `inputs=` in its step.",
)

# --- B.11 gradients that the other player left ----------------------------------------------------

TRAIN = Exercise(
    number="B.11",
    chapter=10,
    title="A bug: a discriminator that ends at two thirds",
    level=3,
    minutes=9,
    task="""
This loop trains a GAN. There are two optimizers, each with its own player's weights; the fakes are
detached; every `step` is followed by `zero_grad`, as in many good programs. When the fakes are as
good as the real examples, the discriminator should say 1/2 of every one. This one says 2/3. The
check lets tiny players play, G(z) = a z + b against D(x) = w x + c. Find the bug and mend it.
""",
    hints=(
        "Print `discriminator.weight.grad` at the top of the loop, before anything is computed. "
        "Who has written there?",
        "The generator's loss passes through the discriminator, so its `backward` fills the "
        "gradients of both. One optimizer moves the generator alone; what the other player was "
        "given lies there until its next turn.",
    ),
    answer=train,
    planted=_train_with_remains,
    judge=_judge_train,
    against="the game of four weights, written out in NumPy",
    mistakes=(
        Mistake(
            _train_with_remains,
            "The generator's `backward` fills the discriminator's gradients too, after they were "
            "emptied. In its next turn the discriminator's own gradient is added to what lies "
            "there, and that asks it to be deceived. Of three pulls, two now say `real`: so 2/3.",
        ),
        Mistake(
            _train("xydDGxygGD"),
            "In the generator's turn the discriminator moves as well, and towards the generator's "
            "goal: as with one optimizer for the weights of both. Each step must move one player.",
        ),
        Mistake(
            _train("dDgG"),
            "The gradients are not emptied inside the loop, so each player follows the sum of all "
            "gradients since the first batch.",
        ),
        Mistake(
            _train("dxDgyG"),
            "Nobody learns: the gradients are emptied between `backward` and `step`.",
        ),
        Mistake(
            _train("xydDgG", cut="dg"),
            "The discriminator is right, but the generator never changes: its loss does not reach "
            "it, or its gradients are emptied before its step. The discriminator must stand still "
            "in this turn, but the gradient has to pass through it.",
        ),
        Mistake(
            _train("dDxgGy", cut="dg"),
            "In its own loss the generator meets the detached fakes, so it never changes; they are "
            "for the discriminator's loss. And the discriminator's gradients still hold what the "
            "generator's loss has left there.",
        ),
        Mistake(
            _train("dDxgGy", cut=""),
            "Without the detach each player's gradients hold what the other's loss has left there: "
            "the first bug is still in, and a second one has come.",
        ),
        Mistake(
            _train("dDxgGy", cut="dh"),
            "Between the generator and its loss lies a `no_grad`, a `detach`, or a discriminator "
            "whose gradients are switched off. The gradient has to come through the discriminator, "
            "though only the generator moves.",
        ),
    ),
    after="Next: why just 2/3? Add the three slopes at D's logit where fakes are like real ones.",
)

EXERCISES = (STEP, TRAIN)
