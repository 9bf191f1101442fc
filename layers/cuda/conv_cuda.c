/* conv_cuda.c: plans the graphs of a convolution, and composes those that the library does not have.
 *
 *   planned                                composed where the runner refuses it
 *   bnrelu + conv + sums, or conv + sums   conv; layers/conv.c materializes the normalised input and calls
 *                                          bn_sums
 *   bn + add + relu + conv + sums          residual_forward and conv + sums (conv_join_cuda.c)
 *   dgrad + drelu + dbn                    dgrad; the BatchNorm calls bn_backward_reduce
 *   dgrad + add + drelu + dbn (or 2 dbn)   dgrad +=, and the join calls residual_backward
 *   dgrad +=                               dgrad into spare memory, and an addition
 *   bnrelu + wgrad                         wgrad of the materialized input
 *   conv, dgrad, wgrad                     nothing: an error
 *
 * A fused graph that was measured to be slower than its parts counts as refused (fused_cuda.c).
 *
 * Layers of one shape share one object, so each graph is planned and timed once. */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"

/* The number of channels must be a multiple of this, for launch.h's kernels and for the graphs' vectors. */
enum { MULTIPLE_OF_CHANNELS = 16 };

static bool same_desc(const dt_conv_desc *a, const dt_conv_desc *b)
{
    return a->n == b->n && a->c == b->c && a->h == b->h && a->w == b->w && a->k == b->k && a->r == b->r &&
           a->s == b->s && a->stride == b->stride && a->pad == b->pad && a->for_training == b->for_training &&
           a->reads_image == b->reads_image && a->input == b->input;
}

static dt_conv_desc desc_in_memory(const dt_conv *conv)
{
    dt_conv_desc d = conv->desc;
    d.c = conv->c;
    return d;
}

/* -- forward --------------------------------------------------------------------------------------------- */

static dt_status try_forward(dt_cuda_kernels *ck, dt_conv *conv, int which, dt_error *err)
{
    dt_graph graph;
    dt_conv_desc d = desc_in_memory(conv);
    bool lazy = which == DT_CUDA_FORWARD_LAZY || which == DT_CUDA_FORWARD_LAZY_SUMS;
    bool sums = which == DT_CUDA_FORWARD_SUMS || which == DT_CUDA_FORWARD_LAZY_SUMS;
    dt_graph_conv_forward(&d, ck->base.dtype, lazy, sums, &graph);
    if (lazy || sums)
        return dt_cuda_plan_try(ck, &graph, &conv->plans[which], err);
    return dt_cuda_plan_need(ck, &graph, &conv->plans[which], err);
}

static int64_t x_bytes(dt_cuda_kernels *ck, const dt_conv *conv)
{
    return dt_cuda_tensor_bytes(&ck->base, conv->desc.n, conv->desc.c, conv->desc.h, conv->desc.w);
}

/* Where plans are measured, keep the fused forward graphs only if they are faster. Without a prologue x is
 * read and written once more; without sums y is read once more. The plain plans that are made for this
 * comparison are kept. */
static dt_status compare_forward(dt_cuda_kernels *ck, dt_conv *conv, bool lazy, dt_error *err)
{
    dt_cuda_plan *plans = conv->plans;
    int64_t y_bytes = dt_cuda_tensor_bytes(&ck->base, conv->desc.n, conv->desc.k, dt_conv_out_h(&conv->desc),
                                           dt_conv_out_w(&conv->desc));
    if (!plans[DT_CUDA_FORWARD].plan)
        DT_TRY(try_forward(ck, conv, DT_CUDA_FORWARD, err));
    if (!plans[DT_CUDA_FORWARD_SUMS].plan && !plans[DT_CUDA_FORWARD_SUMS].is_refused)
        DT_TRY(try_forward(ck, conv, DT_CUDA_FORWARD_SUMS, err));
    dt_cuda_plan_compare(ck, &plans[DT_CUDA_FORWARD_SUMS], &plans[DT_CUDA_FORWARD], y_bytes);
    if (lazy && plans[DT_CUDA_FORWARD_SUMS].plan)
        dt_cuda_plan_compare(ck, &plans[DT_CUDA_FORWARD_LAZY_SUMS], &plans[DT_CUDA_FORWARD_SUMS],
                             2 * x_bytes(ck, conv));
    else if (lazy)
        dt_cuda_plan_compare(ck, &plans[DT_CUDA_FORWARD_LAZY_SUMS], &plans[DT_CUDA_FORWARD],
                             2 * x_bytes(ck, conv) + y_bytes);
    return DT_OK;
}

