"""Exercises of chapter 9: a step of the LSTM, its backward pass, and how long a cell remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.learn.exercise import Array, Exercise, Mistake, Values, draw
from minigrad.learn.judges import differences

# --- 9.1 one step -------------------------------------------------------------------------------


def lstm_step(x: Array, h: Array, C: Array, W: Array, b: Array) -> tuple[Array, Array]:
    """Return the new h and C (H, N) from x (D, N), the old h and C, W (4H, D + H) and b (4H,)."""
    z = np.concatenate([x, h])
    i, f, candidate, o = np.split(W @ z + b[:, None], 4)
    i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
    C = f * C + i * np.tanh(candidate)
    return o * np.tanh(C), C


def _sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def _cell(
    order: str = "ifCo",
    *,
    z: Callable[[Array, Array], Array] = lambda x, h: np.concatenate([x, h]),
    gate: Callable[[Any], Any] = _sigmoid,
    candidate: Callable[[Any], Any] = np.tanh,
    memory: Callable[..., Any] = lambda f, C, i, new: f * C + i * new,
    shown: Callable[..., Any] = lambda o, C, before: o * np.tanh(C),
    results: Callable[[Any, Any], Any] = lambda h, C: (h, C),
    bias: int = 1,
) -> Callable[..., Any]:
    """A step of the LSTM with a mistake: one of its parts done otherwise."""

    def step(x: Array, h: Array, C: Array, W: Array, b: Array) -> Any:
        parts = np.split(W @ z(x, h) + bias * b[:, None], 4)
        a = dict(zip(order, parts, strict=True))
        new = memory(gate(a["f"]), C, gate(a["i"]), candidate(a["C"]))
        return results(shown(gate(a["o"]), new, C), new)

    return step


def _one_element(x: Array, h: Array, C: Array, W: Array, b: Array) -> tuple[Array, Array]:
    """The six equations for one memory cell and one sequence at a time."""
    H, N = h.shape
    new_h, new_C = np.zeros((H, N)), np.zeros((H, N))
    for n in range(N):
        z = [*x[:, n], *h[:, n]]
        for k in range(H):
            i, f, candidate, o = (
                sum(w * value for w, value in zip(W[row], z, strict=True)) + b[row]
                for row in (k, H + k, 2 * H + k, 3 * H + k)
            )
            new_C[k, n] = _sigmoid(f) * C[k, n] + _sigmoid(i) * np.tanh(candidate)
            new_h[k, n] = _sigmoid(o) * np.tanh(new_C[k, n])
    return new_h, new_C


STEP = Exercise(
    number="9.1",
    chapter=9,
    title="One step of the LSTM",
    level=2,
    minutes=15,
    task="""
