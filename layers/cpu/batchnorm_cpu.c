/* batchnorm_cpu.c: batch normalisation around the lazily normalised activation. The formulas are in
 * layers/arithmetic.h.
 *
 * sums are double [DT_CPU_SLOTS][2][c]. In forward: sum and sum of squares. In backward: sum of dz * (raw -
 * mean), which this file multiplies by invstd, and sum of dz. Values are converted to double before they are
 * squared, so a mean of a hundred standard deviations loses no accuracy.
 */
#include "layers/arithmetic.h"
#include "layers/cpu/cpu_internal.h"

int64_t dt_cpu_bn_sums_bytes(dt_kernels *k, int64_t c)
{
    (void)k;
    return DT_CPU_SLOTS * 2 * c * (int64_t)sizeof(double);
}

/* Sum `which` (0 or 1) of a channel: the slots, added in their order. */
static double total_of(const void *sums, int64_t c, int which, int64_t channel)
{
    const double *slots = sums;
    double total = 0.0;
    for (int64_t slot = 0; slot < DT_CPU_SLOTS; slot++)
        total += slots[(slot * 2 + which) * c + channel];
    return total;
}

dt_status dt_cpu_bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_cpu_planes planes = dt_cpu_planes_of(cpu, y->n, y->c, y->h * y->w);
    (void)err;
    dt_cpu_sums_clear(y->c, sums);
    dt_cpu_sum_planes(cpu, &planes, dt_cpu_data_like(y, y), y->c, sums);
    return DT_OK;
}

static float accumulated(bool accumulate, float before, double add)
{
    return (float)(accumulate ? (double)before + add : add);
}

dt_status dt_cpu_bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    (void)k, (void)err;
    for (int64_t c = 0; c < bn->c; c++) {
        const double sum = total_of(bn->sums, bn->c, 0, c), sum_of_squares = total_of(bn->sums, bn->c, 1, c);
        const dt_bn_channel channel =
            dt_bn_channel_finalize(sum, sum_of_squares, bn->count, bn->gamma[c], bn->beta[c], bn->eps);
        bn->mean[c] = channel.mean;
        bn->invstd[c] = channel.invstd;
        bn->scale[c] = channel.scale;
        bn->bias[c] = channel.bias;
        bn->stat_mean[c] =
            accumulated(bn->accumulate, bn->stat_mean[c], (double)bn->stat_weight * (double)channel.mean);
        bn->stat_var[c] = accumulated(bn->accumulate, bn->stat_var[c],
                                      (double)bn->stat_weight * (double)channel.unbiased_var);
    }
    return DT_OK;
}

dt_status dt_cpu_bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                              const float *running_mean, const float *running_var, float eps, float *scale,
                              float *bias, dt_error *err)
{
    (void)k, (void)err;
    for (int64_t i = 0; i < c; i++)
        dt_bn_channel_inference(gamma[i], beta[i], running_mean[i], running_var[i], eps, &scale[i], &bias[i]);
    return DT_OK;
}

dt_status dt_cpu_bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_cpu_planes planes = dt_cpu_planes_of(cpu, dv->n, dv->c, dv->h * dv->w);
    (void)err;
    dt_cpu_sums_clear(dv->c, bn->sums);
    dt_cpu_reduce_planes(cpu, &planes, bn, dt_cpu_data_like(&bn->x->raw, dv), dt_cpu_data_like(dv, dv), NULL,
                         dt_cpu_data_like(dz, dv));
    return DT_OK;
}

static void finish_sums(const dt_bn_backward_apply *bn)
{
    for (int64_t c = 0; c < bn->c; c++) {
        const double dgamma = total_of(bn->sums, bn->c, 0, c) * (double)bn->invstd[c];
        const double dbeta = total_of(bn->sums, bn->c, 1, c);
        const dt_bn_coefficients coefficients = dt_bn_channel_backward(
            dgamma, dbeta, 1.0 / (double)bn->count, bn->gamma[c], bn->mean[c], bn->invstd[c]);
        bn->dgamma[c] = accumulated(bn->accumulate, bn->dgamma[c], dgamma);
        bn->dbeta[c] = accumulated(bn->accumulate, bn->dbeta[c], dbeta);
        bn->coefficients[c] = coefficients.a;
        bn->coefficients[bn->c + c] = coefficients.b;
        bn->coefficients[2 * bn->c + c] = coefficients.c;
    }
}

/* bn_backward_reduce has applied the ReLU's mask. */
dt_status dt_cpu_bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_cpu_planes planes = dt_cpu_planes_of(cpu, dz->n, dz->c, dz->h * dz->w);
    (void)err;
    finish_sums(bn);
    dt_cpu_bn_backward_planes(cpu, &planes, bn->coefficients, dt_cpu_data_like(&x->raw, dz),
                              dt_cpu_data_like(dz, dz), dt_cpu_data_like(dy, dz));
    return DT_OK;
}

dt_status dt_cpu_act_materialize(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_cpu_planes planes = dt_cpu_planes_of(cpu, y->n, y->c, y->h * y->w);
    (void)err;
    dt_cpu_act_planes(cpu, &planes, x, dt_cpu_data_like(&x->raw, y), dt_cpu_data_like(y, y));
    return DT_OK;
}
