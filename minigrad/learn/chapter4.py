"""Exercises of chapter 4: layers, and the numbers they begin with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.learn.exercise import Exercise, Mistake, Result, Values, Wrong, call
from minigrad.learn.faults import listed

# --- 4.1 counting parameters -------------------------------------------------------------------


def count_parameters(sizes: list[int]) -> int:
    """Return how many numbers the linear layers of sizes[0] -> sizes[1] -> ... learn."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


def _counted(sizes: list[int]) -> int:
    layers = [nn.Linear(n, m) for n, m in pairwise(sizes)]
    return sum(parameter.size for parameter in nn.Sequential(*layers).parameters())


COUNT = Exercise(
    number="4.1",
    chapter=4,
    title="Count the parameters of a network",
    level=1,
    minutes=5,
    task="""
`sizes` lists how many numbers an example has before and behind each linear layer: [2, 16, 1] is
Linear(2, 16), an activation function, Linear(16, 1). Return how many numbers the network learns in
all.
""",
    hints=(
        "Take [2, 16, 1] and write down the shape of each weight and of each bias.",
        "A layer from D to H numbers has a weight (H, D) and a bias (H,). Go through the pairs of "
        "neighbours in the list, and add up.",
    ),
    answer=count_parameters,
    judge=Values(
        truth=_counted,
        needs=("sizes",),
        cases=({"sizes": [2, 16, 1]}, {"sizes": [5, 7]}, {"sizes": [3, 4, 4, 9, 2]}),
        names=("the number of parameters",),
        against="nn.Linear's parameters, counted",
    ),
    mistakes=(
        Mistake(
            lambda sizes: sum(n * m for n, m in pairwise(sizes)),
            "The weights are counted, the biases are not: each neuron of a layer has one, so a "
            "layer to H numbers learns H more.",
        ),
        Mistake(
            lambda sizes: sum(n * m + n for n, m in pairwise(sizes)),
            "There is one bias for each input of a layer. A bias belongs to a neuron: it is added "
            "to an output.",
        ),
        Mistake(
            lambda sizes: sum(n * m + 1 for n, m in pairwise(sizes)),
            "There is one bias for each layer. Each neuron has its own: the bias has the shape of "
            "one output row, (H,).",
        ),
        Mistake(
            lambda sizes: sizes[0] * sizes[-1] + sizes[-1],
            "Only the first and the last size are used, as if there were one layer.",
        ),
        Mistake(
            lambda sizes: (sizes[0] + 1) * sizes[1],
            "Only the first layer is counted. Does `return` stand inside the loop? It ends the "
            "function in the first turn.",
        ),
        Mistake(
            lambda sizes: (sizes[-2] + 1) * sizes[-1],
            "Only the last layer is counted: what the turns before have found is overwritten. The "
            "layers' numbers are to be added up.",
        ),
        Mistake(
            lambda sizes: sum(n * m + m for n, m in zip(sizes[::2], sizes[1::2], strict=False)),
            "Every second layer is left out. The sizes 2, 16, 1 are two layers, 2 to 16 and 16 to "
            "1: what comes out of one layer goes into the next.",
        ),
        Mistake(
            lambda sizes: sum(n * m + m for n, m in pairwise(sizes)) + sizes[0],
            "The inputs are counted as well. They are data; a layer learns weights and biases "
            "alone.",
        ),
    ),
    after="Compare with `sum(p.size for p in model.parameters())` of a model of your own.",
)

# --- 4.2 the spread behind many layers ---------------------------------------------------------


def spread_behind(layers: int, fan_in: int, variance: float, relu: bool) -> float:
    """Return the spread of the last layer's sums z; the inputs have mean 0 and spread 1.

    Args:
        layers: The number of linear layers, at least 1, each with fan_in inputs per neuron.
        fan_in: As above.
        variance: Of each weight, of mean 0; there are no biases.
        relu: Whether a ReLU stands between two layers; otherwise nothing does.
    """
    first = fan_in * variance
    return float((first * (first / 2 if relu else first) ** (layers - 1)) ** 0.5)


def _layer_by_layer(layers: int, fan_in: int, variance: float, relu: bool) -> float:
    mean_square = 1.0
    for number in range(layers):
        if relu and number > 0:
            mean_square *= 0.5
        mean_square = fan_in * variance * mean_square
    return float(np.sqrt(mean_square))


def _rooted_each_time(layers: int, fan_in: int, variance: float, relu: bool) -> float:
    spread = 1.0
    for number in range(layers):
        if relu and number > 0:
            spread *= 0.5
        spread = float(np.sqrt(fan_in * variance * spread))
    return spread


