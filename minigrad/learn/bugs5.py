"""Planted bugs B.8 and B.9: BatchNorm while one only looks, and the logarithm of a sigmoid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Wrong

# --- B.8 drawing in training mode -----------------------------------------------------------------


def draw(generator: Any, z: Any) -> Array:
    """Return the generator's pictures (N, P) of noise z (N, L), a Tensor, as a NumPy array."""
    was_training = generator.training
    generator.eval()
    with mg.no_grad():
        pictures = generator(z).numpy()
    generator.train(was_training)
    return pictures


def _draw_in_training_mode(generator: Any, z: Any) -> Array:
    """Return the generator's pictures (N, P) of noise z (N, L), a Tensor, as a NumPy array."""
    with mg.no_grad():
        pictures = generator(z).numpy()
    return pictures


def _draw(*modes: bool, after: bool | None) -> Callable[..., Array]:
    """Draw after setting modes, True for training; `after` is set at the end, None for nothing."""

    def draw(generator: Any, z: Any) -> Array:
        for mode in modes:
            generator.train(mode)
        pictures = generator(z).detach().numpy()
        if after is not None:
            generator.train(after)
        return np.asarray(pictures)

    return draw


def _draw_and_put_statistics_back(generator: Any, z: Any) -> Array:
    kept = {k: v.numpy().copy() for k, v in generator.state_dict().items()}
    pictures = generator(z).detach().numpy()
    generator.load_state_dict(kept)
    return np.asarray(pictures)


def _draw_with_outer_flag(generator: Any, z: Any) -> Array:
    generator.training = False
    return np.asarray(generator(z).detach().numpy())


def _draw_one_by_one(generator: Any, z: Any) -> Array:
    return np.concatenate([generator(z[i : i + 1]).detach().numpy() for i in range(len(z))])


def _judge_draw(draw: Callable[..., Any]) -> Iterator[Result]:
    """Compare with the running statistics, put in by hand; then look what drawing has changed."""
    random = np.random.RandomState(8)
    w, b = random.standard_normal((3, 2)), random.standard_normal(3)
    mean, var = random.standard_normal(3), random.uniform(0.5, 2, 3)
    z = random.standard_normal((4, 2))
    layers = mg.nn.Linear(2, 3), mg.nn.BatchNorm1d(3), mg.nn.Tanh()
    generator = mg.nn.Sequential(*layers).astype("float64")
    layers[0].load_state_dict({"weight": w, "bias": b})
    layers[1].load_state_dict({"running_mean": mean, "running_var": var}, strict=False)
    right = np.tanh((z @ w.T + b - mean) / np.sqrt(var + 1e-5))
    for n in (4, 2):
        pictures = draw(generator, mg.tensor(z[:n]))
        yield Result("the array of pictures", pictures, right[:n], f"a batch of {n}")
    moved = layers[1].state_dict()
    for name, old in (("running_mean", mean), ("running_var", var)):
        yield Result(f"{name} afterwards", moved[name].numpy().copy(), old)
    for mode in (True, False):
        generator.train(mode)
        draw(generator, mg.tensor(z))
        got = {module.training for module in generator.modules()}
        before = "training" if mode else "evaluation"
        yield Result(f"`training` of all parts after {before}", got, {mode})
    frozen = [name for name, p in generator.named_parameters() if not p.requires_grad]
    if frozen:
        raise Wrong(
            f"After the call {frozen[0]} no longer requires a gradient, so the generator cannot "
            "learn any more. Inside `with mg.no_grad():` nothing is recorded, and no parameter has "
            "to be changed for it."
        )


