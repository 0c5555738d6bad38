"""Draw how one digit becomes another: `python -m train.interpolate RUN --digits 3 4`."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

import minigrad as mg
from minigrad import nn
from minigrad.files import read_member, replacing
from minigrad.serialization import from_bytes
from models.gan import Generator

from . import drawing, latent
from .allowed import EXAMPLES, SEED, Allowed
from .config import FILE, N, command, config_of
from .console import DONE, BadInput, answer, cause, conclude, leave, talker
from .files import in_one_line, shortened
from .gan import GANConfig
from .judge import Reader, judge_option

PROGRAM = "train.interpolate"
MOST = 20  # digits in one picture
MOST_WEIGHTS = 2**30  # bytes of the weights of a run
DIGIT = Allowed(lambda n: n in range(10), f"two to {MOST} digits, each from 0 to 9")
LENGTH = Allowed(lambda n: 2 <= n <= 100, "a whole number from 2 to 100")
SURE = Allowed(lambda x: 0 <= x <= 1, "a number from 0 to 1")


@dataclass(frozen=True)
class InterpolateConfig:
    """Draw how one digit becomes another on the way through a trained generator's latent space.

    The generator draws random latent points, and a classifier picks the clearest picture of each
    digit you ask for. Then the generator draws the points between them.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of a run of train.gan."""

    digits: Annotated[tuple[int, ...], DIGIT, tyro.conf.arg(metavar="DIGIT DIGIT [DIGIT ...]")] = (
        latent.DIGITS
    )
    """Digits along the way; a repeated digit is drawn in different ways."""

    path: Literal["both", "spherical", "linear"] = "both"
    """Along a great circle, whose points are all as probable, in a straight line, or both."""

    steps: Annotated[int, LENGTH, N] = latent.STEPS
    """Number of pictures from one digit to the next, with both of them."""

    seed: Annotated[int, SEED] = 0
    """Seed of the latent points; the same seed draws the same picture."""

    tries: Annotated[int, EXAMPLES, N] = 10_000
    """Number of latent points to try."""

    confidence: Annotated[float, SURE] = latent.CONFIDENT
    """Least probability, from 0 to 1, that the classifier gives to each digit."""

    judge: Annotated[Path | None, FILE] = None
    """Weights of the classifier, from train.classifier. Without this option the bundled one."""

    out: Annotated[Path | None, FILE] = None
    """PNG file to write. Without this option one in the run's folder, named after the digits."""

    gif: bool = False
    """Also write an animation, under the same name with the ending .gif."""

    dry_run: bool = False
    """Print the settings and stop; nothing is written."""

    quiet: bool = False
    """No messages, only one line with the result."""


def interpolate(config: InterpolateConfig) -> int:
    """Find the digits, draw the ways between them, say where the picture is; return the exit code.

    Raises:
        BadInput: If something that the user gave cannot be used.
    """
    if not 2 <= len(config.digits) <= MOST:
        raise BadInput(f"--digits is {_words(config.digits)}; allowed: {DIGIT.words}")
    name = "-".join(map(str, ("interpolation", *config.digits)))
    config = replace(config, out=config.out or config.run / f"{name}.png")
    assert config.out is not None
    generator, size = load_generator(config.run)
    with judge_option(config.judge):
        reader = Reader.load(config.judge)
    _check_target(config.out)
    animation = config.out.with_suffix(".gif")
    if config.gif and animation.is_dir():
        raise BadInput(f"--gif: {animation} is a folder; allowed: another --out")
    if config.dry_run:
        return answer(json.dumps(asdict(config), indent=2, default=str))

    say = talker(config.quiet)
    say(f"Looking for {_words(config.digits)} among {config.tries:,} latent points.")
    keep = max(latent.KEPT, *Counter(config.digits).values())
    random = np.random.default_rng(config.seed)
    found = latent.search(generator, reader, size, config.tries, keep, random)
    try:
        points = latent.choose(found, config.digits, config.confidence)
    except latent.NotFound as error:
        raise BadInput(_hint(config, found, str(error))) from None
    _, read = reader.look(latent.draw(generator, points))
    sure = [f"{digit} ({read[i, digit]:.1%})" for i, digit in enumerate(config.digits)]
    ways = tuple(latent.WAYS) if config.path == "both" else (config.path,)
    rows = latent.strips(generator, reader, points, config.digits, config.steps, ways)
    try:
        with replacing(config.out) as path:
            drawing.strips(rows, config.digits).savefig(path)
        if config.gif:
            with replacing(animation) as path:
                drawing.animation(_frames(rows, len(ways)), path)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise BadInput(f"--out {config.out}: cannot be written: {cause(error)}") from None
    results = f"Results: {config.out}" + f" and {animation}" * config.gif
    conclude(config.quiet, f"Found {', '.join(sure)}.", results)
    return DONE


