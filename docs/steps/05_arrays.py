"""Step 5: arrays instead of numbers.

One `Tensor` holds a whole array, so that NumPy does the work of thousands of Values. The derivative
of an array with respect to an array has too many numbers to write down. It is not needed: an arrow
of the graph now holds a rule, a function that turns the gradient g of the result into the gradient
of the parent. An operation computes with plain arrays, and returns the result y and its rules, by
the names of the inputs. Shapes must be equal as yet; the network comes back in step 7, and exp, log
and division in step 11.
"""

import itertools
from heapq import heappop, heappush

import numpy as np

ages = itertools.count()  # a clock: each Tensor takes the next number


class Tensor:
    """An array that remembers its parents, and a rule for each: from its gradient to theirs."""

    def __init__(self, data, parents=()):
        self.data = np.asarray(data)
        self.parents = parents  # pairs of a parent and a rule
        self.grad = 0.0
        self.age = next(ages)

    def backward(self):
        """Find the gradients of the sum of this array's elements: the `grad` of all behind it."""
        self.grad = np.ones_like(self.data)
        queue, seen = [(-self.age, self)], {self}  # a heap, the youngest on top
        while queue:
            _, node = heappop(queue)
            for parent, rule in node.parents:
                # not +=, which changes an array in place: several nodes may hold the same one
                parent.grad = parent.grad + rule(node.grad)
                if parent not in seen:
                    seen.add(parent)
                    heappush(queue, (-parent.age, parent))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):  # for a number on the left; an array has to wait for step 6
        return other + -self


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
    """a + b, elementwise."""
    return a + b, dict(a=lambda g: g, b=lambda g: g)


@operation
def multiply(a, b):
    """a b, elementwise."""
    return a * b, dict(a=lambda g: g * b, b=lambda g: g * a)


@operation
def sum_over(x, axes):
    """The sum over some axes, which keep the length 1."""
    return np.sum(x, axis=axes, keepdims=True), dict(x=lambda g: np.broadcast_to(g, x.shape))


Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = multiply


if __name__ == "__main__":
    squares = np.arange(1.0, 9.0)
    x = Tensor(np.ones(8))
    for _ in range(200):  # gradient descent on eight numbers at once
        error = x * x - squares
        loss = sum_over(error * error, 0)
        x.grad = 0.0
        loss.backward()
        x.data = x.data - 0.02 * x.grad
    print("the squares:", squares)
    print("their roots:", x.data.round(4))