SPREAD = Exercise(
    number="4.2",
    chapter=4,
    title="The spread behind many layers",
    level=2,
    minutes=10,
    task="""
A batch with mean 0 and spread (standard deviation) 1 goes through `layers` linear layers without
biases. Each has `fan_in` inputs per neuron, and independent weights of mean 0 and the given
variance. With `relu` there is a ReLU between each two of them, and none behind the last. Return
the spread that the sums z of the last layer will have, by equations (2) and (4).
""",
    hints=(
        "Follow the mean square, not the spread: what does one linear layer do to it, and what one "
        "ReLU? How many of each are there?",
        "A linear layer multiplies the mean square by fan_in * variance, a ReLU by one half. There "
        "is one ReLU fewer than there are layers. At the end take the root.",
    ),
    answer=spread_behind,
    judge=Values(
        truth=_layer_by_layer,
        needs=("layers", "fan_in", "variance", "relu"),
        cases=(
            {"layers": 1, "fan_in": 100, "variance": 0.03, "relu": False},
            {"layers": 8, "fan_in": 400, "variance": 1 / 1200, "relu": False},
            {"layers": 25, "fan_in": 128, "variance": 0.01, "relu": True},
            {"layers": 2, "fan_in": 50, "variance": 0.04, "relu": True},
        ),
        names=("the spread",),
        against="the mean square, followed layer by layer",
    ),
    mistakes=(
        Mistake(
            lambda layers, fan_in, variance, relu: (
                fan_in * variance * (fan_in * variance / (2 if relu else 1)) ** (layers - 1)
            ),
            "This is the variance of the sums. The spread is the standard deviation, its root.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (
                (fan_in * variance / (2 if relu else 1)) ** (layers / 2)
            ),
            "One half too many: there are as many halves here as layers. The ReLUs stand *between* "
            "the layers, so there is one fewer, and the last layer's sums come before any ReLU.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (fan_in * variance) ** (layers / 2),
            "Right without ReLU; but each ReLU leaves half of the mean square, and `relu` has no "
            "effect here.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (
                (fan_in * variance) ** (layers / 2) * (0.5 if relu else 1) ** (layers - 1)
            ),
            "Each ReLU halves the *mean square*. The spread is its root, so a ReLU divides the "
            "spread by the root of 2, not by 2.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (
                (variance * (variance / (2 if relu else 1)) ** (layers - 1)) ** 0.5
            ),
            "The number of inputs is missing: a neuron adds up fan_in products, and the variances "
            "of the products add up too.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (
                (fan_in * variance) ** 0.5 * layers / (2 if relu else 1)
            ),
            "The factors of the layers are added up. Each layer works on what the one before gave, "
            "so the factors multiply.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (fan_in * variance) ** 0.5,
            "This is the spread behind one layer. Each further layer works on what the one before "
            "gave, and a ReLU may stand between them.",
        ),
        Mistake(
            _rooted_each_time,
            "The root is taken in every layer. What a layer multiplies by fan_in * variance is the "
            "mean square: follow that, and take the root once, at the end.",
        ),
        Mistake(
            lambda layers, fan_in, variance, relu: (
                (fan_in * variance) ** (layers // 2) * (0.5 if relu else 1) ** ((layers - 1) // 2)
            ),
            "`//` rounds down, so an odd number of layers loses one half. The root of a power is "
            "the power of half the exponent: `/`.",
        ),
    ),
    after="Next: draw `forward` of the five ways, and your prediction, into one picture.",
)

# --- 4.3 bounds for a leaky ReLU ---------------------------------------------------------------


def uniform_bound(fan_in: int, slope: float) -> float:
    """Return c: weights drawn uniformly from -c to c keep the spread behind a leaky ReLU.

    Args:
        fan_in: The number of inputs of a neuron.
        slope: The activation function is z for z > 0, and slope * z for z < 0.
    """
    return float((6 / ((1 + slope**2) * fan_in)) ** 0.5)


def _bound_by_measure(fan_in: int, slope: float) -> float:
    z = np.linspace(-1, 1, 2002)  # symmetric, and without 0
    kept = np.mean(np.where(z > 0, z, slope * z) ** 2) / np.mean(z**2)
    return float(np.sqrt(3 / (fan_in * kept)))


