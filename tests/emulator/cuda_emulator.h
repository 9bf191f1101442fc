/* cuda_emulator.h: the part of the CUDA language that our kernels use, for a C++ compiler.
 * layers/cuda/kernel.cuh includes it instead of cuda_runtime.h when nvcc does not compile it. Vector and half
 * types come from CUDA's own headers.
 *
 * A kernel is an ordinary function. DT_SHARED declares shared memory, because the emulator must know of it.
 */
#ifndef DTRAIN_TESTS_EMULATOR_CUDA_EMULATOR_H
#define DTRAIN_TESTS_EMULATOR_CUDA_EMULATOR_H

#include "tests/emulator/emulator.h"
#include "tests/emulator/translated.h"

#include <vector_functions.h>
#include <vector_types.h>

#include <string.h>
#include <tuple>

#undef __device__
#undef __forceinline__
#undef __global__
#undef __grid_constant__
#undef __host__
#undef __launch_bounds__
#define __device__
#define __forceinline__ inline
#define __global__
#define __grid_constant__
#define __host__
#define __launch_bounds__(...)

#define DT_UNROLL_ALL
#define DT_UNROLL_4

#define threadIdx dt_emulator.thread
#define blockIdx dt_emulator.block
#define blockDim dt_emulator.block_dim
#define gridDim dt_emulator.grid_dim

/* `DT_SHARED(float, tile, 256);` declares 256 floats that the block shares, tile[0] to tile[255]. */
#define DT_SHARED(type, name, n)                                                                             \
    static dt_emulator_shared name##_memory;                                                                 \
    type *const name = static_cast<type *>(dt_emulator_shared_data(&name##_memory, (n) * sizeof(type)))
/* Dynamic shared memory: `DT_DYNAMIC_SHARED(float, tile);` declares float *tile. */
#define DT_DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(dt_emulator.dynamic_shared)

#define __syncthreads() dt_emulator_sync_block(__LINE__)
#define __syncwarp() ((void)dt_emulator_sync_warp(0xFFFFFFFFU, __LINE__, 0))

template <typename T> static inline T dt_emulator_shuffle(unsigned mask, int line, T value, unsigned from)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = dt_emulator_sync_warp(mask, line, bits)[from];
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline unsigned dt_emulator_ballot(unsigned mask, int line, bool predicate)
{
    const uint64_t *values = dt_emulator_sync_warp(mask, line, predicate);
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; lane++)
        ballot |= (mask >> lane & 1U) != 0 && values[lane] != 0 ? 1U << lane : 0;
    return ballot;
}

#define __shfl_sync(mask, value, lane)                                                                       \
    dt_emulator_shuffle(mask, __LINE__, value, static_cast<unsigned>(lane) % 32)
#define __shfl_xor_sync(mask, value, bits)                                                                   \
    dt_emulator_shuffle(mask, __LINE__, value, dt_emulator_lane() ^ static_cast<unsigned>(bits))
#define __shfl_down_sync(mask, value, delta)                                                                 \
    dt_emulator_shuffle(mask, __LINE__, value,                                                               \
                        dt_emulator_lane() + (delta) < 32                                                    \
                            ? dt_emulator_lane() + static_cast<unsigned>(delta)                              \
                            : dt_emulator_lane())
#define __ballot_sync(mask, predicate) dt_emulator_ballot(mask, __LINE__, predicate)

/* A kernel with copies of its arguments. */
template <typename... Parameters> struct dt_emulator_call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
};

/* A translated kernel (translated.h) with copies of its arguments, which lie as in a C structure. */
struct dt_emulator_translated_call {
    dt_translated_run *run;
    alignas(16) unsigned char parameters[4096]; /* as many as CUDA allows */
};

template <typename P> static inline size_t dt_emulator_put(unsigned char *to, size_t at, const P &parameter)
{
    at = (at + alignof(P) - 1) / alignof(P) * alignof(P);
    if (to != nullptr)
        memcpy(to + at, &parameter, sizeof parameter);
    return at + sizeof parameter;
}

/* The bytes of the parameters; copies them if `to` is not NULL. */
template <typename... Parameters>
static inline size_t dt_emulator_put_all(unsigned char *to, const std::tuple<Parameters...> &parameters)
{
    size_t at = 0;
    std::apply([&](const Parameters &...p) { ((at = dt_emulator_put(to, at, p)), ...); }, parameters);
    return at;
}

template <typename... Parameters>
static dt_emulator_work dt_emulator_translated_work(dt_translated_run *run,
                                                    const std::tuple<Parameters...> &parameters)
{
    typedef dt_emulator_translated_call call;
    call *c = new call;
    c->run = run;
    (void)dt_emulator_put_all(c->parameters, parameters);
    dt_emulator_work work = {};
    work.thread = [](void *arg) { static_cast<call *>(arg)->run(static_cast<call *>(arg)->parameters); };
    work.free_arg = [](void *arg) { delete static_cast<call *>(arg); };
    work.arg = c;
    return work;
}

template <typename... Parameters>
static dt_emulator_work dt_emulator_work_of(void (*kernel)(Parameters...),
                                            const std::tuple<Parameters...> &parameters)
{
    typedef dt_emulator_call<Parameters...> call;
    dt_emulator_work work = {};
    work.thread = [](void *arg) {
        std::apply(static_cast<call *>(arg)->kernel, static_cast<call *>(arg)->parameters);
    };
    work.free_arg = [](void *arg) { delete static_cast<call *>(arg); };
    work.arg = new call{kernel, parameters};
    return work;
}

template <typename... Parameters, typename... Arguments>
static int dt_emulator_launch_kernel(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                                     void *stream, void (*kernel)(Parameters...), Arguments... arguments)
{
    const std::tuple<Parameters...> parameters(static_cast<Parameters>(arguments)...);
    const size_t n_bytes = dt_emulator_put_all(nullptr, parameters);
    static_assert(sizeof(parameters) <= sizeof(dt_emulator_translated_call::parameters),
                  "too many parameters");
    dt_translated_run *run = dt_translated_kernel(reinterpret_cast<const void *>(kernel), name, n_bytes);
    dt_emulator_work work = run != nullptr ? dt_emulator_translated_work(run, parameters)
                                           : dt_emulator_work_of(kernel, parameters);
    work.kernel = name;
    work.grid = {grid.x, grid.y, grid.z};
    work.block = {block.x, block.y, block.z};
    work.shared_bytes = shared_bytes;
    return dt_emulator_enqueue(stream, &work);
}

/* Launch a kernel. An int: 0, or the error's number. Write a kernel with template arguments in
 * parentheses. */
#define DT_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                            \
    dt_emulator_launch_kernel(#kernel, grid, block, shared_bytes, stream, kernel, __VA_ARGS__)

#endif
