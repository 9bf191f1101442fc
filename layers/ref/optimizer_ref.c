/* optimizer_ref.c: one tensor after the other; the rules are in layers/arithmetic.h. */
#include "core/base/alloc.h"
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

#include <string.h>

struct dt_optimizer {
    dt_optimizer_desc desc;
    int64_t n_segments;
    dt_update_segment segments[];
};

dt_status dt_ref_optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n_segments,
                                  dt_optimizer **optimizer, dt_error *err)
{
    size_t bytes = sizeof(dt_optimizer) + (size_t)n_segments * sizeof *segments;
    dt_optimizer *made = dt_alloc(bytes);
    (void)k;
    if (made == NULL)
        return dt_fail_memory(err, bytes, "the optimizer");
    made->desc = *desc;
    made->n_segments = n_segments;
    memcpy(made->segments, segments, (size_t)n_segments * sizeof *segments);
    *optimizer = made;
    return DT_OK;
}

void dt_ref_optimizer_destroy(dt_kernels *k, dt_optimizer *optimizer)
{
    (void)k;
    dt_free(optimizer);
}

static bool all_finite(const dt_optimizer *o, const float *grads)
{
    for (int64_t s = 0; s < o->n_segments; s++)
        for (int64_t i = o->segments[s].first; i < o->segments[s].first + o->segments[s].n; i++)
            if (!dt_is_finite(grads[i]))
                return false;
    return true;
}

static double sum_of_squares(const float *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* LARS is SGD with the tensor's own rate as a factor on the gradient and on the decay. */
static void update_segment(const dt_optimizer_desc *desc, const dt_update_segment *segment,
                           const dt_optimizer_vectors *v, const dt_step_inputs *inputs, float multiplier)
{
    float local = 1.0F;
    int64_t first = segment->first;
    if (segment->rule == DT_UPDATE_LARS)
        local = dt_lars_local_rate(sum_of_squares(v->values + first, segment->n),
                                   sum_of_squares(v->grads + first, segment->n), multiplier,
                                   segment->weight_decay, desc->lars_trust, desc->lars_eps);
    const dt_sgd_factors factors =
        dt_sgd_factors_of(local, multiplier, segment->weight_decay, inputs->lr, desc->rate_in_velocity);
    for (int64_t i = first; i < first + segment->n; i++) {
        if (segment->rule == DT_UPDATE_RUNNING_AVERAGE)
            dt_update_running_average_value(&v->values[i], v->grads[i], desc->running_average_rate);
        else
            dt_update_sgd_value(&v->values[i], &v->momentum[i], v->grads[i], factors, desc->momentum,
                                desc->nesterov);
        if (v->ema != NULL)
            v->ema[i] = dt_ema_value(v->ema[i], v->values[i], inputs->ema_decay);
    }
}

dt_status dt_ref_optimizer_step(dt_kernels *k, dt_optimizer *o, const dt_optimizer_vectors *v,
                                const dt_step_inputs *inputs, dt_step_state *state, dt_error *err)
{
    const dt_optimizer_desc *desc = &o->desc;
    const float multiplier = 1.0F / state->loss_scale;
    (void)k, (void)err;
    state->found_inf = desc->loss_scaling && !all_finite(o, v->grads) ? 1 : 0;
    if (state->found_inf == 0)
        for (int64_t s = 0; s < o->n_segments; s++)
            update_segment(desc, &o->segments[s], v, inputs, multiplier);
    if (desc->loss_scaling)
        dt_loss_scale_update(state->found_inf != 0, desc->growth, desc->backoff, desc->growth_interval,
                             &state->loss_scale, &state->n_good, &state->n_skipped);
    return DT_OK;
}
