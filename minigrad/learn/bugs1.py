"""Planted bugs B.1 and B.2: gradients that do not add up, and the wrong order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

from minigrad.learn.exercise import Exercise, Mistake, Result, Wrong

_ages = itertools.count()


class Node:
    """A number of a graph: the `Value` of the course's second step, without `backward`.

    Args:
        data: The number.
        parents: Pairs of a parent, and the derivative of this number by that parent.
    """

    def __init__(self, data: float, parents: Sequence[tuple[Node, float]] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self.age = next(_ages)
        self.asked = 0  # how often for its parents, which is what a walk takes time for
        self._parents = parents

    @property
    def parents(self) -> Sequence[tuple[Node, float]]:
        """Pairs of a parent, and the derivative of this number by that parent."""
        self.asked += 1
        return self._parents

    def __add__(self, other: Node) -> Node:
        return Node(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other: Node) -> Node:
        return Node(self.data * other.data, [(self, other.data), (other, self.data)])


def _graphs() -> Iterator[tuple[str, dict[str, Node]]]:
    """Graphs, new each time: a formula, and the nodes by name, the output last."""
    for formula in (
        "d = a * b",
        "d = a * b; L = d * (d + a)",
        "d = a * b; L = (d + a) * d",
        "y = a * a; L = y + a * a * y",
        "d = a * b; L = d * a + d * b",
        "y = a; " + "; ".join(["y = y + y"] * 8),
    ):
        nodes = {"a": Node(3.0), "b": Node(2.0)}
        exec(formula, {}, nodes)
        yield formula, {name: node for name, node in nodes.items() if name in formula}


def slope_of(output: Node, node: Node) -> float:
    """The definition: the product of the slopes along each path, summed over all paths."""
    if output is node:
        return 1.0
    return sum(slope * slope_of(parent, node) for parent, slope in output.parents)


def nodes_of(output: Node) -> list[Node]:
    """All nodes that an output was computed from, youngest first."""
    found = {output}
    waiting = [output]
    while waiting:
        new = {parent for parent, _ in waiting.pop().parents} - found
        found |= new
        waiting += new
    return sorted(found, key=lambda node: -node.age)


def _judge(
    prepare: Callable[[Node], object],
) -> Callable[[Callable[..., object]], Iterator[Result]]:
    """A judge that compares each node's grad with the sum over all paths.

    Args:
        prepare: Makes the learner's argument from the output.
    """

    def judge(function: Callable[..., object]) -> Iterator[Result]:
        for formula, nodes in _graphs():
            output = max(nodes.values(), key=lambda node: node.age)
            function(prepare(output))
            asked = sum(node.asked for node in nodes.values())
            for name, node in nodes.items():
                yield Result(f"{name}.grad", node.grad, slope_of(output, node), formula)
        if asked > 100:  # of the doublings, 9 nodes and 256 paths
            raise Wrong(
                "The derivatives are right, but each `y = y + y` doubles the time: some nodes are "
                "visited again and again, once for each path. Add up at the nodes, and let each "
                "hand on once, when its gradient is complete."
            )
        chain = start = Node(1.0)
        for _ in range(5000):
            chain = Node(1.0, [(chain, 1.0)])
        function(prepare(chain))
        yield Result("a.grad", start.grad, 1.0, "a chain of 5000 operations on a")

    return judge


# --- B.1 the gradient that is overwritten -------------------------------------------------------


def hand_back(nodes: list[Node]) -> None:
    """Set `grad` of each node to the derivative of the output, nodes[0], by this node.

    Each grad is 0 at first. node.parents: pairs of a parent and the derivative of node by it.
    """
    nodes[0].grad = 1.0
    for node in nodes:
        for parent, slope in node.parents:
            parent.grad += node.grad * slope


def _hand_back_overwriting(nodes: list[Node]) -> None:
    """Set `grad` of each node to the derivative of the output, nodes[0], by this node.

    Each grad is 0 at first. node.parents: pairs of a parent and the derivative of node by it.
    """
    nodes[0].grad = 1.0
    for node in nodes:
        for parent, slope in node.parents:
            parent.grad = node.grad * slope


def _hand_back_slopes(nodes: list[Node]) -> None:
    nodes[0].grad = 1.0
    for node in nodes:
        for parent, slope in node.parents:
            parent.grad += slope


def _hand_back_plain(nodes: list[Node]) -> None:
    nodes[0].grad = 1.0
    for node in nodes:
        for parent, _ in node.parents:
            parent.grad += node.grad


def _hand_back_doubled(nodes: list[Node]) -> None:
    nodes[0].grad = 1.0
    for node in nodes:
        for parent, slope in node.parents:
            parent.grad += node.grad * slope + parent.grad


def _hand_back_overwriting_twofold(nodes: list[Node]) -> None:
    nodes[0].grad = 1.0
    for node in nodes:
        for parent, slope in node.parents:
            parent.grad = 2 * node.grad * slope


def hand_back_from(nodes: list[Node], order: list[Node], start: float = 1.0) -> None:
    """The answer, but for another order or another beginning."""
    nodes[0].grad = start
    for node in order:
        for parent, slope in node.parents:
            parent.grad += node.grad * slope


HAND_BACK = Exercise(
    number="B.1",
    chapter=1,
    title="A bug: right for d = a * b, wrong for x * x",
    level=1,
    minutes=5,
    task="""
