/* conv_stem_cuda.c: the convolution that reads the image, by space to depth, in FP16 and BF16.
 *
 * cuDNN has no fused graph for 3 channels, and its weight gradient pads them to 8 through a workspace of
 * hundreds of megabytes. A convolution of stride 2 is also one of stride 1 over blocks of 2x2 pixels: with
 * r = 2 r' + i and s = 2 s' + j,
 *
 *   y[p, q] = sum over r, s, c of w[r, s, c] x[2p - pad + r, 2q - pad + s, c]
 *           = sum over r', s', i, j, c of w[2r' + i, 2s' + j, c] b[p + r', q + s', (i, j, c)],
 *   b[P, Q, (i, j, c)] = x[2P - pad + i, 2Q - pad + j, c], and 0 outside of the image.
 *
 * So 7x7 over 3 channels of 224x224 becomes 4x4 over 16 channels (4 pixels of 3 channels and a zero) of
 * 115x115, with the padding in the image. normalize_input writes b. w is 0 where 2r' + i = 7. The flat vector
 * keeps w as 7x7; conv_weights_changed arranges it in 16 bits, and the gradient is brought back in the launch
 * that makes it float32. Where cuDNN lacks a graph, conv_cuda.c plans the convolution over 4 channels. */
#include "layers/cuda/cuda_internal.h"

/* -- planning -------------------------------------------------------------------------------------------- */

static bool is_possible(const dt_cuda_kernels *ck, const dt_conv_desc *d)
{
    return ck->is_half && d->reads_image && d->c == 3 && d->stride == 2 && d->r == d->s && d->r >= 3 &&
           d->r <= DT_CUDA_STEM_MAX_FILTER && d->pad <= DT_CUDA_STEM_MAX_PAD;
}

/* All convolutions that read the same images must agree on their arrangement in memory. */
static bool others_read_pixels(const dt_cuda_kernels *ck, const dt_conv_desc *d)
{
    for (const dt_conv *other = ck->convs; other; other = other->next)
        if (!other->stem.is_used && dt_cuda_stem_reads(other, d->n, d->h, d->w))
            return true;
    return false;
}

static dt_status plan_graphs(dt_cuda_kernels *ck, dt_conv *conv, const dt_conv_desc *blocks, dt_error *err)
{
    dt_graph graph;
    dt_graph_conv_forward(blocks, ck->base.dtype, false, true, &graph);
    DT_TRY(dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_FORWARD_SUMS], err));
    if (!conv->plans[DT_CUDA_FORWARD_SUMS].plan)
        return DT_OK;
    if (blocks->for_training) {
        dt_graph_conv_backward_weights(blocks, ck->base.dtype, false, &graph);
        return dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_WEIGHTS], err);
    }
    dt_graph_conv_forward(blocks, ck->base.dtype, false, false, &graph);
    return dt_cuda_plan_try(ck, &graph, &conv->plans[DT_CUDA_FORWARD], err);
}

static dt_status use_blocks(dt_cuda_kernels *ck, dt_conv *conv, const dt_conv_desc *blocks, dt_error *err)
{
    conv->stem = (dt_cuda_stem){.is_used = true, .pad = conv->desc.pad, .blocks = *blocks};
    conv->fusions = DT_CONV_FUSE_SUMS;
    return dt_cuda_reserve(ck, &conv->stem.weights,
                           blocks->k * blocks->r * blocks->s * DT_CUDA_STEM_CHANNELS *
                               (int64_t)sizeof(uint16_t),
                           "the stem's weights", err);
}

dt_status dt_cuda_stem_plan(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err)
{
    const dt_conv_desc *d = &conv->desc;
    if (is_possible(ck, d) && !others_read_pixels(ck, d)) {
        const dt_conv_desc blocks = dt_cuda_stem_blocks(d);
        DT_TRY(plan_graphs(ck, conv, &blocks, err));
        const int last = d->for_training ? DT_CUDA_WEIGHTS : DT_CUDA_FORWARD_SUMS;
        if (conv->plans[last].plan)
            return use_blocks(ck, conv, &blocks, err);
        for (int i = 0; i < DT_CUDA_N_PLANS; i++)
            dt_cuda_plan_destroy(ck, &conv->plans[i]);
    }
    if (dt_cuda_stem_find(ck, d->n, d->c, d->h, d->w))
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "convolution: another one reads the same %lld images of %lldx%lld as blocks of 2x2 "
                       "pixels, and this one cannot",
                       (long long)d->n, (long long)d->h, (long long)d->w);
    return DT_OK;
}

/* -- running --------------------------------------------------------------------------------------------- */

dt_status dt_cuda_stem_weights_changed(dt_cuda_kernels *ck, const dt_conv *conv, const float *w,
                                       dt_error *err)
{
    DT_CUDA_LAUNCH("stem_weights", dt_cuda_stem_weights(ck->stream, w, conv->desc.k, conv->desc.r,
                                                        ck->base.dtype, conv->stem.weights.data));
    return DT_OK;
}

dt_status dt_cuda_stem_gradient_finish(dt_cuda_kernels *ck, const dt_conv *conv, const void *target,
                                       float *dw, bool accumulate, dt_error *err)
{
    DT_CUDA_LAUNCH("stem_gradient", dt_cuda_stem_gradient(ck->stream, ck->base.dtype, target, conv->desc.k,
                                                          conv->desc.r, dw, accumulate));
    return DT_OK;
}
