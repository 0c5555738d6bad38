"""Exercises of chapter 10: the game of generator and discriminator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.learn.exercise import (
    Array,
    Exercise,
    Mistake,
    Result,
    Values,
    Wrong,
)
from minigrad.learn.judges import differences

# --- 10.1 the best discriminator ----------------------------------------------------------------


def best_discriminator(p: Array, q: Array, share: float) -> Array:
    """Return the best D for each picture; p and q (K,), share: of the real ones, 0 to 1."""
    real, fake = share * p, (1 - share) * q
    return real / (real + fake)


def _by_bisection(p: Array, q: Array, share: float) -> Array:
    """Where the derivative of share p log D + (1 - share) q log(1 - D) changes its sign."""
    found = []
    for a, b in zip(share * p, (1 - share) * q, strict=True):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            if a * (1 - middle) > b * middle:
                low = middle
            else:
                high = middle
        found.append((low + high) / 2)
    return np.array(found)


BEST = Exercise(
    number="10.1",
    chapter=10,
    title="The best discriminator, with unequal shares",
    level=1,
    minutes=8,
    task="""
Of the pictures that D sees, the part `share` is real, and the rest are fakes. (In the chapter it
was one half.) Picture number i has the probability p[i] among the real ones and q[i] among the
fakes. Which D[i] makes the expectation of log D for real and log(1 - D) for fake pictures largest?
Every picture is drawn by p or by q.
""",
    hints=(
        "Write down the expectation as a sum over the pictures. Which factor do its two terms have "
        "that they did not have in the chapter?",
        "Each D[i] maximises share p log D + (1 - share) q log(1 - D). Derive by D and solve; or "
        "ask: among all pictures that look like this one, how many are real?",
    ),
    answer=best_discriminator,
    judge=Values(
        truth=_by_bisection,
        needs=("p", "q", "share"),
        cases=(
            {
                "p": np.array([0.1, 0.2, 0.4, 0.3]),
                "q": np.array([0.5, 0.2, 0.1, 0.2]),
                "share": 0.25,
            },
            {"p": np.array([0.5, 0.5, 0.0]), "q": np.array([0.0, 0.25, 0.75]), "share": 0.6},
            {"p": np.array([0.3, 0.7]), "q": np.array([0.3, 0.7]), "share": 0.9},
        ),
        names=("D",),
        against="the zero of the derivative, found by bisection",
    ),
    mistakes=(
        Mistake(
            lambda p, q, share: p / (p + q),
            "`share` plays no part: this is the best D if half of the pictures are real. If "
            "nearly all are real, even a doubtful one probably is.",
        ),
        Mistake(
            lambda p, q, share: share * p / (p + q),
            "The share stands in the numerator only. The fakes have a share too, and both stand "
            "below the fraction bar.",
        ),
        Mistake(
            lambda p, q, share: share * p / (share * p + q),
            "The fakes have no factor here. They are the rest of the pictures, 1 - share.",
        ),
        Mistake(
            lambda p, q, share: (1 - share) * q / (share * p + (1 - share) * q),
            "This is the probability that the picture is a fake. D says how probable it is that "
            "it is real.",
        ),
        Mistake(
            lambda p, q, share: (1 - share) * p / ((1 - share) * p + share * q),
            "The shares are exchanged: `share` belongs to the real pictures, p.",
        ),
        Mistake(
            lambda p, q, share: (share * p > (1 - share) * q).astype(float),
            "This is the best *decision*, 0 or 1. It has the best accuracy, but D is to give a "
            "probability: log 0 makes the loss infinite at the first surprise.",
        ),
        Mistake(
            lambda p, q, share: share * p,
            "This is how often a picture comes *and* is real. D is asked when the picture has "
            "come: divide by how often it comes at all.",
        ),
        Mistake(
            lambda p, q, share: np.full(len(p), share),
            "This D looks at no picture: it knows the share of the real ones and nothing else. "
            "Only where p and q are equal is there nothing more to know.",
        ),
        Mistake(
            lambda p, q, share: np.log(share * p) - np.log((1 - share) * q),
            "This is the logit of D, log(D / (1 - D)). Asked for is the probability, the sigmoid "
            "of it.",
        ),
        Mistake(
            lambda p, q, share: share * p / ((1 - share) * q),
            "This is how many times more often the picture is real than fake, D / (1 - D). It can "
            "be larger than 1, so it is no probability.",
        ),
    ),
    after="Next: what does this D say if p = q, and what is its loss then?",
)

# --- 10.2 the Jensen-Shannon divergence ---------------------------------------------------------


def jensen_shannon(p: Array, q: Array) -> float:
    """Return JSD(p, q), a number, of two lists of probabilities (K,), some of which may be 0."""
    total = 0.0
    for mine in (p, q):
        drawn = mine > 0
        total += np.sum(mine[drawn] * np.log(2 * mine[drawn] / (p + q)[drawn]))
    return float(total / 2)


def _entropy(probabilities: Array) -> float:
    return -math.fsum(x * math.log(x) for x in probabilities if x > 0)


def _jsd(p: Array, q: Array) -> float:
    """By entropies: that of the mixture minus the mean of both."""
    return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2


def _kl(p: Array, q: Array) -> Any:
    some = (p > 0) & (q > 0)
    return np.sum(p[some] * np.log(p[some] / q[some]))


def _one_way(p: Array, q: Array) -> Any:
    some = p > 0
    return np.sum(p[some] * np.log(p[some] / q[some]))


def _middle(p: Array, q: Array, m: Array) -> Any:
    return (_kl(p, m) + _kl(q, m)) / 2


JSD = Exercise(
    number="10.2",
    chapter=10,
    title="The Jensen-Shannon divergence",
    level=2,
    minutes=12,
    task="""
