"""Answers to the planted bugs B.7 to B.11 as learners give them: right in another way, or wrong.

Each is the template with some lines replaced; what no list of mistakes holds is said by the judges.
"""

import numpy as np
import pytest

import minigrad as mg
from minigrad.learn import check
from minigrad.learn.exercise import find
from minigrad.messages import hints


def judge(number, changes):
    """Check the template of a bug with some of its text replaced."""
    exercise = find(number)
    source = exercise.template
    for old, new in changes.items():
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    names = {"__name__": "answer"}
    exec(compile(source, "answer.py", "exec"), names)
    return check(number, names[exercise.name])


def player(slope, shift):
    linear = mg.nn.Linear(1, 1).astype("float64")
    linear.load_state_dict({"weight": np.array([[slope]]), "bias": np.array([shift])})
    return linear


@pytest.mark.parametrize(("loop", "ends"), [("answer", 1 / 2), ("planted", 2 / 3)])
def test_the_discriminator_of_b11_ends_where_the_task_says(loop, ends):
    train = getattr(find("B.11"), loop)
    x = mg.tensor(np.array([[1.0], [-1.0]]))  # the generator's fakes are the real examples
    discriminator = player(0.0, 0.0)
    train(player(1.0, 0.0), discriminator, [(x, x)] * 200)
    assert mg.sigmoid(discriminator.bias).item() == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize(("loop", "moves"), [("answer", True), ("planted", False)])
def test_the_generator_of_b7_stops_where_the_task_says(loop, moves):
    generator, discriminator = player(0.0, 0.0), player(1.0, 0.0)  # D says 1/2 of the fake 0
    optimizers = [
        mg.optim.SGD(p.parameters(), lr=lr) for p, lr in ((generator, 0.5), (discriminator, 0.0))
    ]
    x = mg.tensor(np.array([[3.0], [3.0]]))
    getattr(find("B.7"), loop)(generator, discriminator, *optimizers, x, x)
    assert (abs(generator.bias.item()) > 0.1) == moves


FAKE = "    fake = generator(z)\n"
OF_D = "    d_loss.backward()\n"
OF_G = "    g_loss.backward()\n"
TAIL = "    return d_loss.item(), g_loss.item()\n"
EMPTY_D = "        d_optimizer.zero_grad()\n"
EMPTY_G = "        g_optimizer.zero_grad()\n"
DRAW = "    with mg.no_grad():\n"
END = "    return pictures\n"
LOSS = "    return of_real + of_fake\n"
SIGMOIDS = "mg.sigmoid(on_real), mg.sigmoid(on_fake)"
SOFTPLUS = "    def f(x):\n        return {}\n    return f(-on_real).mean() + f(on_fake).mean()\n"
LIST = {"weights = rnn.parameters()": "weights = list(rnn.parameters())"}
CLIP = "mg.nn.utils.clip_grad_norm_(weights, 1.0)"
BACK = "        loss.backward()\n"


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        ("B.7", {"g_loss = ": "g_optimizer.zero_grad()\n    g_loss = "}),
        ("B.7", {FAKE: "    with mg.no_grad():\n        fake = generator(z)\n"}),
        ("B.7", {OF_D: "    d_loss.backward(inputs=list(discriminator.parameters()))\n"}),
        (
            "B.7",
            {
                FAKE: "    generator.requires_grad_(False)\n" + FAKE,
                "    g_loss = ": "    generator.requires_grad_(True)\n    g_loss = ",
            },
        ),
        (
            "B.8",
            {
                DRAW: "    from copy import deepcopy\n    generator = deepcopy(generator).eval()\n"
                + DRAW
            },
        ),
        (
            "B.8",
            {
                DRAW: "    modes = {m: m.training for m in generator.modules()}\n"
                "    generator.eval()\n" + DRAW,
                END: "    for m, mode in modes.items():\n        m.training = mode\n" + END,
            },
        ),
        ("B.9", {LOSS: SOFTPLUS.format("mg.maximum(x, 0) + mg.log1p(mg.exp(-mg.abs(x)))")}),
        ("B.9", {LOSS: SOFTPLUS.format("mg.logsumexp(mg.stack([0 * x, x]), 0)")}),
        ("B.10", {"clip_grad_norm_(weights": "clip_grad_norm_(rnn.parameters()"}),
        ("B.11", {OF_G: OF_G.replace("()", "(inputs=list(generator.parameters()))")}),
        ("B.11", {EMPTY_D: "", EMPTY_G: EMPTY_G + EMPTY_D}),
        ("B.11", {"    " + OF_D: EMPTY_D + "    " + OF_D}),
    ],
)
def test_another_way_is_right(number, changes):
    report = judge(number, changes)
    assert report.right, report


