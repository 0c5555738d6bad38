"""Step 18: a network that draws digits.

G now draws handwritten digits of 14 x 14 pixels. Batch normalization keeps the drawings of a batch
different from each other: without it a layer that shrinks the differences makes all z look the
same. Nobody draws with G's last weights, which go on circling, but with a running mean of them. For
these the statistics are measured anew, and then they stay, whatever else is drawn.
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


@primitive(x=lambda g, y: g * y * (1 - y))
def sigmoid(x):
    """1 / (1 + e^-x), elementwise, from 0 to 1. Written as a tanh it cannot overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


@primitive(x=lambda g, x: g * sigmoid(x))
def softplus(x):
    """log(1 + e^x), elementwise, without an e^x that could overflow."""
    return np.logaddexp(0.0, x)


@primitive(x=lambda g, y: g * y)
def exp(x):
    """e^x, elementwise."""
    return np.exp(x)


@primitive(x=lambda g, x: g / x)
def log(x):
    """The natural logarithm, elementwise."""
    return np.log(x)


@primitive(x=lambda g, y: g / (2 * y))
def sqrt(x):
    """The square root, elementwise."""
    return np.sqrt(x)


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


@primitive(x=lambda g, x, start: place(g, start, x.shape[-1]))
def columns(x, start, stop):
    """The columns of x from start to before stop."""
    return x[..., start:stop]


@primitive(x=lambda g, x, start: columns(g, start, start + x.shape[-1]))
def place(x, start, width):
    """The opposite of `columns`: zeros of a width, with x as the columns from start on."""
    y = np.zeros((*x.shape[:-1], width), x.dtype)
    y[..., start : start + x.shape[-1]] = x
    return y


@primitive(
    a=lambda g, a: columns(g, 0, a.shape[-1]),
    b=lambda g, a: columns(g, a.shape[-1], g.shape[-1]),
)
def join(a, b):
    """Two arrays side by side: the columns of a, then those of b."""
    return np.concatenate([a, b], axis=-1)


Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__truediv__ = divide
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda x, other: matmul(other, x)
Tensor.detach = lambda x: Tensor(x.data)  # the same numbers, and no record of where they are from


def leaky_relu(x):
    """x where it is positive, else 0.2 x. The factor is a constant, 1 or 0.2."""
    return x * (0.2 + 0.8 * np.heaviside(x.data, 0.0))


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


class BatchNorm(Module):
    """Gives each feature mean 0 and variance 1 over the batch, then a scale and a shift to learn.

    In training the statistics are the batch's, and running means of them are kept; afterwards
    these take their place, so that what is drawn from one z does not depend on the others.
    """

    def __init__(self, features, momentum=0.1):
        self.weight = Tensor(np.ones(features), requires_grad=True)
        self.bias = Tensor(np.zeros(features), requires_grad=True)
        self.mean, self.variance = np.zeros(features), np.ones(features)
        self.momentum, self.training = momentum, True

    def __call__(self, x):
        """Map a Tensor x of shape (N, features) to one of the same shape."""
        n, mean, variance = x.shape[0], self.mean, self.variance
        if self.training:
            mean = sum_over(x, 0) * (1 / n)
            variance = sum_over((x - mean) * (x - mean), 0) * (1 / n)
            self.mean = self.mean + self.momentum * (mean.data[0] - self.mean)
            unbiased = variance.data[0] * n / (n - 1)  # as the variance of all data is estimated
            self.variance = self.variance + self.momentum * (unbiased - self.variance)
        return (x - mean) / sqrt(variance + 1e-5) * self.weight + self.bias


class RNN(Module):
    """Reads a sequence, and answers from its last state. At first the state h is 0.

    At each step z = [x, h] is the input beside the state, and h = tanh(z W + b) the new state. The
    upper rows of W meet x, the lower ones h, so that z W = x W_x + h W_h.
    """

    def __init__(self, inputs, hidden, outputs):
        self.step, self.output = Linear(inputs + hidden, hidden), Linear(hidden, outputs)
        self.hidden = hidden

    def __call__(self, sequence):
        """Map T inputs, each of shape (N, inputs), to (N, outputs)."""
        h = np.zeros((sequence[0].shape[0], self.hidden))
        for x in sequence:
            h = tanh(self.step(join(x, h)))
        return self.output(h)


