/* conv_run.c: convolutions with their fusions, chunk by chunk.
 *
 * Forward: a chunk of lazy x is materialized into scratch memory and convolved, and its y is summed up, while
 * all of it is in a cache. Weight gradient: a chunk of lazy x is materialized, and its gradient is added to
 * dw. Data gradient: a chunk of dx is computed, then masked and summed up.
 */
#include "layers/cpu/conv_internal.h"

#include <stdatomic.h>
#include <string.h>

/* The parts of the scratch block; see conv_internal.h. */
typedef struct scratch_parts {
    float *acts, *weights;
    void *method; /* the threads' memory, or Winograd's */
} scratch_parts;

static scratch_parts cut_scratch(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                                 const dt_conv_pass *pass)
{
    unsigned char *at = cpu->scratch;
    scratch_parts parts;
    parts.acts = (float *)(void *)at;
    at += dt_conv_scratch_acts_bytes(conv, pass);
    parts.weights = (float *)(void *)at;
    at += dt_conv_scratch_weights_bytes(conv, direction, pass);
    parts.method = at;
    return parts;
}

/* -- rounds and units ------------------------------------------------------------------------------------ */

/* Some chunks, which are in scratch memory at the same time: images first to first + n - 1. */
typedef struct conv_round {
    int64_t first_chunk, n_chunks, first, n;
} conv_round;

static conv_round round_at(const dt_conv_pass *pass, int64_t first_chunk)
{
    const int64_t left = pass->n_chunks - first_chunk,
                  n_chunks = left < pass->n_at_once ? left : pass->n_at_once;
    const dt_conv_chunk first = dt_conv_chunk_at(pass, first_chunk),
                        last = dt_conv_chunk_at(pass, first_chunk + n_chunks - 1);
    return (conv_round){first_chunk, n_chunks, first.first, last.first + last.n - first.first};
}

/* The units of one round. */
typedef struct unit_pass {
    const dt_cpu_kernels *cpu;
    const dt_conv *conv;
    const dt_conv_pass *pass;
    dt_direction direction;
    dt_conv_desc group;
    conv_round round;
    float *x, *y; /* of the round's first image */
    float *w;     /* of the first group; weight gradient: where the first chunk of all writes */
    float *parts; /* weight gradient: where other chunks write, [chunk of the round][weights_elems] */
    unsigned char *shares;
    int64_t share_bytes;
    atomic_flag has_failed;
    dt_status status; /* of the unit that failed first, with *err */
    dt_error *err;
} unit_pass;

static unit_pass units_of(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                          const dt_conv_pass *pass, const scratch_parts *scratch, dt_error *err)
{
    return (unit_pass){.cpu = cpu,
                       .conv = conv,
                       .pass = pass,
                       .direction = direction,
                       .group = dt_conv_group(&conv->desc, direction, pass->n_groups),
                       .shares = scratch->method,
                       .share_bytes = dt_conv_share_bytes(conv, direction, pass),
                       .has_failed = ATOMIC_FLAG_INIT,
                       .err = err};
}

/* The weights that a unit reads or writes. */
static float *unit_weights(const unit_pass *p, int64_t chunk, int64_t group)
{
    const bool is_part = p->direction == DT_BACKWARD_WEIGHTS && (chunk > 0 || p->w == p->parts);
    float *all = is_part ? p->parts + (chunk - p->round.first_chunk) * p->conv->weights_elems : p->w;
    return all + group * (p->conv->weights_elems / p->pass->n_groups);
}

/* Copy n rows of `bytes` each. */
static void copy_rows(int64_t n, size_t bytes, const float *from, int64_t from_step, float *to,
                      int64_t to_step)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * to_step, from + i * from_step, bytes);
}

