"""The CUDA source of the persistent LSTM, in float; persistent.py explains its design.

`input` is x itself where D is 1 (then weight_ih is given), else W_ih x for all steps. States and
cells (T + 1, N, H) are in the order of time; the initial one is at index 0, or at index T where the
sequence is read backwards. Each step's values are loaded from memory one step ahead.
"""

COMMON = r"""
#define PADDED ((HIDDEN + 15) / 16 * 16)  // cells; the weights of cells beyond HIDDEN are 0
#define THREADS (2 * PADDED)
#define TILE 8  // rows of a thread's tile: the four gates of two cells
#define QUADS (TILE * PADDED / 16)  // a thread's weights, four to a quad
#define SHARED_BEFORE(e) ((e) * SHARED / QUADS)  // the number of the first e quads that are shared
#define IN_SHARED(e) (SHARED_BEFORE((e) + 1) > SHARED_BEFORE(e))
#define HELD (QUADS - SHARED)
#define EVERYONE 0xffffffff

__device__ __forceinline__ float gate(float z) { return __fdividef(1, 1 + __expf(-z)); }

// load a thread's weights into registers and shared memory
__device__ __forceinline__ void take(const float* weights, float4 (&held)[HELD], float4* shared) {
#pragma unroll
    for (int e = 0; e < QUADS; e++) {
        const float4 quad = ((const float4*)weights)[e * THREADS + threadIdx.x];
        if (IN_SHARED(e))
            shared[SHARED_BEFORE(e) * THREADS + threadIdx.x] = quad;
        else
            held[e - SHARED_BEFORE(e)] = quad;
    }
}

// multiply a thread's tile by the vector of each of the block's rows
template <int LANES>
__device__ __forceinline__ void multiply(
    const float4 (&held)[HELD], const float4* shared, const float* vectors,
    float (&sum)[ROWS_EACH][TILE]) {
    const int length = PADDED * LANES / 4;  // of a vector
    const float4* quads = (const float4*)vectors + threadIdx.x % LANES;
#pragma unroll
    for (int r = 0; r < ROWS_EACH; r++)
#pragma unroll
        for (int v = 0; v < TILE; v++) sum[r][v] = 0;
#pragma unroll
    for (int m = 0; m < PADDED / 16; m++) {
        float4 x[ROWS_EACH];
#pragma unroll
        for (int r = 0; r < ROWS_EACH; r++) x[r] = quads[r * (length / 4) + m * LANES];
#pragma unroll
        for (int v = 0; v < TILE; v++) {
            const int e = m * TILE + v;
            const float4 w = IN_SHARED(e) ? shared[SHARED_BEFORE(e) * THREADS + threadIdx.x]
                                          : held[IN_SHARED(e) ? 0 : e - SHARED_BEFORE(e)];
#pragma unroll
            for (int r = 0; r < ROWS_EACH; r++) {
                sum[r][v] = fmaf(w.x, x[r].x, sum[r][v]);
                sum[r][v] = fmaf(w.y, x[r].y, sum[r][v]);
                sum[r][v] = fmaf(w.z, x[r].z, sum[r][v]);
                sum[r][v] = fmaf(w.w, x[r].w, sum[r][v]);
            }
        }
    }
}

// Add the sums over the lanes, and distribute the totals: at each bit of the lane number, the
// highest first, a thread keeps half of its sums. It ends with those from lane * TILE / LANES on.
template <int LANES>
__device__ __forceinline__ void deal(float (&sum)[TILE]) {
    int left = TILE;
#pragma unroll
    for (int apart = LANES / 2; apart > 0; apart /= 2) {
        if (left == 1) {
            sum[0] += __shfl_xor_sync(EVERYONE, sum[0], apart);
            continue;
        }
        left /= 2;
        const bool upper = threadIdx.x & apart;
#pragma unroll
        for (int k = 0; k < left; k++) {
            const float given = upper ? sum[k] : sum[k + left];
            const float kept = upper ? sum[k + left] : sum[k];
            sum[k] = kept + __shfl_xor_sync(EVERYONE, given, apart);
        }
    }
}

#define EACH_ROW _Pragma("unroll") for (int r = 0; r < ROWS_EACH; r++)
#define REAL ((HIDDEN == PADDED || cell < HIDDEN) && row + r < n)
#define STATE(r) ((row + r) * HIDDEN + cell)  // the index of this cell in an array (N, H)

// Both kernels begin with this: indices and weights. `half` is 0 or 1 for a cell's two threads.
#define BEGIN                                                                                    \
    extern __shared__ float4 shared[];                                                           \
    float* const vectors = (float*)(shared + SHARED * THREADS);                                  \
    const int steps = (int)steps_, n = (int)n_, reverse = (int)reverse_, slab = n * HIDDEN;      \
    const int cell = threadIdx.x / 2, half = threadIdx.x % 2, row = blockIdx.x * ROWS_EACH;      \
    float4 held[HELD];                                                                           \
    take(weights, held, shared);
"""

