/* conv_run.c: convolutions with their fusions, chunk by chunk.
 *
 * Forward: a chunk of lazy x is materialized into scratch memory and convolved, and its y is summed up, while
 * all of it is in a cache. Weight gradient: a chunk of lazy x is materialized, and its gradient is added to
 * dw. Data gradient: a chunk of dx is computed, then masked and summed up.
 */
#include "layers/cpu/conv_internal.h"

/* The parts of the scratch block; see conv_internal.h. */
typedef struct scratch_parts {
    float *acts, *weights;
    void *method; /* scratch memory of the primitive, or Winograd's tiles */
} scratch_parts;

static scratch_parts cut_scratch(const dt_cpu_kernels *cpu, const dt_conv *conv, const dt_conv_pass *pass)
{
    unsigned char *at = cpu->scratch;
    scratch_parts parts;
    parts.acts = (float *)(void *)at;
    at += dt_conv_scratch_acts_bytes(conv, pass);
    parts.weights = (float *)(void *)at;
    at += dt_conv_scratch_weights_bytes(conv, pass);
    parts.method = at;
    return parts;
}

static dt_status run(dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                     const dt_conv_chunk *chunk, float *x, float *w, float *y, void *scratch, dt_error *err)
{
    if (chunk->prepared->primitive == NULL)
        return dt_conv_gemm_run(cpu, &conv->desc, direction, chunk->n, x, w, y, scratch, err);
    return dt_onednn_conv_run(cpu, chunk->prepared, &conv->desc, direction, chunk->n, x, w, y, scratch, err);
}

static dt_cpu_planes x_planes(const dt_cpu_kernels *cpu, const dt_conv *conv, int64_t n)
{
    return dt_cpu_planes_of(cpu, n, conv->desc.c, conv->desc.h * conv->desc.w);
}

static float *raw_x(const dt_conv *conv, const dt_act *x, const dt_conv_chunk *chunk)
{
    return (float *)x->raw.data + chunk->first * conv->x_image;
}

/* The chunk's x for oneDNN and for simd_wgrad.c, which cannot normalise it themselves: a lazy x is
 * materialized into scratch memory. */
static float *plain_x(const dt_cpu_kernels *cpu, const dt_conv *conv, const dt_act *x,
                      const dt_conv_chunk *chunk, float *scratch)
{
    float *raw = raw_x(conv, x, chunk);
    if (x->scale == NULL)
        return raw;
    const dt_cpu_planes planes = x_planes(cpu, conv, chunk->n);
    dt_cpu_act_planes(cpu, &planes, x, raw, scratch);
    return scratch;
}

