"""The judge of generated digits, and the distances that it measures."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import write_digits

import minigrad as mg
from minigrad import nn
from minigrad.data import load_digits, sample_digits
from models.classifier import Classifier
from train import gan
from train import judge as judging
from train.judge import NEIGHBOURS, Array, Judge, Reader, frechet_distance, radii

IMAGES, LABELS = sample_digits()
needs_mnist = pytest.mark.skipif(
    "MINIGRAD_MNIST" not in os.environ, reason="MINIGRAD_MNIST (holds MNIST/raw/) is not set"
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """The bundled judge where there are no test digits."""
    return Judge.load(data_dir=Path("nowhere"))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def whitened(random: np.random.Generator, count: int, size: int) -> Array:
    """A sample (count, size) whose mean is 0 and whose covariance is 1, but for rounding."""
    x = random.standard_normal((count, size))
    q, _ = np.linalg.qr(x - x.mean(axis=0))
    return np.sqrt(count - 1) * q


def rotation(random: np.random.Generator, size: int) -> Array:
    return np.linalg.qr(random.standard_normal((size, size)))[0]


# --- the Frechet distance -------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_distance_of_commuting_gaussians(turned: bool, random: np.random.Generator) -> None:
    # |m_a - m_b|^2 + sum (s_a - s_b)^2 where the covariances have the same axes
    size = 6
    axes = rotation(random, size) if turned else np.eye(size)
    widths = random.uniform(0, 3, (2, size))
    means = random.standard_normal((2, size))
    a, b = (
        whitened(random, count, size) * width @ axes + mean
        for count, width, mean in zip((50, 80), widths, means, strict=True)
    )
    expected = ((means[0] - means[1]) ** 2).sum() + ((widths[0] - widths[1]) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-12)


def test_distance_in_two_dimensions(random: np.random.Generator) -> None:
    # For 2 x 2 matrices, tr(M^1/2)^2 = tr(M) + 2 det(M)^1/2, whether they commute or not.
    a = random.standard_normal((40, 2)) @ random.standard_normal((2, 2))
    b = random.standard_normal((30, 2)) @ random.standard_normal((2, 2)) + 1
    covariances = np.cov(a.T), np.cov(b.T)
    product = covariances[0] @ covariances[1]
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances)) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_distance_equals_the_definition_by_eigenvalues(random: np.random.Generator) -> None:
    a, b = (random.standard_normal((300, 20)) @ random.standard_normal((20, 20)) for _ in "ab")
    covariances = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances)) - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 5, 100])  # 5 points span 4 of the 8 dimensions
def test_identities_of_the_distance(count: int, random: np.random.Generator) -> None:
    a = random.standard_normal((count, 8)) @ random.standard_normal((8, 8))
    b = random.standard_normal((90, 8)) @ random.standard_normal((8, 8)) + 0.5
    scale = (a**2).sum(axis=1).mean()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-13 * scale)
    assert frechet_distance(a, random.permutation(a)) == pytest.approx(0, abs=1e-13 * scale)
    distance = frechet_distance(a, b)
    turn = rotation(random, 8)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(distance, rel=1e-12)
    assert frechet_distance(a + 7, b + 7) == pytest.approx(distance, rel=1e-12)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance, rel=1e-12)
    step = random.standard_normal(8)
    assert frechet_distance(a, a + step) == pytest.approx(step @ step, rel=1e-12)


def test_distance_to_a_single_value_is_the_whole_variance(random: np.random.Generator) -> None:
    a = whitened(random, 30, 4)
    assert frechet_distance(a, np.full((9, 4), 2.0)) == pytest.approx(4 * 2.0**2 + 4)
    assert frechet_distance(np.ones((5, 4)), np.ones((3, 4))) == 0


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), r"shapes \(5, 3\) and \(5, 4\)"),
        (np.zeros(5), np.zeros(5), r"expected \(N, D\)"),
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((1, 3)), "at least 2"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "nan or infinity"),
        (np.zeros((5, 3)), np.full((5, 3), np.inf), "nan or infinity"),
    ],
)
def test_distance_of_what_is_no_sample_is_refused(a: Array, b: Array, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        frechet_distance(a, b)


# --- precision and recall -------------------------------------------------------------------------


def precision_recall(real: Array, fake: Array, k: int = NEIGHBOURS) -> tuple[float, float]:
    return judging.precision_recall(real, fake, radii(real, k), radii(fake, k))


def by_definition(real: Array, fake: Array, k: int) -> tuple[float, float]:
    """Kynkaanniemi et al. 2019, eq. 1 and 2, word by word."""

    def distance(x: Array, y: Array) -> float:
        return float(((x - y) ** 2).sum())

    def reach(sample: Array, i: int) -> float:
        others = [distance(sample[i], x) for j, x in enumerate(sample) if j != i]
        return sorted(others)[k - 1]

    def covered(points: Array, sample: Array) -> float:
        reaches = [reach(sample, i) for i in range(len(sample))]
        inside = [
            any(distance(point, x) <= r for x, r in zip(sample, reaches, strict=True))
            for point in points
        ]
        return sum(inside) / len(inside)

    return covered(fake, real), covered(real, fake)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("whole", [False, True])
def test_precision_and_recall_follow_the_definition(
    k: int, whole: bool, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "ROWS", 7)
    real, fake = random.normal(0, 2, (40, 3)), random.normal(3, 3, (30, 3))
    if whole:  # with equal distances, and points that occur twice
        real, fake = np.rint(real), np.rint(fake)
    found = precision_recall(real, fake, k)
    assert found == pytest.approx(by_definition(real, fake, k), abs=1e-12)
    assert 0 < min(found) and max(found) < 1


def test_precision_and_recall_of_the_same_points_are_whole(random: np.random.Generator) -> None:
    sample = random.standard_normal((50, 4))
    assert precision_recall(sample, sample) == (1, 1)
    assert precision_recall(sample, sample[::-1]) == (1, 1)
    assert precision_recall(sample, sample + 100) == (0, 0)


def test_a_dropped_mode_costs_recall_and_noise_costs_precision(
    random: np.random.Generator,
) -> None:
    def modes(count: int) -> Array:
        which = random.integers(0, count, 600)
        return 20 * np.eye(8)[which] + random.standard_normal((600, 8))

    real = modes(4)
    good_precision, good_recall = precision_recall(real, modes(4))
    precision, recall = precision_recall(real, modes(2))
    assert precision == pytest.approx(good_precision, abs=0.1)
    assert recall == pytest.approx(good_recall / 2, abs=0.1)
    mixed = np.concatenate([modes(4)[:300], random.normal(0, 100, (300, 8))])
    precision, recall = precision_recall(real, mixed)
    assert precision == pytest.approx(good_precision / 2, abs=0.1)


def test_radii_count_neighbours_without_the_point_itself() -> None:
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_array_equal(radii(line, 1), [1, 1, 4, 16])
    np.testing.assert_array_equal(radii(line, 3), [49, 36, 16, 49])


def test_too_few_points_are_refused(random: np.random.Generator) -> None:
    sample = random.standard_normal((9, 2))
    for real, fake in ((sample, sample[:3]), (sample[:3], sample)):
        with pytest.raises(ValueError, match="at least 4"):
            precision_recall(real, fake)
    with pytest.raises(ValueError, match=r"shapes \(9, 2\) and \(9, 1\)"):
        precision_recall(sample, sample[:, :1])


# --- the judge ------------------------------------------------------------------------------------


def test_the_bundled_judge_reads_the_bundled_digits(judge: Judge) -> None:
    features, probabilities = judge.look(IMAGES)
    assert (features.shape, probabilities.shape) == ((10_000, 128), (10_000, 10))
    assert features.dtype == probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (probabilities.argmax(axis=1) == LABELS).mean() > 0.99


def test_the_bundled_judge_is_small() -> None:
    assert judging.BUNDLED.stat().st_size < 1.1e6
    assert {value.dtype.name for value in mg.load(judging.BUNDLED).values()} == {"float32"}


def test_looking_is_what_the_classifier_does(judge: Judge) -> None:
    model = Classifier().eval()
    model.load_state_dict(mg.load(judging.BUNDLED))
    with mg.no_grad():
        x = mg.tensor(IMAGES[:1001].reshape(-1, 784).astype(np.float32) / 255)
        features, logits = model.features(x).numpy(), model(x)
        expected = nn.functional.softmax(logits, dim=1).numpy()
    found = judge.look(IMAGES[:1001])  # one more than a batch
    np.testing.assert_allclose(found[0], features, atol=1e-4)
    np.testing.assert_allclose(found[1], expected, atol=1e-4)


def test_the_judge_leaves_its_classifier_alone() -> None:
    classifier = Classifier()
    Judge(classifier, IMAGES[:10], "ten digits")
    assert classifier.training
    assert {p.dtype.name for p in classifier.parameters()} == {"float32"}


def test_a_report_of_real_digits_is_near_the_floor(judge: Judge) -> None:
    report = judge.report(IMAGES[4000:6000])
    assert judge.source == "the last 2,000 bundled digits"
    assert judge.floor == pytest.approx(12.76, abs=0.005)
    assert report["fid"] == pytest.approx(judge.floor, rel=0.3)
    assert min(report["precision"], report["recall"]) > 0.7
    assert report["confidence"] > 0.98
    shares = [report[f"share_{digit}"] for digit in range(10)]
    np.testing.assert_allclose(shares, np.bincount(LABELS[4000:6000]) / 2000, atol=0.01)
    assert sum(shares) == pytest.approx(1)
    assert (report["smallest_share"], report["largest_share"]) == (min(shares), max(shares))
    assert all(type(value) is float for value in report.values())


def test_the_reference_itself_is_perfect(judge: Judge) -> None:
    report = judge.report(IMAGES[-2000:])
    assert report["fid"] == pytest.approx(0, abs=1e-9)
    assert (report["precision"], report["recall"]) == (1, 1)


def test_what_is_worse_is_reported_as_worse(judge: Judge, random: np.random.Generator) -> None:
    images, labels = IMAGES[:4000], LABELS[:4000]
    good = judge.report(images[:2000])
    lacking = judge.report(images[labels < 7][:2000])
    noise = random.normal(0, 40, (2000, 28, 28))
    noisy = judge.report((images[:2000] + noise).clip(0, 255).astype(np.uint8))
    assert lacking["fid"] > 2 * good["fid"]
    assert lacking["recall"] < good["recall"] - 0.1
    assert lacking["smallest_share"] < 0.01 < good["smallest_share"]
    assert noisy["fid"] > 5 * good["fid"]
    assert noisy["precision"] < good["precision"]
    assert noisy["confidence"] < good["confidence"]


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("count", [4, 500])
def test_constant_images_give_finite_numbers(ink: int, count: int, judge: Judge) -> None:
    report = judge.report(np.full((count, 28, 28), ink, np.uint8))
    assert np.isfinite(list(report.values())).all()
    assert report["fid"] > 10 * judge.floor
    assert (report["recall"], report["largest_share"], report["smallest_share"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES[:3], r"shapes \(3, 128\).* at least 4"),
        (IMAGES[:0], r"\(0, 28, 28\).* N at least 1"),
        (IMAGES[0], r"\(28, 28\), uint8; expected \(N, 28, 28\)"),
        (IMAGES[:9].reshape(9, 784), r"\(9, 784\), uint8"),
        (IMAGES[:9] / np.float32(255), r"float32; expected \(N, 28, 28\), uint8"),
    ],
)
def test_what_are_no_images_is_refused(images: Any, words: str, judge: Judge) -> None:
    with pytest.raises(ValueError, match=words):
        judge.report(images)


def test_any_memory_order_of_images_will_do(judge: Judge) -> None:
    images = IMAGES[:8]
    expected = judge.report(images)
    for other in (np.asfortranarray(images), np.repeat(images, 2, axis=0)[::2]):
        assert judge.report(other) == pytest.approx(expected, rel=1e-9)


def test_a_judge_of_ones_own_is_read(tmp_path: Path) -> None:
    mg.manual_seed(0)
    path = tmp_path / "own.safetensors"
    mg.save(Classifier().state_dict(), path)
    own = Judge.load(path, data_dir=tmp_path)
    assert own.look(IMAGES[:10])[1].max() < 0.2
    mg.save({"weight": mg.ones(2)}, path)
    with pytest.raises(nn.StateDictError, match="unexpected: weight"):
        Judge.load(path)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged"):
        Judge.load(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        Judge.load(tmp_path / "missing.safetensors")


def test_the_test_digits_are_the_reference_where_there_are_any(tmp_path: Path) -> None:
    write_digits(tmp_path, IMAGES[:50], LABELS[:50], "t10k")
    judge = Judge.load(data_dir=tmp_path)
    assert judge.source == f"50 test digits of {tmp_path / 'MNIST' / 'raw'}"
    assert judge.report(IMAGES[:50])["fid"] == pytest.approx(0, abs=1e-9)
    assert judge.floor == pytest.approx(0, abs=1e-9)  # the bundle's first 50 are these


@needs_mnist
def test_the_bundled_judge_is_as_its_page_says() -> None:
    folder = Path(os.environ["MINIGRAD_MNIST"])
    judge = Judge.load(data_dir=folder)
    images, labels = load_digits(folder, train=False)
    assert (judge.look(images)[1].argmax(axis=1) == labels).mean() == pytest.approx(0.9901)
    assert judge.floor == pytest.approx(3.24, abs=0.005)
    page = " ".join(str(judging.__doc__).split())
    assert "reads 99.01 % of the 10,000 test digits" in page and "floor is 3.24" in page
    others, _ = load_digits(folder)
    report = judge.report(others[-10_000:])
    assert report["fid"] == pytest.approx(judge.floor, rel=0.1)
    assert min(report["precision"], report["recall"]) > 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_fewer_than_four_test_digits_are_refused_before_anything_is_trained(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = sample_digits()
    write_digits(tmp_path, images[:10], labels[:10])
    write_digits(tmp_path, images[:count], labels[:count], prefix="t10k")
    if count > NEIGHBOURS:
        assert Judge.load(data_dir=tmp_path).count == count
        return
    options = ["--data-dir", tmp_path, "--out", tmp_path / "runs", "--judge", judging.BUNDLED]
    assert gan.main(["--recipe", "quick", *map(str, options)]) == 2
    said = capsys.readouterr().err
    assert f"{count} test digits of {tmp_path}" in said and "expected at least 4" in said
    assert "--judge" not in said and "Traceback" not in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_judge_nothing(value: float, tmp_path: Path) -> None:
    state = mg.load(judging.BUNDLED)
    state["output.1.bias"] = mg.full((10,), value)
    mg.save(state, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"weights in .*x\.safetensors are nan or infinite"):
        Reader.load(tmp_path / "x.safetensors")