_FORWARD = r"""
extern "C" __global__ void __launch_bounds__(THREADS, 1) NAME(
    const float* input, Int time_stride_, Int row_stride_, const float* weight_ih,
    const float* bias_ih, const float* bias_hh, const float* weights, const float* h0,
    const float* c0, float* states, float* cells, float* gates, Int steps_, Int n_, Int reverse_) {
    BEGIN
    const int time_stride = (int)time_stride_, row_stride = (int)row_stride_;
    const int place[2] = {half * HIDDEN + cell, (half + 2) * HIDDEN + cell};  // of i, g or f, o
    const int first = weight_ih ? 0 : place[0], second = weight_ih ? 0 : 2 * HIDDEN;  // after it
    const int step = reverse ? -1 : 1;
    float scale[2] = {1, 1}, bias[2] = {0, 0}, c[ROWS_EACH], x[ROWS_EACH][2] = {};
#pragma unroll
    for (int k = 0; k < 2; k++) {
        if (weight_ih && cell < HIDDEN) scale[k] = weight_ih[place[k]];
        if (bias_ih && cell < HIDDEN) bias[k] = bias_ih[place[k]] + bias_hh[place[k]];
    }
    const int time = reverse ? steps - 1 : 0;
    int at_input = time * time_stride + row * row_stride + first;
    int at_state = (time + !reverse) * slab + STATE(0);
    int at_gates = (time * n + row) * (4 * HIDDEN) + place[0];
#define LOAD                                                                                     \
    if (REAL) {                                                                                  \
        x[r][0] = input[at_input + r * row_stride];                                              \
        x[r][1] = input[at_input + r * row_stride + second];                                     \
    }
    EACH_ROW {
        const float h = REAL ? h0[STATE(r)] : 0;
        c[r] = REAL ? c0[STATE(r)] : 0;
        vectors[r * PADDED + cell] = h;
        if (REAL && half) {
            states[(time + reverse) * slab + STATE(r)] = h;
            cells[(time + reverse) * slab + STATE(r)] = c[r];
        }
        LOAD
    }
    __syncthreads();
    for (int t = 0; t < steps; t++) {
        const float* read = vectors + t % 2 * (ROWS_EACH * PADDED);
        float* write = vectors + (t + 1) % 2 * (ROWS_EACH * PADDED);
        float sum[ROWS_EACH][TILE], z[ROWS_EACH][2];
        EACH_ROW {
            z[r][0] = fmaf(scale[0], x[r][0], bias[0]);
            z[r][1] = fmaf(scale[1], x[r][1], bias[1]);
        }
        at_input += step * time_stride;
        if (t + 1 < steps) EACH_ROW LOAD  // the loads run while the products are computed
        multiply<4>(held, shared, read, sum);
        EACH_ROW {
            deal<4>(sum[r]);
            const float other = sum[r][1] + z[r][1];
            const float opened[2] = {
                gate(sum[r][0] + z[r][0]), half ? gate(other) : tanhf(other)};
            const float written = __shfl_xor_sync(EVERYONE, opened[0] * opened[1], 1);
            if (half) {
                c[r] = fmaf(opened[0], c[r], written);
                const float h = opened[1] * tanhf(c[r]);
                write[r * PADDED + cell] = h;
                if (REAL) {
                    states[at_state + r * HIDDEN] = h;
                    cells[at_state + r * HIDDEN] = c[r];
                }
            }
            if (REAL) {
                float* kept = gates + at_gates + r * 4 * HIDDEN;
                kept[0] = opened[0];
                kept[2 * HIDDEN] = opened[1];
            }
        }
        at_state += step * slab;
        at_gates += step * 4 * slab;
        __syncthreads();
    }
}
"""

