/* net.c: create a net, run it forward and backward. See net_build.c for memory and net_params.c for parameters. */
#include "core/base/alloc.h"
#include "core/model/net_internal.h"

#include <stdio.h>

/* ImageNet's, of RGB in 0..1: what every published ResNet was trained with. */
static const float image_mean[3] = {0.485f, 0.456f, 0.406f};
static const float image_std[3] = {0.229f, 0.224f, 0.225f};

dt_status dt_net_create(const dt_net_spec *spec, const dt_layer_ops *const *registry, dt_kernels *kernels, const dt_net_options *options, dt_net **net,
                        dt_error *err)
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
    n->layers = dt_calloc((size_t)n->n_layers, sizeof(dt_layer *));
    n->values = dt_calloc((size_t)n->n_layers + 1, sizeof *n->values);
    n->value_plans = dt_calloc((size_t)n->n_layers + 1, sizeof *n->value_plans);
    if (!n->layers || !n->values || !n->value_plans) {
        status = dt_fail_memory(err, (size_t)n->n_layers * sizeof *n->values, "the net's values");
        goto fail;
    }
    DT_TRY_OR_FAIL(status, dt_net_build_layers(n, spec, registry, err));
    DT_TRY_OR_FAIL(status, dt_net_build_params(n, err));
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
    for (int64_t i = 0; net->layers && i < net->n_layers; i++)
        if (net->layers[i])
            net->layers[i]->ops->destroy(net->layers[i]);
    device->ops->free(device, net->memory);
    device->ops->free(device, net->vectors.values);
    device->ops->free(device, net->vectors.grads);
    device->ops->free(device, net->vectors.momentum);
    device->ops->free(device, net->eval_loss);
    dt_free(net->layers);
    dt_free(net->values);
    dt_free(net->value_plans);
    dt_free(net->blocks);
    dt_free(net->patches);
    dt_free(net->params);
    dt_free(net->parts);
    dt_free(net->part_of_layer);
    dt_free(net->state_tensors);
    dt_free(net);
}

dt_status dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err)
{
    dt_kernels *k = net->kernels;
    DT_TRY(k->ops->normalize_input(k, pixels, image_mean, image_std, &net->values[0].act.raw, err));
    for (int64_t i = 0; i < net->n_layers; i++)
        DT_TRY(net->layers[i]->ops->forward(net->layers[i], pass, err));
    return DT_OK;
}

dt_status dt_net_backward(dt_net *net, const dt_pass *pass, dt_net_ready *ready, void *context, dt_error *err)
{
    for (int64_t v = 0; v <= net->n_layers; v++) {
        net->values[v].n_pending = net->values[v].n_consumers;
        net->values[v].grad_reduced = false;
    }
    if (ready)
        DT_TRY(ready(context, net->n_parts - 1, err)); /* statistics and loss are known since forward */
    for (int64_t i = net->n_layers - 1; i >= 0; i--) {
        DT_TRY(net->layers[i]->ops->backward(net->layers[i], pass, err));
        if (ready && net->part_of_layer[i] >= 0)
            DT_TRY(ready(context, net->part_of_layer[i], err));
    }
    return DT_OK;
}

dt_status dt_net_weights_changed(dt_net *net, dt_error *err)
{
    for (int64_t i = 0; i < net->n_layers; i++)
        if (net->layers[i]->ops->weights_changed)
            DT_TRY(net->layers[i]->ops->weights_changed(net->layers[i], err));
    return DT_OK;
}

void dt_net_get_info(const dt_net *net, dt_net_info *info)
{
    *info = (dt_net_info){.n_layers = net->n_layers, .activation_bytes = net->memory_bytes, .activation_bytes_unplanned = net->unplanned_bytes};
    for (int64_t i = 0; i < net->n_params; i++)
        if (net->params[i].kind != DT_PARAM_STATISTIC)
            info->n_params += net->params[i].n_canonical;
    int64_t floats = net->vectors.n_all + (net->vectors.grads ? net->vectors.n_all + net->vectors.n_trained : 0);
    info->parameter_bytes = floats * (int64_t)sizeof(float);
    for (int64_t i = 0; i < net->n_layers; i++)
        if (net->layers[i]->ops->forward_macs)
            info->forward_macs += net->layers[i]->ops->forward_macs(net->layers[i]);
    info->forward_macs /= net->options.batch;
}
