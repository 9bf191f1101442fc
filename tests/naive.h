/* naive.h: the layers in doubles, by their textbook formulas and without regard for speed; layers/ref is
 * tested against them. It shares no code with layers/.
 *
 * All tensors are NCHW. The functions with a kink (relu, max pooling) record how near their inputs were to
 * it, so that a test of gradients by differences can check that its step was smaller.
 */
#ifndef DTRAIN_TESTS_NAIVE_H
#define DTRAIN_TESTS_NAIVE_H

#include "core/kernels.h"

/* The smallest distance to a kink since this was set to infinity. */
extern double naive_nearest_kink;

/* y [n][k][p][q] = x [n][c][h][w] convolved with w [k][c][r][s] */
void naive_conv(const dt_conv_desc *d, const double *x, const double *w, double *y);

/* Per channel: mean and biased variance over n and n_pixels, in two passes. */
void naive_moments(int64_t n, int64_t c, int64_t n_pixels, const double *x, double *mean, double *var);
/* z = gamma (x - mean) / sqrt(var + eps) + beta with the batch's own mean and variance */
void naive_batchnorm(int64_t n, int64_t c, int64_t n_pixels, const double *x, const double *gamma,
                     const double *beta, double eps, double *z);
/* v = scale x + bias per channel, then relu if `relu` */
void naive_act(int64_t n, int64_t c, int64_t n_pixels, const double *x, const double *scale,
               const double *bias, bool relu, double *v);
void naive_relu(int64_t n_elems, double *x); /* in place */

/* y = the maximum of each window; argmax (may be NULL): its position in the window, the first of equal
 * ones. */
void naive_max_pool(const dt_pool_desc *pool, int64_t n, int64_t c, int64_t h, int64_t w, const double *x,
                    double *y, int *argmax);
void naive_average_pool(int64_t n, int64_t c, int64_t n_pixels, const double *x, double *y);

/* y [n][k] = x [n][c] w [k][c]^T + bias */
void naive_linear(int64_t n, int64_t c, int64_t k, const double *x, const double *w, const double *bias,
                  double *y);

/* Sum over rows whose label is not -1 of the cross-entropy with the smoothed target. */
double naive_loss(int64_t n, int64_t n_classes, const double *logits, const int32_t *labels,
                  double smoothing);

#endif
