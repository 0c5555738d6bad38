"""Step 4: a network of Values, trained.

A neuron weighs its inputs, adds a bias, and squeezes the sum by tanh. A layer is a list of neurons
that see the same inputs, and a multilayer perceptron (MLP) is a list of layers. Training repeats
three lines: compute the loss, go backward, and move each parameter a little against its gradient.
The gradients of the step before must be set to zero first, because `backward` adds to them.
"""

import itertools
import math
import random
from heapq import heappop, heappush

ages = itertools.count()  # a clock: each Value takes the next number


class Value:
    """A number that remembers its parents, and the derivative of itself with respect to each."""

    def __init__(self, data, parents=()):
        self.data = data
        self.parents = parents  # pairs of a parent and a slope
        self.grad = 0.0
        self.age = next(ages)

    def backward(self):
        """Find the derivatives with respect to all that this was computed from: their `grad`."""
        self.grad = 1.0
        queue, seen = [(-self.age, self)], {self}  # a heap, the youngest on top
        while queue:
            _, node = heappop(queue)
            for parent, slope in node.parents:
                parent.grad += node.grad * slope
                if parent not in seen:
                    seen.add(parent)
                    heappush(queue, (-parent.age, parent))

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])

    __radd__, __rmul__ = __add__, __mul__  # 1 + x and 2 * x ask x

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return other + -self

    def __pow__(self, n):
        return Value(self.data**n, [(self, n * self.data ** (n - 1))])

    def __truediv__(self, other):
        return self * other**-1.0

    def __rtruediv__(self, other):
        return other * self**-1.0

    def tanh(self):
        """Compute the hyperbolic tangent, which squeezes every number between -1 and 1."""
        y = math.tanh(self.data)
        return Value(y, [(self, 1 - y * y)])

    def exp(self):
        """Compute e to the power of this number."""
        y = math.exp(self.data)
        return Value(y, [(self, y)])

    def log(self):
        """Compute the natural logarithm."""
        return Value(math.log(self.data), [(self, 1 / self.data)])


class Neuron:
    """The tanh of a weighted sum of the inputs and a bias."""

    def __init__(self, inputs):
        self.weights = [Value(random.gauss(0.0, 1.0)) for _ in range(inputs)]
        self.bias = Value(0.0)

    def __call__(self, x):
        """Return one number."""
        return sum((w * x_i for w, x_i in zip(self.weights, x, strict=True)), self.bias).tanh()


class Layer:
    """Several neurons with the same inputs."""

    def __init__(self, inputs, outputs):
        self.neurons = [Neuron(inputs) for _ in range(outputs)]

    def __call__(self, x):
        """Return a list with one number for each neuron."""
        return [neuron(x) for neuron in self.neurons]


class MLP:
    """Layers one after the other; sizes are those of the input and of each layer."""

    def __init__(self, *sizes):
        self.layers = [Layer(*pair) for pair in itertools.pairwise(sizes)]
        neurons = [neuron for layer in self.layers for neuron in layer.neurons]
        self.parameters = [p for neuron in neurons for p in [*neuron.weights, neuron.bias]]

    def __call__(self, x):
        """Return the numbers of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x


if __name__ == "__main__":
    random.seed(0)

    def moons(count):
        """Draw points on two half circles that reach into each other, and the targets 1 and -1."""
        points, targets = [], []
        for i in range(count):
            angle = random.uniform(0.0, math.pi)
            x, y = math.cos(angle), math.sin(angle)
            x, y = (x, y) if i % 2 else (1 - x, 0.5 - y)
            points.append([x + random.gauss(0.0, 0.1), y + random.gauss(0.0, 0.1)])
            targets.append(1 if i % 2 else -1)
        return points, targets

    points, targets = moons(60)
    model = MLP(2, 8, 1)
    for step in range(201):
        answers = [model(point)[0] for point in points]
        loss = sum((y - t) ** 2 for y, t in zip(answers, targets, strict=True)) / len(points)
        for p in model.parameters:
            p.grad = 0.0
        loss.backward()
        for p in model.parameters:
            p.data -= 0.5 * p.grad
        if step % 40 == 0:
            right = sum(y.data * t > 0 for y, t in zip(answers, targets, strict=True))
            print(f"step {step}: loss {loss.data:.3f}, accuracy {right / len(points):.0%}")
