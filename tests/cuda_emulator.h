// Runs a CUDA C kernel on the CPU: the blocks one after another, the threads of a block as fibers.
//
// A thread runs until it waits for others (a barrier, a warp's exchange) or ends; then the next one
// runs. So what a barrier should have ordered and does not comes out wrong in one of the two orders
// in which the threads can be run. Shared memory starts as NaN. What would hang or fault on a GPU
// ends the launch with a message.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __restrict__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("emulated_shared")))

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

struct alignas(16) float4 { float x, y, z, w; };

extern "C" {  // what -fsanitize=alignment,bounds calls
struct EmulatorPlace { const char* file; unsigned line, column; };
void __ubsan_handle_type_mismatch_v1(EmulatorPlace*, uintptr_t);
void __ubsan_handle_out_of_bounds(EmulatorPlace*, uintptr_t);
}

namespace emulator {

constexpr size_t LARGEST_SHARED = 232448;  // of a block, on sm_90
constexpr unsigned LARGEST_BLOCK = 1024;
constexpr unsigned LANES = 32;
constexpr size_t GUARD = 4096;

alignas(1024) static char dynamic_shared[LARGEST_SHARED + GUARD];

enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Exchange { uint64_t value[LANES]; };  // what the lanes of a warp gave

struct Fiber {
#if defined(__x86_64__)
    void* stack_pointer;
#else
    ucontext_t context;
#endif
    State state;
    uint3 index;
    int line;             // of the barrier or the exchange that it waits at
    unsigned mask;        // the lanes that it waits for
    uint64_t value;       // what it gives to them
    Exchange* received;
};

static Fiber fibers[LARGEST_BLOCK];
static Exchange exchanges[LARGEST_BLOCK];
static unsigned threads, current;
static bool descending;
static sigjmp_buf way_out;
static char message[512];
static void (*body)(void**);
static void** arguments;

[[noreturn]] static void fail(const char* what, int line) {
    snprintf(message, sizeof message,
             "block (%u, %u, %u), thread (%u, %u, %u), line %d: %s", blockIdx.x, blockIdx.y,
             blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, line, what);
    siglongjmp(way_out, 1);
}

#if defined(__x86_64__)
static void* scheduler;
__attribute__((naked, noinline)) static void switch_stack(void**, void*) {
    __asm__ volatile(
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
static void resume(unsigned i) { switch_stack(&scheduler, fibers[i].stack_pointer); }
static void suspend() { switch_stack(&fibers[current].stack_pointer, scheduler); }
static void start();
static void prepare(unsigned i, char* stack, size_t size) {
    void** top = (void**)(((uintptr_t)stack + size) & ~(uintptr_t)15);
    *--top = nullptr;  // where start would return to, and the stack as a call leaves it
    *--top = (void*)start;
    for (int k = 0; k < 6; ++k) *--top = nullptr;
    fibers[i].stack_pointer = top;
}
#else
static ucontext_t scheduler;
static void resume(unsigned i) { swapcontext(&scheduler, &fibers[i].context); }
static void suspend() { swapcontext(&fibers[current].context, &scheduler); }
static void start();
static void prepare(unsigned i, char* stack, size_t size) {
    getcontext(&fibers[i].context);
    fibers[i].context.uc_stack.ss_sp = stack;
    fibers[i].context.uc_stack.ss_size = size;
    fibers[i].context.uc_link = nullptr;
    makecontext(&fibers[i].context, start, 0);
}
#endif

static void start() {
    body(arguments);
    fibers[current].state = DONE;
    suspend();
}

static void wait(State state, int line) {
    fibers[current].state = state;
    fibers[current].line = line;
    suspend();
}

static Exchange* in_warp(unsigned mask, uint64_t value, int line) {
    Fiber& me = fibers[current];
    if (!(mask >> (current % LANES) & 1)) fail("a lane that is not in its own mask", line);
    me.mask = mask;
    me.value = value;
    wait(IN_WARP, line);
    return me.received;
}

// Lets a warp's lanes go on that wait for each other and are all there.
static bool release_warp(unsigned first) {
    unsigned last = first + LANES < threads ? first + LANES : threads;
    bool released = false;
    for (unsigned i = first; i < last; ++i) {
        if (fibers[i].state != IN_WARP) continue;
        unsigned group = 0;
        bool complete = true;
        for (unsigned k = first; k < last; ++k) {
            if (!(fibers[i].mask >> (k - first) & 1) || fibers[k].state == DONE) continue;
            complete = complete && fibers[k].state == IN_WARP && fibers[k].mask == fibers[i].mask;
            group |= 1u << (k - first);
        }
        if (!complete) continue;
        Exchange given;
        memset(&given, 0xff, sizeof given);  // what a lane that is not there gives: NaN
        for (unsigned k = first; k < last; ++k) {
            if (!(group >> (k - first) & 1)) continue;
            if (fibers[k].line != fibers[i].line) {
                current = k, threadIdx = fibers[k].index;
                fail("the lanes of a warp wait at different lines", fibers[k].line);
            }
            given.value[k - first] = fibers[k].value;
        }
        for (unsigned k = first; k < last; ++k) {
            if (!(group >> (k - first) & 1)) continue;
            exchanges[k] = given;
            fibers[k].received = &exchanges[k];
            fibers[k].state = READY;
        }
        released = true;
    }
    return released;
}

// Lets all threads go on that wait at a barrier, where all that still run do.
static bool release_block() {
    int line = -1;
    for (unsigned i = 0; i < threads; ++i) {
        if (fibers[i].state == DONE) continue;
        if (fibers[i].state != AT_BARRIER) return false;
        if (line >= 0 && fibers[i].line != line) {
            current = i, threadIdx = fibers[i].index;
            fail("the threads of a block wait at different __syncthreads", fibers[i].line);
        }
        line = fibers[i].line;
    }
    for (unsigned i = 0; i < threads; ++i)
        if (fibers[i].state == AT_BARRIER) fibers[i].state = READY;
    return line >= 0;
}

static void run_block(char* stacks, size_t stack_size) {
    for (unsigned i = 0; i < threads; ++i) {
        fibers[i].state = READY;
        fibers[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y,
                           i / blockDim.x / blockDim.y};
        prepare(i, stacks + i * stack_size, stack_size);
    }
    for (;;) {
        unsigned alive = 0;
        bool progress = false;
        for (unsigned k = 0; k < threads; ++k) {
            unsigned i = descending ? threads - 1 - k : k;
            if (fibers[i].state == READY) {
                current = i;
                threadIdx = fibers[i].index;
                resume(i);
                progress = true;
            }
            alive += fibers[i].state != DONE;
        }
        if (!alive) return;
        for (unsigned first = 0; first < threads; first += LANES)
            progress = release_warp(first) || progress;
        progress = release_block() || progress;
        if (progress) continue;
        for (current = 0; fibers[current].state == DONE;) ++current;
        threadIdx = fibers[current].index;
        fail(fibers[current].state == IN_WARP
                 ? "deadlock: a lane of the mask never arrives at this warp operation"
                 : "deadlock: not all threads of the block reach this __syncthreads",
             fibers[current].line);
    }
}

extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_type_mismatch_v1(
    EmulatorPlace* place, uintptr_t) {
    fail("a misaligned address", place->line);
}
extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_out_of_bounds(
    EmulatorPlace* place, uintptr_t) {
    fail("an index outside of an array", place->line);
}

static void on_signal(int number) {
    const char* what = number == SIGFPE ? "an integer was divided by zero"
                                        : "an illegal memory access";
    fail(what, 0);
}

extern "C" char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));

static size_t static_shared() { return __stop_emulated_shared - __start_emulated_shared; }

static void poison(size_t dynamic) {
    if (static_shared()) memset(__start_emulated_shared, 0xff, static_shared());
    memset(dynamic_shared, 0xff, dynamic + GUARD);
}

static const char* launch(void (*kernel)(void**), void** args, const unsigned* grid,
                          const unsigned* block, size_t dynamic, int reversed, char* stacks,
                          size_t stack_size, char* signal_stack, size_t signal_size) {
    struct sigaction action, before[3];
    const int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};
    stack_t alternative = {}, stack_before;
    alternative.ss_sp = signal_stack;
    alternative.ss_size = signal_size;
    sigaltstack(&alternative, &stack_before);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    for (int k = 0; k < 3; ++k) sigaction(signals[k], &action, &before[k]);
    message[0] = 0;
    body = kernel;
    arguments = args;
    gridDim = dim3(grid[0], grid[1], grid[2]);
    blockDim = dim3(block[0], block[1], block[2]);
    threads = block[0] * block[1] * block[2];
    descending = reversed;
    if (!sigsetjmp(way_out, 1)) {
        unsigned long long blocks = 1ull * grid[0] * grid[1] * grid[2];
        for (unsigned long long k = 0; k < blocks; ++k) {
            unsigned long long b = descending ? blocks - 1 - k : k;
            blockIdx = {(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]),
                        (unsigned)(b / grid[0] / grid[1])};
            poison(dynamic);
            run_block(stacks, stack_size);
            for (size_t i = dynamic; i < dynamic + GUARD; ++i)
                if (dynamic_shared[i] != (char)0xff)
                    fail("dynamic shared memory was written beyond its end", 0);
        }
    }
    for (int k = 0; k < 3; ++k) sigaction(signals[k], &before[k], nullptr);
    sigaltstack(&stack_before, nullptr);
    return message[0] ? message : nullptr;
}

