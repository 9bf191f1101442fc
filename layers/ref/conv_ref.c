/* conv_ref.c: convolution as one matrix product per chunk of images.
 *
 * patch [row][c r s] holds the window of output pixel row = (image, p, q), with zeros outside of the image:
 *   forward           y [row][k]            =  patch [row][c r s]  x  transpose of w [k][c r s]
 *   data gradient     dpatch [row][c r s]   =  dy [row][k]         x  w [k][c r s]; each dx = sum over the
 *                                              patches that hold it
 *   weight gradient   dw [k][c r s]        +=  transpose of dy [row][k]  x  patch [row][c r s]
 * A lazy input is normalised while patches are gathered; the zero padding pads the normalised values. The
 * other fusions call the plain operations one after the other, so a fused result has the bits of the composed
 * one (except that with FP16 a prologue rounds scale and bias).
 */
#include "core/base/alloc.h"
#include "layers/arithmetic.h"
#include "layers/ref/ref_internal.h"

#include <string.h>

/* A late layer has few pixels per image: process so many images at once that a chunk has about this many
 * rows. */
#define ROWS_WANTED 256

struct dt_conv {
    dt_conv_desc desc;
    int64_t p, q;        /* height and width of the output */
    int64_t patch_elems; /* c r s */
    int64_t images_per_chunk;
};

/* A chunk of images and its scratch memory. */
typedef struct chunk {
    int64_t first, n; /* images */
    int64_t n_rows;   /* n p q */
    double *patches;  /* [n_rows][c r s] */
    double *outputs;  /* [n_rows][k], or transposed */
    double *weights;  /* [k][c r s], or transposed */
    double *inputs;   /* [n][c][h][w]: dx */
} chunk;

static int64_t max_rows(const dt_conv *conv)
{
    return conv->images_per_chunk * conv->p * conv->q;
}

static chunk chunk_at(dt_ref_kernels *ref, const dt_conv *conv, int64_t first)
{
    const dt_conv_desc *d = &conv->desc;
    chunk part = {.first = first, .n = d->n - first};
    if (part.n > conv->images_per_chunk)
        part.n = conv->images_per_chunk;
    part.n_rows = part.n * conv->p * conv->q;
    part.patches = ref->scratch;
    part.outputs = part.patches + max_rows(conv) * conv->patch_elems;
    part.weights = part.outputs + max_rows(conv) * d->k;
    part.inputs = part.weights + d->k * conv->patch_elems;
    return part;
}

/* Make sure that the scratch block holds n_elems doubles. Earlier pointers into it become invalid. */
static dt_status reserve_scratch(dt_ref_kernels *ref, int64_t n_elems, dt_error *err)
{
    if (n_elems <= ref->scratch_elems)
        return DT_OK;
    double *larger = dt_alloc((size_t)n_elems * sizeof *larger);
    if (larger == NULL)
        return dt_fail_memory(err, (size_t)n_elems * sizeof *larger, "the scratch block of the ref backend");
    dt_free(ref->scratch);
    ref->scratch = larger;
    ref->scratch_elems = n_elems;
    return DT_OK;
}

