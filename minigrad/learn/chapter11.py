"""Exercises of chapter 11: distances of clouds, circles, shares, and learning by heart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Values, draw

# --- 11.1 the Frechet distance of independent coordinates ---------------------------------------


def frechet_independent(a: Array, b: Array) -> float:
    """Return the squared Frechet distance of points a (N, D) and b (M, D); divide by N - 1."""
    means = a.mean(axis=0) - b.mean(axis=0)
    spreads = a.std(axis=0, ddof=1) - b.std(axis=0, ddof=1)
    return float(np.sum(means**2 + spreads**2))


def _frechet_by_coordinate(a: Array, b: Array) -> float:
    """Formula (2) with 1 x 1 matrices, one coordinate after the other, written out."""
    total = 0.0
    for first, second in zip(a.T, b.T, strict=True):
        moments = []
        for numbers in (first, second):
            mean = sum(numbers) / len(numbers)
            moments.append((mean, sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1)))
        (m1, v1), (m2, v2) = moments
        total += (m1 - m2) ** 2 + v1 + v2 - 2 * math.sqrt(v1 * v2)
    return total


def _means(a: Array, b: Array) -> Array:
    return a.mean(axis=0) - b.mean(axis=0)


def _spreads(a: Array, b: Array) -> Array:
    return a.std(axis=0, ddof=1) - b.std(axis=0, ddof=1)


def _with_covariances(a: Array, b: Array) -> float:
    """Formula (2), the roots of the eigenvalues of C_1 C_2."""
    first, second = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    values = np.maximum(np.linalg.eigvals(first @ second).real, 0)
    spread = np.trace(first) + np.trace(second) - 2 * np.sqrt(values).sum()
    return float(np.sum(_means(a, b) ** 2) + spread)


FRECHET = Exercise(
    number="11.1",
    chapter=11,
    title="The Fréchet distance, coordinate by coordinate",
    level=1,
    minutes=12,
    task="""
