/* batchnorm_backward.cu: BatchNorm backward where no convolution includes it, and the gradient of the raw
 * tensor.
 *
 * bn_backward_reduce: two reads (composed backward: BF16, FP32, TF32, T4, and graphs that cuDNN refuses). It
 * need not write dz, since bn_backward_apply can apply the ReLU's mask where it reads dz.
 * bn_backward_apply: two reads, one write, after every convolution's BatchNorm. Each block computes the
 * coefficients of its channels first, which saves a launch of 2 us for each of ResNet-50's 53 BatchNorms. At
 * batch 256 in FP16: 11.1 M values an image (the inputs of all 53), 17.1 GB: 4.0 ms of an H200's step at
 * 4.3 TB/s. This is the last pass that could still be fused into the convolutions that read its result, if
 * cuDNN had such graphs.
 */
#include "layers/cuda/norm.cuh"

enum { ELEMENTWISE_BLOCKS = 4, MASKED_BLOCKS = 3 /* bn_backward_apply with the ReLU's mask */ };

/* For this thread's channels of its rows: read left and right into l[8] and r[8], call combine(l, r), which
 * leaves the result in l, and write it to out (NULL: nothing is written). out may be left or right, so there
 * is no __restrict__. */
template <typename T, int AT_ONCE, typename Combine>
static __device__ __forceinline__ void walk_pairs(const T *left, const T *right, int64_t n_rows, int c,
                                                  int channel, T *out, Combine combine)
{
    dt_packed<T> packed_left[AT_ONCE], packed_right[AT_ONCE];
    dt_walk_rows<AT_ONCE>(
        n_rows,
        [&](int64_t row, int k) {
            packed_left[k] = dt_load<T>(left + row * c + channel);
            packed_right[k] = dt_load<T>(right + row * c + channel);
        },
        [&](int64_t row, int k) {
            float l[8], r[8];
            dt_unpack<T>(packed_left[k], l);
            dt_unpack<T>(packed_right[k], r);
            combine(l, r);
            if (out != nullptr)
                dt_store8<T>(out + row * c + channel, l);
        });
}

/* dz may be dv, or NULL. Its registers are just enough: with norm as the parameter, nvcc 13 spills some on
 * sm_90 and sm_100 (tests/program/cuda_resources_test.sh). */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, DT_SUMS_BLOCKS)
    bn_backward_reduce(const T *dv, const T *raw, const float *scale, const float *bias, bool relu,
                       const float *mean, int64_t n_rows, int c, T *dz, float *parts)
{
    const dt_norm_arguments norm = {scale, bias, mean, relu};
    DT_SHARED(float, shared, DT_BLOCK_THREADS * 8);
    constexpr int at_once = sizeof(T) == 2 ? 2 : 1;
    const int channel = dt_channel();
    dt_norm_sums sums = dt_norm_sums_zero(norm.relu);
    if (channel < c) {
        dt_norm_sums_load(sums, norm, channel);
        walk_pairs<T, at_once>(dv, raw, n_rows, c, channel, dz, [&](float g[8], const float v[8]) {
            dt_norm_mask_and_add(sums, norm.relu, v, g);
        });
    }
    dt_norm_sums_of_block(sums, c, parts, shared);
}

int dt_cuda_bn_backward_reduce(dt_cuda_stream stream, const dt_bn_backward *bn, const dt_tensor *dv,
                               void *scratch, const dt_tensor *dz)
{
    const int64_t n_rows = dt_rows_of(dv);
    float *parts = static_cast<float *>(scratch);
    if (n_rows == 0 || dv->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, dv->c, DT_SUMS_BLOCKS, DT_SETS_WITH_SUMS);
    int code = dt_for_dtype(dv->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bn_backward_reduce<T>), g.grid, g.block, 0, stream,
                         static_cast<const T *>(dv->data), static_cast<const T *>(bn->x->raw.data),
                         bn->x->scale, bn->x->bias, bn->x->relu, bn->mean, n_rows, static_cast<int>(dv->c),
                         dz != nullptr ? static_cast<T *>(dz->data) : nullptr, parts);
    });
    return code != 0 ? code : dt_norm_sums_finish(stream, parts, g.grid.x, dv->c, bn);
}

/* -- the gradient of the raw tensor ---------------------------------------------------------------------- */

/* Compute a, b and c of the block's channels into shared memory [3][width], one thread for each channel:
 * float64 in every thread would be slow on GPUs that have little of it. share: 1 / count. The first block of
 * a piece of the rows also stores them, and adds dgamma and dbeta to the flat vector. */
