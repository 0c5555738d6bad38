"""Exercises of chapter 1: the graph and the order of backward. B.1 and B.2 belong to it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.learn.bugs1 import Node, backward_each_once, nodes_of, slope_of
from minigrad.learn.exercise import Exercise, Mistake, Result, Values, Wrong
from minigrad.learn.faults import listed
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
            lambda a, b: ((b + 1) * a + (a + b) * (b + 1), (a + b) * a),
            "dL/da is right. For dL/db the path through t is there; b also reaches L through s.",
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
        _check_pairs(y, a, b)
        for name, parent in (("a", a), ("b", b)):
            slopes = [slope for other, slope in y.parents if other is parent]
            expected = differences(lambda a, b: a / b, numbers, name, np.ones(()))
            yield Result(f"the slope of {name}", 1.0 * sum(slopes), expected, where)


def _check_pairs(y: Node, a: Node, b: Node) -> None:
    """Say what is wrong with the parents of a quotient, their slopes aside."""
    if not y.parents:
        raise Wrong(
            "The Node has no parents, so it is a leaf: backward stops there. Give it a pair "
            "(parent, slope) for a and one for b."
        )
    for pair in y.parents:
        if isinstance(pair, Node):
            raise Wrong(
                "The list of parents holds a Node alone. Each parent needs its slope with it: a "
                "pair (parent, slope)."
            )
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise Wrong(
                f"The list of parents holds a {type(pair).__name__} that is no pair. It is to hold "
                "two pairs (parent, slope)."
            )
        if not isinstance(pair[0], Node) and isinstance(pair[1], Node):
            raise Wrong(
                "In a pair the slope comes first here. It is (parent, slope), the parent first."
            )
        if not isinstance(pair[0], Node):
            raise Wrong(
                f"A pair begins with a {type(pair[0]).__name__}, and is to begin with the parent, "
                "the Node a or b itself: a number does not know where a gradient has to go."
            )
    for name, node in (("a", a), ("b", b)):
        if all(parent is not node for parent, _ in y.parents):
            if node in nodes_of(y):
                raise Wrong(
                    f"{name} is reached by way of other Nodes only. The quotient is to be one "
                    "operation: its parents are a and b themselves."
                )
            raise Wrong(
                f"{name} is not among the parents, so no gradient reaches it. (A new Node with the "
                f"same number is another Node.)"
            )


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
            _quotient_but(lambda a, b: -a / b**2, lambda a, b: 1 / b),
            "The two slopes are exchanged: with b held fixed, a / b is a times a constant, so the "
            "slope of a contains no a.",
        ),
        Mistake(
            _quotient_but(lambda a, b: 1 / b, lambda a, b: 1 / a),
            "The slope of b is not 1 / a. For b hold a fixed, and differentiate a times b^-1.",
        ),
        Mistake(
            lambda a, b: Node(b.data / a.data, [(a, -b.data / a.data**2), (b, 1 / a.data)]),
            "This is b / a, with its slopes. Asked for is the quotient a / b.",
        ),
    ),
    after="Next: step 03, which makes the quotient out of a product and a power.",
)

# --- 1.3 the way back without ages ---------------------------------------------------------------


def backward_by_counting(output: Node) -> None:
    """Set `grad` of the output and of each node below it: the derivative of the output by it.

    Every grad is 0 at first. node.parents holds pairs (parent, slope). All ages are 0, and of no
    help. Nothing is returned.
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


def _random_graph(seed: int) -> str:
    """A formula of six steps, each of which uses two of the last three numbers."""
    random = np.random.RandomState(seed)
    names = ["a", "b"]
    steps = []
    for name in "cdefgL":
        one, other = random.choice(names[-3:], 2)
        steps.append(f"{name} = {one} {random.choice(['+', '*'])} {other}")
        names.append(name)
    return "; ".join(steps)