dt_status dt_cpu_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err)
{
    dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_conv_desc *d = &conv->desc;
    const scratch_parts scratch = cut_scratch(cpu, conv, &conv->forward);
    float *out = dt_cpu_data(y, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
    (void)dt_cpu_data(&x->raw, d->n, d->c, d->h, d->w);
    dt_onednn_enter(cpu);
    if (sums != NULL)
        dt_cpu_sums_clear(cpu, d->k, sums);
    if (conv->forward.method == DT_CONV_BY_OWN_WINOGRAD)
        dt_winograd_weights(cpu, d, DT_FORWARD, w, scratch.method);
    for (int64_t i = 0; i < conv->forward.n_chunks; i++) {
        const dt_conv_chunk chunk = dt_conv_chunk_at(&conv->forward, i);
        float *chunk_y = out + chunk.first * conv->y_image;
        if (conv->forward.method == DT_CONV_BY_OWN_WINOGRAD)
            dt_winograd_run(cpu, d, DT_FORWARD, chunk.n, x, raw_x(conv, x, &chunk), chunk_y, scratch.method);
        else
            DT_TRY(run(cpu, conv, DT_FORWARD, &chunk, plain_x(cpu, conv, x, &chunk, scratch.acts), (float *)w,
                       chunk_y, scratch.method, err));
        if (sums == NULL)
            continue;
        const dt_cpu_planes planes = dt_cpu_planes_of(cpu, chunk.n, d->k, y->h * y->w);
        dt_cpu_sum_planes(cpu, &planes, chunk_y, d->k, sums);
    }
    return DT_OK;
}

/* Finish dx of a chunk, which lies at `from`: add what other readers of x have written, then apply and sum up
 * the BatchNorm's gradient. */
static void finish_dx(const dt_cpu_kernels *cpu, const dt_conv *conv, const dt_conv_chunk *chunk,
                      const float *from, const float *add, const dt_bn_backward *bn, float *to)
{
    const int64_t at = chunk->first * conv->x_image;
    if (bn != NULL) {
        const dt_cpu_planes planes = x_planes(cpu, conv, chunk->n);
        dt_cpu_reduce_planes(cpu, &planes, bn, (const float *)bn->x->raw.data + at, from,
                             add ? add + at : NULL, to + at);
    } else if (add != NULL) {
        dt_cpu_add(cpu, chunk->n * conv->x_image, from, add + at, to + at);
    }
}

dt_status dt_cpu_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err)
{
    dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_conv_desc *d = &conv->desc;
    const scratch_parts scratch = cut_scratch(cpu, conv, &conv->backward_data);
    float *in = dt_cpu_data(dy, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d)),
          *out = dt_cpu_data(dx, d->n, d->c, d->h, d->w);
    const float *added = add != NULL ? dt_cpu_data(add, d->n, d->c, d->h, d->w) : NULL;
    const bool in_place = added == out;
    /* prepared[1] has the same order of weights */
    const dt_onednn_conv *first = &conv->backward_data.prepared[0];
    const float *weights = first->flips ? scratch.weights : w;
    assert(d->for_training && !d->reads_image);
    dt_onednn_enter(cpu);
    if (bn != NULL)
        dt_cpu_sums_clear(cpu, d->c, bn->sums);
    if (first->flips)
        dt_onednn_conv_flip(cpu, first, d, w, scratch.weights);
    if (conv->backward_data.method == DT_CONV_BY_OWN_WINOGRAD)
        dt_winograd_weights(cpu, d, DT_BACKWARD_DATA, w, scratch.method);
    for (int64_t i = 0; i < conv->backward_data.n_chunks; i++) {
        const dt_conv_chunk chunk = dt_conv_chunk_at(&conv->backward_data, i);
        float *to = in_place ? scratch.acts : out + chunk.first * conv->x_image;
        float *chunk_dy = in + chunk.first * conv->y_image;
        if (conv->backward_data.method == DT_CONV_BY_OWN_WINOGRAD)
            dt_winograd_run(cpu, d, DT_BACKWARD_DATA, chunk.n, NULL, chunk_dy, to, scratch.method);
        else
            DT_TRY(run(cpu, conv, DT_BACKWARD_DATA, &chunk, to, (float *)weights, chunk_dy, scratch.method,
                       err));
        finish_dx(cpu, conv, &chunk, to, added, bn, out);
    }
    return DT_OK;
}

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
static void wgrad_work(void *context, int thread, int64_t begin, int64_t end)
{
    const wgrad_pass *p = context;
    const dt_cpu_window *c = &p->window;
    (void)thread;
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
        const dt_conv_chunk chunk = dt_conv_chunk_at(pass, i);
        dt_winograd_gradient_add(cpu, &conv->desc, chunk.n, x, raw_x(conv, x, &chunk),
                                 dy + chunk.first * conv->y_image, scratch);
    }
    dt_winograd_gradient_end(cpu, &conv->desc, accumulate, dw, scratch);
}

dt_status dt_cpu_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err)
{
    dt_cpu_kernels *cpu = dt_cpu(k);
    const dt_conv_desc *d = &conv->desc;
    const scratch_parts scratch = cut_scratch(cpu, conv, &conv->backward_weights);
    float *in = dt_cpu_data(dy, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
    (void)dt_cpu_data(&x->raw, d->n, d->c, d->h, d->w);
    assert(d->for_training);
    dt_onednn_enter(cpu);
    if (conv->backward_weights.method == DT_CONV_BY_OWN_WINOGRAD) {
        winograd_wgrad(cpu, conv, x, in, accumulate, dw, scratch.method);
        return DT_OK;
    }
    for (int64_t i = 0; i < conv->backward_weights.n_chunks; i++) {
        const dt_conv_chunk chunk = dt_conv_chunk_at(&conv->backward_weights, i);
        const bool adds = accumulate || i > 0;
        float *chunk_x = plain_x(cpu, conv, x, &chunk, scratch.acts),
              *chunk_dy = in + chunk.first * conv->y_image;
        if (conv->backward_weights.method == DT_CONV_BY_OWN_WGRAD) {
            own_wgrad(cpu, conv, chunk.n, chunk_x, chunk_dy, adds, dw);
            continue;
        }
        /* oneDNN overwrites dw; it cannot add to it. */
        DT_TRY(run(cpu, conv, DT_BACKWARD_WEIGHTS, &chunk, chunk_x, adds ? scratch.weights : dw, chunk_dy,
                   scratch.method, err));
        if (adds)
            dt_cpu_add(cpu, conv->weights_elems, dw, scratch.weights, dw);
    }
    return DT_OK;
}
