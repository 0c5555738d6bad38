"""The game of planted bugs B.7 and B.11: its judges, and plays of it with mistakes.

Two players with four weights play, G(z) = a z + b against D(x) = w x + c. A judge lets them play by
a learner's function, and compares with the same game in NumPy, its gradients written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.judges import Array, CallFailedError, Result, require_numbers

RATE = 0.5  # of both optimizers


# --- the judges -----------------------------------------------------------------------------------


def _players(weights: Sequence[float]) -> list[Any]:
    """G and D in float64 with weights a, b, w and c."""
    players = []
    for slope, shift in (weights[:2], weights[2:]):
        player = mg.nn.Linear(1, 1).astype("float64")
        player.load_state_dict({"weight": np.array([[slope]]), "bias": np.array([shift])})
        players.append(player)
    return players


def _play(
    weights: Sequence[float], batches: Sequence[tuple[Array, Array]]
) -> tuple[Sequence[float], Array]:
    """Play the game in NumPy; return its weights at the end, and both losses for each batch."""
    a, b, w, c = weights
    losses = []
    for real, z in batches:
        fake, n = a * z + b, len(z)
        on_real, on_fake = w * real + c, w * fake + c
        d_loss = np.logaddexp(0, -on_real).mean() + np.logaddexp(0, on_fake).mean()
        to_real, to_fake = -_sigmoid(-on_real) / n, _sigmoid(on_fake) / n  # dL_D/dlogit
        w -= RATE * np.sum(to_real * real + to_fake * fake)
        c -= RATE * np.sum(to_real + to_fake)

        on_fake = w * fake + c
        g_loss = np.logaddexp(0, -on_fake).mean()
        to_fake = -_sigmoid(-on_fake) / n * w  # dL_G/dfake: by the logit, then through D
        a -= RATE * np.sum(to_fake * z)
        b -= RATE * np.sum(to_fake)
        losses.append((d_loss, g_loss))
    return (a, b, w, c), np.array(losses)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _weights(players: Sequence[Any], right: Sequence[float], where: str) -> Iterator[Result]:
    """Yield what the four weights have become."""
    generator, discriminator = players
    a, b, w, c = right
    yield Result("discriminator.weight", discriminator.weight.item(), w, where)
    yield Result("discriminator.bias", discriminator.bias.item(), c, where)
    yield Result("generator.weight", generator.weight.item(), a, where)
    yield Result("generator.bias", generator.bias.item(), b, where)


def _play_by(function: Callable[..., Any], players: Sequence[Any], where: str, *rest: Any) -> Any:
    """Call the learner's function; where it raises, say who had moved until then."""
    before = [player.weight.item() for player in players]
    try:
        return function(*players, *rest)
    except BrokenPipeError:  # of a print: not the function's fault
        raise
    except Exception as error:
        after = [player.weight.item() for player in players]
        moved = [a != b for a, b in zip(before, after, strict=True)]
        names = ("the generator", "the discriminator")
        who = " and ".join(name for name, has in zip(names, moved, strict=True) if has)
        raise CallFailedError(f"{where}; until then {who or 'nobody'} had moved") from error


def _drawn(seed: int, n: int, steps: int) -> tuple[list[float], list[tuple[Array, Array]]]:
    """Four weights to begin with, and batches of real examples and noise."""
    random = np.random.RandomState(seed)
    weights = [float(x) for x in random.uniform(0.5, 1.5, 4)]
    shape = (n, 1)
    return weights, [
        (2 + random.standard_normal(shape), random.standard_normal(shape)) for _ in range(steps)
    ]


def judge_step(step: Callable[..., Any]) -> Iterator[Result]:
    """Let a function take single steps of the game; compare all weights and both losses."""
    for n, steps in ((3, 1), (5, 3)):
        weights, batches = _drawn(n, n, steps)
        players = _players(weights)
        optimizers = [mg.optim.SGD(player.parameters(), lr=RATE) for player in players]
        where = f"{n} examples, {steps} step{'s' * (steps > 1)}"
        found = []
        for batch in batches:
            found.append(_play_by(step, players, where, *optimizers, *map(mg.tensor, batch)))
            require_numbers(found[-1])
        right, losses = _play(weights, batches)
        yield from _weights(players, right, where)
        got = None if any(pair is None for pair in found) else np.array(found)
        yield Result("the pair of losses", got, losses, where)


def judge_train(train: Callable[..., Any]) -> Iterator[Result]:
    """Let a function play the game to its end; compare all weights and D's losses."""
    for n, steps in ((3, 2), (5, 4)):
        weights, batches = _drawn(10 + n, n, steps)
        players = _players(weights)
        where = f"{n} examples, {steps} steps"
        tensors = [tuple(map(mg.tensor, batch)) for batch in batches]
        found = _play_by(train, players, where, tensors)
        require_numbers(found)
        right, losses = _play(weights, batches)
        yield from _weights(players, right, where)
        got = np.array(found) if isinstance(found, list | tuple) else found
        yield Result("the list of losses", got, losses[:, 0], where)


# --- plays with mistakes --------------------------------------------------------------------------


def step_by(turns: str = "xydDgG", cut: str = "d") -> Callable[..., tuple[float, float]]:
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


def train_by(turns: str, cut: str = "d") -> Callable[..., list[float]]:
    """A training whose steps have their calls in another order, or their losses cut elsewhere."""

    def train(generator: Any, discriminator: Any, batches: Any) -> list[float]:
        optimizers = [mg.optim.SGD(p.parameters(), lr=RATE) for p in (generator, discriminator)]
        one = step_by(turns, cut)
        return [one(generator, discriminator, *optimizers, real, z)[0] for real, z in batches]

    return train