DRAW = Exercise(
    number="B.8",
    chapter=11,
    title="A bug: a digit that depends on its company",
    level=2,
    minutes=6,
    task="""
This function draws pictures with a generator that has BatchNorm layers, to look at them or to judge
them. The same noise z gives another picture if the rest of the batch is another. And a run in which
one looks at pictures often learns otherwise than one in which nobody looks. Mend both. After the
call everything must be as it was before, whatever mode the generator was in.
""",
    hints=(
        "What does BatchNorm subtract in training, and what in evaluation? What does it change in "
        "training, even inside `no_grad`?",
        "Remember the mode, switch the whole generator to evaluation, draw, and switch it back to "
        "the mode that you remembered. `train(mode)` takes True or False.",
    ),
    answer=draw,
    planted=_draw_in_training_mode,
    judge=_judge_draw,
    against="BatchNorm with its running statistics, in NumPy",
    mistakes=(
        Mistake(
            _draw_in_training_mode,
            "BatchNorm is in training mode; `no_grad` does not change that, nor does the flag of "
            "the outermost module alone. It subtracts the mean of this batch, so a picture depends "
            "on the others beside it; and it moves its running statistics at each call.",
        ),
        Mistake(
            _draw(False, after=None),
            "The pictures are right, but the generator stays in evaluation mode: when the training "
            "goes on, BatchNorm no longer looks at the batches.",
        ),
        Mistake(
            _draw(False, after=True),
            "The pictures are right, but afterwards the generator is always in training mode, also "
            "if it came in evaluation mode. Remember which it was.",
        ),
        Mistake(
            _draw(True, after=None),
            "Training mode is switched on for drawing. There BatchNorm mixes the pictures of a "
            "batch and moves its running statistics; to draw it has to use what it has gathered.",
        ),
        Mistake(
            _draw_and_put_statistics_back,
            "Looking no longer changes the running statistics. But the pictures still depend on "
            "their company: they are drawn with the mean and variance of the batch.",
        ),
        Mistake(
            _draw_with_outer_flag,
            "Only the outermost module's flag is set. BatchNorm is a part inside and has a flag of "
            "its own, which `eval` and `train` set too.",
        ),
        Mistake(
            _draw_one_by_one,
            "Each picture is drawn alone, to have no company. But in training mode BatchNorm needs "
            "company: it subtracts the mean of the batch, and of one picture nothing is left.",
        ),
    ),
    after="Next: find the function in train/latent.py that draws samples, and see how it does it.",
)

# --- B.9 the log of a sigmoid ---------------------------------------------------------------------


def discriminator_loss(on_real: Any, on_fake: Any) -> Any:
    """Return -mean log D(real) - mean log(1 - D(fake)), a Tensor, of logits (N, 1) in float32."""
    criterion = mg.nn.BCEWithLogitsLoss()
    of_real = criterion(on_real, mg.ones_like(on_real))
    of_fake = criterion(on_fake, mg.zeros_like(on_fake))
    return of_real + of_fake


def _discriminator_loss_of_probabilities(on_real: Any, on_fake: Any) -> Any:
    """Return -mean log D(real) - mean log(1 - D(fake)), a Tensor, of logits (N, 1) in float32."""
    p_real, p_fake = mg.sigmoid(on_real), mg.sigmoid(on_fake)
    of_real = -mg.log(p_real).mean()
    of_fake = -mg.log(1 - p_fake).mean()
    return of_real + of_fake


def _softplus(x: Any) -> Any:
    """log(1 + e^x), stable: e of nothing above 0."""
    return mg.maximum(x, 0) + mg.log1p(mg.exp(-mg.abs(x)))


def _loss(
    softplus: Callable[[Any], Any] = _softplus, sign: int = 1, scale: float = 1
) -> Callable[..., Any]:
    """A loss with another log(1 + e^x), with the labels exchanged (sign -1), or scaled."""

    def discriminator_loss(on_real: Any, on_fake: Any) -> Any:
        return scale * (softplus(-sign * on_real).mean() + softplus(sign * on_fake).mean())

    return discriminator_loss


LOGITS = (
    ([[1.5], [-0.5]], [[-2.0], [0.25]]),
    ([[3.0], [-30.0]], [[-3.0], [30.0]]),
    ([[3.0], [-200.0]], [[-3.0], [200.0]]),
    ([[1000.0], [-1000.0]], [[-1000.0], [1000.0]]),
)


