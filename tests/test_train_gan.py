"""Finding MNIST, and the GAN's trainer."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trainings import only_run, write_random_digits

import minigrad as mg
from minigrad import nn
from minigrad.data import DataError
from models.gan import Discriminator, Generator
from train import digits, gan
from train.average import Average
from train.config import parse
from train.console import BadInput
from train.interpolate import load_generator
from train.judge import Reader
from train.latent import draw, to_grey

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("quick_pictures")
NO_SERVER = "http://127.0.0.1:9/mnist/"


def install_torchvision(
    monkeypatch: pytest.MonkeyPatch, mirror: str, download: Any = lambda root: None
) -> None:
    """Let a torchvision be importable whose MNIST class calls download(root)."""

    class MNIST:
        mirrors = (mirror,)

        def __init__(self, root: Path, download: bool) -> None:
            assert download
            self.fetch(root)

        fetch = staticmethod(download)

    package, datasets = ModuleType("torchvision"), ModuleType("torchvision.datasets")
    datasets.MNIST = MNIST  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


def test_the_named_folder_is_read(tmp_path: Path) -> None:
    images = write_random_digits(tmp_path)
    said: list[str] = []
    found = digits.training_digits(tmp_path, said.append)
    np.testing.assert_array_equal(found.images, images)
    assert found.source == str(tmp_path / "MNIST" / "raw")
    assert said == []


def test_the_folder_data_is_read_if_none_is_named(elsewhere: Path) -> None:
    images = write_random_digits(elsewhere / "data")
    np.testing.assert_array_equal(digits.training_digits(None, print).images, images)


@pytest.mark.parametrize("named", [True, False])
def test_a_damaged_file_is_never_passed_over(named: bool, elsewhere: Path) -> None:
    write_random_digits(elsewhere / "data")
    path = elsewhere / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="train-images-idx3-ubyte is truncated"):
        digits.training_digits(Path("data") if named else None, print)


@pytest.mark.usefixtures("no_torchvision")
def test_without_torchvision_the_sample_is_used_and_that_is_said(elsewhere: Path) -> None:
    said: list[str] = []
    found = digits.training_digits(None, said.append)
    assert (len(found), found.source) == (10_000, "the bundled sample")
    assert len(said) == 1
    assert "bundled sample" in said[0] and "pip install torchvision" in said[0]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.usefixtures("no_torchvision")
def test_a_named_folder_without_digits_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--data-dir .*train-images-idx3-ubyte.*torchvision"):
        digits.training_digits(tmp_path, print)


def test_a_torchvision_that_cannot_be_imported_is_as_good_as_none(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "torchvision.py").write_text("raise RuntimeError('operator is missing')")
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    said: list[str] = []
    assert len(digits.training_digits(None, said.append)) == 10_000
    assert "operator is missing" in said[0]


def test_torchvision_fetches_what_is_missing(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "_answers", lambda url: True)
    timeouts = []

    def download(root: Path) -> None:
        timeouts.append(socket.getdefaulttimeout())
        write_random_digits(root)

    install_torchvision(monkeypatch, NO_SERVER, download)
    said: list[str] = []
    found = digits.training_digits(None, said.append)
    assert (len(found), found.source) == (70, str(Path("data/MNIST/raw").absolute()))
    assert "Fetching" in said[0]
    assert timeouts[0] is not None and timeouts[0] < 60
    assert socket.getdefaulttimeout() is None
    assert len(digits.training_digits(elsewhere / "named", said.append)) == 70


def test_a_fetch_that_fails_is_told(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_answers", lambda url: True)

    def download(root: Path) -> None:
        raise RuntimeError("Error downloading\nHTTP Error 404")

    install_torchvision(monkeypatch, NO_SERVER, download)
    said: list[str] = []
    assert len(digits.training_digits(None, said.append)) == 10_000
    assert "Error downloading HTTP Error 404" in said[-1]
    with pytest.raises(BadInput, match="HTTP Error 404"):
        digits.training_digits(elsewhere, said.append)


def test_offline_ends_at_the_sample_at_once(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(root: Path) -> None:
        raise AssertionError("must not try")

    install_torchvision(monkeypatch, NO_SERVER, download)
    started = time.monotonic()
    said: list[str] = []
    assert len(digits.training_digits(None, said.append)) == 10_000
    assert time.monotonic() - started < 4
    assert "127.0.0.1:9/mnist/ does not answer" in said[0]
    assert list(elsewhere.iterdir()) == []


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        started = time.monotonic()
        assert not digits._answers(address)
        assert time.monotonic() - started < 3


def small_game(seed: int = 0) -> gan.Game:
    """New networks with the default optimizers."""
    mg.manual_seed(seed)
    return gan.make_game(gan.GANConfig(latent_dim=7))


def weights(network: Any) -> dict[str, Any]:
    """Copies of a network's parameters."""
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def moved(before: dict[str, Any], after: dict[str, Any]) -> list[bool]:
    """Which parameters have changed."""
    return [bool((before[name] != after[name]).any()) for name in before]


