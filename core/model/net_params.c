/* net_params.c: the flat vectors: where each parameter lies in them, the parts that ranks sum gradients in,
 * and the update rule of each segment. */
#include "core/base/alloc.h"
#include "core/model/net_internal.h"

#include <string.h>

/* Trained parameters come first, then statistics, then the step's floats. */
static void assign_offsets(dt_net *net)
{
    int64_t at = 0;
    for (int64_t i = 0; i < net->n_params; i++)
        if (dt_param_is_trained(&net->params[i])) {
            net->params[i].first = at;
            at += dt_param_padded_elems(&net->params[i]);
        }
    net->vectors.n_trained = at;
    for (int64_t i = 0; i < net->n_params; i++)
        if (!dt_param_is_trained(&net->params[i])) {
            net->params[i].first = at;
            at += dt_param_padded_elems(&net->params[i]);
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
        net->parts[net->n_parts - 1].n += dt_param_padded_elems(p);
    }
    net->parts[net->n_parts++] =
        (dt_grad_part){net->vectors.n_trained, net->vectors.n_all - net->vectors.n_trained, true};
    return DT_OK;
}

dt_status dt_net_build_params(dt_net *net, dt_error *err)
{
    assign_offsets(net);
    DT_TRY(alloc_vectors(net, err));
    if (net->vectors.values && net->kernels->ops->values_bind && !net->values_bound) {
        DT_TRY(net->kernels->ops->values_bind(net->kernels, net->vectors.values, net->vectors.grads,
                                              net->vectors.n_all, err));
        net->values_bound = true;
    }
    for (int64_t i = 0; i < net->n_params; i++) {
        const dt_param *p = &net->params[i];
        *p->value = net->vectors.values ? net->vectors.values + p->first : NULL;
        *p->grad = net->vectors.grads ? net->vectors.grads + p->first : NULL;
    }
    return build_parts(net, err);
}

static dt_update_rule rule_of(const dt_param *p, const dt_update_options *options)
{
    if (!dt_param_is_trained(p))
        return DT_UPDATE_RUNNING_AVERAGE;
    return options->lars && p->kind == DT_PARAM_WEIGHT ? DT_UPDATE_LARS : DT_UPDATE_SGD;
}

static bool has_decay(const dt_param *p, const dt_update_options *options)
{
    const char *name = strrchr(p->name, '.');
    if (!dt_param_is_trained(p) || (p->kind == DT_PARAM_BN && !options->bn_decay))
        return false;
    return options->bias_decay || !name || strcmp(name, ".bias") != 0;
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
            s[count++] = (dt_update_segment){p->first, dt_param_padded_elems(p), rule_of(p, options),
                                             has_decay(p, options) ? (float)options->weight_decay : 0.0f};
        }
    *segments = s;
    *n = count;
    return DT_OK;
}

/* -- for the step ---------------------------------------------------------------------------------------- */

void dt_net_get_vectors(dt_net *net, dt_net_vectors *vectors)
{
    *vectors = net->vectors;
}

const dt_grad_part *dt_net_grad_parts(const dt_net *net, int64_t *n)
{
    *n = net->n_parts;
    return net->parts;
}