def _judge_loss(loss: Callable[..., Any]) -> Iterator[Result]:
    """Compare the loss and both gradients with logaddexp and its slope, in float64."""
    for given in LOGITS:
        tensors = [mg.tensor(np.array(x, np.float32), requires_grad=True) for x in given]
        on_real, on_fake = (np.array(x) for x in given)
        where = f"on_real = {on_real.tolist()}, on_fake = {on_fake.tolist()}"
        found = loss(*tensors)
        right = np.logaddexp(0, -on_real).mean() + np.logaddexp(0, on_fake).mean()
        if not isinstance(found, mg.Tensor) or not found.requires_grad:
            number = found.item() if isinstance(found, mg.Tensor) else found
            yield Result("the loss", number, right, where)
            raise Wrong(
                "No way leads back from the loss to the logits, so nothing can be learnt from it: "
                "compute it as a Tensor, of the given ones, by minigrad's operations."
            )
        if found.dtype != np.float32:
            raise Wrong(
                f"The loss is {found.dtype}, and the logits are float32. More digits put the "
                "trouble off to larger logits; a formula that needs no more digits has none."
            )
        found.backward()
        if np.isfinite(found.item()) and any(map(_is_flat, given, tensors)):
            raise Wrong(
                "The loss is finite, but where the discriminator is most wrong its slope is 0: just"
                " the worst mistakes teach nothing. A clipped probability does this, and so does a "
                "small number added inside the logarithm; neither is needed."
            )
        yield Result("the loss", found.detach().numpy().astype("float64"), right, where)
        slopes_given = [x.grad.numpy() for x in tensors if x.grad is not None]
        if np.isfinite(found.item()) and any(np.isnan(slope).any() for slope in slopes_given):
            raise Wrong(
                "The loss is finite, but its gradient is NaN: on the way back infinity meets a "
                "slope of 0. `where` and `maximum` compute both sides, and go back through both, "
                "also the one that is not chosen. Every exponent must be at most 0, also where it "
                "is not used."
            )
        slopes = -_sigmoid(-on_real) / len(on_real), _sigmoid(on_fake) / len(on_fake)
        for name, x, slope in zip(("on_real", "on_fake"), tensors, slopes, strict=True):
            got = None if x.grad is None else x.grad.numpy().astype("float64")
            yield Result(f"dL/d({name})", got, slope, where)


def _is_flat(logits: list[list[float]], x: Any) -> bool:
    """Whether the second logit, the one on the wrong side, is large and gets no gradient."""
    return abs(logits[1][0]) > 20 and x.grad is not None and abs(x.grad[1].item()) < 1e-3


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


LOSS = Exercise(
    number="B.9",
    chapter=10,
    title="A bug: a discriminator so sure that its loss is inf",
    level=2,
    minutes=8,
    task="""
The discriminator's loss, as in the paper: `-mean log D(real) - mean log(1 - D(fake))`. `on_real`
and `on_fake` are logits, Tensors of float32; D is their sigmoid. For some epochs all is well. Then
the discriminator is very sure of a fake, and wrong, and the loss is infinite or NaN. It must be
right for logits of any size, and so must its gradient. Find the reason and mend it.
""",
    hints=(
        "How many digits has float32? What is 1 - sigmoid(20) then, and what is its logarithm?",
        "Put the logarithm into the formula of the sigmoid by hand: -log sigmoid(x) is "
        "log(1 + e^-x), and -log(1 - sigmoid(x)) is log(1 + e^x). There are losses that take "
        "logits, and compute just this with no large exponential.",
    ),
    answer=discriminator_loss,
    planted=_discriminator_loss_of_probabilities,
    judge=_judge_loss,
    against="logaddexp in float64 and its slope",
    mistakes=(
        Mistake(
            _discriminator_loss_of_probabilities,
            "From a logit of 17 on, float32 rounds the sigmoid to 1, and log(1 - 1) is minus "
            "infinity. A probability cannot say how sure the discriminator is; the logit can, and "
            "the logarithm belongs to it.",
        ),
        Mistake(
            _loss(lambda x: -mg.log(mg.sigmoid(-x))),
            "This is right up to logits of about 88. From there on e^x is infinite in float32, and "
            "the sigmoid of -x is 0. For a large x take x out of the logarithm by hand, so that no "
            "exponent is above 0.",
        ),
        Mistake(
            _loss(lambda x: mg.maximum(x, 0) + mg.log1p(mg.exp(-x))),
            "For x above 0 this is right: x is taken out, and e^-x is small. For x far below 0, "
            "e^-x is infinite. The exponent must be at most 0 on both sides.",
        ),
        Mistake(
            lambda on_real, on_fake: discriminator_loss(mg.sigmoid(on_real), mg.sigmoid(on_fake)),
            "A loss that takes logits is given probabilities: the sigmoid is taken twice. Then no "
            "example costs more than log(1 + e), however wrong the discriminator is.",
        ),
        Mistake(
            _loss(sign=-1),
            "Nothing overflows any more, but the labels are exchanged: this loss is small where "
            "real examples are called fake.",
        ),
        Mistake(
            _loss(scale=0.5),
            "Nothing overflows any more, but the two parts are averaged. The loss is their sum.",
        ),
    ),
    after="Next: the generator's loss is -mean log D(fake). Which label gives it?",
)

EXERCISES = (DRAW, LOSS)