Write equations (1) to (6) for N sequences at once. x (D, N) is what is read, h and C (H, N) are
the old hidden state and the old memory. W (4H, D + H) holds the four matrices one below the other,
in PyTorch's order: input gate, forget gate, candidate, output gate; b (4H,) holds their biases in
the same order. Return the new h and the new C.
""",
    hints=(
        "First z, x on top of h, and then one product W z + b gives all four parts at once. "
        "`np.split(a, 4)` cuts an array into four equal parts along axis 0.",
        "b needs a second axis, so that it is added to every column. Three of the parts go through "
        "the sigmoid and one through tanh. Compute the new memory before the new h: (6) reads it.",
    ),
    answer=lstm_step,
    judge=Values(
        truth=_one_element,
        needs=("x", "h", "C", "W", "b"),
        cases=(
            draw(0, x=(1, 3), h=(2, 3), C=(2, 3), W=(8, 3), b=(8,)),
            draw(1, x=(2, 4), h=(3, 4), C=(3, 4), W=(12, 5), b=(12,)),
            draw(2, x=(3, 1), h=(1, 1), C=(1, 1), W=(4, 4), b=(4,)),
        ),
        torch=(
            "[new.T for new in torch.lstm_cell(x.T, (h.T, C.T), W[:, :len(x)], W[:, len(x):], b, "
            "0 * b)]"
        ),
        names=("the new h", "the new C"),
        against="the equations, element by element",
    ),
    mistakes=(
        Mistake(
            _cell("fiCo"),
            "The input gate and the forget gate have changed places. Either the first two quarters "
            "of W are exchanged (the input gate's comes first), or the two gates are in (4).",
        ),
        Mistake(
            _cell("ifoC"),
            "The last two quarters of W are exchanged: the candidate is the third, and the output "
            "gate the last.",
        ),
        Mistake(
            _cell("fioC"),
            "The order of the quarters is not forget, input, output, candidate: here W holds the "
            "input gate, the forget gate, the candidate and then the output gate.",
        ),
        Mistake(
            _cell(shown=lambda o, C, before: o * C),
            "C is right. In h the tanh is missing: the memory may have any size, and what is shown "
            "of it should lie between -1 and 1.",
        ),
        Mistake(
            _cell(shown=lambda o, C, before: o * np.tanh(before)),
            "C is right. But h shows the old memory, which does not know what has just been read: "
            "(6) comes after (4).",
        ),
        Mistake(
            _cell(shown=lambda o, C, before: np.tanh(o * C)),
            "C is right. In h the output gate stands inside the tanh. The memory goes through tanh "
            "first, and then the gate says how much of that is shown.",
        ),
        Mistake(
            _cell(shown=lambda o, C, before: np.tanh(C)),
            "C is right. The output gate is missing from h.",
        ),
        Mistake(
            _cell(candidate=_sigmoid),
            "The candidate goes through the sigmoid, so it is never negative and the memory can "
            "only be raised. It is no gate: it has to lie between -1 and 1.",
        ),
        Mistake(
            _cell(candidate=lambda a: a),
            "The candidate has no tanh, so that a single step may write a number of any size.",
        ),
        Mistake(
            _cell(gate=np.tanh),
            "The gates go through tanh and may become negative. A gate is a share, between 0 and "
            "1: that is the sigmoid.",
        ),
        Mistake(
            _cell(memory=lambda f, C, i, new: (1 - f) * C + i * new),
            "The forget gate is turned round. In spite of its name it says how much *stays*: at 1 "
            "everything is kept.",
        ),
        Mistake(
            _cell(memory=lambda f, C, i, new: f * C + (1 - f) * new),
            "What goes in is 1 - f, as in a GRU, and the input gate is not used. An LSTM has two "
            "gates for keeping and for writing, which may both be open.",
        ),
        Mistake(
            _cell(memory=lambda f, C, i, new: C + i * new),
            "The forget gate is not used, so everything is kept for ever. That was the LSTM of "
            "1997.",
        ),
        Mistake(
            _cell(memory=lambda f, C, i, new: f * C + new),
            "The input gate is not used: the whole candidate goes in at every step.",
        ),
        Mistake(
            _cell(memory=lambda f, C, i, new: f * (C + i * new)),
            "The forget gate also multiplies what is written. It decides about the old memory "
            "alone.",
        ),
        Mistake(
            _cell(
                memory=lambda f, C, i, new: np.tanh(f * C + i * new),
                shown=lambda o, C, before: o * C,
            ),
            "C itself goes through tanh and is kept so. Only what is shown of it, in (6), does.",
        ),
        Mistake(
            _cell(z=lambda x, h: np.concatenate([h, x])),
            "z has h on top of x. The first D columns of W belong to x, so x has to come first.",
        ),
        Mistake(
            _cell(bias=0),
            "The biases are missing. Without them every gate is half open where x and h are 0.",
        ),
        Mistake(
            _cell(results=lambda h, C: (C, h)),
            "The two results are exchanged: first the new h, then the new C.",
        ),
    ),
    after="Next: find the same six equations, fused, in lstm_cell of minigrad/ops/recurrent.py.",
)

# --- 9.2 back through one step --------------------------------------------------------------------


def coupled_step_backward(
    dh: Array, dC: Array, f: Array, candidate: Array, o: Array, C_before: Array
) -> tuple[Array, Array, Array, Array]:
    """Return dL/da_f, dL/da_C, dL/da_o and dL/dC_before; all arrays are (H, N)."""
    C = f * C_before + (1 - f) * candidate
    dC = dC + dh * o * (1 - np.tanh(C) ** 2)
    return (
        dC * (C_before - candidate) * f * (1 - f),
        dC * (1 - f) * (1 - candidate**2),
        dh * np.tanh(C) * o * (1 - o),
        dC * f,
    )


def _two_outputs(a_f: Array, a_C: Array, a_o: Array, C_before: Array) -> Array:
    """h and C, one above the other."""
    C = _sigmoid(a_f) * C_before + (1 - _sigmoid(a_f)) * np.tanh(a_C)
    return np.stack([_sigmoid(a_o) * np.tanh(C), C])


def _by_differences(
    dh: Array, dC: Array, f: Array, candidate: Array, o: Array, C_before: Array
) -> tuple[Array, ...]:
    a_f, a_o = (np.log(gate / (1 - gate)) for gate in (f, o))
    case = {"a_f": a_f, "a_C": np.arctanh(candidate), "a_o": a_o, "C_before": C_before}
    g = np.stack([dh, dC])
    return tuple(differences(_two_outputs, case, name, g) for name in case)


def _gated(seed: int, shape: tuple[int, int]) -> dict[str, Array]:
    """A case: gates between 0 and 1, a candidate between -1 and 1, the others normal."""
    case = draw(seed, **dict.fromkeys(("dh", "dC", "f", "candidate", "o", "C_before"), shape))
    case |= {name: _sigmoid(case[name]) for name in "fo"}
    return case | {"candidate": np.tanh(case["candidate"])}


def _back(
    total: Callable[..., Any] = lambda dC, dh, o, slope: dC + dh * o * slope,
    slope: Callable[[Any], Any] = lambda C: 1 - np.tanh(C) ** 2,
    gate: Callable[[Any], Any] = lambda k: k * (1 - k),
    squashed: Callable[[Any], Any] = lambda candidate: 1 - candidate**2,
    to_f: Callable[..., Any] = lambda C_before, candidate, C: C_before - candidate,
    to_o: Callable[..., Any] = lambda dh, dC, C, C_before: dh * np.tanh(C),
    let_in: Callable[[Any], Any] = lambda f: 1 - f,
    kept: Callable[..., Any] = lambda total, dC, f: total * f,
    memory: Callable[..., Any] = lambda f, candidate, C_before: f * C_before + (1 - f) * candidate,
    gate_o: Callable[[Any], Any] | None = None,
) -> Callable[..., Any]:
    """The way back with a mistake: one of its parts done otherwise."""

    def step(dh: Array, dC: Array, f: Array, candidate: Array, o: Array, C_before: Array) -> Any:
        C = memory(f, candidate, C_before)
        whole = total(dC, dh, o, slope(C))
        return (
            whole * to_f(C_before, candidate, C) * gate(f),
            whole * let_in(f) * squashed(candidate),
            to_o(dh, whole, C, C_before) * (gate_o or gate)(o),
            kept(whole, dC, f),
        )

    return step


BACKWARD = Exercise(
    number="9.2",
    chapter=9,
    title="Back through one step, with i = 1 - f",
    level=3,
    minutes=25,
    task="""