/* The tensor whose channels are divided into groups is copied, unless a group's channels are contiguous. */
static dt_status run_unit(const unit_pass *p, int share, int64_t unit, dt_error *err)
{
    const dt_conv_pass *pass = p->pass;
    const int64_t number = p->round.first_chunk + unit / pass->n_groups, group = unit % pass->n_groups;
    const dt_conv_chunk chunk = dt_conv_chunk_at(pass, number);
    const bool divides_x = p->direction == DT_BACKWARD_DATA;
    const int64_t at = chunk.first - p->round.first, image = divides_x ? p->conv->x_image : p->conv->y_image,
                  part = image / pass->n_groups;
    unsigned char *memory = p->shares + share * p->share_bytes;
    dt_onednn_arrays arrays = {p->x + at * p->conv->x_image, unit_weights(p, number, group),
                               p->y + at * p->conv->y_image,
                               memory + dt_conv_group_bytes(p->conv, p->direction, pass)};
    float **divided = divides_x ? &arrays.x : &arrays.y, *whole = *divided + group * part;
    const bool copies = pass->n_groups > 1 && chunk.n > 1;
    *divided = copies ? (float *)(void *)memory : whole;
    if (copies && p->direction == DT_BACKWARD_WEIGHTS)
        copy_rows(chunk.n, (size_t)part * sizeof(float), whole, image, *divided, part);
    if (chunk.prepared->primitive == NULL)
        DT_TRY(dt_conv_gemm_run(p->cpu, &p->group, p->direction, chunk.n, &arrays, err));
    else
        DT_TRY(dt_onednn_conv_run(p->cpu, chunk.prepared, &p->group, p->direction, chunk.n, share, &arrays,
                                  err));
    if (copies && p->direction != DT_BACKWARD_WEIGHTS)
        copy_rows(chunk.n, (size_t)part * sizeof(float), *divided, part, whole, image);
    return DT_OK;
}

static void unit_work(void *context, int share, int64_t begin, int64_t end)
{
    unit_pass *p = context;
    for (int64_t unit = begin; unit < end; unit++) {
        dt_error err = {0};
        const dt_status status = run_unit(p, share, unit, &err);
        if (status == DT_OK || atomic_flag_test_and_set(&p->has_failed))
            continue;
        p->status = status;
        if (p->err != NULL)
            *p->err = err;
    }
}

static dt_status run_units(unit_pass *p)
{
    dt_cpu_parallel(p->cpu, p->round.n_chunks * p->pass->n_groups, unit_work, p);
    return p->status;
}

/* -- forward --------------------------------------------------------------------------------------------- */

static dt_cpu_planes x_planes(const dt_cpu_kernels *cpu, const dt_conv *conv, const conv_round *round)
{
    dt_cpu_planes planes = dt_cpu_planes_of(cpu, round->n, conv->desc.c, conv->desc.h * conv->desc.w);
    planes.first_image = round->first;
    return planes;
}

static float *raw_x(const dt_conv *conv, const dt_act *x, const conv_round *round)
{
    return (float *)x->raw.data + round->first * conv->x_image;
}

/* The round's x for oneDNN and for simd_wgrad.c, which cannot normalise it themselves: a lazy x is
 * materialized into scratch memory. */
static float *plain_x(const dt_cpu_kernels *cpu, const dt_conv *conv, const dt_act *x,
                      const conv_round *round, float *scratch)
{
    float *raw = raw_x(conv, x, round);
    if (x->scale == NULL)
        return raw;
    const dt_cpu_planes planes = x_planes(cpu, conv, round);
    dt_cpu_act_planes(cpu, &planes, x, raw, scratch);
    return scratch;
}

dt_status dt_cpu_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_conv_desc *d = &conv->desc;
    const dt_conv_pass *pass = &conv->forward;
    const scratch_parts scratch = cut_scratch(cpu, conv, DT_FORWARD, pass);
    unit_pass units = units_of(cpu, conv, DT_FORWARD, pass, &scratch, err);
    float *out = dt_cpu_data(y, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
    (void)dt_cpu_data(&x->raw, d->n, d->c, d->h, d->w);
    units.w = (float *)w;
    if (sums != NULL)
        dt_cpu_sums_clear(d->k, sums);
    if (pass->method == DT_CONV_BY_OWN_WINOGRAD)
        dt_winograd_weights(cpu, d, DT_FORWARD, w, scratch.method);
    for (int64_t i = 0; i < pass->n_chunks; i += pass->n_at_once) {
        units.round = round_at(pass, i);
        units.y = out + units.round.first * conv->y_image;
        if (pass->method == DT_CONV_BY_OWN_WINOGRAD) {
            dt_winograd_run(cpu, d, DT_FORWARD, units.round.n, x, raw_x(conv, x, &units.round), units.y,
                            scratch.method);
        } else {
            units.x = plain_x(cpu, conv, x, &units.round, scratch.acts);
            DT_TRY(run_units(&units));
        }
        if (sums == NULL)
            continue;
        dt_cpu_planes planes = dt_cpu_planes_of(cpu, units.round.n, d->k, y->h * y->w);
        planes.first_image = units.round.first;
        dt_cpu_sum_planes(cpu, &planes, units.y, d->k, sums);
    }
    return DT_OK;
}

