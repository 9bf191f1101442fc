/* net_state.c: the state as stores see it: names, shapes and addresses of its tensors, and functions that
 * copy one tensor in and out. Those block; initial values, loads and exports use them.
 * core/checkpoint/snapshot.h copies all tensors at once. */
#include "core/base/alloc.h"
#include "core/model/net_internal.h"

#include <stdio.h>
#include <string.h>

static void describe(dt_net *net, const dt_param *p, const char *prefix, float *vector)
{
    dt_state_tensor *t = &net->state_tensors[net->layout.n_tensors];
    dt_state_address *address = &net->tensor_addresses[net->layout.n_tensors];
    const dt_layer *layer = net->layers[p->layer];
    *t = (dt_state_tensor){.n_dims = p->n_dims, .n_elems = p->n_canonical, .first = net->layout.n_elems};
    memcpy(t->dims, p->dims, sizeof t->dims);
    snprintf(t->name, sizeof t->name, "%s/%.*s", prefix, (int)(sizeof t->name - 12), p->name);
    *address = (dt_state_address){.values = vector ? vector + p->first : NULL,
                                  .vector = vector,
                                  .n_elems = dt_param_padded_elems(p),
                                  .order = dt_weights_order_plain(p->n_canonical)};
    if (layer->ops->param_order)
        layer->ops->param_order(layer, p->which, &address->order);
    net->layout.n_elems += p->n_canonical;
    net->layout.n_tensors++;
}

/* "param/..." and "buffer/..." in the order of the layers, then "momentum/...", then "ema/..." of both. */
dt_status dt_net_build_state(dt_net *net, dt_error *err)
{
    const dt_net_vectors *v = &net->vectors;
    const size_t n = 3 * (size_t)net->n_params;
    if (net->tensor_addresses)
        return DT_OK;
    net->state_tensors = dt_alloc(n * sizeof *net->state_tensors);
    net->tensor_addresses = dt_alloc(n * sizeof *net->tensor_addresses);
    if (!net->state_tensors || !net->tensor_addresses)
        return dt_fail_memory(err, n * (sizeof *net->state_tensors + sizeof *net->tensor_addresses),
                              "the state's layout");
    net->layout = (dt_state_layout){.tensors = net->state_tensors};
    for (int64_t i = 0; i < net->n_params; i++)
        describe(net, &net->params[i], dt_param_is_trained(&net->params[i]) ? "param" : "buffer", v->values);
    for (int64_t i = 0; i < net->n_params && net->options.training; i++)
        if (dt_param_is_trained(&net->params[i]))
            describe(net, &net->params[i], "momentum", v->momentum);
    for (int64_t i = 0; i < net->n_params && net->options.training && net->options.ema; i++)
        describe(net, &net->params[i], "ema", v->ema);
    net->addresses = (dt_state_addresses){
        .device = net->kernels->device, .n_tensors = net->layout.n_tensors, .tensors = net->tensor_addresses};
    return DT_OK;
}

/* -- one tensor ------------------------------------------------------------------------------------------ */

static bool is_host(const dt_device *device)
{
    dt_device_info info = {0};
    device->ops->info((dt_device *)(uintptr_t)device, &info);
    return info.is_host;
}

dt_status dt_net_import(dt_net *net, const dt_state_address *address, const float *canonical, dt_error *err)
{
    dt_device *device = net->kernels->device;
    const size_t bytes = (size_t)address->n_elems * sizeof(float);
    if (is_host(device)) {
        dt_weights_from_canonical(&address->order, canonical, address->values);
        return DT_OK;
    }
    float *native = dt_calloc(1, bytes); /* padding is zero */
    if (!native)
        return dt_fail_memory(err, bytes, "copying weights to the device");
    dt_weights_from_canonical(&address->order, canonical, native);
    dt_status status =
        device->ops->copy(device, address->values, native, (int64_t)bytes, DT_COPY_TO_DEVICE, NULL, err);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, err);
    dt_free(native);
    return status;
}

static dt_status export(dt_net *net, const dt_state_address *address, float *canonical, dt_error *err)
{
    dt_device *device = net->kernels->device;
    const size_t bytes = (size_t)address->n_elems * sizeof(float);
    if (is_host(device)) {
        dt_weights_to_canonical(&address->order, address->values, canonical);
        return DT_OK;
    }
    float *native = dt_alloc(bytes);
    if (!native)
        return dt_fail_memory(err, bytes, "copying weights from the device");
    dt_status status =
        device->ops->copy(device, native, address->values, (int64_t)bytes, DT_COPY_TO_HOST, NULL, err);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, err);
    if (status == DT_OK)
        dt_weights_to_canonical(&address->order, native, canonical);
    dt_free(native);
    return status;
}

/* -- for the store --------------------------------------------------------------------------------------- */

static dt_status check_index(const dt_net *net, int64_t tensor, dt_error *err)
{
    if (tensor < 0 || tensor >= net->layout.n_tensors)
        return dt_fail(err, DT_ERR_INTERNAL, "the state has no tensor %lld", (long long)tensor);
    return DT_OK;
}

static dt_status state_get(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    dt_net *net = context;
    DT_TRY(check_index(net, tensor, err));
    return export(net, &net->tensor_addresses[tensor], canonical, err);
}

static dt_status state_set(void *context, int64_t tensor, const float *canonical, dt_error *err)
{
    dt_net *net = context;
    DT_TRY(check_index(net, tensor, err));
    return dt_net_import(net, &net->tensor_addresses[tensor], canonical, err);
}

const dt_state_layout *dt_net_state_layout(const dt_net *net)
{
    return &net->layout;
}

dt_state_io dt_net_state_io(dt_net *net)
{
    return (dt_state_io){.context = net, .get = state_get, .set = state_set, .addresses = &net->addresses};
}
