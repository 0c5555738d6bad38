"""Pictures of graphs: what stands in them, and where."""

import io
import itertools
import re
import subprocess
import sys
import weakref
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad import nn
from minigrad.backends import Kernel
from minigrad.tools.draw import Diagram
from minigrad.tools.draw_layout import GAP, Box, arrange
from models.gan import Discriminator
from models.lstm import LSTM


def texts(picture):
    """The lines of text in an SVG."""
    root = ElementTree.fromstring(picture.svg)
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def boxes(tensor, **named):
    """What stands in the boxes of a graph of numbers, without their shapes, in one line each."""
    text = " ".join(texts(mg.draw(tensor, **named))).replace(" () float64", ":")
    return re.findall(r"[^:]+:(?: = [^ ]+)?(?: grad [^ ]+)?", text)


def lstm_loss(steps=3):
    model = LSTM(input_dim=1, hidden=8, num_classes=10)
    logits = model(mg.randn(4, steps, 1))
    return model, nn.CrossEntropyLoss()(logits, mg.tensor([1, 2, 3, 4]))


def test_names_shapes_and_the_value_of_a_small_graph():
    a = mg.tensor([[1.0, 2.0]], requires_grad=True)
    b = mg.tensor(3.0, dtype="float64", requires_grad=True)
    lines = texts(mg.draw((a * b).sum(), a=a, b=b))
    leaves = ["a", "(1, 2)", "b", "() float64", "= 3"]
    assert lines == [*leaves, "multiply", "(1, 2) float64", "sum", "() float64", "= 9"]


def test_gradients_are_shown_where_they_are_known():
    a, b = (mg.tensor([3.0, 4.0], requires_grad=True) for _ in range(2))
    loss = (a * b).sum()
    assert not any("grad" in line for line in texts(mg.draw(loss)))
    loss.backward(retain_graph=True, inputs=[a])
    assert [line for line in texts(mg.draw(loss)) if "grad" in line] == ["|grad| 5", "grad 1"]


def test_numbers_before_and_after_a_pass():
    """L = d (d + a) with d = a b: dL/dd = 2 d + a, dL/da = b (2 d + a) + d, dL/db = a (2 d + a)."""
    a, b = (mg.tensor(x, dtype="float64", requires_grad=True) for x in (-3.0, 2.0))
    d = a * b
    loss = d * (d + a)
    known = ["a: = -3", " b: = 2", " multiply: = -6", " a: = -3", " add: = -9", " multiply: = 54"]
    assert boxes(loss, a=a, b=b) == known
    loss.backward(retain_graph=True)
    brought = [-36, 45, -15, -36, -6, 1]
    known = [f"{line} grad {g}" for line, g in zip(known, brought, strict=True)]
    assert boxes(loss, a=a, b=b) == known
    a.grad = b.grad = None
    loss.backward()
    freed = [" multiply: grad -15", " a: = -3 grad -36", " add: grad -6"]
    assert boxes(loss, a=a, b=b) == [*known[:2], *freed, known[-1]]
    named = [" d = multiply: = -6 grad -15", *freed[1:], " L = multiply: = 54 grad 1"]
    assert boxes(loss, a=a, b=b, d=d, L=loss) == [*known[:2], *named]


def test_a_pass_with_create_graph_leaves_numbers_that_can_be_drawn():
    a = mg.tensor(3.0, dtype="float64", requires_grad=True)
    loss = mg.exp(a * 0.0) * a
    mg.grad(loss, a, create_graph=True)
    assert boxes(loss, a=a)[-1] == " multiply: = 3 grad 1"


def test_after_a_pass_a_graph_keeps_its_shapes_and_names_and_no_arrays():
    a, x = mg.randn(2, 3, requires_grad=True), mg.randn(2, 3)
    b = mg.tanh(a) * x
    kept = [weakref.ref(array) for array in (b._record.saved[0], b.detach().data)]
    loss = (b * b).sum()
    loss.backward()
    del b, x
    assert [array() for array in kept] == [None, None]
    lines = [line for line in texts(mg.draw(loss, a=a)) if "grad|" not in line]
    operations = ["tanh", "(2, 3)", "multiply", "(2, 3)", "multiply", "(2, 3)", "sum", "()"]
    assert lines == ["a", "(2, 3)", *operations, f"= {loss.item():.4g}", "grad 1"]


def test_a_pass_that_needs_nothing_of_a_freed_part_goes_around_it_as_in_pytorch():
    torch = pytest.importorskip("torch")

    def run(x, w, grad):
        shared = x * x
        shared.sum().backward()
        loss = (shared * w).sum() + (w * w).sum()
        around = grad(loss, w, retain_graph=True)[0]
        with pytest.raises(RuntimeError, match="backward"):
            grad(loss, x)
        return around

    values = np.array([1.0, -2.0])
    x, w = (mg.tensor(values, requires_grad=True) for _ in range(2))
    ours = run(x, w, mg.grad)
    x, w = (torch.tensor(values, requires_grad=True) for _ in range(2))
    np.testing.assert_array_equal(ours.data, run(x, w, torch.autograd.grad).numpy())


def test_names_of_constants_results_and_several_leaves():
    x, w, c = (mg.tensor(n, dtype="float64", requires_grad=n < 3) for n in (1.0, 2.0, 3.0))
    assert boxes(x * c * w, c=c)[:3] == ["leaf 1: = 1", " c: = 3", " multiply: = 3"]
    assert boxes(x * c * x)[0] == "leaf: = 1"
    i, f = mg.split(mg.ones(4, requires_grad=True), 2)
    assert "f, i = split" in texts(mg.draw((i * f).sum(), f=f, i=i))
    assert "i = split" in texts(mg.draw((i * f).sum(), i=i))


