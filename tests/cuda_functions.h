// What CUDA C offers to a kernel, for cuda_emulator.h: barriers, shuffles, atomics, intrinsics.
#pragma once

#define EMULATOR_LINE int line = __builtin_LINE()

static inline void __syncthreads(EMULATOR_LINE) { emulator::wait(emulator::AT_BARRIER, line); }
static inline int __syncthreads_count(int predicate, EMULATOR_LINE) {
    emulator::fibers[emulator::current].number = predicate != 0;
    emulator::wait(emulator::AT_BARRIER, line);
    return emulator::counted;
}
static inline int __syncthreads_or(int predicate, EMULATOR_LINE) {
    return __syncthreads_count(predicate, line) != 0;
}
static inline int __syncthreads_and(int predicate, EMULATOR_LINE) {
    return __syncthreads_count(!predicate, line) == 0;
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_LINE) {
    emulator::in_warp(mask, 0, line);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

namespace emulator {
static inline unsigned lane() { return current % LANES; }
template <class T> static inline T from(unsigned mask, T value, unsigned source, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle takes 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    Exchange* all = in_warp(mask, bits, line);
    memcpy(&value, &all->value[source], sizeof value);
    return value;
}
static inline void check_width(int width, int line) {
    if (width < 1 || width > 32 || (width & (width - 1)))
        fail("a shuffle's width must be a power of two up to 32", line);
}
}  // namespace emulator

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATOR_LINE) {
    emulator::check_width(width, line);
    unsigned start = emulator::lane() & ~(width - 1u);
    return emulator::from(mask, value, start + (source & (width - 1)), line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int with, int width = 32, EMULATOR_LINE) {
    emulator::check_width(width, line);
    unsigned me = emulator::lane(), source = me ^ with;
    // a lane may read from its own segment and those before it
    if (source >= (me & ~(width - 1u)) + width) source = me;
    return emulator::from(mask, value, source, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                                 EMULATOR_LINE) {
    emulator::check_width(width, line);
    unsigned me = emulator::lane(), within = me & (width - 1u);
    return emulator::from(mask, value, within + by < (unsigned)width ? me + by : me, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32,
                               EMULATOR_LINE) {
    emulator::check_width(width, line);
    unsigned me = emulator::lane(), within = me & (width - 1u);
    return emulator::from(mask, value, within >= by ? me - by : me, line);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    emulator::Exchange* all = emulator::in_warp(mask, predicate != 0, line);
    unsigned found = 0;
    for (unsigned k = 0; k < emulator::LANES; ++k)
        found |= (all->present >> k & 1 && all->value[k]) ? 1u << k : 0u;
    return found;
}
static inline int __any_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    return __ballot_sync(mask, predicate, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, EMULATOR_LINE) {
    return __ballot_sync(mask, !predicate, line) == 0;
}

template <class T> static inline T emulator_exchange(T* p, T value) {
    T old = *p;
    *p = value;
    return old;
}
template <class T, class U> static inline T atomicAdd(T* p, U value) {
    return emulator_exchange(p, T(*p + T(value)));
}
template <class T, class U> static inline T atomicSub(T* p, U value) {
    return emulator_exchange(p, T(*p - T(value)));
}
template <class T, class U> static inline T atomicMax(T* p, U value) {
    return emulator_exchange(p, *p < T(value) ? T(value) : *p);
}
template <class T, class U> static inline T atomicMin(T* p, U value) {
    return emulator_exchange(p, T(value) < *p ? T(value) : *p);
}
template <class T, class U> static inline T atomicExch(T* p, U value) {
    return emulator_exchange(p, T(value));
}
template <class T, class U, class V> static inline T atomicCAS(T* p, U compare, V value) {
    return emulator_exchange(p, *p == T(compare) ? T(value) : *p);
}

template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline void __stcg(T* p, T value) { *p = value; }
template <class T> static inline void __stcs(T* p, T value) { *p = value; }

#define EMULATOR_MIN_MAX(T)                                            \
    static inline T min(T a, T b) { return b < a ? b : a; }            \
    static inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MIN_MAX(int)
EMULATOR_MIN_MAX(unsigned)
EMULATOR_MIN_MAX(long)
EMULATOR_MIN_MAX(unsigned long)
EMULATOR_MIN_MAX(long long)
EMULATOR_MIN_MAX(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float rsqrt(float x) { return 1 / sqrtf(x); }
// glibc has these names for itself
#define __expf expf
#define __exp10f exp10f
#define __logf logf
#define __log2f log2f
#define __log10f log10f
#define __powf powf
#define __sinf sinf
#define __cosf cosf
#define __tanf tanf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1 / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1 / sqrtf(x); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static inline int __float2int_rn(float x) { return (int)rintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }

template <class T, class U> static inline T emulator_bits(U x) {
    static_assert(sizeof(T) == sizeof(U), "");
    T y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline int __float_as_int(float x) { return emulator_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emulator_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return emulator_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emulator_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return emulator_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emulator_bits<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((uint64_t)a * b >> 32);
}