def load_generator(run: Path) -> tuple[Generator, int]:
    """Read a run's generator, or its moving average if there is one, and its latent dimensions.

    Raises:
        BadInput: If it is not a run of train.gan, or has no usable weights.
    """
    config = config_of(run, GANConfig, "train.gan", "RUN")
    file = run / "last.safetensors"
    try:
        weights = from_bytes(read_member(file, MOST_WEIGHTS), str(file))
        averaged = any(name.startswith("average.") for name in weights)
        prefix = "average." if averaged else "generator."
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        _check_sizes(own, (config.latent_dim, *config.generator_hidden, 784))
        generator = Generator(config.latent_dim, config.generator_hidden)
        generator.load_state_dict(own)
    except FileNotFoundError:
        raise BadInput(
            f"RUN {run}: there are no weights yet; they come with its first epoch"
        ) from None
    except (OSError, ValueError, nn.StateDictError) as error:
        raise BadInput(f"RUN {run}: {in_one_line(error)}") from None
    if not all(np.isfinite(value.numpy()).all() for value in own.values()):
        raise BadInput(f"RUN {run}: weights in {file.name} are nan or infinite")
    return generator, config.latent_dim


def _check_sizes(weights: Mapping[str, mg.Tensor], sizes: Sequence[int]) -> None:
    """Refuse weights of other layers than the config's, before memory is taken for these."""
    expected = sorted((after, before) for before, after in pairwise(sizes))
    found = sorted(weight.shape for weight in weights.values() if weight.ndim == 2)
    if found != expected:
        raise ValueError(
            f"last.safetensors holds layers of shapes {shortened(str(found))}, but config.json "
            f"says {shortened(str(expected))}"
        )


def _check_target(out: Path) -> None:
    try:
        problems = {
            "is not named .png": out.suffix.lower() != ".png",
            "is a folder": out.is_dir(),
            f"{out.parent} is not a folder": not out.parent.is_dir(),
        }
    except OSError as error:  # a name too long, or a folder that is closed
        raise BadInput(f"--out {out}: {cause(error)}") from None
    for problem, found in problems.items():
        if found:
            raise BadInput(f"--out {out}: {problem}; allowed: a PNG file in a folder that exists")


def _frames(rows: Sequence[drawing.Strip], ways: int) -> list[drawing.Grey]:
    """Each picture on the way over the name of its way; the digits asked for are there twice."""
    return [
        np.hstack([_labelled(row.images[i], row.name) for row in rows[leg : leg + ways]])
        for leg in range(0, len(rows), ways)
        for i in range(len(rows[leg].images))
    ]


def _labelled(image: drawing.Grey, name: str) -> drawing.Grey:
    """A picture, large, over the name of its way."""
    return drawing.captioned(drawing.grid(image[None], 1, scale=6), name.replace("\n", ", "))


def _hint(config: InterpolateConfig, found: dict[int, latent.Found], error: str) -> str:
    clear = (str(digit) for digit, each in found.items() if each.confidence[0] >= config.confidence)
    return (
        f"--digits {_words(config.digits)}: {error} ({config.tries:,} tried); this generator draws "
        f"{', '.join(clear) or 'no digit'} so clearly; more --tries or a smaller --confidence may "
        "help"
    )


def _words(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


main = command(PROGRAM, InterpolateConfig, interpolate)

if __name__ == "__main__":
    leave(main())