/* Evaluation does not need the sums, but the graph with sums may be the only one with a prologue. */
static dt_status plan_forward(dt_cuda_kernels *ck, dt_conv *conv, bool lazy, bool plain, dt_error *err)
{
    dt_cuda_plan *plans = conv->plans;
    bool training = conv->desc.for_training;
    if (lazy && !training)
        DT_TRY(try_forward(ck, conv, DT_CUDA_FORWARD_LAZY, err));
    if (lazy && !plans[DT_CUDA_FORWARD_LAZY].plan)
        DT_TRY(try_forward(ck, conv, DT_CUDA_FORWARD_LAZY_SUMS, err));
    if (training && dt_cuda_plan_ms(ck, &plans[DT_CUDA_FORWARD_LAZY_SUMS]) > 0)
        DT_TRY(compare_forward(ck, conv, lazy, err));
    bool has_lazy = plans[DT_CUDA_FORWARD_LAZY].plan || plans[DT_CUDA_FORWARD_LAZY_SUMS].plan;
    bool needs_plain = plain || !has_lazy;
    if (needs_plain && training && ck->is_half && !plans[DT_CUDA_FORWARD_SUMS].plan &&
        !plans[DT_CUDA_FORWARD_SUMS].is_refused)
        DT_TRY(try_forward(ck, conv, DT_CUDA_FORWARD_SUMS, err));
    if (needs_plain && training && dt_cuda_plan_ms(ck, &plans[DT_CUDA_FORWARD_SUMS]) > 0 &&
        !plans[DT_CUDA_FORWARD].plan)
        DT_TRY(compare_forward(ck, conv, false, err));
    if (needs_plain && !plans[DT_CUDA_FORWARD_SUMS].plan && !plans[DT_CUDA_FORWARD].plan)
        DT_TRY(try_forward(ck, conv, DT_CUDA_FORWARD, err));
    if (has_lazy)
        conv->fusions |= DT_CONV_FUSE_PROLOGUE;
    if ((!needs_plain || plans[DT_CUDA_FORWARD_SUMS].plan) &&
        (!has_lazy || plans[DT_CUDA_FORWARD_LAZY_SUMS].plan))
        conv->fusions |= DT_CONV_FUSE_SUMS;
    return DT_OK;
}

/* -- backward -------------------------------------------------------------------------------------------- */

static dt_status plan_backward_weights(dt_cuda_kernels *ck, dt_conv *conv, bool lazy, bool plain,
                                       dt_error *err)
{
    dt_graph graph;
    dt_conv_desc d = desc_in_memory(conv);
    if (lazy) {
        dt_graph_conv_backward_weights(&d, ck->base.dtype, true, &graph);
        DT_TRY(dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_WEIGHTS_LAZY], err));
    }
    bool measured = dt_cuda_plan_ms(ck, &conv->plans[DT_CUDA_WEIGHTS_LAZY]) > 0;
    if (plain || measured || !conv->plans[DT_CUDA_WEIGHTS_LAZY].plan) {
        dt_graph_conv_backward_weights(&d, ck->base.dtype, false, &graph);
        DT_TRY(dt_cuda_plan_need(ck, &graph, &conv->plans[DT_CUDA_WEIGHTS], err));
    }
    if (measured)
        dt_cuda_plan_compare(ck, &conv->plans[DT_CUDA_WEIGHTS_LAZY], &conv->plans[DT_CUDA_WEIGHTS],
                             2 * x_bytes(ck, conv));
    if (conv->plans[DT_CUDA_WEIGHTS_LAZY].plan)
        conv->fusions |= DT_CONV_FUSE_WEIGHTS_PROLOGUE;
    return DT_OK;
}

