"""Everything that reads a file or words of somebody else's, and the errors that it may end in."""

import atexit
import contextlib
import functools
import gzip
import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.data import DataError, read_idx
from models.gan import Generator
from train import checkpoint, classifier, drawing, gan, interpolate, lstm, plot
from train.config import from_keywords
from train.console import BadInput
from train.judge import Reader as DigitReader
from train.judge import judge_option
from train.run import RunFolder
from train.state import State

PROGRAMS = {
    "train.lstm": lstm.main,
    "train.gan": gan.main,
    "train.classifier": classifier.main,
    "train.interpolate": interpolate.main,
    "train.plot": plot.main,
}


@dataclass(frozen=True)
class Reader:
    """A reader, as a function of the bytes that it is given.

    Attributes:
        read: Reads them, and returns or raises.
        seeds: Good inputs, to be damaged.
        allowed: The errors that are documented for input that is not good.
        named: What the message of such an error must hold: the file.
        words: What is likely to stand in such a file.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    allowed: tuple[type[Exception], ...]
    named: str
    words: Sequence[bytes] = field(default=())

    def check(self, content: bytes) -> bool:
        """Read bytes; return whether they were taken.

        Raises:
            Exception: If the error is none of the allowed, or does not name the file.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.read(content)
        except self.allowed as error:
            message = str(error)
            if self.named not in message or "\n" in message or len(message) > 2000:
                raise AssertionError(f"a message that does not help: {message[:3000]!r}") from error
            return False
        return True