_BACKWARD = r"""
// factors: of dc for the c before (f), of dh for dc (through), of dc or dh for the two gates' dz
struct Slopes { float f, through, first, second, arrived, x; };
struct Saved { float i, f, g, o, before, arrived, x; };

extern "C" __global__ void __launch_bounds__(THREADS, 1) NAME(
    const float* gates, const float* cells, const float* input, Int time_stride_, Int row_stride_,
    const float* weights, const float* g_outputs, const float* g_h, const float* g_c,
    float* dz, float* dh0, float* dc0, float* sums, Int steps_, Int n_, Int reverse_) {
    BEGIN
    const int time_stride = (int)time_stride_, row_stride = (int)row_stride_;
    const int place[2] = {half * HIDDEN + cell, (half + 2) * HIDDEN + cell};  // of i, g or f, o
    float dh[ROWS_EACH], dc[ROWS_EACH], c[ROWS_EACH], db[2] = {0, 0}, dw[2] = {0, 0};
    Saved saved[ROWS_EACH] = {};
    Slopes slopes[ROWS_EACH];
    const int step = reverse ? 1 : -1, time = reverse ? 0 : steps - 1;
    int at_input = time * time_stride + row * row_stride, at_state = time * slab + STATE(0);
    int at_gates = (time * n + row) * (4 * HIDDEN) + cell, at_dz = at_gates + half * HIDDEN;
    const float* const cells_before = cells + reverse * slab;
#define LOAD                                                                                     \
    if (REAL) {                                                                                  \
        const float* kept = gates + at_gates + r * 4 * HIDDEN;                                   \
        saved[r].i = kept[0];                                                                    \
        saved[r].f = kept[HIDDEN];                                                               \
        saved[r].g = kept[2 * HIDDEN];                                                           \
        saved[r].o = kept[3 * HIDDEN];                                                           \
        saved[r].before = cells_before[at_state + r * HIDDEN];                                   \
        if (g_outputs) saved[r].arrived = g_outputs[at_state + r * HIDDEN];                      \
        if (input) saved[r].x = input[at_input + r * row_stride];                                \
    }
#define ONWARD                                                                                   \
    at_input += step * time_stride;                                                              \
    at_state += step * slab;                                                                     \
    at_gates += step * 4 * slab;
#define PREPARE                                                                                  \
    {                                                                                            \
        const Saved s = saved[r];                                                                \
        const float tanh_c = tanhf(c[r]);                                                        \
        slopes[r].f = s.f;                                                                       \
        slopes[r].through = s.o * (1 - tanh_c * tanh_c);                                         \
        slopes[r].first = half ? s.before * (s.f - s.f * s.f) : s.g * (s.i - s.i * s.i);         \
        slopes[r].second = half ? tanh_c * (s.o - s.o * s.o) : s.i * (1 - s.g * s.g);            \
        slopes[r].arrived = s.arrived;                                                           \
        slopes[r].x = s.x;                                                                       \
        c[r] = s.before;                                                                         \
    }
    EACH_ROW {
        dh[r] = g_h && REAL ? g_h[STATE(r)] : 0;
        dc[r] = g_c && REAL ? g_c[STATE(r)] : 0;
        c[r] = REAL ? cells[(time + !reverse) * slab + STATE(r)] : 0;
        LOAD
        PREPARE
    }
    ONWARD
    if (steps > 1) EACH_ROW LOAD
    for (int t = steps; t > 0; t--) {
        float* write = vectors + t % 2 * (ROWS_EACH * 4 * PADDED);
        float sum[ROWS_EACH][TILE];
        EACH_ROW {
            const Slopes s = slopes[r];
            const float total = dh[r] + s.arrived;
            dc[r] = fmaf(total, s.through, dc[r]);
            const float first = dc[r] * s.first, second = (half ? total : dc[r]) * s.second;
            dc[r] *= s.f;
            write[(r * 4 + half) * PADDED + cell] = first;
            write[(r * 4 + half + 2) * PADDED + cell] = second;
            if (REAL) {
                dz[at_dz + r * 4 * HIDDEN] = first;
                dz[at_dz + r * 4 * HIDDEN + 2 * HIDDEN] = second;
            }
            db[0] += first;
            db[1] += second;
            dw[0] = fmaf(first, s.x, dw[0]);
            dw[1] = fmaf(second, s.x, dw[1]);
        }
        at_dz += step * 4 * slab;
        __syncthreads();
        EACH_ROW PREPARE  // for the next step; LOAD below is for the step after it
        ONWARD
        if (t > 2) EACH_ROW LOAD
        multiply<16>(held, shared, write, sum);
        EACH_ROW {
            deal<16>(sum[r]);
            dh[r] = sum[r][0];
        }
    }
    EACH_ROW if (REAL && half) {
        dh0[STATE(r)] = dh[r];
        dc0[STATE(r)] = dc[r];
    }
    if (cell < HIDDEN) {  // db of this block's rows, and dw where D is 1
        float* out = sums + blockIdx.x * (8 * HIDDEN);
#pragma unroll
        for (int k = 0; k < 2; k++) {
            out[place[k]] = db[k];
            out[4 * HIDDEN + place[k]] = dw[k];
        }
    }
}
"""

KERNELS = {"lstm_forward": _FORWARD, "lstm_backward": _BACKWARD}
"""The CUDA source of each kernel."""