An LSTM without an input gate: what a cell lets go makes room for the new, i = 1 - f, so that (4)
is C = f C_before + (1 - f) candidate. All else is as in the chapter. At one step the gates were f
and o, the candidate was candidate, and the memory before the step C_before. dh and dC are the
gradients of L that have arrived at the new h and, from the next step, at the new C. Return four
arrays: the gradients by a_f, a_C and a_o (what stands in the brackets of the sigmoids and of the
tanh), and the gradient by C_before. All arrays are (H, N).
""",
    hints=(
        "Compute the new C again, then go from equation (6) to (1). The first thing to find is the "
        "whole gradient at C, which has two parts.",
        "f stands twice in this (4), so its gradient has two parts, and one of them has a minus. "
        "Everything behind the memory uses the *whole* dC, also the gradient by C_before.",
    ),
    answer=coupled_step_backward,
    judge=Values(
        truth=_by_differences,
        needs=("dh", "dC", "f", "candidate", "o", "C_before"),
        cases=(_gated(0, (2, 3)), _gated(1, (3, 2)), _gated(2, (4, 1))),
        torch=(
            "torch.func.vjp(lambda a_f, a_C, a_o, before: (torch.sigmoid(a_o) * torch.tanh("
            "torch.lerp(torch.tanh(a_C), before, torch.sigmoid(a_f))), "
            "torch.lerp(torch.tanh(a_C), before, torch.sigmoid(a_f))), torch.logit(f), "
            "torch.atanh(candidate), torch.logit(o), C_before)[1]((dh, dC))"
        ),
        names=("dL/da_f", "dL/da_C", "dL/da_o", "dL/dC_before"),
        against="central differences of the equations",
    ),
    mistakes=(
        Mistake(
            _back(memory=lambda f, candidate, C_before: f * C_before + candidate),
            "The new C is computed without the input gate, which is 1 - f here. So tanh(C) and its "
            "slope are those of another memory.",
        ),
        Mistake(
            _back(memory=lambda f, candidate, C_before: f * C_before + f * candidate),
            "The new C is computed with f as its input gate; here i = 1 - f. So tanh(C) and its "
            "slope are those of another memory.",
        ),
        Mistake(
            _back(memory=lambda f, candidate, C_before: C_before),
            "The slope of tanh and dL/da_o are taken at the memory before the step. Equation (6) "
            "shows the new one: compute C first.",
        ),
        Mistake(
            _back(gate=lambda k: 1, gate_o=lambda k: k * (1 - k)),
            "dL/da_f is the gradient by the gate f itself. By a_f, what stands in the bracket, it "
            "has the slope of the sigmoid too.",
        ),
        Mistake(
            _back(gate_o=lambda k: 1),
            "dL/da_o is the gradient by the gate o itself. By a_o, what stands in the bracket, it "
            "has the slope of the sigmoid too.",
        ),
        Mistake(
            _back(kept=lambda total, dC, f: total * (1 - f)),
            "dL/dC_before has the wrong factor: 1 - f multiplies the candidate. What multiplies "
            "the old memory on the way forward multiplies its gradient on the way back.",
        ),
        Mistake(
            _back(to_o=lambda dh, dC, C, C_before: dh),
            "In dL/da_o the factor of o is missing: h is o times something, and the gradient by "
            "one factor contains the other.",
        ),
        Mistake(
            _back(to_f=lambda C_before, candidate, C: C_before),
            "dL/da_f is that of an LSTM with an input gate of its own. Here f also decides how "
            "much of the candidate goes in, and this part is missing.",
        ),
        Mistake(
            _back(to_f=lambda C_before, candidate, C: C_before + candidate),
            "f has two parts in its gradient, but one of them has the wrong sign: where the gate "
            "rises, less of the candidate goes in.",
        ),
        Mistake(
            _back(to_f=lambda C_before, candidate, C: candidate - C_before),
            "dL/da_f has the wrong sign: the old memory is what the gate f lets through.",
        ),
        Mistake(
            _back(to_f=lambda C_before, candidate, C: -candidate),
            "dL/da_f has the part of the candidate alone. f also multiplies the old memory.",
        ),
        Mistake(
            _back(to_f=lambda C_before, candidate, C: C - candidate),
            "In dL/da_f stands the new memory. The gate has multiplied the old one; whoever loops "
            "backward has to have kept both.",
        ),
        Mistake(
            _back(let_in=lambda f: f),
            "In dL/da_C stands f. What multiplies the candidate is what lets it in.",
        ),
        Mistake(
            _back(let_in=lambda f: 1.0),
            "In dL/da_C the gate is missing: the candidate goes in only in part.",
        ),
        Mistake(
            _back(total=lambda dC, dh, o, slope: dC),
            "What comes back through h is missing from the memory's gradient. C is used twice, at "
            "the next step and in (6), so its gradient is a sum of two parts.",
        ),
        Mistake(
            _back(total=lambda dC, dh, o, slope: dh * o * slope),
            "The dC that has arrived from the next step is lost: what comes through h replaces it. "
            "That cuts the very way that carries the gradient through many steps.",
        ),
        Mistake(
            _back(total=lambda dC, dh, o, slope: (dC + dh * o) * slope),
            "The slope of tanh belongs to what comes through h. The dC of the next step has not "
            "gone through this tanh.",
        ),
        Mistake(
            _back(total=lambda dC, dh, o, slope: o * (dC + dh * slope)),
            "The output gate belongs to what comes through h. The dC of the next step has not gone "
            "through this gate.",
        ),
        Mistake(
            _back(kept=lambda total, dC, f: dC * f),
            "The other gradients are right. But to C_before goes the dC of the next step alone; "
            "the part that came through h belongs to it too.",
        ),
        Mistake(
            _back(kept=lambda total, dC, f: total),
            "The other gradients are right. But the memory's gradient goes on as it is: on its way "
            "to C_before it passes a product, in (4).",
        ),
        Mistake(
            _back(kept=lambda total, dC, f: dC + total * f),
            "The other gradients are right. To C_before dC is handed on twice, once without the "
            "gate. There is one way to C_before, through the product in (4).",
        ),
        Mistake(
            _back(slope=lambda C: 1 - C**2),
            "The slope of tanh is 1 minus the square of its *result*. Its result is tanh(C), not C "
            "itself.",
        ),
        Mistake(
            _back(slope=lambda C: 1.0),
            "On the way from h to C the slope of the tanh is missing.",
        ),
        Mistake(
            _back(total=lambda dC, dh, o, slope: dC + dh * slope),
            "On the way from h to C the output gate is missing: what it has not shown has no "
            "influence through h.",
        ),
        Mistake(
            _back(gate=lambda k: _sigmoid(k) * (1 - _sigmoid(k))),
            "The slope of the sigmoid is written with its result, and f and o *are* the results. "
            "Here they go through the sigmoid once more.",
        ),
        Mistake(
            _back(gate=lambda k: 1 - k**2),
            "The gates have the slope of tanh, 1 - k^2. They came out of a sigmoid.",
        ),
        Mistake(
            _back(gate=lambda k: 1.0),
            "These are the gradients by the gates f and o. What is asked for lies before the "
            "sigmoid, so its slope is missing.",
        ),
        Mistake(
            _back(gate=lambda k: 1.0, squashed=lambda candidate: 1.0),
            "These are the gradients by f, o and the candidate. What is asked for lies before the "
            "sigmoids and the tanh, so their slopes are missing.",
        ),
        Mistake(
            _back(squashed=lambda candidate: 1.0),
            "dL/da_C lacks the slope of the tanh; the gradient by the candidate itself is not yet "
            "what is asked for.",
        ),
        Mistake(
            _back(squashed=lambda candidate: 1 - np.tanh(candidate) ** 2),
            "In dL/da_C the candidate goes through tanh once more. It is the result of the tanh "
            "already.",
        ),
        Mistake(
            _back(squashed=lambda candidate: candidate * (1 - candidate)),
            "In dL/da_C stands the slope of the sigmoid. The candidate came out of a tanh.",
        ),
        Mistake(
            _back(to_o=lambda dh, dC, C, C_before: dh * C),
            "In dL/da_o the output gate's partner in the product of (6) is tanh(C), not C.",
        ),
        Mistake(
            _back(to_o=lambda dh, dC, C, C_before: dh * np.tanh(C_before)),
            "In dL/da_o stands the old memory. What the output gate shows is the new one.",
        ),
        Mistake(
            _back(to_o=lambda dh, dC, C, C_before: dC * np.tanh(C)),
            "In dL/da_o stands the memory's gradient. The output gate acts on h, so dh is what "
            "reaches it.",
        ),
    ),
    after="Next: compare with the LSTM's kernel in minigrad/backends/numpy/recurrent.py.",
)

# --- 9.3 chrono initialisation --------------------------------------------------------------------


def chrono_biases(u: Array) -> tuple[Array, Array]:
    """Return the biases of the forget and of the input gate (H,) for the times u (H,), above 0."""
    return np.log(u), -np.log(u)


def _biases_by_trial(u: Array) -> tuple[Array, Array]:
    """Halve an interval until the gates keep u / (1 + u), and let in the rest."""
    found = []
    for wanted in (u / (1 + u), 1 / (1 + u)):
        low, high = np.full(u.shape, -30.0), np.full(u.shape, 30.0)
        for _ in range(60):
            middle = (low + high) / 2
            is_small = _sigmoid(middle) < wanted
            low, high = np.where(is_small, middle, low), np.where(is_small, high, middle)
        found.append(low)
    return found[0], found[1]


CHRONO = Exercise(
    number="9.3",
    chapter=9,
    title="Biases for a given time",
    level=1,
    minutes=10,
    task="""
