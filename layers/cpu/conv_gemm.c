/* conv_gemm.c: convolution as matrix products, one image at a time, on the calling thread.
 *
 * patch [pixel][c r s] holds the window of each output pixel, with c r s in the order of the weights. K is a
 * block of filters: its part of y is [pixel][K] and its part of the weights [c r s][K], both contiguous in
 * our layouts.
 *   forward          y_K      =  patch  x  w_K
 *   data gradient    dpatch   =  sum over K of dy_K  x  transpose of w_K; each dx = sum over the patches
 *                                that hold it
 *   weight gradient  dw_K    +=  transpose of patch  x  dy_K
 */
#include "layers/cpu/conv_internal.h"

#include <string.h>

typedef struct image_pass {
    const dt_cpu_kernels *cpu;
    const dt_conv_desc *desc;
    int64_t p, q;
    int64_t n_c_blocks, depth;        /* channels in a block: 16, 8, or the image's 3 */
    int64_t pixel_step, channel_step; /* in x, in elements */
    int64_t patch_elems;
    float *x, *patches;
} image_pass;

static image_pass pass_of(const dt_cpu_kernels *cpu, const dt_conv_desc *d, float *x, void *scratch)
{
    const int64_t depth = d->reads_image ? d->c : cpu->block;
    return (image_pass){.cpu = cpu,
                        .desc = d,
                        .p = dt_conv_out_h(d),
                        .q = dt_conv_out_w(d),
                        .n_c_blocks = d->c / depth,
                        .depth = depth,
                        .pixel_step = d->reads_image ? 1 : depth,
                        .channel_step = d->reads_image ? d->h * d->w : 1,
                        .patch_elems = d->c * d->r * d->s,
                        .x = x,
                        .patches = scratch};
}

int64_t dt_conv_gemm_scratch_bytes(const dt_conv_desc *desc)
{
    return dt_conv_out_h(desc) * dt_conv_out_w(desc) * desc->c * desc->r * desc->s * (int64_t)sizeof(float);
}

/* The address of a pixel of channel block c_block of the image; NULL outside of the image, where there is
 * padding. */
static float *pixel_of(const image_pass *pass, int64_t c_block, int64_t row, int64_t column)
{
    const dt_conv_desc *d = pass->desc;
    if (row < 0 || row >= d->h || column < 0 || column >= d->w)
        return NULL;
    return pass->x + (c_block * d->h * d->w) * pass->depth + (row * d->w + column) * pass->pixel_step;
}

static void gather(const image_pass *pass)
{
    const dt_conv_desc *d = pass->desc;
    for (int64_t pixel = 0; pixel < pass->p * pass->q; pixel++) {
        const int64_t top = pixel / pass->q * d->stride - d->pad, left = pixel % pass->q * d->stride - d->pad;
        float *patch = pass->patches + pixel * pass->patch_elems;
        for (int64_t c_block = 0; c_block < pass->n_c_blocks; c_block++)
            for (int64_t tap = 0; tap < d->r * d->s; tap++, patch += pass->depth) {
                const float *from = pixel_of(pass, c_block, top + tap / d->s, left + tap % d->s);
                for (int64_t i = 0; i < pass->depth; i++)
                    patch[i] = from != NULL ? from[i * pass->channel_step] : 0.0F;
            }
    }
}

static void scatter(const image_pass *pass)
{
    const dt_conv_desc *d = pass->desc;
    const int64_t block_elems = d->h * d->w * pass->depth;
    memset(pass->x, 0, (size_t)(pass->n_c_blocks * block_elems) * sizeof(float));
    for (int64_t c_block = 0; c_block < pass->n_c_blocks; c_block++)
        for (int64_t pixel = 0; pixel < pass->p * pass->q; pixel++) {
            const int64_t top = pixel / pass->q * d->stride - d->pad,
                          left = pixel % pass->q * d->stride - d->pad;
            const float *patch =
                pass->patches + pixel * pass->patch_elems + c_block * d->r * d->s * pass->depth;
            for (int64_t tap = 0; tap < d->r * d->s; tap++, patch += pass->depth) {
                float *to = pixel_of(pass, c_block, top + tap / d->s, left + tap % d->s);
                for (int64_t i = 0; to != NULL && i < pass->depth; i++)
                    to[i] += patch[i];
            }
        }
}

/* The products of filter block k_block; y and w point to its parts. */
static dnnl_status_t multiply(const image_pass *pass, dt_direction direction, int64_t k_block,
                              bool first_image, float *w, float *y)
{
    const int64_t pixels = pass->p * pass->q, inner = pass->patch_elems, block = pass->cpu->block;
    switch (direction) {
    case DT_FORWARD:
        break;
    case DT_BACKWARD_DATA:
        return dt_onednn_sgemm('N', 'T', pixels, inner, block, 1.0F, y, block, w, block,
                               k_block > 0 ? 1.0F : 0.0F, pass->patches, inner);
    case DT_BACKWARD_WEIGHTS:
        return dt_onednn_sgemm('T', 'N', inner, block, pixels, 1.0F, pass->patches, inner, y, block,
                               first_image ? 0.0F : 1.0F, w, block);
    }
    return dt_onednn_sgemm('N', 'N', pixels, block, inner, 1.0F, pass->patches, inner, w, block, 0.0F, y,
                           block);
}

static dnnl_status_t image(image_pass *pass, dt_direction direction, bool first_image, float *w, float *y)
{
    const int64_t pixels = pass->p * pass->q, block = pass->cpu->block;
    if (direction != DT_BACKWARD_DATA)
        gather(pass);
    for (int64_t k_block = 0; k_block < pass->desc->k / block; k_block++) {
        const dnnl_status_t status =
            multiply(pass, direction, k_block, first_image, w + k_block * pass->patch_elems * block,
                     y + k_block * pixels * block);
        if (status != dnnl_success)
            return status;
    }
    if (direction == DT_BACKWARD_DATA)
        scatter(pass);
    return dnnl_success;
}

dt_status dt_conv_gemm_run(const dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                           int64_t n_images, const dt_onednn_arrays *arrays, dt_error *err)
{
    image_pass pass = pass_of(cpu, desc, arrays->x, arrays->scratchpad);
    for (int64_t i = 0; i < n_images; i++) {
        const dnnl_status_t status =
            image(&pass, direction, i == 0, arrays->w, arrays->y + i * desc->k * pass.p * pass.q);
        if (status != dnnl_success)
            return dt_fail(err, dt_onednn_status(status),
                           "oneDNN: matrix product of convolution %lldx%lldx%lld -> %lld, %lldx%lld: %s",
                           (long long)desc->c, (long long)desc->h, (long long)desc->w, (long long)desc->k,
                           (long long)desc->r, (long long)desc->s, dt_onednn_status_text(status));
        pass.x += desc->c * desc->h * desc->w;
    }
    return DT_OK;
}
