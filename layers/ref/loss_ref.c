#include "layers/loss_host.h"
#include "layers/ref/ref_internal.h"

dt_status dt_ref_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                              dt_loss_sums *sums, dt_error *err)
{
    const float *x = dt_ref_data(logits, logits->n, logits->c, 1, 1);
    float *dx = dlogits != NULL ? dt_ref_data_like(dlogits, logits) : NULL;
    const double scale = (double)grad_scale * (loss_scale != NULL ? (double)*loss_scale : 1.0);
    (void)err;
    dt_host_softmax_loss(x, labels, logits->n, logits->c, smoothing, scale, dx, sums);
    for (int64_t i = 0; dx != NULL && i < logits->n * logits->c; i++)
        dx[i] = dt_ref_stored(k, (double)dx[i]);
    return DT_OK;
}
