"""Exercises of chapter 1: the graph and the order of backward. B.1 and B.2 belong to it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad.learn.bugs1 import Node, backward_each_once, nodes_of, slope_of
from minigrad.learn.exercise import Exercise, Mistake, Result, Values, Wrong
from minigrad.learn.judges import differences, several

# --- 1.1 paths by hand -------------------------------------------------------------------------


def gradients_by_paths(a: float, b: float) -> tuple[float, float]:
    """Return dL/da and dL/db for L = (a + b) (b + 1) a, each as a sum over paths."""
    s, t = a + b, b + 1
    return t * a + s * t, t * a + s * a


def _measured(**case: float) -> tuple[Any, ...]:
    return tuple(
        differences(lambda a, b: (a + b) * (b + 1) * a, case, name, np.ones(())) for name in case
    )


PATHS = Exercise(
    number="1.1",
    chapter=1,
    title="All paths by hand",
    level=1,
    minutes=10,
    task="""
Let s = a + b, t = b + 1 and L = s t a. Draw the graph, and write on each arrow the derivative of
its step. Return dL/da and dL/db: for each path the product of its arrows, and the sum of the paths.
""",
    hints=(
        "How many arrows leave a? It is used by s, and by the product itself. And which nodes use "
        "b?",
        "From a, one path goes through s and one goes straight into the product; from b, one "
        "goes through s and one through t. The arrow from s to L carries t a, and so on.",
    ),
    answer=gradients_by_paths,
    judge=Values(
        truth=_measured,
        needs=("a", "b"),
        cases=({"a": 2.0, "b": 3.0}, {"a": -1.5, "b": 0.5}, {"a": 0.3, "b": -2.0}),
        torch="torch.autograd.functional.jacobian(lambda a, b: (a + b) * (b + 1) * a, "
        "(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)))",
        names=("dL/da", "dL/db"),
        against="central differences",
    ),
    mistakes=(
        Mistake(
            lambda a, b: ((b + 1) * a, (b + 1) * a + (a + b) * a),
            "dL/db is right. For dL/da the path through s is there, and one path is missing: a is "
            "also a factor of the last product itself.",
        ),
        Mistake(
            lambda a, b: ((a + b) * (b + 1), (b + 1) * a + (a + b) * a),
            "dL/db is right. For dL/da only the direct path is there: a is hidden in s = a + b "
            "too.",
        ),
        Mistake(
            lambda a, b: ((b + 1) * a + (a + b) * (b + 1), (b + 1) * a),
            "dL/da is right. For dL/db the path through s is there; b also reaches L through t.",
        ),
        Mistake(
            lambda a, b: ((b + 1) * a * (a + b) * (b + 1), (b + 1) * a * (a + b) * a),
            "The paths have been multiplied with each other. Multiply *along* a path; different "
            "paths bring separate changes, which add up.",
        ),
    ),
    after="Next: `paths` in the chapter lists them by program.",
)

# --- 1.2 a new operation -----------------------------------------------------------------------


def divide(a: Node, b: Node) -> Node:
    """Return the Node of a / b: Node(number, [(parent, slope), (parent, slope)])."""
    return Node(a.data / b.data, [(a, 1 / b.data), (b, -a.data / b.data**2)])


def _quotient(function: Any) -> Iterator[Result]:
    """The slopes are compared with what a small change of the input does."""
    for numbers in ({"a": 3.0, "b": 2.0}, {"a": -1.0, "b": 0.5}, {"a": 0.7, "b": -1.6}):
        a, b = Node(numbers["a"]), Node(numbers["b"])
        y = function(a, b)
        where = f"a = {a.data}, b = {b.data}"
        if not isinstance(y, Node):
            raise Wrong(
                f"The function returns a {type(y).__name__}, which remembers nothing: nobody could "
                "find the way back from it. Return a Node with its parents."
            )
        yield Result("the number", y.data, a.data / b.data, where)
        if not y.parents:
            raise Wrong(
                "The number is right, but the Node has no parents, so it is a leaf: backward stops "
                "there. Give it a pair (parent, slope) for a and one for b."
            )
        for name, parent in (("a", a), ("b", b)):
            slopes = [slope for other, slope in y.parents if other is parent]
            expected = differences(lambda a, b: a / b, numbers, name, np.ones(()))
            yield Result(f"the slope of {name}", sum(slopes) if slopes else None, expected, where)


def _quotient_but(
    by_a: Callable[[float, float], float], by_b: Callable[[float, float], float]
) -> Callable[[Node, Node], Node]:
    """A quotient with other slopes."""
    return lambda a, b: Node(
        a.data / b.data, [(a, by_a(a.data, b.data)), (b, by_b(a.data, b.data))]
    )


DIVIDE = Exercise(
    number="1.2",
    chapter=1,
    title="A new operation: the quotient",
    level=1,
    minutes=10,
    task="""
