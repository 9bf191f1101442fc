/* arithmetic.h: the formulas that every backend must share to the letter, one element or one channel at a time.
 *
 *   float z = dt_act_value(raw, scale[c], bias[c], true);
 *   dt_bn_channel ch = dt_bn_channel_finalize(sum, sum_of_squares, count, gamma[c], beta[c], eps);
 *
 * layers/ref calls them in loops, layers/cpu may, and the .cu kernels compile the same lines for the GPU (DT_HD). What is
 * done per channel is done in float64: there is little of it, and E[x^2] - E[x]^2 cancels. What is done per element is
 * done in float32.
 *
 * NaN: a NaN must stay visible until it reaches the loss, so that a training gone wrong stops instead of going on with
 * zeros: dt_relu and dt_max_pool_takes are written with the comparison that lets it through.
 */
#ifndef DT_LAYERS_ARITHMETIC_H
#define DT_LAYERS_ARITHMETIC_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#    define DT_HD __host__ __device__
#else
#    define DT_HD /* nothing: plain C */
#endif

/* -- input and activations ------------------------------------------------------------------------------------ */

DT_HD static inline float dt_pixel_value(uint8_t pixel, float mean, float std)
{
    return ((float)pixel / 255.0F - mean) / std;
}

/* max(v, 0), and NaN for NaN. */
DT_HD static inline float dt_relu(float v)
{
    return v < 0.0F ? 0.0F : v;
}

/* The value of a lazily normalised activation (dt_act with a scale). */
DT_HD static inline float dt_act_value(float raw, float scale, float bias, bool relu)
{
    float v = scale * raw + bias;
    return relu ? dt_relu(v) : v;
}

/* Whether the gradient passes through the relu of an activation. */
DT_HD static inline bool dt_act_passes(float raw, float scale, float bias)
{
    return scale * raw + bias > 0.0F;
}

/* Whether v replaces the maximum so far: the first of equal ones stays, a NaN is taken. */
DT_HD static inline bool dt_max_pool_takes(float v, float best)
{
    return v > best || v != v;
}

/* -- batch normalisation (Ioffe and Szegedy 2015), one channel -------------------------------------------------- */

typedef struct dt_bn_channel {
    float mean, invstd; /* of the batch, for backward */
    float scale, bias;  /* gamma * invstd, beta - mean * scale */
    float unbiased_var; /* for the running statistics; the biased one if there is a single value */
} dt_bn_channel;

/* From the sum and the sum of squares of `count` values. Rounding can leave sumsq / m - mean^2 below zero: then it is 0. */
DT_HD static inline dt_bn_channel dt_bn_channel_finalize(double sum, double sum_of_squares, int64_t count, float gamma,
                                                         float beta, float eps)
{
    double m = (double)count;
    double mean = sum / m;
    double var = sum_of_squares / m - mean * mean;
    var = var < 0.0 ? 0.0 : var; /* not fmax: NaN must stay */
    double invstd = 1.0 / sqrt(var + (double)eps);
    double scale = (double)gamma * invstd;
    dt_bn_channel channel;
    channel.mean = (float)mean;
    channel.invstd = (float)invstd;
    channel.scale = (float)scale;
    channel.bias = (float)((double)beta - mean * scale);
    channel.unbiased_var = (float)(count > 1 ? var * m / (m - 1.0) : var);
    return channel;
}

/* Scale and bias from running statistics, for evaluation. */
DT_HD static inline void dt_bn_channel_inference(float gamma, float beta, float running_mean, float running_var,
                                                 float eps, float *scale, float *bias)
{
    double s = (double)gamma / sqrt((double)running_var + (double)eps);
    *scale = (float)s;
    *bias = (float)((double)beta - (double)running_mean * s);
}

/* The gradient of the raw value is a * dz + b * raw + c. */
typedef struct dt_bn_coefficients {
    float a, b, c;
} dt_bn_coefficients;

/* From sum_dgamma = sum of dz * (raw - mean) * invstd and sum_dbeta = sum of dz. The derivative of the normalisation,
 *   dx = gamma * invstd * (dz - sum_dbeta / m - xhat * sum_dgamma / m), xhat = (raw - mean) * invstd,
 * collected by powers of raw. */
DT_HD static inline dt_bn_coefficients dt_bn_channel_backward(double sum_dgamma, double sum_dbeta, int64_t count,
                                                              float gamma, float mean, float invstd)
{
    double m = (double)count;
    double a = (double)gamma * (double)invstd;
    double b = -a * (double)invstd * sum_dgamma / m;
    double c = -a * sum_dbeta / m - b * (double)mean;
    dt_bn_coefficients coefficients;
    coefficients.a = (float)a;
    coefficients.b = (float)b;
    coefficients.c = (float)c;
    return coefficients;
}

DT_HD static inline float dt_bn_backward_value(float dz, float raw, float a, float b, float c)
{
    return a * dz + b * raw + c;
}

/* -- loss ----------------------------------------------------------------------------------------------------- */

/* What softmax should be for a class: (1 - smoothing) onehot + smoothing / n_classes (Szegedy et al. 2016). */
DT_HD static inline double dt_softmax_target(bool is_label, int64_t n_classes, float smoothing)
{
    double everywhere = (double)smoothing / (double)n_classes;
    return is_label ? 1.0 - (double)smoothing + everywhere : everywhere;
}

/* Whether class j ranks before the label's class: a greater logit, or an equal one with a lower index. The label is right at
 * top-k if fewer than k classes do, and the row holds no NaN. */
DT_HD static inline bool dt_logit_ranks_before(float logit, int64_t j, float label_logit, int64_t label)
{
    return logit > label_logit || (logit == label_logit && j < label);
}

/* -- optimizer ------------------------------------------------------------------------------------------------ */

/* SGD with momentum as PyTorch has it: the learning rate is outside the velocity, so a schedule acts at once.
 *   g' = multiplier * g + weight_decay * w;  v = momentum * v + g';  w -= lr * (nesterov ? g' + momentum * v : v) */
DT_HD static inline void dt_update_sgd_value(float *w, float *v, float g, float multiplier, float weight_decay,
                                             float momentum, bool nesterov, float lr)
{
    float gradient = multiplier * g + weight_decay * *w;
    float velocity = momentum * *v + gradient;
    *v = velocity;
    *w -= lr * (nesterov ? gradient + momentum * velocity : velocity);
}

/* w moves towards the batch's statistic: w += rate * (statistic - w). */
DT_HD static inline void dt_update_running_average_value(float *w, float statistic, float rate)
{
    *w += rate * (statistic - *w);
}

#endif
