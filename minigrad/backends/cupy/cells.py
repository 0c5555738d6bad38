"""One step of a recurrent network after its products, forward and backward, in a launch each.

Numbers of a step lie in C order, those of a cell's gates H apart. Pointers may be null: biases, and
gradients that have not arrived.
"""

from __future__ import annotations

from minigrad.backends.cupy.source import kernel

__all__ = [
    "gru_backward",
    "gru_forward",
    "lstm_backward",
    "lstm_forward",
    "rnn_backward",
    "rnn_forward",
]

_BIAS = r"""
#define BIAS(gate) (bias_ih ? bias_ih[(gate) * size + k] + bias_hh[(gate) * size + k] : 0)
#define GIVEN(pointer, i) (pointer ? pointer[i] : (T)0)
"""

lstm_forward = kernel(
    "lstm_cell_forward",
    _BIAS
    + r"""
// gates may be z: the values of the gates i, f, g, o (n, 4 size) from their pre-activations
extern "C" __global__ void lstm_cell_forward(
    const T* z, const T* bias_ih, const T* bias_hh, const T* before, T* gates, T* cell, T* h,
    Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, first = at / size * 4 * size + k;
        T i = sigmoid(z[first] + BIAS(0));
        T f = sigmoid(z[first + size] + BIAS(1));
        T g = tanh(z[first + 2 * size] + BIAS(2));
        T o = sigmoid(z[first + 3 * size] + BIAS(3));
        T c = f * before[at] + i * g;
        gates[first] = i;
        gates[first + size] = f;
        gates[first + 2 * size] = g;
        gates[first + 3 * size] = o;
        cell[at] = c;
        h[at] = o * tanh(c);
    }
}
""",
)

lstm_backward = kernel(
    "lstm_cell_backward",
    _BIAS
    + r"""
// dz (n, 4 size), and dc of the state before, from dh + more and dc; dc_before may be dc
extern "C" __global__ void lstm_cell_backward(
    const T* gates, const T* before, const T* cell, const T* dh, const T* more, const T* dc,
    T* dz, T* dc_before, Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, first = at / size * 4 * size + k;
        T i = gates[first], f = gates[first + size];
        T g = gates[first + 2 * size], o = gates[first + 3 * size];
        T bent = tanh(cell[at]), total = GIVEN(dh, at) + GIVEN(more, at);
        T through = GIVEN(dc, at) + total * o * (1 - bent * bent);
        dz[first] = through * g * (i - i * i);
        dz[first + size] = through * before[at] * (f - f * f);
        dz[first + 2 * size] = through * i * (1 - g * g);
        dz[first + 3 * size] = total * bent * (o - o * o);
        dc_before[at] = through * f;
    }
}
""",
)

rnn_forward = kernel(
    "rnn_cell_forward",
    _BIAS
    + r"""
extern "C" __global__ void rnn_cell_forward(
    T* z, const T* bias_ih, const T* bias_hh, Int relu, Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size;
        T given = z[at] + BIAS(0);
        z[at] = relu ? larger(given, 0) : tanh(given);
    }
}
""",
)

rnn_backward = kernel(
    "rnn_cell_backward",
    _BIAS
    + r"""
extern "C" __global__ void rnn_cell_backward(
    const T* y, const T* dh, const T* more, T* dz, Int relu, Int n) {
    for EACH(at, n) {
        T slope = relu ? (T)(y[at] > 0) : 1 - y[at] * y[at];
        dz[at] = (GIVEN(dh, at) + GIVEN(more, at)) * slope;
    }
}
""",
)

gru_forward = kernel(
    "gru_cell_forward",
    _BIAS
    + r"""
// a = W_ih x and b = W_hh h (n, 3 size) with biases of their own; gates: r, u, n and what r is
// multiplied by (n, 4 size)
extern "C" __global__ void gru_cell_forward(
    const T* a, const T* b, const T* bias_ih, const T* bias_hh, const T* before, T* gates, T* h,
    Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, row = at / size, first = row * 3 * size + k;
        T r = sigmoid(a[first] + b[first] + BIAS(0));
        T u = sigmoid(a[first + size] + b[first + size] + BIAS(1));
        T gated = b[first + 2 * size] + GIVEN(bias_hh, 2 * size + k);
        T c = tanh(a[first + 2 * size] + GIVEN(bias_ih, 2 * size + k) + r * gated);
        T* kept = gates + row * 4 * size + k;
        kept[0] = r;
        kept[size] = u;
        kept[2 * size] = c;
        kept[3 * size] = gated;
        h[at] = (1 - u) * c + u * before[at];
    }
}
""",
)

gru_backward = kernel(
    "gru_cell_backward",
    _BIAS
    + r"""
// da and db (n, 3 size), and the part of dh_before that does not come through db; it
// may be dh
extern "C" __global__ void gru_cell_backward(
    const T* gates, const T* before, const T* dh, const T* more, T* da, T* db, T* dh_before,
    Int size, Int n) {
    for EACH(at, n * size) {
        Int k = at % size, row = at / size, first = row * 3 * size + k;
        const T* kept = gates + row * 4 * size + k;
        T r = kept[0], u = kept[size], c = kept[2 * size], gated = kept[3 * size];
        T total = GIVEN(dh, at) + GIVEN(more, at);
        T dc = total * (1 - u) * (1 - c * c);
        T dr = dc * gated * (r - r * r), du = total * (before[at] - c) * (u - u * u);
        da[first] = db[first] = dr;
        da[first + size] = db[first + size] = du;
        da[first + 2 * size] = dc;
        db[first + 2 * size] = dc * r;
        dh_before[at] = total * u;
    }
}
""",
)
