/* batchnorm_backward.cu: BatchNorm backward where no convolution takes it along, and the gradient of the raw
 * tensor.
 *
 * bn_backward_reduce: two reads, one write (composed backward: T4, the graphs that cuDNN refuses).
 * bn_backward_apply: two reads, one write, after every convolution's BatchNorm; ResNet-50 at batch 256, FP16:
 * 11.1 M values an image (all 53 BatchNorms' inputs), 17.1 GB: 4.0 ms of an H200's step at 4.3 TB/s. It is
 * the last pass that could still go, into the convolutions that read it, if cuDNN had such graphs.
 */
#include "layers/cuda/kernel.cuh"

enum { ELEMENTWISE_BLOCKS = 4 };

/* dz may be dv: no __restrict__. Quantities: dbeta, and dgamma without invstd. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, DT_SUMS_BLOCKS)
    bn_backward_reduce(const T *dv, const T *raw, const float *scale, const float *bias, bool relu,
                       const float *mean, int64_t n_rows, int c, T *dz, float *parts)
{
    DT_SHARED(float, shared, DT_BLOCK_THREADS * 8);
    constexpr int at_once = sizeof(T) == 2 ? 2 : 1;
    const int channel = dt_channel();
    float dbeta[8] = {0.0F}, dgamma[8] = {0.0F};
    if (channel < c) {
        float s[8], b[8], m[8];
        dt_packed<T> gradient[at_once], value[at_once];
        dt_load8_or(scale, channel, 1.0F, s);
        dt_load8_or(bias, channel, 0.0F, b);
        dt_load8<float>(mean + channel, m);
        dt_walk_rows<at_once>(
            n_rows,
            [&](int64_t row, int k) {
                gradient[k] = dt_load<T>(dv + row * c + channel);
                value[k] = dt_load<T>(raw + row * c + channel);
            },
            [&](int64_t row, int k) {
                float g[8], v[8];
                dt_unpack<T>(gradient[k], g);
                dt_unpack<T>(value[k], v);
                DT_UNROLL_ALL
                for (int i = 0; i < 8; i++) {
                    g[i] = !relu || dt_act_passes(v[i], s[i], b[i]) ? g[i] : 0.0F;
                    dbeta[i] += g[i];
                    dgamma[i] += g[i] * (v[i] - m[i]);
                }
                dt_store8<T>(dz + row * c + channel, g);
            });
    }
    dt_sums_of_block(dbeta, 0, c, parts, shared);
    dt_sums_of_block(dgamma, 1, c, parts, shared);
}

int dt_cuda_bn_backward_reduce(dt_cuda_stream stream, const dt_bn_backward *bn, const dt_tensor *dv,
                               void *scratch, const dt_tensor *dz)
{
    const int64_t n_rows = dt_rows_of(dv);
    float *parts = static_cast<float *>(scratch);
    float *sums = static_cast<float *>(bn->sums);
    if (n_rows == 0 || dv->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, dv->c, DT_SUMS_BLOCKS);
    int code = dt_for_dtype(dv->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bn_backward_reduce<T>), g.grid, g.block, 0, stream,
                         static_cast<const T *>(dv->data), static_cast<const T *>(bn->x->raw.data),
                         bn->x->scale, bn->x->bias, bn->x->relu, bn->mean, n_rows, static_cast<int>(dv->c),
                         static_cast<T *>(dz->data), parts);
    });
    const dt_sums_outputs outputs = {{{1, sums, bn->invstd}, {0, sums + dv->c, nullptr}}, 2};
    return code != 0 ? code : dt_sums_finish(stream, parts, g.grid.x, dv->c, &outputs);
}

/* -- per channel ----------------------------------------------------------------------------------------- */

static __global__ void bn_backward_finalize(dt_bn_backward_finalize bn)
{
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int c = static_cast<int>(bn.c);
    const float *sums = static_cast<const float *>(bn.sums);
    if (i >= c)
        return;
    const float dgamma = sums[i], dbeta = sums[c + i];
    const dt_bn_coefficients coefficients =
        dt_bn_channel_backward(static_cast<double>(dgamma), static_cast<double>(dbeta), bn.count, bn.gamma[i],
                               bn.mean[i], bn.invstd[i]);
    bn.dgamma[i] = bn.accumulate ? bn.dgamma[i] + dgamma : dgamma;
    bn.dbeta[i] = bn.accumulate ? bn.dbeta[i] + dbeta : dbeta;
    bn.coefficients[i] = coefficients.a;
    bn.coefficients[c + i] = coefficients.b;
    bn.coefficients[2 * c + i] = coefficients.c;
}