def test_an_lstm_step_with_its_parameters_at_every_time():
    model, loss = lstm_loss(steps=3)
    lines = texts(mg.draw(loss))
    for name, parameter in model.named_parameters():
        uses = 1 if name.startswith("output") else 3
        assert lines.count(name) == uses, name
        assert str(parameter.shape) in lines
    assert lines.count("tanh") == 6 and lines.count("sigmoid") == 9


def test_the_discriminator_and_two_modules_in_one_graph():
    critic = Discriminator()
    loss = nn.BCELoss()(critic(mg.randn(4, 784)), mg.ones(4, 1))
    assert {name for name, _ in critic.named_parameters()} <= set(texts(mg.draw(loss)))
    other = nn.Linear(784, 784)
    loss = critic(other(mg.randn(4, 784))).sum()
    assert {"Linear.weight", "Discriminator.layers.0.weight"} <= set(texts(mg.draw(loss)))
    named = set(texts(mg.draw(loss, generator=other, critic=critic)))
    assert {"generator.weight", "critic.layers.0.weight"} <= named


def test_data_outside_the_graph_is_shown_where_a_rule_keeps_it():
    x, w = mg.randn(2, 3), mg.randn(3, 4, requires_grad=True)
    lines = texts(mg.draw(x @ w, x=x))
    assert lines[:4] == ["leaf", "(3, 4)", "x", "(2, 3)"]
    assert texts(mg.draw(x, data=x)) == ["data", "(2, 3)"]
    both = texts(mg.draw(mg.concatenate([w, w, mg.zeros(1, 4)])))
    assert both == ["leaf", "(3, 4)", "leaf", "(3, 4)", "concatenate", "(7, 4)"]


def test_several_outputs_of_a_call_are_one_box():
    x = mg.randn(2, 6, requires_grad=True)
    i, f, _ = mg.split(x, 3, axis=1)
    lines = texts(mg.draw(i * f))
    assert lines.count("split") == 1 and "multiply" in lines


def test_a_kernel_of_a_fused_operation_is_one_box(monkeypatch):

    kernel = Kernel(lambda x, w: (np.tanh(x) * w, None), None)
    monkeypatch.setattr(
        sys.modules["minigrad.fused"],
        "kernels_of",
        lambda operation, _: [kernel] * (operation.name == "squashed"),
    )

    @mg.fused
    def squashed(x, w):
        return mg.tanh(x) * w

    x, w = mg.randn(3, requires_grad=True), mg.randn(3)
    lines = texts(mg.draw(squashed(x, w), x=x, w=w))
    assert lines == ["x", "(3,)", "w", "(3,)", "squashed", "(3,)"]


def test_files_are_written_and_both_formats_are_pictures(tmp_path):
    _, loss = lstm_loss(steps=1)
    picture = mg.draw(loss, tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == picture.svg
    assert picture.svg == picture._repr_svg_() == mg.draw(loss).svg  # nothing depends on the clock
    picture.save(tmp_path / "graph.png")
    with Image.open(io.BytesIO(picture.png)) as image, Image.open(tmp_path / "graph.png") as file:
        assert image.size == file.size and min(image.size) > 300
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
    with pytest.raises(ValueError, match=r"\.svg or \.png, got .*graph\.pdf"):
        mg.draw(loss, tmp_path / "graph.pdf")
    assert not (tmp_path / "graph.pdf").exists()


def test_a_deep_graph_needs_no_recursion():
    y = x = mg.tensor(1.0, requires_grad=True)
    for _ in range(sys.getrecursionlimit() + 100):
        y = y * 1.0
    boxes = Diagram("draw", y, {"x": x}).boxes
    arrange(boxes)
    assert boxes[-1].layer == sys.getrecursionlimit() + 100


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_boxes_do_not_overlap_and_edges_lead_down(steps):
    boxes = Diagram("draw", lstm_loss(steps)[1], {}).boxes
    arrange(boxes)
    for a, b in itertools.combinations(boxes, 2):
        beside = abs(a.x - b.x) >= (a.width + b.width) / 2 + GAP - 1e-9
        assert beside or abs(a.y - b.y) >= (a.height + b.height) / 2
    for box in boxes:
        assert box.x - box.width / 2 >= -1e-9
        assert all(parent.layer == box.layer - 1 and parent.y < box.y for parent in box.parents)


def test_a_long_edge_bends_around_and_a_chain_is_straight():
    top = Box(["top"], "")
    chain = [top]
    for number in range(4):
        chain.append(Box([f"{number}"], "", [chain[-1]]))
    last = Box(["last"], "", [chain[-1], top])
    arrange([*chain, last])
    assert len({round(box.x, 6) for box in chain}) <= 2
    bend = last.parents[1]
    assert bend.lines == [] and bend.layer == 4 and bend.x != chain[4].x


def test_importing_minigrad_does_not_import_matplotlib():
    code = "import minigrad, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_option_that_is_a_word_is_shown():
    @mg.fused
    def bent(x, *, by="tanh"):
        return getattr(mg, by)(x)

    kernel = Kernel(lambda x, by: (np.tanh(x), None), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["minigrad.fused"], "kernels_of", lambda *_: [kernel])
        lines = texts(mg.draw(bent(mg.ones(5, requires_grad=True)).sum()))
    assert "bent, tanh" in lines
