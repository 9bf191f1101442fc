/* arithmetic.h: the formulas that all backends share exactly, for one element or one channel.
 *
 *   float z = dt_act_value(raw, scale[c], bias[c], true);
 *   dt_bn_channel ch = dt_bn_channel_finalize(sum, sum_of_squares, count, gamma[c], beta[c], eps);
 *
 * layers/ref calls these functions in loops, layers/cpu may, and the .cu kernels compile the same lines for
 * the GPU (DT_HD). Arithmetic per channel is in float64: there is little of it, and E[x^2] - E[x]^2 cancels.
 * Arithmetic per element is in float32.
 *
 * NaN: a NaN must reach the loss, so that a training that has diverged stops instead of going on with zeros.
 * dt_relu and dt_max_pool_replaces therefore use the comparison that keeps a NaN.
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

/* -- input and activations ------------------------------------------------------------------------------- */

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

/* Whether v replaces the maximum so far. Of equal values the first one stays; a NaN replaces any number. */
DT_HD static inline bool dt_max_pool_replaces(float v, float best)
{
    return v > best || v != v;
}

/* -- batch normalisation (Ioffe and Szegedy 2015), one channel ------------------------------------------- */

typedef struct dt_bn_channel {
    float mean, invstd; /* of the batch, for backward */
    float scale, bias;  /* gamma * invstd, beta - mean * scale */
    float unbiased_var; /* for the running statistics; the biased one if there is a single value */
} dt_bn_channel;

/* From the sum and the sum of squares of `count` values. Rounding can leave sumsq / m - mean^2 below zero:
 * then it is 0. */
DT_HD static inline dt_bn_channel dt_bn_channel_finalize(double sum, double sum_of_squares, int64_t count,
                                                         float gamma, float beta, float eps)
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
DT_HD static inline void dt_bn_channel_inference(float gamma, float beta, float running_mean,
                                                 float running_var, float eps, float *scale, float *bias)
{
    double s = (double)gamma / sqrt((double)running_var + (double)eps);
    *scale = (float)s;
    *bias = (float)((double)beta - (double)running_mean * s);
}

/* The gradient of the raw value is a * dz + b * raw + c. */
typedef struct dt_bn_coefficients {
    float a, b, c;
} dt_bn_coefficients;

/* From sum_dgamma = sum of dz * (raw - mean) * invstd and sum_dbeta = sum of dz. The derivative of the
 * normalisation,
 *   dx = gamma * invstd * (dz - sum_dbeta / m - xhat * sum_dgamma / m), xhat = (raw - mean) * invstd,
 * collected by powers of raw. */