Two sets of points, a of shape (N, D) and b of shape (M, D). Act as if all coordinates were
independent and normally distributed, and return their squared Fréchet distance, one number: the
sum of formula (1) over the coordinates. Take the unbiased variance, which divides by N - 1
(`ddof=1` in NumPy), and the root of it as the standard deviation.
""",
    hints=(
        "Formula (1) is for one coordinate. `mean` and `std` with an axis give one number for each "
        "coordinate at once.",
        "Subtract the two vectors of means, and the two vectors of standard deviations; square "
        "both differences, element by element, and sum everything.",
    ),
    answer=frechet_independent,
    judge=Values(
        truth=_frechet_by_coordinate,
        needs=("a", "b"),
        cases=(
            draw(0, a=(7, 3), b=(5, 3)),
            draw(1, a=(4, 2), b=(6, 2)),
            {name: 3 * x + 1 for name, x in draw(2, a=(5, 1), b=(3, 1)).items()},
            {"a": draw(3, a=(6, 2))["a"], "b": 2 * draw(4, b=(6, 2))["b"] + np.array([4.0, -1.0])},
        ),
        torch="((a.mean(0) - b.mean(0)) ** 2 + (a.std(0) - b.std(0)) ** 2).sum()",
        names=("the distance",),
        against="variances and roots, one coordinate at a time",
    ),
    mistakes=(
        Mistake(
            lambda a, b: np.sum(_means(a, b) ** 2),
            "Only the means are compared. Two sets with the same means, of which one is twice as "
            "wide, would have the distance 0.",
        ),
        Mistake(
            lambda a, b: np.sum(_spreads(a, b) ** 2),
            "Only the spreads are compared: a set and the same set moved by 100 would have the "
            "distance 0.",
        ),
        Mistake(
            lambda a, b: np.sum(
                _means(a, b) ** 2 + (a.var(axis=0, ddof=1) - b.var(axis=0, ddof=1)) ** 2
            ),
            "The *variances* are subtracted. To move a number that lies one standard deviation "
            "from its mean costs the difference of the standard deviations, squared.",
        ),
        Mistake(
            lambda a, b: np.sum(_means(a, b) ** 2 + a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)),
            "Both variances are added. That is the cost of a pairing at random; in sorted order "
            "partners are large together, which saves twice the product of the two spreads.",
        ),
        Mistake(
            lambda a, b: np.sqrt(np.sum(_means(a, b) ** 2 + _spreads(a, b) ** 2)),
            "This is the root. The FID is the *squared* distance, without a root.",
        ),
        Mistake(
            lambda a, b: np.mean(_means(a, b) ** 2 + _spreads(a, b) ** 2),
            "The mean over the coordinates is taken. Squared distances along the axes add up, as "
            "in Pythagoras' theorem.",
        ),
        Mistake(
            lambda a, b: np.sum(_means(a, b) ** 2 + (a.std(axis=0) - b.std(axis=0)) ** 2),
            "The standard deviations divide by N: `std` does that without `ddof=1`. The task asks "
            "for the unbiased variance.",
        ),
        Mistake(
            lambda a, b: (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2,
            "One mean and one spread are taken over all numbers of a set. Each coordinate has its "
            "own: what is added up are D distances.",
        ),
        Mistake(
            lambda a, b: np.sum(np.abs(_means(a, b)) + np.abs(_spreads(a, b))),
            "The differences are not squared. In formula (1) to move by d costs d^2.",
        ),
        Mistake(
            _with_covariances,
            "This is formula (2), with the covariances. The task takes the coordinates as if they "
            "were independent: only the variances count.",
        ),
        Mistake(
            lambda a, b: _means(a, b) ** 2 + _spreads(a, b) ** 2,
            "These are the distances along the single coordinates. Their sum is asked for.",
        ),
    ),
    after="Next: frechet_distance in train/judge.py; which of its lines need the covariances?",
)

# --- 11.2 the k-th nearest neighbour -----------------------------------------------------------


def neighbour_radius(points: Array, k: int) -> Array:
    """Return for each of points (N, D) the distance to its k-th nearest other point, (N,)."""
    differences = points[:, None, :] - points[None, :, :]  # (N, N, D)
    distances = np.sqrt(np.sum(differences**2, axis=2))
    return np.sort(distances, axis=1)[:, k]  # the point itself is number 0


def _radius_by_loops(points: Array, k: int) -> Array:
    found = []
    for i, point in enumerate(points):
        others = [math.dist(point, other) for j, other in enumerate(points) if j != i]
        found.append(sorted(others)[k - 1])
    return np.array(found)


def _table(a: Array, b: Array) -> Array:
    """All distances (N, M)."""
    return np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))


def _sorted(points: Array) -> Array:
    return np.sort(_table(points, points), axis=1)


RADIUS = Exercise(
    number="11.2",
    chapter=11,
    title="How far to the k-th nearest neighbour",
    level=2,
    minutes=12,
    task="""
