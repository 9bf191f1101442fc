/* batchnorm.cu: BatchNorm forward, and materialized activations.
 *
 * bn_sums reads a tensor once, where the library's convolution cannot compute the sums (the stem; T4). The
 * stem at batch 256, FP16, H200: 411 MB, 96 us at 4.3 TB/s. A thread adds some hundred values in FP32 and a
 * block 8 to 32 threads; the rest is float64 (sums_finish.cu). act_materialize reads and writes once. Each
 * per-channel kernel takes the time of a launch, 2 us.
 */
#include "layers/cuda/norm.cuh"

enum { AT_ONCE = 4, ELEMENTWISE_BLOCKS = 4 };

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, DT_SUMS_BLOCKS)
    bn_sums(const T *__restrict__ y, int64_t n_rows, int c, float *parts)
{
    DT_SHARED(float, shared, DT_BLOCK_THREADS * 8);
    const int channel = dt_channel();
    float sum[8] = {0.0F}, squares[8] = {0.0F};
    if (channel < c) {
        dt_packed<T> packed[AT_ONCE];
        dt_walk_rows<AT_ONCE>(
            n_rows, [&](int64_t row, int k) { packed[k] = dt_load<T>(y + row * c + channel); },
            [&](int64_t, int k) {
                float v[8];
                dt_unpack<T>(packed[k], v);
                DT_UNROLL_ALL
                for (int i = 0; i < 8; i++) {
                    sum[i] += v[i];
                    squares[i] += v[i] * v[i];
                }
            });
    }
    dt_sums_of_block(sum, 0, c, parts, shared);
    dt_sums_of_block(squares, 1, c, parts, shared);
}

int dt_cuda_bn_sums(dt_cuda_stream stream, const dt_tensor *y, void *scratch, float *sums)
{
    const int64_t n_rows = dt_rows_of(y);
    float *parts = static_cast<float *>(scratch);
    if (n_rows == 0 || y->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, y->c, DT_SUMS_BLOCKS, DT_SETS_WITH_SUMS);
    int code = dt_for_dtype(y->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bn_sums<T>), g.grid, g.block, 0, stream, static_cast<const T *>(y->data), n_rows,
                         static_cast<int>(y->c), parts);
    });
    const dt_sums_outputs outputs = {{{0, sums, nullptr}, {1, sums + y->c, nullptr}}, 2};
    return code != 0 ? code : dt_sums_finish(stream, parts, g.grid.x, y->c, &outputs);
}

/* -- per channel ----------------------------------------------------------------------------------------- */

/* Scale and bias in the activations' type, for the library: all scales, then all biases. If one of them is
 * not finite, which the library's ReLU may hide, set the channel's flag. */
template <typename T>
static __device__ __forceinline__ void store_half(dt_cuda_bn_outputs out, int channel, int c, float scale,
                                                  float bias)
{
    bool is_finite = dt_is_finite(scale) && dt_is_finite(bias);
    if (out.half_scale_bias != nullptr) {
        T *halves = static_cast<T *>(out.half_scale_bias);
        const T half_scale = dt_from_float<T>(scale), half_bias = dt_from_float<T>(bias);
        halves[channel] = half_scale;
        halves[c + channel] = half_bias;
        is_finite = dt_is_finite(dt_to_float(half_scale)) && dt_is_finite(dt_to_float(half_bias));
    }
    if (!is_finite)
        out.not_finite[channel % DT_CUDA_CHANNEL_FLAGS] = 1;
}

