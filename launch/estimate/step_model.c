#include "launch/estimate/step_model.h"

#include <math.h>

#define LAUNCH_S 2.5e-6
#define FEW_CHANNELS 16
#define FEW_CHANNELS_SHARE 0.35

/* Shares of a data sheet's bandwidth and FLOP/s that are assumed to be reached. Hopper's tensor cores are
 * harder to feed from its memory: of 989 TFLOP/s, some 790 are reached by large matrix products. */
static const struct {
    int until_sm;
    double graph_bytes, kernel_bytes, flops, weight_gradient_flops;
} shares[] = {
    {90, 0.71, 0.87, 0.61, 0.53},
    {0, 0.625, 0.8125, 0.455, 0.385},
};

dt_step_speeds dt_step_speeds_of(const dt_gpu_spec *gpu, dt_dtype precision)
{
    const int i = gpu->sm < shares[0].until_sm ? 0 : 1;
    /* A GPU without TF32 computes it in FP32. */
    double peak = gpu->flops[precision] > 0 ? gpu->flops[precision]
                  : precision == DT_TF32    ? gpu->flops[DT_F32]
                                            : INFINITY;
    return (dt_step_speeds){.graph_bytes_per_s = shares[i].graph_bytes * gpu->bandwidth_bytes_per_s,
                            .kernel_bytes_per_s = shares[i].kernel_bytes * gpu->bandwidth_bytes_per_s,
                            .flops = shares[i].flops * peak,
                            .weight_gradient_flops = shares[i].weight_gradient_flops * peak,
                            .launch_s = LAUNCH_S};
}

static void add_graph(const dt_step_graph *g, dt_layer_phase phase, const dt_step_speeds *speeds,
                      dt_step_time *time)
{
    double *of_kind = g->is_weight_gradient       ? &time->weight_gradient_s
                      : phase == DT_LAYER_FORWARD ? &time->forward_s
                                                  : &time->data_gradient_s;
    double flops = g->is_weight_gradient ? speeds->weight_gradient_flops : speeds->flops;
    if (g->n_channels < FEW_CHANNELS)
        flops *= FEW_CHANNELS_SHARE;
    const double memory_s = (double)(g->bytes_moved + 2 * g->workspace_bytes) / speeds->graph_bytes_per_s;
    *of_kind += fmax(memory_s, g->flops / flops);
    time->launches_s += (g->has_sums || g->is_weight_gradient ? 2 : 1) * speeds->launch_s;
}

/* Of the update: values and momentum are read and written, gradients read, and read once more before it where
 * they are inspected for loss scaling. In 16 bits: a mirror is written, and gradients are converted to
 * float32 before all that. */
static double update_bytes(const dt_step_trace *trace, dt_dtype precision)
{
    const int per_element =
        4 * 5 + (precision == DT_F16 ? 4 : 0) + (dt_dtype_bytes(precision) == 2 ? 2 + 6 : 0);
    return (double)per_element * (double)trace->n_trained;
}

dt_step_time dt_step_model(const dt_step_trace *trace, dt_dtype precision, const dt_step_speeds *speeds)
{
    dt_step_time time = {0};
    for (int64_t i = 0; i < trace->n_parts; i++) {
        const dt_step_part *part = &trace->parts[i];
        for (int64_t g = 0; g < part->n_graphs; g++)
            add_graph(&trace->graphs[part->first_graph + g], part->phase, speeds, &time);
        if (part->n_kernels > 0 && part->bytes_moved > part->graphs_moved)
            time.kernels_s += (double)(part->bytes_moved - part->graphs_moved) / speeds->kernel_bytes_per_s;
        time.launches_s += (double)(part->n_kernels + part->n_copies) * speeds->launch_s;
    }
    time.kernels_s += update_bytes(trace, precision) / speeds->kernel_bytes_per_s;
    time.total_s =
        time.forward_s + time.data_gradient_s + time.weight_gradient_s + time.kernels_s + time.launches_s;
    return time;
}
