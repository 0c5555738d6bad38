"""The way back step by step: it is the real one, it changes nothing, and it can be read."""

import io
import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad import nn
from minigrad.backends import Kernel
from minigrad.ops.elementwise import multiply
from minigrad.tools.rule_source import filled_in, text_of


def leaf(values):
    return mg.tensor(np.array(values, np.float64), requires_grad=True)


def scalars():
    """L = d (d + a) with d = a b."""
    a, b = leaf(3.0), leaf(2.0)
    d = a * b
    return {"a": a, "b": b, "d": d, "L": d * (d + a)}


def texts(picture):
    root = ElementTree.fromstring(picture.svg)
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def lines_of(step):
    return [line.strip() for line in str(step).splitlines()]


# --- the pass ----------------------------------------------------------------------------------


def mlp():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).astype("float64")
    x = mg.tensor(np.random.RandomState(0).standard_normal((4, 2)))
    return nn.MSELoss()(model(x), mg.ones(4, 1, dtype="float64")), dict(model.named_parameters())


def lstm():
    mg.manual_seed(0)
    model = nn.LSTM(2, 3)
    output, (h, c) = model(mg.randn(4, 1, 2))
    return (output * output).sum() + (h * c).sum(), dict(model.named_parameters())


def indexing():
    x = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    parts = mg.concatenate([x[0], mg.stack([x[1, 2], x.sum()]), mg.zeros(2, dtype="float64")])
    i, f = mg.split(parts[:6], 2)
    return (mg.einsum("i,i->", i, f) / (1 + x.max())) ** 2, {"x": x}


@pytest.mark.parametrize("make", [mlp, lstm, indexing])
def test_leaves_get_what_backward_gives_them_and_nothing_changes(make):
    loss, leaves = make()
    shown = mg.show_backward(loss, **leaves)
    assert all(x.grad is None for x in leaves.values())
    assert not any("grad" in line for line in texts(mg.draw(loss)))  # and it left no trace
    loss.backward()  # the graph is still there
    assert {leaf.name for leaf in shown.leaves} == set(leaves)
    for leaf in shown.leaves:
        np.testing.assert_array_equal(leaf.gradient, leaves[leaf.name].grad.data)
    assert repr(shown).count("arrived") >= len(shown.steps) > 1


def test_gradients_that_arrive_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    values = np.random.RandomState(0).uniform(0.5, 2, (2, 3))

    def results(x, w, tanh):
        a = tanh(x) * w
        b = a + x
        return {"a": a, "b": b, "c": a * b}

    ours = results(leaf(values), leaf(values[0]), mg.tanh)
    shown = mg.show_backward(ours["c"].sum(), **ours)
    theirs = results(
        *(torch.tensor(v, requires_grad=True) for v in (values, values[0])), torch.tanh
    )
    for tensor in theirs.values():
        tensor.retain_grad()
    theirs["c"].sum().backward()
    steps = {step.name: step for step in shown.steps}
    for name, tensor in theirs.items():
        np.testing.assert_allclose(steps[name].gradient, tensor.grad.numpy(), rtol=1e-14)
        np.testing.assert_allclose(steps[name].value, tensor.detach().numpy(), rtol=1e-14)
    assert (steps["a"].uses, steps["b"].uses) == (2, 1)


def test_what_is_handed_on_adds_up_to_what_arrives():
    loss, _ = mlp()
    shown = mg.show_backward(loss)
    for step in shown.steps[1:]:
        parts = [
            part.gradient
            for earlier in shown.steps
            for part in earlier.contributions
            if part.step == step.number
        ]
        assert len(parts) == step.uses
        np.testing.assert_array_equal(sum(parts), step.gradient)


def test_a_gradient_may_be_given_and_a_leaf_alone_has_no_steps():
    x = leaf([1.0, 2.0])
    y = x * x
    [of_x] = mg.show_backward(y, mg.tensor([3.0, 5.0], dtype="float64")).leaves
    np.testing.assert_array_equal(of_x.gradient, [6.0, 20.0])
    shown = mg.show_backward(y, gradient=[3.0, 5.0], x=x)
    assert (shown.leaves[0].name, shown.leaves[0].uses) == ("x", 2)
    shown = mg.show_backward(leaf(2.0))
    assert shown.steps == () and shown.leaves[0].gradient == 1
    assert texts(shown.frames[0]) == ["start: leaf", "leaf", "() float64", "= 2", "grad 1"]