template <typename T> static __global__ void bn_finalize(dt_bn_forward bn, dt_cuda_bn_outputs out)
{
    const int i = dt_single_channel();
    const int c = static_cast<int>(bn.c);
    const float *sums = static_cast<const float *>(bn.sums);
    if (i >= c)
        return;
    const dt_bn_channel channel =
        dt_bn_channel_finalize(static_cast<double>(sums[i]), static_cast<double>(sums[c + i]), bn.count,
                               bn.gamma[i], bn.beta[i], bn.eps);
    bn.mean[i] = channel.mean;
    bn.invstd[i] = channel.invstd;
    bn.scale[i] = channel.scale;
    bn.bias[i] = channel.bias;
    dt_accumulate(bn.accumulate, &bn.stat_mean[i], bn.stat_weight * channel.mean);
    dt_accumulate(bn.accumulate, &bn.stat_var[i], bn.stat_weight * channel.unbiased_var);
    store_half<T>(out, i, c, channel.scale, channel.bias);
}

template <typename T>
static __global__ void bn_inference(int c, const float *gamma, const float *beta, const float *running_mean,
                                    const float *running_var, float eps, float *scale, float *bias,
                                    dt_cuda_bn_outputs out)
{
    const int i = dt_single_channel();
    if (i >= c)
        return;
    float s, b;
    dt_bn_channel_inference(gamma[i], beta[i], running_mean[i], running_var[i], eps, &s, &b);
    scale[i] = s;
    bias[i] = b;
    store_half<T>(out, i, c, s, b);
}

int dt_cuda_bn_finalize(dt_cuda_stream stream, const dt_bn_forward *bn, const dt_cuda_bn_outputs *out)
{
    if (bn->c == 0)
        return 0;
    return dt_for_dtype(out->half_dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bn_finalize<T>), dt_channels_grid(bn->c), dim3(DT_CHANNELS_PER_BLOCK), 0, stream,
                         *bn, *out);
    });
}

int dt_cuda_bn_inference(dt_cuda_stream stream, int64_t c, const float *gamma, const float *beta,
                         const float *running_mean, const float *running_var, float eps, float *scale,
                         float *bias, const dt_cuda_bn_outputs *out)
{
    if (c == 0)
        return 0;
    return dt_for_dtype(out->half_dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((bn_inference<T>), dt_channels_grid(c), dim3(DT_CHANNELS_PER_BLOCK), 0, stream,
                         static_cast<int>(c), gamma, beta, running_mean, running_var, eps, scale, bias, *out);
    });
}

/* -- the value of an activation, written out ------------------------------------------------------------- */

/* y may be raw: no __restrict__. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS, ELEMENTWISE_BLOCKS)
    act_materialize(const T *raw, const float *scale, const float *bias, bool relu, int64_t n_rows, int c,
                    T *y)
{
    constexpr int at_once = sizeof(T) == 2 ? 4 : 2;
    const int channel = dt_channel();
    float s[8], b[8];
    dt_packed<T> packed[at_once];
    if (channel >= c)
        return;
    dt_load8_or(scale, channel, 1.0F, s);
    dt_load8_or(bias, channel, 0.0F, b);
    dt_walk_rows<at_once>(
        n_rows, [&](int64_t row, int k) { packed[k] = dt_load<T>(raw + row * c + channel); },
        [&](int64_t row, int k) {
            float v[8];
            dt_unpack<T>(packed[k], v);
            DT_UNROLL_ALL
            for (int i = 0; i < 8; i++)
                v[i] = dt_act_value(v[i], s[i], b[i], relu);
            dt_store8<T>(y + row * c + channel, v);
        });
}

int dt_cuda_act_materialize(dt_cuda_stream stream, const dt_act *x, const dt_tensor *y)
{
    const int64_t n_rows = dt_rows_of(y);
    if (n_rows == 0 || y->c == 0)
        return 0;
    const dt_rows_grid g = dt_make_rows_grid(n_rows, y->c, ELEMENTWISE_BLOCKS, DT_SETS);
    return dt_for_dtype(y->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((act_materialize<T>), g.grid, g.block, 0, stream,
                         static_cast<const T *>(x->raw.data), x->scale, x->bias, x->relu, n_rows,
                         static_cast<int>(y->c), static_cast<T *>(y->data));
    });
}