u (H,) holds a time for each memory cell, a number of steps. Return two arrays (H,): biases of the
forget gates, with which each gate begins at u / (1 + u) while its weights add nothing, and biases
of the input gates, with which what a cell lets in is what it lets go, i = 1 - f.
""",
    hints=(
        "The sigmoid has to give u / (1 + u). Divide numerator and denominator by u, and compare "
        "with 1 / (1 + e^-b).",
        "e^-b must be 1/u; solve for b. And 1 - sigmoid(b) is the sigmoid of another number that "
        "is close at hand.",
    ),
    answer=chrono_biases,
    judge=Values(
        truth=_biases_by_trial,
        needs=("u",),
        cases=(
            {"u": np.array([1.0, 10.0, 100.0])},
            {"u": np.array([3.5, 999.0])},
            {"u": np.array([0.5, 2.0, 20.0, 40.0])},
        ),
        torch="(torch.logit(u / (1 + u)), torch.logit(1 / (1 + u)))",
        names=("b_f", "b_i"),
        against="a search for biases that give these gates",
    ),
    mistakes=(
        Mistake(
            lambda u: (u / (1 + u), 1 / (1 + u)),
            "These are the gates themselves. A bias stands inside the sigmoid: which number does "
            "the sigmoid turn into u / (1 + u)?",
        ),
        Mistake(
            lambda u: (np.log(u), np.log(u)),
            "b_f is right. With the same bias the input gate would be as wide open as the forget "
            "gate: i = f, not 1 - f.",
        ),
        Mistake(
            lambda u: (np.log(u), 1 - np.log(u)),
            "b_f is right. The *gates* are to add up to 1, not their biases: what must stand in "
            "the sigmoid for 1 - sigmoid(b)?",
        ),
        Mistake(
            lambda u: (np.log(u), 0 * u),
            "b_f is right. With the bias 0 the input gate is half open, whatever the time is.",
        ),
        Mistake(
            lambda u: (np.log(u), 1 / np.log(u)),
            "b_f is right. The input gate is to be 1 - f; the bias of one gate is not one over the "
            "bias of the other.",
        ),
        Mistake(
            lambda u: (-np.log(u), np.log(u)),
            "The two are exchanged, or the sign is lost: a cell that is to remember for long needs "
            "a large bias of the *forget* gate.",
        ),
        Mistake(
            lambda u: (np.log10(u), -np.log10(u)),
            "The logarithm to the base 10 belongs to powers of 10; the sigmoid has powers of e.",
        ),
        Mistake(
            lambda u: (np.log(1 + u), -np.log(1 + u)),
            "With log(1 + u) the gate is (1 + u) / (2 + u): it remembers for one step too many.",
        ),
        Mistake(
            lambda u: (np.log(np.abs(u - 1)), -np.log(np.abs(u - 1))),
            "With log(u - 1) the gate is 1 - 1/u. What is asked for is u / (1 + u), which loses "
            "the share 1 / (1 + u) in each step.",
        ),
        Mistake(
            lambda u: (np.log(u / (1 + u)), np.log(1 / (1 + u))),
            "The logarithm of the gate is not its bias: the sigmoid is not e to the power of b. "
            "It has a 1 in the denominator too.",
        ),
        Mistake(
            lambda u: (u, -u),
            "With the bias u the gate is 1 / (1 + e^-u), far too near 1: for u = 10 it would keep "
            "a number for some 20000 steps.",
        ),
    ),
    after="Next: compare with biases in models/weights.py, which draws the times too.",
)

# --- 9.4 half of it is left -----------------------------------------------------------------------


def half_life_bias(n: int) -> float:
    """Return the forget gate's bias with which half of a memory cell is left after n steps."""
    f = 0.5 ** (1 / n)
    return float(np.log(f / (1 - f)))


