"""Wrong answers to the chapters' exercises that no list of mistakes can show, and odd right ones.

Here a judge has to find more than wrong numbers: a forbidden function, a missing primitive, a pass
too many, an array that is not new.
"""

import textwrap

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.learn import check
from minigrad.learn.bugs1 import Node
from minigrad.learn.exercise import find


def judge(number, body):
    """Check an answer of which only the body is given."""
    exercise = find(number)
    header, _, _ = exercise.template.partition(f"def {exercise.name}(")[2].partition(":\n")
    names = {"np": np, "mg": mg, "nn": nn, "Node": Node}
    source = f"def {exercise.name}({header}:\n" + textwrap.indent(textwrap.dedent(body), "    ")
    exec(compile(source, "answer.py", "exec"), names)
    return check(number, names[exercise.name])


BLOCK = """
class Block(nn.Module):
    def __init__(self, features):
        {init}

    def forward(self, x):
        {forward}
"""
FIRST, SECOND = (f"self.{name} = nn.Linear(features, features)" for name in ("first", "second"))


def judge_block(init, forward, source=BLOCK):
    names = {"mg": mg, "nn": nn}
    exec(source.format(init=init, forward=forward), names)
    return check("4.4", names["Block"])


COUNTED = """
    users, found = {output: 0}, [output]
    while found:
        for p, s in found.pop().parents:
            if p not in users:
                users[p] = 0
                found.append(p)
            users[p] += 1
    output.grad = 1.0
    ready = [output]
    while ready:
        n = ready.pop()
        for p, s in n.parents:
            p.grad += n.grad * s
            users[p] -= 1
            if users[p] == 0:
                ready.append(p)
"""
NEWTON = """
for _ in range(steps):
    X = mg.tensor(x, dtype="float64", requires_grad=True)
    [a] = mg.grad(f(X), X, create_graph=True)
    [b] = mg.grad(a, X)
    x = x - a.item() / b.item()
return x
"""
HESSIAN = """
X = mg.tensor(x, requires_grad=True)
[g] = mg.grad(f(X), X, create_graph=True)
[h] = mg.grad((g * v).sum(), X)
return h.numpy()
"""
CLIPPED = """
n = np.sqrt(sum((g**2).sum() for g in gradients))
if n <= limit:
    return {short}
return [g * limit / n for g in gradients]
"""
GONE = """
s, n = np.linalg.norm(W_h, 2), 0
if s > 1:
    return float("inf")
while s**n >= share{also}:
    n += 1
return n
"""
PENALTY = """
real.requires_grad = True
[g] = mg.grad(D(real).sum(), real, create_graph=True)
{back}
return gamma / 2 * (g**2).sum(axis=1).mean()
"""
P = "p = 1 / (1 + np.exp(-z))\n"


