"""How well a network classifies: accuracy, and loss and accuracy on examples it has not learnt."""

from collections.abc import Callable

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn

from .state import Meter

BATCH = 1000
criterion = nn.CrossEntropyLoss()


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of the rows whose largest logit is the label's.

    >>> accuracy(mg.tensor([[0.0, 1.0], [2.0, 1.0]]), mg.tensor([1, 1])).item()
    0.5
    """
    return (logits.detach().argmax(axis=1) == labels).astype(np.float32).mean()


def evaluate(
    model: nn.Module, count: int, examples: Callable[[slice], tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """Measure a model in evaluation mode, without training it.

    Args:
        model: Turns x into logits (N, classes).
        count: Number of examples.
        examples: Returns x and labels (N,) of some of them.

    Returns:
        `val_accuracy` and `val_loss`, the means over all examples.
    """
    meter = Meter()
    model.eval()
    with mg.no_grad():
        for start in range(0, count, BATCH):
            x, labels = examples(slice(start, min(start + BATCH, count)))
            logits = model(x)
            loss = criterion(logits, labels)
            meter.add(labels.shape[0], val_accuracy=accuracy(logits, labels), val_loss=loss)
    model.train()
    return meter.read()
