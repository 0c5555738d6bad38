"""Planted bugs B.7 and B.11: two players, each of whom moves the other by mistake."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad.learn.exercise import Exercise, Mistake
from minigrad.learn.game import judge_step, judge_train, step_by, train_by

# --- B.7 a missing detach -------------------------------------------------------------------------


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
    judge=judge_step,
    against="the game of four weights, written out in NumPy",
    mistakes=(
        Mistake(
            _step_for_both,
            "The discriminator's loss goes back through the fakes into the generator, and stays in "
            "its gradients. So the generator follows both losses, and one of them asks it to be "
            "found out: where D says 1/2 they cancel, and it stands still.",
        ),
        Mistake(
            step_by(cut="s"),
            "The generator's loss uses the same fakes, and the discriminator's `backward` has been "
            "through their graph. `retain_graph=True` would silence the error and leave the bug: "
            "that `backward` has no business in the generator.",
        ),
        Mistake(
            step_by(cut="dh"),
            "Between the generator and its loss lies a `no_grad`, or a `detach` behind the "
            "discriminator. The gradient has to come through the discriminator, though only the "
            "generator moves.",
        ),
        Mistake(
            step_by(cut="dg"),
            "The generator never changes: in its own loss the fakes are cut off from its weights, "
            "or the gradients are emptied before its step. Its gradient can only come through the "
            "discriminator's input.",
        ),
        Mistake(
            step_by(cut="g"),
            "The cut is at the wrong place: the generator's own loss no longer reaches it, and the "
            "discriminator's loss does. So it learns to be found out.",
        ),
        Mistake(
            step_by(cut="e"),
            "The discriminator learns from the real examples alone: what it says of the fakes is "
            "cut off behind it. Cut in front of it, so that it still learns, and the generator "
            "does not.",
        ),
        Mistake(
            step_by("xybDG"),
            "Both losses have gone back before anybody moves, so the discriminator gets the "
            "gradient of the generator's loss as well, which asks it to be deceived. Each loss "
            "belongs to one player; and the generator is to play against the discriminator that "
            "has just moved.",
        ),
        Mistake(
            step_by("xybDG", cut=""),
            "Both losses have gone back, to both players, before anybody moves: each follows the "
            "sum of what it wants and what its opponent wants. Each loss belongs to one player.",
        ),
        Mistake(
            step_by("xygGxdD"),
            "Each player now has its own gradient, but the generator moves first. Both orders are "
            "in use; this step was to begin with the discriminator.",
        ),
        Mistake(
            step_by("dDgG"),
            "The first step is right, but the gradients are never emptied: from then on each "
            "player follows the sum of all its gradients.",
        ),
    ),
    after="Next: how does train/gan.py do without a detach? Look for `inputs=` in its step.",
)

# --- B.11 gradients that the other player left ----------------------------------------------------


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
check lets tiny players play, G(z) = a z + b against D(x) = w x + c. Find the bug and mend it; the
discriminator stays first.
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
    judge=judge_train,
    against="the game of four weights, written out in NumPy",
    mistakes=(
        Mistake(
            _train_with_remains,
            "The generator's `backward` fills the discriminator's gradients too, after they were "
            "emptied. In its next turn the discriminator's own gradient is added to what lies "
            "there, and that asks it to be deceived. Of three pulls, two now say `real`: so 2/3.",
        ),
        Mistake(
            train_by("xydDGxygGD"),
            "In the generator's turn the discriminator moves as well, and towards the generator's "
            "goal: as with one optimizer for the weights of both. Each step must move one player.",
        ),
        Mistake(
            train_by("dDgG"),
            "The gradients are not emptied inside the loop, so each player follows the sum of all "
            "gradients since the first batch.",
        ),
        Mistake(
            train_by("dxDgyG"),
            "Nobody learns: the gradients are emptied between `backward` and `step`.",
        ),
        Mistake(
            train_by("xydDgG", cut="dg"),
            "The discriminator is right, but the generator never changes: its loss does not reach "
            "it, or its gradients are emptied before its step. The discriminator must stand still "
            "in this turn, but the gradient has to pass through it.",
        ),
        Mistake(
            train_by("dDxgGy", cut="dg"),
            "In its own loss the generator meets the detached fakes, so it never changes; they are "
            "for the discriminator's loss. And the discriminator's gradients still hold what the "
            "generator's loss has left there.",
        ),
        Mistake(
            train_by("dDxgGy", cut=""),
            "Without the detach each player's gradients hold what the other's loss has left there: "
            "the first bug is still in, and a second one has come.",
        ),
        Mistake(
            train_by("xydDgG", cut=""),
            "The discriminator is right now. But without the detach its loss goes back into the "
            "generator too, which follows both losses, and one of them asks it to be found out.",
        ),
        Mistake(
            train_by("xygGxydD"),
            "Each player now has its own gradient, but the generator moves first. Both orders are "
            "in use; this loop was to begin with the discriminator.",
        ),
        Mistake(
            train_by("dDxgGy", cut="dh"),
            "Between the generator and its loss lies a `no_grad`, a `detach`, or a discriminator "
            "whose gradients are switched off. The gradient has to come through the discriminator, "
            "though only the generator moves.",
        ),
    ),
    after="Next: why just 2/3? Add the three slopes at D's logit where fakes are like real ones.",
)

EXERCISES = (STEP, TRAIN)