class LSTM(Module):
    """Reads a sequence as an RNN does, and has a memory C that it adds to and takes from.

    Hochreiter and Schmidhuber 1997; the forget gate is from Gers, Schmidhuber and Cummins 2000.
    At first a cell keeps its value for a time between 2 steps and `memory`: where it keeps it for
    u + 1 steps, the forget gate is u / (u + 1), the sigmoid of log u (Tallec and Ollivier 2018).
    """

    def __init__(self, inputs, hidden, outputs, memory=2):
        size = inputs + hidden, hidden
        self.forget, self.input = Linear(*size), Linear(*size)
        self.candidate, self.exposed = Linear(*size), Linear(*size)
        self.output, self.hidden = Linear(hidden, outputs), hidden
        self.forget.bias.data = np.log(random.uniform(1.0, memory - 1.0, hidden))
        self.input.bias.data = -self.forget.bias.data
        self.candidate.bias.data = random.uniform(-1.0, 1.0, hidden)

    def __call__(self, sequence):
        """Map T inputs, each of shape (N, inputs), to (N, outputs)."""
        h = C = np.zeros((sequence[0].shape[0], self.hidden))
        for x in sequence:
            z = join(x, h)
            f = sigmoid(self.forget(z))  # (1) how much of the memory stays
            i = sigmoid(self.input(z))  # (2) how much of the new goes in
            candidate = tanh(self.candidate(z))  # (3) what could be written
            C = f * C + i * candidate  # (4) the new memory
            o = sigmoid(self.exposed(z))  # (5) how much of the memory shows
            h = o * tanh(C)  # (6) the new state
        return self.output(h)


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


def bce_with_logits(logits, target):
    """Binary cross-entropy: the mean of -log p where the target is 1, of -log(1 - p) where it is 0.

    The probability is p = sigmoid(logits), and -log(1 - p) = softplus(logits).
    """
    return mean(softplus(logits) - logits * target)


class SGD:
    """Gradient descent with momentum: v = momentum v + g, then p = p - lr v."""

    def __init__(self, parameters, lr, momentum=0.0):
        self.parameters, self.lr, self.momentum = list(parameters), lr, momentum
        self.v = [0.0 for _ in self.parameters]

    def step(self, gradients):
        """Move each parameter."""
        for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            self.v[i] = self.momentum * self.v[i] + g
            p.data = p.data - self.lr * self.v[i]