dt_status dt_ref_conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err)
{
    if (desc->n < 1 || desc->c < 1 || desc->k < 1 || desc->r < 1 || desc->s < 1 || desc->stride < 1 ||
        desc->pad < 0 || desc->h + 2 * desc->pad < desc->r || desc->w + 2 * desc->pad < desc->s)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "convolution: %lld filters of %lldx%lld, stride %lld, pad %lld do not fit %lld images "
                       "of %lldx%lldx%lld",
                       (long long)desc->k, (long long)desc->r, (long long)desc->s, (long long)desc->stride,
                       (long long)desc->pad, (long long)desc->n, (long long)desc->c, (long long)desc->h,
                       (long long)desc->w);
    dt_conv *made = dt_calloc(1, sizeof *made);
    if (made == NULL)
        return dt_fail_memory(err, sizeof *made, "a convolution");
    made->desc = *desc;
    made->p = dt_conv_out_h(desc);
    made->q = dt_conv_out_w(desc);
    made->patch_elems = desc->c * desc->r * desc->s;
    made->images_per_chunk = (ROWS_WANTED + made->p * made->q - 1) / (made->p * made->q);
    if (made->images_per_chunk > desc->n)
        made->images_per_chunk = desc->n;
    int64_t n_scratch = max_rows(made) * (made->patch_elems + desc->k) + desc->k * made->patch_elems +
                        made->images_per_chunk * desc->c * desc->h * desc->w;
    dt_status status = reserve_scratch(dt_ref(k), n_scratch, err);
    if (status != DT_OK) {
        dt_free(made);
        return status;
    }
    *conv = made;
    return DT_OK;
}

void dt_ref_conv_destroy(dt_kernels *k, dt_conv *conv)
{
    (void)k;
    dt_free(conv);
}

unsigned dt_ref_conv_fusions(dt_kernels *k, const dt_conv *conv)
{
    (void)k, (void)conv;
    return DT_CONV_FUSE_PROLOGUE | DT_CONV_FUSE_SUMS | DT_CONV_FUSE_BACKWARD_EPILOGUE |
           DT_CONV_FUSE_BACKWARD_ADD | DT_CONV_FUSE_WEIGHTS_PROLOGUE;
}

int64_t dt_ref_conv_weights_elems(dt_kernels *k, const dt_conv *conv)
{
    (void)k;
    return conv->desc.k * conv->patch_elems;
}

void dt_ref_conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order)
{
    *order = dt_weights_order_plain(dt_ref_conv_weights_elems(k, conv));
}

/* Nothing to do: each call reads the weights themselves. */
dt_status dt_ref_conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err)
{
    (void)k, (void)conv, (void)w, (void)err;
    return DT_OK;
}

/* Fill one row of patches: the window of output pixel (p, q) of an image. */
static void gather_patch(dt_kernels *k, const dt_conv *conv, const dt_act *x, int64_t image, int64_t p,
                         int64_t q, double *patch)
{
    const dt_conv_desc *d = &conv->desc;
    int64_t top = p * d->stride - d->pad;
    int64_t left = q * d->stride - d->pad;
    for (int64_t c = 0; c < d->c; c++) {
        int64_t plane = (image * d->c + c) * d->h * d->w;
        for (int64_t row = top; row < top + d->r; row++) {
            for (int64_t column = left; column < left + d->s; column++) {
                bool inside = row >= 0 && row < d->h && column >= 0 && column < d->w;
                *patch++ = inside ? (double)dt_ref_operand_at(k, x, c, plane + row * d->w + column) : 0.0;
            }
        }
    }
}

static void gather_patches(dt_ref_kernels *ref, const dt_conv *conv, const dt_act *x, const chunk *part)
{
#pragma omp parallel for schedule(static) num_threads(ref->n_threads)
    for (int64_t row = 0; row < part->n_rows; row++) {
        int64_t pixel = row % (conv->p * conv->q);
        int64_t image = part->first + row / (conv->p * conv->q);
        gather_patch(&ref->base, conv, x, image, pixel / conv->q, pixel % conv->q,
                     part->patches + row * conv->patch_elems);
    }
}

/* The index in the output tensor of the first value of filter k and a chunk's image; the others of this plane
 * follow. */
static int64_t plane_at(const dt_conv *conv, const chunk *part, int64_t image, int64_t k)
{
    return ((part->first + image) * conv->desc.k + k) * conv->p * conv->q;
}

static void widen_weights(dt_ref_kernels *ref, const dt_conv *conv, const float *w, double *out)
{
    for (int64_t i = 0; i < conv->desc.k * conv->patch_elems; i++)
        out[i] = (double)dt_ref_factor(&ref->base, w[i]);
}