static __device__ __forceinline__ void coefficients_of_block(const dt_bn_backward_apply &bn, double share,
                                                             float *shared)
{
    const int c = static_cast<int>(bn.c);
    const int width = static_cast<int>(blockDim.x) * 8;
    const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
    const int i = static_cast<int>(blockIdx.y) * width + thread;
    const float *sums = static_cast<const float *>(bn.sums);
    if (thread < width && i < c) {
        const float dgamma = sums[i], dbeta = sums[c + i];
        const dt_bn_coefficients k =
            dt_bn_channel_backward(static_cast<double>(dgamma), static_cast<double>(dbeta), share,
                                   bn.gamma[i], bn.mean[i], bn.invstd[i]);
        shared[thread] = k.a;
        shared[width + thread] = k.b;
        shared[2 * width + thread] = k.c;
        if (blockIdx.x == 0) {
            dt_accumulate(bn.accumulate, &bn.dgamma[i], dgamma);
            dt_accumulate(bn.accumulate, &bn.dbeta[i], dbeta);
            bn.coefficients[i] = k.a;
            bn.coefficients[c + i] = k.b;
            bn.coefficients[2 * c + i] = k.c;
        }
    }
    __syncthreads();
}

/* RELU: the mask is applied to dz first, with the scale and the bias of the activation; its registers allow
 * one block a multiprocessor less. dy may be dz or raw. */
template <typename T, bool RELU>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, RELU ? MASKED_BLOCKS : ELEMENTWISE_BLOCKS)
    bn_backward_apply(const __grid_constant__ dt_bn_backward_apply bn, double share, const T *dz,
                      const T *raw, const float *scale, const float *bias, int64_t n_rows, T *dy)
{
    DT_SHARED(float, shared, 3 * 8 * DT_GROUPS_PER_ROW);
    constexpr int at_once = sizeof(T) == 2 ? 2 : 1;
    const int c = static_cast<int>(bn.c), channel = dt_channel();
    const int own = static_cast<int>(threadIdx.x) * 8, width = static_cast<int>(blockDim.x) * 8;
    float a[8], b[8], constant[8], s[8], t[8];
    coefficients_of_block(bn, share, shared);
    if (channel >= c)
        return;
    dt_load8<float>(shared + own, a);
    dt_load8<float>(shared + width + own, b);
    dt_load8<float>(shared + 2 * width + own, constant);
    if (RELU) {
        dt_load8<float>(scale + channel, s);
        dt_load8<float>(bias + channel, t);
    }
    walk_pairs<T, at_once>(dz, raw, n_rows, c, channel, dy, [&](float g[8], const float v[8]) {
        DT_UNROLL_ALL
        for (int i = 0; i < 8; i++) {
            const float masked = !RELU || dt_act_passes(v[i], s[i], t[i]) ? g[i] : 0.0F;
            g[i] = dt_bn_backward_value(masked, v[i], a[i], b[i], constant[i]);
        }
    });
}

template <typename T, bool RELU>
static int launch_apply(dt_cuda_stream stream, const dt_bn_backward_apply *bn, const dt_act *x,
                        const dt_tensor *dz, const dt_tensor *dy)
{
    const int64_t n_rows = dt_rows_of(dz);
    const dt_rows_grid g =
        dt_make_rows_grid(n_rows, dz->c, RELU ? MASKED_BLOCKS : ELEMENTWISE_BLOCKS, DT_SETS);
    return DT_LAUNCH((bn_backward_apply<T, RELU>), g.grid, g.block, 0, stream, *bn,
                     1.0 / static_cast<double>(bn->count), static_cast<const T *>(dz->data),
                     static_cast<const T *>(x->raw.data), x->scale, x->bias, n_rows,
                     static_cast<T *>(dy->data));
}

int dt_cuda_bn_backward_apply(dt_cuda_stream stream, const dt_bn_backward_apply *bn, const dt_act *x,
                              const dt_tensor *dz, const dt_tensor *dy)
{
    if (dt_rows_of(dz) == 0 || dz->c == 0)
        return 0;
    return dt_for_dtype(dz->dtype, [&](auto type) {
        using T = decltype(type);
        return x->relu ? launch_apply<T, true>(stream, bn, x, dz, dy)
                       : launch_apply<T, false>(stream, bn, x, dz, dy);
    });
}

/* dx += add, for a library that cannot accumulate. dx must not be add. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, ELEMENTWISE_BLOCKS)
    tensor_add(const T *add, int64_t n_rows, int c, T *dx)
{
    constexpr int at_once = sizeof(T) == 2 ? 4 : 2;
    const int channel = dt_channel();
    if (channel >= c)
        return;
    walk_pairs<T, at_once>(dx, add, n_rows, c, channel, dx, [&](float l[8], const float r[8]) {
        DT_UNROLL_ALL
        for (int i = 0; i < 8; i++)
            l[i] += r[i];
    });
}

int dt_cuda_tensor_add(dt_cuda_stream stream, const dt_tensor *add, const dt_tensor *dx)
{
    const int64_t n_rows = dt_rows_of(dx);
    if (n_rows == 0 || dx->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, dx->c, ELEMENTWISE_BLOCKS, DT_SETS);
    return dt_for_dtype(dx->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((tensor_add<T>), g.grid, g.block, 0, stream, static_cast<const T *>(add->data),
                         n_rows, static_cast<int>(dx->c), static_cast<T *>(dx->data));
    });
}
