"""Step 10: networks from parts.

A `Module` finds its parameters by walking its attributes, so that a network of any depth is put
together like building blocks. `Linear` draws its weights so that its sums have about the spread of
its inputs: a sum of n products has a variance n times as large as one product, so the weights'
spread is one over the root of n. Behind it, `tanh` takes a little away in each layer.
"""

import itertools
from heapq import heappop, heappush

import numpy as np

ages = itertools.count()  # a clock: each record takes the next number
random = np.random.default_rng(0)  # every run draws the same numbers


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
    if not tensors:
        return y  # arrays in, an array out: this is how a rule gives numbers
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


@primitive(a=lambda g, b: g @ transpose(b), b=lambda g, a: transpose(a) @ g)
def matmul(a, b):
    """The product of two matrices."""
    return a @ b


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


@primitive(x=lambda g: transpose(g))  # not `transpose` alone, which does not exist yet
def transpose(x):
    """Rows become columns."""
    return np.transpose(x)


Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda x, other: matmul(other, x)


class Module:
    """A part of a network. Its parameters are the Tensors among its attributes."""

    def parameters(self):
        """Yield the parameters of this module and of the modules among its attributes."""
        for value in vars(self).values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Module):
                    yield from item.parameters()
                elif isinstance(item, Tensor):
                    yield item


class Linear(Module):
    """y = x W + b. The spread of W is chosen so that y has about the spread of x."""

    def __init__(self, inputs, outputs):
        weight = random.normal(0.0, inputs**-0.5, (inputs, outputs))
        self.weight = Tensor(weight, requires_grad=True)
        self.bias = Tensor(np.zeros(outputs), requires_grad=True)

    def __call__(self, x):
        """Map x of shape (N, inputs) to (N, outputs)."""
        return x @ self.weight + self.bias


class Sequential(Module):
    """Modules and functions, one after the other."""

    def __init__(self, *layers):
        self.layers = list(layers)

    def __call__(self, x):
        """Call the first layer with x, and each further layer with the result before."""
        for layer in self.layers:
            x = layer(x)
        return x


if __name__ == "__main__":
    x = random.normal(size=(200, 100))
    for factor in (0.5, 1.0, 2.0):
        layers = [layer for _ in range(10) for layer in (Linear(100, 100), tanh)]
        model = Sequential(*layers, Linear(100, 1))
        for layer in layers[::2]:
            layer.weight.data = layer.weight.data * factor
        spreads = [np.std(Sequential(*layers[: 2 * n])(x).data) for n in (1, 4, 10)]
        g = grad(model(x), [layers[0].weight])[0]
        print(f"weights x {factor}: spread after 1, 4, 10 layers:", *np.round(spreads, 4), end=", ")
        print(f"gradient of the first weights {np.linalg.norm(g):.4f}")
    print(len(list(model.parameters())), "arrays of parameters, found by walking attributes")