GRAPHS = (
    "L = a * b",
    "L = a * a * b",
    "d = a * b; L = (d + a) * d",
    "d = a * b; L = d * (d + a)",
    "e = a + b; L = e * e + e * a",
    "e = a + b; L = e * a + e * e",
    "y = a * a; L = y + a * a * y",
    "d = a * b; e = d * d; L = e * (e + a)",
    "d = a * b; e = d * d; L = (e + a) * e",
    *map(_random_graph, range(6)),
)


class _Patient(Node):
    """A node that ends the check when it is asked for its parents far too often."""

    @property
    def parents(self) -> Sequence[tuple[Node, float]]:
        """Pairs of a parent and a slope."""
        if self.asked > 200:
            raise Wrong(
                "On 60 doublings, `y = y + y`, the work grows beyond all bounds: a node is asked "
                "for its parents again and again, once for each path that leads to it. There are "
                "only 61 nodes: visit each once, and let it send once."
            )
        return super().parents


def _without_ages(function: Any) -> Iterator[Result]:
    for formula in GRAPHS:
        nodes = {"a": Node(1.2), "b": Node(0.7)}
        exec(formula, {}, nodes)
        for node in nodes_of(nodes["L"]):
            node.age = 0
        function(nodes["L"])
        for name, node in nodes.items():
            expected = slope_of(nodes["L"], node)
            yield Result(f"{name}.grad", node.grad, expected, f"a = 1.2; b = 0.7; {formula}")
    start: Node = _Patient(1.0)
    output = start
    for _ in range(60):
        output = _Patient(1.0, [(output, 1.0), (output, 1.0)])
        output.age = 0
    function(output)
    yield Result("a.grad", start.grad, 2.0**60, "y = a, and 60 times y = y + y")
    start = output = Node(1.0)
    for _ in range(5000):
        output = output + start
    for node in nodes_of(output):
        node.age = 0
    function(output)
    yield Result("a.grad", start.grad, 5001.0, "a added to itself 5000 times, one after the other")


def _send(output: Node, users: dict[Node, int], down: int = 1, last: int = 0) -> None:
    """Send, and count down by `down`; a node may send when its count is at most `last`."""
    output.grad = 1.0
    _send_on(output, users, lambda node, slope, old: old + node.grad * slope, down, last)


def _send_on(
    output: Node,
    users: dict[Node, int],
    new: Callable[[Node, float, float], float],
    down: int = 1,
    last: int = 0,
) -> None:
    """Send by another formula for the grad of a parent."""
    ready = [output]
    while ready:
        node = ready.pop()
        for parent, slope in node.parents:
            parent.grad = new(node, slope, parent.grad)
            users[parent] -= down
            if users[parent] <= last:
                ready.append(parent)


def _overwrite(output: Node) -> None:
    output.grad = 1.0
    _send_on(output, _arrows(output), lambda node, slope, old: node.grad * slope)


def _slopes_alone(output: Node) -> None:
    output.grad = 1.0
    _send_on(output, _arrows(output), lambda node, slope, old: old + slope)


def _first_in_first_out(output: Node) -> None:
    output.grad = 1.0
    waiting, found = [output], {output}
    for node in waiting:
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            if parent not in found:
                found.add(parent)
                waiting.append(parent)


