/* kernel.cuh: what all kernels share: eight channels at a time, the walk over rows, sums of a block.
 *
 *   DT_FOR_ROWS(n_rows, row) {                    every row of this thread
 *       float v[8];
 *       dt_load8(x + row * c + channel, v);       8 channels: 16 bytes for FP16 and BF16, 2 x 16 for FP32
 *
 * In NHWC a tensor is a matrix [rows = n*h*w][c]. A thread keeps the same 8 neighbouring channels throughout,
 * so their scale, bias and sums stay in its registers, and walks down the rows with a stride. 32 neighbouring
 * threads read a row of up to 256 channels: 512 contiguous bytes. A grid has a few times as many blocks as
 * the GPU holds at once (dt_make_rows_grid).
 *
 * tests/emulator compiles the same files as C++. This file hides the differences between CUDA and the
 * emulator.
 */
#ifndef DT_LAYERS_CUDA_KERNEL_CUH
#define DT_LAYERS_CUDA_KERNEL_CUH

#include "layers/cuda/launch.h"

#ifdef __CUDACC__
#    include <cuda_runtime.h>
#    define DT_SHARED(type, name, n) __shared__ __align__(16) type name[n] /* for vector stores */
#    define DT_UNROLL_ALL _Pragma("unroll")                                /* the loop that follows */
#    define DT_UNROLL_4 _Pragma("unroll 4")
#else
#    include "tests/emulator/cuda_emulator.h"
#endif
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "layers/arithmetic.h"

#include <assert.h>

/* -- launching ------------------------------------------------------------------------------------------- */

#ifdef __CUDACC__

/* Launch a kernel. An int: 0, or the error's number. Write a kernel with template arguments in
 * parentheses. */
#    define DT_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                        \
        dt_launch(kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

template <typename... Parameters, typename... Arguments>
static int dt_launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                     dt_cuda_stream stream, Arguments... arguments)
{
    if (dt_cuda_is_only_counted())
        return 0;
    kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(
        static_cast<Parameters>(arguments)...);
    return static_cast<int>(cudaGetLastError());
}

/* Multiprocessors of the current GPU; a process uses one GPU. */
static inline int dt_multiprocessors()
{
    static int n = 0; /* queried once; it does not change */
    int device = 0;
    if (n == 0 && cudaGetDevice(&device) == cudaSuccess)
        (void)cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device);
    return n > 0 ? n : 1;
}

#else

static inline int dt_multiprocessors()
{
    return dt_emulator_multiprocessors();
}

#endif

/* Return call(T()), where T is the element type of a tensor of `dtype`. */
template <typename Call> static int dt_for_dtype(dt_dtype dtype, Call call)
{
    switch (dtype) {
    case DT_F16:
        return call(__half());
    case DT_BF16:
        return call(__nv_bfloat16());
    default:
        assert(dtype == DT_F32 || dtype == DT_TF32);
        return call(float());
    }
}

/* The same for kernels that only the 16-bit types have. */
template <typename Call> static int dt_for_half(dt_dtype dtype, Call call)
{
    assert(dtype == DT_F16 || dtype == DT_BF16);
    return dtype == DT_F16 ? call(__half()) : call(__nv_bfloat16());
}

static inline int64_t dt_rows_of(const dt_tensor *t)
{
    return t->n * t->h * t->w;
}

static inline int64_t dt_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t dt_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t dt_largest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* -- eight elements at a time ---------------------------------------------------------------------------- */

/* Eight elements in registers, in the form that they have in memory. Loads that are still in flight need no
 * conversion yet. */
template <typename T> struct dt_packed {
    uint4 bits;
};
template <> struct dt_packed<float> {
    float4 low, high;
};

template <typename T> __device__ __forceinline__ dt_packed<T> dt_load(const T *from)
{
    return *reinterpret_cast<const dt_packed<T> *>(from);
}

template <> __device__ __forceinline__ dt_packed<float> dt_load(const float *from)
{
    const float4 *vectors = reinterpret_cast<const float4 *>(from);
    dt_packed<float> packed;
    packed.low = vectors[0];
    packed.high = vectors[1];
    return packed;
}

template <typename T> __device__ __forceinline__ void dt_store(T *to, dt_packed<T> packed)
{
    *reinterpret_cast<dt_packed<T> *>(to) = packed;
}

template <> __device__ __forceinline__ void dt_store(float *to, dt_packed<float> packed)
{
    float4 *vectors = reinterpret_cast<float4 *>(to);
    vectors[0] = packed.low;
    vectors[1] = packed.high;
}

static __device__ __forceinline__ float2 dt_float2_of(unsigned bits, __half)
{
    __half2 pair;
    memcpy(static_cast<void *>(&pair), &bits, sizeof pair);
    return __half22float2(pair);
}