int dt_cuda_bn_backward_finalize(dt_cuda_stream stream, const dt_bn_backward_finalize *bn)
{
    const unsigned threads = 64; /* float64 in each: spread over more multiprocessors */
    if (bn->c == 0)
        return 0;
    return DT_LAUNCH(bn_backward_finalize, dim3(static_cast<unsigned>(dt_divide_up(bn->c, threads))),
                     dim3(threads), 0, stream, *bn);
}

/* -- the gradient of the raw tensor ---------------------------------------------------------------------- */

/* dy may be dz or raw: no __restrict__. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, ELEMENTWISE_BLOCKS)
    bn_backward_apply(const T *dz, const T *raw, const float *coefficients, int64_t n_rows, int c, T *dy)
{
    constexpr int at_once = sizeof(T) == 2 ? 2 : 1;
    const int channel = dt_channel();
    float a[8], b[8], constant[8];
    dt_packed<T> gradient[at_once], value[at_once];
    if (channel >= c)
        return;
    dt_load8<float>(coefficients + channel, a);
    dt_load8<float>(coefficients + c + channel, b);
    dt_load8<float>(coefficients + 2 * c + channel, constant);
    dt_walk_rows<at_once>(
        n_rows,
        [&](int64_t row, int k) {
            gradient[k] = dt_load<T>(dz + row * c + channel);
            value[k] = dt_load<T>(raw + row * c + channel);
        },
        [&](int64_t row, int k) {
            float g[8], v[8];
            dt_unpack<T>(gradient[k], g);
            dt_unpack<T>(value[k], v);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                g[i] = dt_bn_backward_value(g[i], v[i], a[i], b[i], constant[i]);
            dt_store8<T>(dy + row * c + channel, g);
        });
}

int dt_cuda_bn_backward_apply(dt_cuda_stream stream, const dt_tensor *dz, const dt_tensor *raw,
                              const float *coefficients, const dt_tensor *dy)
{
    const int64_t n_rows = dt_rows_of(dz);
    if (n_rows == 0 || dz->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, dz->c, ELEMENTWISE_BLOCKS);
    return dt_for_dtype(dz->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bn_backward_apply<T>), g.grid, g.block, 0, stream, static_cast<const T *>(dz->data),
                         static_cast<const T *>(raw->data), coefficients, n_rows, static_cast<int>(dz->c),
                         static_cast<T *>(dy->data));
    });
}

/* dx may not be add, but both may be read twice: plain addition for a library that cannot accumulate. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, ELEMENTWISE_BLOCKS)
    tensor_add(const T *add, int64_t n_rows, int c, T *dx)
{
    constexpr int at_once = sizeof(T) == 2 ? 4 : 2;
    const int channel = dt_channel();
    dt_packed<T> left[at_once], right[at_once];
    if (channel >= c)
        return;
    dt_walk_rows<at_once>(
        n_rows,
        [&](int64_t row, int k) {
            left[k] = dt_load<T>(dx + row * c + channel);
            right[k] = dt_load<T>(add + row * c + channel);
        },
        [&](int64_t row, int k) {
            float l[8], r[8];
            dt_unpack<T>(left[k], l);
            dt_unpack<T>(right[k], r);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                l[i] += r[i];
            dt_store8<T>(dx + row * c + channel, l);
        });
}

int dt_cuda_tensor_add(dt_cuda_stream stream, const dt_tensor *add, const dt_tensor *dx)
{
    const int64_t n_rows = dt_rows_of(dx);
    if (n_rows == 0 || dx->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, dx->c, ELEMENTWISE_BLOCKS);
    return dt_for_dtype(dx->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((tensor_add<T>), g.grid, g.block, 0, stream, static_cast<const T *>(add->data),
                         n_rows, static_cast<int>(dx->c), static_cast<T *>(dx->data));
    });
}
