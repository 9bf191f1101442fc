#include "tests/fakes/lagging_kernels.h"

#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/fakes/lagging_call.h"

#include <stdlib.h>
#include <string.h>

/* -- layouts --------------------------------------------------------------------------------------------- */

static int64_t tensor_bytes(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return lagging_ref(k)->ops->tensor_bytes(lagging_ref(k), n, c, h, w);
}

static const char *layout_name(dt_kernels *k)
{
    (void)k;
    return "lagging";
}

static int64_t scratch_bytes(dt_kernels *k)
{
    return lagging_ref(k)->ops->scratch_bytes(lagging_ref(k));
}

static dt_status conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err)
{
    return lagging_ref(k)->ops->conv_create(lagging_ref(k), desc, conv, err);
}

static void conv_destroy(dt_kernels *k, dt_conv *conv)
{
    lagging_ref(k)->ops->conv_destroy(lagging_ref(k), conv);
}

static unsigned conv_fusions(dt_kernels *k, const dt_conv *conv)
{
    return lagging_ref(k)->ops->conv_fusions(lagging_ref(k), conv);
}

static int64_t conv_weights_elems(dt_kernels *k, const dt_conv *conv)
{
    return lagging_ref(k)->ops->conv_weights_elems(lagging_ref(k), conv);
}

static void conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order)
{
    lagging_ref(k)->ops->conv_weights_order(lagging_ref(k), conv, order);
}

static dt_status conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err)
{
    (void)k, (void)conv, (void)w, (void)err;
    return DT_OK;
}

/* -- operations ------------------------------------------------------------------------------------------ */

static dt_status run_normalize(lagging_call *c, dt_error *err)
{
    return c->ref->ops->normalize_input(c->ref, c->in[0], c->mean, c->std, &c->t[0], err);
}

static dt_status normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                 const float std[3], const dt_tensor *y, dt_error *err)
{
    lagging_call c = {.in = {pixels}, .t = {*y}};
    memcpy(c.mean, mean, sizeof c.mean);
    memcpy(c.std, std, sizeof c.std);
    return lagging_enqueue(k, "normalize_input", run_normalize, &c, err);
}

static dt_status run_conv_forward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->conv_forward(c->ref, c->conv, &c->x, c->in[0], &c->t[0], c->out[0], err);
}

static dt_status conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err)
{
    return lagging_enqueue(k, "conv_forward", run_conv_forward,
                           &(lagging_call){.conv = conv, .x = *x, .in = {w}, .t = {*y}, .out = {sums}}, err);
}

static dt_status run_conv_backward_data(lagging_call *c, dt_error *err)
{
    return c->ref->ops->conv_backward_data(c->ref, c->conv, &c->t[0], c->in[0], lagging_tensor(c, 1),
                                           lagging_bn(c, 0), &c->t[2], err);
}

static dt_status conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err)
{
    lagging_call c = {.conv = conv, .in = {w}, .bn = {lagging_copy_bn(bn)}};
    lagging_put_tensor(&c, 0, dy);
    lagging_put_tensor(&c, 1, add);
    lagging_put_tensor(&c, 2, dx);
    return lagging_enqueue(k, "conv_backward_data", run_conv_backward_data, &c, err);
}

static dt_status run_conv_backward_weights(lagging_call *c, dt_error *err)
{
    return c->ref->ops->conv_backward_weights(c->ref, c->conv, &c->x, &c->t[0], c->out[0], c->flag, err);
}

static dt_status conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err)
{
    return lagging_enqueue(
        k, "conv_backward_weights", run_conv_backward_weights,
        &(lagging_call){.conv = conv, .x = *x, .t = {*dy}, .out = {dw}, .flag = accumulate}, err);
}

static int64_t bn_sums_bytes(dt_kernels *k, int64_t c)
{
    return lagging_ref(k)->ops->bn_sums_bytes(lagging_ref(k), c);
}

static dt_status run_bn_sums(lagging_call *c, dt_error *err)
{
    return c->ref->ops->bn_sums(c->ref, &c->t[0], c->out[0], err);
}

static dt_status bn_sums(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err)
{
    return lagging_enqueue(k, "bn_sums", run_bn_sums, &(lagging_call){.t = {*y}, .out = {sums}}, err);
}

static dt_status run_bn_finalize(lagging_call *c, dt_error *err)
{
    return c->ref->ops->bn_finalize(c->ref, &c->forward, err);
}

static dt_status bn_finalize(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    return lagging_enqueue(k, "bn_finalize", run_bn_finalize, &(lagging_call){.forward = *bn}, err);
}