def test_step_moves_both_networks_and_measures_before() -> None:
    game = small_game()
    before = weights(game.generator), weights(game.discriminator)
    real, latent = mg.rand(8, 784) * 2 - 1, mg.randn(8, 7)
    believed = game.discriminator(game.generator(latent)).detach().numpy()
    on_real = game.discriminator(real).detach().numpy()
    measured = {name: value.item() for name, value in gan.step(game, real, latent).items()}
    assert all(moved(before[0], weights(game.generator)))
    assert all(moved(before[1], weights(game.discriminator)))
    # The discriminator judges the fakes that the generator made before its own step.
    assert measured["g_loss"] == pytest.approx(-np.log(believed).mean(), rel=1e-4)
    expected = -np.log(on_real).mean() - np.log(1 - believed).mean()
    assert measured["d_loss"] == pytest.approx(expected, rel=1e-4)
    assert measured["d_real"] == pytest.approx((on_real > 0.5).mean())
    assert measured["d_fake"] == pytest.approx((believed < 0.5).mean())


def test_the_generators_loss_moves_the_generator_only(monkeypatch: pytest.MonkeyPatch) -> None:
    game = small_game()
    before = weights(game.generator), weights(game.discriminator)
    monkeypatch.setattr(game.discriminator_optimizer, "step", lambda: None)
    gan.step(game, mg.rand(8, 784), mg.randn(8, 7))
    assert all(moved(before[0], weights(game.generator)))
    assert not any(moved(before[1], weights(game.discriminator)))


def test_the_discriminators_gradient_is_that_of_its_own_loss_alone() -> None:
    game = small_game()
    real, latent = mg.rand(8, 784), mg.randn(8, 7)
    fake = game.generator(latent).detach()
    twin = Discriminator()
    twin.load_state_dict(game.discriminator.state_dict())
    gan.step(game, real, latent)
    loss = -(mg.log(twin(real)).mean() + mg.log(1 - twin(fake)).mean())
    loss.backward()
    for p, q in zip(game.discriminator.parameters(), twin.parameters(), strict=True):
        assert p.grad is not None and q.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_the_penalty_is_that_of_the_slope_at_real_digits() -> None:
    discriminator = Discriminator().astype("float64")
    real = mg.tensor(np.random.default_rng(0).uniform(-1, 1, (3, 784)))
    rows = []
    for row in range(3):
        x = real[row : row + 1].detach().requires_grad_()
        p = discriminator(x)
        mg.log(p / (1 - p)).sum().backward(inputs=x)
        assert x.grad is not None
        rows.append(float((x.grad * x.grad).sum().item()))
    assert gan.slope(discriminator, real).item() == pytest.approx(np.mean(rows), rel=1e-9)
    weight = discriminator.layers[2].weight
    slope = gan.slope(discriminator, real)
    [gradient] = mg.grad(slope, weight)
    assert gradient is not None
    direction = np.random.default_rng(1).standard_normal(weight.shape)
    found = []
    for sign in (1, -1):
        weight.data = weight.data + sign * 1e-6 * direction
        found.append(gan.slope(discriminator, real).item())
        weight.data = weight.data - sign * 1e-6 * direction
    along = (found[0] - found[1]) / 2e-6
    assert float((gradient.numpy() * direction).sum()) == pytest.approx(along, rel=1e-5)


def test_the_penalty_moves_the_discriminator_only() -> None:
    real, latent = mg.rand(8, 784), mg.randn(8, 7)
    games = [small_game() for _ in range(2)]
    losses = [
        gan.step(game, real, latent, r1)["d_loss"].item()
        for game, r1 in zip(games, (0.0, 10.0), strict=True)
    ]
    assert losses[0] == losses[1]  # it is not part of the loss that is shown
    own, other = (weights(game.generator) for game in games)
    assert not any(moved(own, other))
    own, other = (weights(game.discriminator) for game in games)
    assert any(moved(own, other))


