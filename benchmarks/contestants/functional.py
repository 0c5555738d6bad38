"""The two steps as functions of arrays, for libraries without layers: JAX, autograd, tinygrad.

A library gives its operations as `ops`: exp, tanh, sigmoid, log, sqrt, concatenate, where, sum,
maximum, clip, zeros, and take, which picks one class for each row; some have a scan over time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.contestants.task import (
    ADAM_EPS,
    ALPHA,
    BETAS,
    MAX_NORM,
    NORM_EPS,
    RATES,
    RMSPROP_EPS,
    SLOPE,
    Array,
    layers,
)

Weights = dict[str, Any]


def lstm_cell(ops: Any, w: Weights, state: Any, x_t: Any) -> Any:
    """The next h and C (H, N), from one digit of each sequence (N, 1)."""
    h, C = state
    z = ops.concatenate([x_t.T, h])
    f = ops.sigmoid(w["W_f"] @ z + w["b_f"])
    i = ops.sigmoid(w["W_i"] @ z + w["b_i"])
    C = f * C + i * ops.tanh(w["W_C"] @ z + w["b_C"])
    return ops.sigmoid(w["W_o"] @ z + w["b_o"]) * ops.tanh(C), C


def lstm_loss(ops: Any, w: Weights, x: Any, labels: Any) -> Any:
    """Mean cross-entropy of the textbook LSTM on sequences x (N, T, 1)."""
    h = C = ops.zeros((w["W_f"].shape[0], x.shape[0]))
    if hasattr(ops, "scan"):
        h, _ = ops.scan(lambda state, x_t: lstm_cell(ops, w, state, x_t), (h, C), x)
    else:
        for t in range(x.shape[1]):
            h, C = lstm_cell(ops, w, (h, C), x[:, t])
    logits = h.T @ w["output.weight"].T + w["output.bias"]
    logsumexp = ops.log(ops.sum(ops.exp(logits), axis=1))  # of numbers that are small here
    return ops.sum(logsumexp - ops.take(logits, labels)) / x.shape[0]


def forward(ops: Any, network: str, w: Weights, x: Any) -> Any:
    """The generator's or the discriminator's output."""
    place = 0
    for _, _, normalized, activation in layers(network):
        x = x @ w[f"layers.{place}.weight"].T + w[f"layers.{place}.bias"]
        if normalized:
            place += 1
            n = x.shape[0]
            centred = x - ops.sum(x, axis=0) / n
            var = ops.sum(centred * centred, axis=0) / n
            x = centred / ops.sqrt(var + NORM_EPS) * w[f"layers.{place}.weight"]
            x = x + w[f"layers.{place}.bias"]
        if activation == "leaky_relu":
            x = ops.maximum(x, SLOPE * x)
        else:
            x = ops.tanh(x) if activation == "tanh" else ops.sigmoid(x)
        place += 2
    return x


def cross_entropy(ops: Any, p: Any, real: bool) -> Any:
    """Of probabilities (N, 1) that all stand for the same truth."""
    return -ops.sum(ops.log(p if real else 1 - p)) / p.shape[0]


def generator_loss(ops: Any, w: Weights, judge: Weights, latent: Any) -> Any:
    """How well the discriminator sees through the fakes."""
    fake = forward(ops, "generator", w, latent)
    return cross_entropy(ops, forward(ops, "discriminator", judge, fake), True)


def discriminator_loss(ops: Any, w: Weights, real: Any, fake: Any) -> Any:
    """How badly it tells real from fake."""
    on_real, on_fake = (forward(ops, "discriminator", w, x) for x in (real, fake))
    return cross_entropy(ops, on_real, True) + cross_entropy(ops, on_fake, False)


def rmsprop(ops: Any, w: Weights, g: Weights, q: Weights) -> tuple[Weights, Weights]:
    """Clip the gradient, and update: new weights, and the new running mean of squares."""
    total: Any = 0.0
    for name in g:
        total = total + ops.sum(g[name] * g[name])
    scale = ops.clip(MAX_NORM / (ops.sqrt(total) + 1e-6))
    new_w, new_q = {}, {}
    for name in w:
        slope = g[name] * scale
        new_q[name] = ALPHA * q[name] + (1 - ALPHA) * slope * slope
        new_w[name] = w[name] - RATES["lstm"] * slope / (ops.sqrt(new_q[name]) + RMSPROP_EPS)
    return new_w, new_q


def adam(ops: Any, w: Weights, g: Weights, state: Any) -> tuple[Weights, Any]:
    """Update: new weights, and the new state (steps, running mean, running mean of squares)."""
    count, m, v = state
    count = count + 1
    first, second = 1 - BETAS[0] ** count, 1 - BETAS[1] ** count
    new_w, new_m, new_v = {}, {}, {}
    for name in w:
        new_m[name] = BETAS[0] * m[name] + (1 - BETAS[0]) * g[name]
        new_v[name] = BETAS[1] * v[name] + (1 - BETAS[1]) * g[name] * g[name]
        rate = RATES["gan"] * new_m[name] / first
        new_w[name] = w[name] - rate / (ops.sqrt(new_v[name] / second) + ADAM_EPS)
    return new_w, (count, new_m, new_v)


def converted(weights: dict[str, Array], convert: Callable[[Array], Any]) -> Weights:
    """Weights as a library's arrays."""
    return {name: convert(value) for name, value in weights.items()}
