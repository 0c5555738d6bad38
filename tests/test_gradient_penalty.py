"""Gradient penalties through the GAN's discriminator, second derivatives included, as PyTorch's."""

import numpy as np
import pytest
from checks import assert_close, tolerance
from trajectories import torch_networks

import minigrad as mg
from minigrad import nn
from models.gan import Discriminator

torch = pytest.importorskip("torch")


def wgan_gp(slopes):
    """Gulrajani et al. 2017, eq. 3, on slopes (N, 784) at points between real and fake."""
    return (((slopes * slopes).sum(1) ** 0.5 - 1) ** 2).mean()


def r1(slopes):
    """Mescheder et al. 2018, eq. 9, on slopes (N, 784) at real images."""
    return (slopes * slopes).sum(1).mean() / 2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("penalty", [wgan_gp, r1])
def test_penalty_and_its_gradients_equal_pytorch(penalty, dtype):
    theirs = torch_networks()[1].to(getattr(torch, dtype))
    ours = Discriminator().astype(dtype)
    ours.load_state_dict(theirs.state_dict())
    images = np.random.RandomState(0).uniform(-1, 1, (6, 784)).astype(dtype)

    x = mg.tensor(images, requires_grad=True)
    [slopes] = mg.grad(ours.layers(x).sum(), x, create_graph=True)
    loss = penalty(slopes) + nn.functional.binary_cross_entropy(
        ours.layers(x), mg.ones(6, 1, dtype=dtype)
    )
    loss.backward()

    t = torch.tensor(images, requires_grad=True)
    [slopes] = torch.autograd.grad(theirs.layers(t).sum(), t, create_graph=True)
    expected = penalty(slopes) + torch.nn.functional.binary_cross_entropy(
        theirs.layers(t), torch.ones(6, 1, dtype=t.dtype)
    )
    expected.backward()

    # no sum is longer than a layer is wide, and each of the three layers is passed four times
    within = 12 * tolerance(dtype, images[0])
    assert_close(loss.item(), expected.item(), within, "loss")
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    for (mine, other), name in zip(pairs, ours.state_dict(), strict=True):
        assert mine.grad.dtype == mine.dtype
        assert float(np.abs(mine.grad.data).max()) > 100 * within or dtype == "float32", name
        assert_close(mine.grad.data, other.grad.numpy(), within, name)
    assert_close(x.grad.data, t.grad.numpy(), within, "images")
