/* net.c: create, resize and describe a net: the order in which the other net_*.c build its parts. */
#include "core/base/alloc.h"
#include "core/model/net_internal.h"

#include <stdio.h>
#include <string.h>

dt_status dt_net_create(const dt_net_spec *spec, const dt_layer_ops *const *registry, dt_kernels *kernels,
                        const dt_net_options *options, dt_net **net, dt_error *err)
{
    dt_status status = DT_OK;
    dt_net *n = dt_calloc(1, sizeof *n);
    if (!n)
        return dt_fail_memory(err, sizeof *n, "the net");
    n->kernels = kernels;
    n->options = *options;
    n->n_layers = spec->n_layers;
    n->n_classes = spec->n_classes;
    snprintf(n->arch, sizeof n->arch, "%s", spec->arch);
    n->registry = registry;
    n->specs = dt_calloc((size_t)n->n_layers + 1, sizeof *n->specs);
    n->layers = dt_calloc((size_t)n->n_layers, sizeof(dt_layer *));
    n->values = dt_calloc((size_t)n->n_layers + 1, sizeof *n->values);
    n->value_plans = dt_calloc((size_t)n->n_layers + 1, sizeof *n->value_plans);
    if (!n->specs || !n->layers || !n->values || !n->value_plans) {
        status = dt_fail_memory(err, (size_t)n->n_layers * sizeof *n->values, "the net's values");
        goto fail;
    }
    memcpy(n->specs, spec->layers, (size_t)n->n_layers * sizeof *n->specs);
    DT_TRY_OR_FAIL(status, dt_net_build_layers(n, err));
    DT_TRY_OR_FAIL(status, dt_net_build_params(n, err));
    DT_TRY_OR_FAIL(status, dt_net_build_state(n, err));
    DT_TRY_OR_FAIL(status, dt_net_build_memory(n, err));
    *net = n;
    return DT_OK;
fail:
    dt_net_destroy(n);
    return status;
}

void dt_net_destroy(dt_net *net)
{
    if (!net)
        return;
    dt_device *device = net->kernels->device;
    dt_error ignored;
    dt_net_clear_layers(net);
    if (net->values_bound)
        (void)net->kernels->ops->values_bind(net->kernels, NULL, NULL, 0, &ignored);
    device->ops->free(device, net->vectors.values);
    device->ops->free(device, net->vectors.grads);
    device->ops->free(device, net->vectors.momentum);
    device->ops->free(device, net->vectors.ema);
    device->ops->free(device, net->eval_loss);
    dt_free(net->specs);
    dt_free(net->layers);
    dt_free(net->values);
    dt_free(net->value_plans);
    dt_free(net->blocks);
    dt_free(net->patches);
    dt_free(net->params);
    dt_free(net->parts);
    dt_free(net->part_of_layer);
    dt_free(net->state_tensors);
    dt_free(net->tensor_addresses);
    dt_free(net);
}

dt_status dt_net_resize(dt_net *net, int64_t image_size, dt_error *err)
{
    if (image_size == net->options.image_size)
        return DT_OK;
    net->options.image_size = image_size;
    return dt_net_rebuild(net, err);
}

dt_status dt_net_rebuild(dt_net *net, dt_error *err)
{
    dt_net_clear_layers(net);
    DT_TRY(dt_net_build_layers(net, err));
    DT_TRY(dt_net_build_params(net, err));
    DT_TRY(dt_net_build_state(net, err));
    DT_TRY(dt_net_build_memory(net, err));
    return dt_net_weights_changed(net, err);
}

void dt_net_get_info(const dt_net *net, dt_net_info *info)
{
    *info = (dt_net_info){.n_layers = net->n_layers,
                          .activation_bytes = net->memory_bytes,
                          .activation_bytes_unplanned = net->unplanned_bytes};
    for (int64_t i = 0; i < net->n_params; i++)
        if (net->params[i].kind != DT_PARAM_STATISTIC)
            info->n_params += net->params[i].n_canonical;
    const dt_net_vectors *v = &net->vectors;
    int64_t floats = v->n_all + (net->options.training ? v->n_all + v->n_trained : 0) +
                     (net->options.ema ? v->n_trained + v->n_statistics : 0);
    info->parameter_bytes = floats * (int64_t)sizeof(float);
    for (int64_t i = 0; i < net->addresses.n_tensors; i++) {
        const int64_t bytes = net->tensor_addresses[i].n_elems * (int64_t)sizeof(float);
        info->state_bytes += bytes;
        info->largest_bytes = bytes > info->largest_bytes ? bytes : info->largest_bytes;
    }
    info->backend_bytes = net->kernels->ops->scratch_bytes(net->kernels);
    for (int64_t i = 0; i < net->n_layers; i++)
        if (net->layers[i]->ops->forward_macs)
            info->forward_macs += net->layers[i]->ops->forward_macs(net->layers[i]);
    info->forward_macs /= net->options.batch;
}

static const dt_tensor *value_tensor(const dt_net *net, int64_t value)
{
    return &net->values[value].act.raw;
}

void dt_net_layer_traffic(const dt_net *net, int64_t layer, dt_layer_phase phase, dt_layer_traffic *traffic)
{
    if (layer < 0) { /* pixels, one byte each, to the backend's elements */
        const dt_tensor *t = value_tensor(net, 0);
        const int64_t pixels = t->n * t->h * t->w;
        *traffic = (dt_layer_traffic){.name = "input", .kind = "normalize"};
        if (phase == DT_LAYER_FORWARD)
            traffic->bytes =
                pixels * 3 + net->kernels->ops->tensor_bytes(net->kernels, t->n, t->c, t->h, t->w);
        return;
    }
    const dt_layer *l = net->layers[layer];
    *traffic = (dt_layer_traffic){.name = l->name, .kind = l->ops->kind};
    if (l->ops->traffic_bytes)
        traffic->bytes = l->ops->traffic_bytes(l, phase);
    if (l->ops->forward_macs)
        traffic->flops = 2.0 * (double)l->ops->forward_macs(l) *
                         (phase == DT_LAYER_FORWARD ? 1.0
                          : layer == 0              ? 1.0
                                                    : 2.0);
}
