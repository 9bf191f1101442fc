/* ref_internal.h: what the files of layers/ref share. Contracts of the operations: core/kernels.h.
 *
 * To add an operation: declare it here, write it in the file of its topic, add it to the table in
 * kernels_ref.c; then give it a gradient in tests/layers/ref_gradients_test.c, values in
 * tests/layers/ref_operations_test.c and a case in tests/backend_cases_*.c.
 */
#ifndef DT_LAYERS_REF_REF_INTERNAL_H
#define DT_LAYERS_REF_REF_INTERNAL_H

#include "core/kernels.h"
#include "layers/half.h"

#include <assert.h>

typedef struct dt_ref_kernels {
    dt_kernels base;
    int n_threads;
    /* One block for all convolutions, whose calls do not overlap. It grows in conv_create only. */
    double *scratch;
    int64_t scratch_elems;
} dt_ref_kernels;

static inline dt_ref_kernels *dt_ref(dt_kernels *k)
{
    return (dt_ref_kernels *)k;
}

/* Round v as it is stored: for values of activations, their gradients, weights as they are read, and weights'
 * gradients. */
static inline float dt_ref_stored(dt_kernels *k, double v)
{
    if (k->dtype == DT_F16)
        return dt_half_to_float(dt_half_from_float((float)v));
    return k->dtype == DT_BF16 ? dt_bfloat_to_float(dt_bfloat_from_float((float)v)) : (float)v;
}

static inline bool dt_ref_is_16_bit(const dt_kernels *k)
{
    return k->dtype == DT_F16 || k->dtype == DT_BF16;
}

/* Round a factor of a matrix product as the product reads it: a weight, or with TF32 any factor, which is
 * float32 in memory. */
static inline float dt_ref_factor(dt_kernels *k, float v)
{
    return k->dtype == DT_TF32 ? dt_tf32_of_float(v) : dt_ref_stored(k, (double)v);
}

/* A weight's gradient: the library writes it in the backend's dtype; it is accumulated in float32. */
static inline float dt_ref_gradient(dt_kernels *k, double gradient, bool accumulate, float before)
{
    if (dt_ref_is_16_bit(k))
        gradient = (double)dt_ref_stored(k, gradient);
    return (float)(accumulate ? gradient + (double)before : gradient);
}

static inline int64_t dt_ref_elems(const dt_tensor *t)
{
    return t->n * t->c * t->h * t->w;
}

/* The data of a tensor that must be of this shape; anything else is a bug of the caller. */
static inline float *dt_ref_data(const dt_tensor *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    assert(t->dtype >= DT_F32 && t->dtype <= DT_TF32 && t->n == n && t->c == c && t->h == h && t->w == w);
    (void)n, (void)c, (void)h, (void)w;
    return t->data;
}

static inline float *dt_ref_data_like(const dt_tensor *t, const dt_tensor *other)
{
    return dt_ref_data(t, other->n, other->c, other->h, other->w);
}

/* The value of element `at`, of channel c, of a lazy activation. act: as FP32 arithmetic computes it.
 * operand: as a matrix product of the backend's dtype reads it, whose prologue has scale, bias and result in
 * that dtype. */
float dt_ref_act_at(const dt_act *x, int64_t c, int64_t at);
float dt_ref_operand_at(dt_kernels *k, const dt_act *x, int64_t c, int64_t at);

/* matmul_ref.c: c [m][n] += a [m][k] b [k][n], row-major; each element is summed in the order of k. */
void dt_ref_matmul_add(int n_threads, int64_t m, int64_t n, int64_t k, const double *a, const double *b,
                       double *c);

/* input_ref.c */
dt_status dt_ref_normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                 const float std[3], const dt_tensor *y, dt_error *err);
dt_status dt_ref_act_materialize(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err);

/* conv_ref.c */
dt_status dt_ref_conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err);
void dt_ref_conv_destroy(dt_kernels *k, dt_conv *conv);
unsigned dt_ref_conv_fusions(dt_kernels *k, const dt_conv *conv);
int64_t dt_ref_conv_weights_elems(dt_kernels *k, const dt_conv *conv);
void dt_ref_conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order);
dt_status dt_ref_conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err);
dt_status dt_ref_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err);
dt_status dt_ref_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err);
dt_status dt_ref_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err);

/* batchnorm_ref.c; sums are double [2][c]: sum and sum of squares, or dgamma and dbeta. */
int64_t dt_ref_bn_sums_bytes(dt_kernels *k, int64_t c);
dt_status dt_ref_bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err);
dt_status dt_ref_bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err);
dt_status dt_ref_bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                              const float *running_mean, const float *running_var, float eps, float *scale,
                              float *bias, dt_error *err);
dt_status dt_ref_bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *err);
dt_status dt_ref_bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *err);

/* residual_ref.c */
int64_t dt_ref_residual_mask_bytes(dt_kernels *k, const dt_tensor *y);
dt_status dt_ref_residual_forward(dt_kernels *k, const dt_act *branch, const dt_act *skip, const dt_tensor *y,
                                  void *mask, dt_error *err);
dt_status dt_ref_residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y, const void *mask,
                                   const dt_bn_backward *branch, const dt_bn_backward *skip,
                                   const dt_tensor *g, dt_error *err);

/* pool_ref.c */
dt_status dt_ref_max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *err);
dt_status dt_ref_max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                   const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                   dt_error *err);
dt_status dt_ref_average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y, dt_error *err);
dt_status dt_ref_average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx,
                                       dt_error *err);

/* linear_ref.c */
dt_status dt_ref_linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                               dt_error *err);
void dt_ref_linear_destroy(dt_kernels *k, dt_linear *linear);
dt_status dt_ref_linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err);
dt_status dt_ref_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err);

/* loss_ref.c */
dt_status dt_ref_softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                              dt_loss_sums *sums, dt_error *err);

/* optimizer_ref.c */
dt_status dt_ref_optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n_segments,
                                  dt_optimizer **optimizer, dt_error *err);
void dt_ref_optimizer_destroy(dt_kernels *k, dt_optimizer *optimizer);
dt_status dt_ref_optimizer_step(dt_kernels *k, dt_optimizer *optimizer, const dt_optimizer_vectors *v,
                                const dt_step_inputs *inputs, dt_step_state *state, dt_error *err);

#endif
