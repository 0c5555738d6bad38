"""Step 2: add up at the nodes, and do not walk the paths.

`backward` visits each number of the graph once, and computes the derivatives with respect to all of
them in one pass. It takes the youngest number first. A result is younger than its parents, so when
a number's turn comes, everything that was computed from it has already sent its share, and its
gradient is complete.
"""

import itertools
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
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])


if __name__ == "__main__":
    a, b = Value(3.0), Value(2.0)
    d = a * b
    L = d * (d + a)
    L.backward()
    print(f"L = {L.data}, dL/da = {a.grad}, dL/db = {b.grad}, dL/dd = {d.grad}")

    y = x = Value(1.0)
    for _ in range(50):
        y = y + y
    y.backward()
    print(f"50 doublings: {x.grad:.0f} paths, but only {y.age - x.age + 1} Values to visit")
