#include "core/training/profile.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"

#include <string.h>

#define N_PHASES 2

/* One layer in one direction. */
typedef struct span {
    dt_event *begin, *end;
    bool recorded; /* in the pass that is under way */
    double ms;     /* sum over the measured passes */
} span;

struct dt_profile {
    dt_net *net;
    dt_device *device;
    span *spans; /* [n_rows][N_PHASES] */
    dt_profile_row *rows;
    int64_t n_rows, n_warmup, n_passes;
    int64_t n_begun;                    /* passes */
    double first_begin_s, last_begin_s; /* of measured passes */
    bool is_finished;
    dt_profile_summary summary;
};

static span *span_of(dt_profile *p, int64_t layer, dt_layer_phase phase)
{
    return &p->spans[(layer + 1) * N_PHASES + (int64_t)phase];
}

static bool is_measuring(const dt_profile *p)
{
    return !p->is_finished && p->n_begun > p->n_warmup && p->n_begun <= p->n_warmup + p->n_passes;
}

/* Wait for the last pass, and add the times of its spans. */
static dt_status collect(dt_profile *p, dt_error *err)
{
    DT_TRY(p->device->ops->stream_wait(p->device, NULL, err));
    for (int64_t i = 0; i < p->n_rows * N_PHASES; i++) {
        double ms = 0.0;
        if (!p->spans[i].recorded)
            continue;
        p->spans[i].recorded = false;
        DT_TRY(p->device->ops->event_elapsed_ms(p->device, p->spans[i].begin, p->spans[i].end, &ms, err));
        p->spans[i].ms += ms;
    }
    return DT_OK;
}

static dt_status begin_pass(dt_profile *p, dt_error *err)
{
    if (p->is_finished || p->n_begun > p->n_warmup + p->n_passes)
        return DT_OK;
    DT_TRY(collect(p, err));
    p->n_begun++;
    p->last_begin_s = dt_clock_s();
    if (p->n_begun == p->n_warmup + 1)
        p->first_begin_s = p->last_begin_s;
    return DT_OK;
}

static dt_status before(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    dt_profile *p = context;
    if (layer == -1)
        DT_TRY(begin_pass(p, err));
    return is_measuring(p)
               ? p->device->ops->event_record(p->device, span_of(p, layer, phase)->begin, NULL, err)
               : DT_OK;
}

static dt_status after(void *context, int64_t layer, dt_layer_phase phase, dt_error *err)
{
    dt_profile *p = context;
    if (!is_measuring(p))
        return DT_OK;
    span *s = span_of(p, layer, phase);
    s->recorded = true;
    return p->device->ops->event_record(p->device, s->end, NULL, err);
}

dt_status dt_profile_bandwidth(dt_device *device, double *bytes_per_s, dt_error *err)
{
    enum { REPETITIONS = 5 };
    const int64_t bytes = INT64_C(128) << 20; /* larger than any cache */
    const dt_device_ops *ops = device->ops;
    dt_status status = DT_OK;
    dt_event *begin = NULL, *end = NULL;
    double best_ms = 0.0;
    char *memory = ops->alloc(device, 2 * bytes);
    if (!memory)
        return dt_fail(err, DT_ERR_MEMORY, "out of memory: %lld bytes to measure the memory's bandwidth with",
                       (long long)(2 * bytes));
    DT_TRY_OR_FAIL(status, ops->event_create(device, true, &begin, err));
    DT_TRY_OR_FAIL(status, ops->event_create(device, true, &end, err));
    DT_TRY_OR_FAIL(status, ops->zero(device, memory, 2 * bytes, NULL, err));
    for (int i = 0; i < REPETITIONS; i++) {
        double ms = 0.0;
        DT_TRY_OR_FAIL(status, ops->event_record(device, begin, NULL, err));
        DT_TRY_OR_FAIL(status,
                       ops->copy(device, memory + bytes, memory, bytes, DT_COPY_ON_DEVICE, NULL, err));
        DT_TRY_OR_FAIL(status, ops->event_record(device, end, NULL, err));
        DT_TRY_OR_FAIL(status, ops->stream_wait(device, NULL, err));
        DT_TRY_OR_FAIL(status, ops->event_elapsed_ms(device, begin, end, &ms, err));
        if (ms > 0.0 && (best_ms <= 0.0 || ms < best_ms))
            best_ms = ms;
    }
    *bytes_per_s = best_ms > 0.0 ? 2.0 * (double)bytes / (best_ms * 1e-3) : 0.0;
fail:
    ops->event_destroy(device, begin);
    ops->event_destroy(device, end);
    ops->free(device, memory);
    return status;
}

static dt_status find_roof(dt_profile *p, dt_error *err)
{
    dt_device_info info;
    p->device->ops->info(p->device, &info);
    p->summary.bandwidth_bytes_per_s = info.bandwidth_bytes_per_s;
    p->summary.compute_flops = info.compute_flops;
    p->summary.bandwidth_is_measured = info.bandwidth_bytes_per_s <= 0.0;
    return p->summary.bandwidth_is_measured
               ? dt_profile_bandwidth(p->device, &p->summary.bandwidth_bytes_per_s, err)
               : DT_OK;
}