def test_it_works_under_no_grad_and_on_a_derivative():
    x = leaf(2.0)
    [slope] = mg.grad(x * x * x, x, create_graph=True)
    with mg.no_grad():
        shown = mg.show_backward(slope)
    assert shown.leaves[0].gradient == 12
    assert slope.requires_grad and mg.show_backward(slope).leaves[0].gradient == 12


def test_gradients_of_earlier_passes_stay_and_values_are_copies():
    t = scalars()
    t["L"].backward(retain_graph=True)
    t["L"].backward(gradient=2.0, retain_graph=True)
    before = texts(mg.draw(t["L"]))
    assert "grad 2" in before
    shown = mg.show_backward(t["L"])
    assert texts(mg.draw(t["L"])) == before
    text = repr(shown)
    t["a"].data[...] = 7
    assert repr(shown) == text


def test_a_gradient_in_the_memory_of_an_optimizer_is_left_free():
    model = nn.Linear(3, 2)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    loss = (model(mg.ones(4, 3)) ** 2).sum()
    shown = mg.show_backward(loss)
    loss.backward()
    [weight] = [leaf for leaf in shown.leaves if leaf.name == "weight"]
    np.testing.assert_array_equal(weight.gradient, model.weight.grad.data)
    optimizer.step()
    np.testing.assert_array_equal(weight.gradient, model.weight.grad.data)


def test_a_fused_operation_without_a_backward_kernel_is_one_step(monkeypatch):
    kernel = Kernel(lambda x: (np.tanh(x) * x, None), None)
    monkeypatch.setattr(
        sys.modules["minigrad.fused"],
        "kernels_of",
        lambda operation, _: [kernel] * (operation.name == "squashed"),
    )

    @mg.fused
    def squashed(x):
        return mg.tanh(x) * x

    x = leaf(0.5)
    [step] = mg.show_backward(squashed(x)).steps
    [part] = step.contributions
    assert part.rule == "the definition of squashed, differentiated" and part.filled_in == ""
    y = np.tanh(0.5)
    np.testing.assert_allclose(part.gradient, y + 0.5 * (1 - y * y), rtol=1e-15)


def test_a_gpu_shows_the_same(gpu):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    texts_of = []
    for device in ("cpu", "gpu"):
        w = mg.tensor(x, requires_grad=True, device=device)
        scale = mg.tensor(2.0, dtype="float64", requires_grad=True, device=device)
        shown = mg.show_backward((mg.tanh(w) * scale).sum(), w=w, scale=scale)
        texts_of.append([repr(shown), *texts(shown.frames[-1])])
    assert texts_of[0] == texts_of[1]


def test_a_chain_of_ten_thousand_operations():
    y = x = leaf(1.0)
    for _ in range(10_000):
        y = y + 1.0
    shown = mg.show_backward(y, x=x)
    assert len(shown.steps) == 10_000 and len(shown.frames) == 10_001
    assert repr(shown).splitlines()[-1].strip() == "x:  1"
    assert "<img" not in shown._repr_html_()


# --- the text ----------------------------------------------------------------------------------


def test_a_step_says_what_it_needs_and_hands_on():
    t = scalars()
    shown = mg.show_backward(t["L"], **t)
    assert lines_of(shown.steps[0]) == [
        "1. L = multiply(d, add), shape (), value 54",
        "arrived  g = 1",
        "a -> d (step 3):  g * b = 1 * 9 = 9",
        "b -> add (step 2):  g * a = 1 * 6 = 6",
    ]
    assert lines_of(shown.steps[2])[1] == "arrived  g = 15   (the sum of 2)"
    assert [str(leaf) for leaf in shown.leaves] == ["a:  36   (the sum of 2)", "b:  45"]


