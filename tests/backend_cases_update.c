/* backend_cases_update.c: the update of the flat vectors, and a step's beginning and end.
 * backend_cases.h says how to add a case. */
#include "tests/backend_kit.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* -- optimizer ------------------------------------------------------------------------------------------- */

/* Short and long tensors, all rules, and gaps between them that must not change. Weights of the segment at
 * 40224 and gradients of the one at 40256 are zero, so that LARS has no rate for them. */
static const dt_update_segment segments[] = {
    {.first = 0, .n = 16, .rule = DT_UPDATE_SGD, .weight_decay = 5e-4F},
    {.first = 16, .n = 4096, .rule = DT_UPDATE_SGD, .weight_decay = 0},
    {.first = 4128, .n = 64, .rule = DT_UPDATE_RUNNING_AVERAGE, .weight_decay = 0},
    {.first = 4192, .n = 36000, .rule = DT_UPDATE_SGD, .weight_decay = 0.1F},
    {.first = 40208, .n = 16, .rule = DT_UPDATE_RUNNING_AVERAGE, .weight_decay = 0},
    {.first = 40224, .n = 16, .rule = DT_UPDATE_SGD, .weight_decay = 0.1F},
    {.first = 40256, .n = 48, .rule = DT_UPDATE_SGD, .weight_decay = 0.1F},
};
enum { N_SEGMENTS = sizeof segments / sizeof *segments, N_VALUES = 40320 };

typedef struct optimizer_case {
    const char *name;
    dt_optimizer_desc desc;
    bool lars; /* LARS for all segments that are SGD above */
    float ema_decay;
    dt_step_state before, after;
    int64_t bad_at; /* index of a gradient that is not finite; -1: none */
    float bad;
    dt_update_segment segments[N_SEGMENTS];
    dt_kit_buffer *values, *grads, *momentum, *ema, *inputs, *state;
} optimizer_case;

static dt_status optimizer_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    optimizer_case *a = arg;
    dt_optimizer *optimizer = NULL;
    const dt_optimizer_vectors v = {a->values->data[side], a->grads->data[side], a->momentum->data[side],
                                    a->ema_decay > 0 ? a->ema->data[side] : NULL};
    DT_TRY(DT_KIT_OPERATION(k, optimizer_create, &a->desc, a->segments, N_SEGMENTS, &optimizer, err));
    dt_status status =
        DT_KIT_OPERATION(k, optimizer_step, optimizer, &v, a->inputs->data[side], a->state->data[side], err);
    if (status == DT_OK)
        status = k->device->ops->stream_wait(k->device, NULL, err);
    k->ops->optimizer_destroy(k, optimizer);
    return status;
}

static void expect_unchanged(dt_kit *kit, const char *what, const dt_kit_buffer *buffer)
{
    if (dt_kit_failed(kit))
        return;
    const unsigned char *now = dt_kit_download(kit, buffer, DT_KIT_CANDIDATE);
    for (int64_t i = 0; i < buffer->bytes[DT_KIT_CANDIDATE]; i++)
        if (now[i] != buffer->before[DT_KIT_CANDIDATE][i]) {
            dt_kit_fail(kit, "%s: the step had to be skipped, but byte %" PRId64 " has changed", what, i);
            return;
        }
}

static void expect_state(dt_kit *kit, const optimizer_case *a)
{
    if (dt_kit_failed(kit))
        return;
    const dt_step_state *s = dt_kit_download(kit, a->state, DT_KIT_CANDIDATE), *e = &a->after;
    if (s->loss_scale != e->loss_scale || s->n_good != e->n_good || s->found_inf != e->found_inf ||
        s->n_skipped != e->n_skipped || s->n_recorded != e->n_recorded)
        dt_kit_fail(kit,
                    "loss_scale %g, n_good %d, found_inf %d, n_skipped %d, n_recorded %d; expected %g, %d, "
                    "%d, %d, %d",
                    (double)s->loss_scale, s->n_good, s->found_inf, s->n_skipped, s->n_recorded,
                    (double)e->loss_scale, e->n_good, e->found_inf, e->n_skipped, e->n_recorded);
}

