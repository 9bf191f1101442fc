/* optimizer_ref.c: one pass over the flat vectors of all parameters; the rules are in layers/arithmetic.h. */
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

static void update_sgd(const dt_optimizer_desc *desc, const dt_update_segment *segment, float *values,
                       const float *grads, float *momentum, const dt_step_scalars *scalars)
{
    for (int64_t i = segment->first; i < segment->first + segment->n; i++)
        dt_update_sgd_value(&values[i], &momentum[i], grads[i], scalars->grad_multiplier, segment->weight_decay,
                            desc->momentum, desc->nesterov, scalars->lr);
}

dt_status dt_ref_optimizer_step(dt_kernels *k, const dt_optimizer_desc *desc, const dt_update_segment *segments,
                                int64_t n_segments, float *values, const float *grads, float *momentum,
                                const dt_step_scalars *scalars, dt_error *err)
{
    (void)k, (void)err;
    for (int64_t s = 0; s < n_segments; s++) {
        const dt_update_segment *segment = &segments[s];
        switch (segment->rule) {
        case DT_UPDATE_SGD:
            update_sgd(desc, segment, values, grads, momentum, scalars);
            break;
        case DT_UPDATE_RUNNING_AVERAGE:
            for (int64_t i = segment->first; i < segment->first + segment->n; i++)
                dt_update_running_average_value(&values[i], grads[i], desc->running_average_rate);
            break;
        }
    }
    return DT_OK;
}
