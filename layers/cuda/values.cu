/* values.cu: conversions along the flat vectors.
 *
 * values_cast writes the FP16 mirror after something other than the optimizer has changed the values (never
 * in a step). gradients_store converts weight gradients from the library's type into the FP32 vector: those
 * of a bucket, or of a whole step, in one launch. Its table of gradients is an argument, so a captured launch
 * keeps its own. ResNet-50 in a step: 51 MB read, 102 MB written: 36 us on an H200.
 */
#include "layers/cuda/kernel.cuh"

/* Call body(first, 8) for each group of 8 elements, and body(first, n) for the n < 8 elements at the end. */
template <typename Body> static __device__ __forceinline__ void for_eights(int64_t n_elems, Body body)
{
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x * 8;
    for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 8; i < n_elems;
         i += step)
        body(i, n_elems - i < 8 ? static_cast<int>(n_elems - i) : 8);
}

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    values_cast(const float *__restrict__ values, int64_t n_elems, T *__restrict__ mirror)
{
    for_eights(n_elems, [&](int64_t at, int n) {
        if (n == 8) {
            float v[8];
            dt_load8<float>(values + at, v);
            dt_store8<T>(mirror + at, v);
        } else {
            for (int i = 0; i < n; i++)
                mirror[at + i] = dt_from_float<T>(values[at + i]);
        }
    });
}

/* -- gradients ------------------------------------------------------------------------------------------- */

enum { GRADIENT_CHUNK = 8192 }; /* elements that a block converts */

/* The arguments of gradients_store. */
struct gradient_table {
    struct row {
        const void *from;
        float *to;
        int64_t n;
        int32_t first_chunk; /* the chunks of all gradients are numbered; a block processes one */
        int32_t accumulate;
    } rows[DT_CUDA_MAX_GRADIENTS];
    int32_t n_rows;
};
static_assert(sizeof(gradient_table) <= 4096, "the arguments of a kernel");

template <typename T>
static __device__ __forceinline__ void store_eight(const T *from, float *to, int n, bool accumulate)
{
    if (n == 8) {
        float v[8], before[8] = {0.0F};
        dt_load8<T>(from, v);
        if (accumulate)
            dt_load8<float>(to, before);
        DT_UNROLL_ALL
        for (int i = 0; i < 8; i++)
            v[i] += before[i];
        dt_store8<float>(to, v);
    } else {
        for (int i = 0; i < n; i++)
            to[i] = dt_to_float(from[i]) + (accumulate ? to[i] : 0.0F);
    }
}

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    gradients_store(const __grid_constant__ gradient_table table)
{
    const int chunk = static_cast<int>(blockIdx.x);
    int row = 0, last = table.n_rows - 1; /* the last row that begins at this chunk or before it */
    while (row < last) {
        const int middle = (row + last + 1) / 2;
        if (table.rows[middle].first_chunk <= chunk)
            row = middle;
        else
            last = middle - 1;
    }
    const T *from = static_cast<const T *>(table.rows[row].from);
    float *to = table.rows[row].to;
    const bool accumulate = table.rows[row].accumulate != 0;
    const int64_t first = static_cast<int64_t>(chunk - table.rows[row].first_chunk) * GRADIENT_CHUNK;
    const int64_t left = table.rows[row].n - first;
    const int n = left < GRADIENT_CHUNK ? static_cast<int>(left) : GRADIENT_CHUNK;
    for (int i = static_cast<int>(threadIdx.x) * 8; i < n; i += DT_BLOCK_THREADS * 8)
        store_eight<T>(from + first + i, to + first + i, n - i < 8 ? n - i : 8, accumulate);
}

/* -- launches -------------------------------------------------------------------------------------------- */

static dim3 eights_grid(int64_t n_elems)
{
    /* a multiprocessor holds 8 blocks: 2048 threads */
    const int64_t enough = 8 * DT_SETS * static_cast<int64_t>(dt_multiprocessors());
    return dim3(static_cast<unsigned>(dt_least(dt_divide_up(n_elems, 8 * DT_BLOCK_THREADS), enough)));
}

int dt_cuda_values_cast(dt_cuda_stream stream, const float *values, int64_t n_elems, dt_dtype dtype,
                        void *mirror)
{
    if (n_elems == 0)
        return 0;
    return dt_for_dtype(dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((values_cast<T>), eights_grid(n_elems), dim3(DT_BLOCK_THREADS), 0, stream, values,
                         n_elems, static_cast<T *>(mirror));
    });
}

int dt_cuda_gradients_store(dt_cuda_stream stream, dt_dtype dtype, const dt_cuda_gradient *gradients,
                            int64_t n_gradients)
{
    gradient_table table = {};
    int64_t n_chunks = 0;
    assert(n_gradients <= DT_CUDA_MAX_GRADIENTS);
    for (int64_t i = 0; i < n_gradients; i++) {
        const dt_cuda_gradient *g = &gradients[i];
        if (g->n == 0)
            continue;
        table.rows[table.n_rows++] = {g->from, g->to, g->n, static_cast<int32_t>(n_chunks),
                                      g->accumulate ? 1 : 0};
        n_chunks += dt_divide_up(g->n, GRADIENT_CHUNK);
    }
    if (n_chunks == 0)
        return 0;
    return dt_for_dtype(dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((gradients_store<T>), dim3(static_cast<unsigned>(n_chunks)), dim3(DT_BLOCK_THREADS),
                         0, stream, table);
    });
}
