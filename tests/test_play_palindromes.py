"""The Python side of docs/play/palindromes.md: the training in short calls, and the look inside."""

import doctest
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from train import lstm as trainer

sys.path.insert(0, str(Path(__file__).parent.parent / "docs/site/python"))
import play_palindromes as play

EPS = float(np.finfo(np.float32).eps)


def maps(found: dict[str, Any], network: str = "lstm") -> dict[str, np.ndarray]:
    return {
        each["symbol"]: np.array(each["values"])
        for each in found["maps"]
        if each["network"] == network
    }


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(play).failed == 0


@pytest.mark.parametrize(("model", "name"), [("textbook", "lstm"), ("rnn", "rnn")])
def test_it_learns_as_the_trainer_does(model: Any, name: str) -> None:
    config = trainer.LSTMConfig(model=model, input_length=4, hidden=8, seed=3).decided()
    learnt, _ = trainer.make_examples(config)
    mg.manual_seed(config.seed)
    network = trainer.make_model(config)
    optimizer, _ = trainer.make_optimizer(config, network)
    shuffle = np.random.default_rng([config.seed, 1])
    order = [*play.batches(len(learnt), config.batch_size, shuffle)]
    losses = []
    for chosen in order[:5]:
        x, labels = trainer.to_tensors(learnt, chosen)
        losses.append(trainer.step(network, optimizer, x, labels, config.max_norm)["loss"].item())

    play.begin(4, 8, config.learning_rate, config.seed, with_rnn=True)
    found = play.advance(5)
    assert found["seen"] == sum(map(len, order[:5]))
    assert found["networks"][name]["loss"] == pytest.approx(np.mean(losses), rel=8 * EPS)
    own = play._current().pupils[name].model
    for one, other in zip(own.parameters(), network.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())


def test_short_calls_are_one_long_one() -> None:
    play.begin(4, 8, 3e-3, 0, with_rnn=False)
    play.advance(6)
    long = play.look("123", sort=False)
    play.begin(4, 8, 3e-3, 0, with_rnn=False)
    for steps in (1, 3, 0, 2):
        last = play.advance(steps)
        play.look("405", sort=True)  # looking changes nothing
    play._current().orders["lstm"] = np.arange(8)
    assert play.look("123", sort=False) == long
    assert list(last["networks"]) == ["lstm"]


def test_it_begins_with_guessing_and_learns() -> None:
    begun = play.begin(3, 16, 1e-2, 0, with_rnn=True)
    assert (begun["exist"], begun["learnt"], begun["unseen"], begun["seen"]) == (100, 80, 20, 0)
    ended = play.advance(60)
    for name, first in begun["networks"].items():
        assert first["loss"] == pytest.approx(np.log(10), abs=0.2)
        assert ended["networks"][name]["loss"] < first["loss"] - 0.2
        assert 0 <= ended["networks"][name]["accuracy"] <= 1


def test_the_rate_can_be_changed_on_the_way() -> None:
    play.begin(3, 8, 1e-2, 0, with_rnn=True)
    before = play.look("12", sort=False)
    play.set_rate(0.0)
    play.advance(2)
    assert play.look("12", sort=False) == before
    play.set_rate(1e-2)
    play.advance(1)
    assert play.look("12", sort=False) != before


def test_a_training_that_diverges_is_told() -> None:
    play.begin(3, 8, 1e-2, 0, with_rnn=False)
    play.set_rate(1e38)
    with np.errstate(all="ignore"):
        found = play.advance(5)
    assert found["diverged"] and found["networks"]["lstm"]["loss"] is None
    json.dumps(found, allow_nan=False)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    play.begin(5, 12, 3e-3, 1, with_rnn=True)
    play.advance(15)
    return play.look("4 07", sort=True)


def test_answers_are_those_of_the_networks(found: dict[str, Any]) -> None:
    assert found["digits"] == [4, 0, 7, 7, 0, 4]
    x = mg.tensor(np.array(found["digits"][:-1], np.float32).reshape(1, 5, 1))
    for name, pupil in play._current().pupils.items():
        chances = np.array(found["networks"][name]["probabilities"])
        assert chances.sum() == pytest.approx(1, abs=10 * EPS)
        logits = pupil.model(x).detach().numpy()[0]
        expected = np.exp(logits) / np.exp(logits).sum()
        # the sums of the hidden layer are of H + 1 = 13 terms, five times one after the other
        np.testing.assert_allclose(chances, expected, rtol=5 * 16 * EPS)


def test_maps_show_the_equations_of_the_lstm(found: dict[str, Any]) -> None:
    held = maps(found)
    assert set(held) == {"f", "i", "candidate", "C", "o", "h", "knows"}
    assert {each.shape for each in held.values()} == {(12, 5)}
    before = np.concatenate([np.zeros((12, 1)), held["C"][:, :-1]], axis=1)
    written = held["f"] * before + held["i"] * held["candidate"]
    np.testing.assert_allclose(held["C"], written, rtol=0, atol=4 * EPS * np.abs(written).max())
    np.testing.assert_allclose(held["h"], held["o"] * np.tanh(held["C"]), rtol=0, atol=8 * EPS)
    for gate in ("f", "i", "o", "knows"):
        assert 0 <= held[gate].min() and held[gate].max() <= 1 + EPS


def test_units_are_sorted_by_what_they_know(found: dict[str, Any]) -> None:
    for network in ("lstm", "rnn"):
        known = maps(found, network)["knows"]
        np.testing.assert_allclose(known[:, 0], 1, atol=1e-5)  # nothing else has been read
        assert np.all(np.diff(known[:, -1]) <= 0)
        assert sorted(found["units"][network]) == list(range(12))
    unsorted = play._current().known(play._current().pupils["lstm"].model)
    with mg.no_grad():
        np.testing.assert_array_equal(maps(found)["knows"], unsorted[found["units"]["lstm"]])


def test_pages_get_plain_json(found: dict[str, Any]) -> None:
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("typed", "length", "message"),
    [
        ("", 5, "Type 3 more digits: the first 3 of 6 fix the others."),
        ("40", 5, "Type 1 more digit: the first 3 of 6 fix the others."),
        ("4a7", 5, "a is no digit: type digits from 0 to 9."),
        ("-12", 5, "- is no digit: type digits from 0 to 9."),
        ("1\u0662\u0663", 5, "\u0662 is no digit: type digits from 0 to 9."),
        ("4071", 5, "No palindrome: digit 4 is 1, and its mirror image, digit 3, is 7."),
        ("123422", 6, "No palindrome: digit 5 is 2, and its mirror image, digit 3, is 3."),
        ("4077045", 5, "These are 7 digits; the palindromes have 6 here."),
    ],
)
def test_what_is_no_palindrome_is_told(typed: str, length: int, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        play.completed(typed, length)
    assert str(raised.value) == message
    play.begin(length, 4, 3e-3, 0, with_rnn=False)
    assert play.look(typed, sort=False) == {"problem": message}


@pytest.mark.parametrize("length", range(3, 13))
def test_half_of_a_palindrome_is_completed(length: int) -> None:
    digits = play.completed("1234567"[: length // 2 + 1], length)
    assert len(digits) == length + 1 and digits == digits[::-1]
    whole = "".join(map(str, digits))
    for typed in range(length // 2 + 1, length + 2):
        assert play.completed(whole[:typed], length) == digits