dt_status dt_profile_create(dt_net *net, dt_device *device, int64_t n_warmup, int64_t n_passes,
                            dt_profile **profile, dt_error *err)
{
    dt_status status = DT_OK;
    dt_net_info info;
    dt_profile *p = dt_calloc(1, sizeof *p);
    if (!p)
        return dt_fail_memory(err, sizeof *p, "the profile");
    dt_net_get_info(net, &info);
    *p = (dt_profile){.net = net,
                      .device = device,
                      .n_rows = info.n_layers + 1,
                      .n_warmup = n_warmup,
                      .n_passes = n_passes};
    p->spans = dt_calloc((size_t)(p->n_rows * N_PHASES), sizeof *p->spans);
    p->rows = dt_calloc((size_t)p->n_rows, sizeof *p->rows);
    if (!p->spans || !p->rows) {
        status = dt_fail_memory(err, (size_t)p->n_rows * (sizeof *p->rows + N_PHASES * sizeof *p->spans),
                                "the profile");
        goto fail;
    }
    for (int64_t i = 0; i < p->n_rows * N_PHASES; i++) {
        DT_TRY_OR_FAIL(status, device->ops->event_create(device, true, &p->spans[i].begin, err));
        DT_TRY_OR_FAIL(status, device->ops->event_create(device, true, &p->spans[i].end, err));
    }
    DT_TRY_OR_FAIL(status, find_roof(p, err));
    const dt_net_observer observer = {.context = p, .before = before, .after = after};
    dt_net_set_observer(net, &observer);
    *profile = p;
    return DT_OK;
fail:
    dt_profile_destroy(p);
    return status;
}

void dt_profile_destroy(dt_profile *p)
{
    if (!p)
        return;
    dt_net_set_observer(p->net, NULL);
    for (int64_t i = 0; p->spans && i < p->n_rows * N_PHASES; i++) {
        p->device->ops->event_destroy(p->device, p->spans[i].begin);
        p->device->ops->event_destroy(p->device, p->spans[i].end);
    }
    dt_free(p->spans);
    dt_free(p->rows);
    dt_free(p);
}

/* Set the rate, and the share of the roofline: the least time that memory or arithmetic needs, over the time
 * that was measured. */
static void rate(const dt_profile_summary *s, dt_profile_part *part)
{
    const double seconds = part->ms * 1e-3;
    if (seconds <= 0.0)
        return;
    part->bytes_per_s = (double)part->bytes / seconds;
    double least = s->bandwidth_bytes_per_s > 0.0 ? (double)part->bytes / s->bandwidth_bytes_per_s : 0.0;
    double compute = s->compute_flops > 0.0 ? part->flops / s->compute_flops : 0.0;
    part->of_roof = (least > compute ? least : compute) / seconds;
}

static void add(dt_profile_part *sum, const dt_profile_part *part)
{
    sum->ms += part->ms;
    sum->bytes += part->bytes;
    sum->flops += part->flops;
}

static void fill_part(dt_profile *p, int64_t layer, dt_layer_phase phase, dt_profile_row *row,
                      dt_profile_part *part)
{
    dt_layer_traffic traffic;
    dt_net_layer_traffic(p->net, layer, phase, &traffic);
    row->name = traffic.name;
    row->kind = traffic.kind;
    *part = (dt_profile_part){.bytes = traffic.bytes, .flops = traffic.flops};
    if (p->summary.n_passes > 0)
        part->ms = span_of(p, layer, phase)->ms / (double)p->summary.n_passes;
    rate(&p->summary, part);
}

dt_status dt_profile_finish(dt_profile *p, dt_profile_summary *summary, dt_error *err)
{
    dt_profile_summary *s = &p->summary;
    if (!p->is_finished) {
        bool was_measuring = is_measuring(p);
        DT_TRY(collect(p, err));
        double now = was_measuring ? dt_clock_s() : p->last_begin_s; /* after the last measured pass */
        int64_t measured = p->n_begun - p->n_warmup;
        s->n_passes = measured < 0 ? 0 : measured > p->n_passes ? p->n_passes : measured;
        s->pass_ms = s->n_passes > 0 ? 1e3 * (now - p->first_begin_s) / (double)s->n_passes : 0.0;
        p->is_finished = true;
    }
    s->forward = s->backward = (dt_profile_part){0};
    for (int64_t i = 0; i < p->n_rows; i++) {
        fill_part(p, i - 1, DT_LAYER_FORWARD, &p->rows[i], &p->rows[i].forward);
        fill_part(p, i - 1, DT_LAYER_BACKWARD, &p->rows[i], &p->rows[i].backward);
        add(&s->forward, &p->rows[i].forward);
        add(&s->backward, &p->rows[i].backward);
    }
    rate(s, &s->forward);
    rate(s, &s->backward);
    s->rows = p->rows;
    s->n_rows = p->n_rows;
    s->n_warmup = p->n_warmup;
    *summary = *s;
    return DT_OK;
}
