"""Pictures of graphs: what stands in them, and where."""

import io
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad import nn
from minigrad.backends import Kernel
from minigrad.tools.draw import _boxes
from minigrad.tools.draw_layout import GAP, Box, arrange
from models.gan import Discriminator
from models.lstm import LSTM


def texts(picture):
    """The lines of text in an SVG."""
    root = ElementTree.fromstring(picture.svg)
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def lstm_loss(steps=3):
    model = LSTM(input_dim=1, hidden=8, num_classes=10)
    logits = model(mg.randn(4, steps, 1))
    return model, nn.CrossEntropyLoss()(logits, mg.tensor([1, 2, 3, 4]))


def test_names_shapes_and_the_value_of_a_small_graph():
    a = mg.tensor([[1.0, 2.0]], requires_grad=True)
    b = mg.tensor(3.0, dtype="float64", requires_grad=True)
    lines = texts(mg.draw((a * b).sum(), a=a, b=b))
    leaves = ["a", "(1, 2)", "b", "() float64"]
    assert lines == [*leaves, "multiply", "(1, 2) float64", "sum", "() float64", "= 9"]


def test_gradients_are_shown_where_they_are_known():
    a, b = (mg.tensor([3.0, 4.0], requires_grad=True) for _ in range(2))
    loss = (a * b).sum()
    assert not any("grad" in line for line in texts(mg.draw(loss)))
    loss.backward(retain_graph=True, inputs=[a])
    assert [line for line in texts(mg.draw(loss)) if "grad" in line] == ["|grad| 5"]


def test_a_freed_graph_is_refused():
    a = mg.tensor(1.0, requires_grad=True)
    loss = mg.exp(a) * 2
    loss.backward()
    with pytest.raises(mg.GraphFreedError, match=r"'multiply'.*retain_graph=True"):
        mg.draw(loss)


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
    boxes = _boxes(y, {"x": x})
    arrange(boxes)
    assert boxes[-1].layer == sys.getrecursionlimit() + 100


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_boxes_do_not_overlap_and_edges_lead_down(steps):
    boxes = _boxes(lstm_loss(steps)[1], {})
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