/* Tile by tile, each row of a tile written whole: writing a column of a large matrix touches one cache line
 * for each element. */
static void widen_weights_transposed(dt_ref_kernels *ref, const dt_conv *conv, const float *w, double *out)
{
    enum { TILE_ROWS = 16, TILE_COLUMNS = 8 };
    const int64_t n_filters = conv->desc.k, n = conv->patch_elems;
#pragma omp parallel for schedule(static) num_threads(ref->n_threads)
    for (int64_t first = 0; first < n; first += TILE_ROWS) {
        const int64_t end = first + TILE_ROWS < n ? first + TILE_ROWS : n;
        for (int64_t first_filter = 0; first_filter < n_filters; first_filter += TILE_COLUMNS) {
            const int64_t end_filter =
                first_filter + TILE_COLUMNS < n_filters ? first_filter + TILE_COLUMNS : n_filters;
            for (int64_t i = first; i < end; i++)
                for (int64_t k = first_filter; k < end_filter; k++)
                    out[i * n_filters + k] = (double)dt_ref_factor(&ref->base, w[k * n + i]);
        }
    }
}

static void widen_outputs(dt_ref_kernels *ref, const dt_conv *conv, const float *dy, const chunk *part,
                          bool transposed)
{
    const int64_t n_filters = conv->desc.k, n_pixels = conv->p * conv->q;
#pragma omp parallel for schedule(static) num_threads(ref->n_threads)
    for (int64_t plane = 0; plane < part->n * n_filters; plane++) {
        const int64_t image = plane / n_filters, k = plane % n_filters;
        const float *from = dy + plane_at(conv, part, image, k);
        double *to = part->outputs +
                     (transposed ? k * part->n_rows + image * n_pixels : image * n_pixels * n_filters + k);
        const int64_t step = transposed ? 1 : n_filters;
        for (int64_t i = 0; i < n_pixels; i++)
            to[i * step] = (double)dt_ref_factor(&ref->base, from[i]);
    }
}

static void narrow_outputs(dt_ref_kernels *ref, const dt_conv *conv, const chunk *part, float *y)
{
    const int64_t n_filters = conv->desc.k, n_pixels = conv->p * conv->q;
#pragma omp parallel for schedule(static) num_threads(ref->n_threads)
    for (int64_t plane = 0; plane < part->n * n_filters; plane++) {
        const int64_t image = plane / n_filters, k = plane % n_filters;
        const double *from = part->outputs + image * n_pixels * n_filters + k;
        float *to = y + plane_at(conv, part, image, k);
        for (int64_t i = 0; i < n_pixels; i++)
            to[i] = dt_ref_stored(&ref->base, from[i * n_filters]);
    }
}

static void clear(double *out, int64_t n)
{
    memset(out, 0, (size_t)n * sizeof *out);
}

dt_status dt_ref_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err)
{
    dt_ref_kernels *ref = dt_ref(k);
    const dt_conv_desc *d = &conv->desc;
    float *out = dt_ref_data(y, d->n, d->k, conv->p, conv->q);
    (void)dt_ref_data(&x->raw, d->n, d->c, d->h, d->w);
    chunk part = chunk_at(ref, conv, 0);
    widen_weights_transposed(ref, conv, w, part.weights);
    for (int64_t first = 0; first < d->n; first += part.n) {
        part = chunk_at(ref, conv, first);
        gather_patches(ref, conv, x, &part);
        clear(part.outputs, part.n_rows * d->k);
        dt_ref_matmul_add(ref->n_threads, part.n_rows, d->k, conv->patch_elems, part.patches, part.weights,
                          part.outputs);
        narrow_outputs(ref, conv, &part, out);
    }
    return sums != NULL ? dt_ref_bn_sums(k, y, sums, err) : DT_OK;
}