static void optimizer_run(dt_kit *kit, optimizer_case *a)
{
    const dt_step_inputs inputs = {.lr = 0.3F, .ema_decay = a->ema_decay};
    float *values = dt_kit_random(kit, N_VALUES, -1, 1), *grads = dt_kit_random(kit, N_VALUES, -1, 1);
    for (int s = 0; s < N_SEGMENTS; s++) {
        a->segments[s] = segments[s];
        if (a->lars && segments[s].rule == DT_UPDATE_SGD)
            a->segments[s].rule = DT_UPDATE_LARS;
    }
    memset(values + 40224, 0, 16 * sizeof *values);
    memset(grads + 40256, 0, 48 * sizeof *grads);
    grads[4112] = NAN; /* in a gap, which must not be inspected */
    if (a->bad_at >= 0)
        grads[a->bad_at] = a->bad;
    a->values = dt_kit_floats(kit, DT_KIT_INOUT, values, N_VALUES);
    a->grads = dt_kit_floats(kit, DT_KIT_IN, grads, N_VALUES);
    a->momentum = dt_kit_floats(kit, DT_KIT_INOUT, dt_kit_random(kit, N_VALUES, -1, 1), N_VALUES);
    a->ema = dt_kit_floats(kit, DT_KIT_INOUT, dt_kit_random(kit, N_VALUES, -1, 1), N_VALUES);
    a->inputs = dt_kit_bytes(kit, DT_KIT_IN, &inputs, sizeof inputs);
    a->state = dt_kit_bytes(kit, DT_KIT_INOUT, &a->before, sizeof a->before);
    dt_kit_execute(kit, optimizer_call, a);
    expect_state(kit, a);
    if (a->after.found_inf != 0) {
        expect_unchanged(kit, "values", a->values);
        expect_unchanged(kit, "momentum", a->momentum);
        expect_unchanged(kit, "ema", a->ema);
    }
    dt_kit_expect_floats(kit, "values", a->values, N_VALUES, 0);
    dt_kit_expect_floats(kit, "momentum", a->momentum, N_VALUES, 0);
    dt_kit_expect_floats(kit, "ema", a->ema, N_VALUES, 0);
    dt_kit_end(kit);
}

#define SGD .momentum = 0.9F, .running_average_rate = 0.1F
#define LARS SGD, .lars_trust = 0.02F, .lars_eps = 1e-6F
#define SCALING SGD, .loss_scaling = true, .growth = 2, .backoff = 0.5F, .growth_interval = 5

static const optimizer_case optimizer_cases[] = {
    {.name = "", .desc = {SGD}, .before = {.loss_scale = 4}, .after = {.loss_scale = 4}, .bad_at = -1},
    {.name = " nesterov",
     .desc = {SGD, .nesterov = true},
     .before = {.loss_scale = 4},
     .after = {.loss_scale = 4},
     .bad_at = -1},
    {.name = " ema",
     .desc = {SGD},
     .ema_decay = 0.98F,
     .before = {.loss_scale = 1},
     .after = {.loss_scale = 1},
     .bad_at = -1},
    {.name = " lars",
     .desc = {LARS},
     .lars = true,
     .before = {.loss_scale = 4},
     .after = {.loss_scale = 4},
     .bad_at = -1},
    {.name = " lars without scaling updates by what is not finite",
     .desc = {LARS},
     .lars = true,
     .before = {.loss_scale = 4},
     .after = {.loss_scale = 4},
     .bad_at = 4128 + 63, /* in a statistic */
     .bad = INFINITY},
    {.name = " lars nesterov ema",
     .desc = {LARS, .nesterov = true},
     .ema_decay = 0.5F,
     .lars = true,
     .before = {.loss_scale = 1},
     .after = {.loss_scale = 1},
     .bad_at = -1},
    {.name = " rate in velocity",
     .desc = {SGD, .rate_in_velocity = true},
     .before = {.loss_scale = 4},
     .after = {.loss_scale = 4},
     .bad_at = -1},
    {.name = " lars rate in velocity nesterov",
     .desc = {LARS, .rate_in_velocity = true, .nesterov = true},
     .lars = true,
     .before = {.loss_scale = 4},
     .after = {.loss_scale = 4},
     .bad_at = -1},
    {.name = " scaling",
     .desc = {SCALING},
     .before = {8, 3, 1, 7, 9},
     .after = {8, 4, 0, 7, 9},
     .bad_at = -1},
    {.name = " scaling grows",
     .desc = {SCALING},
     .ema_decay = 0.9F,
     .before = {8, 4, 0, 7, 9},
     .after = {16, 0, 0, 7, 9},
     .bad_at = -1},
    {.name = " scaling is at its largest",
     .desc = {SCALING},
     .before = {16777216, 4, 0, 0, 0},
     .after = {16777216, 0, 0, 0, 0},
     .bad_at = -1},
    {.name = " scaling infinity in the first tensor",
     .desc = {SCALING},
     .ema_decay = 0.9F,
     .before = {8, 4, 0, 7, 9},
     .after = {4, 0, 1, 8, 9},
     .bad_at = 0,
     .bad = INFINITY},
    {.name = " scaling infinity in the last element",
     .desc = {SCALING},
     .before = {8, 4, 0, 7, 9},
     .after = {4, 0, 1, 8, 9},
     .bad_at = 40256 + 47,
     .bad = -INFINITY},
    {.name = " scaling NaN in a long tensor",
     .desc = {SCALING},
     .ema_decay = 0.9F,
     .before = {8, 0, 0, 0, 9},
     .after = {4, 0, 1, 1, 9},
     .bad_at = 4192 + 20011,
     .bad = NAN},
    {.name = " scaling NaN in a statistic",
     .desc = {SCALING},
     .before = {8, 2, 1, 1, 9},
     .after = {4, 0, 1, 2, 9},
     .bad_at = 4128 + 63,
     .bad = NAN},
    {.name = " scaling is at its smallest",
     .desc = {SCALING},
     .before = {1, 0, 0, 0, 0},
     .after = {1, 0, 1, 1, 0},
     .bad_at = 5,
     .bad = NAN},
    {.name = " scaling lars",
     .desc = {LARS, .loss_scaling = true, .growth = 2, .backoff = 0.5F, .growth_interval = 1},
     .ema_decay = 0.9F,
     .lars = true,
     .before = {1024, 0, 0, 0, 0},
     .after = {2048, 0, 0, 0, 0},
     .bad_at = -1},
    {.name = " scaling lars infinity",
     .desc = {LARS, .loss_scaling = true, .growth = 2, .backoff = 0.5F, .growth_interval = 1},
     .lars = true,
     .before = {1024, 0, 0, 0, 0},
     .after = {512, 0, 1, 1, 0},
     .bad_at = 16 + 4095,
     .bad = INFINITY},
};

