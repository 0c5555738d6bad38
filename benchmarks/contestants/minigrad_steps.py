"""minigrad: the trainers' own steps."""

from __future__ import annotations

from benchmarks.contestants.task import CLASSES, LATENT, RATES, Run, Task, batch, values

PACKAGE = "minigrad"


def make(task: Task, form: str) -> Run | None:
    """One step; forms: "textbook" and "layer", which is nn.LSTM."""
    import minigrad as mg
    from minigrad import nn, optim
    from models.gan import Discriminator, Generator
    from models.lstm import LSTM
    from models.lstm_layer import LayerLSTM
    from train import gan, lstm

    def filled(model: nn.Module) -> nn.Module:
        state = values({name: p.shape for name, p in model.named_parameters()})
        model.load_state_dict(state, strict=False)
        return model

    first, second = map(mg.tensor, batch(task))
    if task.kind == "gan":
        if form == "textbook":
            return None
        nets = filled(Generator(LATENT)), filled(Discriminator())
        game = gan.Game(
            *nets, *[optim.Adam(m.parameters(), RATES["gan"], (0.5, 0.999)) for m in nets]
        )
        return lambda: gan.step(game, second, first)["d_loss"].item()
    model = filled((LayerLSTM if form == "layer" else LSTM)(1, task.hidden, CLASSES))
    optimizer = optim.RMSprop(model.parameters(), lr=RATES["lstm"])
    return lambda: lstm.step(model, optimizer, first, second, 10.0)["loss"].item()
