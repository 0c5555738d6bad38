"""Step 6: shapes that differ.

NumPy repeats the smaller array where shapes differ: a row of biases is added to every row of a
table. An element that is used many times gets a gradient from each use, and these add up. So the
gradient has to be summed over the axes that were repeated. `unbroadcast` does so in one place, and
no rule has to. That place is `grad`, which replaces `backward`: it keeps gradients in a dictionary
for the time of one pass, instead of one array in every Tensor of the graph for ever; and it tells
which Tensors have been found, as `seen` did.
"""

import itertools
from heapq import heappop, heappush

import numpy as np

ages = itertools.count()  # a clock: each Tensor takes the next number


class Tensor:
    """An array that remembers its parents, and a rule for each: from its gradient to theirs."""

    __array_ufunc__ = None  # array + Tensor calls Tensor.__radd__, not NumPy's own addition

    def __init__(self, data, parents=()):
        self.data = np.asarray(data)
        self.parents = parents  # pairs of a parent and a rule
        self.age = next(ages)

    shape = property(lambda self: self.data.shape)

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return other + -self


def grad(output, inputs):
    """The gradients of the sum of the output's elements with respect to each of the inputs."""
    gradients = {output: np.ones_like(output.data)}  # the sums of what has arrived so far
    queue = [(-output.age, output)]  # a heap, the youngest on top
    while queue:
        _, node = heappop(queue)
        for parent, rule in node.parents:
            part = unbroadcast(rule(gradients[node]), parent.shape)
            if parent not in gradients:
                heappush(queue, (-parent.age, parent))
            gradients[parent] = gradients[parent] + part if parent in gradients else part
    return [gradients.get(x) for x in inputs]  # None where the output does not depend on x


def unbroadcast(g, shape):
    """Sum a gradient over the axes along which NumPy repeated an input of this shape."""
    if g.shape == shape:
        return g
    aligned = (1,) * (len(g.shape) - len(shape)) + shape  # NumPy aligns shapes at their ends
    axes = tuple(axis for axis, n in enumerate(g.shape) if n != aligned[axis])
    return g.sum(axis=axes, keepdims=True).reshape(shape)


def operation(definition):
    """Turn a definition, which works on arrays, into an operation on Tensors."""
    return lambda *args: apply(definition, *args)


def apply(definition, *args):
    """Compute y, and remember the inputs that are Tensors; the others are constants."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in args]
    y, rules = definition(*arrays)
    arrows = zip(args, rules.values(), strict=False)  # in the inputs' order; axes have no rule
    return Tensor(y, [(x, rule) for x, rule in arrows if isinstance(x, Tensor)])


@operation
def add(a, b):
    """a + b, elementwise and broadcast."""
    return a + b, dict(a=lambda g: g, b=lambda g: g)


@operation
def multiply(a, b):
    """a b, elementwise and broadcast."""
    return a * b, dict(a=lambda g: g * b, b=lambda g: g * a)


@operation
def tanh(x):
    """The hyperbolic tangent, elementwise."""
    y = np.tanh(x)
    return y, dict(x=lambda g: g * (1 - y * y))


@operation
def sum_over(x, axes):
    """The sum over some axes, which keep the length 1."""
    return np.sum(x, axis=axes, keepdims=True), dict(x=lambda g: np.broadcast_to(g, x.shape))


Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = multiply


if __name__ == "__main__":
    table = np.arange(12.0).reshape(4, 3)
    for shape in [(4, 3), (3,), (4, 1), (1, 3), ()]:
        x = Tensor(np.zeros(shape))
        [g] = grad(table + x, [x])
        print(f"a table (4, 3) plus x of shape {shape}: each x is used {g.flat[0]:.0f} times")

    random = np.random.default_rng(0)
    x = np.linspace(-3.0, 3.0, 50).reshape(50, 1)
    slope, shift, weight = (Tensor(random.normal(size=10)) for _ in range(3))
    for step in range(1001):  # ten neurons learn the sine: (50, 1) with (10,) gives (50, 10)
        answers = sum_over(tanh(x * slope + shift) * weight, 1)
        error = answers - np.sin(x)
        loss = sum_over(error * error, (0, 1)) * (1 / 50)
        parameters = [slope, shift, weight]
        for parameter, g in zip(parameters, grad(loss, parameters), strict=True):
            parameter.data = parameter.data - 0.1 * g
        if step % 250 == 0:
            print(f"step {step}: mean square error {loss.data.item():.4f}")
