"""Exercises of chapter 8: recurrent networks, their way back, and where to cut it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.learn.exercise import Array, Exercise, Mistake, Result, Values, Wrong, call, draw
from minigrad.learn.judges import differences

# --- 8.1 the state after a sequence ---------------------------------------------------------------


def last_states(x: Array, W_x: Array, W_h: Array, b: Array) -> Array:
    """Return h_T (N, H), the last state of each sequence; the first state h_0 is 0.

    The shapes: x (N, T, D), W_x (H, D), W_h (H, H), b (H,).
    """
    h = np.zeros((len(x), len(b)))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ W_x.T + h @ W_h.T + b)
    return h


def _one_by_one(x: Array, W_x: Array, W_h: Array, b: Array) -> Array:
    """Equation (1) for one sequence after the other, with the state as a column."""
    found = []
    for sequence in x:
        h = np.zeros(len(b))
        for x_t in sequence:
            h = np.tanh(W_x @ x_t + W_h @ h + b)
        found.append(h)
    return np.array(found)


def _states(
    step: Callable[..., Array] = lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T + h @ W_h.T + b),
    order: Callable[[int], Any] = range,
    result: Callable[[list[Array]], Array] = lambda states: states[-1],
    start: Callable[[tuple[int, int]], Array] = np.zeros,
) -> Callable[..., Any]:
    """The forward pass with a mistake: one of its parts done otherwise."""

    def states(x: Array, W_x: Array, W_h: Array, b: Array) -> Array:
        found = [start((len(x), len(b)))]
        for t in order(x.shape[1]):
            found.append(step(x[:, t], found[-1], W_x, W_h, b))
        return result(found)

    return states


def _carried_on(x: Array, W_x: Array, W_h: Array, b: Array) -> Array:
    found = [np.zeros(len(b))]
    for sequence in x:
        found.append(found[-1])
        for x_t in sequence:
            found[-1] = np.tanh(W_x @ x_t + W_h @ found[-1] + b)
    return np.array(found[1:])


STATES = Exercise(
    number="8.1",
    chapter=8,
    title="Read a batch of sequences",
    level=1,
    minutes=10,
    task="""