def test_the_average_follows_the_weights() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(network, 0.9)
    expected = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    random = np.random.default_rng(0)
    for step in range(1, 101):
        new = {n: random.standard_normal(v.shape).astype("f4") for n, v in expected.items()}
        new["1.num_batches_tracked"] = np.array(step)
        network.load_state_dict(new)
        average.update(step)
        if step % 10 == 0:
            n = step // 10
            d = min(0.9**10, (1 + n) / (10 + n))
            for name in expected:
                expected[name] = d * expected[name] + (1 - d) * new[name]
    expected["1.num_batches_tracked"] = np.array(100)
    for name, value in average.network.state_dict().items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-5, atol=1e-6)
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_each_learns_while_the_other_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    game = small_game()
    random = np.random.default_rng(0)

    def play(steps: int) -> tuple[dict[str, float], dict[str, float]]:
        measured = []
        for _ in range(steps):
            real = mg.tensor(random.choice([-1, 1], (16, 784)).astype(np.float32))
            shares = gan.step(game, real, mg.randn(16, 7))
            measured.append({name: value.item() for name, value in shares.items()})
        return measured[0], measured[-1]

    with monkeypatch.context() as patch:
        patch.setattr(game.generator_optimizer, "step", lambda: None)
        first, last = play(60)
    assert last["d_loss"] < 0.2 < first["d_loss"]
    assert (last["d_real"], last["d_fake"]) == (1, 1)
    monkeypatch.setattr(game.discriminator_optimizer, "step", lambda: None)
    first, last = play(60)
    assert last["g_loss"] < 0.5 * first["g_loss"]
    assert last["d_fake"] < 0.5


def test_recipes_differ_in_what_they_say() -> None:
    best, report = gan.GANConfig(), gan.GANConfig(**gan.GANConfig.REPORT)
    games = [gan.make_game(config) for config in (best, report)]
    groups = [game.generator_optimizer.param_groups[0] for game in games]
    assert [tuple(group["betas"]) for group in groups] == [(0.5, 0.999), (0.9, 0.999)]
    assert [config.r1 > 0 for config in (best, report)] == [True, False]
    states = [
        gan.make_state(config, game, Average(game.generator, config.average))
        for config, game in zip((best, report), games, strict=True)
    ]
    assert ["average" in state.networks for state in states] == [True, False]


def test_the_hidden_sizes_are_those_asked_for(tmp_path: Path) -> None:
    write_random_digits(tmp_path)
    options = {"data_dir": tmp_path, "out": tmp_path, "epochs": 1, "batch_size": 32}
    sizes = {"latent_dim": 3, "generator_hidden": [5, 6], "discriminator_hidden": [7]}
    run = gan.run(**options, **sizes, quiet=True, no_plots=True)
    shapes = {
        name: [value.shape for key, value in network.state_dict().items() if key.endswith("weight")]
        for name, network in run.networks.items()
    }
    drawing_one = [(5, 3), (6, 5), (6,), (784, 6)]  # the vector is that of the batch norm
    assert shapes["generator"] == shapes["average"] == drawing_one
    assert shapes["discriminator"] == [(7, 784), (1, 7)]
    generator, size = load_generator(run.folder)
    assert size == 3
    assert {*generator.state_dict()} == {*run.networks["average"].state_dict()}


def test_networks_without_hidden_layers_are_linear() -> None:
    assert Generator(3, []).state_dict().keys() == {"layers.0.weight", "layers.0.bias"}
    assert Discriminator([])(mg.zeros(2, 784)).shape == (2, 1)


def test_own_options_override_the_quick_recipe() -> None:
    words = ["--recipe", "quick", "--epochs", "3", "--generator-hidden", "9"]
    config = parse(gan.GANConfig, words, "train.gan")
    assert (config.epochs, config.generator_hidden) == (3, (9,))
    assert config.latent_dim == gan.GANConfig.QUICK["latent_dim"]


def test_the_quick_recipe_draws_digits_that_can_be_read(tmp_path: Path) -> None:
    """Half of 64 digits is what is promised; on average it is three fifths."""
    run = gan.run(recipe="quick", out=tmp_path, quiet=True, no_plots=True)
    latent = np.random.default_rng(0).standard_normal((1024, gan.GANConfig.QUICK["latent_dim"]))
    _, read = Reader.load().look(draw(run.model, latent.astype(np.float32)))
    assert (read.max(axis=1) >= 0.9).mean() > 0.55
    assert np.bincount(read.argmax(axis=1), minlength=10).min() > 10  # and no digit is lost


