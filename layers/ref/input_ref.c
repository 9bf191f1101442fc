/* input_ref.c: normalises pixels, and materializes lazy activations. */
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

dt_status dt_ref_normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                 const float std[3], const dt_tensor *y, dt_error *err)
{
    float *out = dt_ref_data(y, y->n, 3, y->h, y->w);
    int64_t n_pixels = y->h * y->w;
    (void)err;
    for (int64_t n = 0; n < y->n; n++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < n_pixels; i++)
                out[(n * 3 + c) * n_pixels + i] = dt_ref_stored(
                    k, (double)dt_pixel_value(pixels[(n * n_pixels + i) * 3 + c], mean[c], std[c]));
    return DT_OK;
}

float dt_ref_act_at(const dt_act *x, int64_t c, int64_t at)
{
    const float *raw = x->raw.data;
    return x->scale != NULL ? dt_act_value(raw[at], x->scale[c], x->bias[c], x->relu) : raw[at];
}

float dt_ref_operand_at(dt_kernels *k, const dt_act *x, int64_t c, int64_t at)
{
    const float *raw = x->raw.data;
    if (!dt_ref_is_16_bit(k) || x->scale == NULL)
        return dt_ref_factor(k, dt_ref_act_at(x, c, at));
    return dt_ref_stored(k, (double)dt_act_value(raw[at], dt_ref_stored(k, (double)x->scale[c]),
                                                 dt_ref_stored(k, (double)x->bias[c]), x->relu));
}

dt_status dt_ref_act_materialize(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    float *out = dt_ref_data_like(y, &x->raw);
    int64_t n_pixels = y->h * y->w;
    (void)err;
    for (int64_t plane = 0; plane < y->n * y->c; plane++)
        for (int64_t i = 0; i < n_pixels; i++)
            out[plane * n_pixels + i] =
                dt_ref_stored(k, (double)dt_ref_act_at(x, plane % y->c, plane * n_pixels + i));
    return DT_OK;
}
