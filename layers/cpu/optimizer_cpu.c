/* optimizer_cpu.c: one pass over the flat vectors of all parameters; the rules are in layers/arithmetic.h. */
#include "layers/arithmetic.h"
#include "layers/cpu/cpu_internal.h"

typedef struct update_pass {
    const dt_cpu_kernels *cpu;
    const dt_optimizer_desc *desc;
    const dt_update_segment *segments;
    int64_t n_segments;
    float *values;
    const float *grads;
    float *momentum;
    const dt_step_scalars *scalars;
} update_pass;

static void update_run(const update_pass *p, const dt_update_segment *segment, int64_t first, int64_t n)
{
    if (segment->rule == DT_UPDATE_SGD) {
        const dt_cpu_sgd sgd = {p->scalars->grad_multiplier, segment->weight_decay, p->desc->momentum, p->scalars->lr, p->desc->nesterov};
        p->cpu->simd->sgd(&sgd, n, p->values + first, p->grads + first, p->momentum + first);
        return;
    }
    for (int64_t i = first; i < first + n; i++)
        dt_update_running_average_value(&p->values[i], p->grads[i], p->desc->running_average_rate);
}

/* The threads share the elements of all segments together, in lines of 16. */
static void update_work(void *context, int thread, int64_t begin, int64_t end)
{
    const update_pass *p = context;
    int64_t before = 0;
    (void)thread;
    for (int64_t s = 0; s < p->n_segments; s++) {
        const dt_update_segment *segment = &p->segments[s];
        const int64_t lines = segment->n / 16;
        const int64_t from = begin > before ? begin - before : 0, to = end - before < lines ? end - before : lines;
        if (from < to)
            update_run(p, segment, segment->first + from * 16, (to - from) * 16);
        before += lines;
    }
}

dt_status dt_cpu_optimizer_step(dt_kernels *k, const dt_optimizer_desc *desc, const dt_update_segment *segments, int64_t n_segments, float *values,
                                const float *grads, float *momentum, const dt_step_scalars *scalars, dt_error *err)
{
    update_pass pass = {dt_cpu(k), desc, segments, n_segments, values, grads, momentum, scalars};
    int64_t lines = 0;
    (void)err;
    for (int64_t s = 0; s < n_segments; s++) {
        assert(segments[s].n % 16 == 0);
        lines += segments[s].n / 16;
    }
    dt_cpu_parallel(pass.cpu, lines, update_work, &pass);
    return DT_OK;
}
