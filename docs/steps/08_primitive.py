"""Step 8: a rule names what it needs.

The rules of step 7 are functions inside functions. They hold on to every array that they mention,
where nobody sees it, and can be used with these arrays only. Now a definition is decorated with its
rules, and the arguments of a rule after g say what it needs: inputs by name, and y for the result.
A record saves these arrays and no others.
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


def grad(output, inputs):
    """The gradients of the sum of the output's elements with respect to each of the inputs."""
    gradients = {output.record: np.ones_like(output.data)}  # the sums of what has arrived so far
    queue = [(-output.record.age, output.record)]  # a heap, the youngest on top
    while queue:
        _, node = heappop(queue)
        for name, parent in node.parents.items():
            needs = [node.saved[need] for need in names_of(node.rules[name])[1:]]  # without g
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
    return g.sum(axis=axes, keepdims=True).reshape(shape)


def primitive(**rules):
    """Declare an operation: decorate its definition on arrays with one rule per input."""

    def decorate(definition):
        return lambda *args: apply(definition, rules, *args)

    return decorate


def names_of(function):
    """The names of a function's parameters."""
    code = function.__code__  # what Python has made of the function
    return code.co_varnames[: code.co_argcount]  # of its variables, the parameters come first


def apply(definition, rules, *args):
    """Compute y, and record what its rules need if an input wants a gradient."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in args]
    y = definition(*arrays)
    inputs = dict(zip(names_of(definition), args, strict=True))
    tensors = {name: x for name, x in inputs.items() if isinstance(x, Tensor)}
    parents = {name: x.record for name, x in tensors.items() if x.record and name in rules}
    values = dict(zip(inputs, arrays, strict=True), y=y)  # so no input may be called y
    saved = {need: values[need] for name in parents for need in names_of(rules[name])[1:]}
    return Tensor(y, Record(np.shape(y), rules, parents, saved) if parents else None)


@primitive(a=lambda g: g, b=lambda g: g)
def add(a, b):
    """a + b, elementwise and broadcast."""
    return a + b


@primitive(a=lambda g, b: g * b, b=lambda g, a: g * a)
def multiply(a, b):
    """a b, elementwise and broadcast."""
    return a * b


@primitive(a=lambda g, b: g @ b.T, b=lambda g, a: a.T @ g)
def matmul(a, b):
    """The product of two matrices."""
    return a @ b


@primitive(x=lambda g, y: g * (1 - y * y))
def tanh(x):
    """The hyperbolic tangent, elementwise. Its rule names y and not x, so only y is saved."""
    return np.tanh(x)


@primitive(x=lambda g, x: np.broadcast_to(g, x.shape))
def sum_over(x, axes):
    """The sum over some axes, which keep the length 1."""
    return np.sum(x, axis=axes, keepdims=True)


Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__matmul__ = matmul


if __name__ == "__main__":
    x, W = Tensor(np.ones((5, 2))), Tensor(np.ones((2, 3)), requires_grad=True)
    z = x @ W  # x is a constant, so that only W gets a gradient, and only its rule needs anything
    for text, tensor in {"x @ W": z, "z + z": z + z, "z * z": z * z, "tanh(z)": tanh(z)}.items():
        print(f"{text:8} saves {list(tensor.record.saved) or 'nothing'}")

    @primitive(x=lambda g, x: g * 3 * x * x)
    def cube(x):
        """x^3, elementwise: a new operation needs a definition and a rule."""
        return x * x * x

    x = Tensor(2.0, requires_grad=True)
    [slope] = grad(cube(x), [x])
    h = 1e-5
    measured = (cube(2 + h).data - cube(2 - h).data) / (2 * h)
    print(f"the slope of the cube at 2: {slope} by its rule, {measured:.6f} measured")
