/* batchnorm_ref.c: batch normalisation around the lazily normalised activation. The formulas are in
 * layers/arithmetic.h.
 *
 * sums are double [2][c]: sum and sum of squares on the way forward, dgamma and dbeta on the way back.
 */
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

int64_t dt_ref_bn_sums_bytes(dt_kernels *k, int64_t c)
{
    (void)k;
    return 2 * c * (int64_t)sizeof(double);
}

dt_status dt_ref_bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err)
{
    const float *values = dt_ref_data_like(y, y);
    double *totals = sums;
    int64_t n_pixels = y->h * y->w;
    (void)k, (void)err;
#pragma omp parallel for schedule(static) num_threads(dt_ref(k)->n_threads)
    for (int64_t c = 0; c < y->c; c++) {
        double sum = 0.0;
        double sum_of_squares = 0.0;
        for (int64_t n = 0; n < y->n; n++) {
            const float *plane = values + (n * y->c + c) * n_pixels;
            for (int64_t i = 0; i < n_pixels; i++) {
                sum += (double)plane[i];
                sum_of_squares += (double)plane[i] * (double)plane[i];
            }
        }
        totals[c] = sum;
        totals[y->c + c] = sum_of_squares;
    }
    return DT_OK;
}

static float accumulated(bool accumulate, float before, double add)
{
    return (float)(accumulate ? (double)before + add : add);
}

dt_status dt_ref_bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    const double *sums = bn->sums;
    (void)k, (void)err;
    for (int64_t c = 0; c < bn->c; c++) {
        dt_bn_channel channel =
            dt_bn_channel_finalize(sums[c], sums[bn->c + c], bn->count, bn->gamma[c], bn->beta[c], bn->eps);
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

dt_status dt_ref_bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                              const float *running_mean, const float *running_var, float eps, float *scale,
                              float *bias, dt_error *err)
{
    (void)k, (void)err;
    for (int64_t i = 0; i < c; i++)
        dt_bn_channel_inference(gamma[i], beta[i], running_mean[i], running_var[i], eps, &scale[i], &bias[i]);
    return DT_OK;
}

dt_status dt_ref_bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *err)
{
    const dt_act *x = bn->x;
    const float *raw = dt_ref_data_like(&x->raw, dv);
    const float *incoming = dv->data;
    float *outgoing = dt_ref_data_like(dz, dv);
    double *sums = bn->sums;
    int64_t n_pixels = dv->h * dv->w;
    (void)k, (void)err;
#pragma omp parallel for schedule(static) num_threads(dt_ref(k)->n_threads)
    for (int64_t c = 0; c < dv->c; c++) {
        double dgamma = 0.0;
        double dbeta = 0.0;
        for (int64_t n = 0; n < dv->n; n++) {
            int64_t plane = (n * dv->c + c) * n_pixels;
            for (int64_t i = plane; i < plane + n_pixels; i++) {
                bool passes = !x->relu || dt_act_passes(raw[i], x->scale[c], x->bias[c]);
                float gradient = passes ? incoming[i] : 0.0F;
                outgoing[i] = gradient;
                dgamma += (double)gradient * ((double)raw[i] - (double)bn->mean[c]) * (double)bn->invstd[c];
                dbeta += (double)gradient;
            }
        }
        sums[c] = dgamma;
        sums[dv->c + c] = dbeta;
    }
    return DT_OK;
}

static void finish_sums(const dt_bn_backward_apply *bn)
{
    const double *sums = bn->sums;
    for (int64_t c = 0; c < bn->c; c++) {
        double dgamma = sums[c];
        double dbeta = sums[bn->c + c];
        dt_bn_coefficients coefficients = dt_bn_channel_backward(dgamma, dbeta, 1.0 / (double)bn->count,
                                                                 bn->gamma[c], bn->mean[c], bn->invstd[c]);
        bn->dgamma[c] = accumulated(bn->accumulate, bn->dgamma[c], dgamma);
        bn->dbeta[c] = accumulated(bn->accumulate, bn->dbeta[c], dbeta);
        bn->coefficients[c] = coefficients.a;
        bn->coefficients[bn->c + c] = coefficients.b;
        bn->coefficients[2 * bn->c + c] = coefficients.c;
    }
}

/* bn_backward_reduce has applied the ReLU's mask. */
dt_status dt_ref_bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *err)
{
    const float *gradient = dz->data;
    const float *value = dt_ref_data_like(&x->raw, dz);
    float *out = dt_ref_data_like(dy, dz);
    int64_t n_pixels = dz->h * dz->w;
    (void)err;
    finish_sums(bn);
    for (int64_t plane = 0; plane < dz->n * dz->c; plane++) {
        int64_t c = plane % dz->c;
        float a = bn->coefficients[c];
        float b = bn->coefficients[dz->c + c];
        float constant = bn->coefficients[2 * dz->c + c];
        for (int64_t i = plane * n_pixels; i < (plane + 1) * n_pixels; i++)
            out[i] = dt_ref_stored(k, (double)dt_bn_backward_value(gradient[i], value[i], a, b, constant));
    }
    return DT_OK;
}