static dt_status run_bn_inference(lagging_call *c, dt_error *err)
{
    return c->ref->ops->bn_inference(c->ref, c->n, c->in[0], c->in[1], c->in[2], c->in[3], c->real[0],
                                     c->out[0], c->out[1], err);
}

static dt_status bn_inference(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                              const float *mean, const float *var, float eps, float *scale, float *bias,
                              dt_error *err)
{
    return lagging_enqueue(
        k, "bn_inference", run_bn_inference,
        &(lagging_call){.n = c, .in = {gamma, beta, mean, var}, .real = {eps}, .out = {scale, bias}}, err);
}

static dt_status run_bn_backward_reduce(lagging_call *c, dt_error *err)
{
    return c->ref->ops->bn_backward_reduce(c->ref, lagging_bn(c, 0), &c->t[0], &c->t[1], err);
}

static dt_status bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *err)
{
    return lagging_enqueue(k, "bn_backward_reduce", run_bn_backward_reduce,
                           &(lagging_call){.bn = {lagging_copy_bn(bn)}, .t = {*dv, *dz}}, err);
}

static dt_status run_bn_backward_apply(lagging_call *c, dt_error *err)
{
    return c->ref->ops->bn_backward_apply(c->ref, &c->apply, &c->x, &c->t[0], &c->t[1], err);
}

static dt_status bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *err)
{
    return lagging_enqueue(k, "bn_backward_apply", run_bn_backward_apply,
                           &(lagging_call){.apply = *bn, .x = *x, .t = {*dz, *dy}}, err);
}

static dt_status run_max_pool_forward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->max_pool_forward(c->ref, &c->pool, &c->x, &c->t[0], c->out[0], err);
}

static dt_status max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *err)
{
    return lagging_enqueue(k, "max_pool_forward", run_max_pool_forward,
                           &(lagging_call){.pool = *pool, .x = *x, .t = {*y}, .out = {argmax}}, err);
}

static dt_status run_max_pool_backward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->max_pool_backward(c->ref, &c->pool, &c->t[0], c->in[0], lagging_bn(c, 0), &c->t[1],
                                          err);
}

static dt_status max_pool_backward(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                   const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                   dt_error *err)
{
    return lagging_enqueue(
        k, "max_pool_backward", run_max_pool_backward,
        &(lagging_call){.pool = *pool, .t = {*dy, *dz}, .in = {argmax}, .bn = {lagging_copy_bn(bn)}}, err);
}

static dt_status run_average_pool_forward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->average_pool_forward(c->ref, &c->t[0], &c->t[1], err);
}

static dt_status average_pool_forward(dt_kernels *k, const dt_tensor *x, const dt_tensor *y, dt_error *err)
{
    return lagging_enqueue(k, "average_pool_forward", run_average_pool_forward,
                           &(lagging_call){.t = {*x, *y}}, err);
}

static dt_status run_average_pool_backward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->average_pool_backward(c->ref, &c->t[0], &c->t[1], err);
}

static dt_status average_pool_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx, dt_error *err)
{
    return lagging_enqueue(k, "average_pool_backward", run_average_pool_backward,
                           &(lagging_call){.t = {*dy, *dx}}, err);
}

static dt_status linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                               dt_error *err)
{
    return lagging_ref(k)->ops->linear_create(lagging_ref(k), n, c, n_out, linear, err);
}

static void linear_destroy(dt_kernels *k, dt_linear *linear)
{
    lagging_ref(k)->ops->linear_destroy(lagging_ref(k), linear);
}

static dt_status run_linear_forward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->linear_forward(c->ref, c->linear, &c->t[0], c->in[0], c->in[1], &c->t[1], err);
}

static dt_status linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err)
{
    return lagging_enqueue(k, "linear_forward", run_linear_forward,
                           &(lagging_call){.linear = linear, .t = {*x, *y}, .in = {w, bias}}, err);
}

static dt_status run_linear_backward(lagging_call *c, dt_error *err)
{
    return c->ref->ops->linear_backward(c->ref, c->linear, &c->t[0], c->in[0], &c->t[1], &c->t[2], c->out[0],
                                        c->out[1], c->flag, err);
}

static dt_status linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err)
{
    return lagging_enqueue(
        k, "linear_backward", run_linear_backward,
        &(lagging_call){
            .linear = linear, .t = {*x, *dy, *dx}, .in = {w}, .out = {dw, dbias}, .flag = accumulate},
        err);
}

static dt_status run_softmax_loss(lagging_call *c, dt_error *err)
{
    return c->ref->ops->softmax_loss(c->ref, &c->t[0], c->in[0], c->real[0], c->real[1], c->in[1],
                                     lagging_tensor(c, 1), c->out[0], err);
}