def _counted_by_paths(output: Node, once: bool = False) -> dict[Node, int]:
    """Counts of a walk that comes to a node again; with `once`, unless it is waiting already."""
    users: dict[Node, int] = {}
    waiting = [output]
    while waiting:
        for parent, _ in waiting.pop().parents:
            users[parent] = users.get(parent, 0) + 1
            if not (once and parent in waiting):
                waiting.append(parent)
    return users


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
recursion, and so that it visits each node once. A node may send when all its users have sent; so
first go through the graph and count, for each node, the arrows that lead from it to a user. Then
send, and count down.
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
            lambda output: _send(output, _arrows(output), last=10**9),
            "Each node sends whenever something has arrived, without waiting for its other users, "
            "and sends again when they have sent: it may send only when its count comes to 0.",
        ),
        Mistake(
            lambda output: _send(output, _counted_by_paths(output)),
            "The first loop comes to a node again on each path that leads there, and counts its "
            "arrows once more each time. Visit each node once, so that arrows are counted and not "
            "paths.",
        ),
        Mistake(
            lambda output: _send(output, _counted_by_paths(output, once=True)),
            "A node that has left the list of waiting nodes is put in a second time when another "
            "user leads to it, and its arrows are counted twice. Remember all nodes that were ever "
            "found, not those that wait now.",
        ),
        Mistake(
            lambda output: _send_on(
                output, _arrows(output), lambda node, slope, old: old + node.grad * slope
            ),
            "The output has nothing to send. Its own grad is the beginning: the derivative of the "
            "output by itself.",
        ),
        Mistake(
            _overwrite,
            "A node that is used twice keeps only the share that came last: each use overwrites "
            "the one before. What arrives is to be added.",
        ),
        Mistake(
            _slopes_alone,
            "The slopes are added up, without what has arrived at the node that sends. Along a "
            "path the slopes multiply: a share is the slope times the grad of the sender.",
        ),
        Mistake(
            _first_in_first_out,
            "Each node sends once, but some too early: the nodes are taken in the order in which "
            "they were found (a queue does that, and a heap too where all ages are the same). "
            "Wait until the count is 0.",
        ),
        Mistake(
            backward_each_once,
            "Each node sends once, but some too early: a plain stack takes what was put in last, "
            "although another user of the node may not have sent yet. Wait until the count is 0.",
        ),
        Mistake(
            _recursive_order,
            "the order is right, and it is found by recursion. For the chain of 5000 operations "
            "Python refuses so many calls inside each other; two loops can do it.",
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
        twice = [name for name, node in (("a", a), ("b", b)) if users.get(node, 0) > 1]
        leaves = f" ({listed(twice)} may be used twice: a leaf sends nothing on.)" if twice else ""
        raise Wrong(
            "The stack is right on this graph: no inner node (one with parents) has two users, so "
            f"nothing can arrive too late.{leaves}"
        )
    yield Result("L", L.data, L.data, "a = 3, b = 2")
    backward_each_once(L)
    if np.isclose(a.grad, slope_of(L, a), rtol=1e-9, atol=0):
        raise Wrong(
            f"The stack gives {a.grad:g} for dL/da on this graph, which is right. An inner node "
            "has two users, but it is taken after both: the stack takes what it was given last."
        )
    number = isinstance(predicted, int | float)
    if number and not np.isclose(predicted, a.grad, rtol=1e-9, atol=0):
        raise Wrong(
            f"The graph is a good one: the stack is wrong on it. {_missed(predicted, L, a, b)}"
        )
    yield Result("the prediction of dL/da", predicted, a.grad, "a = 3, b = 2")


def _missed(predicted: float, L: Node, a: Node, b: Node) -> str:
    if np.isclose(predicted, slope_of(L, a), rtol=1e-9, atol=0):
        return f"But {predicted:g} is its true dL/da. What does the stack give?"
    if np.isclose(predicted, b.grad, rtol=1e-9, atol=0):
        return f"But {predicted:g} is what the stack gives for dL/db. Asked for is dL/da."
    return (
        f"But the stack gives another number than {predicted:g} for dL/da. Go through it as 'Break "
        "it' does: which node is taken when, and what has it got by then?"
    )


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
            lambda a, b: (_diamond(a, b)[1], 24.0),
            "of d and d + a the second is put in last and taken first, so d has everything when "
            "its turn comes. The order of the factors matters.",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[0], 18.0),
            "18 is what d sends to a, too early; but a also gets its share from d + a directly.",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[0], 30.0),
            "15 arrives at d in the end, and 30 would go on to a. But d sends only once, before "
            "all of it has come.",
        ),
        Mistake(
            lambda a, b: (_diamond(a, b)[0], 6.0),
            "6 is what d + a sends to a directly. d, too, has sent something, although too early.",
        ),
    ),
    after="Next: say which sentence of the chapter's proof fails for your graph.",
)

EXERCISES = (PATHS, DIVIDE, COUNTING, FOOL)