static __device__ __forceinline__ float2 dt_float2_of(unsigned bits, __nv_bfloat16)
{
    float2 v; /* a BF16 is the upper half of a float, so this needs no instruction of sm_80 */
    unsigned low = bits << 16, high = bits & 0xFFFF0000U;
    memcpy(&v.x, &low, sizeof v.x);
    memcpy(&v.y, &high, sizeof v.y);
    return v;
}

static __device__ __forceinline__ unsigned dt_bits_of(float low, float high, __half)
{
    unsigned bits;
    __half2 pair = __floats2half2_rn(low, high);
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

static __device__ __forceinline__ unsigned dt_bits_of(float low, float high, __nv_bfloat16)
{
    unsigned bits;
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

template <typename T> __device__ __forceinline__ void dt_unpack(dt_packed<T> packed, float v[8])
{
    const unsigned words[4] = {packed.bits.x, packed.bits.y, packed.bits.z, packed.bits.w};
    DT_UNROLL_ALL
    for (int i = 0; i < 4; i++) {
        float2 pair = dt_float2_of(words[i], T());
        v[2 * i] = pair.x;
        v[2 * i + 1] = pair.y;
    }
}

template <> __device__ __forceinline__ void dt_unpack(dt_packed<float> packed, float v[8])
{
    v[0] = packed.low.x, v[1] = packed.low.y, v[2] = packed.low.z, v[3] = packed.low.w;
    v[4] = packed.high.x, v[5] = packed.high.y, v[6] = packed.high.z, v[7] = packed.high.w;
}

template <typename T> __device__ __forceinline__ dt_packed<T> dt_pack(const float v[8])
{
    dt_packed<T> packed;
    packed.bits.x = dt_bits_of(v[0], v[1], T());
    packed.bits.y = dt_bits_of(v[2], v[3], T());
    packed.bits.z = dt_bits_of(v[4], v[5], T());
    packed.bits.w = dt_bits_of(v[6], v[7], T());
    return packed;
}

template <> __device__ __forceinline__ dt_packed<float> dt_pack(const float v[8])
{
    dt_packed<float> packed;
    packed.low = make_float4(v[0], v[1], v[2], v[3]);
    packed.high = make_float4(v[4], v[5], v[6], v[7]);
    return packed;
}

template <typename T> __device__ __forceinline__ void dt_load8(const T *from, float v[8])
{
    dt_unpack<T>(dt_load<T>(from), v);
}

template <typename T> __device__ __forceinline__ void dt_store8(T *to, const float v[8])
{
    dt_store<T>(to, dt_pack<T>(v));
}

/* Load 8 elements of a per-channel vector; `otherwise` in all of them if `from` is NULL. */
static __device__ __forceinline__ void dt_load8_or(const float *from, int64_t at, float otherwise, float v[8])
{
    if (from != nullptr)
        dt_load8<float>(from + at, v);
    else
        for (int i = 0; i < 8; i++)
            v[i] = otherwise;
}

/* One bit per element, set where v[i] > 0; the first element's bit is the lowest. */
static __device__ __forceinline__ uint8_t dt_mask_of(const float v[8])
{
    unsigned bits = 0;
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++)
        bits |= v[i] > 0.0F ? 1U << i : 0U;
    return static_cast<uint8_t>(bits);
}

static __device__ __forceinline__ bool dt_mask_has(unsigned mask, int i)
{
    return (mask >> i & 1U) != 0;
}

/* One element. */
static __device__ __forceinline__ float dt_to_float(float v)
{
    return v;
}
static __device__ __forceinline__ float dt_to_float(__half v)
{
    return __half2float(v);
}
static __device__ __forceinline__ float dt_to_float(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}
template <typename T> __device__ __forceinline__ T dt_from_float(float v);
template <> __device__ __forceinline__ float dt_from_float<float>(float v)
{
    return v;
}
template <> __device__ __forceinline__ __half dt_from_float<__half>(float v)
{
    return __float2half_rn(v);
}
template <> __device__ __forceinline__ __nv_bfloat16 dt_from_float<__nv_bfloat16>(float v)
{
    return __float2bfloat16_rn(v);
}

/* -- the walk over rows ---------------------------------------------------------------------------------- */

enum { DT_BLOCK_THREADS = 256, DT_GROUPS_PER_ROW = 32 /* of 8 channels: 512 bytes of FP16 */ };

/* The number of blocks, in multiples of those that the GPU holds at once. With one such set, a block that
 * finds no place because NCCL's kernel holds a multiprocessor would begin when all others end, and the pass
 * would take nearly twice as long. With several, the multiprocessors that are left share its work. A kernel
 * that computes sums has fewer blocks, since sums_finish adds up one part of each. */
enum { DT_SETS = 4, DT_SETS_WITH_SUMS = 2 };
/* With more than one set a thread still has this many rows, which outweigh what it reads per channel. */
enum { DT_LEAST_ROWS = 8 };

/* Blocks of (groups of channels, rows) threads, in a grid of (blocks of rows, pieces of a row). */
struct dt_rows_grid {
    dim3 grid, block;
};

/* blocks_per_multiprocessor: as many as the kernel's registers allow (its launch bounds). The blocks of one
 * set are rounded down, so that none of them has to wait for a place. */
static inline dt_rows_grid dt_make_rows_grid(int64_t n_rows, int64_t c, int blocks_per_multiprocessor,
                                             int n_sets)
{
    dt_rows_grid g;
    int64_t n_groups = c / 8;
    int64_t n_pieces = dt_divide_up(n_groups, DT_GROUPS_PER_ROW);
    int64_t groups = dt_divide_up(n_groups, n_pieces);
    int64_t rows = DT_BLOCK_THREADS / groups;
    int64_t places = static_cast<int64_t>(dt_multiprocessors()) * blocks_per_multiprocessor;
    int64_t one_set = dt_largest(places / n_pieces, 1);
    int64_t sets = dt_least(n_sets, dt_largest(n_rows / (one_set * rows * DT_LEAST_ROWS), 1));
    int64_t row_blocks = dt_least(sets * one_set, dt_divide_up(n_rows, rows));
    assert(c % 8 == 0);
    g.grid = dim3(static_cast<unsigned>(row_blocks), static_cast<unsigned>(n_pieces));
    g.block = dim3(static_cast<unsigned>(groups), static_cast<unsigned>(rows));
    return g;
}

/* The first of this thread's channels; c or more: the thread has none. */
static __device__ __forceinline__ int dt_channel()
{
    return static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * 8;
}

static __device__ __forceinline__ int64_t dt_first_row()
{
    return static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
}

static __device__ __forceinline__ int64_t dt_row_step()
{
    return static_cast<int64_t>(gridDim.x) * blockDim.y;
}

#define DT_FOR_ROWS(n_rows, row) for (int64_t row = dt_first_row(); row < (n_rows); row += dt_row_step())

/* Walk over this thread's rows, AT_ONCE at a time: load(row, k) for k = 0 .. AT_ONCE - 1, then use(row, k)
 * for the same k, so that AT_ONCE loads are in flight. Both loops are unrolled. The rows at the end come one
 * by one with k = 0. */
template <int AT_ONCE, typename Load, typename Use>
__device__ __forceinline__ void dt_walk_rows(int64_t n_rows, Load load, Use use)
{
    int64_t row = dt_first_row();
    const int64_t step = dt_row_step();
    for (; row + (AT_ONCE - 1) * step < n_rows; row += AT_ONCE * step) {
        DT_UNROLL_ALL
        for (int k = 0; k < AT_ONCE; k++)
            load(row + k * step, k);
        DT_UNROLL_ALL
        for (int k = 0; k < AT_ONCE; k++)
            use(row + k * step, k);
    }
    for (; row < n_rows; row += step) {
        load(row, 0);
        use(row, 0);
    }
}

/* -- sums over rows -------------------------------------------------------------------------------------- */

/* One output of dt_sums_finish: the sum of one quantity, times a factor per channel (NULL: 1). */
struct dt_sums_output {
    int quantity;
    float *to;
    const float *factor;
};
enum { DT_SUMS_MAX_QUANTITIES = 3, DT_SUMS_MAX_OUTPUTS = 4, DT_SUMS_BLOCKS = 3 /* per multiprocessor */ };
struct dt_sums_outputs {
    dt_sums_output o[DT_SUMS_MAX_OUTPUTS];
    int n;
};

/* Write the block's sum of one quantity, acc[8] per thread, into parts [quantity][gridDim.x][c]. Every thread
 * of the block must call it. */
static __device__ __forceinline__ void dt_sums_of_block(const float acc[8], int quantity, int c, float *parts,
                                                        float *shared)
{
    const int width = static_cast<int>(blockDim.x) * 8;
    const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
    const int first = static_cast<int>(blockIdx.y) * width;
    dt_store8<float>(shared + thread * 8, acc);
    __syncthreads();
    if (thread < width && first + thread < c) {
        float sum = 0.0F;
        for (int row = 0; row < static_cast<int>(blockDim.y); row++)
            sum += shared[row * width + thread];
        parts[(static_cast<int64_t>(quantity) * gridDim.x + blockIdx.x) * c + first + thread] = sum;
    }
    __syncthreads();
}

/* Launch the kernel that adds the blocks' parts (sums_finish.cu). */
int dt_sums_finish(dt_cuda_stream stream, const float *parts, int64_t n_blocks, int64_t c,
                   const dt_sums_outputs *outputs);

#endif
