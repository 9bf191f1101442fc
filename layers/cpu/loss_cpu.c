/* loss_cpu.c: softmax cross-entropy with label smoothing, top-1 and top-5.
 *
 *   loss = sum over j of target[j] * (logsumexp(x) - x[j]),  dx[j] = grad_scale * loss_scale * (softmax(x)[j] - target[j])
 *
 * In float64; a batch of logits is small beside anything else in a step, so one thread does it.
 */
#include "layers/arithmetic.h"
#include "layers/cpu/cpu_internal.h"

#include <string.h>

/* The largest logit; NaN if there is one. */
static double largest_of(const float *x, int64_t n)
{
    double largest = -INFINITY;
    for (int64_t j = 0; j < n; j++)
        largest = (double)x[j] > largest || isnan(x[j]) ? (double)x[j] : largest;
    return largest;
}

/* How many classes rank before the label; more than any if the row holds a NaN: never right. */
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

static double log_sum_exp(const float *x, int64_t n)
{
    const double largest = largest_of(x, n);
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++)
        sum += exp((double)x[j] - largest);
    return largest + log(sum);
}

static double row_loss(const float *x, int64_t n, int64_t label, float smoothing, double lse)
{
    double loss = 0.0;
    for (int64_t j = 0; j < n; j++) {
        const double target = dt_softmax_target(j == label, n, smoothing);
        if (target > 0.0) /* 0 * infinity would be NaN */
            loss += target * (lse - (double)x[j]);
    }
    return loss;
}

static void row_gradient(const float *x, int64_t n, int64_t label, float smoothing, double grad_scale, double lse, float *dx)
{
    for (int64_t j = 0; j < n; j++)
        dx[j] = (float)(grad_scale * (exp((double)x[j] - lse) - dt_softmax_target(j == label, n, smoothing)));
}

dt_status dt_cpu_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing, float grad_scale,
                              const float *loss_scale, const dt_tensor *dlogits, dt_loss_sums *sums, dt_error *err)
{
    const int64_t n_classes = logits->c;
    const float *x = dt_cpu_data(logits, logits->n, n_classes, 1, 1);
    float *dx = dlogits != NULL ? dt_cpu_data_like(dlogits, logits) : NULL;
    const double scale = (double)grad_scale * (loss_scale != NULL ? (double)*loss_scale : 1.0);
    double loss = 0.0;
    int64_t top1 = 0, top5 = 0, n = 0;
    (void)k, (void)err;
    for (int64_t row = 0; row < logits->n; row++) {
        const float *in = x + row * n_classes;
        const int64_t label = labels[row];
        assert(label >= -1 && label < n_classes);
        if (label < 0) {
            if (dx != NULL)
                memset(dx + row * n_classes, 0, (size_t)n_classes * sizeof *dx);
            continue;
        }
        const int64_t rank = rank_of_label(in, n_classes, label);
        const double lse = log_sum_exp(in, n_classes);
        loss += row_loss(in, n_classes, label, smoothing, lse);
        if (dx != NULL)
            row_gradient(in, n_classes, label, smoothing, scale, lse, dx + row * n_classes);
        top1 += rank < 1 ? 1 : 0;
        top5 += rank < 5 ? 1 : 0;
        n++;
    }
    sums->loss += (float)loss;
    sums->top1 += (float)top1;
    sums->top5 += (float)top5;
    sums->n += (float)n;
    return DT_OK;
}