/* -- data gradient --------------------------------------------------------------------------------------- */

/* Finish dx of a round, which lies at `from`: add what other readers of x have written, then apply and sum up
 * the BatchNorm's gradient. */
static void finish_dx(const dt_cpu_kernels *cpu, const dt_conv *conv, const conv_round *round,
                      const float *from, const float *add, const dt_bn_backward *bn, float *to)
{
    const int64_t at = round->first * conv->x_image;
    if (bn != NULL) {
        const dt_cpu_planes planes = x_planes(cpu, conv, round);
        dt_cpu_reduce_planes(cpu, &planes, bn, (const float *)bn->x->raw.data + at, from,
                             add ? add + at : NULL, to + at);
    } else if (add != NULL) {
        dt_cpu_add(cpu, round->n * conv->x_image, from, add + at, to + at);
    }
}

dt_status dt_cpu_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_conv_desc *d = &conv->desc;
    const dt_conv_pass *pass = &conv->backward_data;
    const scratch_parts scratch = cut_scratch(cpu, conv, DT_BACKWARD_DATA, pass);
    unit_pass units = units_of(cpu, conv, DT_BACKWARD_DATA, pass, &scratch, err);
    float *in = dt_cpu_data(dy, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d)),
          *out = dt_cpu_data(dx, d->n, d->c, d->h, d->w);
    const float *added = add != NULL ? dt_cpu_data(add, d->n, d->c, d->h, d->w) : NULL;
    const bool in_place = added == out;
    /* prepared[1] has the same order of weights */
    const dt_onednn_conv *first = &pass->prepared[0];
    units.w = first->flips ? scratch.weights : (float *)w;
    assert(d->for_training && !d->reads_image);
    if (bn != NULL)
        dt_cpu_sums_clear(d->c, bn->sums);
    if (first->flips)
        dt_onednn_conv_flip(cpu, first, d, pass->n_groups, w, scratch.weights);
    if (pass->method == DT_CONV_BY_OWN_WINOGRAD)
        dt_winograd_weights(cpu, d, DT_BACKWARD_DATA, w, scratch.method);
    for (int64_t i = 0; i < pass->n_chunks; i += pass->n_at_once) {
        units.round = round_at(pass, i);
        units.x = in_place ? scratch.acts : out + units.round.first * conv->x_image;
        units.y = in + units.round.first * conv->y_image;
        if (pass->method == DT_CONV_BY_OWN_WINOGRAD)
            dt_winograd_run(cpu, d, DT_BACKWARD_DATA, units.round.n, NULL, units.y, units.x, scratch.method);
        else
            DT_TRY(run_units(&units));
        finish_dx(cpu, conv, &units.round, units.x, added, bn, out);
    }
    return DT_OK;
}

/* -- weight gradient ------------------------------------------------------------------------------------- */

typedef struct wgrad_pass {
    const dt_cpu_kernels *cpu;
    dt_cpu_window window;
    int64_t n_c_blocks;
    const float *x, *dy;
    bool accumulate;
    float *dw;
} wgrad_pass;

/* A unit of work is one block of filters with one block of input channels; the weights of such a pair are
 * contiguous. */
static void wgrad_work(void *context, int share, int64_t begin, int64_t end)
{
    const wgrad_pass *p = context;
    const dt_cpu_window *c = &p->window;
    (void)share;
    for (int64_t i = begin; i < end; i++) {
        const float *x = p->x + i % p->n_c_blocks * c->h * c->w * c->block,
                    *dy = p->dy + i / p->n_c_blocks * c->p * c->q * c->block;
        p->cpu->simd->weight_gradient(c, x, dy, p->accumulate, p->dw + i * c->r * c->s * c->block * c->block);
    }
}

static void own_wgrad(const dt_cpu_kernels *cpu, const dt_conv *conv, int64_t n, const float *x,
                      const float *dy, bool accumulate, float *dw)
{
    const dt_conv_desc *d = &conv->desc;
    wgrad_pass pass = {.cpu = cpu,
                       .window = {cpu->block, n, d->h, d->w, dt_conv_out_h(d), dt_conv_out_w(d), d->r, d->s,
                                  d->stride, d->pad, conv->x_image, conv->y_image},
                       .n_c_blocks = d->c / cpu->block,
                       .x = x,
                       .dy = dy,
                       .accumulate = accumulate,
                       .dw = dw};
    dt_cpu_parallel(cpu, d->k / cpu->block * pass.n_c_blocks, wgrad_work, &pass);
}

