"""Step 1: a number that remembers how it was computed.

A `Value` holds a number and its parents, the numbers that it was computed from. For each parent it
also holds a slope: the derivative of this one step. The chain rule then gives every derivative:
multiply the slopes along a path, and add up the paths. `derivative` walks all of them. That is
right, but the number of paths can double with every step.
"""


class Value:
    """A number that remembers its parents, and the derivative of itself with respect to each."""

    def __init__(self, data, parents=()):
        self.data = data
        self.parents = parents  # pairs of a parent and a slope

    def __add__(self, other):
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])


def derivative(y, x):
    """Compute dy/dx, the sum over all paths from y back to x."""
    if y is x:
        return 1.0
    return sum(slope * derivative(parent, x) for parent, slope in y.parents)


if __name__ == "__main__":
    a, b = Value(3.0), Value(2.0)
    d = a * b
    L = d * (d + a)
    print(f"L = {L.data}, dL/da = {derivative(L, a)}, dL/db = {derivative(L, b)}")

    def count_calls(y):
        """Count how often `derivative` calls itself."""
        return 1 + sum(count_calls(parent) for parent, _ in y.parents)

    y = x = Value(1.0)
    for doublings in range(1, 16):
        y = y + y  # each y has two paths to the y before it
        if doublings % 5 == 0:
            # all slopes are 1, so that the derivative is the number of paths
            print(f"{doublings} doublings: {derivative(y, x):.0f} paths, {count_calls(y)} calls")
