"""One step of an LSTM after its product, forward and backward, in a launch each.

Numbers of a step lie in C order, those of a cell's gates H apart. Pointers may be null: biases, and
gradients that have not arrived.
"""

from __future__ import annotations

from minigrad.backends.cupy.source import kernel

__all__ = ["lstm_backward", "lstm_forward"]

lstm_forward = kernel(
    "lstm_cell_forward",
    r"""
#define BIAS(gate) (bias_ih ? bias_ih[(gate) * size + k] + bias_hh[(gate) * size + k] : 0)

// z (n, 4 size), the pre-activations, become the values of the gates i, f, g, o
extern "C" __global__ void lstm_cell_forward(
    T* z, const T* bias_ih, const T* bias_hh, const T* before, T* cell, T* h, Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, first = at / size * 4 * size + k;
        T i = sigmoid(z[first] + BIAS(0));
        T f = sigmoid(z[first + size] + BIAS(1));
        T g = tanh(z[first + 2 * size] + BIAS(2));
        T o = sigmoid(z[first + 3 * size] + BIAS(3));
        T c = f * before[at] + i * g;
        z[first] = i;
        z[first + size] = f;
        z[first + 2 * size] = g;
        z[first + 3 * size] = o;
        cell[at] = c;
        h[at] = o * tanh(c);
    }
}
""",
)

lstm_backward = kernel(
    "lstm_cell_backward",
    r"""
#define GIVEN(pointer) (pointer ? pointer[at] : (T)0)

// dz (n, 4 size), and dc of the state before, from dh + more and dc; dc_before may be dc
extern "C" __global__ void lstm_cell_backward(
    const T* gates, const T* before, const T* cell, const T* dh, const T* more, const T* dc,
    T* dz, T* dc_before, Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, first = at / size * 4 * size + k;
        T i = gates[first], f = gates[first + size];
        T g = gates[first + 2 * size], o = gates[first + 3 * size];
        T bent = tanh(cell[at]), total = GIVEN(dh) + GIVEN(more);
        T through = GIVEN(dc) + total * o * (1 - bent * bent);
        dz[first] = through * g * (i - i * i);
        dz[first + size] = through * before[at] * (f - f * f);
        dz[first + 2 * size] = through * i * (1 - g * g);
        dz[first + 3 * size] = total * bent * (o - o * o);
        dc_before[at] = through * f;
    }
}
""",
)