static void winograd_wgrad(const dt_cpu_kernels *cpu, const dt_conv *conv, const dt_act *x, const float *dy,
                           bool accumulate, float *dw, void *scratch)
{
    const dt_conv_pass *pass = &conv->backward_weights;
    dt_winograd_gradient_begin(&conv->desc, scratch);
    for (int64_t i = 0; i < pass->n_chunks; i++) {
        const conv_round round = round_at(pass, i);
        dt_winograd_gradient_add(cpu, &conv->desc, round.n, x, raw_x(conv, x, &round),
                                 dy + round.first * conv->y_image, scratch);
    }
    dt_winograd_gradient_end(cpu, &conv->desc, accumulate, dw, scratch);
}

typedef struct parts_pass {
    const dt_cpu_kernels *cpu;
    int64_t n_parts, part_elems;
    const float *parts;
    float *to;
} parts_pass;

/* A unit of work is a run of this many weights, which stay in a first-level cache. */
#define RUN_ELEMS 1024

static void parts_work(void *context, int share, int64_t begin, int64_t end)
{
    const parts_pass *p = context;
    (void)share;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i * RUN_ELEMS, left = p->part_elems - first,
                      n = left < RUN_ELEMS ? left : RUN_ELEMS;
        for (int64_t part = 0; part < p->n_parts; part++)
            p->cpu->simd->add(n, p->to + first, p->parts + part * p->part_elems + first, p->to + first);
    }
}

/* By units. oneDNN overwrites its result and cannot add to it, so that chunks write parts of their own, which
 * are added to dw in the order of the chunks. */
static dt_status unit_wgrad(unit_pass *units, const dt_act *x, float *dy, bool accumulate, float *dw,
                            const scratch_parts *scratch)
{
    const dt_cpu_kernels *cpu = units->cpu;
    const dt_conv *conv = units->conv;
    parts_pass add = {.cpu = cpu, .part_elems = conv->weights_elems, .to = dw};
    units->parts = scratch->weights;
    units->w = accumulate ? scratch->weights : dw;
    for (int64_t i = 0; i < units->pass->n_chunks; i += units->pass->n_at_once) {
        units->round = round_at(units->pass, i);
        units->x = plain_x(cpu, conv, x, &units->round, scratch->acts);
        units->y = dy + units->round.first * conv->y_image;
        DT_TRY(run_units(units));
        const bool is_in_place = i == 0 && !accumulate; /* the first part has been written to dw */
        add.n_parts = units->round.n_chunks - (is_in_place ? 1 : 0);
        add.parts = scratch->weights + (is_in_place ? conv->weights_elems : 0);
        if (add.n_parts > 0)
            dt_cpu_parallel(cpu, (add.part_elems + RUN_ELEMS - 1) / RUN_ELEMS, parts_work, &add);
    }
    return DT_OK;
}

dt_status dt_cpu_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_conv_desc *d = &conv->desc;
    const dt_conv_pass *pass = &conv->backward_weights;
    const scratch_parts scratch = cut_scratch(cpu, conv, DT_BACKWARD_WEIGHTS, pass);
    unit_pass units = units_of(cpu, conv, DT_BACKWARD_WEIGHTS, pass, &scratch, err);
    float *in = dt_cpu_data(dy, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
    (void)dt_cpu_data(&x->raw, d->n, d->c, d->h, d->w);
    assert(d->for_training);
    if (pass->method == DT_CONV_BY_ONEDNN)
        return unit_wgrad(&units, x, in, accumulate, dw, &scratch);
    if (pass->method == DT_CONV_BY_OWN_WINOGRAD) {
        winograd_wgrad(cpu, conv, x, in, accumulate, dw, scratch.method);
        return DT_OK;
    }
    for (int64_t i = 0; i < pass->n_chunks; i++) {
        const conv_round round = round_at(pass, i);
        own_wgrad(cpu, conv, round.n, plain_x(cpu, conv, x, &round, scratch.acts),
                  in + round.first * conv->y_image, accumulate || i > 0, dw);
    }
    return DT_OK;
}