Equation (1) for a batch: x has the shape (N, T, D), N sequences with T members of D numbers each.
As everywhere in a batch a row is an example, so the state h has the shape (N, H), and the vectors
of equation (1) are its rows. Return the last state. W_x (H, D), W_h (H, H) and b (H,) are the same
at every step; the first state is 0.
""",
    hints=(
        "A loop over the time steps, which is axis 1 of x, with one line in it that makes the new "
        "state out of the old one.",
        "With a row for each example a product with a matrix W of the equation becomes a product "
        "with W.T from the right, as in a linear layer.",
    ),
    answer=last_states,
    judge=Values(
        truth=_one_by_one,
        needs=("x", "W_x", "W_h", "b"),
        cases=(
            draw(0, x=(2, 3, 2), W_x=(3, 2), W_h=(3, 3), b=(3,)),
            draw(1, x=(2, 4, 1), W_x=(2, 1), W_h=(2, 2), b=(2,)),
            draw(2, x=(1, 2, 3), W_x=(3, 3), W_h=(3, 3), b=(3,)),
        ),
        torch="torch.rnn_tanh(x, torch.zeros(1, len(x), len(b), dtype=x.dtype), "
        "[W_x, W_h, b, 0 * b], True, 1, 0.0, False, False, True)[1][0]",
        names=("h_T",),
        against="equation (1), sequence by sequence",
    ),
    mistakes=(
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T + b)),
            "The state before plays no part: what you return depends on the last member of the "
            "sequence alone, and everything before it is forgotten at once.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: x_t @ W_x.T + h @ W_h.T + b),
            "tanh is missing. Without it the state is a sum of all that was read, and may grow "
            "without bound.",
        ),
        Mistake(
            _states(
                lambda x_t, h, W_x, W_h, b: x_t @ W_x.T + h @ W_h.T + b,
                result=lambda states: np.tanh(states[-1]),
            ),
            "tanh is applied once, after the last step. It belongs to every step: the state that "
            "is carried on is what comes out of it.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T + h @ W_h + b)),
            "W_h is not transposed. Equation (1) multiplies a column by W_h from the left; here "
            "the state of an example is a row.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T + b) + np.tanh(h @ W_h.T)),
            "Two tanh, one for what is read and one for the state. There is one, of the whole sum.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T) + np.tanh(h @ W_h.T + b)),
            "Two tanh, one for what is read and one for the state with b. There is one, of the "
            "whole sum.",
        ),
        Mistake(
            _states(
                lambda x_t, h, W_x, W_h, b: 1 / (1 + np.exp(-(x_t @ W_x.T + h @ W_h.T + b))),
            ),
            "This is the sigmoid, between 0 and 1. Equation (1) has tanh, between -1 and 1.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T + h @ W_h.T)),
            "The bias b is missing: it is added to the sum at every step, before tanh.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: np.tanh(x_t @ W_x.T + h @ W_h.T) + b),
            "The bias is added after tanh. It belongs inside, to the sum; outside it moves the "
            "state beyond -1 and 1.",
        ),
        Mistake(
            _states(order=lambda T: range(T)[::-1]),
            "The sequence is read from its end to its beginning.",
        ),
        Mistake(
            _states(order=lambda T: range(T - 1)),
            "The last member is never read: there are T steps, and the state after the last of "
            "them is asked for.",
        ),
        Mistake(
            lambda x, W_x, W_h, b: last_states(x[:, : len(x)], W_x, W_h, b),
            "The loop has N steps, one for each sequence. Each sequence has T members, axis 1 of "
            "x, and a step is needed for each of them.",
        ),
        Mistake(
            _states(order=lambda T: [0] * T),
            "Every step reads the first member. Step t has its own, x[:, t].",
        ),
        Mistake(
            _states(order=lambda T: range(1, T)),
            "The first member is never read. h_0 = 0 is the state *before* anything is read, and "
            "the first step takes x[:, 0].",
        ),
        Mistake(
            _states(result=lambda states: states[1]),
            "This is the state after the first step. A `return` inside the loop ends it at once.",
        ),
        Mistake(
            _states(lambda x_t, h, W_x, W_h, b: h + np.tanh(x_t @ W_x.T + h @ W_h.T + b)),
            "The new value is added to the old state. In equation (1) it takes the old one's "
            "place; the old state is inside tanh already.",
        ),
        Mistake(
            _states(start=np.ones),
            "The first state is 1 everywhere. Before anything is read it is 0.",
        ),
        Mistake(
            _states(order=lambda T: [0, *range(T)]),
            "The first member is read twice: once before the loop, and once in it.",
        ),
        Mistake(
            _carried_on,
            "Each sequence begins with the last state of the one before. They have nothing to do "
            "with each other: each begins with 0.",
        ),
        Mistake(
            lambda x, W_x, W_h, b: _one_by_one(x.transpose(1, 0, 2), W_x, W_h, b),
            "The axes of x are exchanged: axis 0 counts the sequences, axis 1 the time steps. "
            "x[t] is a whole sequence, not the members at time t.",
        ),
        Mistake(
            _states(result=lambda states: np.stack(states[1:], axis=1)),
            "These are the states after every step, (N, T, H). Asked for is the last one, (N, H).",
        ),
    ),
    after="Next: read RNN.forward in models/rnn.py; why does its batch stand in columns?",
)

# --- 8.2 backpropagation through time -------------------------------------------------------------


def rnn_backward(x: Array, h: Array, W_h: Array, G: Array) -> tuple[Array, Array, Array]:
    """Return dL/dW_x (H, D), dL/dW_h (H, H) and dL/db (H,) for one sequence x (T, D).

    h (T + 1, H) holds the states: h[0] is the start, and h[t] the state after the member x[t - 1].
    G (T, H) holds what the answers send back: G[t - 1] arrives at h[t], directly.
    """
    dW_x, dW_h, db = np.zeros((len(W_h), x.shape[1])), np.zeros(W_h.shape), np.zeros(len(W_h))
    g = np.zeros(len(W_h))
    for t in range(len(x), 0, -1):
        g = g + G[t - 1]
        d = (1 - h[t] ** 2) * g
        dW_x += np.outer(d, x[t - 1])
        dW_h += np.outer(d, h[t - 1])
        db += d
        g = W_h.T @ d
    return dW_x, dW_h, db


def _all_states(x: Array, h: Array, W_x: Array, W_h: Array, b: Array, G: Array) -> Array:
    states = [h[0]]
    for x_t in x:
        states.append(np.tanh(W_x @ x_t + W_h @ states[-1] + b))
    return np.array(states[1:])


def _with_states(seed: int, T: int, D: int, H: int) -> dict[str, Any]:
    """A case: a sequence, weights, a start that is not 0, and the states that come of it."""
    case = draw(seed, x=(T, D), h=(1, H), W_x=(H, D), W_h=(H, H), b=(H,), G=(T, H))
    case["W_h"] *= 0.7
    case["h"] = np.tanh(case["h"])
    case["h"] = np.concatenate([case["h"], _all_states(**case)])
    return case


def _back(
    arrives: Callable[..., Array] = lambda g, G, t: g + G[t - 1],
    before: Callable[..., Array] = lambda g, h, t, G: (1 - h[t] ** 2) * g,
    on: Callable[..., Array] = lambda W_h, d, g: W_h.T @ d,
    state: int = -1,
    member: int = -1,
    order: Callable[[int], Any] = lambda T: range(T, 0, -1),
    keep: Callable[..., Array] = lambda old, new: old + new,
    results: Callable[..., Any] = lambda dW_x, dW_h, db: (dW_x, dW_h, db),
) -> Callable[..., Any]:
    """The way back with a mistake: one of its parts done otherwise."""

    def backward(x: Array, h: Array, W_h: Array, G: Array) -> Any:
        dW_x, dW_h, db = np.zeros((len(W_h), x.shape[1])), np.zeros(W_h.shape), np.zeros(len(W_h))
        g = np.zeros(len(W_h))
        for t in order(len(x)):
            g = arrives(g, G, t)
            d = before(g, h, t, G)
            dW_x = keep(dW_x, np.outer(d, x[t + member]))
            dW_h = keep(dW_h, np.outer(d, h[t + state]))
            db = keep(db, d)
            g = on(W_h, d, g)
        return results(dW_x, dW_h, db)

    return backward


def _one_step_back(x: Array, h: Array, W_h: Array, G: Array) -> Any:
    slopes = 1 - h[1:] ** 2
    after = np.zeros_like(G)
    after[:-1] = (slopes * G)[1:] @ W_h
    d = slopes * (G + after)
    return d.T @ x, d.T @ h[:-1], d.sum(axis=0)


BACKWARD = Exercise(
    number="8.2",
    chapter=8,
    title="Backpropagation through time",
    level=3,
    minutes=25,
    task="""