// --- how the kernel is called, and what it declares --------------------------------------------

struct Parameter { char kind; int size; };  // of a pointer, of what it points to

template <class T, T v> struct Value { static constexpr T value = v; };
template <class T> struct Bare { typedef T type; };
template <class T> struct Bare<const T> { typedef T type; };
template <class T> struct Bare<volatile T> { typedef T type; };
template <class T> struct Bare<const volatile T> { typedef T type; };

template <class T> struct Kind {
    static constexpr char of() {
        if constexpr (__is_class(T)) return 's';
        else if (T(T(1) / 2) != T(0)) return 'f';
        else return T(-1) < T(0) ? 'i' : 'u';
    }
};
template <> struct Kind<bool> { static constexpr char of() { return 'b'; } };
template <class T> struct Kind<T*> { static constexpr char of() { return 'p'; } };

template <class P> struct Describe {
    static constexpr Parameter value = {Kind<typename Bare<P>::type>::of(), (int)sizeof(P)};
};
template <class P> struct Describe<P*> {
    typedef typename Bare<P>::type type;
    static constexpr Parameter value = {char(Kind<type>::of() - 'a' + 'A'), (int)sizeof(P)};
};
template <> struct Describe<void*> { static constexpr Parameter value = {'V', 0}; };
template <> struct Describe<const void*> { static constexpr Parameter value = {'V', 0}; };