`Node` is the `Value` of step 02 under another name: `Node(number, parents)`, where `parents` is a
list of pairs of a parent and a slope, and `.data` is the number. Write the quotient a / b as an
operation of its own, as `__mul__` does it for the product: compute the number, and the two slopes.
""",
    hints=(
        "The slopes are the partial derivatives of a / b: with b held fixed it is a times a "
        "constant; with a held fixed it is a constant times b to the power of -1.",
        "The power -1 has the derivative -1 times the power -2. Take `.data` of a and b for all "
        "numbers; the Nodes themselves stand only as the first of each pair.",
    ),
    answer=divide,
    judge=_quotient,
    against="central differences",
    mistakes=(
        Mistake(
            _quotient_but(lambda a, b: 1 / b, lambda a, b: a / b**2),
            "The slope of b has the wrong sign: if b grows, a / b shrinks (for positive numbers), "
            "so the slope is negative.",
        ),
        Mistake(
            _quotient_but(lambda a, b: 1 / b, lambda a, b: -1 / b**2),
            "This slope of b belongs to 1 / b. Here a stands above, and stays there as a factor.",
        ),
        Mistake(
            _quotient_but(lambda a, b: 1 / b, lambda a, b: -a / b),
            "The slope of b has one power of b too few: the derivative of b^-1 is -b^-2.",
        ),
        Mistake(
            _quotient_but(lambda a, b: b, lambda a, b: a),
            "These are the slopes of the product a b.",
        ),
        Mistake(
            lambda a, b: Node(a.data / b.data),
            "The number is right, but the Node has no parents, so it is a leaf, and backward stops "
            "there. Give it a pair for a and one for b.",
        ),
    ),
    after="Next: step 03, which makes the quotient out of a product and a power.",
)

# --- 1.3 the way back without ages ---------------------------------------------------------------


def backward_by_counting(output: Node) -> None:
    """Set `grad` of each node below the output: the derivative of the output by it; all are 0.

    node.parents holds pairs (parent, slope). All ages are 0, and of no help.
    """
    users = {output: 0}
    found = [output]
    while found:
        for parent, _ in found.pop().parents:
            if parent not in users:
                users[parent] = 0
                found.append(parent)
            users[parent] += 1
    output.grad = 1.0
    ready = [output]
    while ready:
        node = ready.pop()
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            users[parent] -= 1
            if users[parent] == 0:
                ready.append(parent)


def _graphs(a: Node, b: Node) -> dict[str, Node]:
    d, e = a * b, a + b
    return {
        "a * b": d,
        "a * a * b": a * a * b,
        "(d + a) * d, d = a * b": (d + a) * d,
        "d * (d + a), d = a * b": d * (d + a),
        "e * e + e * a, e = a + b": e * e + e * a,
        "e * a + e * e, e = a + b": e * a + e * e,
    }


def _without_ages(function: Any) -> Iterator[Result]:
    for formula in _graphs(Node(3.0), Node(2.0)):
        a, b = Node(3.0), Node(2.0)
        output = _graphs(a, b)[formula]
        for node in nodes_of(output):
            node.age = 0
        function(output)
        yield Result("a.grad", a.grad, slope_of(output, a), formula)
        yield Result("b.grad", b.grad, slope_of(output, b), formula)
    start = chain = Node(1.0)
    for _ in range(5000):
        chain = chain + start
    for node in nodes_of(chain):
        node.age = 0
    function(chain)
    yield Result("a.grad", start.grad, 5001.0, "a added to itself 5000 times, one after the other")


def _send(output: Node, users: dict[Node, int], down: int = 1) -> None:
    output.grad = 1.0
    ready = [output]
    while ready:
        node = ready.pop()
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            users[parent] -= down
            if users[parent] == 0:
                ready.append(parent)


def _arrows(output: Node, distinct: bool = False) -> dict[Node, int]:
    users = dict.fromkeys(nodes_of(output), 0)
    for node in users:
        parents = [parent for parent, _ in node.parents]
        for parent in set(parents) if distinct else parents:
            users[parent] += 1
    return users


def _recursive_order(output: Node) -> None:
    order: list[Node] = []

    def visit(node: Node, seen: set[Node]) -> None:
        seen.add(node)
        for parent, _ in node.parents:
            if parent not in seen:
                visit(parent, seen)
        order.append(node)

    visit(output, set())
    output.grad = 1.0
    for node in reversed(order):
        for parent, slope in node.parents:
            parent.grad += node.grad * slope


COUNTING = Exercise(
    number="1.3",
    chapter=1,
    title="The way back without ages",
    level=3,
    minutes=30,
    task="""
