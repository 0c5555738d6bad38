"""What the figures show, read from what matplotlib is to draw, and what a probe finds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import minigrad as mg
from minigrad.data import DataError
from train import drawing, insight, lstm
from train.drawing import GUESSING, LOOKS, Curve, Panel
from train.run import RunFolder


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def triangles(axis: Any) -> list[float]:
    """Where triangles stand at the bottom of axes."""
    return [
        float(line.get_xdata()[0])
        for line in axis.lines
        if line.get_marker() == "v" and not line.get_clip_on() and len(line.get_xdata()) == 1
    ]


def learning(*accuracies: float) -> list[dict[str, float]]:
    names = ("accuracy", "val_accuracy")
    return [
        {"epoch": n, "loss": 1.0, "val_loss": 2.0, **dict.fromkeys(names, accuracy)}
        for n, accuracy in enumerate(accuracies, start=1)
    ]


def test_no_two_contestants_look_alike_in_colour_or_without() -> None:
    for part in range(3):
        assert len({look[part] for look in LOOKS.values()}) == len(LOOKS)
    many = {drawing.numbered(number)[:2] for number in range(49)}
    assert len(many) == 49


def test_what_was_measured_once_is_said_in_words() -> None:
    figure = drawing.learning_curves(learning(0.25), "t", GUESSING)
    assert [len(axis.lines) for axis in figure.axes] == [0, 0]
    loss, accuracy = texts(figure)
    assert "training: 1" in loss and "validation: 2" in loss
    assert "at epoch 1 only" in accuracy and "training: 25" in accuracy and GUESSING[1] in accuracy


def test_seeds_that_were_measured_once_are_said_with_their_range() -> None:
    groups = {"a": [learning(0.25), learning(0.75)], "$b$": [learning(0.5)]}
    looks = [drawing.numbered(n) for n in range(2)]
    panel = Panel("accuracy", "Accuracy", "accuracy (%)")
    [words] = texts(drawing.comparison(groups, looks, [panel], "epoch", "t"))
    assert "a: 50 (25 to 75)" in words and r"\$b\$: 50" in words


def test_of_unequal_seeds_the_mean_is_the_mean() -> None:
    figure = drawing.accuracy_by_length({"lstm": {5: [1, 1, 0.5], 10: [0.5]}})
    [line] = [each for each in figure.axes[0].lines if each.get_label() == "LSTM"]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [250 / 3, 50])


def test_runs_without_a_common_step_are_refused() -> None:
    groups = {"a": [[{"step": 1, "x": 1.0}], [{"step": 2, "x": 1.0}]]}
    with pytest.raises(DataError, match="not been measured at the same step"):
        drawing.comparison(groups, [LOOKS["lstm"]], [Panel("x", "x", "x")], "step", "t")


def test_what_no_group_has_is_no_panel() -> None:
    groups = {"a": [learning(0.1, 0.2)], "b": [learning(0.2, 0.3)]}
    panels = [Panel("loss", "Loss", "loss"), Panel("fid", "FID", "FID", moment=True)]
    looks = [drawing.numbered(n) for n in range(2)]
    figure = drawing.comparison(groups, looks, panels, "epoch", "t")
    assert [axis.get_title() for axis in figure.axes if axis.axison] == ["Loss"]


def test_all_panels_show_the_same_range() -> None:
    lines = [{"step": float(n), "loss": 1.0} for n in range(1, 101)]
    lines += [{"step": n, "fid": 3.0} for n in (50.0, 100.0)]
    panels = [Panel("loss", "Loss", "loss"), Panel("fid", "FID", "FID", moment=True)]
    figure = drawing.comparison({"a": [lines]}, [LOOKS["lstm"]], panels, "step", "t")
    first, second = (axis.get_xlim() for axis in figure.axes)
    assert first == second and first[0] < 5 and first[1] > 100


def test_a_logarithmic_axis_has_two_numbers_at_least() -> None:
    figure, axes = drawing.new_figure(4, 3)
    curve = Curve("x", LOOKS["lstm"], [1, 2], [90.0, 165.0])
    drawing.panel(axes[0, 0], "t", [curve], "x", "FID", log=True)
    low, high = axes[0, 0].get_ylim()
    assert [tick for tick in axes[0, 0].get_yticks() if low < tick < high] == [90, 100, 120, 150]
    assert figure.axes


def test_an_accuracy_that_lives_high_is_seen_from_near_and_the_cut_is_marked() -> None:
    lines = learning(0.6, 0.85, *[0.96, 0.97, 0.975, 0.98, 0.98, 0.98, 0.98, 0.98])
    accuracy = drawing.learning_curves(lines, "t").axes[1]
    assert 94 < accuracy.get_ylim()[0] < 95 and accuracy.get_ylim()[1] > 100
    assert accuracy.get_ylabel() == "accuracy (%)\n(▼: below 95)"
    assert triangles(accuracy) == [2, 2]
    whole = drawing.learning_curves(lines, "t", GUESSING).axes[1]
    assert whole.get_ylim()[0] < 0 and triangles(whole) == []
    assert whole.get_ylabel() == "accuracy (%)"


def test_a_gradient_that_vanishes_is_marked_where_it_leaves() -> None:
    norms = {
        "lstm": {"trained": np.ones(100)},
        "rnn": {"untrained": np.array([0.1**n for n in range(99)] + [0.0])[::-1]},
    }
    [axis] = drawing.gradients(norms, "t").axes
    assert axis.get_ylim()[0] == pytest.approx(drawing.LEAST)
    assert len(triangles(axis)) == 1 and "below 10⁻¹²" in axis.get_ylabel()
    assert axis.get_ylim()[1] > 1.5  # the highest point stands below the edge
    assert axis.yaxis.get_major_formatter()(1e-6) == "10⁻⁶"
    short = drawing.gradients({"lstm": {"trained": np.ones(5)}}, "t").axes[0]
    assert "▼" not in short.get_ylabel()
    assert short.yaxis.get_major_formatter()(0.5) == "0.5"


def test_a_network_has_its_colour_in_every_figure() -> None:
    sweep = drawing.accuracy_by_length({"rnn": {5: [0.9], 10: [0.5]}, "lstm": {5: [1], 10: [1]}})
    norms = {name: {"trained": np.ones(3)} for name in ("lstm", "rnn")}
    gradients = drawing.gradients(norms, "t")
    for figure in (sweep, gradients):
        drawn = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
        for network in ("lstm", "rnn"):
            [color] = [c for label, c in drawn.items() if label.startswith(drawing.TITLES[network])]
            assert color == LOOKS[network].color


def test_two_sweeps_of_a_network_share_its_colour_but_not_its_dashes() -> None:
    results = {f"lstm, {name}": {5: [0.9], 10: [0.5]} for name in ("a", "b")}
    lines = [
        line
        for line in drawing.accuracy_by_length(results).axes[0].lines
        if "LSTM" in line.get_label()
    ]
    assert {line.get_color() for line in lines} == {LOOKS["lstm"].color}
    assert len({line.get_marker() for line in lines}) == 2


def test_a_gan_that_was_judged_once_says_so() -> None:
    names = ("g_loss", "d_loss", "d_real", "d_fake")
    lines = [{"step": 20.0 * n, **dict.fromkeys(names, 0.5)} for n in range(1, 4)]
    once = drawing.gan_curves([*lines, {"step": 60.0, "fid": 12.34}], 3.0)
    assert len(once.axes) == 2
    assert once.get_suptitle() == "Judged once, at step 60: FID 12.3 (as many real digits: 3.0)"
    report = {"precision": 0.5, "recall": 0.25}
    judged = [{"step": 20.0 * n, "fid": 99.0 / n, **report} for n in (1, 2)]
    twice = drawing.gan_curves([*lines, *judged], None)
    assert [axis.get_title() for axis in twice.axes][2:] == [
        "Distance from real digits, by a classifier",
        "Precision and recall",
    ]


def samples(run: Path, steps: list[int]) -> RunFolder:
    (run / "samples").mkdir(parents=True)
    for step in steps:
        picture = np.full((600, 600), step % 256, np.uint8)
        drawing.write_grey(picture, run / "samples" / f"step-{step:07d}.png")
    return RunFolder(run)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([0], ["step 0"]),
        ([0, 7], ["step 0", "step 7"]),
        ([0, 1, 10], ["step 0", "step 1", "step 10"]),
        ([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 600], ["step 0", "step 5", "step 50", "step 600"]),
        ([0, *range(500, 31_500, 500)], ["step 0", "step 500", "step 3,000", "step 31,000"]),
    ],
)
def test_the_progress_shows_logarithmic_moments(
    steps: list[int], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(drawing, "save", lambda figure, into, name: (drawn.append(figure), name)[1])
    run = samples(tmp_path, steps)
    assert drawing.gan_progress(run, run, pytest.fail) == ["progress.png", "progress.gif"]
    assert [axis.get_title() for axis in drawn[0].axes] == expected
    with Image.open(tmp_path / "progress.gif") as gif:
        assert getattr(gif, "n_frames", 1) == len(steps)


def test_every_frame_carries_its_step() -> None:
    picture = np.full((300, 300), 128, np.uint8)
    one, other = (drawing.captioned(picture, f"step {step}") for step in (1, 2))
    np.testing.assert_array_equal(one[:300], picture)
    below = one[300:], other[300:]
    assert all(each.min() < 50 and each[:, [0, -1]].min() == 255 for each in below)
    assert (below[0] != below[1]).any()


LABELS = np.array([3, 3, 3, 8, 9])
READ = np.array([[0.9 if n == read else 0.1 / 9 for n in range(10)] for read in (3, 3, 5, 8, 4)])


def test_a_confusion_matrix_counts_what_was_misread() -> None:
    figure = drawing.confusion(LABELS, READ, "now")
    assert sorted(texts(figure)) == ["0.0 %", "1", "1", "100.0 %", "66.7 %"]
    places = {t.get_position() for t in figure.axes[0].texts if t.get_text() == "1"}
    assert places == {(5, 3), (4, 9)}  # read, written
    assert figure.axes[0].get_title() == "2 of 5 unseen digits misread, now"


def test_the_worst_read_digits_come_first() -> None:
    read = READ.copy()
    read[4] = [0.005 if n == 9 else 0.995 if n == 4 else 0 for n in range(10)]
    images = np.zeros((5, 28, 28), np.uint8)
    titles = [axis.get_title() for axis in drawing.worst_read(images, LABELS, read, "now").axes]
    assert titles[:3] == ["9, read as 4\n(100%)", "3, read as 5\n(90%)", "3, read as 3\n(90%)"]
    assert titles[5:] == [""] * 27


def test_a_probe_finds_what_a_state_keeps_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 600)
    noise = random.standard_normal((3, 600, 16))
    known = np.eye(10)[labels] @ random.standard_normal((10, 16))
    on_a_line = labels[:, None] * random.standard_normal(16)
    states = np.stack([known + 0.1 * noise[0], on_a_line + 0.1 * noise[1], noise[2]])
    first, second, third = insight.probe(states, labels, 400)
    assert first == 1
    assert second > 0.9  # least squares on one-hot labels would confuse classes on a line
    assert third < 0.25


def test_a_probe_of_states_that_never_change_guesses() -> None:
    labels = np.array([1, 2, 1, 1])
    assert insight.probe(np.zeros((2, 4, 3)), labels, 3).tolist() == [1, 1]


@pytest.mark.parametrize("model", ["lstm", "textbook", "rnn"])
@pytest.mark.parametrize("length", [1, 5, 120])
def test_who_knows_the_first_digit_is_found_and_drawn(model: Any, length: int) -> None:
    config = lstm.LSTMConfig(model=model, hidden=8, input_length=length).decided()
    mg.manual_seed(0)
    network = lstm.make_model(config)
    digits = np.random.default_rng(0).integers(0, 10, (60, length))
    x = mg.tensor(digits[:, :, None].astype(np.float32))
    found = insight.look_inside(network, x, digits[:, 0], 40)
    again = insight.look_inside(network, x, digits[:, 0], 40)
    assert found.moments[[0, -1]].tolist() == [1, length]
    assert len(found.moments) == min(length, insight.MOST_MOMENTS)
    assert found.digits == digits[40].tolist() and found.tested == 20
    assert [*found.known] == [
        "the network's own answer",
        "a linear classifier of the hidden state h",
        *["a linear classifier of the memory C"] * (model != "rnn"),
    ]
    for name, values in found.known.items():
        assert values.shape == found.moments.shape
        np.testing.assert_array_equal(values, again.known[name])
    assert found.known["a linear classifier of the hidden state h"][0] > 0.8
    logits = network(x[40:]).detach().numpy()
    answered = (logits.argmax(axis=1) == digits[40:, 0]).mean()
    assert found.known["the network's own answer"][-1] == pytest.approx(answered)
    assert {each.shape for each in found.cells.values()} <= {(length, insight.CHOSEN)}
    assert len(found.chosen) == (0 if model == "rnn" else insight.CHOSEN)
    if length == 1:
        return  # of a single step nothing is drawn
    figure = drawing.memory(found, model)
    assert len(figure.axes) == (1 if model == "rnn" else 1 + 4 + 4)  # with their colour bars
    if model != "rnn":
        memory = np.asarray(figure.axes[4].images[0].get_array())  # each cell on its own scale
        np.testing.assert_allclose(np.abs(memory).max(axis=1), 1)


def test_the_cells_that_keep_the_first_digit_best_come_first() -> None:
    labels = np.repeat(np.arange(4), 5)
    random = np.random.default_rng(0)
    values = random.standard_normal((20, 3))
    values[:, 1] = labels
    values[:, 2] = 0.5 * values[:, 2] + labels
    found = insight.explained(values, labels)
    assert np.argsort(-found).tolist() == [1, 2, 0]
    assert found[1] == pytest.approx(1)
    assert insight.explained(np.ones((20, 1)), labels).tolist() == [0]


def test_a_curve_of_nan_is_drawn() -> None:
    figure, axes = drawing.new_figure(4, 3)
    curve = Curve("x", LOOKS["lstm"], [1, 2, 3], [90.0, np.nan, 99.0])
    drawing.panel(axes[0, 0], "t", [curve], "x", "accuracy (%)")
    assert len(axes[0, 0].lines) == 1 and figure.axes
