/* norm.cuh: what the kernels of BatchNorm share: one thread per channel, and the sums of backward.
 *
 * batchnorm.cu and batchnorm_backward.cu use it, and max_pool.cu, since the stem's pooling computes
 * BatchNorm's sums in the same pass.
 */
#ifndef DT_LAYERS_CUDA_NORM_CUH
#define DT_LAYERS_CUDA_NORM_CUH

#include "layers/cuda/kernel.cuh"

/* -- one thread per channel ------------------------------------------------------------------------------ */

/* Threads per block. Small: such a kernel computes in float64, of which some GPUs have little, so the work is
 * spread over more multiprocessors. */
enum { DT_CHANNELS_PER_BLOCK = 64 };

static inline dim3 dt_channels_grid(int64_t c)
{
    return dim3(static_cast<unsigned>(dt_divide_up(c, DT_CHANNELS_PER_BLOCK)));
}

/* This thread's channel; c or more: the thread has none. */
static __device__ __forceinline__ int dt_single_channel()
{
    return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

static __device__ __forceinline__ void dt_accumulate(bool accumulate, float *to, float add)
{
    *to = accumulate ? *to + add : add;
}

/* -- the sums of backward -------------------------------------------------------------------------------- */

/* Arguments of a kernel that adds up dbeta and dgamma. */
struct dt_norm_arguments {
    const float *scale, *bias, *mean; /* [c]; scale and bias may be NULL: 1 and 0 */
    bool relu;
};

static inline dt_norm_arguments dt_norm_arguments_of(const dt_bn_backward *bn)
{
    return {bn->x->scale, bn->x->bias, bn->mean, bn->x->relu};
}

/* Parameters and sums of this thread's 8 channels, in registers. */
struct dt_norm_sums {
    float scale[8], bias[8], mean[8];
    float dbeta[8], dgamma[8]; /* dgamma without invstd */
    bool relu;
};

static __device__ __forceinline__ dt_norm_sums dt_norm_sums_zero(bool relu)
{
    return {{0.0F}, {0.0F}, {0.0F}, {0.0F}, {0.0F}, relu};
}

static __device__ __forceinline__ void dt_norm_sums_load(dt_norm_sums &sums, const dt_norm_arguments &norm,
                                                         int channel)
{
    dt_load8_or(norm.scale, channel, 1.0F, sums.scale);
    dt_load8_or(norm.bias, channel, 0.0F, sums.bias);
    dt_load8<float>(norm.mean + channel, sums.mean);
}

/* Whether the ReLU passed channel i of the raw value v. Both sides are computed: || would become a branch for
 * each element. */
static __device__ __forceinline__ bool dt_norm_passes(const dt_norm_sums &sums, bool relu, float v, int i)
{
    const bool is_positive = dt_act_passes(v, sums.scale[i], sums.bias[i]);
    return static_cast<int>(!relu) | static_cast<int>(is_positive);
}

/* Set the gradient g to 0 where the activation's ReLU passed nothing. v: the raw values. */
static __device__ __forceinline__ void dt_norm_mask(const dt_norm_sums &sums, const float v[8], float g[8])
{
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++)
        g[i] = dt_norm_passes(sums, sums.relu, v[i], i) ? g[i] : 0.0F;
}

/* Add the gradient g of one pixel, in the values that are stored. */
static __device__ __forceinline__ void dt_norm_sums_add(dt_norm_sums &sums, const float v[8],
                                                        const float g[8])
{
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++) {
        sums.dbeta[i] += g[i];
        sums.dgamma[i] += g[i] * (v[i] - sums.mean[i]);
    }
}

/* Mask and add, one value after the other: two passes over the 8 values need more registers than a thread has
 * on some GPUs, and so does a copy of relu in sums. */
static __device__ __forceinline__ void dt_norm_mask_and_add(dt_norm_sums &sums, bool relu, const float v[8],
                                                            float g[8])
{
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++) {
        g[i] = dt_norm_passes(sums, relu, v[i], i) ? g[i] : 0.0F;
        sums.dbeta[i] += g[i];
        sums.dgamma[i] += g[i] * (v[i] - sums.mean[i]);
    }
}

/* Write the block's sums into parts: quantity 0 is dbeta, 1 is dgamma. Every thread of the block must call
 * it. */
static __device__ __forceinline__ void dt_norm_sums_of_block(const dt_norm_sums &sums, int c, float *parts,
                                                             float *shared)
{
    dt_sums_of_block(sums.dbeta, 0, c, parts, shared);
    dt_sums_of_block(sums.dgamma, 1, c, parts, shared);
}

/* Launch the second stage: bn->sums [2][c] = dgamma, dbeta. */
static inline int dt_norm_sums_finish(dt_cuda_stream stream, const float *parts, int64_t n_blocks, int64_t c,
                                      const dt_bn_backward *bn)
{
    float *sums = static_cast<float *>(bn->sums);
    const dt_sums_outputs outputs = {{{1, sums, bn->invstd}, {0, sums + c, nullptr}}, 2};
    return dt_sums_finish(stream, parts, n_blocks, c, &outputs);
}

#endif
