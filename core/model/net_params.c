/* net_params.c: the flat vectors of parameters, gradients and momentum, and the state as the store sees it. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/net_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_trained(const dt_param *p)
{
    return p->kind != DT_PARAM_STATISTIC;
}

static int64_t aligned(int64_t elems)
{
    return (elems + DT_PARAM_ALIGNMENT - 1) / DT_PARAM_ALIGNMENT * DT_PARAM_ALIGNMENT;
}

/* Trained parameters first, then statistics, then the step's floats. */
static void assign_places(dt_net *net)
{
    int64_t at = 0;
    for (int64_t i = 0; i < net->n_params; i++)
        if (is_trained(&net->params[i])) {
            net->params[i].first = at;
            at += aligned(net->params[i].n_native);
        }
    net->vectors.n_trained = at;
    for (int64_t i = 0; i < net->n_params; i++)
        if (!is_trained(&net->params[i])) {
            net->params[i].first = at;
            at += aligned(net->params[i].n_native);
        }
    net->vectors.n_statistics = at - net->vectors.n_trained;
    net->vectors.n_all = at + DT_STEP_FLOATS;
}

static dt_status alloc_vector(dt_net *net, int64_t n, const char *what, float **vector, dt_error *err)
{
    dt_device *device = net->kernels->device;
    int64_t bytes = n * (int64_t)sizeof(float);
    *vector = device->ops->alloc(device, bytes);
    if (!*vector)
        return dt_fail_memory(err, (size_t)bytes, what);
    return device->ops->zero(device, *vector, bytes, NULL, err);
}

static dt_status alloc_vectors(dt_net *net, dt_error *err)
{
    dt_net_vectors *v = &net->vectors;
    if (net->options.plan_only || v->values)
        return DT_OK;
    DT_TRY(alloc_vector(net, v->n_all, "the parameters", &v->values, err));
    if (!net->options.training) {
        DT_TRY(alloc_vector(net, DT_STEP_FLOATS, "the loss", (float **)&net->eval_loss, err));
        v->loss = net->eval_loss;
        return DT_OK;
    }
    DT_TRY(alloc_vector(net, v->n_all, "the gradients", &v->grads, err));
    DT_TRY(alloc_vector(net, v->n_trained, "the momentum", &v->momentum, err));
    if (net->options.ema)
        DT_TRY(alloc_vector(net, v->n_trained + v->n_statistics, "the running averages", &v->ema, err));
    v->loss = (dt_loss_sums *)(v->grads + v->n_all - DT_STEP_FLOATS);
    v->votes = v->grads + v->n_all - DT_STEP_FLOATS + sizeof(dt_loss_sums) / sizeof(float);
    return DT_OK;
}

/* One part for each layer with trained parameters, then one for statistics and the step's floats. */
static dt_status build_parts(dt_net *net, dt_error *err)
{
    if (net->parts)
        return DT_OK;
    net->parts = dt_calloc((size_t)net->n_layers + 1, sizeof *net->parts);
    net->part_of_layer = dt_calloc((size_t)net->n_layers + 1, sizeof *net->part_of_layer);
    if (!net->parts || !net->part_of_layer)
        return dt_fail_memory(err, (size_t)net->n_layers * sizeof *net->parts, "the parts of the gradients");
    for (int64_t i = 0; i < net->n_layers; i++)
        net->part_of_layer[i] = -1;
    for (int64_t i = 0; i < net->n_params; i++) {
        const dt_param *p = &net->params[i];
        if (!is_trained(p))
            continue;
        if (net->part_of_layer[p->layer] < 0) {
            net->part_of_layer[p->layer] = net->n_parts;
            net->parts[net->n_parts++] = (dt_grad_part){.first = p->first};
        }
        net->parts[net->n_parts - 1].n += aligned(p->n_native);
    }
    net->parts[net->n_parts++] = (dt_grad_part){net->vectors.n_trained, net->vectors.n_all - net->vectors.n_trained, true};
    return DT_OK;
}

static void describe(const dt_param *p, const char *prefix, dt_state_layout *layout, dt_state_tensor *t)
{
    *t = (dt_state_tensor){.n_dims = p->n_dims, .n_elems = p->n_canonical, .first = layout->n_elems};
    memcpy(t->dims, p->dims, sizeof t->dims);
    snprintf(t->name, sizeof t->name, "%s/%.*s", prefix, (int)(sizeof t->name - 12), p->name);
    layout->n_elems += p->n_canonical;
    layout->n_tensors++;
}