def _bias_by_trial(n: int) -> float:
    """Halve an interval until n steps, one after the other, leave one half."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        left = 1.0
        for _ in range(n):
            left *= _sigmoid(middle)
        low, high = (middle, high) if left < 0.5 else (low, middle)
    return low


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


HALF = Exercise(
    number="9.4",
    chapter=9,
    title="Half of it is left after n steps",
    level=1,
    minutes=10,
    task="""
A memory cell's forget gate has weights 0, so it stays at sigmoid(b) for ever, and nothing is
written. Return the bias b with which half of what the cell holds is left after n steps.
""",
    hints=(
        "First the gate: after n steps f^n of the number is left. Then the bias: solve f = "
        "sigmoid(b) for b.",
        "f is the n-th root of a half. 1 / (1 + e^-b) = f gives e^-b = 1/f - 1.",
    ),
    answer=half_life_bias,
    judge=Values(
        truth=_bias_by_trial,
        needs=("n",),
        cases=({"n": 10}, {"n": 1}, {"n": 1000}),
        torch="torch.logit(torch.tensor(0.5, dtype=torch.float64) ** (1 / n)).item()",
        names=("the bias",),
        against="a search, multiplying n times",
    ),
    mistakes=(
        Mistake(
            lambda n: 0.5 ** (1 / n),
            "This is the gate f. The bias stands inside the sigmoid: which b has sigmoid(b) = f?",
        ),
        Mistake(
            lambda n: float(np.log(0.5 ** (1 / n))),
            "This is log f, which is negative. The sigmoid is not e to the power of b: solve "
            "1 / (1 + e^-b) = f.",
        ),
        Mistake(
            lambda n: -_logit(0.5 ** (1 / n)),
            "The sign is wrong: this gate lets go as much as it should keep. To remember for long "
            "the bias is positive.",
        ),
        Mistake(
            lambda n: _logit(0.5**n),
            "0.5^n is what a gate of 0.5 leaves after n steps. Here the gate is wanted of which "
            "0.5 is left: a root, not a power.",
        ),
        Mistake(
            lambda n: float(np.log(n)),
            "log n is the bias of chrono initialisation: with it a share near 1/e is left after "
            "n + 1 steps, not a half after n.",
        ),
        Mistake(
            lambda n: _logit(float(np.exp(-1 / n))),
            "With this bias a share of 1/e, or 0.37, is left after n steps. A half was asked for.",
        ),
        Mistake(
            lambda n: float(np.log(2 * n - 1)),
            "This takes f = 1 - 1/(2n), as if every step lost the same amount. Each step loses the "
            "same *share* of what is left, so less and less.",
        ),
        Mistake(
            lambda n: _logit(0.5 ** (1 / (n + 1))),
            "With this bias half is left after n + 1 steps.",
        ),
    ),
    after="Next: what is left after 10 n steps? The answer needs no computer.",
)

# --- 9.5 a probe ----------------------------------------------------------------------------------


def nearest_mean_probe(states: Array, labels: Array, new: Array) -> Array:
    """Return a label (M,) for each of the states new (M, H), from states (N, H), labels (N,)."""
    classes = np.unique(labels)
    means = np.stack([states[labels == k].mean(axis=0) for k in classes])
    distances = np.sum((new[:, None] - means) ** 2, axis=2)
    return classes[distances.argmin(axis=1)]


def _probe_by_loops(states: Array, labels: Array, new: Array) -> Array:
    found = []
    for state in new:
        best = (np.inf, -1)
        for k in sorted({int(label) for label in labels}):
            members = [s for s, label in zip(states, labels, strict=True) if label == k]
            mean = [sum(column) / len(members) for column in zip(*members, strict=True)]
            distance = sum((a - b) ** 2 for a, b in zip(state, mean, strict=True))
            best = min(best, (distance, k))
        found.append(best[1])
    return np.array(found)


def _clusters(seed: int, sizes: dict[int, int], width: int, many: int) -> dict[str, Array]:
    """A case: classes of different sizes, whose states scatter around a centre of their own."""
    random = np.random.RandomState(seed)
    centres = {k: 1.5 * random.standard_normal(width) for k in sizes}
    labels = random.permutation(np.repeat(list(sizes), list(sizes.values())))
    states = np.stack([centres[k] + random.standard_normal(width) for k in labels])
    picked = random.choice(list(sizes), many)
    new = np.stack([centres[k] + 1.3 * random.standard_normal(width) for k in picked])
    return {"states": states, "labels": labels, "new": new}


def _probe(
    centre: Callable[[Array], Array] = lambda members: members.mean(axis=0),
    score: Callable[[Array, Array], Array] = lambda new, means: (
        -np.sum((new[:, None] - means) ** 2, axis=2)
    ),
    answer: Callable[[Array, Array], Array] = lambda classes, places: classes[places],
) -> Callable[..., Any]:
    """The probe with a mistake: one of its parts done otherwise."""

    def probe(states: Array, labels: Array, new: Array) -> Any:
        classes = np.unique(labels)
        means = np.stack([centre(states[labels == k]) for k in classes])
        return answer(classes, score(new, means).argmax(axis=1))

    return probe


def _nearest_state(states: Array, labels: Array, new: Array) -> Any:
    distances = np.sum((new[:, None] - states) ** 2, axis=2)
    return labels[distances.argmin(axis=1)]


PROBE = Exercise(
    number="9.5",
    chapter=9,
    title="A probe: read a digit from a state",
    level=2,
    minutes=15,
    task="""