Return the Jensen-Shannon divergence of two lists of probabilities, half of KL(p || m) + KL(q || m)
with the mixture m of both, in natural logarithms. A probability may be 0, in p, in q or in both;
what is never drawn adds nothing to a mean.
""",
    hints=(
        "m is the mean of p and q, so it adds up to 1 as they do. KL(p || m) is the mean over what "
        "p draws of log(p / m).",
        "0 times log 0 is nan for NumPy, and is to be 0 here. Take the sum of KL(p || m) over the "
        "places with p > 0 only, and that of KL(q || m) over those with q > 0.",
    ),
    answer=jensen_shannon,
    judge=Values(
        truth=_jsd,
        needs=("p", "q"),
        cases=(
            {"p": np.array([0.1, 0.2, 0.4, 0.3]), "q": np.array([0.5, 0.2, 0.1, 0.2])},
            {"p": np.array([0.9, 0.1]), "q": np.array([0.2, 0.8])},
            {"p": np.array([0.5, 0.5, 0.0]), "q": np.array([0.0, 0.25, 0.75])},
            {"p": np.array([0.5, 0.5, 0.0, 0.0]), "q": np.array([0.0, 0.0, 1.0, 0.0])},
            {"p": np.array([0.3, 0.3, 0.4]), "q": np.array([0.3, 0.3, 0.4])},
        ),
        torch="(torch.nn.functional.kl_div(((p + q) / 2).log(), p, reduction='sum')"
        " + torch.nn.functional.kl_div(((p + q) / 2).log(), q, reduction='sum')) / 2",
        names=("JSD",),
        against="the entropies of p, q and their mixture",
    ),
    mistakes=(
        Mistake(
            lambda p, q: 2 * _middle(p, q, (p + q) / 2),
            "This is the sum of both divergences, the 2 JSD of equation (3). The JSD is half of "
            "it, so that it is at most log 2.",
        ),
        Mistake(
            lambda p, q: np.sum(p * np.log(2 * p / (p + q))) + np.sum(q * np.log(2 * q / (p + q))),
            "This is the sum of both divergences, 2 JSD as in equation (3). The JSD is half of it. "
            "And where a probability is 0, NumPy computes 0 * log 0 = nan.",
        ),
        Mistake(
            lambda p, q: np.sum(p * np.log(p / q)),
            "This is KL(p || q), without a mixture. It is infinite where q is 0 and p is not; "
            "comparing both with their mixture avoids that.",
        ),
        Mistake(
            lambda p, q: np.sum((p - q) * np.log(p / q)) / 2,
            "This is the mean of KL(p || q) and KL(q || p). It is symmetric, but compares p and q "
            "with each other; here both are compared with the mixture.",
        ),
        Mistake(
            lambda p, q: (_one_way(p, q) + _one_way(q, p)) / 2,
            "This is the mean of KL(p || q) and KL(q || p), without a mixture: infinite where only "
            "one of the two draws. Compare each with the mixture of both.",
        ),
        Mistake(
            lambda p, q: (_kl(p, q) + _kl(q, p)) / 2,
            "This is the mean of KL(p || q) and KL(q || p), without a mixture, over the pictures "
            "that both draw. Compare each with the mixture, over all pictures that it draws.",
        ),
        Mistake(
            lambda p, q: (_one_way((p + q) / 2, p) + _one_way((p + q) / 2, q)) / 2,
            "The order is exchanged: these are KL(m || p) and KL(m || q), infinite where one of "
            "the two draws nothing. The weights are what p draws, and what q draws.",
        ),
        Mistake(
            lambda p, q: _middle(p, q, (p + q) / 2) + (_entropy(p) + _entropy(q)) / -2,
            "The mixture's entropy is compared with the *sum* of the entropies of p and q. It is "
            "their mean that belongs there.",
        ),
        Mistake(
            lambda p, q: (_kl(p, (p + q) / 2) + np.sum(np.where(p > 0, 0.0, q)) * np.log(2)) / 2,
            "What q draws counts only where p draws nothing, as an `elif` does it. A picture that "
            "both draw belongs to both sums.",
        ),
        Mistake(
            lambda p, q: (
                (np.sum(p * np.log(2 * p / (p + q))) + np.sum(q * np.log(2 * q / (p + q)))) / 2
            ),
            "Right where all probabilities are positive. Where one is 0, NumPy computes "
            "0 * log 0 = nan, and the sum is lost: leave these places out.",
        ),
        Mistake(
            lambda p, q: _middle(p, q, (p + q) / 2) / np.log(2),
            "This is in bits, with logarithms to the base 2: it is at most 1. Asked for are "
            "natural logarithms, as in the loss.",
        ),
        Mistake(
            lambda p, q: _middle(p, q, p + q),
            "p + q adds up to 2 and is no list of probabilities. The mixture is half of it, so "
            "every logarithm here is too small by log 2.",
        ),
        Mistake(
            lambda p, q: _middle(p, q, np.sqrt(p * q)),
            "The mixture is the mean (p + q) / 2, not the root of p q: half of the pictures come "
            "from p, and half from q.",
        ),
        Mistake(
            lambda p, q: (_kl((p + q) / 2, p) + _kl((p + q) / 2, q)) / 2,
            "The order is exchanged: these are KL(m || p) and KL(m || q), means over what the "
            "mixture draws. Each player's own probabilities are the weights.",
        ),
        Mistake(
            lambda p, q: _kl(p, (p + q) / 2),
            "Only p is compared with the mixture; q is missing.",
        ),
        Mistake(
            lambda p, q: np.sqrt(_middle(p, q, (p + q) / 2)),
            "This is the root of the JSD, as `scipy.spatial.distance.jensenshannon` gives it. The "
            "root is a distance; asked for is the divergence itself.",
        ),
        Mistake(
            lambda p, q: _middle(p, q, (p + q) / 2) / len(p),
            "This is a mean over the pictures, as if all were equally frequent. p and q are the "
            "weights already: add up.",
        ),
        Mistake(
            lambda p, q: -_middle(p, q, (p + q) / 2),
            "The sign is wrong: a divergence is never negative. The logarithm is that of p / m, "
            "not of m / p.",
        ),
        Mistake(
            lambda p, q: _middle(
                np.where(q > 0, p, 0.0), np.where(p > 0, q, 0.0), np.maximum(p + q, 1e-300) / 2
            ),
            "A picture that only one of the two draws is left out, as by a mask that wants both "
            "positive, or by `nansum` over the sum of both terms. It belongs to the divergence of "
            "the one that draws it.",
        ),
        Mistake(
            lambda p, q: (
                (
                    np.sum(p * np.log(2 * p / (p + q)))
                    + np.sum((p + q) / 2 * np.log((p + q) / (2 * q)))
                )
                / 2
            ),
            "The second divergence is KL(m || q), a mean over what the mixture draws. It is to be "
            "KL(q || m), weighted by what q draws.",
        ),
    ),
    after="Next: for which p and q is it log 2, and what is the best D's loss then?",
)

# --- 10.3 both losses from logits ---------------------------------------------------------------


def both_losses(on_real: Array, on_fake: Array) -> tuple[float, float]:
    """Return G's loss and D's loss, two numbers, from logits of real (N,) and fake (M,) pictures.

    Logits may be as large as 1000.
    """
    real_loss = np.mean(np.logaddexp(0, -on_real))
    fake_loss = np.mean(np.logaddexp(0, on_fake))
    return float(np.mean(np.logaddexp(0, -on_fake))), float(real_loss + fake_loss)


def _mean(slopes: Any) -> float:
    values = list(slopes)
    return math.fsum(values) / len(values)


def _softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def _by_loops(on_real: Array, on_fake: Array) -> tuple[float, float]:
    real_loss = _mean(_softplus(-a) for a in on_real)
    return _mean(_softplus(-a) for a in on_fake), real_loss + _mean(_softplus(a) for a in on_fake)


def _s(x: Array) -> Array:
    return np.logaddexp(0, x)


def _p(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _losses(
    g: Callable[[Array], Any] = lambda fake: np.mean(_s(-fake)),
    d: Callable[[Array, Array], Any] = lambda real, fake: np.mean(_s(-real)) + np.mean(_s(fake)),
) -> Callable[..., tuple[float, float]]:
    """A wrong answer: one of the losses is computed otherwise."""
    return lambda on_real, on_fake: (float(g(on_fake)), float(d(on_real, on_fake)))


LOSSES = Exercise(
    number="10.3",
    chapter=10,
    title="Both losses, from the logits",
    level=2,
    minutes=12,
    task="""