static dt_status plan_backward_data(dt_cuda_kernels *ck, dt_conv *conv, bool lazy, bool plain, dt_error *err)
{
    dt_graph graph;
    dt_conv_desc d = desc_in_memory(conv);
    if (lazy) {
        dt_graph_conv_backward_data_bn(&d, ck->base.dtype, &graph);
        DT_TRY(dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_DATA_BN], err));
    }
    bool measured = dt_cuda_plan_ms(ck, &conv->plans[DT_CUDA_DATA_BN]) > 0;
    dt_graph_conv_backward_data(&d, ck->base.dtype, true, &graph);
    DT_TRY(dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_DATA_ADD], err));
    conv->fusions |= DT_CONV_FUSE_BACKWARD_ADD; /* fused or composed here */
    if (!conv->plans[DT_CUDA_DATA_ADD].plan)
        DT_TRY(dt_cuda_reserve(ck, &ck->spare, dt_cuda_tensor_bytes(&ck->base, d.n, d.c, d.h, d.w),
                               "a gradient that is to be added", err));
    if (plain || measured || !conv->plans[DT_CUDA_DATA_ADD].plan || !conv->plans[DT_CUDA_DATA_BN].plan) {
        dt_graph_conv_backward_data(&d, ck->base.dtype, false, &graph);
        DT_TRY(dt_cuda_plan_need(ck, &graph, &conv->plans[DT_CUDA_DATA], err));
    }
    if (measured) /* composed, bn_backward_reduce reads dx and raw */
        dt_cuda_plan_compare(ck, &conv->plans[DT_CUDA_DATA_BN], &conv->plans[DT_CUDA_DATA],
                             2 * x_bytes(ck, conv));
    if (conv->plans[DT_CUDA_DATA_BN].plan)
        conv->fusions |= DT_CONV_FUSE_BACKWARD_EPILOGUE;
    return dt_cuda_conv_join_backward_plan(ck, conv, err);
}

/* -- create and destroy ---------------------------------------------------------------------------------- */

static dt_status check(const dt_conv_desc *d, dt_error *err)
{
    if (d->n < 1 || d->r < 1 || d->s < 1 || d->stride < 1 || d->pad < 0 || d->h + 2 * d->pad < d->r ||
        d->w + 2 * d->pad < d->s)
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "convolution: filters of %lldx%lld, stride %lld, pad %lld do not fit %lld images of %lldx%lld",
            (long long)d->r, (long long)d->s, (long long)d->stride, (long long)d->pad, (long long)d->n,
            (long long)d->h, (long long)d->w);
    if (d->k < 1 || d->k % MULTIPLE_OF_CHANNELS != 0 ||
        (d->c != 3 && (d->c < 1 || d->c % MULTIPLE_OF_CHANNELS != 0)))
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "convolution: %lld -> %lld channels: the GPU needs multiples of %d, or 3 for an image",
                       (long long)d->c, (long long)d->k, MULTIPLE_OF_CHANNELS);
    return DT_OK;
}

static dt_status reserve_memory(dt_cuda_kernels *ck, const dt_conv *conv, dt_error *err)
{
    const dt_conv_desc *d = &conv->desc;
    int64_t channels = d->c > d->k ? d->c : d->k;
    DT_TRY(dt_cuda_plans_reserve(ck, conv->plans, DT_CUDA_N_PLANS, err));
    DT_TRY(dt_cuda_reserve(ck, &ck->weights, dt_cuda_filter_elems(conv) * (int64_t)sizeof(float),
                           "a layer's weights", err));
    DT_TRY(
        dt_cuda_reserve(ck, &ck->vectors, 4 * channels * (int64_t)sizeof(float), "vectors of channels", err));
    if (ck->plan_only)
        return DT_OK;
    return dt_cuda_reserve(ck, &ck->reduction, dt_cuda_sums_scratch_bytes(channels), "sums", err);
}

