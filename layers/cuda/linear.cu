/* linear.cu: the fully connected layer's bias; the library computes the matrix products.
 *
 * [256][1000] logits are half a megabyte, in L2: each kernel takes the time of a launch, 2 to 3 us.
 */
#include "layers/cuda/kernel.cuh"

enum { COLUMNS = 32, SLICES = 8 };

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    bias_add(const float *bias, int64_t n_elems, int n_out, T *y)
{
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n_elems)
        y[i] = dt_from_float<T>(dt_to_float(y[i]) + bias[i % n_out]);
}

int dt_cuda_bias_add(dt_cuda_stream stream, const float *bias, const dt_tensor *y)
{
    const int64_t n_elems = y->n * y->c;
    if (n_elems == 0)
        return 0;
    return dt_for_dtype(y->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bias_add<T>), dim3(static_cast<unsigned>(dt_divide_up(n_elems, DT_BLOCK_THREADS))),
                         dim3(DT_BLOCK_THREADS), 0, stream, bias, n_elems, static_cast<int>(y->c),
                         static_cast<T *>(y->data));
    });
}

/* 32 columns per block. Each of a column's 8 threads adds every eighth row; then the first thread adds their
 * sums. */
template <typename T>
static __global__ void __launch_bounds__(COLUMNS *SLICES)
    bias_gradient(const T *dy, int64_t n, int n_out, float *dbias, bool accumulate)
{
    DT_SHARED(float, slices, COLUMNS *SLICES);
    const int column = static_cast<int>(blockIdx.x * COLUMNS + threadIdx.x);
    float sum = 0.0F;
    if (column < n_out) {
        DT_UNROLL_4
        for (int64_t row = threadIdx.y; row < n; row += SLICES)
            sum += dt_to_float(dy[row * n_out + column]);
    }
    slices[threadIdx.y * COLUMNS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= n_out)
        return;
    for (int s = 1; s < SLICES; s++)
        sum += slices[s * COLUMNS + static_cast<int>(threadIdx.x)];
    dbias[column] = accumulate ? dbias[column] + sum : sum;
}

int dt_cuda_bias_gradient(dt_cuda_stream stream, const dt_tensor *dy, float *dbias, bool accumulate)
{
    if (dy->c == 0)
        return 0;
    return dt_for_dtype(dy->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bias_gradient<T>), dim3(static_cast<unsigned>(dt_divide_up(dy->c, COLUMNS))),
                         dim3(COLUMNS, SLICES), 0, stream, static_cast<const T *>(dy->data), dy->n,
                         static_cast<int>(dy->c), dbias, accumulate);
    });
}
