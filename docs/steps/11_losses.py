"""Step 11: a loss for classes.

A network gives one number per class, the logits. Softmax makes probabilities of them, and the loss
is minus the log of the probability of the right class (cross-entropy). Computed as it is written
down, e^x overflows for a logit of 1000. Subtracting the largest logit first changes nothing in the
result, and nothing overflows.
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


@primitive(a=lambda g, b: g / b, b=lambda g, y, b: -g * y / b)
def divide(a, b):
    """a / b, elementwise and broadcast."""
    return a / b


@primitive(a=lambda g, b: g @ transpose(b), b=lambda g, a: transpose(a) @ g)
def matmul(a, b):
    """The product of two matrices."""
    return a @ b


@primitive(x=lambda g, y: g * (1 - y * y))
def tanh(x):
    """The hyperbolic tangent, elementwise. Its rule names y and not x, so only y is saved."""
    return np.tanh(x)


@primitive(x=lambda g, y: g * y)
def exp(x):
    """e^x, elementwise."""
    return np.exp(x)


@primitive(x=lambda g, x: g / x)
def log(x):
    """The natural logarithm, elementwise."""
    return np.log(x)


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
Tensor.__truediv__ = divide
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


def mean(x):
    """The mean of all elements, a Tensor of one element."""
    return sum_over(x, None) * (1 / x.data.size)


def logsumexp(x):
    """The log of the sum of e^x over the last axis. No exponent is above 0, so none overflows."""
    largest = np.max(x.data, axis=-1, keepdims=True)  # a constant: in the result it cancels
    return log(sum_over(exp(x - largest), -1)) + largest


def cross_entropy(logits, labels):
    """The mean of -log p(label), where p is the softmax of the logits (N, K), labels are (N,)."""
    one_hot = np.eye(logits.shape[-1])[labels]
    return mean(logsumexp(logits) - sum_over(logits * one_hot, -1))


if __name__ == "__main__":
    logits, label = Tensor(np.array([[1000.0, 0.0, -1000.0]])), np.array([1])
    with np.errstate(over="ignore", invalid="ignore"):
        written = exp(logits) / sum_over(exp(logits), -1)
    print("softmax as it is written down:", written.data[0])
    print("cross-entropy with the largest subtracted:", cross_entropy(logits, label).data.item())

    def spirals(count):
        """Draw points (N, 2) on three spiral arms, and the arm's number (N,) for each."""
        labels = np.arange(count) % 3
        radius = np.sqrt(random.uniform(0.0, 1.0, count))
        angle = 4 * radius + labels * 2 * np.pi / 3 + random.normal(0.0, 0.15, count)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), labels

    points, labels = spirals(300)
    model = Sequential(Linear(2, 32), tanh, Linear(32, 32), tanh, Linear(32, 3))
    parameters = list(model.parameters())
    for step in range(1001):
        logits = model(points)
        loss = cross_entropy(logits, labels)
        for p, g in zip(parameters, grad(loss, parameters), strict=True):
            p.data = p.data - 0.5 * g
        if step % 200 == 0:
            right = np.mean(np.argmax(logits.data, axis=1) == labels)
            print(f"step {step}: loss {loss.data.item():.3f}, accuracy {right:.0%}")
