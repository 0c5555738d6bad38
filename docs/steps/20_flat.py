"""Step 20: one vector of parameters.

Adam visited the parameters one after the other, with a dozen calls of NumPy and as many new arrays
for each. Now all parameters are views of one vector, and a step is fourteen calls that write into
arrays which are there already, however many parameters there are. The numbers may also be
float32, with half the bytes: every constant takes the type of what it meets.
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


def quarter(x, k):
    """The first, second, third or fourth quarter of the columns of x, for k = 0, 1, 2 or 3."""
    n = x.shape[-1] // 4
    return columns(x, k * n, k * n + n)


def candidates(z):
    """1 for the columns of the candidate, 0 for those of the gates."""
    return np.repeat(np.float32([0, 0, 1, 0]), z.shape[-1] // 4)


@primitive(z=lambda g, y: g * (1 - y) * (y + candidates(y)))
def activate(z):
    """The LSTM's f, i, candidate and o, side by side, from their sums: one tanh for all four.

    The gates are sigmoid(z) = tanh(z / 2) / 2 + 1 / 2, and their derivative is y (1 - y). The
    candidate is tanh(z), and its derivative is 1 - y^2 = (1 + y) (1 - y).
    """
    scale = 0.5 + 0.5 * candidates(z)
    return scale * np.tanh(scale * z) + (1 - scale)


@primitive(
    gates=lambda g, gates, C: join(
        join(g * C, g * quarter(gates, 2)), join(g * quarter(gates, 1), 0.0 * g)
    ),
    C=lambda g, gates: g * quarter(gates, 0),
)
def remember(gates, C):
    """The new memory f C + i candidate, equation (4), from what `activate` gives."""
    return quarter(gates, 0) * C + quarter(gates, 1) * quarter(gates, 2)


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
        h = np.zeros((sequence[0].shape[0], self.hidden), self.step.weight.data.dtype)
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
        self.gates = Linear(inputs + hidden, 4 * hidden)  # side by side: f, i, candidate, o
        self.output, self.hidden = Linear(hidden, outputs), hidden
        f, i, candidate, _ = np.split(self.gates.bias.data, 4)
        f[:] = np.log(random.uniform(1.0, memory - 1.0, hidden))
        i[:], candidate[:] = -f, random.uniform(-1.0, 1.0, hidden)

    def __call__(self, sequence):
        """Map T inputs, each of shape (N, inputs), to (N, outputs)."""
        h = C = np.zeros((sequence[0].shape[0], self.hidden), self.gates.weight.data.dtype)
        for x in sequence:
            gates = activate(self.gates(join(x, h)))  # (1), (2), (3) and (5)
            C = remember(gates, C)  # (4)
            h = quarter(gates, 3) * tanh(C)  # (6)
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
    one_hot = np.eye(logits.shape[-1], dtype=logits.data.dtype)[labels]
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


def flatten(parameters):
    """One vector of all parameters, each of which becomes a view of its part of the vector.

    From now on write `p.data[...] = a`: `p.data = a` would cut the parameter off from the vector.
    """
    flat = np.concatenate([p.data.ravel() for p in parameters])
    ends = np.cumsum([p.data.size for p in parameters])
    for p, part in zip(parameters, np.split(flat, ends[:-1]), strict=True):
        p.data = part.reshape(p.shape)
    return flat


class Adam:
    """Kingma and Ba 2015: steps of about lr, whatever the size of the gradients.

    All parameters move together, in place: they are views of one vector.
    """

    def __init__(self, parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps = list(parameters), lr, betas, eps
        self.t, self.flat = 0, flatten(self.parameters)
        self.m, self.v, self.g, self.scratch = np.zeros((4, self.flat.size), self.flat.dtype)

    def step(self, gradients):
        """Move each parameter; m and v are running means of g and g^2 that started at 0."""
        self.t, (b1, b2) = self.t + 1, self.betas
        m, v, scratch = self.m, self.v, self.scratch
        g = np.concatenate([x.ravel() for x in gradients], out=self.g)
        m += np.multiply(np.subtract(g, m, out=scratch), 1 - b1, out=scratch)
        v += np.multiply(np.subtract(np.square(g, out=g), v, out=g), 1 - b2, out=g)
        np.sqrt(np.divide(v, 1 - b2**self.t, out=scratch), out=scratch)
        scratch += self.eps
        np.divide(m, scratch, out=scratch)
        scratch *= self.lr / (1 - b1**self.t)
        self.flat -= scratch


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
    import time

    def adam_one_by_one(parameters, m, v, t, gradients):
        """The update of step 19, which makes new arrays for each parameter."""
        for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            step = m[i] / (1 - 0.9**t) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
            p.data = p.data - 0.001 * step

    def network():
        """Make a network of 24 layers in float32, and gradients as large as its parameters."""
        parameters = list(Sequential(*[Linear(32, 32) for _ in range(24)]).parameters())
        for p in parameters:
            p.data = p.data.astype(np.float32)
        return parameters, [p.data.copy() for p in parameters]

    parameters, gradients = network()
    others, zeros = [Tensor(p.data) for p in parameters], [0.0] * len(parameters)
    optimizer, m, v, times = Adam(parameters), list(zeros), list(zeros), []
    for t in range(1, 21):
        start = time.perf_counter()
        adam_one_by_one(others, m, v, t, gradients)
        middle = time.perf_counter()
        optimizer.step(gradients)
        times.append((middle - start, time.perf_counter() - middle))
    apart = max(np.abs(p.data - q.data).max() for p, q in zip(parameters, others, strict=True))
    slow, fast = np.min(times, axis=0) * 1e6
    print(f"an update of {len(parameters)} arrays: {slow:.0f} us; of one vector: {fast:.0f} us")
    print(f"after 20 updates the parameters differ by {apart:.0e} at most")

    length, steps = 20, 500
    model = LSTM(1, 48, 10, memory=length)
    for p in model.parameters():
        p.data = p.data.astype(np.float32)
    optimizer = Adam(model.parameters())
    x, last = palindromes(1000, length)
    for step in range(steps + 1):
        if step % 100 == 0:
            right = 1000 * accuracy(model, x.astype(np.float32), last)
            print(f"step {step}: {right:.0f} of 1000 new palindromes of 21 digits are right")
        optimizer.lr = 0.02 * (1 - step / steps)
        digits, labels = palindromes(64, length)
        gradients = grad(
            cross_entropy(model(digits.astype(np.float32)), labels), optimizer.parameters
        )
        optimizer.step(clip_grad_norm(gradients, 1.0))