template <size_t... I> struct Indices {};
template <size_t n, size_t... I> struct Count : Count<n - 1, n - 1, I...> {};
template <size_t... I> struct Count<0, I...> { typedef Indices<I...> type; };

template <class... P, size_t... I>
static void call(void (*kernel)(P...), void** args, Indices<I...>) {
    kernel(*(typename Bare<P>::type*)args[I]...);
}
template <class... P> static void call(void (*kernel)(P...), void** args) {
    call(kernel, args, typename Count<sizeof...(P)>::type());
}
template <class... P> static int describe(void (*)(P...), Parameter* found) {
    Parameter all[] = {Describe<P>::value..., {0, 0}};
    memcpy(found, all, sizeof...(P) * sizeof(Parameter));
    return sizeof...(P);
}

}  // namespace emulator

#define EMULATOR_EXPORT(kernel)                                                                 \
    extern "C" __attribute__((visibility("default"))) int emulator_describe(void* found) {      \
        return emulator::describe(kernel, (emulator::Parameter*)found);                         \
    }                                                                                           \
    extern "C" __attribute__((visibility("default"))) size_t emulator_static_shared() {         \
        return emulator::static_shared();                                                       \
    }                                                                                           \
    extern "C" __attribute__((visibility("default"))) const char* emulator_launch(              \
        void** args, const unsigned* grid, const unsigned* block, size_t dynamic, int reversed, \
        char* stacks, size_t stack_size, char* signal_stack, size_t signal_size) {              \
        return emulator::launch([](void** a) { emulator::call(kernel, a); }, args, grid, block, \
                                dynamic, reversed, stacks, stack_size, signal_stack,            \
                                signal_size);                                                   \
    }

// --- what CUDA C offers beside mathematics, as far as our kernels use it ------------------------

#define EMULATOR_LINE int line = __builtin_LINE()

static inline void __syncthreads(EMULATOR_LINE) { emulator::wait(emulator::AT_BARRIER, line); }
static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_LINE) {
    emulator::in_warp(mask, 0, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int with, EMULATOR_LINE) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle takes 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    emulator::Exchange* all = emulator::in_warp(mask, bits, line);
    memcpy(&value, &all->value[(emulator::current % emulator::LANES) ^ with], sizeof value);
    return value;
}

#define __expf expf  // glibc has this name for itself
static inline float __fdividef(float a, float b) { return a / b; }