This function hands gradients back through a graph. Its list `nodes` holds the whole graph, the
output first, and each number before the numbers it was computed from. For d = a * b it is right;
for y = x * x it gives half of the derivative. Find the bug and mend it.
""",
    hints=(
        "Follow y = x * x by hand: y.parents is [(x, 3.0), (x, 3.0)] for x = 3. What is x.grad "
        "after the first pair, and what after the second?",
        "Two paths lead from y to x. The derivative is a sum over all paths, so what the second "
        "path brings must not replace what the first has brought.",
    ),
    answer=hand_back,
    planted=_hand_back_overwriting,
    judge=_judge(nodes_of),
    against="the sum over all paths",
    mistakes=(
        Mistake(
            _hand_back_overwriting,
            "A number that is used twice keeps only the gradient that came last: each use "
            "overwrites the one before. The derivative is a sum over all paths, so what arrives is"
            " to be added.",
        ),
        Mistake(
            _hand_back_slopes,
            "The slopes are added up, but without what has arrived at the node. The chain rule "
            "multiplies along a path: the slope of this step times the derivative of all steps "
            "above.",
        ),
        Mistake(
            _hand_back_plain,
            "What has arrived is handed on as it is. Each step of a path multiplies it by its own "
            "slope, the derivative of the node by this parent.",
        ),
        Mistake(
            _hand_back_doubled,
            "What a parent already has is added to it once more: `+=` adds to the old value by "
            "itself.",
        ),
        Mistake(
            _hand_back_overwriting_twofold,
            "A factor 2 is right only where a number is used twice in one operation, as in x * x,"
            " and the uses still overwrite each other. Add up what arrives.",
        ),
        Mistake(
            lambda nodes: hand_back_from(nodes, nodes[::-1]),
            "The list is walked from its end, so each number hands on before anything has arrived "
            "at it. The output comes first.",
        ),
        Mistake(
            lambda nodes: hand_back_from(nodes, nodes, start=0.0),
            "The way back begins with 0. The derivative of the output by itself is 1, and something"
            " has to set it before anything is handed on.",
        ),
    ),
    after="Next: B.2, where the order of the nodes is not given.",
)

# --- B.2 the order ------------------------------------------------------------------------------


def backward(output: Node) -> None:
    """Set `grad` of the output, and of all it was computed from; each grad is 0 at first.

    node.parents: pairs of a parent and the derivative of node by it. node.age: later is larger.
    """
    output.grad = 1.0
    queue, seen = [(-output.age, output)], {output}
    while queue:
        _, node = heappop(queue)
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            if parent not in seen:
                seen.add(parent)
                heappush(queue, (-parent.age, parent))


def _backward_by_a_stack(output: Node) -> None:
    """Set `grad` of the output, and of all it was computed from; each grad is 0 at first.

    node.parents: pairs of a parent and the derivative of node by it. node.age: later is larger.
    """
    output.grad = 1.0
    stack = [output]
    while stack:
        node = stack.pop()
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            stack.append(parent)


def _backward_by_recursion(output: Node) -> None:
    def visit(node: Node) -> None:
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            visit(parent)

    output.grad = 1.0
    visit(output)


def _backward_overwriting(output: Node) -> None:
    output.grad = 1.0
    stack = [output]
    while stack:
        node = stack.pop()
        for parent, slope in node.parents:
            parent.grad = node.grad * slope
            stack.append(parent)


def backward_each_once(output: Node, first: int = -1) -> None:
    """A wrong way back: by a stack (or from its other end) in place of the heap."""
    output.grad = 1.0
    waiting, seen = [output], {output}
    while waiting:
        node = waiting.pop(first)
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)


def _backward_in_order(output: Node) -> None:
    order, seen = [], set()

    def visit(node: Node) -> None:
        if node not in seen:
            seen.add(node)
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)

    visit(output)
    hand_back(order[::-1])


def _backward_by_a_heap(
    output: Node, sign: int = -1, start: float = 1.0, once: bool = True, add: bool = True
) -> None:
    """The answer, but for one slip."""
    output.grad = start
    queue, seen = [(sign * output.age, id(output), output)], {output}
    while queue:
        _, _, node = heappop(queue)
        for parent, slope in node.parents:
            parent.grad = add * parent.grad + node.grad * slope
            if parent not in seen or not once:
                seen.add(parent)
                heappush(queue, (sign * parent.age, id(parent), parent))


def _backward_by_a_queue(output: Node) -> None:
    output.grad = 1.0
    queue = [output]
    while queue:
        node = queue.pop(0)
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            queue.append(parent)


def _backward_emptying(output: Node) -> None:
    output.grad = 1.0
    stack = [output]
    while stack:
        node = stack.pop()
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            stack.append(parent)
        node.grad = 0.0


def _backward_by_nodes_alone(output: Node) -> None:
    output.grad = 1.0
    queue = [output]
    while queue:
        node = heappop(queue)  # type: ignore[type-var]
        for parent, slope in node.parents:
            parent.grad += node.grad * slope
            heappush(queue, parent)  # type: ignore[type-var]


BACKWARD = Exercise(
    number="B.2",
    chapter=1,
    title="A bug: right for a chain, wrong for a diamond",
    level=3,
    minutes=15,
    task="""