on_real holds D's logits for N real pictures, on_fake for M fakes. Return the generator's loss, the
mean of -log D over the fakes, and then the discriminator's: the mean of -log D over the real
pictures plus the mean of -log(1 - D) over the fakes. D is the sigmoid of the logit, and logits may
lie anywhere between -1000 and 1000.
""",
    hints=(
        "Do not compute D: at a logit of 40 it is rounded to 1, and log(1 - D) is minus infinity. "
        "What are -log D and -log(1 - D) in terms of the logit?",
        "-log D is softplus(-a), and -log(1 - D) is softplus(a), log(1 + e^a). "
        "`np.logaddexp(x, y)` is log(e^x + e^y), and overflows nowhere.",
    ),
    answer=both_losses,
    judge=Values(
        truth=_by_loops,
        needs=("on_real", "on_fake"),
        cases=(
            {"on_real": np.array([1.5, -0.5, 3.0]), "on_fake": np.array([-2.0, 0.25])},
            {"on_real": np.array([0.5]), "on_fake": np.array([0.0, -1.0, 2.5, 1.0])},
            {"on_real": np.array([-40.0, 2.0]), "on_fake": np.array([40.0, 0.5])},
            {
                "on_real": np.array([1000.0, 40.0, -1000.0]),
                "on_fake": np.array([-1000.0, 40.0, 1000.0, -40.0]),
            },
        ),
        torch="(torch.nn.functional.softplus(-on_fake).mean(), "
        "torch.nn.functional.softplus(-on_real).mean()"
        " + torch.nn.functional.softplus(on_fake).mean())",
        names=("G's loss", "D's loss"),
        against="a loop over all pictures",
    ),
    mistakes=(
        Mistake(
            lambda on_real, on_fake: (
                -np.mean(np.log(_p(on_fake))),
                -np.mean(np.log(_p(on_real))) - np.mean(np.log(1 - _p(on_fake))),
            ),
            "Right for small logits. For large ones the probability is rounded to 0 or 1, and its "
            "logarithm is infinite: start from the logit, without the sigmoid.",
        ),
        Mistake(
            lambda on_real, on_fake: (
                np.mean(np.log(1 + np.exp(-on_fake))),
                np.mean(np.log(1 + np.exp(-on_real))) + np.mean(np.log(1 + np.exp(on_fake))),
            ),
            "This is softplus as it stands on paper; but e^1000 is infinite. The larger of the "
            "two exponents has to be taken out of the logarithm.",
        ),
        Mistake(
            _losses(g=lambda fake: -np.mean(_s(fake))),
            "D's loss is right. G's is the mean of log(1 - D), the loss that saturates: it is flat "
            "where D is sure of a fake. Asked for is the mean of -log D.",
        ),
        Mistake(
            _losses(g=lambda fake: np.mean(_s(fake))),
            "D's loss is right. G's has the target 0: it falls when D recognises the fakes. G "
            "wants them to be taken for real.",
        ),
        Mistake(
            _losses(g=lambda fake: -np.mean(_s(-fake))),
            "D's loss is right. G's has the wrong sign: log D grows as G gets better, and a loss "
            "is to fall.",
        ),
        Mistake(
            _losses(d=lambda real, fake: np.mean(_s(real)) + np.mean(_s(-fake))),
            "G's loss is right. In D's the targets are exchanged: it is small if D takes fakes for "
            "real, and real pictures for fakes.",
        ),
        Mistake(
            _losses(d=lambda real, fake: (np.mean(_s(-real)) + np.mean(_s(fake))) / 2),
            "G's loss is right. D's is half of what was asked for, a mean of both parts. It is "
            "a matter of taste; but then a D that knows nothing has log 2, not log 4.",
        ),
        Mistake(
            _losses(d=lambda real, fake: np.mean(np.concatenate([_s(-real), _s(fake)]))),
            "G's loss is right. D's is one mean over all pictures, so that the kind of which there "
            "are more weighs more. Take a mean for each kind, and add both.",
        ),
        Mistake(
            _losses(d=lambda real, fake: 2 * np.mean(np.concatenate([_s(-real), _s(fake)]))),
            "G's loss is right. D's is twice the mean over all pictures together, which is right "
            "only if there are as many fakes as real pictures. Take a mean for each kind.",
        ),
        Mistake(
            lambda on_real, on_fake: (
                np.mean(_s(-on_real)),
                np.mean(_s(-on_real)) + np.mean(_s(on_fake)),
            ),
            "D's loss is right. G's is that of the real pictures, on which G has no influence. Its "
            "own pictures are the fakes.",
        ),
        Mistake(
            lambda on_real, on_fake: (
                np.mean(_s(-_p(on_fake))),
                np.mean(_s(-_p(on_real))) + np.mean(_s(_p(on_fake))),
            ),
            "The sigmoid acts twice: softplus takes the logit itself, not the probability D.",
        ),
        Mistake(
            lambda on_real, on_fake: (
                np.mean(np.log1p(np.exp(np.clip(-on_fake, -700, 700)))),
                np.mean(np.log1p(np.exp(np.clip(-on_real, -700, 700))))
                + np.mean(np.log1p(np.exp(np.clip(on_fake, -700, 700)))),
            ),
            "The logits are cut off at 700. Nothing overflows, but a logit of 1000 costs 1000, and "
            "beyond the cut there is no slope.",
        ),
        Mistake(
            lambda on_real, on_fake: (
                -np.mean(np.log(_p(on_fake) + 1e-12)),
                -np.mean(np.log(_p(on_real) + 1e-12)) - np.mean(np.log(1 - _p(on_fake) + 1e-12)),
            ),
            "A small number is added inside the logarithm. It is finite then, but a logit of "
            "-1000 costs 1000, not 28, and there is no slope.",
        ),
        Mistake(
            lambda on_real, on_fake: (
                sum(math.log(1 + math.exp(-a)) for a in on_fake) / len(on_fake),
                sum(math.log(1 + math.exp(-a)) for a in on_real) / len(on_real)
                + sum(math.log(1 + math.exp(a)) for a in on_fake) / len(on_fake),
            ),
            "e^1000 is more than a float can hold. Take the larger of the two exponents out of "
            "the logarithm.",
        ),
        Mistake(
            _losses(d=lambda real, fake: np.mean(_s(-real))),
            "G's loss is right. D's holds the real pictures only; a D that calls everything real "
            "would be perfect. The fakes are missing.",
        ),
        Mistake(
            _losses(d=lambda real, fake: np.mean(_s(fake))),
            "G's loss is right. D's holds the fakes only; a D that calls everything a fake would "
            "be perfect. The real pictures are missing.",
        ),
        Mistake(
            _losses(
                g=lambda fake: np.sum(_s(-fake)),
                d=lambda real, fake: np.sum(_s(-real)) + np.sum(_s(fake)),
            ),
            "These are sums. With means the losses, and the steps, do not depend on how many "
            "pictures there are.",
        ),
        Mistake(
            lambda on_real, on_fake: _by_loops(on_real, on_fake)[::-1],
            "The two results are exchanged: the generator's loss comes first.",
        ),
        Mistake(
            _losses(d=lambda real, fake: np.mean(_s(-real)) - np.mean(_s(-fake))),
            "G's loss is right. In D's the fakes' part is minus G's loss, log D. It has no lowest "
            "value, and pulls hardest where D is right already. D minimises -log(1 - D).",
        ),
        Mistake(
            lambda on_real, on_fake: (
                -np.mean(np.log(np.clip(_p(on_fake), 1e-7, 1 - 1e-7))),
                -np.mean(np.log(np.clip(_p(on_real), 1e-7, 1 - 1e-7)))
                - np.mean(np.log(1 - np.clip(_p(on_fake), 1e-7, 1 - 1e-7))),
            ),
            "The probabilities are clipped. Nothing overflows, but no logarithm is below -16, "
            "and where the clip acts the slope is 0: just there G needs it most.",
        ),
        Mistake(
            _losses(
                d=lambda real, fake: np.mean(
                    [_s(-x) + _s(y) for x, y in zip(real, fake, strict=False)]
                )
            ),
            "G's loss is right. In D's the pictures are taken in pairs, and `zip` stops at the end "
            "of the shorter list. N and M may differ: take a mean for each kind.",
        ),
    ),
    after="Next: what are both numbers if D says 1/2 to everything?",
)

# --- 10.4 the gradient penalty ------------------------------------------------------------------


def gradient_penalty(D: Any, real: Any, gamma: float) -> Any:
    """Return the penalty R1, a Tensor with a graph; D maps real (N, K) to logits (N, 1)."""
    x = real.detach().requires_grad_()
    slope: Any = mg.grad(D(x).sum(), x, create_graph=True)[0]
    return gamma / 2 * (slope**2).sum(axis=1).mean()


def _penalty(V: Array, b: Array, w: Array, x: Array, gamma: float) -> Any:
    """The penalty of the logits tanh(x V^T + b) w^T, with the slope written out."""
    slopes = ((1 - np.tanh(x @ V.T + b) ** 2) * w) @ V
    return gamma / 2 * np.mean(np.sum(slopes**2, axis=1))


def _judge_penalty(function: Callable[..., Any]) -> Iterator[Result]:
    for count, pixels, hidden, gamma in ((3, 2, 4, 1.0), (5, 4, 3, 10.0), (1, 3, 2, 0.5)):
        random = np.random.RandomState(count)
        x = random.standard_normal((count, pixels))
        sizes = {"V": (hidden, pixels), "b": (hidden,), "w": (1, hidden)}
        values = {name: random.standard_normal(size) for name, size in sizes.items()}
        D = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        D = D.astype("float64")
        D.load_state_dict(
            {
                "0.weight": values["V"],
                "0.bias": values["b"],
                "2.weight": values["w"],
                "2.bias": np.zeros(1),
            }
        )
        given = mg.tensor(x)
        got = function(D, given, gamma)
        if any(weight.grad is not None for weight in D.parameters()):
            raise Wrong(
                "After the call D's weights have gradients: those of the sum of the logits, which "
                "D's next backward pass would add to its own. `backward` fills the gradients of "
                "all leaves; ask for that of the pictures alone."
            )
        if given.requires_grad:
            raise Wrong(
                "After the call the Tensor `real` requires a gradient, and it did not before: from "
                "then on all that is computed from it is recorded. Make a leaf of your own, by "
                "`detach`."
            )
        where = f"{count} pictures of {pixels} pixels, gamma {gamma:g}"
        case: dict[str, Any] = {**values, "x": x, "gamma": gamma}
        right = np.asarray(_penalty(**case))
        if isinstance(got, float | np.number | np.ndarray):
            raise Wrong(
                f"The penalty is a plain number ({type(got).__name__}). D has to learn from it, so "
                "return the Tensor."
            )
        yield Result("P", got.detach().numpy() if isinstance(got, mg.Tensor) else got, right, where)
        if not isinstance(got, mg.Tensor):
            return
        if not got.requires_grad:
            raise Wrong(
                f"The penalty is a number that does not depend on the weights of D (for {where}): "
                "it has no graph, so D cannot learn from it."
            )
        weights = dict(D.named_parameters())
        gradients = mg.grad(got.sum(), [weights[x] for x in ("0.weight", "0.bias", "2.weight")])
        for name, gradient in zip(sizes, gradients, strict=True):
            mine = np.zeros(sizes[name]) if gradient is None else gradient.numpy()
            right = differences(_penalty, case, name, np.ones(()))
            yield Result(f"dP/d{name}", mine, right, where)


def _slope(D: Any, real: Any, whole: Callable[[Any], Any], create_graph: bool = True) -> Any:
    x = real.detach().requires_grad_()
    [slope] = mg.grad(whole(D(x)), x, create_graph=create_graph)
    return slope


def _all(logits: Any) -> Any:
    return logits.sum()


def _real_loss(logits: Any) -> Any:
    return nn.BCEWithLogitsLoss()(logits, mg.ones_like(logits))


def _of_weights(D: Any, real: Any, gamma: float) -> Any:
    slopes: Any = mg.grad(D(real).sum(), [*D.parameters()], create_graph=True)
    return gamma / 2 * sum((g**2).sum() for g in slopes)


PENALTY = Exercise(
    number="10.4",
    chapter=10,
    title="The gradient penalty R1",
    level=3,
    minutes=18,
    task="""