Suppose that nodes have no age (here all ages are 0). Write `backward` all the same, without
recursion. A node may send when all its users have sent; so first go through the graph and count,
for each node, the arrows that lead from it to a user. Then send, and count down.
""",
    hints=(
        "Two loops. The first visits every node once and counts for each parent how often it is "
        "used; y = x * x uses x twice. The second begins at the output.",
        "In the second loop keep a list of nodes that may send. When a node sends along an arrow, "
        "the count of the parent goes down by one; when it reaches 0, the parent may send.",
    ),
    answer=backward_by_counting,
    judge=_without_ages,
    against="the sum over all paths",
    mistakes=(
        Mistake(
            lambda output: _send(output, _arrows(output, distinct=True)),
            "Right until a node uses the same parent twice, as e * e does: there are two arrows, "
            "and the count goes down for each of them, so both have to be counted.",
        ),
        Mistake(
            lambda output: _send(output, _arrows(output), down=0),
            "Only the output sends, since no count ever comes to 0. Each share that arrives is one "
            "user fewer to wait for; and a count begins at 0, before the first arrow.",
        ),
        Mistake(
            backward_each_once,
            "Each node sends once, but some too early: a plain stack takes what came last, "
            "although another user of the node may not have sent yet. Wait until the count is 0.",
        ),
        Mistake(
            _recursive_order,
            "The order is right, and it is found by recursion: for the chain of 5000 operations "
            "Python refuses so many calls inside each other. Two loops can do it.",
        ),
    ),
    after="Next: B.2, where the ages do the same with less.",
)

# --- 1.4 a graph that fools the stack ------------------------------------------------------------


def fool_the_stack(a: Node, b: Node) -> tuple[Node, float]:
    """Return a Node L on which the plain stack is wrong, and what the stack gives for dL/da.

    a is Node(3.0) and b is Node(2.0).
    """
    d = a * b
    return (d + a) * d, 24.0


def _fooled(function: Any) -> Iterator[Result]:
    a, b = Node(3.0), Node(2.0)
    L, predicted = several(function(a, b), ("L", "the prediction of dL/da"))
    if not isinstance(L, Node):
        raise Wrong(f"L is to be a Node, computed from a and b; it is a {type(L).__name__}.")
    users = _arrows(L)
    if a not in users:
        raise Wrong("L does not depend on a, so dL/da is 0 in any order.")
    if not any(users[node] > 1 and node.parents for node in users):
        raise Wrong(
            "The stack is right on this graph: no inner node (one with parents) has two users, so "
            "nothing can arrive too late."
        )
    backward_each_once(L)
    if np.isclose(a.grad, slope_of(L, a), rtol=1e-9, atol=0):
        raise Wrong(
            f"The stack gives {a.grad:g} for dL/da on this graph, which is right. An inner node "
            "has two users, but it is taken after both: the stack takes what it was given last."
        )
    yield Result("the prediction of dL/da", predicted, a.grad, "a = 3, b = 2")


def _diamond(a: Node, b: Node) -> tuple[Node, Node]:
    d = a * b
    return (d + a) * d, d * (d + a)


FOOL = Exercise(
    number="1.4",
    chapter=1,
    title="A graph that fools the stack",
    level=3,
    minutes=25,
    task="""
Replace the heap by a plain list, `queue.append` and `queue.pop()`, which takes the node that came
last; everything else stays, each node is put in once. Build from a = 3 and b = 2, by + and *, a
graph L on which dL/da comes out wrong, and predict by hand what wrong number the stack gives. (A
node's parents are put in from left to right, so that the right one is taken first.)
""",
    hints=(
        "Some inner node d must be taken before one of its users. Let d have two users, L itself "
        "and another node e, and see in which order d and e get into the queue.",
        "The chapter's section 'Break it' shows such a graph frame by frame; any other that you "
        "find is as good. Mind that the missing share is lost on the way from d on; what reaches a "
        "by other ways still counts.",
    ),
    answer=fool_the_stack,
    judge=_fooled,
    against="the stack itself, which is wrong as you said",
    mistakes=(
        Mistake(
            lambda a, b: (a * b + a, 3.0),
            "The stack is right on this graph: no node with parents has two users. A leaf such as "
            "a may well be used twice, since it sends nothing on.",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[1], 24.0),
            "The stack is right here, by luck: of d and d + a the second is put in last, taken "
            "first, and d has everything when its turn comes. The order of the factors matters.",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[0], 36.0),
            "The graph is a good one. But 36 is the true dL/da; what does the stack give?",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[0], 18.0),
            "The graph is a good one. 18 is what d sends to a, too early; but a also gets its "
            "share from d + a directly.",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[0], 27.0),
            "The graph is a good one, and 27 is what the stack gives for dL/db. Asked for is "
            "dL/da.",
        ),
    ),
    after="Next: say which sentence of the chapter's proof fails for your graph.",
)

EXERCISES = (PATHS, DIVIDE, COUNTING, FOOL)