A network answers after *every* step, so a gradient arrives at every state: G[t - 1] is what the
answer of step t sends to h[t] directly. Return dL/dW_x, dL/dW_h and dL/db, by hand, from equations
(4) to (6). The states are given: h[0] is the start, which need not be 0, and h[t] is the state
after step t, tanh(W_x x[t - 1] + W_h h[t - 1] + b).
""",
    hints=(
        "The loop of the chapter goes from t = T to 1. What is new: the state h[t] has *two* "
        "users, its own answer and the next state.",
        "So dL/dh[t] is a sum: what its answer sends, and what came back through W_h from step "
        "t + 1. At the last step there is nothing to come back. All else is as in the chapter.",
    ),
    answer=rnn_backward,
    judge=Values(
        truth=lambda **case: tuple(
            differences(_all_states, case, name, case["G"]) for name in ("W_x", "W_h", "b")
        ),
        needs=("x", "h", "W_h", "G"),
        cases=(
            _with_states(0, 3, 2, 2),
            _with_states(1, 5, 3, 3),
            _with_states(2, 2, 1, 4),
            _with_states(3, 4, 1, 4),  # differs from the one before by its length alone
        ),
        torch="torch.func.grad(lambda W_x, W_h, b, x, h, G: (G * torch.rnn_tanh(x[:, None], "
        "h[None, :1], [W_x, W_h, b, 0 * b], True, 1, 0.0, False, False, False)[0][:, 0]).sum(), "
        "argnums=(0, 1, 2))(W_x, W_h, b, x, h, G)",
        names=("dL/dW_x", "dL/dW_h", "dL/db"),
        against="central differences",
    ),
    mistakes=(
        Mistake(
            _back(arrives=lambda g, G, t: G[t - 1]),
            "Nothing comes back through time: each step gets the gradient of its own answer alone. "
            "But h[t] has a second user, the state h[t + 1], and what that sends is added.",
        ),
        Mistake(
            _back(arrives=lambda g, G, t: G[t - 1] if t == len(G) else g),
            "Only the last answer's gradient is used, as if nothing but the last state reached L. "
            "Here each state has an answer, whose gradient arrives there too.",
        ),
        Mistake(
            _back(before=lambda g, h, t, G: g),
            "The slope of tanh, 1 - h^2, is missing, equation (4).",
        ),
        Mistake(
            _back(on=lambda W_h, d, g: W_h @ d),
            "W_h is not transposed on the way back. As all its sizes are H, no shape protests.",
        ),
        Mistake(
            _back(on=lambda W_h, d, g: W_h.T @ g),
            "What goes back to the state before has not passed the tanh of this step: multiply by "
            "its slope first, then by W_h transposed.",
        ),
        Mistake(
            _back(state=0),
            "dL/dW_x and dL/db are right. W_h is multiplied by the state *before* the step, and so "
            "is its gradient; here it is the state after it.",
        ),
        Mistake(
            _back(before=lambda g, h, t, G: (1 - h[t - 1] ** 2) * g),
            "The slope of tanh at step t is 1 - y^2 with its *result* y, which is h[t]. Here it is "
            "the state before.",
        ),
        Mistake(
            _back(before=lambda g, h, t, G: h[t] * (1 - h[t]) * g),
            "h (1 - h) is the slope of the sigmoid. That of tanh is 1 - h^2.",
        ),
        Mistake(
            _back(before=lambda g, h, t, G: (1 - h[t]) * g),
            "The slope of tanh is 1 minus the *square* of its result.",
        ),
        Mistake(
            _back(before=lambda g, h, t, G: (1 - np.tanh(h[t]) ** 2) * g),
            "tanh is applied twice: h[t] is what tanh has returned already.",
        ),
        Mistake(
            _back(keep=lambda old, new: new),
            "Each step overwrites the one before, so that the share of step 1 alone is left. The "
            "weights are used at every step: add the shares.",
        ),
        Mistake(
            _back(order=lambda T: [T]),
            "Only the last step's share is there. The weights are used at every step, so go back "
            "through all of them, and add.",
        ),
        Mistake(
            _back(order=lambda T: range(T, 1, -1)),
            "Step 1 is left out, the last one on the way back. Its share of dL/db and of dL/dW_x "
            "is missing, and that of dL/dW_h too, since h[0] need not be 0.",
        ),
        Mistake(
            _back(order=lambda T: range(T - 1, 0, -1)),
            "Step T is left out, the first one on the way back. There are T steps, and the last "
            "state h[T] is one of them.",
        ),
        Mistake(
            _back(member=-2),
            "dL/dW_h and dL/db are right. W_x is multiplied by the member that the step reads; "
            "here it is the one before it (and for step 1, by the index -1, the last one).",
        ),
        Mistake(
            _back(arrives=lambda g, G, t: g + G[t - 1] + (G[t] if t < len(G) else 0)),
            "The gradient of an answer is added twice: at its own state, and once more to what "
            "goes on to the state before.",
        ),
        Mistake(
            _back(
                arrives=lambda g, G, t: g,
                before=lambda g, h, t, G: (1 - h[t] ** 2) * g + G[t - 1],
            ),
            "G[t - 1] is added behind the slope of tanh. It arrives at h[t], as the gradient from "
            "the next step does: add first, then multiply the sum by the slope.",
        ),
        Mistake(
            _back(order=lambda T: range(1, T + 1)),
            "The loop goes forward in time. A state's gradient is complete only when the step "
            "after it has sent: begin at the last one.",
        ),
        Mistake(
            _back(results=lambda dW_x, dW_h, db: (dW_h, dW_x, db)),
            "The order of the results: dL/dW_x comes first, then dL/dW_h and dL/db.",
        ),
        Mistake(
            _back(results=lambda dW_x, dW_h, db: (dW_x, dW_h.T, db)),
            "dL/dW_h is transposed: row i and column j belong to the weight that leads *to* number "
            "i of the new state, *from* number j of the old one.",
        ),
        Mistake(
            lambda x, h, W_h, G: tuple(
                part / len(x)
                for part in rnn_backward(x, h, W_h, G)  # a mean over the steps
            ),
            "The shares of the steps are averaged. If a weight grows, it grows at each of the "
            "steps at once, and all the changes count in full: add them.",
        ),
        Mistake(
            _back(on=lambda W_h, d, g: W_h.T @ d + g),
            "What has arrived at h[t] is sent on as it is, besides what goes through tanh and W_h. "
            "There is no such way in equation (1): the old state is inside tanh only.",
        ),
        Mistake(
            _back(
                arrives=lambda g, G, t: g,
                before=lambda g, h, t, G: (1 - h[t] ** 2) * (g + G[t - 1]),
                on=lambda W_h, d, g: W_h.T @ d + g,
            ),
            "What came from later states is kept, and added again to all states before. It has to "
            "be replaced at each step: only what passes this step's tanh and W_h goes on.",
        ),
        Mistake(
            _one_step_back,
            "Each answer's gradient goes back one step and no further. What h[t] sends to the "
            "state before is a share of all that arrived at it, from its own answer *and* from "
            "the state after it.",
        ),
    ),
    after="Next: what would you add to return dL/dx[t] too?",
)

# --- 8.3 how fast a gradient vanishes -------------------------------------------------------------


def steps_until_gone(W_h: Array, share: float) -> float:
    """Return the first n for which a gradient is surely below this share of itself.

    n is the number of steps back; it is math.inf where W_h does not promise any.
    """
    s = np.linalg.norm(W_h, 2)
    if s >= 1:
        return float("inf")
    n = 0
    while s**n >= share:
        n += 1
    return n


def _counted(W_h: Array, share: float) -> float:
    """The truth: s from the largest eigenvalue of W^T W, and the bound multiplied out."""
    s = math.sqrt(np.linalg.eigvalsh(W_h.T @ W_h)[-1])
    return next((n for n in range(3500) if s**n < share), math.inf)


def _until(
    size: Callable[[Array], Any] = lambda W: np.linalg.norm(W, 2),
    steps: Callable[[float, float], float] = lambda s, share: math.floor(_ratio(s, share)) + 1,
    never: bool = True,
    none: float = math.inf,
) -> Callable[..., float]:
    """The answer with a mistake: another size of the matrix, or another number of steps."""

    def until(W_h: Array, share: float) -> float:
        s = float(size(W_h))
        return none if never and s >= 1 else steps(s, share)

    return until


def _of_the_power(W_h: Array, share: float) -> float:
    if np.linalg.norm(W_h, 2) >= 1:
        return math.inf
    n, power = 1, W_h
    while np.linalg.norm(power, 2) >= share:
        n, power = n + 1, power @ W_h
    return n


def _ratio(s: float, share: float) -> float:
    return math.log(share) / math.log(s) if s else 0.0  # all is gone after any step


def _scaled(seed: int, n: int, s: float, share: float) -> dict[str, Any]:
    case = draw(seed, W_h=(n, n), share=share)
    case["W_h"] *= s / np.linalg.norm(case["W_h"], 2)
    return case


PROMISED = Values(
    truth=_counted,
    needs=("W_h", "share"),
    cases=(
        _scaled(0, 3, 0.9, 0.001),
        _scaled(1, 4, 0.5, 0.01),
        _scaled(2, 2, 0.999, 0.05),
        _scaled(3, 3, 1.2, 0.001),
        {"W_h": np.array([[0.0, 0.8], [0.0, 0.0]]), "share": 0.1},
        {"W_h": np.array([[0.6, 0.6], [0.6, 0.6]]), "share": 0.1},
    ),
    names=("the number of steps",),
)


def _judge_gone(function: Callable[..., Any]) -> Iterator[Result]:
    """The cases, and one more with s = 1, where a loop without a limit does not end."""
    yield from PROMISED(function)
    lines = 0

    def count(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        lines += 1
        if lines > 1_000_000:
            raise Wrong(
                "For W_h = [[1, 0], [0, 1]] the function has not ended after a million lines. s is "
                "1 there, so s^n stays 1, and no number of steps is promised."
            )
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        got = function(np.eye(2), 0.1)
    finally:
        sys.settrace(before)
    yield Result("the number of steps", got, math.inf, "W_h = [[1. 0.] [0. 1.]], share = 0.1")


GONE = Exercise(
    number="8.3",
    chapter=8,
    title="After how many steps a gradient is gone",
    level=2,
    minutes=10,
    task="""