D is a discriminator: called with pictures (N, K) it gives logits (N, 1). Return the penalty of
equation (7) for a batch of real pictures: gamma/2 times the mean over the pictures of the squared
length of the gradient of a picture's logit by its pixels. The result is a Tensor of one element,
and D is to learn from it: its gradient by D's weights is checked too.
""",
    hints=(
        "`mg.grad(output, x, create_graph=True)` gives a gradient that has a graph of its own. "
        "The pictures have to be a leaf that wants a gradient.",
        "Make a leaf with `real.detach().requires_grad_()`, and take the gradient of the sum of "
        "its logits: row n of it is that of logit n. Squares are added up along each row, and "
        "the rows' sums are averaged.",
    ),
    answer=gradient_penalty,
    judge=_judge_penalty,
    against="the slope written out, and central differences of it",
    mistakes=(
        Mistake(
            lambda D, real, gamma: (
                gamma / 2 * (_slope(D, real, _all, create_graph=False) ** 2).sum(axis=1).mean()
            ),
            "Without `create_graph=True` the gradient is made of plain numbers: its size is right, "
            "but the way from the weights to it was not recorded. (`detach` or `.numpy()` cut a "
            "way that was.)",
        ),
        Mistake(
            lambda D, real, gamma: gamma / 2 * (_slope(D, real, _all) ** 2).mean(),
            "This is a mean over the pixels too. The squared length of a gradient is the *sum* of "
            "its squares; only over the pictures is a mean taken.",
        ),
        Mistake(
            lambda D, real, gamma: gamma / 2 * (_slope(D, real, _all) ** 2).sum(),
            "This is a sum over the pictures too: with a larger batch the penalty would weigh "
            "more. Over the pictures take the mean.",
        ),
        Mistake(
            lambda D, real, gamma: (
                gamma / 2 * mg.sqrt((_slope(D, real, _all) ** 2).sum(axis=1)).mean()
            ),
            "This is the length, not its square. The square pulls in proportion to the slope; the "
            "length pulls equally hard however flat D is already.",
        ),
        Mistake(
            lambda D, real, gamma: gamma * (_slope(D, real, _all) ** 2).sum(axis=1).mean(),
            "The factor 1/2 is missing. Equation (7) has gamma/2, so that the pull on a weight is "
            "gamma times the slope.",
        ),
        Mistake(
            lambda D, real, gamma: (
                gamma / 2 * (_slope(D, real, lambda a: mg.sigmoid(a).sum()) ** 2).sum(axis=1).mean()
            ),
            "This is the slope of the probability. The sigmoid is flat where D is sure, so a steep "
            "D would go unpunished there: take the logit.",
        ),
        Mistake(
            lambda D, real, gamma: (
                gamma / 2 * (_slope(D, real, lambda a: a.mean()) ** 2).sum(axis=1).mean()
            ),
            "The gradient is that of the mean of the logits, so each row has the factor 1/N, and "
            "its square 1/N^2. The mean over the pictures is taken at the end, and only there.",
        ),
        Mistake(
            lambda D, real, gamma: (
                gamma / 2 * ((mg.sqrt((_slope(D, real, _all) ** 2).sum(axis=1)) - 1) ** 2).mean()
            ),
            "This pulls the length of the slope to 1, as another penalty does (WGAN-GP). R1 pulls "
            "it to 0: at real pictures D is to be flat at the end.",
        ),
        Mistake(
            lambda D, real, gamma: gamma / 2 * (_slope(D, real, _all).sum(axis=1) ** 2).mean(),
            "The elements are added up first and squared afterwards, so that positive and negative "
            "slopes cancel. Square each element first.",
        ),
        Mistake(
            lambda D, real, gamma: gamma / 2 * (_slope(D, real, _all) ** 2).sum(axis=0).mean(),
            "The axes are exchanged: this adds up over the pictures and averages over the pixels. "
            "A picture is a row of the gradient.",
        ),
        Mistake(
            lambda D, real, gamma: gamma / 2 * (_slope(D, real, _all).mean(axis=0) ** 2).sum(),
            "The slopes of the pictures are averaged first and squared afterwards, so opposite "
            "slopes cancel: D could be steep everywhere. Square first, then average.",
        ),
        Mistake(
            lambda D, real, gamma: (
                gamma / 2 * (_slope(D, real, _real_loss) ** 2).sum(axis=1).mean()
            ),
            "This is the slope of D's loss. Where D is sure of a real picture the loss is flat, "
            "however steep D is: (7) takes the slope of the logit.",
        ),
        Mistake(
            _of_weights,
            "This is the gradient by D's weights. R1 asks how the logit changes with the "
            "*picture*: the gradient is taken by the pixels.",
        ),
        Mistake(
            lambda D, real, gamma: gamma / 2 * (D(real) ** 2).mean(),
            "This charges D for its logits, not for their slope. How the logit changes with the "
            "picture takes a gradient.",
        ),
    ),
    after="Next: the function slope in train/gan.py; why does it need no `retain_graph`?",
)

# --- 10.5 one step of the game ------------------------------------------------------------------


def game_step(G: Any, D: Any, z: Any, real: Any, g_optimizer: Any, d_optimizer: Any) -> None:
    """Let G and then D take one step; z (N, K) and real (N, P) are Tensors, D gives logits."""
    criterion = nn.BCEWithLogitsLoss()
    fake = G(z)
    on_fake = D(fake)
    g_loss = criterion(on_fake, mg.ones_like(on_fake))
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    on_fake, on_real = D(fake.detach()), D(real)
    d_loss = criterion(on_real, mg.ones_like(on_real))
    d_loss = d_loss + criterion(on_fake, mg.zeros_like(on_fake))
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()


def _mean_gradients(rows: Array, slopes: Array) -> tuple[Array, Array]:
    """Of a linear layer: by its weight (1, K) and its bias (1,), for slopes (N,) of its outputs."""
    return (slopes @ rows / len(rows))[None], np.mean(slopes, keepdims=True)


def _judge_step(function: Callable[..., Any]) -> Iterator[Result]:
    """Three steps of linear networks, with their gradients written out in NumPy."""
    for count, inputs, pixels, rate in ((4, 2, 3, 0.5), (6, 3, 2, 0.1)):
        random = np.random.RandomState(count)
        A, c = random.standard_normal((pixels, inputs)), random.standard_normal(pixels)
        v, b = random.standard_normal((1, pixels)), random.standard_normal(1)
        G, D = nn.Linear(inputs, pixels).astype("float64"), nn.Linear(pixels, 1).astype("float64")
        G.load_state_dict({"weight": A, "bias": c})
        D.load_state_dict({"weight": v, "bias": b})
        optimizers = [mg.optim.SGD(net.parameters(), lr=rate) for net in (G, D)]
        for step in range(1, 4):
            z, x = random.standard_normal((count, inputs)), random.standard_normal((count, pixels))
            function(G, D, mg.tensor(z), mg.tensor(x), *optimizers)
            fake = z @ A.T + c
            push = (_p(fake @ v[0] + b) - 1)[:, None] * v / count  # of G's loss, on each fake
            on_real = _mean_gradients(x, _p(x @ v[0] + b) - 1)
            on_fake = _mean_gradients(fake, _p(fake @ v[0] + b))
            gradients = {
                "G's weights": push.T @ z,
                "G's bias": push.sum(axis=0),
                "D's weights": on_real[0] + on_fake[0],
                "D's bias": on_real[1] + on_fake[1],
            }
            before = (A, c, v, b)
            A, c, v, b = (t.detach().numpy().copy() for t in (*G.parameters(), *D.parameters()))
            where = f"step {step} of a game with {count} pictures, rate {rate:g}"
            moves = zip(gradients.items(), before, (A, c, v, b), strict=True)
            for (name, gradient), old, new in moves:
                yield Result(f"the move of {name}", new - old, -rate * gradient, where)


def _game(
    plan: str,
    target: float = 1.0,
    targets: tuple[float, float] = (1.0, 0.0),
    saturating: bool = False,
    cut: bool = False,
    half: float = 1.0,
    only: str = "",
) -> Callable[..., None]:
    """A step with a mistake.

    Args:
        plan: What happens in which order: g and d compute a loss (c: D's, with fakes that are
            not detached), x (X: without keeping the graph) and y go back from G's and from D's, b
            from their sum, z and u empty
            the gradients of G and of D, G and D take a step, f draws the fakes anew.
        target: What G wants D to say of the fakes.
        targets: What D is to say of real pictures and of fakes.
        saturating: Whether G minimises log(1 - D).
        cut: Whether G's loss sees the fakes detached.
        half: A factor of D's loss.
        only: "real" or "fake": D sees this kind alone.
    """

    def game_step(G: Any, D: Any, z: Any, real: Any, g_optimizer: Any, d_optimizer: Any) -> None:
        criterion = nn.BCEWithLogitsLoss()
        fake = G(z)
        losses: dict[str, Any] = {}

        def to(logits: Any, value: float) -> Any:
            return criterion(logits, mg.full_like(logits, value))

        def g() -> None:
            on_fake = D(fake.detach() if cut else fake)
            losses["g"] = -to(on_fake, 0.0) if saturating else to(on_fake, target)

        def d(connected: bool = False) -> None:
            on_real = to(D(real), targets[0])
            on_fake = to(D(fake if connected else fake.detach()), targets[1])
            losses["d"] = half * {"real": on_real, "fake": on_fake, "": on_real + on_fake}[only]

        def anew() -> None:
            nonlocal fake
            fake = G(z)

        calls: dict[str, Callable[[], object]] = {
            "g": g,
            "d": d,
            "c": lambda: d(connected=True),
            "x": lambda: losses["g"].backward(retain_graph=True),
            "X": lambda: losses["g"].backward(),
            "y": lambda: losses["d"].backward(),
            "b": lambda: (losses["g"] + losses["d"]).backward(),
            "z": g_optimizer.zero_grad,
            "u": d_optimizer.zero_grad,
            "G": g_optimizer.step,
            "D": d_optimizer.step,
            "f": anew,
        }
        for letter in plan.replace(" ", ""):
            calls[letter]()

    return game_step


RIGHT = "gzxG duyD"

STEP = Exercise(
    number="10.5",
    chapter=10,
    title="One step of the game",
    level=2,
    minutes=15,
    task="""
