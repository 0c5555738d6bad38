"""Step 7: the matrix product, and gradients only where they are wanted.

A layer of neurons is one matrix product, and the network of step 4 needs three lines. The data are
constants here: nobody wants their gradient, which would cost as much as that of the weights. So the
graph is now made of records. A Tensor has one if its gradient is wanted (`requires_grad`), or if it
was computed from such a Tensor. A constant has none.
"""

import itertools
from heapq import heappop, heappush

import numpy as np

ages = itertools.count()  # a clock: each record takes the next number


class Tensor:
    """An array, and the record of how it was made; a constant has no record."""

    __array_ufunc__ = None  # array + Tensor calls Tensor.__radd__, not NumPy's own addition

    def __init__(self, data, record=None, requires_grad=False):
        self.data = np.asarray(data)
        self.record = Record(self.shape) if requires_grad else record

    shape = property(lambda self: self.data.shape)

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return other + -self


class Record:
    """How a Tensor was made. It points only at its parents, so the graph has no cycles.

    A Tensor that nothing computed, but that wants a gradient (a leaf), has one without parents.
    """

    def __init__(self, shape, rules=None, parents=None):
        self.shape = shape  # of the result, and so of its gradient
        self.rules = rules or {}  # by the input's name
        self.parents = parents or {}  # the records of the inputs that want a gradient, by name
        self.age = next(ages)


def grad(output, inputs):
    """The gradients of the sum of the output's elements with respect to each of the inputs."""
    gradients = {output.record: np.ones_like(output.data)}  # the sums of what has arrived so far
    queue = [(-output.record.age, output.record)]  # a heap, the youngest on top
    while queue:
        _, node = heappop(queue)
        for name, parent in node.parents.items():
            part = unbroadcast(node.rules[name](gradients[node]), parent.shape)
            if parent not in gradients:
                heappush(queue, (-parent.age, parent))
            gradients[parent] = gradients[parent] + part if parent in gradients else part
    return [gradients.get(x.record) for x in inputs]  # None where the output does not depend on x


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


def names_of(function):
    """The names of a function's parameters."""
    code = function.__code__  # what Python has made of the function
    return code.co_varnames[: code.co_argcount]  # of its variables, the parameters come first


def apply(definition, *args):
    """Compute y, and record its rules and parents if an input wants a gradient."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in args]
    y, rules = definition(*arrays)
    inputs = dict(zip(names_of(definition), args, strict=True))
    tensors = {name: x for name, x in inputs.items() if isinstance(x, Tensor)}
    parents = {name: x.record for name, x in tensors.items() if x.record and name in rules}
    return Tensor(y, Record(np.shape(y), rules, parents) if parents else None)


@operation
def add(a, b):
    """a + b, elementwise and broadcast."""
    return a + b, dict(a=lambda g: g, b=lambda g: g)


@operation
def multiply(a, b):
    """a b, elementwise and broadcast."""
    return a * b, dict(a=lambda g: g * b, b=lambda g: g * a)


@operation
def matmul(a, b):
    """The product of two matrices."""
    return a @ b, dict(a=lambda g: g @ b.T, b=lambda g: a.T @ g)


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
Tensor.__matmul__ = matmul


if __name__ == "__main__":
    import time

    random = np.random.default_rng(0)

    def moons(count):
        """Draw points on two half circles that reach into each other, and the targets 1 and -1."""
        angle, target = random.uniform(0.0, np.pi, count), np.arange(count) % 2 * 2 - 1
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points[target < 0] = [1.0, 0.5] - points[target < 0]
        return points + random.normal(0.0, 0.1, (count, 2)), target.reshape(count, 1)

    def answers_to(points):
        """Compute a number between -1 and 1 for each point."""
        return tanh(tanh(Tensor(points) @ W1 + b1) @ W2 + b2)  # (N, 2), (N, 8), (N, 1)

    def train_step(points, targets):
        """Move each parameter a little against its gradient."""
        error = answers_to(points) - targets
        loss = sum_over(error * error, (0, 1)) * (1 / len(points))
        for p, g in zip(parameters, grad(loss, parameters), strict=True):
            p.data = p.data - 0.5 * g
        return loss.data.item()

    W1, b1, W2, b2 = parameters = [
        Tensor(random.normal(size=shape), requires_grad=True)
        for shape in [(2, 8), (8,), (8, 1), (1,)]
    ]
    points, targets = moons(60)
    for step in range(201):
        right = np.mean(answers_to(points).data * targets > 0)
        loss = train_step(points, targets)
        if step % 40 == 0:
            print(f"step {step}: loss {loss:.3f}, accuracy {right:.0%}")

    for count in (60, 6000):
        points, targets = moons(count)
        start = time.perf_counter()
        for _ in range(20):
            train_step(points, targets)
        print(f"a step with {count} points: {(time.perf_counter() - start) / 20 * 1000:.2f} ms")
