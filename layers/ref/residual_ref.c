/* residual_ref.c: y = relu(branch + skip), each input with its own normalisation, and its gradient.
 *
 * Both inputs get the same gradient: dy where y > 0. y itself serves as the mask; none is stored.
 */
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

int64_t dt_ref_residual_mask_bytes(dt_kernels *k, const dt_tensor *y)
{
    (void)k, (void)y;
    return 0;
}

/* The value of element `at`, of channel c. With FP16 scale and bias are rounded, as the cuda backend's graphs
 * with a join read them; with BF16 it has no such graphs. */
static float input_at(dt_kernels *k, const dt_act *x, int64_t c, int64_t at)
{
    if (x->scale == NULL || k->dtype != DT_F16)
        return dt_ref_act_at(x, c, at);
    const float scale = dt_ref_stored(k, (double)x->scale[c]), bias = dt_ref_stored(k, (double)x->bias[c]);
    const dt_act rounded = {.raw = x->raw, .scale = &scale, .bias = &bias, .relu = x->relu};
    return dt_ref_act_at(&rounded, 0, at);
}

dt_status dt_ref_residual_forward(dt_kernels *k, const dt_act *branch, const dt_act *skip, const dt_tensor *y,
                                  void *mask, dt_error *err)
{
    float *out = dt_ref_data_like(y, &branch->raw);
    int64_t n_pixels = y->h * y->w;
    (void)dt_ref_data_like(&skip->raw, y);
    (void)mask, (void)err;
    for (int64_t plane = 0; plane < y->n * y->c; plane++) {
        int64_t c = plane % y->c;
        for (int64_t i = plane * n_pixels; i < (plane + 1) * n_pixels; i++)
            out[i] = dt_ref_stored(k, (double)dt_relu(input_at(k, branch, c, i) + input_at(k, skip, c, i)));
    }
    return DT_OK;
}

dt_status dt_ref_residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y, const void *mask,
                                   const dt_bn_backward *branch, const dt_bn_backward *skip,
                                   const dt_tensor *g, dt_error *err)
{
    const float *incoming = dy->data;
    const float *value = dt_ref_data_like(y, dy);
    float *outgoing = dt_ref_data_like(g, dy);
    (void)mask;
    assert((branch == NULL || !branch->x->relu) && (skip == NULL || !skip->x->relu));
    for (int64_t i = 0; i < dt_ref_elems(dy); i++)
        outgoing[i] = value[i] > 0.0F ? incoming[i] : 0.0F;
    if (branch != NULL)
        DT_TRY(dt_ref_bn_backward_reduce(k, branch, g, g, err));
    if (skip != NULL)
        DT_TRY(dt_ref_bn_backward_reduce(k, skip, g, g, err));
    return DT_OK;
}
