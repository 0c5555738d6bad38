"""Step 3: the other operators, and a check.

Plain numbers may stand beside Values. Minus and division are written with other operators, so that
only the power, `tanh`, `exp` and `log` bring slopes of their own. Whether a slope is right can be
measured: move the input a little in both directions, and see how much the output changes.
"""

import itertools
import math
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


if __name__ == "__main__":

    def f(x):
        """Use every operator once or more."""
        return -(1 - 2 * x).tanh() / (1 + (-x).exp()) + (3 / x).log() - x**3

    x = Value(0.8)
    y = f(x)
    y.backward()
    h = 1e-5
    measured = (f(Value(0.8 + h)).data - f(Value(0.8 - h)).data) / (2 * h)
    print(f"f(0.8) = {y.data:.6f}")
    print(f"df/dx by backward: {x.grad:.6f}, measured: {measured:.6f}")