@pytest.mark.parametrize(
    ("number", "body", "words"),
    [
        ("0.3", "return A @ B", "`@` is a product of NumPy's own"),
        ("0.3", "return np.dot(A, B)", "`np.dot` is a product of NumPy's own"),
        ("0.3", "return A.dot(B)", "`dot` is a product of NumPy's own"),
        ("0.3", "return np.einsum('ij,jk->ik', A, B)", "`np.einsum` is a product"),
        ("0.3", "return np.matmul(A, B)", "`@` is a product of NumPy's own"),
        ("0.3", "return np.array([a @ B for a in A])", "`@` is a product of NumPy's own"),
        ("1.2", "return Node(a.data / b.data)", "has no parents, so it is a leaf"),
        ("1.2", "return Node(a.data / b.data, [a, b])", "holds a Node alone"),
        ("1.2", "return Node(a.data / b.data, [(a, 1, 2)])", "a tuple that is no pair"),
        ("1.2", "return Node(a.data / b.data, [3.0])", "a float that is no pair"),
        ("1.2", "return Node(a.data / b.data, [(1 / b.data, a)])", "the slope comes first here"),
        ("1.2", "return Node(a.data / b.data, [(a.data, 1.0)])", "begins with a float"),
        ("1.2", "return Node(a.data / b.data, [(a, 1 / b.data)])", "b is not among the parents"),
        (
            "1.2",
            "return a * Node(1 / b.data, [(b, -1 / b.data**2)])",
            "b is reached by way of other Nodes only",
        ),
        (
            "1.3",
            "def send(n, share):\n    n.grad += share\n    for p, s in n.parents:\n"
            "        send(p, share * s)\nsend(output, 1.0)",
            "On 60 doublings, `y = y + y`, the work grows beyond all bounds",
        ),
        ("1.4", "return a * b + a, 3.0", "no inner node (one with parents) has two users"),
        ("1.4", "d = a * b\nreturn (d + a) * d, 36.0", "36 is its true dL/da"),
        ("1.4", "d = a * b\nreturn (d + a) * d, 27.0", "27 is what the stack gives for dL/db"),
        ("1.4", "d = a * b\nreturn (d + a) * d, 21.0", "another number than 21"),
        ("1.4", "return 24.0, a", "L is to be a Node"),
        ("3.1", "return lambda a, b: mg.sqrt(a * a + b * b)", "not made by one operation"),
        ("3.1", "return lambda a, b: (a**2 + b**2) ** 0.5", "not made by one operation"),
        ("3.1", "return 5.0", "It is to return the operation itself"),
        ("3.3", NEWTON.replace('dtype="float64", ', ""), "a Tensor of float32"),
        ("3.3", NEWTON.replace("return x", "return mg.tensor(x)"), "returns a Tensor"),
        ("3.3", NEWTON.replace("f(X)", "f(x)"), "f was called with a float"),
        ("3.4", HESSIAN.replace(".numpy()", ""), "H v is of type Tensor"),
        ("3.4", HESSIAN.replace("(g * v).sum()", "g @ v"), "x of shape (2, 3)"),
        (
            "3.4",
            """
            X = mg.tensor(x, requires_grad=True)
            [g] = mg.grad(f(X), X, create_graph=True)
            g = g.reshape(-1)
            H = [mg.grad(g[i], X, retain_graph=True)[0].numpy().ravel() for i in range(x.size)]
            return (np.stack(H) @ v.ravel()).reshape(x.shape)
            """,
            "for 300 numbers it took more than 20 passes",
        ),
        (
            "5.4",
            "m, s = x.mean(1, keepdims=True), x.std(1, keepdims=True)\nreturn (x - m) / s",
            "`batch_norm` was not called",
        ),
        (
            "6.3",
            P + "p = np.clip(p, 1e-7, 1 - 1e-7)\nreturn -t * np.log(p) - (1 - t) * np.log(1 - p)",
            "the loss is 16.1, and should be 1000",
        ),
        (
            "6.3",
            P + "return -t * np.log(p + 1e-12) - (1 - t) * np.log(1 - p + 1e-12)",
            "finite but wrong for large ones",
        ),
        (
            "6.3",
            P + "return np.nan_to_num(-t * np.log(p) - (1 - t) * np.log(1 - p))",
            "finite but wrong for large ones",
        ),
        ("7.3", CLIPPED.format(short="gradients"), "holds the very arrays that were given"),
        ("7.3", CLIPPED.format(short="[g[:] for g in gradients]"), "holds the very arrays"),
        ("10.4", PENALTY.format(back=""), "requires a gradient, and it did not before"),
        (
            "10.4",
            PENALTY.format(back="D(real).sum().backward(); real.requires_grad = False"),
            "D's weights have gradients",
        ),
        ("8.3", GONE.format(also=""), "has not ended after a million lines"),
        ("8.3", GONE.format(also=" and n < 9999"), "is 9999, and should be inf"),
        (
            "7.3",
            "n = np.sqrt(sum((g**2).sum() for g in gradients))\nfor g in gradients:\n"
            "    g *= limit / max(n, limit)\nreturn gradients",
            "has changed its argument gradients in place",
        ),
    ],
)
def test_a_wrong_answer_is_refused_for_what_is_wrong_with_it(number, body, words):
    report = judge(number, body)
    assert not report.right
    assert words in report.message


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (
            "0.2",
            """
            slopes = np.zeros_like(x)
            for i in np.ndindex(x.shape):  # x + h - 2 h + h is x but for rounding
                x[i] += h; high = f(x)
                x[i] -= 2 * h; low = f(x)
                x[i] += h
                slopes[i] = (high - low) / (2 * h)
            return slopes
            """,
        ),
        (
            "0.3",
            "return np.array([[sum(a * b) for b in B.T] for a in A])",
        ),
        ("1.2", "y = a.data / b.data\nreturn Node(y, ((b, -y / b.data), (a, 1 / b.data)))"),
        ("1.3", COUNTED),
        ("1.4", "d = a + b\ne = d * b\nreturn [e + d, 1]"),
        (
            "3.1",
            """
            rules = {"a": lambda g, a, y: g * a / y, "b": lambda g, b, y: g * b / y}
            return mg.primitive(**rules)(lambda a, b: np.hypot(a, b))
            """,
        ),
        ("3.3", NEWTON),
        ("3.4", HESSIAN),
        ("5.4", "return np.array([batch_norm(row[:, None])[:, 0] for row in x])"),
        ("10.4", PENALTY.format(back="real.requires_grad = False")),
        ("6.3", "return np.logaddexp(0, z) - t * z"),
        ("7.3", CLIPPED.format(short="[g.copy() for g in gradients]")),
    ],
)
def test_an_unusual_right_answer_is_right(number, body):
    report = judge(number, body)
    assert report.right, report


FORWARD = "return x + self.second(mg.tanh(self.first(x)))"


@pytest.mark.parametrize(
    ("init", "forward", "words"),
    [
        (
            "self.layers = [nn.Linear(features, features), nn.Linear(features, features)]",
            "return x + self.layers[1](mg.tanh(self.layers[0](x)))",
            "its attribute layers is a list",
        ),
        (
            "self.n = features",
            "return x + nn.Linear(self.n, self.n)(mg.tanh(nn.Linear(self.n, self.n)(x)))",
            "a layer that `forward` makes is a new one in each call",
        ),
        (f"{FIRST}; {SECOND}", FORWARD + ".detach()", "no gradient reaches first.bias, first.w"),
        (f"{FIRST}; {SECOND}", f"return ({FORWARD[7:]}).detach()", "The output has no graph"),
        (f"{FIRST}; {SECOND}", FORWARD[7:], "The output is None"),
        (f"{FIRST}; self.second = self.first", FORWARD, "are one and the same layer"),
        (FIRST, "return x + self.first(x)", "expected ['first.bias', 'first.weight', 'second"),
    ],
)
def test_what_is_wrong_with_a_block_is_said(init, forward, words):
    assert words in judge_block(init, forward).message


def test_block_is_a_module():
    assert (
        "is a Block and no module"
        in judge_block(f"{FIRST}; {SECOND}", FORWARD, BLOCK.replace("(nn.Module)", "")).message
    )
    assert "is a function and no module" in check("4.4", lambda features: lambda x: x).message
    assert judge_block(f"{FIRST}; {SECOND}", FORWARD).right
