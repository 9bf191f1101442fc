/* average_pool.cu: the mean over an image, and its gradient.
 *
 * Forward: a thread adds up the h * w values of 8 channels of an image, in order. Backward writes one
 * quotient h * w times. ResNet-50 at batch 256, FP16: 51 MB read, or written: 12 us on an H200.
 */
#include "layers/cuda/kernel.cuh"

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    average_pool_forward(const T *__restrict__ x, int64_t n_vectors, int n_pixels, int groups,
                         T *__restrict__ y)
{
    const int64_t vector = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t n = vector / groups, c = static_cast<int64_t>(groups) * 8;
    if (vector >= n_vectors)
        return;
    const T *from = x + n * n_pixels * c + (vector - n * groups) * 8;
    float sum[8] = {0.0F};
    DT_UNROLL_4
    for (int i = 0; i < n_pixels; i++) {
        float v[8];
        dt_load8<T>(from + i * c, v);
        DT_UNROLL_ALL
        for (int j = 0; j < 8; j++)
            sum[j] += v[j];
    }
    const float share = 1.0F / static_cast<float>(n_pixels);
    DT_UNROLL_ALL
    for (int j = 0; j < 8; j++)
        sum[j] *= share;
    dt_store8<T>(y + vector * 8, sum);
}

/* A thread writes one vector of dx. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    average_pool_backward(const T *__restrict__ dy, int64_t n_vectors, int n_pixels, int groups,
                          T *__restrict__ dx)
{
    const int64_t vector = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (vector >= n_vectors)
        return;
    const int64_t row = vector / groups; /* pixel of an image */
    const float share = 1.0F / static_cast<float>(n_pixels);
    float v[8];
    dt_load8<T>(dy + (row / n_pixels * groups + (vector - row * groups)) * 8, v);
    DT_UNROLL_ALL
    for (int j = 0; j < 8; j++)
        v[j] *= share;
    dt_store8<T>(dx + vector * 8, v);
}

static dim3 vector_grid(int64_t n_vectors)
{
    return dim3(static_cast<unsigned>(dt_divide_up(n_vectors, DT_BLOCK_THREADS)));
}

int dt_cuda_average_pool_forward(dt_cuda_stream stream, const dt_tensor *x, const dt_tensor *y)
{
    const int64_t n_vectors = x->n * x->c / 8;
    assert(x->c % 8 == 0);
    if (n_vectors == 0 || x->h * x->w == 0)
        return 0;
    return dt_for_dtype(x->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((average_pool_forward<T>), vector_grid(n_vectors), dim3(DT_BLOCK_THREADS), 0, stream,
                         static_cast<const T *>(x->data), n_vectors, static_cast<int>(x->h * x->w),
                         static_cast<int>(x->c / 8), static_cast<T *>(y->data));
    });
}

int dt_cuda_average_pool_backward(dt_cuda_stream stream, const dt_tensor *dy, const dt_tensor *dx)
{
    const int64_t n_vectors = dt_rows_of(dx) * dx->c / 8;
    assert(dx->c % 8 == 0);
    if (n_vectors == 0)
        return 0;
    return dt_for_dtype(dx->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((average_pool_backward<T>), vector_grid(n_vectors), dim3(DT_BLOCK_THREADS), 0,
                         stream, static_cast<const T *>(dy->data), n_vectors, static_cast<int>(dx->h * dx->w),
                         static_cast<int>(dx->c / 8), static_cast<T *>(dx->data));
    });
}
