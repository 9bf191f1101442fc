/* stem_blocks_cuda.c: where an element of an image lies in memory, when the stem reads it as blocks of 2x2
 * pixels (conv_stem_cuda.c has the formula). */
#include "layers/cuda/cuda_internal.h"

dt_conv_desc dt_cuda_stem_blocks(const dt_conv_desc *d)
{
    dt_conv_desc blocks = *d;
    blocks.c = DT_CUDA_STEM_CHANNELS;
    blocks.r = (d->r + 1) / 2;
    blocks.s = (d->s + 1) / 2;
    blocks.h = dt_conv_out_h(d) + blocks.r - 1;
    blocks.w = dt_conv_out_w(d) + blocks.s - 1;
    blocks.stride = 1;
    blocks.pad = 0;
    return blocks;
}

int64_t dt_cuda_stem_image_elems(int64_t h, int64_t w)
{
    const dt_conv_desc largest = {.h = h,
                                  .w = w,
                                  .r = DT_CUDA_STEM_MAX_FILTER,
                                  .s = DT_CUDA_STEM_MAX_FILTER,
                                  .stride = 2,
                                  .pad = DT_CUDA_STEM_MAX_PAD};
    const dt_conv_desc blocks = dt_cuda_stem_blocks(&largest);
    return blocks.h * blocks.w * DT_CUDA_STEM_CHANNELS;
}

bool dt_cuda_stem_reads(const dt_conv *conv, int64_t n, int64_t h, int64_t w)
{
    return conv->desc.reads_image && conv->desc.n == n && conv->desc.h == h && conv->desc.w == w;
}

const dt_cuda_stem *dt_cuda_stem_find(const dt_cuda_kernels *ck, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (const dt_conv *conv = ck->convs; conv && c == 3; conv = conv->next)
        if (conv->stem.is_used && dt_cuda_stem_reads(conv, n, h, w))
            return &conv->stem;
    return NULL;
}

int64_t dt_cuda_stem_position(const dt_cuda_stem *stem, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t y = h + stem->pad, x = w + stem->pad;
    if (y / 2 >= stem->blocks.h || x / 2 >= stem->blocks.w)
        return -1;
    return ((n * stem->blocks.h + y / 2) * stem->blocks.w + x / 2) * DT_CUDA_STEM_CHANNELS +
           (y % 2 * 2 + x % 2) * 4 + c;
}
