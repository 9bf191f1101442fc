#include "layers/loss_host.h"

#include "layers/arithmetic.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The logarithm of the sum of exp(x[j]), without overflow; NaN if there is a NaN. */
static double log_sum_exp(const float *x, int64_t n)
{
    double largest = -INFINITY;
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++)
        largest = (double)x[j] > largest || isnan(x[j]) ? (double)x[j] : largest;
    for (int64_t j = 0; j < n; j++)
        sum += exp((double)x[j] - largest);
    return largest + log(sum);
}

/* How many classes rank before the label; more than there are if the row holds a NaN, which is never
 * right. */
static int64_t rank_of_label(const float *x, int64_t n, int64_t label)
{
    int64_t before = 0;
    for (int64_t j = 0; j < n; j++) {
        if (isnan(x[j]))
            return INT64_MAX;
        before += dt_logit_ranks_before(x[j], j, x[label], label) ? 1 : 0;
    }
    return before;
}

/* Return one row's loss, and write its gradient to dx unless that is NULL. */
static double row_loss(const float *x, int64_t n, int64_t label, float smoothing, double scale, float *dx)
{
    const double lse = log_sum_exp(x, n);
    double loss = 0.0;
    for (int64_t j = 0; j < n; j++) {
        const double target = dt_softmax_target(j == label, n, smoothing);
        if (target > 0.0) /* 0 * infinity would be NaN */
            loss += target * (lse - (double)x[j]);
        if (dx != NULL)
            dx[j] = (float)(scale * (exp((double)x[j] - lse) - target));
    }
    return loss;
}

void dt_host_softmax_loss(const float *x, const int32_t *labels, int64_t n_rows, int64_t n_classes,
                          float smoothing, double scale, float *dx, dt_loss_sums *sums)
{
    double loss = 0.0;
    int64_t top1 = 0, top5 = 0, n = 0;
    for (int64_t row = 0; row < n_rows; row++) {
        const float *in = x + row * n_classes;
        float *out = dx != NULL ? dx + row * n_classes : NULL;
        const int64_t label = labels[row];
        assert(label >= -1 && label < n_classes);
        if (label < 0) {
            if (out != NULL)
                memset(out, 0, (size_t)n_classes * sizeof *out);
            continue;
        }
        const int64_t rank = rank_of_label(in, n_classes, label);
        loss += row_loss(in, n_classes, label, smoothing, scale, out);
        top1 += rank < 1 ? 1 : 0;
        top5 += rank < 5 ? 1 : 0;
        n++;
    }
    sums->loss += (float)loss;
    sums->top1 += (float)top1;
    sums->top5 += (float)top5;
    sums->n += (float)n;
}
