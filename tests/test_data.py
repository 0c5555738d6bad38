"""The idx reader, the bundled digits and the batches."""

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
from idx_files import idx, write_digits

from minigrad.data import (
    BUNDLE,
    Bytes,
    DataError,
    MissingDataError,
    batches,
    load_digits,
    read_idx,
    sample_digits,
)

LIBRARIES: list[Any] = []


@pytest.fixture
def digits() -> tuple[Bytes, Bytes]:
    """Five images and labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5, 28, 28), np.uint8)
    return images, np.arange(5, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 28, 28), (0, 28, 28), (1, 2, 3, 4)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_read_idx_returns_what_was_written(
    shape: tuple[int, ...], pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    path = tmp_path / "file"
    path.write_bytes(pack(idx(array)))
    read = read_idx(path)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array, strict=True)


def damaged() -> dict[str, tuple[bytes, str]]:
    """Contents that must be refused, and a word of the message for each."""
    good = idx(np.arange(100, dtype=np.uint8))
    packed = gzip.compress(good, mtime=0)
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    crc = bytearray(packed)
    crc[-6] ^= 0xFF
    return {
        "empty": (b"", "not an idx file.*nothing"),
        "text": (b"<html>404</html>", "not an idx file.*3c 68 74"),
        "floats": (b"\0\0\x0d\x01" + good[4:], "expected 00 00 08"),
        "no rank": (good[:3], "truncated.*header"),
        "half a header": (good[:6], "truncated.*header"),
        "header only": (good[:8], "truncated.*100 bytes, but 0 follow"),
        "one byte short": (good[:-1], "truncated.*but 99 follow"),
        "one byte more": (good + b"\0", "trailing bytes.*100 bytes, but more follow"),
        "enormous": (b"\0\0\x08\x04" + b"\xff" * 16, "too large.*at most 1,073,741,824 are read"),
        "enormous and empty": (
            b"\0\0\x08\x08" + b"\0" * 4 + b"\xff" * 28,
            "damaged.*0 x 4294967295",
        ),
        "gigabyte": (
            b"\0\0\x08\x01\x40\0\0\0",
            "truncated: .* = 1,073,741,824 bytes, but 0 follow",
        ),
        "gz truncated": (packed[:-20], "truncated or corrupted"),
        "gz without its end": (packed[:-8], "truncated or corrupted"),
        "gz corrupted": (bytes(flipped), "truncated or corrupted"),
        "gz wrong CRC": (bytes(crc), "truncated or corrupted"),
        "gz and more": (packed + b"more", "truncated or corrupted"),
        "gz header only": (packed[:5], "truncated or corrupted"),
        "gz of one byte more": (gzip.compress(good + b"\0"), "trailing bytes.*but more follow"),
        "gz and a second": (packed + packed, "trailing bytes.*but more follow"),
        "gz and the start of a second": (packed + packed[:9], "truncated or corrupted"),
        "gz of terabytes": (
            gzip.compress(b"\0\0\x08\x02" + b"\0\x80\0\0" * 2 + bytes(9)),
            "too large.*at most 1,073,741,824 are read",
        ),
        "gz of a lost gigabyte": (gzip.compress(b"\0\0\x08\x01\x40\0\0\0a"), "but 1 follow"),
        "gz of empty members": (gzip.compress(b"") * 100_000, "more than 1,000 gzip members"),
        "gz of text": (gzip.compress(b"hello"), "not an idx file"),
    }


@pytest.mark.parametrize("case", damaged())
def test_read_idx_refuses_a_damaged_file_by_name(case: str, tmp_path: Path) -> None:
    content, words = damaged()[case]
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"some-file.*{words}"):
        read_idx(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("case", damaged())
def test_a_damaged_file_takes_no_more_memory_than_it_has_bytes(case: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(damaged()[case][0])
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_idx(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_of_a_gzip_bomb_only_the_promised_bytes_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    header = idx(np.zeros(100, np.uint8))[:8]
    with gzip.open(path, "wb") as file:
        file.write(header)
        for _ in range(64):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="has trailing bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_file_full_of_holes_takes_no_memory(tmp_path: Path) -> None:
    for header, words in ((b"", "not an idx file"), (b"\0\0\x08\x01\0\0\0\1", "trailing bytes")):
        with (tmp_path / "x").open("wb") as file:
            file.write(header)
            file.truncate(2**40)
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match=words):
                read_idx(tmp_path / "x")
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()


def test_a_gzip_file_may_have_several_members_and_zeros_at_its_end(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8)
    content = idx(array)
    parts = [content[:100], b"", content[100:200_000], content[200_000:]]
    (tmp_path / "x").write_bytes(b"".join(map(gzip.compress, parts)) + bytes(100_000))
    np.testing.assert_array_equal(read_idx(tmp_path / "x"), array)


@needs.PIPES
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(DataError, match="x is a pipe, expected a plain file"):
        read_idx(tmp_path / "x")
    with pytest.raises(DataError, match="zero is a device, expected a plain file"):
        read_idx("/dev/zero")


def test_read_idx_of_a_missing_file_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="nowhere does not exist"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"{tmp_path.name} cannot be read"):
        read_idx(tmp_path)


@pytest.mark.parametrize("train", [True, False])
def test_load_digits_reads_plain_and_gz(
    train: bool, digits: tuple[Bytes, Bytes], tmp_path: Path
) -> None:
    raw = write_digits(tmp_path, *digits, prefix="train" if train else "t10k")
    for _ in range(2):  # second: one of the two compressed
        images, labels = load_digits(tmp_path, train=train)
        np.testing.assert_array_equal(images, digits[0])
        np.testing.assert_array_equal(labels, digits[1])
        for path in raw.glob("*images*ubyte"):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    with pytest.raises(MissingDataError, match=r"images-idx3-ubyte\.gz"):
        load_digits(tmp_path, train=not train)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ((5, 28, 27), np.zeros(5), r"images-idx3.*\(5, 28, 27\)"),
        ((5, 784), np.zeros(5), r"images-idx3.*\(5, 784\)"),
        ((0, 28, 28), np.zeros(0), r"images-idx3.*N at least 1"),
        ((5, 28, 28), np.zeros(4), r"labels-idx1.*\(4,\).*expected \(5,\)"),
        ((5, 28, 28), np.zeros((5, 1)), r"labels-idx1.*\(5, 1\)"),
        ((2, 28, 28), np.array([3, 10]), "labels-idx1.*the label 10"),
    ],
)
def test_load_digits_refuses_what_does_not_fit(
    images: tuple[int, ...], labels: Any, words: str, tmp_path: Path
) -> None:
    write_digits(tmp_path, np.zeros(images, np.uint8), labels.astype(np.uint8))
    with pytest.raises(DataError, match=words):
        load_digits(tmp_path)


def test_load_digits_names_the_missing_labels(digits: tuple[Bytes, Bytes], tmp_path: Path) -> None:
    (write_digits(tmp_path, *digits) / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingDataError, match="neither train-labels-idx1-ubyte nor"):
        load_digits(tmp_path)


def test_sample_digits_are_ten_thousand_with_every_class() -> None:
    images, labels = sample_digits()
    assert images.shape == (10_000, 28, 28)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # as MNIST begins
    assert np.bincount(labels).min() > 800
    assert (images[:, 0, 0] == 0).all() and images.max() == 255
    assert sum(path.stat().st_size for path in BUNDLE.iterdir()) < 2_000_000


def test_importing_the_reader_needs_numpy_and_the_standard_library_only(tmp_path: Path) -> None:
    (tmp_path / "minigrad").mkdir()
    (tmp_path / "minigrad" / "__init__.py").touch()
    for module in ("minigrad.data", "minigrad.errors", "minigrad.files"):
        shutil.copy(Path(sys.modules[module].__file__ or ""), tmp_path / "minigrad")
    code = (
        "import sys, numpy.random; known = set(sys.modules); import minigrad.data\n"
        "assert 'minigrad.tensor' not in sys.modules\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - known}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'minigrad', 'numpy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_batches_deal_out_every_example_once(count: int) -> None:
    dealt = list(batches(count, 4, np.random.default_rng(3)))
    assert sorted(np.concatenate([np.arange(0), *dealt]).tolist()) == list(range(count))
    assert all(batch.size == 4 for batch in dealt[:-1])
    full = list(batches(count, 4, np.random.default_rng(3), drop_last=True))
    assert [batch.size for batch in full] == [4] * (count // 4)
    for batch, same in zip(full, dealt, strict=False):
        np.testing.assert_array_equal(batch, same)


def test_batches_shuffle_and_follow_the_seed() -> None:
    def order(generator: np.random.Generator) -> list[int]:
        return [int(i) for batch in batches(100, 30, generator) for i in batch]

    generator = np.random.default_rng(3)
    first, second = order(generator), order(generator)
    assert first == order(np.random.default_rng(3))
    assert first != second
    assert first != sorted(first)


def test_batches_draw_at_the_call_even_when_not_used() -> None:
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    batches(10, 2, one)
    other.permutation(10)
    assert one.random() == other.random()


def test_batches_refuse_an_empty_batch() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        batches(10, 0, np.random.default_rng(0))


@pytest.fixture(scope="module")
def mnist_class() -> Any:
    """The MNIST class of torchvision; beside a CPU-only torch its import lacks two operators."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    try:
        datasets = importlib.import_module("torchvision.datasets")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        LIBRARIES.append(library)  # its end would take the operators away
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        datasets = importlib.import_module("torchvision.datasets")
    return datasets.MNIST


