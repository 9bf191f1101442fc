/* loss_ref.c: softmax cross-entropy with label smoothing, top-1 and top-5.
 *
 *   loss = - sum over j of target[j] * log softmax(x)[j] = sum over j of target[j] * (logsumexp(x) - x[j])
 *   dx[j] = grad_scale * loss_scale * (softmax(x)[j] - target[j])
 */
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

#include <string.h>

/* log of the sum of exp(x[j]), without overflow. */
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

/* One row's loss; its gradient in dx unless that is NULL. */
static double row_loss(dt_kernels *k, const float *x, int64_t n, int64_t label, float smoothing, double grad_scale, float *dx)
{
    double lse = log_sum_exp(x, n);
    double loss = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double target = dt_softmax_target(j == label, n, smoothing);
        if (target > 0.0) /* 0 * infinity would be NaN */
            loss += target * (lse - (double)x[j]);
        if (dx != NULL)
            dx[j] = dt_ref_stored(k, grad_scale * (exp((double)x[j] - lse) - target));
    }
    return loss;
}

dt_status dt_ref_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale,
                              const dt_tensor *dlogits, dt_loss_sums *sums, dt_error *err)
{
    const float *x = dt_ref_data(logits, logits->n, logits->c, 1, 1);
    float *dx = dlogits != NULL ? dt_ref_data_like(dlogits, logits) : NULL;
    int64_t n_classes = logits->c;
    const double scale = (double)grad_scale * (loss_scale != NULL ? (double)*loss_scale : 1.0);
    double loss = 0.0;
    int64_t top1 = 0, top5 = 0, n = 0;
    (void)err;
    for (int64_t row = 0; row < logits->n; row++) {
        const float *in = x + row * n_classes;
        float *out = dx != NULL ? dx + row * n_classes : NULL;
        int64_t label = labels[row];
        assert(label >= -1 && label < n_classes);
        if (label < 0) {
            if (out != NULL)
                memset(out, 0, (size_t)n_classes * sizeof *out);
            continue;
        }
        int64_t rank = rank_of_label(in, n_classes, label);
        loss += row_loss(k, in, n_classes, label, smoothing, scale, out);
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
