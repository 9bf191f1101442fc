/* backend_cases_test.c: plants defects in ref's operations and checks that the cases of tests/backend_cases.h
 * fail.
 *
 * For the case of a new operation `halve` (tests/backend_cases.h says how to write one), add to this file:
 * 1. An operation with a typical mistake, of halve's type: it calls good->ops->halve and changes an output.
 * 2. In defects_of_other_operations_are_found:
 *       begin();
 *       bad_ops.halve = halve_without_the_last_row;
 *       DT_CHECK_INT(failures("halve"), 1);            as many cases as must detect the mistake */
#include "tests/backend_cases.h"
#include "tests/testing.h"

#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"

#include <stdlib.h>
#include <string.h>

static dt_device *device;
static dt_kernels *good, *bad; /* both ref; `bad` has one operation replaced by a test */
static dt_kernels_ops bad_ops;

void dt_test_set_up(void)
{
    dt_error err = {0};
    if (dt_device_host_create(1, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &good, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &bad, &err) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    bad->ops = good->ops;
    bad->ops->destroy(bad);
    good->ops->destroy(good);
    device->ops->destroy(device);
}

/* Return how many cases with `filter` in their names fail with the defect that the test has put into
 * bad_ops. */
static int failures(const char *filter)
{
    bad->ops = &bad_ops;
    dt_backend_cases_quiet = true;
    int n_failed = dt_backend_cases_run(bad, good, 32, 2, 1e-5, filter);
    dt_backend_cases_quiet = false;
    return n_failed;
}

static void begin(void)
{
    bad_ops = *good->ops;
}

static void ref_agrees_with_itself_bit_for_bit(void)
{
    begin();
    bad->ops = &bad_ops;
    DT_CHECK_INT(dt_backend_cases_run(bad, good, 32, 2, 0.0, NULL), 0);
}

static void a_filter_that_matches_nothing_is_a_failure(void)
{
    begin();
    DT_CHECK_INT(failures("conv_sideways"), 1);
}

static dt_status missing_a_little(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    DT_TRY(good->ops->act_materialize(k, x, y, err));
    float *out = y->data;
    out[17] *= 1.0F + 1e-3F;
    return DT_OK;
}

static dt_status leaving_one_out(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    float *out = y->data;
    float before = out[5];
    DT_TRY(good->ops->act_materialize(k, x, y, err));
    out[5] = before;
    return DT_OK;
}

static dt_status writing_after_the_end(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    float *out = y->data;
    DT_TRY(good->ops->act_materialize(k, x, y, err));
    out[y->n * y->c * y->h * y->w] = 0;
    return DT_OK;
}

static dt_status writing_before(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    float *out = y->data;
    DT_TRY(good->ops->act_materialize(k, x, y, err));
    out[-1] = 0;
    return DT_OK;
}

static dt_status changing_its_input(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    float *raw = x->raw.data;
    DT_TRY(good->ops->act_materialize(k, x, y, err));
    if (raw != y->data)
        raw[0] += 1;
    return DT_OK;
}

static dt_status never_the_same(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    static int n_calls;
    float *out = y->data;
    DT_TRY(good->ops->act_materialize(k, x, y, err));
    out[0] *= 1.0F + (float)(n_calls++ % 2) * 1e-6F; /* well within the tolerance */
    return DT_OK;
}

static dt_status failing(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err)
{
    (void)k, (void)x, (void)y;
    return dt_fail(err, DT_ERR_DEVICE, "planted");
}

static void every_kind_of_misbehaviour_is_found(void)
{
    dt_status (*const defects[])(dt_kernels *, const dt_act *, const dt_tensor *,
                                 dt_error *) = {missing_a_little,
                                                leaving_one_out,
                                                writing_after_the_end,
                                                writing_before,
                                                changing_its_input,
                                                never_the_same,
                                                failing,
                                                NULL};
    begin();
    DT_CHECK_INT(failures("act_materialize n2 c64 h8 w8 normalised relu"), 0);
    for (size_t i = 0; i < sizeof defects / sizeof *defects; i++) {
        bad_ops.act_materialize = defects[i];
        int n_failed = failures("act_materialize n2 c64 h8 w8 normalised relu");
        DT_CHECK_MSG(n_failed >= 1, "defect %zu of act_materialize was not found", i);
    }
}

/* Typical mistakes in the operations themselves. */

static dt_status forward_without_prologue(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                                          const dt_tensor *y, void *sums, dt_error *err)
{
    dt_act raw = {.raw = x->raw};
    return good->ops->conv_forward(k, conv, &raw, w, y, sums, err);
}

static dt_status data_gradient_without_add(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                           const dt_tensor *add, const dt_bn_backward *bn,
                                           const dt_tensor *dx, dt_error *err)
{
    (void)add;
    return good->ops->conv_backward_data(k, conv, dy, w, NULL, bn, dx, err);
}

static dt_status data_gradient_without_relu(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                            const dt_tensor *add, const dt_bn_backward *bn,
                                            const dt_tensor *dx, dt_error *err)
{
    dt_act x = {0};
    dt_bn_backward no_relu = {0};
    if (bn != NULL) {
        x = *bn->x;
        x.relu = false;
        no_relu = *bn;
        no_relu.x = &x;
    }
    return good->ops->conv_backward_data(k, conv, dy, w, add, bn != NULL ? &no_relu : NULL, dx, err);
}

static dt_status weight_gradient_overwritten(dt_kernels *k, dt_conv *conv, const dt_act *x,
                                             const dt_tensor *dy, float *dw, bool accumulate, dt_error *err)
{
    (void)accumulate;
    return good->ops->conv_backward_weights(k, conv, x, dy, dw, false, err);
}

static dt_status statistics_overwritten(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    dt_bn_forward other = *bn;
    other.accumulate = false;
    return good->ops->bn_finalize(k, &other, err);
}

static dt_status biased_variance(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    DT_TRY(good->ops->bn_finalize(k, bn, err));
    for (int64_t c = 0; c < bn->c && !bn->accumulate; c++)
        bn->stat_var[c] *= (float)(bn->count - 1) / (float)bn->count;
    return DT_OK;
}

static dt_status last_maximum(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x, const dt_tensor *y,
                              uint8_t *argmax, dt_error *err)
{
    DT_TRY(good->ops->max_pool_forward(k, pool, x, y, argmax, err));
    if (argmax != NULL)
        for (int64_t i = 0; i < y->n * y->c * y->h * y->w; i++)
            argmax[i] = argmax[i] < 8 ? (uint8_t)(argmax[i] + 1) : argmax[i];
    return DT_OK;
}

static dt_status join_without_skip_sums(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y,
                                        const void *mask, const dt_bn_backward *branch,
                                        const dt_bn_backward *skip, const dt_tensor *g, dt_error *err)
{
    dt_bn_backward same = {0};
    if (skip != NULL) {
        same = *branch;
        same.sums = skip->sums;
    }
    return good->ops->residual_backward(k, dy, y, mask, branch, skip != NULL ? &same : NULL, g, err);
}

/* The gradient passes where the relu's input is exactly 0. */
static dt_status reduce_that_passes_at_zero(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                            const dt_tensor *dz, dt_error *err)
{
    const dt_act *x = bn->x;
    const int64_t n_pixels = dv->h * dv->w;
    DT_TRY(good->ops->bn_backward_reduce(k, bn, dv, dz, err));
    for (int64_t i = 0; i < dv->n * dv->c * n_pixels && x->relu && dv->data != dz->data; i++) {
        const int64_t c = i / n_pixels % dv->c;
        if (x->scale[c] * ((const float *)x->raw.data)[i] + x->bias[c] == 0.0F)
            ((float *)dz->data)[i] = ((const float *)dv->data)[i];
    }
    return DT_OK;
}

static dt_status loss_counting_padding(dt_kernels *k, const dt_tensor *logits, const int32_t *labels,
                                       float smoothing, float grad_scale, const float *loss_scale,
                                       const dt_tensor *dlogits, dt_loss_sums *sums, dt_error *err)
{
    DT_TRY(good->ops->softmax_loss(k, logits, labels, smoothing, grad_scale, loss_scale, dlogits, sums, err));
    sums->n += 1;
    return DT_OK;
}

static dt_status momentum_only(dt_kernels *k, const dt_optimizer_desc *desc,
                               const dt_update_segment *segments, int64_t n_segments,
                               dt_optimizer **optimizer, dt_error *err)
{
    dt_optimizer_desc other = *desc;
    other.nesterov = false;
    return good->ops->optimizer_create(k, &other, segments, n_segments, optimizer, err);
}

static dt_status rate_outside(dt_kernels *k, const dt_optimizer_desc *desc, const dt_update_segment *segments,
                              int64_t n_segments, dt_optimizer **optimizer, dt_error *err)
{
    dt_optimizer_desc other = *desc;
    other.rate_in_velocity = false;
    return good->ops->optimizer_create(k, &other, segments, n_segments, optimizer, err);
}

static float scratch[40320];

static dt_status sgd_for_lars(dt_kernels *k, const dt_optimizer_desc *desc, const dt_update_segment *segments,
                              int64_t n_segments, dt_optimizer **optimizer, dt_error *err)
{
    dt_update_segment others[32];
    for (int64_t i = 0; i < n_segments; i++) {
        others[i] = segments[i];
        if (segments[i].rule == DT_UPDATE_LARS)
            others[i].rule = DT_UPDATE_SGD;
    }
    return good->ops->optimizer_create(k, desc, others, n_segments, optimizer, err);
}

/* Writes the momentum of the first tensor before it has inspected the last one. */
static dt_status update_before_the_inspection(dt_kernels *k, dt_optimizer *optimizer,
                                              const dt_optimizer_vectors *v, const dt_step_inputs *inputs,
                                              dt_step_state *state, dt_error *err)
{
    DT_TRY(good->ops->optimizer_step(k, optimizer, v, inputs, state, err));
    if (state->found_inf != 0)
        v->momentum[1] += 1e-3F;
    return DT_OK;
}

static dt_status multiplied_by_the_scale(dt_kernels *k, dt_optimizer *optimizer,
                                         const dt_optimizer_vectors *v, const dt_step_inputs *inputs,
                                         dt_step_state *state, dt_error *err)
{
    dt_step_state other = *state;
    other.loss_scale = 1 / state->loss_scale;
    DT_TRY(good->ops->optimizer_step(k, optimizer, v, inputs, &other, err));
    other.loss_scale = state->loss_scale; /* the rest is correct */
    DT_TRY(good->ops->optimizer_step(k, optimizer, &(dt_optimizer_vectors){scratch, v->grads, scratch, NULL},
                                     inputs, state, err));
    return DT_OK;
}

static dt_status record_without_ring(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                                     const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                                     int64_t n_ring, dt_error *err)
{
    (void)n_ring;
    return good->ops->step_record(k, state, global, local, votes, ring, 1, err);
}

static void defects_of_convolutions_are_found(void)
{
    begin();
    bad_ops.conv_forward = forward_without_prologue;
    /* lazy, lazy sums, inference */
    DT_CHECK_INT(failures("conv_forward n2 c64 h8 w8 k64 r3 s3 stride1 pad1"), 3);
    begin();
    bad_ops.conv_backward_data = data_gradient_without_add;
    DT_CHECK_INT(failures("conv_backward_data n2 c64 h8 w8 k64 r3 s3 stride1 pad1"), 6);
    begin();
    bad_ops.conv_backward_data = data_gradient_without_relu;
    DT_CHECK_INT(failures("conv_backward_data n2 c64 h8 w8 k64 r3 s3 stride1 pad1"), 3);
    begin();
    bad_ops.conv_backward_weights = weight_gradient_overwritten;
    DT_CHECK_INT(failures("conv_backward_weights n2 c64 h8 w8 k64 r3 s3 stride1 pad1"), 2);
}

static void defects_of_other_operations_are_found(void)
{
    begin();
    bad_ops.bn_finalize = statistics_overwritten;
    DT_CHECK_INT(failures("bn_finalize n2 c64 h8 w8"), 1);
    begin();
    bad_ops.bn_finalize = biased_variance;
    DT_CHECK_INT(failures("bn_finalize n2 c64 h8 w8"), 1);
    begin();
    bad_ops.max_pool_forward = last_maximum;
    DT_CHECK_INT(failures("max_pool"), 3);
    begin();
    bad_ops.bn_backward_reduce = reduce_that_passes_at_zero;
    DT_CHECK_INT(failures("bn_backward_reduce bn_backward_apply n2 c64 h8 w8"), 1);
    begin();
    bad_ops.residual_backward = join_without_skip_sums;
    DT_CHECK_INT(failures("residual_backward n2 c128 h4 w4 lazy skip"), 2);
    begin();
    bad_ops.softmax_loss = loss_counting_padding;
    DT_CHECK_INT(failures("softmax_loss"), 12);
    begin();
    bad_ops.optimizer_create = momentum_only;
    DT_CHECK_INT(failures("optimizer_step"), 3);
    begin();
    bad_ops.optimizer_create = rate_outside;
    DT_CHECK_INT(failures("optimizer_step"), 2);
    begin();
    bad_ops.optimizer_create = sgd_for_lars;
    DT_CHECK_INT(failures("optimizer_step"), 5);
    begin();
    bad_ops.optimizer_step = update_before_the_inspection;
    DT_CHECK_INT(failures("optimizer_step"), 6); /* all steps that must be skipped */
    begin();
    bad_ops.optimizer_step = multiplied_by_the_scale;
    DT_CHECK_INT(failures("optimizer_step scaling"), 4); /* the steps that update */
    begin();
    bad_ops.step_record = record_without_ring;
    DT_CHECK_INT(failures("step_"), 1);
}

static const dt_test tests[] = {
    DT_TEST(ref_agrees_with_itself_bit_for_bit),    DT_TEST(a_filter_that_matches_nothing_is_a_failure),
    DT_TEST(every_kind_of_misbehaviour_is_found),   DT_TEST(defects_of_convolutions_are_found),
    DT_TEST(defects_of_other_operations_are_found),
};
DT_TEST_MAIN("layers/backend_cases", tests)
