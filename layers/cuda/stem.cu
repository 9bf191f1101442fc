/* stem.cu: the stem's weights and their gradient, between 7x7 over 4 channels (the flat vector, FP32 KRSC)
 * and 4x4 over 16 channels (conv_stem_cuda.c, 16 bits). 50 kB read, 33 kB written, and back: the time of a
 * launch each.
 */
#include "layers/cuda/kernel.cuh"

enum { PIXEL_CHANNELS = 4, BLOCK_CHANNELS = 16 };

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    stem_weights(const float *w, int size, int blocks, int64_t n_elems, T *arranged)
{
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n_elems)
        return;
    const int channel = static_cast<int>(i % BLOCK_CHANNELS), pixel = channel / PIXEL_CHANNELS;
    const int64_t tap = i / BLOCK_CHANNELS, k = tap / (blocks * blocks);
    const int r = static_cast<int>(tap / blocks % blocks) * 2 + pixel / 2;
    const int s = static_cast<int>(tap % blocks) * 2 + pixel % 2;
    const bool has_tap = r < size && s < size;
    arranged[i] = dt_from_float<T>(
        has_tap ? w[((k * size + r) * size + s) * PIXEL_CHANNELS + channel % PIXEL_CHANNELS] : 0.0F);
}

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    stem_gradient(const T *arranged, int size, int blocks, int64_t n_elems, float *grads, bool accumulate)
{
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n_elems)
        return;
    const int64_t tap = i / PIXEL_CHANNELS, k = tap / (size * size);
    const int r = static_cast<int>(tap / size % size), s = static_cast<int>(tap % size);
    const int channel = (r % 2 * 2 + s % 2) * PIXEL_CHANNELS + static_cast<int>(i % PIXEL_CHANNELS);
    const float value =
        dt_to_float(arranged[((k * blocks + r / 2) * blocks + s / 2) * BLOCK_CHANNELS + channel]);
    grads[i] = accumulate ? grads[i] + value : value;
}

static dim3 grid_of(int64_t n_elems)
{
    return dim3(static_cast<unsigned>(dt_divide_up(n_elems, DT_BLOCK_THREADS)));
}

int dt_cuda_stem_weights(dt_cuda_stream stream, const float *w, int64_t k, int64_t size, dt_dtype dtype,
                         void *arranged)
{
    const int64_t blocks = dt_divide_up(size, 2), n_elems = k * blocks * blocks * BLOCK_CHANNELS;
    return dt_for_half(dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((stem_weights<T>), grid_of(n_elems), dim3(DT_BLOCK_THREADS), 0, stream, w,
                         static_cast<int>(size), static_cast<int>(blocks), n_elems,
                         static_cast<T *>(arranged));
    });
}

int dt_cuda_stem_gradient(dt_cuda_stream stream, dt_dtype dtype, const void *arranged, int64_t k,
                          int64_t size, float *grads, bool accumulate)
{
    const int64_t n_elems = k * size * size * PIXEL_CHANNELS;
    return dt_for_half(dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((stem_gradient<T>), grid_of(n_elems), dim3(DT_BLOCK_THREADS), 0, stream,
                         static_cast<const T *>(arranged), static_cast<int>(size),
                         static_cast<int>(dt_divide_up(size, 2)), n_elems, grads, accumulate);
    });
}