static dt_status softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                              dt_loss_sums *sums, dt_error *err)
{
    lagging_call c = {.in = {labels, loss_scale}, .real = {smoothing, grad_scale}, .out = {sums}};
    lagging_put_tensor(&c, 0, logits);
    lagging_put_tensor(&c, 1, dlogits);
    return lagging_enqueue(k, "softmax_loss", run_softmax_loss, &c, err);
}

/* -- a step ---------------------------------------------------------------------------------------------- */

static dt_status run_step_begin(lagging_call *c, dt_error *err)
{
    return c->ref->ops->step_begin(c->ref, c->in[0], c->out[0], c->out[1], c->n, err);
}

static dt_status step_begin(dt_kernels *k, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                            int64_t n, dt_error *err)
{
    return lagging_enqueue(k, "step_begin", run_step_begin,
                           &(lagging_call){.in = {in}, .out = {loss, votes}, .n = n}, err);
}

static dt_status run_step_record(lagging_call *c, dt_error *err)
{
    return c->ref->ops->step_record(c->ref, c->out[0], c->in[0], c->in[1], c->in[2], c->out[1], c->n, err);
}

static dt_status step_record(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                             const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                             int64_t n_ring, dt_error *err)
{
    return lagging_enqueue(k, "step_record", run_step_record,
                           &(lagging_call){.out = {state, ring}, .in = {global, local, votes}, .n = n_ring},
                           err);
}

static dt_status optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n, dt_optimizer **optimizer,
                                  dt_error *err)
{
    return lagging_ref(k)->ops->optimizer_create(lagging_ref(k), desc, segments, n, optimizer, err);
}

static void optimizer_destroy(dt_kernels *k, dt_optimizer *optimizer)
{
    lagging_ref(k)->ops->optimizer_destroy(lagging_ref(k), optimizer);
}

static dt_status run_optimizer_step(lagging_call *c, dt_error *err)
{
    return c->ref->ops->optimizer_step(c->ref, c->optimizer, &c->vectors, c->in[0], c->out[0], err);
}

static dt_status optimizer_step(dt_kernels *k, dt_optimizer *optimizer, const dt_optimizer_vectors *v,
                                const dt_step_inputs *inputs, dt_step_state *state, dt_error *err)
{
    return lagging_enqueue(
        k, "optimizer_step", run_optimizer_step,
        &(lagging_call){.optimizer = optimizer, .vectors = *v, .in = {inputs}, .out = {state}}, err);
}

static void destroy(dt_kernels *k)
{
    lagging_kernels *l = (lagging_kernels *)k;
    l->ref->ops->destroy(l->ref);
    l->host->ops->destroy(l->host);
    free(l);
}

dt_status lagging_kernels_create(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err)
{
    static const dt_kernels_ops ops = {.name = "lagging",
                                       .destroy = destroy,
                                       .tensor_bytes = tensor_bytes,
                                       .layout_name = layout_name,
                                       .scratch_bytes = scratch_bytes,
                                       .normalize_input = normalize_input,
                                       .conv_create = conv_create,
                                       .conv_destroy = conv_destroy,
                                       .conv_fusions = conv_fusions,
                                       .conv_weights_elems = conv_weights_elems,
                                       .conv_weights_order = conv_weights_order,
                                       .conv_weights_changed = conv_weights_changed,
                                       .conv_forward = conv_forward,
                                       .conv_backward_data = conv_backward_data,
                                       .conv_backward_weights = conv_backward_weights,
                                       .bn_sums_bytes = bn_sums_bytes,
                                       .bn_sums = bn_sums,
                                       .bn_finalize = bn_finalize,
                                       .bn_inference = bn_inference,
                                       .bn_backward_reduce = bn_backward_reduce,
                                       .bn_backward_apply = bn_backward_apply,
                                       .max_pool_forward = max_pool_forward,
                                       .max_pool_backward = max_pool_backward,
                                       .average_pool_forward = average_pool_forward,
                                       .average_pool_backward = average_pool_backward,
                                       .linear_create = linear_create,
                                       .linear_destroy = linear_destroy,
                                       .linear_forward = linear_forward,
                                       .linear_backward = linear_backward,
                                       .softmax_loss = softmax_loss,
                                       .step_begin = step_begin,
                                       .step_record = step_record,
                                       .optimizer_create = optimizer_create,
                                       .optimizer_destroy = optimizer_destroy,
                                       .optimizer_step = optimizer_step};
    lagging_kernels *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    l->head = (dt_kernels){.ops = &ops, .device = device, .dtype = dtype};
    dt_status status = dt_device_host_create(1, &l->host, err);
    if (status == DT_OK)
        status = dt_kernels_ref_create(l->host, dtype, &l->ref, err);
    if (status == DT_OK)
        *kernels = &l->head;
    return status;
}