def test_broadcasting_constants_and_unnamed_leaves():
    x, bias, data = leaf(np.ones((3, 4))), leaf([[1.0], [2.0], [3.0]]), mg.ones(4, dtype="float64")
    y = (2.0 * x * data + bias) * bias.reshape(3)[0]
    shown = mg.show_backward(y, mg.ones(3, 4, dtype="float64"), data=data)
    add = next(step for step in shown.steps if step.operation == "add")
    [to_product, to_bias] = add.contributions
    assert (to_product.summed_axes, to_bias.summed_axes) == ((), (1,))
    assert str(to_bias) == "b -> leaf 2:  g, summed over axis 1 = [[4], [4], [4]]"
    titles = [re.search(r" (.*), shape", str(step))[1] for step in shown.steps]
    assert titles[0] == "multiply(add, getitem)"
    assert titles[-2:] == ["multiply(multiply, data)", "multiply(2, leaf 1)"]
    last = shown.steps[0].contributions[1]
    assert last.summed_axes == (0, 1) and ", summed over axes 0, 1 = 48" in str(last)


def test_small_arrays_are_written_out_and_large_ones_described():
    x = leaf([1.0, -2.0])
    [step] = mg.show_backward(x * x, [1.0, 0.5], x=x).steps
    assert lines_of(step)[2] == "a -> x:  g * b = [1, -1]   (b = [1, -2])"
    x = leaf(np.full((4, 25), 0.5))
    step = mg.show_backward(x.sum(), x=x).steps[0]
    assert lines_of(step)[2].endswith(" = float64[4, 25] with mean 1, norm 10")
    assert "value" not in lines_of(mg.show_backward((x * 1).sum()).steps[1])[0]


def test_several_outputs_are_one_step():
    x = leaf([1.0, 2.0, 3.0])
    i, f, _ = mg.split(x, 3)
    shown = mg.show_backward(i * f, i=i, f=f)
    assert shown.steps[0].contributions[0].to == "i" and shown.steps[0].contributions[0].step == 2
    assert lines_of(shown.steps[1]) == [
        "2. i, f = split(leaf, 3), several outputs",
        "arrived  g[0] = [2]",
        "arrived  g[1] = [1]",
        "arrived  g[2] = nothing",
        "x -> leaf:  _join(g, x_shape, sections, axis) = [2, 1, 0]",
    ]
    assert "output 1 of split" in str(mg.show_backward(i * f).steps[0])


def test_an_element_of_a_sequence_is_named_by_its_place():
    x = leaf([1.0])
    parts = mg.show_backward(mg.concatenate([[2.0], x, x]), [1.0, 2.0, 3.0], x=x).steps[0]
    assert [(part.input, part.to) for part in parts.contributions] == [
        ("arrays[1]", "x"),
        ("arrays[2]", "x"),
    ]


def test_an_input_without_a_rule_gets_nothing_though_it_is_the_same_tensor():
    @mg.primitive(b=lambda g, a: 2 * g * a)
    def half(a, b):
        return a * b

    x = leaf(3.0)
    [step] = mg.show_backward(half(x, x)).steps
    assert [str(part) for part in step.contributions] == ["b -> leaf:  2 * g * a = 2 * 1 * 3 = 6"]


def test_rules_are_told_by_their_source():
    one, other = (lambda g, x: g * (x - 1), lambda g: g / 2)
    assert (text_of(one), text_of(other)) == ("g * (x - 1)", "g / 2")
    long = lambda g, x: (  # noqa: E731
        g
        * x
    )  # fmt: skip
    assert text_of(long) == "g * x"
    assert text_of(multiply.operation.rules["b"].function) == "g * a"
    assert text_of(eval("lambda g, y: g * y")) == "rule(g, y)"

    def named(g, x, axis):
        return g

    assert text_of(named) == "named(g, x, axis)"
    assert filled_in("g * b - b**2", {"g": 2, "b": np.array([-0.5])}) == (
        "2 * (-0.5) - (-0.5) ** 2"
    )


def test_a_file_that_is_not_python_has_no_source_of_rules(tmp_path):
    file = tmp_path / "cell.py"
    file.write_text("rule = lambda g: 2 * g\n%magic\n")
    names = {}
    exec(compile("rule = lambda g: 2 * g\n", str(file), "exec"), names)
    assert text_of(names["rule"]) == "rule(g)"


# --- pictures ----------------------------------------------------------------------------------


