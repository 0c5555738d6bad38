"""detect_anomaly names the operation and the line that first made a NaN or an infinity."""

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def test_forward_names_the_operation_and_the_line():
    x = mg.tensor([1.0, 0.0], requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError) as caught:
        y = x * 2
        z = mg.log(y)  # the line
        z.sum()
    message = str(caught.value)
    assert "log: the result contains an infinity" in message
    assert "test_debug.py" in message
    assert "z = mg.log(y)" in message


def test_forward_is_watched_without_recording_too():
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match=r"sqrt.*a NaN"):
        mg.sqrt(mg.tensor([-1.0]))
    with mg.detect_anomaly(), mg.no_grad(), pytest.raises(mg.AnomalyError, match="divide"):
        mg.ones(1) / mg.zeros(1)


def test_backward_names_the_operation_and_its_line():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with mg.detect_anomaly():
        y = mg.sqrt(x)  # finite, but its slope at 0 is not
        loss = y.sum()
        with pytest.raises(mg.AnomalyError) as caught:
            loss.backward()
    assert "sqrt: its derivative contains an infinity" in str(caught.value)
    assert "y = mg.sqrt(x)" in str(caught.value)


def test_backward_under_create_graph_is_watched():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError):
        mg.grad(mg.sqrt(x).sum(), x, create_graph=True)


def test_nan_in_the_data_is_named_as_such():
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="input already contains a NaN"):
        mg.tensor([np.nan]) * 2


def test_infinity_in_a_mask_may_pass():
    x = mg.ones(3).requires_grad_()
    with mg.detect_anomaly():
        scores = mg.where(np.array([True, False, True]), x, -np.inf)
        y = nn.functional.softmax(scores, dim=0)
        (y * y).sum().backward()
    assert np.isfinite(x.grad.data).all()


def test_kernels_and_sequences_are_watched():
    weight = mg.full((2, 3), 3e38)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="linear"):
        nn.functional.linear(mg.ones(4, 3), weight)
    with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match=r"concatenate.*already"):
        mg.concatenate([mg.ones(2), mg.tensor([np.nan])])


@pytest.mark.parametrize("create_graph", [False, True])
def test_raw_write_is_found_by_its_checksum(create_graph):
    x = mg.ones(3).requires_grad_()
    w = mg.ones(3).requires_grad_()
    with mg.detect_anomaly():
        y = (x * w).sum()
        w.data[0] = 5.0
        with pytest.raises(mg.ChangedValueError, match=r"multiply: .* written to .*\(x \* w\)"):
            y.backward(create_graph=create_graph)


def test_a_sound_training_step_passes():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.2), nn.Linear(8, 3))
    lstm, optimizer = nn.LSTM(2, 4), mg.optim.Adam(model.parameters())
    with mg.detect_anomaly():
        for _ in range(2):
            model.zero_grad()
            (nn.CrossEntropyLoss()(model(mg.ones(5, 4)), mg.tensor([0, 1, 2, 0, 1]))).backward()
            optimizer.step()
        lstm(mg.ones(3, 2, 2))[0].sum().backward()


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_it_ends_with_its_block_and_stays_in_its_thread():
    results = []
    with mg.detect_anomaly():
        other = threading.Thread(target=lambda: results.append(mg.log(mg.zeros(1)).item()))
        other.start()
        other.join()
        with mg.detect_anomaly():
            pass
        with pytest.raises(mg.AnomalyError):
            mg.log(mg.zeros(1))
    assert mg.log(mg.zeros(1)).item() == results[0] == -np.inf
