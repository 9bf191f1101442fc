#include "layers/registry.h"

#include <stddef.h>

extern const dt_layer_ops dt_layer_conv, dt_layer_batchnorm, dt_layer_add, dt_layer_max_pool,
    dt_layer_average_pool, dt_layer_linear, dt_layer_softmax_loss;

const dt_layer_ops *const *dt_layer_registry(void)
{
    static const dt_layer_ops *const kinds[] = {
        &dt_layer_conv,         &dt_layer_batchnorm, &dt_layer_add,          &dt_layer_max_pool,
        &dt_layer_average_pool, &dt_layer_linear,    &dt_layer_softmax_loss, NULL,
    };
    return kinds;
}