A network has the matrix W_h (H, H). After how many steps back is a gradient *surely* shorter than
`share` of what it was, whatever the network reads? Return the smallest such number of steps that
inequality (7) promises, or math.inf if it promises none, as
where s is 1. 0 < share < 1.
""",
    hints=(
        "Inequality (7) has one number of the matrix in it. NumPy computes it; the chapter shows "
        "how.",
        "Look for the smallest n with s^n below the share, by a loop or by logarithms. When is "
        "there none?",
    ),
    answer=steps_until_gone,
    judge=_judge_gone,
    against="the bound, step by step",
    mistakes=(
        Mistake(
            _until(np.linalg.norm),
            "np.linalg.norm without a 2 is the root of the sum of all squares. That is a bound "
            "too, but a worse one: no vector is stretched that far. The smallest number is asked "
            "for.",
        ),
        Mistake(
            _until(lambda W: np.abs(np.linalg.eigvals(W)).max()),
            "This is the largest eigenvalue. It says what happens in the very long run to one "
            "direction; on the way there a vector can be stretched more. What bounds every single "
            "step is the largest singular value.",
        ),
        Mistake(
            _until(lambda W: np.abs(W).max()),
            "The largest entry of the matrix is no bound: several entries of a row can work "
            "together and stretch a vector more.",
        ),
        Mistake(
            _until(lambda W: np.linalg.svd(W)[1][-1]),
            "This is the smallest singular value, the least stretch. The gradient may lie in the "
            "direction of the largest.",
        ),
        Mistake(
            _until(lambda W: np.linalg.svd(W)[1].mean()),
            "This is the mean of the singular values. The gradient may lie in the direction that "
            "is stretched most, so only the largest is sure.",
        ),
        Mistake(
            _until(lambda W: np.abs(W).sum(axis=1).max()),
            "The largest sum of a row is another norm of the matrix, not the largest stretch of a "
            "length.",
        ),
        Mistake(
            _until(lambda W: np.linalg.norm(W, 1)),
            "The largest sum of a column (np.linalg.norm with a 1) is another norm of the matrix, "
            "not the largest stretch of a length.",
        ),
        Mistake(
            _until(lambda W: np.linalg.eigvalsh(W).max()),
            "eigvalsh takes the matrix for a symmetric one, and looks at its lower half only; W_h "
            "is not symmetric. Nor are eigenvalues what bounds a step.",
        ),
        Mistake(
            _of_the_power,
            "This is how far a power of W_h stretches. But between two factors W_h stand the "
            "slopes of tanh, other ones at each step, and with them the product may stretch "
            "further. Only what is promised step by step is sure.",
        ),
        Mistake(
            _until(lambda W: np.linalg.norm(W, 2) ** 2),
            "The largest stretch is squared. A step multiplies by s once.",
        ),
        Mistake(
            _until(steps=lambda s, share: math.floor(_ratio(s, share))),
            "Rounded down: after this number of steps the bound is not yet below the share. One "
            "more is needed.",
        ),
        Mistake(
            _until(steps=_ratio),
            "This is where s^n is equal to the share, between two steps. There are only whole "
            "steps: the first one that is below it is asked for.",
        ),
        Mistake(
            _until(steps=lambda s, share: math.floor(_ratio(s, share)) + 2),
            "One step too many: the bound is below the share a step earlier. (A loop that counts "
            "before it looks does this.)",
        ),
        Mistake(
            _until(never=False),
            "Right where s is below 1. Where it is above, s^n grows and nothing is promised; the "
            "logarithms give a negative number all the same.",
        ),
        *(
            Mistake(
                _until(none=none),
                f"Where s is 1 or more you return {none}. No number of steps is promised there, "
                "and `math.inf` says so.",
            )
            for none in (0, -1)
        ),
        Mistake(
            _until(steps=lambda s, share: max(math.ceil((1 - share) / (1 - s)), 0)),
            "Here each step subtracts 1 - s. It multiplies by s: the second step takes away a "
            "share of what is left, not of the whole.",
        ),
    ),
    after="Next: set the spectral norm of a matrix of your own to 0.99, and count again.",
)

# --- 8.4 pieces -----------------------------------------------------------------------------------


def learn_in_pieces(
    x: Array,
    h: mg.Tensor,
    K: int,
    read: Callable[[Array, mg.Tensor], tuple[mg.Tensor, mg.Tensor]],
    learn: Callable[[mg.Tensor], None],
) -> mg.Tensor:
    """Read x (T,) in pieces of K members, learn from each, and return the last state.

    read(piece, h) returns the loss of a piece and the state after it; h is the state before it.
    learn(loss) goes back through the graph of this loss, and changes the weights.
    """
    for start in range(0, len(x), K):
        of_piece, h = read(x[start : start + K], h)
        learn(of_piece)
        h = h.detach()
    return h


def _pieces(
    starts: Callable[[int, int], Any] = lambda T, K: range(0, T, K),
    size: Callable[[int], int] = lambda K: K,
    before: Callable[..., mg.Tensor] = lambda h, first: h.detach(),
    after: Callable[[mg.Tensor], mg.Tensor] = lambda h: h.detach(),
    loss: Callable[[mg.Tensor], mg.Tensor] = lambda loss: loss,
    together: bool = False,
) -> Callable[..., Any]:
    """The loop with a mistake: one of its parts done otherwise."""

    def loop(x: Array, h: mg.Tensor, K: int, read: Any, learn: Any) -> mg.Tensor:
        first, losses = h, []
        for start in starts(len(x), K):
            found, h = read(x[start : start + size(K)], before(h, first))
            losses.append(found)
            if not together:
                learn(loss(found))
        if together:
            learn(sum(losses[1:], losses[0]))
        return after(h)

    return loop


def _exchanged(x: Array, h: mg.Tensor, K: int, read: Any, learn: Any) -> mg.Tensor:
    for start in range(0, len(x), K):
        h, of_piece = read(x[start : start + K], h)
        learn(of_piece)
        h = h.detach()
    return h


CUTS = ((7, 3), (6, 2), (4, 5))  # T and K


def _judge_pieces(function: Callable[..., Any]) -> Iterator[Result]:
    for T, K in CUTS:
        x = np.asarray(np.random.RandomState(T).standard_normal(T))
        pieces: list[Array] = []
        gradients: list[float] = []
        calls: list[str] = []
        w = mg.tensor(0.8, dtype="float64", requires_grad=True)

        def read(
            piece: Array,
            h: mg.Tensor,
            w: mg.Tensor = w,
            pieces: list[Array] = pieces,
            calls: list[str] = calls,
        ) -> tuple[mg.Tensor, mg.Tensor]:
            pieces.append(np.array(piece))
            calls.append("read")
            loss = 0.0 * w  # of an empty piece too one can go back
            for x_t in piece:
                h = mg.tanh(w * h + float(x_t))
                loss = loss + h * h
            return loss, h

        def learn(
            loss: mg.Tensor,
            w: mg.Tensor = w,
            gradients: list[float] = gradients,
            calls: list[str] = calls,
        ) -> None:
            calls.append("learn")
            [g] = mg.grad(loss, [w], retain_graph=True)  # a forgotten cut is to show in numbers
            gradients.append(0.0 if g is None else g.item())

        def with_both(x: Array, h: mg.Tensor, K: int, read: Any = read, learn: Any = learn) -> Any:
            return function(x, h, K, read, learn)

        got = call(with_both, {"x": x, "h": mg.tensor(0.5, dtype="float64"), "K": K})
        where = f"T = {T} and K = {K}"
        right = [x[start : start + K] for start in range(0, T, K)]
        sizes, wanted = [len(piece) for piece in pieces], [len(piece) for piece in right]
        yield Result("the list of the pieces' sizes", sizes, wanted, where)
        if len(sizes) != len(wanted):
            return
        for i, (mine, piece) in enumerate(zip(pieces, right, strict=True), start=1):
            yield Result(f"the part of x in piece {i}", mine, piece, where)
        expected, h = _by_hand(right)
        yield Result("the number of calls of learn", len(gradients), len(expected), where)
        yield Result("the sum of all gradients of the weight", sum(gradients), sum(expected), where)
        if len(gradients) != len(expected):
            return
        if calls != ["read", "learn"] * len(right):
            raise Wrong(
                "All gradients are right, but not in time: pieces were read before the piece "
                "before them was learnt from. Until then their graphs stay in memory, and the "
                "weights do not change on the way."
            )
        for i, (mine, g) in enumerate(zip(gradients, expected, strict=True), start=1):
            yield Result(f"the weight's gradient from piece {i}", mine, g, where)
        if got is None or got is ...:
            yield Result("the last state", got, h, where)
            continue
        if not isinstance(got, mg.Tensor):
            raise Wrong(f"Return the last state, a Tensor; yours is of type {type(got).__name__}.")
        yield Result("the last state", got.detach().item(), h, where)
        cut = not (got.requires_grad and mg.grad(got, [w])[0] is not None)
        yield Result("whether the last state is cut off from the graph", cut, True, where)


def _by_hand(pieces: list[Array], w: float = 0.8, h: float = 0.5) -> tuple[list[float], float]:
    """The gradient of each piece's loss by w, where the state before the piece is a constant."""
    gradients = []
    for piece in pieces:
        slope = gradient = 0.0  # dh/dw and dL/dw, going forward
        for x_t in piece:
            before, h = h, math.tanh(w * h + float(x_t))
            slope = (1 - h * h) * (before + w * slope)
            gradient += 2 * h * slope
        gradients.append(gradient)
    return gradients, h


