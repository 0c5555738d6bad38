"""The latent space that a page shows: what it does is the trainer's, and its file is small."""

import base64
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import sample_digits
from train import latent
from train.judge import BUNDLED

sys.path.insert(0, str(Path(__file__).parent.parent / "docs/site/python"))
import play_latent

EPS = float(np.finfo(np.float32).eps)


def image(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(28, 28)


def test_the_file_is_small_and_holds_what_the_page_needs() -> None:
    assert play_latent.WEIGHTS.stat().st_size < 3_000_000
    with np.load(play_latent.WEIGHTS) as file:
        arrays = dict(file)
    assert all(x.dtype == np.float16 for name, x in arrays.items() if name.endswith("weight"))
    directions, shares = arrays["directions"], arrays["shares"]
    # orthonormal: sums of 100 products of float32
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=100 * EPS)
    assert np.all(np.diff(shares) <= 0)
    assert 0 < shares.sum() <= 1
    assert arrays["unseen"] > 0


def test_the_classifier_is_the_judge() -> None:
    read, loaded = play_latent.read_float32(BUNDLED), mg.load(BUNDLED)
    assert read.keys() == loaded.keys()
    for name, value in loaded.items():
        np.testing.assert_array_equal(read[name].numpy(), value.numpy())


def test_a_point_is_shown_with_its_reading_and_the_ends_of_its_sliders() -> None:
    begun = play_latent.begin()
    z = play_latent.random_point(1)
    shown = play_latent.show(z)
    assert shown["z"] == z
    assert len(begun["shares"]) == len(shown["coordinates"]) == len(shown["ends"]) == 8
    assert sum(shown["reading"]) == pytest.approx(1)
    assert shown["length"] == pytest.approx(np.linalg.norm(z), rel=100 * EPS)
    picture = image(shown["image"])
    np.testing.assert_array_equal(picture, play_latent.draw(np.array([z]))[0])
    for k, pair in enumerate(shown["ends"]):
        for side, text in zip((-play_latent.ENDS, play_latent.ENDS), pair, strict=True):
            coordinates = list(shown["coordinates"])
            coordinates[k] = side
            moved = image(play_latent.turn(z, coordinates)["image"])
            # the same point but for rounding: at most one grey value off
            assert np.abs(moved.astype(int) - image(text)).max() <= 1


def test_a_slider_moves_one_coordinate_and_nothing_else() -> None:
    z = play_latent.random_point(2)
    directions = play_latent._weights()["directions"]
    wanted = play_latent.show(z)["coordinates"]
    wanted[3] = 2.5
    turned = play_latent.turn(z, wanted)
    # sums of 100 products, of numbers up to 4
    np.testing.assert_allclose(turned["coordinates"], wanted, atol=400 * EPS)
    change = np.array(turned["z"]) - z
    along = (change @ directions[3]) * directions[3]
    np.testing.assert_allclose(change, along, atol=400 * EPS)


def test_the_other_numbers_are_new_and_the_eight_stay() -> None:
    z = play_latent.random_point(3)
    coordinates = play_latent.show(z)["coordinates"]
    drawn = play_latent.draw_rest(z, 4)
    np.testing.assert_allclose(drawn["coordinates"], coordinates, atol=400 * EPS)
    directions = play_latent._weights()["directions"].astype(float)
    rest, before = (np.array(p) - (directions @ p) @ directions for p in (drawn["z"], z))
    assert np.linalg.norm(rest - before) > 5  # two random lists of 92 are about 13.6 apart
    assert drawn["z"] == play_latent.draw_rest(z, 4)["z"]


@pytest.mark.parametrize("digit", range(10))
def test_each_digit_is_found(digit: int) -> None:
    found = play_latent.find(digit, 0)
    assert found["found"]
    assert 1 <= found["tried"] <= play_latent.TRIES
    assert play_latent.show(found["z"])["reading"][digit] >= latent.CONFIDENT


def test_the_count_of_points_tried_is_that_of_points_drawn() -> None:
    found = play_latent.find(5, 1)
    points = np.random.default_rng(1).standard_normal((found["tried"], 100), np.float32)
    if found["tried"] <= play_latent.TOGETHER:
        points = np.random.default_rng(1).standard_normal((play_latent.TOGETHER, 100), np.float32)
    np.testing.assert_array_equal(points[found["tried"] - 1], np.float32(found["z"]))


def test_a_digit_that_is_never_drawn_gives_the_best_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent, "CONFIDENT", 1.1)
    monkeypatch.setattr(play_latent, "TRIES", 100)
    found = play_latent.find(4, 0)
    assert not found["found"]
    points = np.random.default_rng(0).standard_normal((100, 100), np.float32)
    probability = play_latent._reader().look(play_latent.draw(points))[1][:, 4]
    np.testing.assert_array_equal(np.float32(found["z"]), points[probability.argmax()])


def test_the_clearest_point_is_the_clearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_latent, "COMPARED", 100)
    points = np.random.default_rng(2).standard_normal((100, 100), np.float32)
    probability = play_latent._reader().look(play_latent.draw(points))[1][:, 6]
    np.testing.assert_array_equal(
        np.float32(play_latent.clearest(6, 2)), points[probability.argmax()]
    )


@pytest.mark.parametrize("kind", ["spherical", "linear"])
def test_a_way_is_the_trainers(kind: str) -> None:
    start, end = (np.float32(play_latent.random_point(seed)) for seed in (5, 6))
    points = latent.WAYS[kind](start, end, latent.STEPS)
    ways = play_latent.ways(start.tolist(), end.tolist())[kind]
    for percent, point, step in zip(range(0, 101, 10), points, ways, strict=True):
        shown = play_latent.along(start.tolist(), end.tolist(), kind, percent)
        # a few float32 operations on numbers below 4
        np.testing.assert_allclose(shown["z"], point, atol=16 * EPS)
        assert step["length"] == pytest.approx(np.linalg.norm(point), rel=100 * EPS)
        assert step["probability"] == pytest.approx(max(shown["reading"]), abs=1e-3)


def test_a_way_from_a_point_to_itself_stays_there() -> None:
    z = play_latent.random_point(7)
    for pictures in play_latent.ways(z, z).values():
        assert {step["image"] for step in pictures} == {play_latent.show(z)["image"]}


def test_the_straight_line_comes_nearer_to_the_origin_than_the_arc() -> None:
    ways = play_latent.ways(play_latent.random_point(8), play_latent.random_point(9))
    middle = {kind: pictures[latent.STEPS // 2]["length"] for kind, pictures in ways.items()}
    assert middle["linear"] < 0.85 * middle["spherical"]  # about 1 / sqrt 2


def test_neighbours_are_the_nearest_of_the_digits_that_were_read() -> None:
    play_latent._known.cache_clear()
    assert play_latent.read_known() == [play_latent.PART, 10_000]
    z = play_latent.find(2, 0)["z"]
    images, labels = sample_digits()
    picture = play_latent.draw(np.array([z], np.float32))
    known, own = (play_latent._reader().look(x)[0] for x in (images[: play_latent.PART], picture))
    distances = np.linalg.norm(known - own, axis=1)
    found = play_latent.neighbours(z)
    assert [each["distance"] for each in found] == pytest.approx(np.sort(distances)[:3])
    nearest = int(distances.argmin())
    assert found[0]["digit"] == labels[nearest]
    np.testing.assert_array_equal(image(found[0]["image"]), images[nearest])
    play_latent._known.cache_clear()
