"""Two examples, an LSTM and a GAN, a classifier that judges the GAN, and what they share.

From a shell `python -m train.lstm`; in Python or a notebook `from train import lstm; lstm.run()`.
"""

import os
import signal
import sys
from types import FrameType


def interrupted(number: int, frame: FrameType | None) -> None:
    """End at once by Ctrl-C while a program is still being imported: one line, no traceback."""
    try:
        os.write(2, b"Interrupted.\n")
    finally:  # also where standard error is closed
        os._exit(130)


# Python's name for a program while `python -m train.lstm` imports its package
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupted)