This `backward` is right where every number is used once. For L = d * (d + a) with d = a * b, a = 3
and b = 2, it gives dL/da = 66 in the place of 36. Find the reason, and mend it. It must also be
right after `y = y + y` many times, in a time that does not double each time, and for a chain of
5000 operations.
""",
    hints=(
        "Two operations use d: the product, and the sum d + a. How often is d taken from the "
        "stack, and what does it hand on each time?",
        "A node may hand its gradient on once, and only when everything that used it has been "
        "there. What uses a node is younger than the node: always take the youngest of those that "
        "wait. A heap (`heapq`) of pairs (-age, node) gives it; a set remembers who is in it "
        "already.",
    ),
    answer=backward,
    planted=_backward_by_a_stack,
    judge=_judge(lambda output: output),
    against="the sum over all paths",
    mistakes=(
        Mistake(
            _backward_by_a_stack,
            "A node that is used twice is visited twice, and the second time it hands on the first"
            " gradient once more: its `grad` is the sum so far. Each node must hand on once, when "
            "its gradient is complete.",
        ),
        Mistake(
            _backward_by_recursion,
            "Recursion visits a node once for each use, and hands on its `grad`, the sum so far, "
            "each time: what came first is counted again. Each node must hand on once, when it is "
            "complete.",
        ),
        Mistake(
            _backward_overwriting,
            "A node that is used twice keeps only what came last. The derivative is a sum over all "
            "paths: what arrives is added. Then the order counts: a node must hand on once, when "
            "its gradient is complete.",
        ),
        Mistake(
            _backward_in_order,
            "Recursion fails for a chain of 5000 operations, since Python ends it at some 1000 "
            "levels, however right the order is that it finds. The ages give an order without "
            "recursion.",
        ),
        Mistake(
            backward_each_once,
            "Each node hands on once, but some too early: with a stack, a node can have its turn "
            "before all that used it have sent their gradients. What comes later goes no further.",
        ),
        Mistake(
            lambda output: backward_each_once(output, 0),
            "Each node hands on once, but some too early: breadth-first order goes by the shortest "
            "path, and d has its turn before d + a, which uses d, has sent its gradient.",
        ),
        Mistake(
            lambda output: _backward_by_a_heap(output, sign=1),
            "The heap gives the oldest node first. What uses a node is younger than the node, so "
            "the youngest has to go first.",
        ),
        Mistake(
            lambda output: _backward_by_a_heap(output, start=0.0),
            "The way back begins with 0. The derivative of the output by itself is 1, and nothing "
            "sets it.",
        ),
        Mistake(
            lambda output: _backward_by_a_heap(output, once=False),
            "The order is right, but a node that is used twice gets into the heap twice, and hands"
            " on its complete gradient twice. Remember which nodes are in the heap already.",
        ),
        Mistake(
            lambda output: _backward_by_a_heap(output, add=False),
            "The order is right, but a node that is used twice keeps only what came last. The "
            "derivative is a sum over all paths: add what arrives.",
        ),
        Mistake(
            _backward_by_a_queue,
            "A node that is used twice is visited twice, and hands on its `grad`, the sum so far, "
            "each time; a queue in place of the stack only changes what is counted again. Each "
            "node must hand on once, when its gradient is complete.",
        ),
        Mistake(
            _backward_emptying,
            "A node's `grad` is set to 0 after it is handed on. Then nothing is counted twice, but "
            "nothing is left at the end either: keep the sum, and hand on once, when it is "
            "complete.",
        ),
        Mistake(
            _backward_by_nodes_alone,
            "A heap compares its entries, and Python cannot compare two nodes. Put pairs into it: "
            "first a number that says which comes first, then the node.",
        ),
    ),
    after="Next: `backpropagate` in minigrad/engine.py is this loop, with arrays and rules.",
)

EXERCISES = (HAND_BACK, BACKWARD)