BOUND = Exercise(
    number="4.3",
    chapter=4,
    title="Bounds for the weights before a leaky ReLU",
    level=2,
    minutes=15,
    task="""
A leaky ReLU gives z where z > 0, and slope * z where z < 0. (With the slope 0 it is the ReLU.) The
layer's weights are to be drawn uniformly between -c and c. For which c is the mean square of the
sums the same in each layer? Return c.
""",
    hints=(
        "Do again what led to equation (4): z and -z are equally frequent. What is left of the "
        "two squares z^2 and (-z)^2 together?",
        "Of z^2 + z^2 there is left z^2 + (slope z)^2, that is, (1 + slope^2) / 2 of it. So "
        "fan_in * Var(w) * (1 + slope^2) / 2 = 1. And a uniform number has Var(w) = c^2 / 3.",
    ),
    answer=uniform_bound,
    judge=Values(
        truth=_bound_by_measure,
        needs=("fan_in", "slope"),
        cases=(
            {"fan_in": 100, "slope": 0.2},
            {"fan_in": 50, "slope": 0.0},
            {"fan_in": 6, "slope": 0.5},
            {"fan_in": 12, "slope": 0.9},
        ),
        torch="torch.nn.init.calculate_gain('leaky_relu', slope) * (3 / fan_in) ** 0.5",
        names=("the bound",),
        against="the mean square behind a leaky ReLU, measured",
    ),
    mistakes=(
        Mistake(
            lambda fan_in, slope: (2 / ((1 + slope**2) * fan_in)) ** 0.5,
            "This is the standard deviation that the weights should have. A uniform number between "
            "-c and c has the variance c^2 / 3, so c is larger than its standard deviation.",
        ),
        Mistake(
            lambda fan_in, slope: (6 / fan_in) ** 0.5,
            "Right for the slope 0. With a slope something of the negative half is left too, so "
            "that less has to be made up for.",
        ),
        Mistake(
            lambda fan_in, slope: (6 / ((1 + slope) * fan_in)) ** 0.5,
            "The mean *square* counts: a negative z becomes slope * z, and its square has the "
            "factor slope squared.",
        ),
        Mistake(
            lambda fan_in, slope: (3 / ((1 + slope**2) * fan_in)) ** 0.5,
            "A factor 2 is missing under the root: z is positive in only one half of the places, "
            "so the mean square is kept in one half only.",
        ),
        Mistake(
            lambda fan_in, slope: (3 / fan_in) ** 0.5,
            "This keeps the spread without an activation function. What does the leaky ReLU take "
            "away?",
        ),
        Mistake(
            lambda fan_in, slope: (6 / ((1 + slope) ** 2 * fan_in)) ** 0.5,
            "(1 + slope)^2 is the square of a sum. Positive and negative z are different numbers: "
            "their squares add up, 1 and slope squared.",
        ),
        Mistake(
            lambda fan_in, slope: (6 / ((1 - slope**2) * fan_in)) ** 0.5,
            "1 - slope^2: the negative half is taken away. But it is smaller, and it is still "
            "there; its square adds to the mean square.",
        ),
        Mistake(
            lambda fan_in, slope: 6 / ((1 + slope**2) * fan_in),
            "The root is missing: this is c squared, three times the variance.",
        ),
    ),
    after="Next: read calculate_gain and kaiming_uniform_ in minigrad/nn/init.py, which do this.",
)

# --- 4.4 a module by hand ----------------------------------------------------------------------


class Block(nn.Module):
    """x + second(tanh(first(x))) for x (N, features): two linear layers and a way around them."""

    def __init__(self, features: int) -> None:
        """Make the layers `first` and `second`, both from features to features numbers."""
        self.first = nn.Linear(features, features)
        self.second = nn.Linear(features, features)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        """Return x + second(tanh(first(x)))."""
        return x + self.second(mg.tanh(self.first(x)))


def _judge_block(block: Any) -> Iterator[Result]:
    mg.manual_seed(0)
    for features in (3, 4):
        where = f"{block.__name__}({features})"
        module = call(block, {"features": features})
        if not isinstance(module, nn.Module):
            raise Wrong(
                f"{where} is a {type(module).__name__} and no module, so nobody finds its "
                "parameters. Block is to be a class derived from nn.Module: "
                "`class Block(nn.Module)`."
            )
        found = dict(module.astype("float64").named_parameters())
        if not found:
            raise Wrong(_without_parameters(module, where))
        first, second = (getattr(module, name, None) for name in ("first", "second"))
        if first is second and isinstance(first, nn.Module):
            raise Wrong(
                "`first` and `second` are one and the same layer, so there are two parameters in "
                "place of four. Call nn.Linear twice."
            )
        names = ["first.bias", "first.weight", "second.bias", "second.weight"]
        yield Result("the list of parameter names", sorted(found), names, where)
        if sorted(found) != names:
            return
        parameters = [found[name] for name in names]
        shapes = [parameter.shape for parameter in parameters]
        square, vector = (features, features), (features,)
        right = [vector, square, vector, square]
        yield Result("the list of parameter shapes", shapes, right, where)
        if shapes != right:
            return
        random = np.random.RandomState(features)
        x = random.standard_normal((5, features))
        leaf = mg.tensor(x, requires_grad=True)
        b1, W1, b2, W2 = (parameter.detach().numpy() for parameter in parameters)
        inner = np.tanh(x @ W1.T + b1)
        y = module(leaf)
        yield Result("the output", _array(y), x + inner @ W2.T + b2, where)
        if not isinstance(y, mg.Tensor):
            return
        g = random.standard_normal((5, features))
        if not y.requires_grad:
            raise Wrong("The output has no graph, so that no gradient reaches anything.")
        gradients = mg.grad((y * g).sum(), [*parameters, leaf])
        reached = [*names, "x"]
        if missed := [name for name, got in zip(reached, gradients, strict=True) if got is None]:
            raise Wrong(
                f"The output is right, but no gradient reaches {listed(missed)}: on the way back "
                "from the output the graph does not lead there."
            )
        through = (g @ W2) * (1 - inner**2)
        expected = [through.sum(axis=0), through.T @ x, g.sum(axis=0), g.T @ inner]
        expected += [g + through @ W1]
        for name, got, gradient in zip(reached, gradients, expected, strict=True):
            yield Result(f"dL/d{name}", _array(got), gradient, where)