Precision and recall put a circle around each point, which reaches to its k-th nearest neighbour
in the same set. For points of shape (N, D) return the N radii: distances, not their squares. A
point is no neighbour of itself, so with k = 1 the radius is the distance to the nearest *other*
point. No two points are equal, and k is smaller than N.
""",
    hints=(
        "First a table (N, N) of all distances: `points[:, None]` has the shape (N, 1, D), and "
        "broadcasting subtracts each from each. Then sort each row. (With |a|^2 + |b|^2 - 2ab the "
        "diagonal may be -1e-16, by rounding; the root of that is NaN.)",
        "In a sorted row of the table the first number is 0, the distance of the point to itself. "
        "At which place stands the k-th neighbour, if places are counted from 0?",
    ),
    answer=neighbour_radius,
    judge=Values(
        truth=_radius_by_loops,
        needs=("points", "k"),
        cases=(
            draw(0, points=(6, 2), k=2),
            draw(1, points=(5, 3), k=1),
            draw(2, points=(7, 2), k=4),
            draw(3, points=(5, 1), k=3),
        ),
        torch="torch.cdist(points, points).sort(1).values[:, k]",
        names=("the array of radii",),
        against="loops over all pairs of points",
    ),
    mistakes=(
        Mistake(
            lambda points, k: _sorted(points)[:, k - 1],
            "The point itself was counted: in its row it stands first, with the distance 0. With "
            "k = 1 all your radii are 0, and no circle holds anything.",
        ),
        Mistake(
            lambda points, k: _sorted(points)[:, k] ** 2,
            "These are squared distances. Squares have the same order, so the right neighbour was "
            "found; its distance is the root.",
        ),
        Mistake(
            lambda points, k: _sorted(points)[:, k - 1] ** 2,
            "Two things at once: these are squares, and the point itself, with the distance 0, "
            "was counted as its first neighbour.",
        ),
        Mistake(
            lambda points, k: _sorted(points)[:, k + 1],
            "One neighbour too far: count how many numbers stand in your sorted row before that of "
            "the nearest other point, and where the k-th one stands then.",
        ),
        Mistake(
            lambda points, k: _sorted(points)[:, -k],
            "This counts from the far end: the k-th *farthest* point.",
        ),
        Mistake(
            lambda points, k: _sorted(points)[:, 1 : k + 1].mean(axis=1),
            "This is the mean of the distances to the first k neighbours. The circle reaches to "
            "the k-th one, so that all k lie in it.",
        ),
        Mistake(
            lambda points, k: np.sort(np.abs(points[:, None] - points).sum(axis=2), axis=1)[:, k],
            "The absolute differences of the coordinates are added up, as if one had to walk "
            "along streets. The distance is the root of the sum of their squares.",
        ),
        Mistake(
            lambda points, k: _sorted(points)[k],
            "This is a row of the sorted table: all distances of point number k. Take a column: "
            "one number for each point.",
        ),
        Mistake(
            lambda points, k: _table(points, points)[:, k],
            "The table is not sorted: these are the distances to point number k, which is nobody's "
            "k-th neighbour but by chance.",
        ),
        Mistake(
            lambda points, k: np.full(len(points), np.sort(_sorted(points)[:, 1:].ravel())[k - 1]),
            "All points have the same radius. Each needs its own, so that circles are small where "
            "points are dense and large where they are rare.",
        ),
    ),
    after="Next: radii in train/judge.py uses partition, which sorts no more than it has to.",
)

# --- 11.3 precision and recall -----------------------------------------------------------------


def precision_and_recall(
    distances: Array, real_radii: Array, fake_radii: Array
) -> tuple[float, float]:
    """Return both shares; distances[i, j] is that of real point i (of N) and fake j (of M)."""
    in_real = distances <= real_radii[:, None]  # (N, M): is fake j in the circle of real i?
    in_fake = distances <= fake_radii[None, :]  # (N, M): is real i in the circle of fake j?
    return float(in_real.any(axis=0).mean()), float(in_fake.any(axis=1).mean())


def _by_loops(distances: Array, real_radii: Array, fake_radii: Array) -> tuple[float, float]:
    reals, fakes = range(len(real_radii)), range(len(fake_radii))
    good = sum(any(distances[i, j] <= real_radii[i] for i in reals) for j in fakes)
    met = sum(any(distances[i, j] <= fake_radii[j] for j in fakes) for i in reals)
    return good / len(fakes), met / len(reals)


def _of(distances: Array, real_radii: Array, fake_radii: Array) -> tuple[Array, Array]:
    return distances <= real_radii[:, None], distances <= fake_radii[None, :]


def _precision_recall_case(seed: int, real: int, fake: int) -> dict[str, Any]:
    """Points on a line, some fakes far from all real ones; one point lies on a circle's edge."""
    random = np.random.RandomState(seed)
    a = np.sort(random.uniform(0, 10, real))
    b = np.concatenate([random.uniform(0, 4, fake - fake // 3), random.uniform(11, 16, fake // 3)])
    distances = np.abs(a[:, None] - b)
    real_radii, fake_radii = random.uniform(0.2, 2.0, real), random.uniform(0.2, 2.0, fake)
    lonely = distances[:, -1].argmin()  # the real point nearest to a fake that none covers
    real_radii[lonely] = distances[lonely, -1]
    return {"distances": distances, "real_radii": real_radii, "fake_radii": fake_radii}


PRECISION = Exercise(
    number="11.3",
    chapter=11,
    title="Precision and recall",
    level=2,
    minutes=12,
    task="""
distances has a row for each of N real points and a column for each of M fakes. real_radii (N,)
and fake_radii (M,) are the radii of the circles around the real points and around the fakes.
Return two shares between 0 and 1: the precision (of all fakes, how many lie in the circle of at
least one real point) and the recall (of all real points, how many lie in the circle of at least
one fake). A point on the circle's edge lies inside.
""",
    hints=(
        "Compare the table with the radii: whose circle is meant decides whether the radii run "
        "down the rows, shape (N, 1), or along the columns, shape (1, M).",
        "You get two tables of truth values. `any` along one axis asks 'in at least one circle?'; "
        "`mean` of truth values is the share of the true ones.",
    ),
    answer=precision_and_recall,
    judge=Values(
        truth=_by_loops,
        needs=("distances", "real_radii", "fake_radii"),
        cases=(
            _precision_recall_case(2836, 9, 6),
            _precision_recall_case(1668, 6, 6),
            _precision_recall_case(2899, 5, 9),
        ),
        names=("the precision", "the recall"),
        against="loops over all points",
    ),
    mistakes=(
        Mistake(
            lambda d, r, f: (
                _of(d, r, f)[1].any(axis=1).mean(),
                _of(d, r, f)[0].any(axis=0).mean(),
            ),
            "The two are swapped. Precision asks whether the *fakes* are good, so it is a share of "
            "the fakes.",
        ),
        Mistake(
            lambda d, r, f: (
                _of(d, r, f)[1].any(axis=0).mean(),
                _of(d, r, f)[0].any(axis=1).mean(),
            ),
            "Each point was asked with its own circle. Whether a fake is good is decided by the "
            "circles around the *real* points: a fake far from everything has a large circle.",
        ),
        Mistake(
            lambda d, r, f: (_of(d, r, f)[0].mean(), _of(d, r, f)[1].mean()),
            "These are shares of all pairs. A fake that lies in one circle of a thousand is good; "
            "ask for each point whether it lies in *at least one*.",
        ),
        Mistake(
            lambda d, r, f: (
                _of(d, r, f)[0].all(axis=0).mean(),
                _of(d, r, f)[1].all(axis=1).mean(),
            ),
            "`all` asks whether a point lies in every circle. One circle is enough.",
        ),
        Mistake(
            lambda d, r, f: (
                _of(d, r, f)[0].any(axis=1).mean(),
                _of(d, r, f)[1].any(axis=0).mean(),
            ),
            "`any` runs along the wrong axis: this is the share of the circles that hold at least "
            "one point. Precision is a share of the fakes, recall one of the real points.",
        ),
        Mistake(
            lambda d, r, f: (_of(d, r, f)[0].any(axis=0).sum(), _of(d, r, f)[1].any(axis=1).sum()),
            "These are counts. Shares lie between 0 and 1: divide by the number of the fakes, and "
            "of the real points.",
        ),
        Mistake(
            lambda d, r, f: ((d.min(axis=0) <= r.max()).mean(), (d.min(axis=1) <= f.max()).mean()),
            "The largest radius was used for all points. Then a small circle in a dense group "
            "becomes as large as that of a lonely point.",
        ),
        Mistake(
            lambda d, r, f: (
                (d.min(axis=0) <= r[d.argmin(axis=0)]).mean(),
                (d.min(axis=1) <= f[d.argmin(axis=1)]).mean(),
            ),
            "Only the circle of the *nearest* point was asked. A point farther away may have a "
            "larger circle, which holds the point too.",
        ),
        Mistake(
            lambda d, r, f: (
                (d <= r[:, None] / 2).any(axis=0).mean(),
                (d <= f / 2).any(axis=1).mean(),
            ),
            "Half of each radius is compared with the distance. The radius already reaches from "
            "the middle of a circle to its edge.",
        ),
        Mistake(
            lambda d, r, f: (
                (d**2 <= r[:, None]).any(axis=0).mean(),
                (d**2 <= f).any(axis=1).mean(),
            ),
            "Squared distances are compared with radii that are not squared. Either both are "
            "squared or none.",
        ),
        Mistake(
            lambda d, r, f: ((d < r[:, None]).any(axis=0).mean(), (d < f).any(axis=1).mean()),
            "A point on the edge of a circle was left out. In a set, the k-th neighbour itself "
            "lies on the edge, and it counts.",
        ),
        Mistake(
            lambda d, r, f: (
                (d <= r[:, None]).any(axis=0).mean(),
                (d <= r[:, None]).any(axis=1).mean(),
            ),
            "Both shares use the circles around the real points. For the recall the circles are "
            "those around the fakes.",
        ),
        Mistake(
            lambda d, r, f: ((d <= f).any(axis=0).mean(), (d <= f).any(axis=1).mean()),
            "Both shares use the circles around the fakes. For the precision the circles are those "
            "around the real points.",
        ),
        Mistake(
            lambda d, r, f: (
                (d <= r[:, None]).any(axis=0).sum() / len(r),
                (d <= f).any(axis=1).sum() / len(r),
            ),
            "Both counts are divided by the number of the real points. The precision is a share of "
            "the fakes: divide by their number.",
        ),
        Mistake(
            lambda d, r, f: ((d <= r).any(axis=0).mean(), (d <= f).any(axis=1).mean()),
            "`distances <= real_radii` compares column j with the radius of real point j. Real "
            "points are the rows: the radii have to stand in a column, of shape (N, 1).",
        ),
    ),
    after="Next: precision_recall in train/judge.py does the same with a few rows at a time.",
)

# --- 11.4 shares -------------------------------------------------------------------------------


def deviations(digits: Array, p: Array) -> Array:
    """Return for each digit 0 to 9 (share - p) / standard deviation; digits (N,), p (10,)."""
    share = np.bincount(digits, minlength=10) / len(digits)
    return (share - p) / np.sqrt(p * (1 - p) / len(digits))


def _deviations_by_loops(digits: Array, p: Array) -> Array:
    """In counts, not in shares: the variance of a count is N p (1 - p)."""
    found = []
    for digit, probability in enumerate(p):
        count = sum(1 for read in digits if read == digit)
        expected = len(digits) * probability
        found.append((count - expected) / math.sqrt(expected * (1 - probability)))
    return np.array(found)


def _shares(digits: Array) -> Array:
    return np.bincount(digits, minlength=10) / len(digits)


def _deviations_by_found_shares(digits: Array, p: Array) -> Array:
    share = _shares(digits)
    with np.errstate(divide="ignore"):
        return (share - p) / np.sqrt(share * (1 - share) / len(digits))


_EVEN = np.full(10, 0.1)
_UNEVEN = np.array([0.05, 0.15, 0.1, 0.1, 0.08, 0.12, 0.1, 0.1, 0.14, 0.06])

SHARES = Exercise(
    number="11.4",
    chapter=11,
    title="Is this share still chance?",
    level=2,
    minutes=10,
    task="""
A judge has read N drawings; digits (N,) holds what it read, numbers from 0 to 9. p (10,) holds the
probabilities that the ten digits should have. Return ten numbers: for each digit its share among
the drawings minus p, divided by the standard deviation that this share has by chance, formula (3)
with the probability that it *should* have. Some digit may not have been read at all.
""",
    hints=(
        "`np.bincount(digits)` counts how often each number comes. Which option makes sure that "
        "there are ten counts, even if nobody drew a 9?",
        "Count with minlength=10, divide by N for the shares, subtract p; the standard deviation "
        "is the root of p (1 - p) / N, one for each digit.",
    ),
    answer=deviations,
    judge=Values(
        truth=_deviations_by_loops,
        needs=("digits", "p"),
        cases=(
            {"digits": np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]), "p": _EVEN},
            {"digits": np.array([0, 0, 7, 7, 7, 1, 2, 8]), "p": _UNEVEN},
            {"digits": np.array([1] * 20 + [4] * 5), "p": _UNEVEN},
        ),
        torch="(torch.bincount(digits, minlength=10) / len(digits) - p)"
        " / torch.sqrt(p * (1 - p) / len(digits))",
        names=("the array of deviations",),
        against="counts and their variance N p (1 - p)",
    ),
    mistakes=(
        Mistake(
            lambda digits, p: (
                (np.bincount(digits) / len(digits) - p) / np.sqrt(p * (1 - p) / len(digits))
            ),
            "`bincount` counts up to the largest number that it finds. If nobody drew a 9 there "
            "are nine counts or fewer, and p has ten: see its option minlength.",
        ),
        Mistake(
            lambda digits, p: (_shares(digits) - p) / np.sqrt(p * (1 - p)),
            "This divides by the standard deviation of a *single* drawing, which is 1 or 0. The "
            "mean of N of them scatters less.",
        ),
        Mistake(
            lambda digits, p: (_shares(digits) - p) / (p * (1 - p) / len(digits)),
            "This divides by the variance. The standard deviation is its root.",
        ),
        Mistake(
            lambda digits, p: (_shares(digits) - p) / np.sqrt(p * (1 - p) * len(digits)),
            "N p (1 - p) is the variance of the *count*. Here shares are compared: the count was "
            "divided by N, and so its variance by N squared.",
        ),
        Mistake(
            lambda digits, p: (
                (np.bincount(digits, minlength=10) - p) / np.sqrt(p * (1 - p) / len(digits))
            ),
            "p is subtracted from a count. Make it a share first: divide by N.",
        ),
        Mistake(
            lambda digits, p: _shares(digits) - p,
            "These are the differences. Whether 0.6 % is much, only the standard deviation says: "
            "divide by it.",
        ),
        Mistake(
            lambda digits, p: (_shares(digits) - p) / np.sqrt(p / len(digits)),
            "The factor 1 - p is missing. It is 0.9 for a tenth, so the mistake is small here; but "
            "for p = 1 the share cannot scatter at all.",
        ),
        Mistake(
            lambda digits, p: (p - _shares(digits)) / np.sqrt(p * (1 - p) / len(digits)),
            "The sign is turned: a digit that comes too often should have a positive number.",
        ),
        Mistake(
            lambda digits, p: (_shares(digits) - p) ** 2 / (p * (1 - p) / len(digits)),
            "These are squares. The sign is lost, and three standard deviations look like nine.",
        ),
        Mistake(
            lambda digits, p: (_shares(digits) - p) / (np.sqrt(p * (1 - p)) / len(digits)),
            "N is not under the root. The variance of a share is p (1 - p) / N, all of it.",
        ),
        Mistake(
            lambda digits, p: np.abs(_shares(digits) - p) / np.sqrt(p * (1 - p) / len(digits)),
            "The sign is lost: one wants to know whether a digit comes too often or too seldom.",
        ),
        Mistake(
            _deviations_by_found_shares,
            "The standard deviation was computed from the share that was found. A digit that was "
            "never drawn would then have none; take the probability that it should have.",
        ),
        Mistake(
            lambda digits, p: (
                (np.bincount(digits, minlength=10) - len(digits) * p)
                / np.sqrt(p * (1 - p) / len(digits))
            ),
            "Above the fraction bar stand counts, below it the standard deviation of a *share*. "
            "Take both for shares, or both for counts.",
        ),
        Mistake(
            lambda digits, p: (
                (np.unique(digits, return_counts=True)[1] / len(digits) - p)
                / np.sqrt(p * (1 - p) / len(digits))
            ),
            "`np.unique` counts the numbers that come. A digit that nobody drew is missing there, "
            "and the counts move to wrong places.",
        ),
    ),
    after="With 10,000 drawings a number beyond 3 or below -3 is hardly chance.",
)

# --- 11.5 learning by heart --------------------------------------------------------------------


def heart_ratio(fakes: Array, unseen: Array, training: Array) -> float:
    """Return the ratio of two medians; fakes (N, D), unseen (M, D) and training (K, D)."""
    middles = []
    for points in (fakes, unseen):
        squares = ((points[:, None, :] - training[None, :, :]) ** 2).sum(axis=2)
        middles.append(np.median(np.sqrt(squares.min(axis=1))))
    return float(middles[0] / middles[1])


def _ratio_by_loops(fakes: Array, unseen: Array, training: Array) -> float:
    middles = []
    for points in (fakes, unseen):
        found = sorted(min(math.dist(x, t) for t in training) for x in points)
        half = len(found) // 2
        middles.append(found[half] if len(found) % 2 else (found[half - 1] + found[half]) / 2)
    return float(middles[0] / middles[1])


def _nearest(points: Array, training: Array) -> Array:
    return _table(points, training).min(axis=1)


def _middle(points: Array, training: Array) -> Any:
    return np.median(_nearest(points, training))


def _element(points: Array, training: Array, lower: int) -> Any:
    """The distance in the middle, or of the two there the upper or the lower one."""
    found = np.sort(_nearest(points, training))
    return found[(len(found) - lower) // 2]


HEART = Exercise(
    number="11.5",
    chapter=11,
    title="A test for learning by heart",
    level=2,
    minutes=12,
    task="""
fakes, unseen and training are sets of points (features of pictures), a point in each row: what a
generator has drawn, real pictures that it has never seen, and those it was trained on. Each fake
has a distance to the training point nearest to it, and so has each unseen point. Return the median
of the former divided by the median of the latter. A generator that copies has a ratio near 0.
""",
    hints=(
        "Two sets are compared with the same third one, in the same way: a table of distances, a "
        "minimum for each point, a median.",
        "The table of fakes and training points has the shape (N, K); its minimum along axis 1 is "
        "one number for each fake. `np.median` gives the middle of these.",
    ),
    answer=heart_ratio,
    judge=Values(
        truth=_ratio_by_loops,
        needs=("fakes", "unseen", "training"),
        cases=(
            draw(0, fakes=(8, 2), unseen=(6, 2), training=(7, 2)),
            draw(1, fakes=(5, 3), unseen=(6, 3), training=(9, 3)),
            draw(2, fakes=(5, 2), unseen=(7, 2), training=(5, 2)),
        ),
        torch="torch.cdist(fakes, training).min(1).values.quantile(0.5)"
        " / torch.cdist(unseen, training).min(1).values.quantile(0.5)",
        names=("the ratio",),
        against="loops over all pairs of points",
    ),
    mistakes=(
        Mistake(
            lambda f, u, t: _middle(t, f) / _middle(t, u),
            "The search goes the wrong way: for each training point the nearest fake. A generator "
            "that copies only a few training digits would not be noticed.",
        ),
        Mistake(
            lambda f, u, t: _middle(u, t) / _middle(f, t),
            "The ratio is upside down. A generator that copies should have a *small* one.",
        ),
        Mistake(
            lambda f, u, t: np.median(_nearest(f, t) ** 2) / np.median(_nearest(u, t) ** 2),
            "These are squared distances, and so their ratio is squared too. Take roots first.",
        ),
        Mistake(
            lambda f, u, t: _nearest(f, t).mean() / _nearest(u, t).mean(),
            "These are means. A few rubbish drawings, far from everything, move the mean, and hide "
            "that most others are copies; the median is asked for.",
        ),
        Mistake(
            lambda f, u, t: np.median(_table(f, t)) / np.median(_table(u, t)),
            "The median of *all* distances is taken. A copy is near to one training point and far "
            "from all others: take the nearest of each point first.",
        ),
        Mistake(
            lambda f, u, t: _middle(f, t),
            "Only the fakes are measured. Whether this distance is small is not known before it is "
            "compared with that of pictures that nobody can have copied.",
        ),
        Mistake(
            lambda f, u, t: _middle(f, u) / _middle(u, t),
            "The fakes are compared with the unseen pictures. What a generator may have copied is "
            "its training set.",
        ),
        Mistake(
            lambda f, u, t: _middle(f, t) / _middle(t, u),
            "Below the fraction bar the training points look for the nearest unseen one. Both "
            "sets have to look for the nearest *training* point, in the same way.",
        ),
        Mistake(
            lambda f, u, t: _middle(f, t) / _middle(f, u),
            "The fakes are compared with both sets. Below the fraction bar stand no fakes: unseen "
            "real pictures look for their nearest training point.",
        ),
        Mistake(
            lambda f, u, t: _element(f, t, 0) / _element(u, t, 0),
            "One element of the sorted distances is taken. The median of an even number of values "
            "is the mean of the two in the middle.",
        ),
        Mistake(
            lambda f, u, t: _element(f, t, 1) / _element(u, t, 1),
            "The lower one of two middle distances is taken. The median of an even number of "
            "values is the mean of the two.",
        ),
        Mistake(
            lambda f, u, t: np.sqrt(
                np.median(_nearest(f, t) ** 2) / np.median(_nearest(u, t) ** 2)
            ),
            "The median of the squares was taken, and then the root. The median of an even number "
            "of values is a mean of two, and the root of a mean is not the mean of the roots.",
        ),
        Mistake(
            lambda f, u, t: _nearest(f, t).min() / _nearest(u, t).min(),
            "One minimum is taken over the whole table: the luck of a single point. Each point has "
            "a nearest one of its own, so the minimum runs along one axis.",
        ),
    ),
    after="Next: draw 2,000 digits with a run of train.gan, and look at them with Reader.look.",
)

EXERCISES = (FRECHET, RADIUS, PRECISION, SHARES, HEART)
