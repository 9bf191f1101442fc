/* wire.cu: kernels that convert gradients to 16 bits and back, and that count for the host how far the device
 * is.
 *
 * In each iteration a thread converts eight values. They are 16 bytes of the wire buffer, which is aligned
 * because NCCL is slower where it is not. The gradients are accessed in two pieces of 16 bytes where the
 * bucket is aligned, otherwise one by one. There are few blocks, because the kernels run beside the backward
 * pass and need not be faster than NCCL.
 */
#include "comm/nccl/wire.h"

#ifdef __CUDACC__
#    include <cuda_runtime.h>
#else
#    include "tests/emulator/cuda_emulator.h"
#endif
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#ifdef __CUDACC__
#    define DT_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                        \
        (kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__),              \
         static_cast<int>(cudaGetLastError()))
#endif

enum { THREADS = 256, PER_THREAD = 8 };
static const int64_t max_blocks = 64;

/* -- one value ------------------------------------------------------------------------------------------- */

template <typename T> struct wire_type;

template <> struct wire_type<__half> {
    static __device__ __forceinline__ unsigned bits(float v)
    {
        return __half_as_ushort(__float2half_rn(v));
    }
    static __device__ __forceinline__ float value(unsigned bits)
    {
        return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
    }
};

template <> struct wire_type<__nv_bfloat16> {
    static __device__ __forceinline__ unsigned bits(float v)
    {
        return __bfloat16_as_ushort(__float2bfloat16_rn(v));
    }
    static __device__ __forceinline__ float value(unsigned bits)
    {
        return __bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(bits)));
    }
};

template <typename T> static __device__ __forceinline__ unsigned two(float low, float high)
{
    return wire_type<T>::bits(low) | wire_type<T>::bits(high) << 16;
}

/* Increment the mark, once in a launch. The host polls `seen`. */
static __device__ __forceinline__ void set(dt_nccl_mark mark)
{
    if (mark.count != nullptr && blockIdx.x == 0 && threadIdx.x == 0) {
        *mark.count += 1;
        *mark.seen = *mark.count;
    }
}

static __device__ __forceinline__ bool is_aligned(const void *p)
{
    return (reinterpret_cast<uintptr_t>(p) & 15U) == 0;
}

/* -- kernels --------------------------------------------------------------------------------------------- */

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    pack(const float *from, unsigned short *to, int64_t n, dt_nccl_mark begun)
{
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * PER_THREAD;
    const int64_t stride = static_cast<int64_t>(gridDim.x) * THREADS * PER_THREAD;
    const bool aligned = is_aligned(from);
    set(begun);
    for (int64_t i = first; i < n; i += stride) {
        const float *f = from + i;
        if (i + PER_THREAD > n) {
            for (int k = 0; i + k < n; k++)
                to[i + k] = static_cast<unsigned short>(wire_type<T>::bits(f[k]));
        } else if (aligned) {
            const float4 a = *reinterpret_cast<const float4 *>(f),
                         b = *reinterpret_cast<const float4 *>(f + 4);
            *reinterpret_cast<uint4 *>(to + i) =
                make_uint4(two<T>(a.x, a.y), two<T>(a.z, a.w), two<T>(b.x, b.y), two<T>(b.z, b.w));
        } else {
            *reinterpret_cast<uint4 *>(to + i) =
                make_uint4(two<T>(f[0], f[1]), two<T>(f[2], f[3]), two<T>(f[4], f[5]), two<T>(f[6], f[7]));
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    unpack(const unsigned short *from, float *to, int64_t n, dt_nccl_mark done)
{
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * PER_THREAD;
    const int64_t stride = static_cast<int64_t>(gridDim.x) * THREADS * PER_THREAD;
    const bool aligned = is_aligned(to);
    set(done);
    for (int64_t i = first; i < n; i += stride) {
        float *t = to + i;
        if (i + PER_THREAD > n) {
            for (int k = 0; i + k < n; k++)
                t[k] = wire_type<T>::value(from[i + k]);
            continue;
        }
        const uint4 u = *reinterpret_cast<const uint4 *>(from + i);
        const float4 a = make_float4(wire_type<T>::value(u.x & 0xFFFFU), wire_type<T>::value(u.x >> 16),
                                     wire_type<T>::value(u.y & 0xFFFFU), wire_type<T>::value(u.y >> 16));
        const float4 b = make_float4(wire_type<T>::value(u.z & 0xFFFFU), wire_type<T>::value(u.z >> 16),
                                     wire_type<T>::value(u.w & 0xFFFFU), wire_type<T>::value(u.w >> 16));
        if (aligned) {
            *reinterpret_cast<float4 *>(t) = a;
            *reinterpret_cast<float4 *>(t + 4) = b;
        } else {
            t[0] = a.x, t[1] = a.y, t[2] = a.z, t[3] = a.w;
            t[4] = b.x, t[5] = b.y, t[6] = b.z, t[7] = b.w;
        }
    }
}

static __global__ void __launch_bounds__(1) mark_only(dt_nccl_mark mark)
{
    set(mark);
}

/* -- launches -------------------------------------------------------------------------------------------- */

static dim3 grid_for(int64_t n)
{
    const int64_t blocks = (n + THREADS * PER_THREAD - 1) / (THREADS * PER_THREAD);
    return dim3(static_cast<unsigned>(blocks < max_blocks ? blocks : max_blocks));
}

int dt_nccl_wire_pack(void *stream, const float *from, void *to, int64_t n, dt_dtype wire, dt_nccl_mark begun)
{
    unsigned short *bits = static_cast<unsigned short *>(to);
    if (n == 0)
        return 0;
    if (wire == DT_F16)
        return DT_LAUNCH(pack<__half>, grid_for(n), dim3(THREADS), 0, stream, from, bits, n, begun);
    return DT_LAUNCH(pack<__nv_bfloat16>, grid_for(n), dim3(THREADS), 0, stream, from, bits, n, begun);
}

int dt_nccl_wire_unpack(void *stream, const void *from, float *to, int64_t n, dt_dtype wire,
                        dt_nccl_mark done)
{
    const unsigned short *bits = static_cast<const unsigned short *>(from);
    if (n == 0)
        return 0;
    if (wire == DT_F16)
        return DT_LAUNCH(unpack<__half>, grid_for(n), dim3(THREADS), 0, stream, bits, to, n, done);
    return DT_LAUNCH(unpack<__nv_bfloat16>, grid_for(n), dim3(THREADS), 0, stream, bits, to, n, done);
}

int dt_nccl_wire_mark(void *stream, dt_nccl_mark mark)
{
    return DT_LAUNCH(mark_only, dim3(1), dim3(1), 0, stream, mark);
}

const char *dt_nccl_wire_error(int code)
{
#ifdef __CUDACC__
    return cudaGetErrorString(static_cast<cudaError_t>(code));
#else
    return code == 0 ? "no error" : dt_emulator_message();
#endif
}