class Adam:
    """Kingma and Ba 2015: steps of about lr, whatever the size of the gradients."""

    def __init__(self, parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps = list(parameters), lr, betas, eps
        self.t, self.m, self.v = 0, [0.0 for _ in self.parameters], [0.0 for _ in self.parameters]

    def step(self, gradients):
        """Move each parameter; m and v are running means of g and g^2 that started at 0."""
        self.t, (b1, b2) = self.t + 1, self.betas
        for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            self.m[i] = b1 * self.m[i] + (1 - b1) * g
            self.v[i] = b2 * self.v[i] + (1 - b2) * g * g
            m, v = self.m[i] / (1 - b1**self.t), self.v[i] / (1 - b2**self.t)
            p.data = p.data - self.lr * m / (np.sqrt(v) + self.eps)


def clip_grad_norm(gradients, max_norm):
    """Shorten all gradients by one factor, so that together they are no longer than max_norm."""
    norm = np.sqrt(sum((g * g).sum() for g in gradients))
    return [g * min(1.0, max_norm / (norm + 1e-6)) for g in gradients]  # never divided by 0


def palindromes(count, length):
    """Draw palindromes: the digits that are read (length, count, 1), and the last one (count,)."""
    half = random.integers(0, 10, (count, length // 2 + 1))
    mirrored = half[:, ::-1] if length % 2 else half[:, -2::-1]
    digits = np.concatenate([half, mirrored], axis=1)
    return digits[:, :-1].T[:, :, None] / 1.0, digits[:, -1]


def accuracy(model, x, labels):
    """The share of the examples whose largest logit is that of their label."""
    return np.mean(np.argmax(model(x).data, axis=-1) == labels)


def slope(D, real):
    """How steep D is at real examples x: the mean of |dD/dx|^2, a Tensor with a graph."""
    x = Tensor(real, requires_grad=True)
    [g] = grad(D(x), [x], create_graph=True)
    return sum_over(g * g, None) * (1 / len(real))


def play(G, D, G_optimizer, D_optimizer, real, z, r1=0.0):
    """One step of the game: G learns to be taken for real, then D learns to tell. The losses."""
    fake = G(z)
    G_loss = bce_with_logits(D(fake), 1.0)
    G_optimizer.step(grad(G_loss, G_optimizer.parameters))
    D_loss = bce_with_logits(D(real), 1.0) + bce_with_logits(D(fake.detach()), 0.0)
    if r1:
        D_loss = D_loss + 0.5 * r1 * slope(D, real)
    D_optimizer.step(grad(D_loss, D_optimizer.parameters))
    return G_loss.data.item(), D_loss.data.item()


def modes(points, centres, radius):
    """How many centres have points: at least half of an equal share of them, within the radius."""
    distance = np.linalg.norm(points[:, None] - centres, axis=2)
    shares = np.mean(distance < radius, axis=0)
    return np.sum(shares > 0.5 / len(centres))


if __name__ == "__main__":
    import gzip
    import sys
    from pathlib import Path

    name, here = "train-images-idx3-ubyte.gz", Path(__file__).resolve().parent
    folders = [here, *(folder / "minigrad" / "digits" for folder in here.parents)]
    found = [folder / name for folder in folders if (folder / name).exists()]
    if not found:
        sys.exit(f"18_digits.py: no {name} in {here}; copy it there from minigrad/digits")
    with gzip.open(found[0]) as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)  # MNIST's format
    pixels = pixels.reshape(-1, 14, 2, 14, 2)[:500].mean(axis=(2, 4))  # 14 x 14 instead of 28 x 28
    digits = pixels.reshape(-1, 196) / 127.5 - 1  # from -1, white, to 1

    def show(pictures):
        """Print a row of pictures; a letter is two pixels high, and darker for more ink."""
        ink = (pictures.reshape(-1, 7, 2, 14).mean(axis=2) + 1) / 2
        for row in range(7):
            print(
                " ".join("".join(" .:-=+*#%@"[int(9.9 * x)] for x in p[row]) for p in ink).rstrip()
            )

    G = Sequential(Linear(10, 64), leaky_relu, Linear(64, 64), BatchNorm(64), leaky_relu)
    G.layers += [Linear(64, 196), tanh]
    D = Sequential(Linear(196, 128), leaky_relu, Linear(128, 1))
    G_optimizer = Adam(G.parameters(), lr=0.003, betas=(0.5, 0.999))
    D_optimizer = Adam(D.parameters(), lr=0.003, betas=(0.5, 0.999))
    average = [p.data for p in G.parameters()]
    for step in range(2000):
        real, z = digits[random.integers(0, len(digits), 32)], random.normal(size=(32, 10))
        r1 = 20.0 if step % 4 == 0 else 0.0  # every fourth time, four times as strong
        play(G, D, G_optimizer, D_optimizer, real, z, r1)
        average = [0.99 * a + 0.01 * p.data for a, p in zip(average, G.parameters(), strict=True)]
    for p, a in zip(G.parameters(), average, strict=True):
        p.data = a
    for _ in range(50):
        G(random.normal(size=(200, 10)))  # measures the statistics
    for layer in G.layers:
        layer.training = False  # means something to a BatchNorm, nothing to the others
    fakes = G(random.normal(size=(8, 10))).data
    print("real digits:")
    show(digits[:8])
    print("drawn digits:")
    show(fakes)