def test_frames_show_what_is_known_after_each_step():
    t = scalars()
    frames = mg.show_backward(t["L"], **t).frames
    known = [[line for line in texts(frame) if line.startswith("grad")] for frame in frames]
    assert known == [
        ["grad 1"],
        ["grad 9 so far", "grad 6", "grad 1"],
        ["grad 6 so far", "grad 15", "grad 6 so far", "grad 6", "grad 1"],
        ["grad 36", "grad 45", "grad 15", "grad 36", "grad 6", "grad 1"],
    ]
    captions = [texts(frame)[0] for frame in frames]
    assert captions == ["start: L", "step 1: L", "step 2: add", "step 3: d"]
    assert frames[-1].svg == frames[3].svg and len(frames[1:]) == 3
    with pytest.raises(IndexError):
        frames[4]


def test_all_frames_have_one_layout_and_each_marks_its_step():
    t = scalars()
    frames = mg.show_backward(t["L"], **t).frames
    images = [np.asarray(Image.open(io.BytesIO(frame.png)).convert("RGB")) for frame in frames]
    assert len({image.shape for image in images}) == 1
    marked = [(image == (255, 233, 168)).all(axis=2) for image in images]
    middles = [np.argwhere(mask).mean(axis=0)[0] if mask.any() else None for mask in marked]
    assert middles[0] is None and middles[1] > middles[2] > middles[3]  # from the bottom up
    arrows = [len(re.findall(r"stroke: #b34700; stroke-width: 2;", f.svg)) for f in frames]
    assert arrows[0] == 0 and len(set(arrows[1:])) == 1


def test_pictures_are_saved_as_one_or_as_a_folder(tmp_path):
    t = scalars()
    shown = mg.show_backward(t["L"], **t)
    shown.save(tmp_path / "all.png")
    with (
        Image.open(tmp_path / "all.png") as image,
        Image.open(io.BytesIO(shown.frames[0].png)) as one,
    ):
        assert image.size[0] * image.size[1] >= 4 * one.size[0] * one.size[1] * 0.98
    shown.save(tmp_path / "all.svg")
    assert "step 3: d" in (tmp_path / "all.svg").read_text(encoding="utf-8")
    shown.save(tmp_path / "frames")
    files = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert files == [f"{k}.{ending}" for k in range(4) for ending in ("png", "svg")]
    assert (tmp_path / "frames" / "2.png").read_bytes() == shown.frames[2].png
    with pytest.raises(ValueError, match=r"all\.pdf"):
        shown.save(tmp_path / "all.pdf")


def test_a_notebook_shows_frames_with_their_text():
    t = scalars()
    shown = mg.show_backward(t["L"], **t)
    page = shown._repr_html_()
    assert page.count("<img") == page.count("<pre>") == 4 and "<script" not in page
    assert "a -&gt; d (step 3):  g * b = 1 * 9 = 9" in page and "(the sum of 2)" in page


# --- what is refused ---------------------------------------------------------------------------


def test_errors_are_those_of_backward():
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"show_backward: expected a Tensor.*3"):
        mg.show_backward(3)
    with pytest.raises(TypeError, match="show_backward: x: expected a Tensor or a Module"):
        mg.show_backward(x.sum(), x=3)
    with pytest.raises(RuntimeError, match="show_backward: the output does not require a gradient"):
        mg.show_backward(mg.ones(1).sum())
    with pytest.raises(mg.ShapeError, match=r"show_backward: the output has shape \(2,\)"):
        mg.show_backward(x * x)
    with pytest.raises(mg.ShapeError, match=r"gradient of shape \(3,\)"):
        mg.show_backward(x * x, mg.ones(3))
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(mg.GraphFreedError, match="'sum'"):
        mg.show_backward(loss)
    loss = (x * x).sum()
    x.data = np.zeros(2)
    with pytest.raises(mg.ChangedValueError, match="'multiply'"):
        mg.show_backward(loss)


@pytest.mark.parametrize(
    ("returned", "error"), [(np.ones(3), mg.ShapeError), ("no", TypeError), (1j, TypeError)]
)
def test_a_broken_rule_is_reported_as_by_backward(returned, error):
    @mg.primitive(x=lambda g: returned)
    def broken(x):
        return x * 1

    y = broken(leaf([1.0, 2.0])).sum()
    messages = []
    for way in (mg.show_backward, mg.Tensor.backward):
        with pytest.raises(error) as caught:
            way(y)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert mg.show_backward(leaf(1.0) * 1).steps  # and the next pass is watched by nobody
