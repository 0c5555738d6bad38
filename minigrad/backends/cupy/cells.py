"""One step of an LSTM after its matrix product: one kernel launch forward, one backward.

Arrays of a step are in C order; the four gates of a cell are H elements apart. Biases and gradients
that are absent are null pointers.
"""

from __future__ import annotations

from minigrad.backends.cupy.source import kernel

__all__ = ["lstm_backward", "lstm_forward"]

lstm_forward = kernel(
    "lstm_cell_forward",
    r"""
#define BIAS(gate) (bias_ih ? bias_ih[(gate) * size + k] + bias_hh[(gate) * size + k] : 0)

// z (n, 4 size) holds W x + W h; it is overwritten by the values of the gates i, f, g, o
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
#define OR_ZERO(pointer) (pointer ? pointer[at] : (T)0)

// from dh + more (the gradient of h) and dc: dz (n, 4 size), and dc_before (the gradient of the
// cell state before the step), which may be the same memory as dc
extern "C" __global__ void lstm_cell_backward(
    const T* gates, const T* before, const T* cell, const T* dh, const T* more, const T* dc,
    T* dz, T* dc_before, Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, first = at / size * 4 * size + k;
        T i = gates[first], f = gates[first + size];
        T g = gates[first + 2 * size], o = gates[first + 3 * size];
        T tanh_c = tanh(cell[at]), total_dh = OR_ZERO(dh) + OR_ZERO(more);
        T total_dc = OR_ZERO(dc) + total_dh * o * (1 - tanh_c * tanh_c);
        dz[first] = total_dc * g * (i - i * i);
        dz[first + size] = total_dc * before[at] * (f - f * f);
        dz[first + 2 * size] = total_dc * i * (1 - g * g);
        dz[first + 3 * size] = total_dh * tanh_c * (o - o * o);
        dc_before[at] = total_dc * f;
    }
}
""",
)