/* Channel c of an image of dx: add every patch element to the pixel that it was gathered from. */
static void scatter_patches(const dt_conv *conv, const double *patches, int64_t c, double *plane)
{
    const dt_conv_desc *d = &conv->desc;
    clear(plane, d->h * d->w);
    for (int64_t p = 0; p < conv->p; p++) {
        for (int64_t q = 0; q < conv->q; q++) {
            const double *patch = patches + (p * conv->q + q) * conv->patch_elems + c * d->r * d->s;
            for (int64_t r = 0; r < d->r; r++) {
                for (int64_t s = 0; s < d->s; s++) {
                    int64_t row = p * d->stride - d->pad + r;
                    int64_t column = q * d->stride - d->pad + s;
                    if (row >= 0 && row < d->h && column >= 0 && column < d->w)
                        plane[row * d->w + column] += patch[r * d->s + s];
                }
            }
        }
    }
}

static void write_inputs(dt_ref_kernels *ref, const dt_conv *conv, const chunk *part, const float *add,
                         float *dx)
{
    const dt_conv_desc *d = &conv->desc;
    int64_t n_pixels = d->h * d->w;
#pragma omp parallel for schedule(static) num_threads(ref->n_threads)
    for (int64_t plane = 0; plane < part->n * d->c; plane++) {
        const double *patches = part->patches + plane / d->c * conv->p * conv->q * conv->patch_elems;
        double *sums = part->inputs + plane * n_pixels;
        int64_t at = (part->first * d->c + plane) * n_pixels;
        scatter_patches(conv, patches, plane % d->c, sums);
        for (int64_t i = 0; i < n_pixels; i++)
            dx[at + i] = dt_ref_stored(&ref->base, sums[i] + (add != NULL ? (double)add[at + i] : 0.0));
    }
}

dt_status dt_ref_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err)
{
    dt_ref_kernels *ref = dt_ref(k);
    const dt_conv_desc *d = &conv->desc;
    const float *out_gradient = dt_ref_data(dy, d->n, d->k, conv->p, conv->q);
    assert(d->for_training && !d->reads_image);
    const float *added = add != NULL ? dt_ref_data(add, d->n, d->c, d->h, d->w) : NULL;
    float *in_gradient = dt_ref_data(dx, d->n, d->c, d->h, d->w);
    chunk part = chunk_at(ref, conv, 0);
    widen_weights(ref, conv, w, part.weights);
    for (int64_t first = 0; first < d->n; first += part.n) {
        part = chunk_at(ref, conv, first);
        widen_outputs(ref, conv, out_gradient, &part, false);
        clear(part.patches, part.n_rows * conv->patch_elems);
        dt_ref_matmul_add(ref->n_threads, part.n_rows, conv->patch_elems, d->k, part.outputs, part.weights,
                          part.patches);
        write_inputs(ref, conv, &part, added, in_gradient);
    }
    return bn != NULL ? dt_ref_bn_backward_reduce(k, bn, dx, dx, err) : DT_OK;
}

dt_status dt_ref_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err)
{
    dt_ref_kernels *ref = dt_ref(k);
    const dt_conv_desc *d = &conv->desc;
    const float *out_gradient = dt_ref_data(dy, d->n, d->k, conv->p, conv->q);
    (void)dt_ref_data(&x->raw, d->n, d->c, d->h, d->w);
    assert(d->for_training);
    (void)err;
    int64_t n_weights = d->k * conv->patch_elems;
    chunk part = chunk_at(ref, conv, 0);
    clear(part.weights, n_weights);
    for (int64_t first = 0; first < d->n; first += part.n) {
        part = chunk_at(ref, conv, first);
        gather_patches(ref, conv, x, &part);
        widen_outputs(ref, conv, out_gradient, &part, true);
        dt_ref_matmul_add(ref->n_threads, d->k, conv->patch_elems, part.n_rows, part.outputs, part.patches,
                          part.weights);
    }
    for (int64_t i = 0; i < n_weights; i++)
        dw[i] = dt_ref_gradient(k, part.weights[i], accumulate, dw[i]);
    return DT_OK;
}