PIECES = Exercise(
    number="8.4",
    chapter=8,
    title="Carry the state, cut the graph",
    level=2,
    minutes=15,
    task="""
Truncated backpropagation through time. x is a long sequence. Read it in pieces of K members (the
last piece may be shorter): read(piece, h) returns the loss of the piece and the state after it,
both Tensors. Learn from each piece before you read the next one, by learn(loss), which goes back
through the graph. The state is carried on, and no gradient goes from one piece into the piece
before. Return the last state, also without a graph.
""",
    hints=(
        "A loop over the places 0, K, 2K, ... at which the pieces begin. The state that `read` "
        "returns is what the next piece begins with.",
        "Between two pieces the state keeps its numbers and forgets how they came about. Chapter "
        "1 has a method of Tensors for that; it returns a new Tensor.",
    ),
    answer=learn_in_pieces,
    judge=_judge_pieces,
    mistakes=(
        Mistake(
            _pieces(before=lambda h, first: h),
            "The graph is never cut between the pieces: each gradient also goes back into all the "
            "pieces before. In a real loop the second backward raises GraphFreedError. (A call of "
            "`h.detach()` alone changes nothing: it returns a new Tensor.)",
        ),
        Mistake(
            _pieces(before=lambda h, first: h, after=lambda h: h),
            "The graph is never cut: each gradient also goes back into all the pieces before, and "
            "the last state still has the whole graph behind it. In a real loop the second "
            "backward raises GraphFreedError. (A call of `h.detach()` alone changes nothing: it "
            "returns a new Tensor.)",
        ),
        Mistake(
            _pieces(before=lambda h, first: mg.zeros(dtype="float64")),
            "Each piece begins with zeros. The graph is cut, but the numbers are lost too: what "
            "was read before a piece plays no part in it.",
        ),
        Mistake(
            _pieces(
                before=lambda h, first: mg.zeros(dtype="float64") if h is first else h.detach(),
            ),
            "The first piece begins with zeros. The state before it is given, h.",
        ),
        Mistake(
            _exchanged,
            "What `read` returns is taken in the wrong order: the loss comes first, the state "
            "second.",
        ),
        Mistake(
            _pieces(before=lambda h, first: first),
            "Each piece begins with the very first state: what `read` returns as the new state is "
            "not carried on.",
        ),
        Mistake(
            _pieces(after=lambda h: h),
            "In the loop all is right, but the state that you return still has the last piece's "
            "graph behind it. Whoever goes on from it would go back into it.",
        ),
        Mistake(
            _pieces(starts=lambda T, K: range(0, T - K + 1, K)),
            "The last piece is left out where it is shorter than K.",
        ),
        Mistake(
            _pieces(starts=lambda T, K: range(0, T + 1, K)),
            "Where K divides T, an empty piece is read at the end, after the last member.",
        ),
        Mistake(
            _pieces(starts=lambda T, K: range(T)),
            "A piece begins at every place, so the pieces overlap, and most members are read "
            "several times. The next piece begins where the last one ended.",
        ),
        Mistake(
            _pieces(starts=lambda T, K: range(T), size=lambda K: 1),
            "The pieces have one member each: no gradient goes back over any step. Cut between "
            "the pieces, not between the steps.",
        ),
        Mistake(
            _pieces(size=lambda K: K + 1),
            "The pieces have K + 1 members: a slice ends before its second number.",
        ),
        Mistake(
            _pieces(size=lambda K: K - 1),
            "The pieces have K - 1 members, and one is lost between two of them: a slice ends "
            "before its second number.",
        ),
        Mistake(
            _pieces(starts=lambda T, K: [0], size=lambda K: 10**9),
            "Everything is read as one piece. For a long sequence that would take all the memory, "
            "and one single step of learning.",
        ),
        Mistake(
            _pieces(together=True),
            "The pieces are right, but they are learnt from in the end, all at once. Until then "
            "the graphs of all of them stay in memory, and the weights do not change on the way.",
        ),
        Mistake(
            _pieces(loss=lambda loss: loss.detach()),
            "The loss is cut off, so nothing can go back from it. The *state* is to be cut, "
            "between two pieces.",
        ),
    ),
    against="the gradient of each piece by hand, its first state a constant",
    after="Next: run the chapter's Echo with pieces of four and of five, and a delay of your own.",
)

EXERCISES = (STATES, BACKWARD, GONE, PIECES)