Write one step. First G learns: it minimises the mean of -log D over the fakes G(z), and
`g_optimizer`, which holds G's parameters, moves it. Then D learns, from the real pictures and from
*the same* fakes (not from new ones): its loss is the mean of -log D over the real pictures plus the
mean of -log(1 - D) over the fakes, and `d_optimizer` moves it. Each loss may move its own player
only. D gives logits. Nothing is to be returned; the step is taken many times.
""",
    hints=(
        "nn.BCEWithLogitsLoss() compares logits with targets of the same shape; for which targets "
        "is it -log D, and for which -log(1 - D)? Through which networks does each gradient go?",
        "G's loss goes back through D, and leaves gradients in D's parameters: they have to be "
        "emptied before D's own. D's loss is to end at the fakes: detach them.",
    ),
    answer=game_step,
    judge=_judge_step,
    against="linear networks with their gradients written out",
    mistakes=(
        Mistake(
            _game("gzxG dyD"),
            "D's gradients are not emptied before its own backward pass. What G's loss has left "
            "there is added: D is also moved so that it takes fakes for real.",
        ),
        Mistake(
            _game("gxG dyD"),
            "No gradients are ever emptied, so each player moves along the sum of all that has "
            "arrived so far; and D also along what G's loss has left in it.",
        ),
        Mistake(
            _game("gxG duyD"),
            "G's gradients are never emptied, so from the second step on it moves along the sum of "
            "all gradients so far.",
        ),
        Mistake(
            _game("gcuzbGD"),
            "Both losses go back together into both networks. What one player wants, the other "
            "does not: their gradients nearly cancel in G, and D is pulled both ways at the fakes.",
        ),
        Mistake(
            _game("gczuxuyGD"),
            "D's loss goes back into G as well: the fakes are not detached, and G's step comes "
            "after both passes. So G is also moved to make D's work easier.",
        ),
        Mistake(
            _game("gzxGf duyD"),
            "D sees fakes that are drawn after G has moved. That is a game too, but not the one "
            "that was asked for: the same fakes for both halves, drawn once.",
        ),
        Mistake(
            _game("duyD gzxG"),
            "D moves first here, and G learns from the D that has moved. Many programs do so; "
            "asked for is the other order.",
        ),
        Mistake(
            _game(RIGHT, target=0.0),
            "G's target is 0: it learns to draw what D recognises as a fake. It wants D to say 1.",
        ),
        Mistake(
            _game(RIGHT, saturating=True),
            "G minimises log(1 - D), the loss that saturates: where D is sure of a fake, it hardly "
            "moves. Asked for is -log D.",
        ),
        Mistake(
            _game(RIGHT, targets=(0.0, 1.0)),
            "D's targets are exchanged: it learns to call real pictures fakes, and fakes real.",
        ),
        Mistake(
            _game(RIGHT, cut=True),
            "G does not move. Either its optimizer takes no step, or no gradient reaches it: the "
            "only way from the loss to G leads through the fakes, and must not be cut there.",
        ),
        Mistake(
            _game("gzxG duy"),
            "D does not move: its optimizer takes no step.",
        ),
        Mistake(
            _game(RIGHT, half=0.5),
            "D's loss is half of what was asked for: the mean of both kinds instead of their sum.",
        ),
        Mistake(
            _game(RIGHT, only="fake"),
            "D sees the fakes only, so it learns to call everything a fake. The real pictures are "
            "missing from its loss.",
        ),
        Mistake(
            _game(RIGHT, only="real"),
            "D sees the real pictures only, so it learns to call everything real. The fakes are "
            "missing from its loss.",
        ),
        Mistake(
            _game("zugxdyGD"),
            "Between G's backward pass, which leaves gradients in D too, and D's own backward pass "
            "nothing empties D's gradients. Emptied at another time, before or after, they still "
            "hold what G's loss has left.",
        ),
        Mistake(
            _game("gzXG cuyD"),
            "The fakes are not detached, so D's loss goes back into G as well, where it has no "
            "business. To keep the graph would only hide that.",
        ),
        Mistake(
            _game("gzxG cuyD"),
            "The fakes are not detached: D's loss goes back into G, whose weights have moved "
            "since. It is to end at the fakes.",
        ),
    ),
    after="Next: find in train/gan.py how the fakes are judged once for both losses.",
)

EXERCISES = (BEST, JSD, LOSSES, PENALTY, STEP)
