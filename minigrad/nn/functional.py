"""Layers and losses as functions: everything is an argument, nothing is remembered.

Names and arguments are PyTorch's. Each is defined in the file of its layer.
"""

from minigrad.messages import hints
from minigrad.nn.activation import leaky_relu, log_softmax, relu, sigmoid, softmax, tanh
from minigrad.nn.cross_entropy import cross_entropy, nll_loss
from minigrad.nn.dropout import dropout
from minigrad.nn.embedding import embedding
from minigrad.nn.linear import linear
from minigrad.nn.loss import binary_cross_entropy, binary_cross_entropy_with_logits, mse_loss
from minigrad.nn.norm import batch_norm, layer_norm

__all__ = [
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "embedding",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]

hints.explain(__name__, __all__)