@pytest.mark.parametrize(
    ("number", "changes", "words"),
    [
        ("B.7", {OF_D: "    d_loss.backward(retain_graph=True)\n"}, "they cancel, and it stands"),
        ("B.7", {"discriminator(generator(z))": "discriminator(fake)"}, "would silence the error"),
        ("B.7", {"discriminator(generator(z))": "discriminator(generator(z)).detach()"}, "through"),
        (
            "B.7",
            {FAKE: FAKE[:-1] + ".detach()\n", TAIL: TAIL.replace(".item()", "")},
            "whole graph",
        ),
        ("B.7", {FAKE: FAKE[:-1] + ".detach()\n", TAIL: ""}, "with `return`?"),
        ("B.7", {FAKE: "    generator.requires_grad_(False)\n" + FAKE}, "generator never changes"),
        ("B.8", {DRAW: "    generator.eval()\n" + DRAW}, "stays in evaluation mode"),
        (
            "B.8",
            {DRAW: "    generator.eval()\n" + DRAW, END: "    generator.train()\n" + END},
            "which",
        ),
        ("B.8", {DRAW: "    generator.training = False\n" + DRAW}, "outermost module's flag"),
        (
            "B.8",
            {
                DRAW: "    was = generator.training\n    generator.eval()\n"
                "    generator.requires_grad_(False)\n" + DRAW,
                END: "    generator.train(was)\n" + END,
            },
            "0.weight no longer requires a gradient",
        ),
        (
            "B.8",
            {
                DRAW: "    was = generator.training\n    generator.eval()\n"
                "    mg.no_grad().__enter__()\n    if True:\n",
                END: "    generator.train(was)\n" + END,
            },
            "gradients are still switched off",
        ),
        ("B.8", {"generator(z)": "generator(z[:1])"}, "needs more than 1 value"),
        (
            "B.8",
            {
                DRAW: "    was = generator.training\n    generator.training = False\n" + DRAW,
                END: "    generator.training = was\n" + END,
            },
            "nor does the flag of the outermost module",
        ),
        (
            "B.9",
            {"mg.log(1 - p_fake)": "mg.log(1 - p_fake + 1e-12)"},
            "slope is 0",
        ),
        ("B.9", {SIGMOIDS: f"[mg.clip(p, 1e-6, 1 - 1e-6) for p in ({SIGMOIDS})]"}, "slope is 0"),
        (
            "B.9",
            {SIGMOIDS: "[mg.sigmoid(mg.clip(x, -15, 15)) for x in (on_real, on_fake)]"},
            "slope",
        ),
        ("B.9", {SIGMOIDS: SIGMOIDS.replace(")", ".astype('float64'))")}, "The loss is float64"),
        ("B.9", {LOSS: LOSS.replace("of_real + of_fake", "(of_real + of_fake).item()")}, "No way"),
        ("B.9", {LOSS: SOFTPLUS.format("mg.log1p(mg.exp(x))")}, "right up to logits of about 88"),
        ("B.9", {LOSS: LOSS.replace("\n", ".detach()\n")}, "dL/d(on_fake) is None"),
        (
            "B.9",
            {LOSS: SOFTPLUS.format("mg.where(x > 30, x, mg.log(1 + mg.exp(x)))")},
            "also the one that is not chosen",
        ),
        (
            "B.9",
            {
                LOSS: SOFTPLUS.format(
                    "mg.where(x > 0, x + mg.log(1 + mg.exp(-x)), mg.log1p(mg.exp(x)))"
                )
            },
            "its gradient is NaN",
        ),
        ("B.10", {**LIST, BACK: "", CLIP: f"{CLIP}\n{BACK}"}, "was called before `backward`"),
        ("B.10", {"SGD(weights": "SGD(rnn.parameters()"}, "In the first step the gradients are"),
        ("B.10", {**LIST, "losses, lengths\n": "losses\n"}, "has to return two lists"),
        ("B.10", {**LIST, "    return": "        return"}, "where does `return` stand"),
        ("B.10", {**LIST, CLIP: CLIP.replace("1.0", "1e9")}, "a length that none of them exceeds"),
        ("B.10", {**LIST, BACK: BACK + "        optimizer.zero_grad()\n"}, "never move"),
        (
            "B.10",
            {**LIST, CLIP: CLIP.replace("weights", "[p for p in weights if p.ndim > 1]")},
            "Only the matrices",
        ),
        (
            "B.10",
            {**LIST, CLIP: CLIP.replace("norm_", "value_", 1)},
            "limits each number by itself",
        ),
        ("B.11", {EMPTY_D: "", EMPTY_G: ""}, "not emptied inside the loop"),
        (
            "B.11",
            {"discriminator(generator(z))": "discriminator(fake)"},
            "meets the detached fakes",
        ),
        ("B.11", {"generator(z).detach()": "generator(z)"}, "a second one has come"),
        ("B.11", {"append(d_loss.item())": "append(d_loss)"}, "Tensors"),
        (
            "B.11",
            {"generator(z).detach()": "generator(z)", "    " + OF_D: EMPTY_D + "    " + OF_D},
            "The discriminator is right now. But without the detach",
        ),
        (
            "B.11",
            {
                "g_optimizer = mg.optim.SGD(generator.parameters(), lr=0.5)": "both = [*generator"
                ".parameters(), *discriminator.parameters()]",
                "d_optimizer = mg.optim.SGD(discriminator.parameters(), lr=0.5)": "g_optimizer = "
                "d_optimizer = mg.optim.SGD(both, lr=0.5)",
            },
            "with one optimizer for the weights of both",
        ),
    ],
)
def test_a_wrong_answer_reads_why(number, changes, words):
    report = judge(number, changes)
    assert not report.right and words in report.message, report


@pytest.mark.parametrize("number", ["B.7", "B.11"])
def test_an_error_in_the_discriminators_turn_is_not_taken_for_one_in_the_generators(number):
    cut = {"d_loss.backward()": "d_loss.detach().backward()"}
    said = judge(number, cut).message
    assert "until then nobody had moved" in said and "Perhaps" not in said


def test_what_minigrad_proposes_for_softplus_mends_b9():
    for sign, name in (("", "softplus"), ("-", "logsigmoid")):
        softplus = f"{sign}(lambda x: {hints.LAYERS[name]})({sign}x)"
        report = judge("B.9", {LOSS: SOFTPLUS.format(softplus)})
        assert report.right, report


def test_what_minigrad_proposes_for_elu_has_a_finite_slope():
    x = mg.tensor([-1000.0, 0.0, 1000.0], requires_grad=True)
    eval(hints.LAYERS["elu"], {"mg": mg, "x": x}).sum().backward()
    assert x.grad.numpy().tolist() == [0, 1, 1]
