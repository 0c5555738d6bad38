"""Draw how one digit becomes another: `python -m train.interpolate RUN --digits 3 4`."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

import minigrad as mg
from minigrad import nn
from models.gan import Generator

from . import drawing, latent
from .config import COUNT, SEED, Allowed, config_of, parse_tool
from .console import DONE, BadInput, answer, conclude, guarded, leave, talker
from .files import replacing
from .gan import GANConfig
from .judge import Reader

PROGRAM = "train.interpolate"
MOST = 20  # digits in one picture
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

    steps: Annotated[int, LENGTH, tyro.conf.arg(metavar="N")] = latent.STEPS
    """Number of pictures from one digit to the next, with both of them."""

    seed: Annotated[int, SEED] = 0
    """Seed of the latent points; the same seed draws the same picture."""

    tries: Annotated[int, COUNT, tyro.conf.arg(metavar="N")] = 10_000
    """Number of latent points to try."""

    confidence: Annotated[float, SURE] = latent.CONFIDENT
    """Least probability, from 0 to 1, that the classifier gives to each digit."""

    judge: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights of the classifier, from train.classifier. Without this option the bundled one."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """PNG file to write. Without this option one in the run's folder, named after the digits."""

    gif: bool = False
    """Also write an animation, under the same name with the ending .gif."""

    dry_run: bool = False
    """Print the settings and stop; nothing is written."""

    quiet: bool = False
    """No messages, only one line with the result."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: Its words, None for those of the process.

    Returns:
        The exit code.
    """
    return guarded(lambda: interpolate(parse_tool(InterpolateConfig, args, f"python -m {PROGRAM}")))


def interpolate(config: InterpolateConfig) -> int:
    """Find the digits, draw the ways between them, and say where the picture is.

    Args:
        config: What to do.

    Returns:
        The exit code.

    Raises:
        BadInput: If something that the user gave cannot be used.
    """
    if not 2 <= len(config.digits) <= MOST:
        raise BadInput(f"--digits is {_words(config.digits)}; allowed: {DIGIT.words}")
    name = "-".join(map(str, ("interpolation", *config.digits)))
    config = replace(config, out=config.out or config.run / f"{name}.png")
    assert config.out is not None
    generator, size = load_generator(config.run)
    reader = load_reader(config.judge)
    _check_target(config.out)
    animation = config.out.with_suffix(".gif") if config.gif else None
    if animation is not None and animation.is_dir():
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
    written = [config.out]
    try:
        with replacing(config.out) as path:
            title = latent.way_through(config.digits)
            drawing.strips(rows, title, latent.CAPTION).savefig(path)
        if animation is not None:
            written.append(animation)
            with replacing(animation) as path:
                drawing.animation(_frames(rows, len(ways)), path)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"--out {config.out}: cannot be written: {why}") from None
    results = " and ".join(map(str, written))
    conclude(config.quiet, f"Found {', '.join(sure)}.", f"Results: {results}")
    return DONE


def load_generator(run: Path) -> tuple[Generator, int]:
    """Read a run's generator: the moving average if the run has one.

    Args:
        run: The run's folder.

    Returns:
        The generator, and the number of dimensions of its latent space.

    Raises:
        BadInput: If it is not a run of train.gan, or has no usable weights.
    """
    config = config_of(run, GANConfig, "train.gan", "RUN")
    file = run / "last.safetensors"
    if not file.exists():
        raise BadInput(f"RUN {run}: there are no weights yet; they come with its first epoch")
    try:
        weights = mg.load(file)
        prefix = (
            "average." if any(name.startswith("average.") for name in weights) else "generator."
        )
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        generator = Generator(config.latent_dim, config.generator_hidden)
        generator.load_state_dict(own)
    except (OSError, ValueError, nn.StateDictError) as error:
        raise BadInput(f"RUN {run}: {error}") from None
    if not all(np.isfinite(value.numpy()).all() for value in own.values()):
        raise BadInput(f"RUN {run}: weights in {file.name} are nan or infinite")
    return generator, config.latent_dim


def load_reader(path: Path | None) -> Reader:
    """Read the classifier.

    Raises:
        BadInput: If the weights that the user named cannot be used.
    """
    try:
        return Reader.load(path)
    except (OSError, ValueError, nn.StateDictError) as error:
        if path is None:
            raise
        raise BadInput(f"--judge {path}: {error}") from None


def _check_target(out: Path) -> None:
    problem = (
        "is not named .png"
        if out.suffix.lower() != ".png"
        else "is a folder"
        if out.is_dir()
        else f"{out.parent} is not a folder"
        if not out.parent.is_dir()
        else ""
    )
    if problem:
        raise BadInput(f"--out {out}: {problem}; allowed: a PNG file in a folder that exists")


def _frames(rows: Sequence[drawing.Strip], ways: int) -> list[drawing.Grey]:
    """Each picture on the way over the name of its way; the digits asked for are there twice."""
    legs = [rows[start : start + ways] for start in range(0, len(rows), ways)]
    return [
        np.hstack(
            [
                drawing.captioned(
                    drawing.grid(row.images[i : i + 1], 1, scale=6), row.name.replace("\n", ", ")
                )
                for row in leg
            ]
        )
        for leg in legs
        for i in range(len(leg[0].images))
    ]


def _hint(config: InterpolateConfig, found: dict[int, latent.Found], error: str) -> str:
    drawn = [
        str(digit)
        for digit, each in found.items()
        if len(each.confidence) and each.confidence[0] >= config.confidence
    ]
    return (
        f"--digits {_words(config.digits)}: {error} ({config.tries:,} tried); this generator draws "
        f"{', '.join(drawn) or 'no digit'} so clearly; more --tries or a smaller --confidence may "
        "help"
    )


def _words(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


if __name__ == "__main__":
    leave(main())
