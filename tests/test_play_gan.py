"""The GAN in one dimension that a page plays: its steps, its arrows, and what its presets show."""

import doctest
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

sys.path.insert(0, str(Path(__file__).parent.parent / "docs/site/python"))
import play_gan


def weights(network: mg.nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in network.parameters()]


def same(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(play_gan).failed == 0


@pytest.mark.parametrize("act", ["discriminator", "generator"])
@pytest.mark.parametrize("r1", [0.0, 1.0])
def test_a_step_moves_its_own_player_only(act: str, r1: float) -> None:
    play_gan.begin({})
    networks = {"discriminator": play_gan._game.D, "generator": play_gan._game.G}
    before = {name: weights(network) for name, network in networks.items()}
    shown = getattr(play_gan, act)({"r1": r1})
    for name, network in networks.items():
        assert same(before[name], weights(network)) == (name != act)
    assert shown["round"] == 0
    assert shown["said"].startswith(f"{act[0].upper()} took one step")


def test_the_same_seed_plays_the_same_game_and_another_seed_another() -> None:
    first, again, other = (
        [play_gan.begin({"seed": seed}), play_gan.rounds({}, 5)] for seed in (3, 3, 4)
    )
    assert first == again
    assert first[1]["answers"] != other[1]["answers"]


def test_the_arrows_are_minus_the_slope_of_the_loss() -> None:
    play_gan.begin({})
    play_gan.rounds({}, 20)
    game = play_gan._game
    for saturating in (False, True):
        for _, x, push in zip(*game.arrows(saturating), strict=True):
            places = np.linspace(x - 0.01, x + 0.01, 2, dtype=np.float32).reshape(-1, 1)
            logits = game.D(mg.tensor(places)).detach().numpy().astype(float).ravel()
            # log(1 - D) = -softplus(a), and -log D = softplus(-a)
            loss = -np.logaddexp(0, logits) if saturating else np.logaddexp(0, -logits)
            slope = (loss[1] - loss[0]) / float(places[1, 0] - places[0, 0])
            # a logit of size 10 is rounded by 1e-6, a slope over 0.02 so by 1e-4; D's kinks and
            # its curvature change the slope by a few percent within 0.01
            assert push == pytest.approx(-slope, rel=0.1, abs=1e-3)


def test_what_is_shown_is_that_of_the_samples() -> None:
    play_gan.begin({"data": "two"})
    shown = play_gan.rounds({"data": "two"}, 3)
    game = play_gan._game
    fakes = game.G(game.z).detach().numpy()
    on_real, on_fake = (
        game.D(x).detach().numpy().astype(float) for x in (mg.tensor(game.real), mg.tensor(fakes))
    )
    sigmoid = 1 / (1 + np.exp(-np.concatenate([on_real, on_fake], axis=1)))
    eps = float(np.finfo(np.float32).eps)
    assert shown["d_real"] == pytest.approx(sigmoid[:, 0].mean(), rel=20 * eps)
    assert shown["d_fake"] == pytest.approx(sigmoid[:, 1].mean(), rel=20 * eps)
    loss = np.logaddexp(0, -on_real).mean() + np.logaddexp(0, on_fake).mean()
    assert shown["d_loss"] == pytest.approx(loss, rel=20 * eps)
    apart = np.abs(np.sort(game.real, axis=0) - np.sort(fakes, axis=0)).mean()
    assert shown["distance"] == pytest.approx(float(apart), rel=20 * eps)
    assert shown["left"] == np.mean(fakes < 4)
    inside = np.mean((fakes >= -2) & (fakes <= 10))
    assert sum(shown["fake"]) == pytest.approx(inside)
    best = [b for b in shown["best"] if b is not None]
    assert best
    assert min(best) >= 0
    assert max(best) <= 1


def test_a_game_of_one_hump_finds_it() -> None:
    begun = play_gan.begin({})
    ended = play_gan.rounds({}, 300)
    assert begun["distance"] > 4
    assert ended["distance"] < 0.5
    assert abs(ended["mean"] - 4) < 0.3


def test_a_discriminator_too_strong_pushes_nothing_unless_the_loss_is_not_flat() -> None:
    strong = {"d_steps": 10, "saturating": True}
    play_gan.begin(strong)
    stuck = play_gan.rounds(strong, 20)
    assert stuck["push"] < 0.002
    assert stuck["distance"] > 4
    assert "nothing pushes" in stuck["said"]
    assert play_gan.rounds({"d_steps": 10}, 1)["push"] > 1


def test_two_humps_collapse_to_one_and_the_penalty_frees_the_fakes() -> None:
    play_gan.begin({"data": "two"})
    collapsed = play_gan.rounds({"data": "two"}, 300)
    assert collapsed["left"] > 0.95
    assert "the right hump is not drawn" in collapsed["said"]
    # chapter 10: the best D of a hump that is drawn twice as often as it is real has this loss
    assert collapsed["d_loss"] == pytest.approx(np.log(3) / 2 + np.log(3 / 2), abs=0.1)
    freed = play_gan.rounds({"data": "two", "r1": 1.0}, 500)
    assert 0.2 < freed["left"] < 0.8
    assert freed["distance"] < collapsed["distance"] / 2


def test_much_memory_swings_farther() -> None:
    swings = {}
    for beta1 in (0.0, 0.9):
        settings = {"lr_d": 0.002, "beta1": beta1}
        play_gan.begin(settings)
        play_gan.rounds(settings, 300)
        means = [play_gan.rounds(settings, 20)["mean"] for _ in range(15)]
        swings[beta1] = max(means) - min(means)
    assert swings[0.9] > 1.5 * swings[0.0]


def test_real_numbers_are_what_their_name_says() -> None:
    chance = np.random.default_rng(0)
    one, two, uniform = (
        play_gan.real_numbers(data, 4000, chance) for data in ("one", "two", "uniform")
    )
    error = 5 / np.sqrt(4000)  # five standard errors of a mean, in standard deviations
    for sample, spread in ((one, 0.5), (two, np.sqrt(4 + 0.25)), (uniform, 4 / np.sqrt(12))):
        assert abs(sample.mean() - 4) < error * spread
        assert sample.std() == pytest.approx(spread, rel=error)
    assert uniform.min() >= 2
    assert uniform.max() <= 6
    with pytest.raises(KeyError):
        play_gan.real_numbers("three", 1, chance)
