/* net_init.c: set the flat vectors: initial values, and the running averages. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/net_internal.h"

#include <math.h>

/* -- initial values -------------------------------------------------------------------------------------- */

/* Draw the initial values of one parameter for (seed, index) in canonical order, so that they do not depend
 * on the backend's order. */
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