def _without_parameters(module: nn.Module, where: str) -> str:
    """Why no parameter of a module is found."""
    for name, value in vars(module).items():
        if isinstance(value, list | tuple | dict):
            inside = value.values() if isinstance(value, dict) else value
            if any(isinstance(x, nn.Module | nn.Parameter) for x in inside):
                return (
                    f"{where} has no parameters: its attribute {name} is a "
                    f"{type(value).__name__}, which is neither a parameter nor a module, so what "
                    "lies in it is not found. Make the two layers attributes of their own."
                )
    return (
        f"{where} has no parameters: none of its attributes is a layer or a parameter. Make the "
        "two layers in `__init__`; a layer that `forward` makes is a new one in each call, and "
        "never learns."
    )


def _array(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, mg.Tensor) else x


class _NotAround(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.second(mg.tanh(self.first(x)))


class _Linear(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.second(self.first(x))


class _TanhLast(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + mg.tanh(self.second(self.first(x)))


class _OtherOrder(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.first(mg.tanh(self.second(x)))


class _OneTwice(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.first(mg.tanh(self.first(x)))


class _TanhAround(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return mg.tanh(x + self.second(mg.tanh(self.first(x))))


class _Around(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x.detach() + self.second(mg.tanh(self.first(x)))


class _Detached(Block):
    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.second(mg.tensor(np.tanh(self.first(x).detach().numpy())))


BLOCK = Exercise(
    number="4.4",
    chapter=4,
    title="A module by hand: two layers and a way around them",
    level=2,
    minutes=20,
    task="""
Write a module `Block(features)`. It has two linear layers from `features` to `features` numbers,
called `first` and `second`, and its `forward(x)` returns x + second(tanh(first(x))). Such blocks
with a way around are what networks of hundreds of layers are made of (He et al. 2016).
""",
    hints=(
        "`class Neuron` of the chapter shows the form: attributes in __init__, the formula in "
        "forward. What may an attribute be, so that the search finds its parameters?",
        "Two attributes, `self.first` and `self.second`, are an nn.Linear each. In forward call "
        "them like functions, with mg.tanh between them, and add x.",
    ),
    answer=Block,
    judge=_judge_block,
    mistakes=(
        Mistake(
            _NotAround,
            "The way around is missing: the input itself has to be added to what the layers give.",
        ),
        Mistake(
            _Linear,
            "There is no tanh between the two layers, so that both are one linear layer.",
        ),
        Mistake(
            _TanhLast,
            "The tanh stands behind the second layer. Between the two nothing is left, so they are "
            "one linear layer.",
        ),
        Mistake(
            _Detached,
            "what comes from `first` is cut off from the graph, by `detach` or by NumPy, which "
            "leaves no record. Use mg.tanh on the Tensor.",
        ),
        Mistake(
            _OtherOrder,
            "The two layers are exchanged: `first` comes first, on x, and `second` behind tanh.",
        ),
        Mistake(
            _OneTwice,
            "`first` is used in both places, and `second` nowhere: the layer behind tanh is to be "
            "`second`.",
        ),
        Mistake(
            _TanhAround,
            "There is a tanh around the whole sum. x is to go around everything, and is added "
            "last.",
        ),
        Mistake(
            _Around,
            "The output is right, and dL/dx is not: on the way around x is detached, so no "
            "gradient comes back that way. It is what keeps gradients alive in deep networks.",
        ),
    ),
    after="Try: 25 such blocks in nn.Sequential. Why do the gradients not vanish?",
    against="the formula in NumPy",
)

EXERCISES = (COUNT, SPREAD, BOUND, BLOCK)
