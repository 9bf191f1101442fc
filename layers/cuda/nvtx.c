#include "config.h"

#include "layers/cuda/nvtx.h"

#include <nvtx3/nvToolsExt.h>
#include <stdio.h>

static dt_status push(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    char name[DT_LAYER_NAME_BYTES + 16];
    dt_layer_traffic traffic;
    (void)err;
    dt_net_layer_traffic(context, layer, phase, &traffic);
    snprintf(name, sizeof name, "%s %s", traffic.name, phase == DT_LAYER_FORWARD ? "forward" : "backward");
    nvtxRangePushA(name);
    return DT_OK;
}

static dt_status pop(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    (void)context, (void)layer, (void)phase, (void)err;
    nvtxRangePop();
    return DT_OK;
}

void dt_nvtx_observe(dt_net *net)
{
    const dt_net_observer observer = {.context = net, .before = push, .after = pop};
    dt_net_set_observer(net, &observer);
}
