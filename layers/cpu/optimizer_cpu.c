/* optimizer_cpu.c: passes over the flat vectors of all parameters. The rules are in layers/arithmetic.h.
 *
 * With loss scaling or LARS a first pass inspects the gradients, in parts whose number does not depend on the
 * threads: for each part and segment it records whether all are finite, and the sums of squares.
 */
#include "core/base/alloc.h"
#include "layers/arithmetic.h"
#include "layers/cpu/cpu_internal.h"

#include <string.h>

/* Parts of all lines that are inspected on their own, so that a sum has the same bits for any number of
 * threads. */
#define N_PARTS 64

/* What was found in the part of a segment that lies in one part of all lines. */
typedef struct finding {
    double weights_sumsq, gradients_sumsq;
    bool not_finite;
} finding;

struct dt_optimizer {
    dt_optimizer_desc desc;
    bool inspects;
    int64_t n_segments, n_lines; /* lines of 16 elements, in all segments */
    dt_update_segment *segments;
    finding *findings; /* [N_PARTS][segment] */
    float *locals;     /* [segment]: LARS's own rate, 1 for others */
};

void dt_cpu_optimizer_destroy(dt_kernels *k, dt_optimizer *o)
{
    (void)k;
    if (o == NULL)
        return;
    dt_free(o->segments);
    dt_free(o->findings);
    dt_free(o->locals);
    dt_free(o);
}

dt_status dt_cpu_optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n_segments,
                                  dt_optimizer **optimizer, dt_error *err)
{
    const size_t n = (size_t)n_segments, n_findings = n * N_PARTS;
    dt_optimizer *o = dt_calloc(1, sizeof *o);
    if (o != NULL) {
        *o = (dt_optimizer){.desc = *desc, .inspects = desc->loss_scaling, .n_segments = n_segments};
        o->segments = dt_alloc(n * sizeof *segments);
        o->findings = dt_calloc(n_findings, sizeof *o->findings);
        o->locals = dt_calloc(n, sizeof *o->locals);
    }
    if (o == NULL || o->segments == NULL || o->findings == NULL || o->locals == NULL) {
        dt_cpu_optimizer_destroy(k, o);
        return dt_fail_memory(err, n * sizeof *segments + n_findings * sizeof *o->findings, "the optimizer");
    }
    for (int64_t s = 0; s < n_segments; s++) {
        assert(segments[s].n % 16 == 0);
        o->segments[s] = segments[s];
        o->n_lines += segments[s].n / 16;
        o->inspects = o->inspects || segments[s].rule == DT_UPDATE_LARS;
    }
    *optimizer = o;
    return DT_OK;
}

typedef struct update_pass {
    const dt_cpu_kernels *cpu;
    dt_optimizer *optimizer;
    const dt_optimizer_vectors *v;
    const dt_step_inputs *inputs;
    float multiplier;
    void (*run)(const struct update_pass *p, int64_t part, int64_t segment, int64_t first, int64_t n);
} update_pass;

/* Runs on lines of 16 elements, begin to end - 1 of those of all segments. */
static void run_lines(const update_pass *p, int64_t part, int64_t begin, int64_t end)
{
    int64_t before = 0;
    for (int64_t s = 0; s < p->optimizer->n_segments; s++) {
        const dt_update_segment *segment = &p->optimizer->segments[s];
        const int64_t lines = segment->n / 16;
        const int64_t from = begin > before ? begin - before : 0,
                      to = end - before < lines ? end - before : lines;
        if (from < to)
            p->run(p, part, s, segment->first + from * 16, (to - from) * 16);
        before += lines;
    }
}

static void update_work(void *context, int share, int64_t begin, int64_t end)
{
    (void)share;
    run_lines(context, 0, begin, end);
}

/* A unit of work is a part of all lines. */
static void inspect_work(void *context, int share, int64_t begin, int64_t end)
{
    const update_pass *p = context;
    const int64_t n = p->optimizer->n_lines;
    (void)share;
    for (int64_t part = begin; part < end; part++)
        run_lines(p, part, n * part / N_PARTS, n * (part + 1) / N_PARTS);
}

