"""Look for input that a reader ends on: `python -m tests.reliability.fuzz READER --minutes 10`.

Atheris (`pip install atheris`, Linux) changes good files, and keeps each change that reaches new
branches. It ends at the first error that is not documented, at more than 2 GiB of memory, and at
more than 30 seconds for one input; the input is then a file in the current folder.
"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

MEMORY, PATIENCE = 2048, 30  # MiB, and seconds for one input


def main(reader: Annotated[str, tyro.conf.Positional], minutes: float = 10, seed: int = 1) -> None:
    """Fuzz one reader.

    Args:
        reader: Its name in the table of tests/reliability/readers.py.
        minutes: How long.
        seed: Of the random numbers.
    """
    import atheris  # type: ignore[import-not-found, unused-ignore]

    with atheris.instrument_imports(include=["minigrad", "train", "json", "tomllib", "csv"]):
        from .readers import READERS

    if reader not in READERS:
        sys.exit("\n".join(READERS))
    chosen = READERS[reader]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, content in enumerate(chosen.seeds()):
            (corpus / str(number)).write_bytes(content)
        words = Path(folder, "words")
        escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in chosen.words)
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        limits = [f"-max_total_time={round(60 * minutes)}", f"-timeout={PATIENCE}"]
        limits += [f"-rss_limit_mb={MEMORY}", f"-seed={seed}", f"-dict={words}"]
        atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", str(corpus)], chosen.check)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    tyro.cli(main)
