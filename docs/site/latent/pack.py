"""Pack a trained generator for the page on its latent space: `python -m docs.site.latent.pack RUN`.

RUN is the folder of a run of train.gan. Its averaged generator goes into generator.npz beside this
file, as float16, with the directions of the page's sliders. What the numbers lose by that, and how
good the digits are, is printed; README.txt keeps it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad.data import Bytes, sample_digits
from models.gan import Generator
from train.digits import unseen_digits
from train.interpolate import load_generator
from train.judge import Judge
from train.latent import CONFIDENT, WAYS, draw

Array = npt.NDArray[np.float32]

TARGET = Path(__file__).with_name("generator.npz")
DIRECTIONS = 8
POINTS = 64  # latent points at which the slopes are taken


def pack(run: Path, data_dir: Path | None = None) -> None:
    """Write generator.npz from a run, and print what it is worth.

    Args:
        run: The run's folder.
        data_dir: The folder that holds MNIST/raw/ with the test digits, see `Judge.load`.
    """
    generator, size = load_generator(run)
    generator.eval()
    state = {name: value.numpy() for name, value in generator.state_dict().items()}
    halves = {n: x.astype(np.float16) if x.dtype.kind == "f" else x for n, x in state.items()}
    random = np.random.default_rng(0)
    directions, shares = principal_directions(generator, size, random)

    points = random.standard_normal((10_000, size)).astype(np.float32)
    exact = draw(generator, points)
    generator.load_state_dict({n: mg.tensor(x.astype(state[n].dtype)) for n, x in halves.items()})
    images = draw(generator, points)
    off = np.abs(images.astype(int) - exact)
    print(
        f"float16 changes a pixel by at most {off.max()} of 255, and {np.mean(off > 0):.2%} of them"
    )

    judge = Judge.load(data_dir=data_dir)
    report = judge.report(images[: judge.count])
    print(
        f"judged against {judge.source}: FID {report['fid']:.2f} (real digits: {judge.floor:.2f}),"
    )
    print(f"precision {report['precision']:.2f}, recall {report['recall']:.2f},")
    print("shares of the digits", *(f"{report[f'share_{digit}']:.1%}" for digit in range(10)))
    known = judge.look(sample_digits()[0])[0]
    unseen = nearest(judge.look(unseen_digits(data_dir).images)[0], known)
    drawn = nearest(judge.look(images)[0], known)
    print(f"nearest bundled digit, median: unseen digits {unseen:.1f}, drawn ones {drawn:.1f}")

    print(f"{DIRECTIONS} directions make {shares.sum():.1%} of the change")
    others = points[::-1]
    redrawn = others + (points - others) @ directions.T @ directions
    same = digits(judge, images) == digits(judge, draw(generator, redrawn))
    print(
        f"with the other {size - DIRECTIONS} numbers drawn anew {same.mean():.1%} keep their digit"
    )
    for name, way in WAYS.items():
        pairs = zip(points[:2000], others[:2000], strict=True)
        middles = np.stack([way(start, end, 3)[1] for start, end in pairs])
        sure = judge.look(draw(generator, middles))[1].max(axis=1) >= CONFIDENT
        print(f"middles of {name} ways that are read for sure: {sure.mean():.1%}")
    sure = judge.look(images)[1].max(axis=1) >= CONFIDENT
    print(f"random points that are read for sure: {sure.mean():.1%}")

    arrays: dict[str, Any] = {**halves, "directions": directions, "shares": shares}
    np.savez_compressed(TARGET, unseen=np.float32(unseen), **arrays)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


def principal_directions(
    generator: Generator, size: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return the directions of the latent space along which the picture changes most.

    They are the eigenvectors of the mean of J^T J, where J = dG/dz is the generator's Jacobian.

    Returns:
        Directions (DIRECTIONS, size) of length 1, and each one's share of the squared change, the
        mean of |J v|^2 over that of all directions.
    """
    total = np.zeros((size, size))
    one_pixel_each = mg.tensor(np.eye(784, dtype=np.float32))
    for _ in range(POINTS):
        point = random.standard_normal((1, size)).astype(np.float32)
        z = mg.tensor(np.repeat(point, 784, axis=0), requires_grad=True)
        [jacobian] = mg.grad((generator(z) * one_pixel_each).sum(), z)  # row n: of pixel n
        assert jacobian is not None  # every pixel depends on z
        total += jacobian.numpy().T @ jacobian.numpy()
    values, vectors = np.linalg.eigh(total)  # the largest last
    chosen = vectors.T[::-1][:DIRECTIONS]
    largest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=1, keepdims=True), axis=1)
    directions = chosen * np.sign(largest)  # an eigenvector has no sign of its own
    shares = values[::-1][:DIRECTIONS] / values.sum()
    return directions.astype(np.float32), shares.astype(np.float32)


def digits(judge: Judge, images: Bytes) -> npt.NDArray[np.intp]:
    """Return which digit each picture is read as."""
    read: npt.NDArray[np.intp] = judge.look(images)[1].argmax(axis=1)
    return read


def nearest(points: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> float:
    """Return the median over points (N, D) of the distance to the nearest known one (M, D)."""
    squares = (known * known).sum(axis=1)
    rows = np.array_split(points, 50)
    found = [
        (squares - 2 * part @ known.T).min(axis=1) + (part * part).sum(axis=1) for part in rows
    ]
    return float(np.median(np.sqrt(np.concatenate(found))))


if __name__ == "__main__":
    pack(Path(sys.argv[1]), *map(Path, sys.argv[2:3]))
