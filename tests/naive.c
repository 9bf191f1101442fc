#include "tests/naive.h"

#include <math.h>

double naive_nearest_kink = INFINITY;

static int64_t at4(int64_t n, int64_t c, int64_t h, int64_t w, int64_t n_c, int64_t n_h, int64_t n_w)
{
    return ((n * n_c + c) * n_h + h) * n_w + w;
}

/* One output element. */
static double conv_at(const dt_conv_desc *d, const double *x, const double *w, int64_t n, int64_t k,
                      int64_t p, int64_t q)
{
    double sum = 0;
    for (int64_t c = 0; c < d->c; c++) {
        for (int64_t r = 0; r < d->r; r++) {
            for (int64_t s = 0; s < d->s; s++) {
                int64_t h = p * d->stride + r - d->pad;
                int64_t v = q * d->stride + s - d->pad;
                if (h >= 0 && h < d->h && v >= 0 && v < d->w)
                    sum += x[at4(n, c, h, v, d->c, d->h, d->w)] * w[at4(k, c, r, s, d->c, d->r, d->s)];
            }
        }
    }
    return sum;
}

void naive_conv(const dt_conv_desc *d, const double *x, const double *w, double *y)
{
    int64_t n_p = (d->h + 2 * d->pad - d->r) / d->stride + 1;
    int64_t n_q = (d->w + 2 * d->pad - d->s) / d->stride + 1;
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t k = 0; k < d->k; k++)
            for (int64_t p = 0; p < n_p; p++)
                for (int64_t q = 0; q < n_q; q++)
                    y[at4(n, k, p, q, d->k, n_p, n_q)] = conv_at(d, x, w, n, k, p, q);
}

static void moments_of_channel(int64_t n, int64_t c, int64_t n_pixels, const double *x, int64_t channel,
                               double *mean, double *var)
{
    double m = (double)(n * n_pixels);
    *mean = 0;
    *var = 0;
    for (int64_t i = 0; i < n * c * n_pixels; i++)
        if (i / n_pixels % c == channel)
            *mean += x[i] / m;
    for (int64_t i = 0; i < n * c * n_pixels; i++)
        if (i / n_pixels % c == channel)
            *var += (x[i] - *mean) * (x[i] - *mean) / m;
}

void naive_moments(int64_t n, int64_t c, int64_t n_pixels, const double *x, double *mean, double *var)
{
    for (int64_t channel = 0; channel < c; channel++)
        moments_of_channel(n, c, n_pixels, x, channel, &mean[channel], &var[channel]);
}

void naive_batchnorm(int64_t n, int64_t c, int64_t n_pixels, const double *x, const double *gamma,
                     const double *beta, double eps, double *z)
{
    for (int64_t channel = 0; channel < c; channel++) {
        double mean, var;
        moments_of_channel(n, c, n_pixels, x, channel, &mean, &var);
        for (int64_t i = 0; i < n * c * n_pixels; i++)
            if (i / n_pixels % c == channel)
                z[i] = gamma[channel] * (x[i] - mean) / sqrt(var + eps) + beta[channel];
    }
}

void naive_relu(int64_t n_elems, double *x)
{
    for (int64_t i = 0; i < n_elems; i++) {
        naive_nearest_kink = fmin(naive_nearest_kink, fabs(x[i]));
        if (x[i] < 0)
            x[i] = 0;
    }
}

void naive_act(int64_t n, int64_t c, int64_t n_pixels, const double *x, const double *scale,
               const double *bias, bool relu, double *v)
{
    for (int64_t i = 0; i < n * c * n_pixels; i++)
        v[i] = scale[i / n_pixels % c] * x[i] + bias[i / n_pixels % c];
    if (relu)
        naive_relu(n * c * n_pixels, v);
}

void naive_max_pool(const dt_pool_desc *pool, int64_t n, int64_t c, int64_t h, int64_t w, const double *x,
                    double *y, int *argmax)
{
    int64_t n_p = (h + 2 * pool->pad - pool->window) / pool->stride + 1;
    int64_t n_q = (w + 2 * pool->pad - pool->window) / pool->stride + 1;
    for (int64_t out = 0; out < n * c * n_p * n_q; out++) {
        double best = -INFINITY, second = -INFINITY;
        int position = -1;
        for (int64_t i = 0; i < pool->window * pool->window; i++) {
            int64_t row = out / n_q % n_p * pool->stride - pool->pad + i / pool->window;
            int64_t column = out % n_q * pool->stride - pool->pad + i % pool->window;
            if (row < 0 || row >= h || column < 0 || column >= w)
                continue;
            double v = x[(out / (n_p * n_q) * h + row) * w + column];
            second = fmax(second, fmin(v, best));
            if (v > best) {
                best = v;
                position = (int)i;
            }
        }
        /* None of several zeros that relu made has a gradient, so there is no kink between them. */
        if (best != 0)
            naive_nearest_kink = fmin(naive_nearest_kink, best - second);
        y[out] = best;
        if (argmax != NULL)
            argmax[out] = position;
    }
}

void naive_average_pool(int64_t n, int64_t c, int64_t n_pixels, const double *x, double *y)
{
    for (int64_t i = 0; i < n * c; i++)
        y[i] = 0;
    for (int64_t i = 0; i < n * c * n_pixels; i++)
        y[i / n_pixels] += x[i] / (double)n_pixels;
}

void naive_linear(int64_t n, int64_t c, int64_t k, const double *x, const double *w, const double *bias,
                  double *y)
{
    for (int64_t i = 0; i < n * k; i++) {
        y[i] = bias[i % k];
        for (int64_t j = 0; j < c; j++)
            y[i] += x[i / k * c + j] * w[i % k * c + j];
    }
}

double naive_loss(int64_t n, int64_t n_classes, const double *logits, const int32_t *labels, double smoothing)
{
    double loss = 0;
    for (int64_t row = 0; row < n; row++) {
        double sum = 0;
        for (int64_t j = 0; j < n_classes; j++)
            sum += exp(logits[row * n_classes + j]);
        for (int64_t j = 0; j < n_classes && labels[row] != -1; j++) {
            double target = (j == labels[row] ? 1 - smoothing : 0) + smoothing / (double)n_classes;
            loss -= target * log(exp(logits[row * n_classes + j]) / sum);
        }
    }
    return loss;
}