void dt_kit_optimizer_cases(dt_kit *kit)
{
    for (size_t i = 0; i < sizeof optimizer_cases / sizeof *optimizer_cases; i++) {
        optimizer_case a = optimizer_cases[i];
        if (dt_kit_begin(kit, "optimizer_step%s", a.name))
            optimizer_run(kit, &a);
    }
}

/* -- a step's beginning and end -------------------------------------------------------------------------- */

enum { STEP_FLOATS = 16, RING = 4 };

typedef struct step_case {
    dt_kit_buffer *inputs, *floats, *state, *local, *ring;
} step_case;

static dt_status step_call(dt_kernels *k, int side, void *arg, dt_error *err)
{
    step_case *a = arg;
    float *floats = a->floats->data[side];
    for (int i = 0; i < 3; i++) /* more than one round of the ring */
        DT_TRY(DT_KIT_OPERATION(k, step_record, a->state->data[side], (const dt_loss_sums *)floats,
                                a->local->data[side], floats + 4, a->ring->data[side], RING, err));
    return DT_KIT_OPERATION(k, step_begin, a->inputs->data[side], (dt_loss_sums *)floats, floats + 4,
                            STEP_FLOATS, err);
}

void dt_kit_step_cases(dt_kit *kit)
{
    static const dt_step_inputs inputs = {.lr = 0.3F, .votes = {1, 0, 1}};
    static const dt_step_state state = {.loss_scale = 512, .n_good = 3, .n_skipped = 5, .n_recorded = 6};
    static const dt_step_record ring[RING] = {{.index = -1}, {.index = -1}, {.index = -1}, {.index = -1}};
    static const float floats[STEP_FLOATS] = {1, 2, 3, 4, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const dt_loss_sums local = {.loss = 0.5F, .top1 = 1, .top5 = 2, .n = 3};
    if (!dt_kit_begin(kit, "step_begin step_record"))
        return;
    step_case a = {.inputs = dt_kit_bytes(kit, DT_KIT_IN, &inputs, sizeof inputs),
                   .floats = dt_kit_floats(kit, DT_KIT_INOUT, floats, STEP_FLOATS),
                   .state = dt_kit_bytes(kit, DT_KIT_INOUT, &state, sizeof state),
                   .local = dt_kit_bytes(kit, DT_KIT_IN, &local, sizeof local),
                   .ring = dt_kit_bytes(kit, DT_KIT_INOUT, ring, sizeof ring)};
    dt_kit_execute(kit, step_call, &a);
    if (!dt_kit_failed(kit)) {
        const float *now = dt_kit_download(kit, a.floats, DT_KIT_CANDIDATE);
        for (int i = 0; i < STEP_FLOATS; i++)
            if (now[i] != (i == 4 || i == 6 ? 1.0F : 0.0F))
                dt_kit_fail(kit, "float %d is %g after step_begin", i, (double)now[i]);
        const dt_step_record *made = dt_kit_download(kit, a.ring, DT_KIT_CANDIDATE);
        static const int32_t indices[RING] = {8, -1, 6, 7};
        for (int i = 0; i < RING; i++)
            if (made[i].index != indices[i] ||
                (i != 1 && (made[i].global.loss != 1 || made[i].global.n != 4 || made[i].local.top5 != 2 ||
                            made[i].votes[0] != 2 || made[i].votes[2] != 7 || made[i].loss_scale != 512 ||
                            made[i].n_skipped != 5)))
                dt_kit_fail(kit, "record %d is not what it should be: index %d, loss %g", i, made[i].index,
                            (double)made[i].global.loss);
        const dt_step_state *after = dt_kit_download(kit, a.state, DT_KIT_CANDIDATE);
        if (after->n_recorded != 9 || after->loss_scale != 512 || after->n_good != 3)
            dt_kit_fail(kit, "n_recorded is %d, expected 9", after->n_recorded);
    }
    dt_kit_end(kit);
}
