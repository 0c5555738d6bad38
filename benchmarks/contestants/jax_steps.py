"""JAX: the whole step compiled, forward, backward and update."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from benchmarks.contestants import functional
from benchmarks.contestants.functional import adam, converted, forward, rmsprop
from benchmarks.contestants.task import Run, Task, batch, gan_weights, textbook_weights

PACKAGE = "jax"


def make(task: Task, form: str) -> Run:
    """One step."""
    import jax
    from jax import numpy as jnp

    ops = types.SimpleNamespace(
        **{n: getattr(jnp, n) for n in ("exp", "tanh", "log", "sqrt", "sum", "maximum", "zeros")},
        concatenate=jnp.concatenate,
        sigmoid=jax.nn.sigmoid,
        clip=lambda x: jnp.minimum(x, 1.0),
        take=lambda x, i: jnp.take_along_axis(x, i[:, None], axis=1)[:, 0],
    )
    if task.steps > 20:  # shorter sequences are faster unrolled

        def scan(cell: Any, state: Any, x: Any) -> Any:
            return jax.lax.scan(lambda s, x_t: (cell(s, x_t), None), state, x.swapaxes(0, 1))[0]

        ops.scan = scan
    first, second = map(jnp.asarray, batch(task))
    zero = np.zeros_like
    if task.kind == "lstm":

        @jax.jit  # type: ignore[untyped-decorator]
        def lstm_step(w: Any, q: Any) -> Any:
            def loss_of(w: Any) -> Any:
                return functional.lstm_loss(ops, w, first, second)

            loss, g = jax.value_and_grad(loss_of)(w)
            return (*rmsprop(ops, w, g, q), loss)

        weights = textbook_weights(task)
        means = converted(weights, lambda x: jnp.asarray(zero(x)))
        return _repeated(lstm_step, (converted(weights, jnp.asarray), means))

    def gan_step(g_w: Any, d_w: Any, g_state: Any, d_state: Any) -> Any:
        def generator_loss(w: Any) -> Any:
            fake = forward(ops, "generator", w, first)
            judged = forward(ops, "discriminator", d_w, fake)
            return functional.cross_entropy(ops, judged, True), fake

        (_, fake), g = jax.value_and_grad(generator_loss, has_aux=True)(g_w)
        g_w, g_state = adam(ops, g_w, g, g_state)
        loss, g = jax.value_and_grad(lambda w: functional.discriminator_loss(ops, w, second, fake))(
            d_w
        )
        d_w, d_state = adam(ops, d_w, g, d_state)
        return g_w, d_w, g_state, d_state, loss

    nets = [gan_weights("generator"), gan_weights("discriminator")]
    zeros = [[converted(w, lambda x: jnp.asarray(zero(x))) for _ in "mv"] for w in nets]
    states = [(jnp.zeros(()), *pair) for pair in zeros]
    start = (*[converted(w, jnp.asarray) for w in nets], *states)
    return _repeated(jax.jit(gan_step), start)


def _repeated(step: Any, state: tuple[Any, ...]) -> Run:
    def run() -> float:
        nonlocal state
        *rest, loss = step(*state)
        state = tuple(rest)
        return float(loss)

    return run