/* "param/..." and "buffer/..." in the order of the layers, then "momentum/...", then "ema/..." of both. */
static dt_status build_state_layout(dt_net *net, dt_error *err)
{
    if (net->state_tensors)
        return DT_OK;
    size_t bytes = 3 * (size_t)net->n_params * sizeof *net->state_tensors;
    net->state_tensors = dt_alloc(bytes);
    if (!net->state_tensors)
        return dt_fail_memory(err, bytes, "the state's layout");
    net->layout = (dt_state_layout){.tensors = net->state_tensors};
    for (int64_t i = 0; i < net->n_params; i++)
        describe(&net->params[i], is_trained(&net->params[i]) ? "param" : "buffer", &net->layout, &net->state_tensors[net->layout.n_tensors]);
    for (int64_t i = 0; i < net->n_params && net->options.training; i++)
        if (is_trained(&net->params[i]))
            describe(&net->params[i], "momentum", &net->layout, &net->state_tensors[net->layout.n_tensors]);
    for (int64_t i = 0; i < net->n_params && net->options.training && net->options.ema; i++)
        describe(&net->params[i], "ema", &net->layout, &net->state_tensors[net->layout.n_tensors]);
    return DT_OK;
}

dt_status dt_net_build_params(dt_net *net, dt_error *err)
{
    assign_places(net);
    DT_TRY(alloc_vectors(net, err));
    if (net->vectors.values && net->kernels->ops->values_bind && !net->values_bound) {
        DT_TRY(net->kernels->ops->values_bind(net->kernels, net->vectors.values, net->vectors.n_all, err));
        net->values_bound = true;
    }
    for (int64_t i = 0; i < net->n_params; i++) {
        const dt_param *p = &net->params[i];
        *p->value = net->vectors.values ? net->vectors.values + p->first : NULL;
        *p->grad = net->vectors.grads ? net->vectors.grads + p->first : NULL;
    }
    DT_TRY(build_parts(net, err));
    return build_state_layout(net, err);
}

/* -- one parameter ------------------------------------------------------------------------------------------------ */

dt_status dt_net_param_import(dt_net *net, const dt_param *p, const float *canonical, float *native, dt_error *err)
{
    dt_layer *layer = net->layers[p->layer];
    dt_device *device = net->kernels->device;
    if (layer->ops->param_import)
        return layer->ops->param_import(layer, p->which, canonical, native, err);
    DT_TRY(device->ops->copy(device, native, canonical, p->n_canonical * (int64_t)sizeof(float), DT_COPY_TO_DEVICE, NULL, err));
    return device->ops->stream_wait(device, NULL, err);
}

dt_status dt_net_param_export(dt_net *net, const dt_param *p, const float *native, float *canonical, dt_error *err)
{
    dt_layer *layer = net->layers[p->layer];
    dt_device *device = net->kernels->device;
    if (layer->ops->param_export)
        return layer->ops->param_export(layer, p->which, native, canonical, err);
    DT_TRY(device->ops->copy(device, canonical, native, p->n_canonical * (int64_t)sizeof(float), DT_COPY_TO_HOST, NULL, err));
    return device->ops->stream_wait(device, NULL, err);
}

/* Initial values are drawn in canonical order for (seed, parameter), so that no backend's layout changes them. */
static void draw(const dt_param *p, int64_t index, uint64_t seed, bool zero_init_gamma, float *canonical)
{
    dt_rng g = dt_rng_at(seed, DT_RNG_INIT, (uint64_t)index, 0);
    float deviation = sqrtf(2.0f / (float)p->fan), bound = 1.0f / sqrtf((float)p->fan);
    for (int64_t i = 0; i < p->n_canonical; i++)
        switch (p->init) {
        case DT_INIT_ZERO: canonical[i] = 0.0f; break;
        case DT_INIT_ONE: canonical[i] = zero_init_gamma && p->last_of_branch ? 0.0f : 1.0f; break;
        case DT_INIT_HE_FAN_OUT: canonical[i] = deviation * dt_rng_normal(&g); break;
        case DT_INIT_UNIFORM_FAN_IN: canonical[i] = bound * (2.0f * dt_rng_uniform(&g) - 1.0f); break;
        }
}

dt_status dt_net_init(dt_net *net, uint64_t seed, bool zero_init_gamma, dt_error *err)
{
    int64_t largest = 1;
    dt_status status = DT_OK;
    for (int64_t i = 0; i < net->n_params; i++)
        largest = net->params[i].n_canonical > largest ? net->params[i].n_canonical : largest;
    float *canonical = dt_alloc((size_t)largest * sizeof *canonical);
    if (!canonical)
        return dt_fail_memory(err, (size_t)largest * sizeof *canonical, "the initial values");
    for (int64_t i = 0; i < net->n_params && status == DT_OK; i++) {
        draw(&net->params[i], i, seed, zero_init_gamma, canonical);
        status = dt_net_param_import(net, &net->params[i], canonical, *net->params[i].value, err);
    }
    dt_free(canonical);
    if (status == DT_OK && net->vectors.momentum)
        status = net->kernels->device->ops->zero(net->kernels->device, net->vectors.momentum, net->vectors.n_trained * (int64_t)sizeof(float), NULL, err);
    DT_TRY(status);
    DT_TRY(dt_net_start_ema(net, err));
    return dt_net_weights_changed(net, err);
}