static dt_status prepare(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err)
{
    const dt_conv_desc *d = &conv->desc;
    bool joins = dt_cuda_conv_reads_join(d);
    bool lazy = ck->is_half && !d->reads_image && d->input != DT_CONV_INPUT_PLAIN && !joins,
         plain = d->input != DT_CONV_INPUT_LAZY;
    if (d->reads_image)
        DT_TRY(dt_cuda_stem_plan(ck, conv, err));
    if (conv->stem.is_used)
        return reserve_memory(ck, conv, err);
    if (d->for_training)
        DT_TRY(plan_backward_weights(ck, conv, lazy, plain, err));
    if (d->for_training && !d->reads_image)
        DT_TRY(plan_backward_data(ck, conv, lazy, plain, err));
    if (joins)
        DT_TRY(dt_cuda_conv_plan_join(ck, conv, err));
    const dt_cuda_plan *join = &conv->plans[DT_CUDA_FORWARD_JOIN];
    if (!join->plan || (d->for_training && dt_cuda_plan_ms(ck, join) > 0))
        DT_TRY(plan_forward(ck, conv, lazy, plain, err));
    if (join->plan)
        dt_cuda_conv_keep_join(ck, conv);
    return reserve_memory(ck, conv, err);
}

static void destroy_object(dt_cuda_kernels *ck, dt_conv *conv)
{
    for (int i = 0; i < DT_CUDA_N_PLANS; i++)
        dt_cuda_plan_destroy(ck, &conv->plans[i]);
    dt_cuda_release(ck, &conv->stem.weights);
    dt_free(conv);
}

static dt_status create_object(dt_cuda_kernels *ck, const dt_conv_desc *desc, dt_conv **conv, dt_error *err)
{
    DT_TRY(check(desc, err));
    dt_conv *made = dt_calloc(1, sizeof *made);
    if (!made)
        return dt_fail_memory(err, sizeof *made, "a convolution");
    made->desc = *desc;
    made->c = desc->c == 3 ? 4 : desc->c;
    dt_status status = prepare(ck, made, err);
    if (status != DT_OK) {
        destroy_object(ck, made);
        return status;
    }
    *conv = made;
    return DT_OK;
}

/* Remove the object at *at from the list and free it, if no layer uses it. */
static void drop_unused(dt_cuda_kernels *ck, dt_conv **at)
{
    dt_conv *conv = *at;
    if (conv->n_users > 0)
        return;
    *at = conv->next;
    destroy_object(ck, conv);
}

dt_status dt_cuda_conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_conv **at = &ck->convs;
    while (*at && ((*at)->stem.is_used || !same_desc(&(*at)->desc, desc))) /* a stem has weights of its own */
        at = &(*at)->next;
    if (!*at) {
        dt_conv *made = NULL;
        DT_TRY(create_object(ck, desc, &made, err));
        *at = made;
    }
    dt_status status = ck->is_half ? dt_cuda_half_scales_reserve(ck, desc->k, err) : DT_OK;
    if (status != DT_OK) {
        drop_unused(ck, at);
        return status;
    }
    (*at)->n_users++;
    *conv = *at;
    return DT_OK;
}

void dt_cuda_conv_destroy(dt_kernels *k, dt_conv *conv)
{
    dt_cuda_kernels *ck = dt_cuda(k);
    dt_conv **at = &ck->convs;
    if (!conv)
        return;
    dt_cuda_half_scales_unreserve(ck, conv->desc.k);
    conv->n_users--;
    while (*at != conv)
        at = &(*at)->next;
    drop_unused(ck, at);
}

unsigned dt_cuda_conv_fusions(dt_kernels *k, const dt_conv *conv)
{
    (void)k;
    return conv->fusions;
}

int64_t dt_cuda_conv_weights_elems(dt_kernels *k, const dt_conv *conv)
{
    (void)k;
    return dt_cuda_filter_elems(conv);
}

/* KRSC, with the number of channels in memory. */
void dt_cuda_conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order)
{
    const dt_conv_desc *d = &conv->desc;
    (void)k;
    *order = (dt_weights_order){.n_k = d->k,
                                .n_c = d->c,
                                .n_taps = d->r * d->s,
                                .k_block = 1,
                                .c_block = d->c,
                                .k_block_step = d->r * d->s * conv->c,
                                .c_step = 1,
                                .tap_step = conv->c};
}

/* values_changed refreshes the mirror of all other weights. */
dt_status dt_cuda_conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err)
{
    return conv->stem.is_used ? dt_cuda_stem_weights_changed(dt_cuda(k), conv, w, err) : DT_OK;
}
