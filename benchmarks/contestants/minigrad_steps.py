"""minigrad: the trainers' models, in the steps of `train/lstm.py` and `train/gan.py`.

They are written out, as for the peers, because importing a trainer brings the command line and
matplotlib: 40 MB that no step needs, and that the others have not.
"""

from __future__ import annotations

from benchmarks.contestants.task import (
    BETAS,
    CLASSES,
    LATENT,
    MAX_NORM,
    RATES,
    Run,
    Task,
    batch,
    values,
)

PACKAGE = "minigrad"


def make(task: Task, form: str) -> Run | None:
    """One step; forms: "textbook" and "layer", which is nn.LSTM."""
    if task.kind == "lstm":
        return _lstm(task, form)
    return _gan(task) if form == "layer" else None


def _lstm(task: Task, form: str) -> Run:
    import minigrad as mg
    from minigrad import nn, optim
    from models.lstm import LSTM
    from models.lstm_layer import LayerLSTM

    model: nn.Module = (LayerLSTM if form == "layer" else LSTM)(1, task.hidden, CLASSES)
    state = values({name: p.shape for name, p in model.named_parameters()})
    model.load_state_dict(state, strict=False)
    optimizer = optim.RMSprop(model.parameters(), lr=RATES["lstm"])
    criterion = nn.CrossEntropyLoss()
    x, labels = map(mg.tensor, batch(task))

    def step() -> float:
        logits = model(x)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        (logits.detach().argmax(axis=1) == labels).astype("float32").mean()
        return float(loss.item())

    return step


def _gan(task: Task) -> Run:
    import minigrad as mg
    from minigrad import nn, optim
    from models.gan import Discriminator, Generator

    generator, discriminator = Generator(LATENT), Discriminator()
    for model in (generator, discriminator):
        state = values({name: p.shape for name, p in model.named_parameters()})
        model.load_state_dict(state, strict=False)
    of_generator, of_discriminator = (
        optim.Adam(model.parameters(), RATES["gan"], BETAS) for model in (generator, discriminator)
    )
    criterion = nn.BCELoss()
    latent, real = map(mg.tensor, batch(task))

    def step() -> float:
        fake = generator(latent)
        on_fake = discriminator(fake)
        loss = criterion(on_fake, mg.ones_like(on_fake))
        of_generator.zero_grad()
        loss.backward(inputs=list(generator.parameters()), retain_graph=True)
        of_generator.step()
        on_real = discriminator(real)
        loss = criterion(on_real, mg.ones_like(on_real))
        loss = loss + criterion(on_fake, mg.zeros_like(on_fake))
        of_discriminator.zero_grad()
        loss.backward(inputs=list(discriminator.parameters()))
        of_discriminator.step()
        for right in (on_real > 0.5, on_fake < 0.5):
            right.astype("float32").mean()
        return float(loss.item())

    return step
