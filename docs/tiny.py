"""Reverse-mode automatic differentiation on one page: the idea of minigrad, with NumPy alone.

Run it: `python docs/tiny.py`. It is step 9 of the course, [09_twice.py](steps/09_twice.py), tidied.
Four sentences explain it all.

1. An operation is a *definition*, which computes y from arrays, and one *rule* per input: for a
   number L that depends on y, the rule turns g = dL/dy into dL/dinput.
2. Calling an operation on Tensors leaves a *record*: its rules, where their gradients go, and the
   values that the rules name.
3. Gradients go back through the records, *youngest first*. A result is younger than its inputs, so
   when a record's turn comes, everything that used its result has already sent its gradient.
4. A rule takes *arrays or Tensors*. With arrays it computes numbers. With Tensors its operations
   leave records of their own, so the gradient can be differentiated again, to any order.
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

    def __init__(self, shape, rules=None, parents=None, saved=None):
        self.shape = shape  # of the result, and so of its gradient
        self.rules = rules or {}  # by the input's name
        self.parents = parents or {}  # the records of the inputs that want a gradient, by name
        self.saved = saved or {}  # the arrays that their rules name, and no others
        self.age = next(ages)

    def value(self, name, as_tensor):
        """A saved array; or the same as a Tensor, at its old place in the graph."""
        record = self if name == "y" else self.parents.get(name)
        return Tensor(self.saved[name], record) if as_tensor else self.saved[name]


def names_of(function):
    """The names of a function's parameters."""
    code = function.__code__  # what Python has made of the function
    return code.co_varnames[: code.co_argcount]  # of its variables, the parameters come first


def primitive(**rules):
    """Declare an operation: decorate its definition on arrays with one rule per input."""

    def decorate(definition):
        return lambda *args: apply(definition, rules, *args)

    return decorate


def apply(definition, rules, *args):
    """Compute y, and record what its rules need if an input wants a gradient."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in args]
    y = definition(*arrays)
    inputs = dict(zip(names_of(definition), args, strict=True))
    tensors = {name: x for name, x in inputs.items() if isinstance(x, Tensor)}
    if not tensors:
        return y  # arrays in, an array out: this is how a rule gives numbers
    parents = {name: x.record for name, x in tensors.items() if x.record and name in rules}
    values = dict(zip(inputs, arrays, strict=True), y=y)
    saved = {need: values[need] for name in parents for need in names_of(rules[name])[1:]}
    return Tensor(y, Record(np.shape(y), rules, parents, saved) if parents else None)


def grad(output, inputs, create_graph=False):
    """The gradients of the sum of the output's elements with respect to each of the inputs.

    They are arrays; with create_graph they are Tensors, which can be differentiated again.
    """
    one = np.ones_like(output.data)
    gradients = {output.record: Tensor(one) if create_graph else one}  # sums of what has arrived
    queue = [(-output.record.age, output.record)]  # a heap, the youngest on top
    while queue:
        _, node = heappop(queue)
        for name, parent in node.parents.items():
            needs = [node.value(need, create_graph) for need in names_of(node.rules[name])[1:]]
            part = unbroadcast(node.rules[name](gradients[node], *needs), parent.shape)
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
    return reshape(sum_over(g, axes), shape)


# --- The operations. Rules use operators and operations only, so they work on both kinds. -------


@primitive(a=lambda g: g, b=lambda g: g)
def add(a, b):
    """a + b, elementwise and broadcast."""
    return a + b


@primitive(a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(a, b):
    """a b, elementwise and broadcast."""
    return a * b


@primitive(a=lambda g, b: g @ transpose(b), b=lambda g, a: transpose(a) @ g)
def matmul(a, b):
    """The product of two matrices."""
    return a @ b


@primitive(x=lambda g: transpose(g))
def transpose(x):
    """Rows become columns."""
    return np.transpose(x)


@primitive(x=lambda g, y: g * (1 - y * y))
def tanh(x):
    """The hyperbolic tangent, elementwise. Its rule names y and not x, so only y is saved."""
    return np.tanh(x)


@primitive(x=lambda g, x: broadcast_to(g, x.shape))
def sum_over(x, axes):
    """The sum over some axes, which keep the length 1."""
    return np.sum(x, axis=axes, keepdims=True)


@primitive(x=lambda g: g)
def broadcast_to(x, shape):
    """Repeat x to fill a shape. `grad` sums over what was repeated."""
    return np.broadcast_to(x, shape)


@primitive(x=lambda g, x: reshape(g, x.shape))
def reshape(x, shape):
    """The same numbers in another shape."""
    return np.reshape(x, shape)


Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda x, other: matmul(other, x)


# --- What it can do. ---------------------------------------------------------------------------


def derivatives_of_tanh(count):
    """tanh and its derivatives at 0. Each one is the gradient of the one before."""
    x = Tensor(0.0, requires_grad=True)
    derivatives = [tanh(x)]
    while len(derivatives) < count:
        derivatives += grad(derivatives[-1], [x], create_graph=True)
    return [int(y.data) for y in derivatives]


def mean_square(x):
    """The mean of the squares of all elements, a Tensor of one element."""
    return sum_over(x * x, None) * (1 / x.data.size)


def learn_xor(steps):
    """Train a network with one hidden layer by gradient descent, and return its four answers."""
    random = np.random.default_rng(0)
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = np.array([[0.0], [1.0], [1.0], [0.0]])
    weights = [random.normal(size=(2, 8)), np.zeros(8), random.normal(size=(8, 1)), np.zeros(1)]
    W1, b1, W2, b2 = parameters = [Tensor(w, requires_grad=True) for w in weights]
    for _ in range(steps):
        answers = tanh(x @ W1 + b1) @ W2 + b2
        gradients = grad(mean_square(answers - target), parameters)
        for parameter, g in zip(parameters, gradients, strict=True):
            parameter.data -= 0.2 * g
    return answers.data[:, 0]


if __name__ == "__main__":
    print("tanh and its first seven derivatives at 0:", *derivatives_of_tanh(8))
    print("0 xor 0, 0 xor 1, 1 xor 0, 1 xor 1, as learnt:", *learn_xor(1000).round(2))