static void inspect_run(const update_pass *p, int64_t part, int64_t segment, int64_t first, int64_t n)
{
    finding *g = &p->optimizer->findings[part * p->optimizer->n_segments + segment];
    const float *values = p->v->values + first, *grads = p->v->grads + first;
    float zero = 0.0F; /* becomes NaN if a gradient is not finite */
    for (int64_t i = 0; i < n; i++)
        zero += grads[i] - grads[i];
    g->not_finite = !dt_is_finite(zero);
    if (p->optimizer->segments[segment].rule != DT_UPDATE_LARS)
        return;
    for (int64_t i = 0; i < n; i++) {
        g->weights_sumsq += (double)values[i] * (double)values[i];
        g->gradients_sumsq += (double)grads[i] * (double)grads[i];
    }
}

/* Inspect all gradients and set the rates of LARS. Return false if a gradient is not finite. */
static bool inspect(update_pass *p)
{
    dt_optimizer *o = p->optimizer;
    bool finite = true;
    memset(o->findings, 0, N_PARTS * (size_t)o->n_segments * sizeof *o->findings);
    p->run = inspect_run;
    dt_cpu_parallel(p->cpu, N_PARTS, inspect_work, p);
    for (int64_t s = 0; s < o->n_segments; s++) {
        finding all = {0};
        for (int64_t part = 0; part < N_PARTS; part++) {
            const finding *g = &o->findings[part * o->n_segments + s];
            all.weights_sumsq += g->weights_sumsq;
            all.gradients_sumsq += g->gradients_sumsq;
            finite = finite && !g->not_finite;
        }
        o->locals[s] = dt_lars_local_rate(all.weights_sumsq, all.gradients_sumsq, p->multiplier,
                                          o->segments[s].weight_decay, o->desc.lars_trust, o->desc.lars_eps);
    }
    return finite;
}

static void update_run(const update_pass *p, int64_t part, int64_t s, int64_t first, int64_t n)
{
    const dt_optimizer_desc *desc = &p->optimizer->desc;
    const dt_update_segment *segment = &p->optimizer->segments[s];
    const float local = segment->rule == DT_UPDATE_LARS ? p->optimizer->locals[s] : 1.0F;
    float *values = p->v->values + first;
    (void)part;
    if (segment->rule == DT_UPDATE_RUNNING_AVERAGE) {
        for (int64_t i = 0; i < n; i++)
            dt_update_running_average_value(&values[i], p->v->grads[first + i], desc->running_average_rate);
    } else {
        const dt_cpu_sgd sgd = {.factors = dt_sgd_factors_of(local, p->multiplier, segment->weight_decay,
                                                             p->inputs->lr, desc->rate_in_velocity),
                                .momentum = desc->momentum,
                                .nesterov = desc->nesterov};
        p->cpu->simd->sgd(&sgd, n, values, p->v->grads + first, p->v->momentum + first);
    }
    for (int64_t i = 0; p->v->ema != NULL && i < n; i++)
        p->v->ema[first + i] = dt_ema_value(p->v->ema[first + i], values[i], p->inputs->ema_decay);
}

dt_status dt_cpu_optimizer_step(dt_kernels *k, dt_optimizer *o, const dt_optimizer_vectors *v,
                                const dt_step_inputs *inputs, dt_step_state *state, dt_error *err)
{
    const dt_optimizer_desc *desc = &o->desc;
    update_pass pass = {
        .cpu = dt_cpu(k), .optimizer = o, .v = v, .inputs = inputs, .multiplier = 1.0F / state->loss_scale};
    const bool finite = !o->inspects || inspect(&pass);
    (void)err;
    state->found_inf = desc->loss_scaling && !finite ? 1 : 0;
    if (state->found_inf == 0) {
        pass.run = update_run;
        dt_cpu_parallel(pass.cpu, o->n_lines, update_work, &pass);
    }
    if (desc->loss_scaling)
        dt_loss_scale_update(state->found_inf != 0, desc->growth, desc->backoff, desc->growth_interval,
                             &state->loss_scale, &state->n_good, &state->n_skipped);
    return DT_OK;
}