/* -- running averages ------------------------------------------------------------------------------------------------- */

static dt_status copy_values(dt_net *net, float *to, const float *from, dt_error *err)
{
    dt_device *device = net->kernels->device;
    int64_t bytes = (net->vectors.n_trained + net->vectors.n_statistics) * (int64_t)sizeof(float);
    return device->ops->copy(device, to, from, bytes, DT_COPY_ON_DEVICE, NULL, err);
}

dt_status dt_net_start_ema(dt_net *net, dt_error *err)
{
    return net->vectors.ema ? copy_values(net, net->vectors.ema, net->vectors.values, err) : DT_OK;
}

dt_status dt_net_swap_ema(dt_net *net, dt_error *err)
{
    const dt_net_vectors *v = &net->vectors;
    if (!v->ema)
        return DT_OK;
    DT_TRY(copy_values(net, v->grads, v->values, err));
    DT_TRY(copy_values(net, v->values, v->ema, err));
    DT_TRY(copy_values(net, v->ema, v->grads, err));
    return dt_net_weights_changed(net, err);
}

static dt_update_rule rule_of(const dt_param *p, const dt_update_options *options)
{
    if (!is_trained(p))
        return DT_UPDATE_RUNNING_AVERAGE;
    return options->lars && p->kind == DT_PARAM_WEIGHT ? DT_UPDATE_LARS : DT_UPDATE_SGD;
}

dt_status dt_net_update_segments(const dt_net *net, const dt_update_options *options, dt_update_segment **segments, int64_t *n, dt_error *err)
{
    dt_update_segment *s = dt_alloc((size_t)(net->n_params + 1) * sizeof *s);
    if (!s)
        return dt_fail_memory(err, (size_t)net->n_params * sizeof *s, "the optimizer's segments");
    int64_t count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < net->n_params; i++) {
            const dt_param *p = &net->params[i];
            if (is_trained(p) != (pass == 0))
                continue;
            bool decays = is_trained(p) && (p->kind != DT_PARAM_BN || options->bn_decay);
            s[count++] = (dt_update_segment){p->first, aligned(p->n_native), rule_of(p, options), decays ? (float)options->weight_decay : 0.0f};
        }
    *segments = s;
    *n = count;
    return DT_OK;
}

/* -- the state, for the store --------------------------------------------------------------------------------------- */

/* The parameter behind a tensor of the layout, and where it lies now. */
static const dt_param *tensor_place(const dt_net *net, int64_t tensor, float **native)
{
    if (tensor < net->n_params) {
        *native = *net->params[tensor].value;
        return &net->params[tensor];
    }
    int64_t left = tensor - net->n_params;
    for (int64_t i = 0; i < net->n_params; i++)
        if (is_trained(&net->params[i]) && left-- == 0) {
            *native = net->vectors.momentum + net->params[i].first;
            return &net->params[i];
        }
    if (net->vectors.ema && left >= 0 && left < net->n_params) {
        *native = net->vectors.ema + net->params[left].first;
        return &net->params[left];
    }
    return NULL;
}

static dt_status state_get(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    float *native = NULL;
    const dt_param *p = tensor_place(context, tensor, &native);
    if (!p)
        return dt_fail(err, DT_ERR_INTERNAL, "the state has no tensor %lld", (long long)tensor);
    return dt_net_param_export(context, p, native, canonical, err);
}

static dt_status state_set(void *context, int64_t tensor, const float *canonical, dt_error *err)
{
    float *native = NULL;
    const dt_param *p = tensor_place(context, tensor, &native);
    if (!p)
        return dt_fail(err, DT_ERR_INTERNAL, "the state has no tensor %lld", (long long)tensor);
    return dt_net_param_import(context, p, canonical, native, err);
}

const dt_state_layout *dt_net_state_layout(const dt_net *net)
{
    return &net->layout;
}

dt_state_io dt_net_state_io(dt_net *net)
{
    return (dt_state_io){.context = net, .get = state_get, .set = state_set};
}

void dt_net_get_vectors(dt_net *net, dt_net_vectors *vectors)
{
    *vectors = net->vectors;
}

const dt_grad_part *dt_net_grad_parts(const dt_net *net, int64_t *n)
{
    *n = net->n_parts;
    return net->parts;
}