states (N, H) are hidden states of a trained network, one for each of N sequences, and labels (N,)
are the digits to be read from them; some digits may not occur. For each digit that occurs take the
mean of its states. Return for each row of new (M, H) the digit whose mean is nearest.
""",
    hints=(
        "`np.unique(labels)` has the digits that occur, and `states[labels == k]` the states of "
        "the digit k. Compute the means first, and then all distances.",
        "new[:, None] has the shape (M, 1, H), so that a subtraction of means (K, H) gives all "
        "pairs, (M, K, H). The place of the smallest distance is a number from 0 to K - 1, and not "
        "yet a digit.",
    ),
    answer=nearest_mean_probe,
    judge=Values(
        truth=_probe_by_loops,
        needs=("states", "labels", "new"),
        cases=(
            _clusters(0, {1: 12, 4: 5, 7: 30, 9: 8}, width=3, many=40),
            _clusters(1, {0: 6, 1: 20, 2: 9}, width=2, many=60),
            _clusters(2, {3: 15, 8: 4, 5: 9, 6: 11, 2: 7}, width=4, many=80),
        ),
        names=("the array of digits",),
        against="loops over all states and digits",
    ),
    mistakes=(
        Mistake(
            _probe(answer=lambda classes, places: places),
            "These are the places of the nearest means, 0, 1, 2 ... They are the digits only if "
            "all digits occur: which digit stands at a place?",
        ),
        Mistake(
            _nearest_state,
            "This takes the digit of the nearest *state*. One state may lie anywhere by chance; "
            "the mean of all states of a digit is what a probe compares with.",
        ),
        Mistake(
            _probe(centre=lambda members: members.sum(axis=0)),
            "The sum of the states stands in the place of their mean: a digit that occurs often "
            "gets a sum far out.",
        ),
        Mistake(
            _probe(score=lambda new, means: new @ means.T),
            "The inner product alone is largest for a mean that is far out. The squared distance "
            "has one more term: |new - mean|^2 also contains |mean|^2.",
        ),
        Mistake(
            _probe(score=lambda new, means: np.sum((new[:, None] - means) ** 2, axis=2)),
            "This finds the mean that is farthest away. The nearest has the smallest distance.",
        ),
        Mistake(
            _probe(score=lambda new, means: -np.abs(np.sum(new[:, None] - means, axis=2))),
            "Each state counts only by the sum of its numbers. Either the differences are added up "
            "before they lose their signs, so that they cancel, or the mean of a digit is one "
            "number: `mean()` without `axis=0`.",
        ),
        Mistake(
            _probe(score=lambda new, means: -np.max(np.abs(new[:, None] - means), axis=2)),
            "This compares by the largest difference alone. A distance adds up the squares of all "
            "H differences.",
        ),
        Mistake(
            _probe(score=lambda new, means: -np.sum(np.abs(new[:, None] - means), axis=2)),
            "This adds up the sizes of the differences. A distance, as Pythagoras has it, adds up "
            "their squares.",
        ),
        Mistake(
            _probe(centre=lambda members: members[0]),
            "One state, the first, stands for each digit. The mean of all is less a matter of "
            "chance.",
        ),
        Mistake(
            _probe(centre=lambda members: members[-1]),
            "One state, the last, stands for each digit. (`means[labels] = states` writes a row "
            "again for each of them.) The mean of all is asked for.",
        ),
        Mistake(
            _probe(centre=lambda members: members[-1] / len(members)),
            "Of each digit's states only the last one is counted. `sums[labels] += states` reads "
            "and writes each row once, however often a label comes: `np.add.at` adds them all.",
        ),
        Mistake(
            lambda states, labels, new: np.full(len(new), min({*range(10)} - {*labels})),
            "Every answer is the first digit that does not occur. The mean of no state is NaN, and "
            "argmin takes a NaN for the smallest: take the means of the digits that occur.",
        ),
        Mistake(
            lambda states, labels, new: np.full(len(new), np.bincount(labels).argmax()),
            "This says the most frequent digit, whatever the state is. That is guessing, and the "
            "number that a probe has to beat.",
        ),
    ),
    after="Next: probe in train/insight.py also measures how states of one digit scatter.",
)

EXERCISES = (STEP, BACKWARD, CHRONO, HALF, PROBE)
