"""Ways through a generator's latent space: looking for digits, and drawing what lies between."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import write_digits
from PIL import Image
from trainings import contents, damaged

import minigrad as mg
from minigrad.data import sample_digits
from models.gan import Generator
from train import gan, interpolate, latent, lstm
from train.gan import GANConfig
from train.judge import BUNDLED, Reader
from train.latent import Found, NotFound

KNOWN = 5  # the digits from 0 that the stand-in draws
IMAGES, LABELS = sample_digits()
FEW = ["--tries", "1500"]


def stand_in() -> Generator:
    """A generator that draws digit i as far as the latent number i is large.

    Each layer passes the first numbers on; the last one draws a digit for each.
    """
    generator = Generator(KNOWN)
    linear = [layer for layer in generator.layers if isinstance(layer, mg.nn.Linear)]
    for layer in linear[:-1]:
        layer.weight.data = np.eye(*layer.weight.shape, dtype=np.float32)
        layer.bias.data = np.zeros(layer.bias.shape, np.float32)
    drawings = [IMAGES[LABELS == digit][0].reshape(784) / 255 for digit in range(KNOWN)]
    last = linear[-1].weight
    last.data = np.zeros(last.shape, np.float32)
    last.data[:, :KNOWN] = 4 * np.stack(drawings, axis=1)
    linear[-1].bias.data = np.full(784, -3, np.float32)
    return generator


def make_run(folder: Path, average: float = 0.999, **settings: Any) -> Path:
    """A run folder whose weights nobody had to train; what does not draw knows nothing."""
    folder.mkdir(parents=True)
    config = GANConfig(latent_dim=KNOWN, average=average, **settings)
    text = json.dumps({"program": "train.gan"} | config.settings())
    (folder / "config.json").write_text(text)
    networks = {"generator": Generator(KNOWN), "average": stand_in()}
    if average == 0:
        networks = {"generator": stand_in()}
    weights = {
        f"{prefix}.{name}": value
        for prefix, network in networks.items()
        for name, value in network.state_dict().items()
    }
    mg.save(weights, folder / "last.safetensors")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


def random() -> np.random.Generator:
    return np.random.default_rng(0)


# --- ways -----------------------------------------------------------------------------------------


def test_great_arc_keeps_the_length_and_the_ends() -> None:
    start, end = random().standard_normal((2, 50))
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    arc = latent.great_arc(start, end, 9)
    np.testing.assert_allclose(arc[[0, -1]], [start, end])
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), np.linalg.norm(start))
    steps = np.linalg.norm(np.diff(arc, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])


@pytest.mark.parametrize("way", latent.WAYS)
@pytest.mark.parametrize("end", [2.0, -2.0])
def test_between_points_on_one_line_every_way_is_the_line(way: str, end: float) -> None:
    found = latent.WAYS[way](np.array([1.0]), np.array([end]), 3)
    np.testing.assert_allclose(found[:, 0], [1, (1 + end) / 2, end])


def test_the_straight_line_has_equal_steps() -> None:
    start, end = random().standard_normal((2, 50))
    steps = np.diff(latent.straight_line(start, end, 6), axis=0)
    np.testing.assert_allclose(steps, np.tile((end - start) / 5, (5, 1)))


# --- looking for digits ---------------------------------------------------------------------------


def test_the_surest_points_are_found(reader: Reader) -> None:
    generator = stand_in()
    found = latent.search(generator, reader, KNOWN, 1500, 4, random())
    same = random()  # as `search` draws: a thousand, and the rest
    points = np.concatenate([same.standard_normal((n, KNOWN), np.float32) for n in (1000, 500)])
    _, probabilities = reader.look(latent.draw(generator, points))
    assert sorted(found) == list(range(10))
    for digit, each in found.items():
        surest = np.argsort(-probabilities[:, digit])[:4]
        np.testing.assert_allclose(each.confidence, probabilities[surest, digit], rtol=1e-6)
        np.testing.assert_array_equal(each.points, points[surest])


def test_the_points_chosen_are_read_as_the_digits_asked_for(reader: Reader) -> None:
    generator = stand_in()
    found = latent.search(generator, reader, KNOWN, 1500, 50, random())
    digits = (4, 0, 0, 2, 0)
    points = latent.choose(found, digits, 0.9)
    _, probabilities = reader.look(latent.draw(generator, points))
    assert probabilities.argmax(axis=1).tolist() == list(digits)
    assert (probabilities.max(axis=1) >= 0.9).all()
    assert len(np.unique(points, axis=0)) == len(digits)


def test_a_digit_asked_for_again_is_taken_from_far_away() -> None:
    points = np.array([[0.0, 0], [0, 1], [3, 0], [0, 9]])
    found = {7: Found(points, np.array([0.99, 0.98, 0.95, 0.5]))}
    np.testing.assert_array_equal(latent.choose(found, (7, 7, 7), 0.9), points[[0, 2, 1]])


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ((7, 8), "none of the pictures .* as a 8 with 90 % confidence, and 1 is needed; .* 12 %"),
        ((7, 7, 7), "only 2 of the pictures .* as a 7 .* and 3 are needed; the best reached 99 %"),
        ((7, 9), "none of the pictures .* as a 9 .*; the best reached nothing"),
    ],
)
def test_what_is_missing_is_said(digits: tuple[int, ...], words: str) -> None:
    found = {
        7: Found(np.eye(3), np.array([0.99, 0.95, 0.5])),
        8: Found(np.eye(3), np.array([0.12, 0.1, 0.0])),
        9: Found(np.empty((0, 3)), np.empty(0)),
    }
    with pytest.raises(NotFound, match=words):
        latent.choose(found, digits, 0.9)


def test_the_clearest_digits_stand_in_for_those_that_are_missing() -> None:
    confidences = {digit: 0.1 * digit for digit in range(10)}
    found = {d: Found(np.eye(1), np.array([c])) for d, c in confidences.items()}
    assert latent.clearest(found, (3, 4), 0.2) == (3, 4)
    assert latent.clearest(found, (3, 4), 0.35) == (9, 8)


def test_strips_lead_from_point_to_point(reader: Reader) -> None:
    generator = stand_in()
    points = 2 * np.eye(KNOWN, dtype=np.float32)[[1, 3, 2]]
    rows = latent.strips(generator, reader, points, (1, 3, 2), 5, ("linear", "spherical"))
    names = ["1 to 3\nlinear", "1 to 3\nspherical", "3 to 2\nlinear", "3 to 2\nspherical"]
    assert [row.name for row in rows] == names
    ends = latent.draw(generator, points)
    for number, row in enumerate(rows):
        assert row.images.shape == (5, 28, 28)
        for i, point in ((0, number // 2), (-1, number // 2 + 1)):
            np.testing.assert_allclose(row.images[i].astype(int), ends[point], atol=1)
        assert [row.captions[0], row.captions[-1]] == row.name.split("\n")[0].split(" to ")
    assert (rows[0].images[2] != rows[1].images[2]).any()


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.999, 0.0])
def test_the_command_draws_with_what_draws_in_the_run(
    average: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", average)
    before = contents(run)
    assert interpolate.main([str(run), "--digits", "3", "4", *FEW]) == 0
    picture = run / "interpolation-3-4.png"
    assert contents(run) == before | {picture: picture.read_bytes()}
    with Image.open(picture) as image:
        assert image.width > 1000 and image.height > 200
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "Looking for 3 4 among 1,500 latent points."
    assert re.match(r"Found 3 \((9\d|100)\.\d%\), 4 \(", out.splitlines()[1])
    assert str(picture) in out
    assert err == ""


def test_a_seed_draws_the_same_picture_again(run: Path, tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        out = tmp_path / f"{name}.png"
        words = ["--digits", "1", "1", "--seed", seed, "--out", str(out), "--quiet", "--gif"]
        assert interpolate.main([str(run), *FEW, *words]) == 0
        drawn.append((out.read_bytes(), out.with_suffix(".gif").read_bytes()))
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[2][0]


@pytest.mark.parametrize(("path", "rows"), [("both", 4), ("spherical", 2), ("linear", 2)])
def test_every_leg_and_way_has_its_strip(
    path: str, rows: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--digits", "0", "3", "2", "--path", path, "--steps", "4", "--gif", "--quiet"]
    assert interpolate.main([str(run), *FEW, *words]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    with Image.open(run / "interpolation-0-3-2.png") as image:
        grey = np.asarray(image.convert("L"))
    # between two strips lies a band of paper with captions only, far from the left edge
    inked = (grey[:, grey.shape[1] // 2 :] < 100).sum(axis=1) > 0
    assert np.flatnonzero(np.diff(inked.astype(int)) == 1).size >= rows
    with Image.open(run / "interpolation-0-3-2.gif") as gif:
        assert gif.n_frames == 8  # type: ignore[attr-defined]  # the digit in the middle ends a leg
        assert gif.size == ((360 if path == "both" else 180), 216)  # with the name of each way


def test_a_dry_run_touches_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    assert interpolate.main([str(run), "--digits", "9", "3", "2", "--dry-run"]) == 0
    settings = json.loads(capsys.readouterr().out)
    assert settings["digits"] == [9, 3, 2]
    assert settings["out"] == str(run / "interpolation-9-3-2.png")
    assert contents(run) == before


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert interpolate.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("RUN", "--digits", "--path", "--steps", "--seed", "--tries", "--judge", "--gif"):
        assert name in text


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--digits 3 10", "--digits is 3 10; allowed: two to 20 digits, each from 0 to 9"),
        ("--digits 3 -1", "--digits is 3 -1; allowed"),
        ("--digits 3", "--digits is 3; allowed: two to 20 digits"),
        ("--digits" + 21 * " 3", "3 3 3; allowed: two to 20 digits"),
        ("--steps 1", "--steps is 1; allowed: a whole number from 2 to 100"),
        ("--tries 0", "--tries is 0; allowed"),
        ("--confidence 1.5", "--confidence is 1.5; allowed: a number from 0 to 1"),
        ("--seed -1", "--seed is -1; allowed"),
        ("--judge nowhere.safetensors", "--judge nowhere.safetensors: cannot read weights"),
        ("--out {run}/last.safetensors", "last.safetensors: is not named .png; allowed"),
        ("--out {run}/new/x.png", "new is not a folder; allowed: a PNG file in a folder"),
        ("--out {run}/config.json/x.png", "config.json is not a folder"),
        ("--out {run}/x.png --gif", "x.gif is a folder; allowed: another --out"),
        ("--out /dev/full/x.png", "/dev/full is not a folder"),
        (
            "--digits 3 7 --tries 300 --confidence 0.99",
            "--digits 3 7: none of the pictures that the generator drew can be read as a 7 with "
            "99 % confidence, and 1 is needed; the best reached",
        ),
        (
            "--digits 3 7 --tries 300 --confidence 0.99",
            "(300 tried); this generator draws 0, 1, 2, 3, 4, 9 so clearly",
        ),
        ("--tries 1 --confidence 1", "this generator draws no digit so clearly"),
    ],
)
def test_bad_input_is_one_message_and_touches_nothing(
    words: str, error: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "x.gif").mkdir()
    before = contents(run)
    assert interpolate.main([str(run), *words.format(run=run).split(), "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert error in err
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert out == ""
    assert contents(run) == before


def another_program(run: Path) -> None:
    settings = {"program": "train.lstm"} | lstm.LSTMConfig().settings()
    (run / "config.json").write_text(json.dumps(settings))


WEIGHTS, ANOTHER_SIZE = "last.safetensors", b'{"program": "train.gan", "latent_dim": 6}'


def half_weights(run: Path) -> None:
    file = run / "last.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def infinite_weights(run: Path) -> None:
    weights = mg.load(run / "last.safetensors")
    weights["average.layers.0.bias"].data[3] = np.inf
    mg.save(weights, run / "last.safetensors")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged("config.json", None), "config.json cannot be read: No such file or directory"),
        (another_program, "this is a run of train.lstm, not of train.gan"),
        (damaged(WEIGHTS, None), "there are no weights yet; they come with its first epoch"),
        (half_weights, "is damaged or no safetensors file"),
        (damaged(WEIGHTS, BUNDLED.read_bytes()), "last.safetensors holds layers of shapes [], but"),
        (infinite_weights, "weights in last.safetensors are nan or infinite"),
        (damaged("config.json", ANOTHER_SIZE), "but config.json says [(128, 6), (256, 128), "),
    ],
)
def test_what_is_no_run_with_a_generator_is_refused(
    damage: Any, words: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    before = contents(run)
    assert interpolate.main([str(run)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: RUN ") and words in err and "Traceback" not in err
    assert out == ""
    assert contents(run) == before


def test_a_picture_that_cannot_be_written_is_bad_input(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    before = contents(run)
    monkeypatch.setattr("train.drawing.strips", full)
    assert interpolate.main([str(run), *FEW, "--quiet"]) == 2
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert contents(run) == before


def test_a_trained_run_has_such_a_picture_and_can_be_given_more(tmp_path: Path) -> None:
    write_digits(tmp_path, IMAGES[:70], LABELS[:70])
    words = ["--limit", "70", "--epochs", "1", "--data-dir", str(tmp_path), "--quiet"]
    assert gan.main([*words, "--out", str(tmp_path / "runs")]) == 0
    [run] = (tmp_path / "runs" / "gan").iterdir()
    assert (run / "interpolation.png").stat().st_size > 10_000
    assert interpolate.main([str(run), "--confidence", "0", *FEW, "--quiet"]) == 0
    assert (run / "interpolation-3-4.png").stat().st_size > 10_000
