/* net_params.c: the flat vectors of parameters, gradients and momentum: where each parameter lies in them,
 * and what is done to all of them. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/net_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Trained parameters first, then statistics, then the step's floats. */
static void assign_places(dt_net *net)
{
    int64_t at = 0;
    for (int64_t i = 0; i < net->n_params; i++)
        if (dt_param_is_trained(&net->params[i])) {
            net->params[i].first = at;
            at += dt_param_room(&net->params[i]);
        }
    net->vectors.n_trained = at;
    for (int64_t i = 0; i < net->n_params; i++)
        if (!dt_param_is_trained(&net->params[i])) {
            net->params[i].first = at;
            at += dt_param_room(&net->params[i]);
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
        if (!dt_param_is_trained(p))
            continue;
        if (net->part_of_layer[p->layer] < 0) {
            net->part_of_layer[p->layer] = net->n_parts;
            net->parts[net->n_parts++] = (dt_grad_part){.first = p->first};
        }
        net->parts[net->n_parts - 1].n += dt_param_room(p);
    }
    net->parts[net->n_parts++] =
        (dt_grad_part){net->vectors.n_trained, net->vectors.n_all - net->vectors.n_trained, true};
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
    return dt_net_build_state(net, err);
}

/* -- initial values -------------------------------------------------------------------------------------- */

/* Initial values are drawn in canonical order for (seed, parameter), so that no backend's layout changes
 * them. */
static void draw(const dt_param *p, int64_t index, uint64_t seed, bool zero_init_gamma, float *canonical)
{
    dt_rng g = dt_rng_at(seed, DT_RNG_INIT, (uint64_t)index, 0);
    float deviation = sqrtf(2.0f / (float)p->fan), bound = 1.0f / sqrtf((float)p->fan);
    for (int64_t i = 0; i < p->n_canonical; i++)
        switch (p->init) {
        case DT_INIT_ZERO:
            canonical[i] = 0.0f;
            break;
        case DT_INIT_ONE:
            canonical[i] = zero_init_gamma && p->last_of_branch ? 0.0f : 1.0f;
            break;
        case DT_INIT_HE_FAN_OUT:
            canonical[i] = deviation * dt_rng_normal(&g);
            break;
        case DT_INIT_UNIFORM_FAN_IN:
            canonical[i] = bound * (2.0f * dt_rng_uniform(&g) - 1.0f);
            break;
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
        status = dt_net_import(net, &net->tensor_addresses[i], canonical, err);
    }
    dt_free(canonical);
    if (status == DT_OK && net->vectors.momentum)
        status = net->kernels->device->ops->zero(net->kernels->device, net->vectors.momentum,
                                                 net->vectors.n_trained * (int64_t)sizeof(float), NULL, err);
    DT_TRY(status);
    DT_TRY(dt_net_start_ema(net, err));
    return dt_net_weights_changed(net, err);
}

/* -- running averages ------------------------------------------------------------------------------------ */

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
    if (!dt_param_is_trained(p))
        return DT_UPDATE_RUNNING_AVERAGE;
    return options->lars && p->kind == DT_PARAM_WEIGHT ? DT_UPDATE_LARS : DT_UPDATE_SGD;
}

dt_status dt_net_update_segments(const dt_net *net, const dt_update_options *options,
                                 dt_update_segment **segments, int64_t *n, dt_error *err)
{
    dt_update_segment *s = dt_alloc((size_t)(net->n_params + 1) * sizeof *s);
    if (!s)
        return dt_fail_memory(err, (size_t)net->n_params * sizeof *s, "the optimizer's segments");
    int64_t count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < net->n_params; i++) {
            const dt_param *p = &net->params[i];
            if (dt_param_is_trained(p) != (pass == 0))
                continue;
            bool decays = dt_param_is_trained(p) && (p->kind != DT_PARAM_BN || options->bn_decay);
            s[count++] = (dt_update_segment){p->first, dt_param_room(p), rule_of(p, options),
                                             decays ? (float)options->weight_decay : 0.0f};
        }
    *segments = s;
    *n = count;
    return DT_OK;
}

/* -- for others ------------------------------------------------------------------------------------------ */

void dt_net_get_vectors(dt_net *net, dt_net_vectors *vectors)
{
    *vectors = net->vectors;
}

const dt_grad_part *dt_net_grad_parts(const dt_net *net, int64_t *n)
{
    *n = net->n_parts;
    return net->parts;
}