FOLDER = Path(tempfile.mkdtemp(prefix="minigrad-readers-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def on_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Let a function of a path read bytes."""

    def read_bytes(content: bytes) -> object:
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / name
        path.write_bytes(content)
        return read(path)

    return read_bytes


# --- good files -----------------------------------------------------------------------------------


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """The idx file of an array of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def idx_files() -> list[bytes]:
    plain = [idx(np.arange(n, dtype=np.uint8)) for n in (0, 10)]
    plain.append(idx(np.zeros((2, 28, 28), np.uint8)))
    return plain + [gzip.compress(each, mtime=0) for each in plain]


def weight_files() -> list[bytes]:
    from safetensors.numpy import save

    state = {"a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.ones((), "i8")}
    return [save(state), save(state, {"format": "pt"}), mg.serialization.to_bytes(state)]


def judge_files() -> list[bytes]:
    state = classifier.Classifier().state_dict()
    return [mg.serialization.to_bytes(state), mg.serialization.to_bytes({"x": mg.ones(2)})]


def generator_files() -> list[bytes]:
    state = {f"generator.{k}": v for k, v in Generator(2, (3, 4)).state_dict().items()}
    return [mg.serialization.to_bytes(state)]


CONFIGS: dict[str, Any] = {
    "train.lstm": lstm.LSTMConfig(),
    "train.gan": gan.GANConfig(latent_dim=2, generator_hidden=(3, 4)),
    "train.classifier": classifier.ClassifierConfig(),
}


def config_of(program: str) -> bytes:
    return json.dumps({"program": program} | CONFIGS[program].decided().settings()).encode()


def json_configs() -> list[bytes]:
    return [config_of("train.lstm").replace(b'"program": "train.lstm", ', b""), b"{}"]


def toml_configs() -> list[bytes]:
    return [
        b'recipe = "quick"\nhidden = 3\nlr = 1e-3\n',
        b"sweep = [3, 5]\nmodels = ['rnn']\n[x]\na.b = {c = 1979-05-27T07:32:00Z}\n",
    ]


def lines_of(program: str) -> bytes:
    names = {panel.name for panel in plot.TRAINERS[program].panels}
    return b"".join(
        json.dumps({"epoch": n, "step": n, **dict.fromkeys(sorted(names), 0.5)}).encode() + b"\n"
        for n in (1, 2, 3)
    )


TABLE = b"model,length,seed,final_accuracy\nrnn,5,0,0.25\nlstm,5,0,1.0\n"


# --- a run folder in which one file is somebody else's --------------------------------------------


def run_folder(program: str, **files: bytes) -> Path:
    """A small run folder, written anew."""
    run = FOLDER / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    good = {"config.json": config_of(program), "metrics.jsonl": lines_of(program)}
    for name, content in (good | files).items():
        (run / name).write_bytes(content)
    return run


def in_a_run(program: str, name: str, **others: bytes) -> Callable[[bytes], object]:
    """Read and draw a run of which a file is given."""

    def read(content: bytes) -> object:
        run = plot.read(run_folder(program, **{name: content}, **others))
        with without_rendering():
            return run.trainer.draw(run.config, run.folder, run.folder, lambda words: None)

    return read


@contextlib.contextmanager
def without_rendering() -> Iterator[None]:
    """Figures are composed, but not drawn pixel by pixel, which takes most of the time."""
    from matplotlib.figure import Figure

    save = Figure.savefig

    def compose(figure: Figure, path: Path, **options: Any) -> None:
        figure.draw_without_rendering()
        Path(path).write_bytes(b"")

    Figure.savefig = compose  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Figure.savefig = save  # type: ignore[method-assign]


def options_in(path: Path) -> object:
    return from_keywords(lstm.LSTMConfig, {"config": path}, "train.lstm")


def judged_by(path: Path) -> object:
    with judge_option(path):
        return DigitReader.load(path)


def interpolated(content: bytes) -> object:
    return interpolate.load_generator(run_folder("train.gan", **{"last.safetensors": content}))


# --- checkpoints ----------------------------------------------------------------------------------

CONFIG = lstm.LSTMConfig(hidden=3, epochs=2, input_length=3).decided()
GROUND = checkpoint.Ground({"program": "train.lstm"} | CONFIG.settings(), cwd="/x")
KEYS = [b'{"pairs":[[', b'{"tuple":[', b'{"array":"', b'"epoch"', b'"state"', b'"MT19937"']


def new_state() -> State:
    model = lstm.make_model(CONFIG)
    optimizer, scheduler = lstm.make_optimizer(CONFIG, model)
    return State({"": model}, {"": optimizer}, np.random.default_rng(0), {"": scheduler})


def train_a_step(state: State) -> None:
    """One step, as the loop takes it after a checkpoint."""
    x, labels = mg.zeros(2, 3, 1), mg.zeros(2).astype("int64")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        found = lstm.step(state.networks[""], state.optimizers[""], x, labels, 10.0)
    state.step += 1
    state.meter.add(2, **found)
    state.meter.read()
    state.shuffle.permutation(5)
    mg.rand(2)
    state.schedulers[""].step()
    state.state_dict()


@functools.cache
def good_checkpoint() -> tuple[bytes, bytes, dict[str, Any]]:
    """A checkpoint's file, its structure, and its arrays."""
    state = new_state()
    train_a_step(state)
    FOLDER.mkdir(exist_ok=True)
    empty = hashlib.sha256().hexdigest()
    sizes = dict.fromkeys(checkpoint.GROWING, 0)
    content = checkpoint.Checkpoint(state.state_dict(), GROUND, sizes, empty)
    checkpoint.write(content, FOLDER)
    file = (FOLDER / checkpoint.CHECKPOINT).read_bytes()
    arrays = mg.serialization.from_bytes(file, "x")
    return file, arrays.pop(checkpoint.STRUCTURE).numpy().tobytes(), arrays


def gone_on(structure: bytes) -> None:
    """Go on from a checkpoint of any structure, with the arrays of a good one."""
    run = run_folder("train.lstm")
    (run / "metrics.jsonl").unlink()
    arrays = good_checkpoint()[2] | {checkpoint.STRUCTURE: np.frombuffer(structure, np.uint8)}
    (run / checkpoint.CHECKPOINT).write_bytes(mg.serialization.to_bytes(arrays))
    state = new_state()
    RunFolder(run, resumed=True, program="train.lstm").go_on(GROUND, state.load_state_dict)
    train_a_step(state)


# --- command lines --------------------------------------------------------------------------------


def command_line(content: bytes) -> None:
    """Run a program with words, which zeros separate; it must end with 0 or 2, and no traceback.

    No word leads out of an empty folder, and nothing is trained.
    """
    first, *words = content.decode("utf-8", "surrogateescape").replace("/", "_").split("\0")
    names = list(PROGRAMS)
    program = first if first in PROGRAMS else names[len(first) % len(names)]
    dry = [] if program == "train.plot" else ["--dry-run"]
    folder, before = FOLDER / "empty", Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = PROGRAMS[program]([*words, *dry])
    finally:
        os.chdir(before)
    if code not in (0, 2) or "Traceback" in said.getvalue():
        raise AssertionError(f"{program} {words} ended with code {code}: {said.getvalue()[:2000]}")


def command_lines() -> list[bytes]:
    lines = [
        "train.lstm --recipe quick --hidden 3 --sweep 5 10 --models rnn lstm --seeds 2 --lr 1e-3",
        "train.gan --latent-dim 3 --generator-hidden 3 4 --betas 0.5 0.9 --limit 5 --average 0",
        "train.classifier --shift 2 --dropout 0.1 --seed 3 --name x --checkpoint-steps 1",
        "train.interpolate run --digits 3 4 --path both --tries 10 --confidence 0.5 --gif",
        "train.plot a b --out c --quiet",
        "train.lstm --config x.toml --resume run --epochs 1000000000 --batch-size 0",
        "train.lstm --help",
    ]
    return [line.replace(" ", "\0").encode() for line in lines]


OPTIONS = [
    f"--{name.replace('_', '-')}".encode()
    for config in (*CONFIGS.values(), interpolate.InterpolateConfig(Path("x"), ()))
    for name in vars(config)
]
NUMBERS = [b"0", b"-1", b"1e999", b"nan", b"NaN", b"1e308", b"9" * 25, b"18446744073709551616"]
JSON = [*NUMBERS, b"null", b"true", b'""', b"[]", b"{}", b'{"a":', b"[[", b'"\\ud800"', b"1.5"]
HEADER = [b"\x1f\x8b", b"\0\0\x08\x03", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]
CHUNKS = [b"IHDR", b"IDAT", b"IEND", b"iCCP", b"tEXt", b"zTXt", b"PLTE", b"acTL", b"eXIf", b"iTXt"]


def pictures() -> list[bytes]:
    from PIL import Image, PngImagePlugin

    found = []
    for mode in ("L", "RGBA", "1", "P", "I;16"):
        for text in ({}, {"a": "b"}):
            info = PngImagePlugin.PngInfo()
            for key, value in text.items():
                info.add_text(key, value, zip=True)
            file = io.BytesIO()
            Image.new(mode, (6, 5)).save(file, "PNG", pnginfo=info)
            found.append(file.getvalue())
    return found


READERS: dict[str, Reader] = {
    "idx": Reader(on_file("some-file", read_idx), idx_files, (DataError,), "some-file", HEADER),
    "idx-packed": Reader(
        lambda content: on_file("some-file", read_idx)(gzip.compress(content, 1, mtime=0)),
        lambda: idx_files()[:3],
        (DataError,),
        "some-file",
        HEADER,
    ),
    "weights": Reader(
        on_file("x.safetensors", mg.load),
        weight_files,
        (ValueError,),
        "x.safetensors",
        [b'"F32"', b'"BF16"', b'"shape":', b'"data_offsets":', b'"__metadata__"', *JSON],
    ),
    "judge": Reader(
        on_file("x.safetensors", judged_by),
        judge_files,
        (BadInput,),
        "--judge",
        JSON,
    ),
    "generator": Reader(interpolated, generator_files, (BadInput,), "run", JSON),
    "config-toml": Reader(
        on_file(
            "x.toml", lambda path: from_keywords(lstm.LSTMConfig, {"config": path}, "train.lstm")
        ),
        toml_configs,
        (BadInput,),
        "",
        [*(option[2:] + b" = " for option in OPTIONS), b"[", b"0x", b"\n", *JSON],
    ),
    "config-json": Reader(
        on_file(
            "x.json", lambda path: from_keywords(lstm.LSTMConfig, {"config": path}, "train.lstm")
        ),
        json_configs,
        (BadInput,),
        "",
        [*(b'"' + option[2:] + b'": ' for option in OPTIONS), *JSON],
    ),
    "config-of-a-run": Reader(
        in_a_run("train.gan", "config.json"),
        lambda: [config_of(program) for program in CONFIGS],
        (BadInput,),
        "",
        [*(b'"' + option[2:] + b'": ' for option in OPTIONS), *JSON],
    ),
    "metrics-lstm": Reader(
        in_a_run("train.lstm", "metrics.jsonl"),
        lambda: [lines_of("train.lstm"), b"\xef\xbb\xbf" + lines_of("train.lstm")],
        (BadInput,),
        "run",
        [b'"epoch":', b'"loss":', *JSON],
    ),
    "metrics-gan": Reader(
        in_a_run("train.gan", "metrics.jsonl"),
        lambda: [lines_of("train.gan")],
        (BadInput,),
        "run",
        [b'"step":', b'"fid":', b'"recall":', *JSON],
    ),
    "environment": Reader(
        lambda content: plot.read(run_folder("train.lstm", **{"environment.json": content})),
        lambda: [b'{"digits": "60000 digits of x", "judged_against": "x"}', b"{}"],
        (BadInput,),
        "run",
        JSON,
    ),
    "picture": Reader(
        on_file("step-1.png", drawing.read_grey), pictures, (DataError,), "step-1.png", CHUNKS
    ),
    "table": Reader(
        in_a_run(
            "train.lstm",
            "sweep.csv",
            **{"config.json": b'{"program": "train.lstm", "sweep": [5], "seeds": 1}'},
        ),
        lambda: [TABLE],
        (BadInput,),
        "run",
        [b"textbook", b"rnn", b"lstm", b",", b'"', b"\n", *NUMBERS],
    ),
    "command-line": Reader(
        command_line,
        command_lines,
        (),
        "",
        [*OPTIONS, *(name.encode() for name in PROGRAMS), b"\0", *NUMBERS, b"\xff"],
    ),
    "checkpoint": Reader(
        on_file("x.safetensors", checkpoint.read),
        lambda: [good_checkpoint()[0]],
        (checkpoint.Damaged,),
        "x.safetensors",
        JSON,
    ),
    # any content under a right checksum, as of a stranger; what is taken must be able to go on
    "forged-checkpoint": Reader(
        gone_on, lambda: [good_checkpoint()[1]], (BadInput,), "run", [*KEYS, *JSON]
    ),
}