def test_learning_rate_stays_or_falls_to_nothing() -> None:
    ends = []
    for decay in ("none", "cosine"):
        config = gan.GANConfig(decay=decay, epochs=3)
        game = gan.make_game(config)
        state = gan.make_state(config, game, Average(game.generator, config.average))
        for scheduler in list(state.schedulers.values()) * config.epochs:
            game.generator_optimizer.step(), game.discriminator_optimizer.step()
            scheduler.step()
        optimizers = game.generator_optimizer, game.discriminator_optimizer
        ends.append([each.param_groups[0]["lr"] for each in optimizers])
    assert ends[0] == [5e-4, 5e-4] and max(ends[1]) < 1e-12


def test_images_are_scaled_to_minus_one_and_one() -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 0, :3] = 0, 255, 51
    x = gan.to_tensor(images, "cpu")
    assert (x.shape, x.dtype.name) == ((2, 784), "float32")
    np.testing.assert_allclose(x.numpy()[0, :3], [-1, 1, -0.6], rtol=1e-6)
    np.testing.assert_array_equal(to_grey(x.numpy()), images)


def test_samples_come_from_running_statistics_and_leave_the_network_alone() -> None:
    mg.manual_seed(0)
    generator = Generator(5)
    latent = mg.randn(4, 5)
    before = {name: value.numpy().copy() for name, value in generator.state_dict().items()}
    both = gan.sample(generator, latent)
    alone = gan.sample(generator, latent[:1])
    np.testing.assert_allclose(both[:1].astype(int), alone.astype(int), atol=1)
    assert generator.training
    for name, value in generator.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def train_small(out: Path, *options: str) -> int:
    """A training of a second or two."""
    small = ["--limit", "70", "--epochs", "2", "--batch-size", "16", "--save-interval", "4"]
    return gan.main([*small, "--out", str(out), *options])


def test_a_run_leaves_everything_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_random_digits(tmp_path)
    assert train_small(tmp_path / "runs", "--data-dir", str(tmp_path)) == 0
    run = only_run(tmp_path / "runs")
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("config.json", "environment.json", "metrics.jsonl", "metrics.csv", "timing.jsonl"),
        *(
            "samples",
            "checkpoint.safetensors",
            "checkpoint-before.safetensors",
            "last.safetensors",
            "curves.png",
            "progress.png",
            "progress.gif",
            "interpolation.png",
        ),
    }
    config = json.loads((run / "config.json").read_text())
    assert config["betas"] == [0.5, 0.999]
    assert config["data_dir"] == str(tmp_path)
    environment = json.loads((run / "environment.json").read_text())
    assert environment["digits"] == f"70 digits of {tmp_path / 'MNIST' / 'raw'}"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 5), (2, 10)]
    keys = ["d_fake", "d_loss", "d_real", "epoch", "g_loss", "step"]
    assert sorted(lines[0]) == keys
    judged = {"fid", "precision", "recall", "confidence", "smallest_share", "largest_share"}
    shares = {f"share_{digit}" for digit in range(10)}
    assert set(lines[1]) == {*keys, *judged, *shares}  # at the end
    samples = sorted(path.name for path in (run / "samples").iterdir())
    assert samples == [f"step-{step:07d}.png" for step in (0, 1, 2, 4, 5, 8, 10)]
    with Image.open(run / "samples" / samples[0]) as image:
        assert image.size == (600, 600)
    saved = mg.load(run / "last.safetensors")
    for prefix, network in (("generator.", Generator(100)), ("discriminator.", Discriminator())):
        own = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
        network.load_state_dict(own)
    text = capsys.readouterr().out
    assert f"Learning from 70 digits of {tmp_path}" in text
    assert "After 10 steps the discriminator recognises" in text


def test_a_last_batch_of_one_digit_works(tmp_path: Path) -> None:
    write_random_digits(tmp_path)
    assert train_small(tmp_path, "--data-dir", str(tmp_path), "--limit", "17", "--quiet") == 0
    assert train_small(tmp_path, "--data-dir", str(tmp_path), "--limit", "1", "--quiet") == 0


def test_a_corrupted_file_stops_the_command_and_stays_as_it_is(tmp_path: Path) -> None:
    write_random_digits(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    content = path.read_bytes()
    command = [sys.executable, "-m", "train.gan", "--data-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "runs")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path} is truncated: its header says 70 = 70 bytes")
    assert len(done.stderr.splitlines()) == 1
    assert path.read_bytes() == content
    assert not (tmp_path / "runs").exists()