DT_HD static inline dt_bn_coefficients dt_bn_channel_backward(double sum_dgamma, double sum_dbeta,
                                                              double share, float gamma, float mean,
                                                              float invstd)
{
    double a = (double)gamma * (double)invstd;
    double b = -a * (double)invstd * sum_dgamma * share;
    double c = -a * sum_dbeta * share - b * (double)mean;
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

/* -- loss ------------------------------------------------------------------------------------------------ */

/* The target probability of a class: (1 - smoothing) onehot + smoothing / n_classes (Szegedy et al. 2016). */
DT_HD static inline double dt_softmax_target(bool is_label, int64_t n_classes, float smoothing)
{
    double everywhere = (double)smoothing / (double)n_classes;
    return is_label ? 1.0 - (double)smoothing + everywhere : everywhere;
}

/* Whether class j ranks before the label's class: a greater logit, or an equal one with a lower index. The
 * label is right at top-k if fewer than k classes do, and the row holds no NaN. */
DT_HD static inline bool dt_logit_ranks_before(float logit, int64_t j, float label_logit, int64_t label)
{
    return logit > label_logit || (logit == label_logit && j < label);
}

/* -- optimizer ------------------------------------------------------------------------------------------- */

/* The factors of one tensor's update in one step. */
typedef struct dt_sgd_factors {
    float gradient, weight_decay, rate;
} dt_sgd_factors;

/* multiplier = 1 / loss scale; local: LARS's factor, 1 for SGD. rate_in_velocity chooses between two forms,
 * with g' = local * (multiplier * g + weight_decay * w):
 *   false, PyTorch's SGD:     v = momentum * v + g';  w -= lr * (nesterov ? g' + momentum * v : v)
 *   true, the paper of LARS:  v = momentum * v + lr * g';  w -= nesterov ? lr * g' + momentum * v : v
 * With the same rate in all steps both give the same weights. In the first form a new rate applies to all of
 * the velocity at once, in the second only to the gradients that are added from then on. */
DT_HD static inline dt_sgd_factors dt_sgd_factors_of(float local, float multiplier, float weight_decay,
                                                     float lr, bool rate_in_velocity)
{
    const float inside = rate_in_velocity ? lr * local : local;
    dt_sgd_factors f;
    f.gradient = inside * multiplier;
    f.weight_decay = inside * weight_decay;
    f.rate = rate_in_velocity ? 1.0F : lr;
    return f;
}

/* g' = f.gradient * g + f.weight_decay * w;  v = momentum * v + g';
 * w -= f.rate * (nesterov ? g' + momentum * v : v) */
DT_HD static inline void dt_update_sgd_value(float *w, float *v, float g, dt_sgd_factors f, float momentum,
                                             bool nesterov)
{
    float gradient = f.gradient * g + f.weight_decay * *w;
    float velocity = momentum * *v + gradient;
    *v = velocity;
    *w -= f.rate * (nesterov ? gradient + momentum * velocity : velocity);
}

/* LARS (You, Gitman and Ginsburg 2017; trust is their eta): the factor on the learning rate of one tensor,
 * from the sums of squares of its weights and of its gradients as stored. multiplier = 1 / loss scale.
 *
 * Where |w| or |g| is 0 there is no ratio of norms, and the factor is trust: the step of SGD with the rate
 * lr * trust. So weights of norm 0 leave 0, and a tensor without a gradient decays as slowly as it would with
 * that rate. All of these compute trust * |w| / (|g| + decay * |w| + eps) otherwise:
 *
 *                                 eps              where |w| or |g| is 0       learning rate
 *   here                          1e-9             trust                       in or outside of the velocity
 *   MLPerf's reference (TF 2)     1e-7 (Keras's)   1, with the decay           in the velocity
 *   timm, Lars                    1e-8             1, with the decay           outside
 *   apex, LARC                    1e-8             1, without the decay        outside
 *
 * 1 is SGD with the full rate, which for LARS is 2 to 20: weights of norm 0 would jump far away. */
DT_HD static inline float dt_lars_local_rate(double weights_sumsq, double gradients_sumsq, float multiplier,
                                             float weight_decay, float trust, float eps)
{
    double w = sqrt(weights_sumsq);
    double g = sqrt(gradients_sumsq) * (double)multiplier;
    if (w == 0.0 || g == 0.0)
        return trust;
    return (float)((double)trust * w / (g + (double)weight_decay * w + (double)eps));
}

/* A running average of the weights: ema = decay * ema + (1 - decay) * w. */
DT_HD static inline float dt_ema_value(float ema, float w, float decay)
{
    return ema + (1.0F - decay) * (w - ema);
}

/* -- loss scale (Micikevicius et al. 2018) --------------------------------------------------------------- */

#define DT_LOSS_SCALE_MIN 1.0F
/* 2^24: beyond it FP16 gradients would have to be below 2^-8 * 2^-24 to need it */
#define DT_LOSS_SCALE_MAX 16777216.0F

/* Neither an infinity nor a NaN. (isfinite has different names on a GPU and on the host.) */
DT_HD static inline bool dt_is_finite(float v)
{
    return v - v == 0.0F;
}

/* Update the scale after a step. found_inf: some gradient was not finite, so the step is skipped. */
DT_HD static inline void dt_loss_scale_update(bool found_inf, float growth, float backoff,
                                              int32_t growth_interval, float *scale, int32_t *n_good,
                                              int32_t *n_skipped)
{
    if (found_inf) {
        *scale = *scale * backoff < DT_LOSS_SCALE_MIN ? DT_LOSS_SCALE_MIN : *scale * backoff;
        *n_good = 0;
        *n_skipped += 1;
        return;
    }
    *n_good += 1;
    if (*n_good < growth_interval)
        return;
    *scale = *scale * growth > DT_LOSS_SCALE_MAX ? DT_LOSS_SCALE_MAX : *scale * growth;
    *n_good = 0;
}

/* -- statistics ------------------------------------------------------------------------------------------ */

/* Move w towards the batch's statistic: w += rate * (statistic - w). */
DT_HD static inline void dt_update_running_average_value(float *w, float statistic, float rate)
{
    *w += rate * (statistic - *w);
}

#endif