def unpack(source: Path, target: Path) -> None:
    """Copy every idx file of a folder unpacked, as torchvision wants it."""
    target.mkdir(parents=True)
    for path in source.glob("*ubyte*"):
        content = path.read_bytes()
        plain = gzip.decompress(content) if path.suffix == ".gz" else content
        (target / path.name.removesuffix(".gz")).write_bytes(plain)


def test_the_bundle_equals_what_torchvision_reads(mnist_class: Any, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    unpack(BUNDLE, raw)
    for path in list(raw.iterdir()):  # torchvision wants the test digits too
        shutil.copy(path, path.with_name(path.name.replace("train", "t10k")))
    theirs = mnist_class(tmp_path)
    images, labels = sample_digits()
    np.testing.assert_array_equal(images, theirs.data.numpy(), strict=True)
    np.testing.assert_array_equal(labels, theirs.targets.numpy())


@pytest.mark.skipif(
    "MINIGRAD_MNIST" not in os.environ, reason="MINIGRAD_MNIST (holds MNIST/raw/) is not set"
)
@pytest.mark.parametrize("train", [True, False])
def test_the_full_digits_equal_what_torchvision_reads(
    train: bool, mnist_class: Any, tmp_path: Path
) -> None:
    folder = Path(os.environ["MINIGRAD_MNIST"])
    unpack(folder / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    theirs = mnist_class(tmp_path, train=train)
    images, labels = load_digits(folder, train=train)
    np.testing.assert_array_equal(images, theirs.data.numpy(), strict=True)
    np.testing.assert_array_equal(labels, theirs.targets.numpy())
    if train:
        sample_images, sample_labels = sample_digits()
        np.testing.assert_array_equal(sample_images, images[:10_000])
        np.testing.assert_array_equal(sample_labels, labels[:10_000])


def test_batches_say_what_they_want():
    generator = np.random.default_rng(0)
    for count, size in ((10.5, 2), (10, 2.5), (10, "3"), (np.arange(4), 2)):
        with pytest.raises(TypeError, match=r"^batches: (count|batch_size) must be an int, got"):
            batches(count, size, generator)
    for other in (0, None, "seed"):
        with pytest.raises(TypeError, match=r"^batches: expected a generator, as by"):
            batches(4, 2, other)
    with pytest.raises(ValueError, match="batches: count is -1"):
        batches(-1, 2, generator)
    assert [b.size for b in batches(np.uint8(200), np.uint8(150), generator)] == [150, 50]


def test_a_file_of_more_axes_than_an_array_can_have_is_damaged(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"a")
    with pytest.raises(DataError, match=r"x is damaged: .* 255 axes"):
        read_idx(path)
