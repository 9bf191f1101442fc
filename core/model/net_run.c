/* net_run.c: run a net forward and backward, and call the observer around each layer. */
#include "core/model/net_internal.h"

/* Of ImageNet's RGB values in 0..1; every published ResNet was trained with these numbers. */
static const float image_mean[3] = {0.485f, 0.456f, 0.406f};
static const float image_std[3] = {0.229f, 0.224f, 0.225f};

void dt_net_set_observer(dt_net *net, const dt_net_observer *observer)
{
    net->observer = observer ? *observer : (dt_net_observer){0};
}

typedef dt_status observer_call(void *context, int64_t layer, dt_layer_phase phase, dt_error *err);

static dt_status observe(const dt_net *net, observer_call *call, int64_t layer, dt_layer_phase phase,
                         dt_error *err)
{
    return call ? call(net->observer.context, layer, phase, err) : DT_OK;
}

dt_status dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err)
{
    dt_kernels *k = net->kernels;
    DT_TRY(observe(net, net->observer.before, -1, DT_LAYER_FORWARD, err));
    DT_TRY(k->ops->normalize_input(k, pixels, image_mean, image_std, &net->values[0].act.raw, err));
    DT_TRY(observe(net, net->observer.after, -1, DT_LAYER_FORWARD, err));
    for (int64_t i = 0; i < net->n_layers; i++) {
        DT_TRY(observe(net, net->observer.before, i, DT_LAYER_FORWARD, err));
        DT_TRY(net->layers[i]->ops->forward(net->layers[i], pass, err));
        DT_TRY(observe(net, net->observer.after, i, DT_LAYER_FORWARD, err));
    }
    return DT_OK;
}

dt_status dt_net_backward(dt_net *net, const dt_pass *pass, dt_net_ready *ready, void *context, dt_error *err)
{
    for (int64_t v = 0; v <= net->n_layers; v++) {
        net->values[v].n_pending = net->values[v].n_consumers;
        net->values[v].grad_reduced = false;
    }
    if (ready)
        DT_TRY(ready(context, net->n_parts - 1, err)); /* statistics and loss are complete after forward */
    for (int64_t i = net->n_layers - 1; i >= 0; i--) {
        DT_TRY(observe(net, net->observer.before, i, DT_LAYER_BACKWARD, err));
        DT_TRY(net->layers[i]->ops->backward(net->layers[i], pass, err));
        DT_TRY(observe(net, net->observer.after, i, DT_LAYER_BACKWARD, err));
        if (ready && net->part_of_layer[i] >= 0)
            DT_TRY(ready(context, net->part_of_layer[i], err));
    }
    return dt_net_complete_grads(net, err);
}

dt_status dt_net_complete_grads(dt_net *net, dt_error *err)
{
    dt_kernels *k = net->kernels;
    return k->ops->gradients_complete ? k->ops->gradients_complete(k, err) : DT_OK;
}

dt_status dt_net_weights_changed(dt_net *net, dt_error *err)
{
    if (net->values_bound)
        DT_TRY(net->kernels->ops->values_changed(net->kernels, err));
    return dt_net_weights_updated(net, err);
}

dt_status dt_net_weights_updated(dt_net *net, dt_error *err)
{
    for (int64_t i = 0; i < net->n_layers; i++)
        if (net->layers[i]->ops->weights_changed)
            DT_TRY(net->layers[i]->ops->weights_changed(net->layers[i], err));
    return DT_OK;
}
