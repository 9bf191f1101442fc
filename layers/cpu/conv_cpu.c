/* conv_cpu.c: creates a convolution: its chunks, its primitives, the order of its weights. conv_run.c
 * computes.
 *
 * Weights, gradients and momentum are OIhw{B}i{B}o (the stem's Ohwi{B}o), B = 16 or 8, without padding, for
 * all n, h and w.
 */
#include "layers/cpu/conv_internal.h"

#include <string.h>

static dt_status check(const dt_conv_desc *d, dt_error *err)
{
    const bool fits = d->n >= 1 && d->c >= 1 && d->k >= 1 && d->r >= 1 && d->s >= 1 && d->stride >= 1 &&
                      d->pad >= 0 && d->h + 2 * d->pad >= d->r && d->w + 2 * d->pad >= d->s;
    if (!fits)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "convolution: %lld filters of %lldx%lld, stride %lld, pad %lld do not fit %lld images "
                       "of %lldx%lldx%lld",
                       (long long)d->k, (long long)d->r, (long long)d->s, (long long)d->stride,
                       (long long)d->pad, (long long)d->n, (long long)d->c, (long long)d->h, (long long)d->w);
    if (d->k % 16 != 0 || (d->reads_image ? d->c != 3 : d->c % 16 != 0))
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "convolution: %lld to %lld channels; the cpu backend needs multiples of 16, or the image's 3",
            (long long)d->c, (long long)d->k);
    return DT_OK;
}

/* -- chunks and algorithms ------------------------------------------------------------------------------- */

/* How many images a chunk should have. Their x and y should fit into chunk_bytes, but be at least as large as
 * the weights, which each chunk reads again, and four times as large in the weight gradient, where each chunk
 * adds its part. */
static int64_t images_wanted(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction)
{
    const int64_t image_bytes = (conv->x_image + conv->y_image) * (int64_t)sizeof(float);
    const int64_t weights_bytes =
        conv->weights_elems * (int64_t)sizeof(float) * (direction == DT_BACKWARD_WEIGHTS ? 4 : 1);
    const int64_t chunk_bytes = cpu->chunk_bytes > weights_bytes ? cpu->chunk_bytes : weights_bytes;
    return chunk_bytes > image_bytes ? chunk_bytes / image_bytes : 1;
}

/* Divide n images into chunks of at most `wanted`, to be computed n_at_once. */
static void split(dt_conv_pass *pass, int64_t n, int64_t wanted, int64_t n_at_once)
{
    pass->n_chunks = (n + wanted - 1) / wanted;
    pass->larger = (n + pass->n_chunks - 1) / pass->n_chunks;
    pass->n_larger = n - pass->n_chunks * (pass->larger - 1);
    pass->n_at_once = n_at_once < pass->n_chunks ? n_at_once : pass->n_chunks;
    pass->n_groups = 1;
}

/* Units that a convolution should have, to keep many threads busy. Its chunks are few where the images are
 * small and the weights large; then there are many channels to divide into groups. */
#define UNITS_WANTED 32
#define LEAST_GROUP_CHANNELS 32 /* with fewer, oneDNN's code is slower */

static int64_t groups_wanted(const dt_conv_desc *d, dt_direction direction, int64_t n_chunks)
{
    const int64_t n_channels = direction == DT_BACKWARD_DATA ? d->c : d->k;
    int64_t n = 1;
    while (n * n_chunks < UNITS_WANTED && n_channels % (2 * n * LEAST_GROUP_CHANNELS) == 0)
        n *= 2;
    return n;
}

/* The fewest chunks whose units n_threads can share equally. */
static int64_t chunks_at_once(int64_t n_groups, int64_t n_threads)
{
    int64_t a = n_threads, b = n_groups;
    while (b != 0) { /* the greatest common divisor, by Euclid's algorithm */
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return n_threads / a;
}

static void unprepare(dt_conv_pass *pass)
{
    for (int i = 0; i < 2; i++)
        dt_onednn_conv_destroy(&pass->prepared[i]);
}

static dt_status prepare_groups(dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                                int64_t n_groups, dt_conv_pass *pass, dt_error *err)
{
    const dt_conv_desc group = dt_conv_group(&conv->desc, direction, n_groups);
    split(pass, conv->desc.n, images_wanted(cpu, conv, direction), chunks_at_once(n_groups, cpu->n_threads));
    pass->n_groups = n_groups;
    DT_TRY(dt_onednn_conv_create(cpu, &group, direction, pass->larger, &pass->prepared[0], err));
    if (pass->n_larger == pass->n_chunks)
        return DT_OK;
    return dt_onednn_conv_create(cpu, &group, direction, pass->larger - 1, &pass->prepared[1], err);
}

static dt_status prepare_chunks(dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                                dt_conv_pass *pass, dt_error *err)
{
    const dt_conv_desc *d = &conv->desc;
    const int64_t wanted = images_wanted(cpu, conv, direction), n_chunks = (d->n + wanted - 1) / wanted,
                  n_groups = groups_wanted(d, direction, n_chunks);
    DT_TRY(prepare_groups(cpu, conv, direction, n_groups, pass, err));
    /* the data gradient's weights of a group are contiguous only if they are copied into another order */
    if (n_groups == 1 || direction != DT_BACKWARD_DATA || pass->prepared[0].flips)
        return DT_OK;
    unprepare(pass);
    return prepare_groups(cpu, conv, direction, 1, pass, err);
}

/* This many weights, transformed, stay in a cache while the tiles are multiplied with them (2.4 MB); four
 * times as many do not. */
#define WINOGRAD_SMALL_WEIGHTS (128 * 128)

/* Estimate how many times faster Winograd's algorithm is than the direct one, from measurements (README.md).
 * 2.6 times with many tiles of 4x4 pixels; less when the image does not divide into tiles, and less with few
 * tiles: each call transforms and reads the weights, which takes as long as `overhead` tiles. */
static double winograd_gain(const dt_conv_desc *d, dt_direction direction)
{
    const double tiles = (double)(d->n * ((d->h + 3) / 4) * ((d->w + 3) / 4));
    const double overhead = d->c * d->k <= WINOGRAD_SMALL_WEIGHTS ? 8.0
                            : direction == DT_BACKWARD_WEIGHTS    ? 30.0
                                                                  : 18.0;
    const double used = (double)(d->n * d->h * d->w) / (16.0 * tiles);
    return 2.6 * used * tiles / (tiles + overhead);
}

/* Use Winograd where it should gain a fifth. */
#define WINOGRAD_LEAST_GAIN 1.2
/* Tiles for each thread in a chunk. */
#define WINOGRAD_TILES 128
/* The most that a 3x3 convolution of a ResNet has. Transformed, they take 38 MB of scratch memory. */
#define WINOGRAD_MOST_WEIGHTS (512 * 512)

/* Return whether Winograd is used, which depends on the shape and not on the number of threads. */
static bool prepare_winograd(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                             dt_conv_pass *pass)
{
    const dt_conv_desc *d = &conv->desc;
    const int64_t tiles = ((d->h + 3) / 4) * ((d->w + 3) / 4);
    if (!dt_winograd_can(cpu, d) || d->c * d->k > WINOGRAD_MOST_WEIGHTS ||
        winograd_gain(d, direction) < WINOGRAD_LEAST_GAIN)
        return false;
    split(pass, d->n, (WINOGRAD_TILES + tiles - 1) / tiles * cpu->n_threads, 1);
    pass->method = DT_CONV_BY_OWN_WINOGRAD;
    return true;
}

/* The weight gradient of windows on small images is faster by simd_wgrad.c than by oneDNN's direct algorithm
 * (README.md): 1.1 to 2.1 times up to this many pixels, and never slower. */
#define OWN_WGRAD_MOST_PIXELS (14 * 14)
/* Bytes of one block's planes of x and dy in a chunk. They are read once for each block of the other tensor,
 * so they should stay in a second-level cache. */
#define OWN_WGRAD_CHUNK_BYTES (128 << 10)

static void prepare_own_wgrad(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_conv_pass *pass)
{
    const dt_conv_desc *d = &conv->desc;
    const int64_t pixels = d->h * d->w + dt_conv_out_h(d) * dt_conv_out_w(d);
    const int64_t wanted = OWN_WGRAD_CHUNK_BYTES / (pixels * cpu->block * (int64_t)sizeof(float));
    unprepare(pass);
    split(pass, d->n, wanted > 1 ? wanted : 1, 1);
    pass->method = DT_CONV_BY_OWN_WGRAD;
}

static dt_status prepare(dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction, dt_conv_pass *pass,
                         dt_error *err)
{
    const dt_conv_desc *d = &conv->desc;
    const bool can_be_own = direction == DT_BACKWARD_WEIGHTS && !d->reads_image;
    if (prepare_winograd(cpu, conv, direction, pass))
        return DT_OK;
    if (can_be_own && d->r * d->s > 1 && d->h * d->w <= OWN_WGRAD_MOST_PIXELS) {
        prepare_own_wgrad(cpu, conv, pass);
        return DT_OK;
    }
    DT_TRY(prepare_chunks(cpu, conv, direction, pass, err));
    if (can_be_own && pass->prepared[0].primitive == NULL)
        prepare_own_wgrad(cpu, conv, pass);
    return DT_OK;
}

static int64_t method_bytes(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                            const dt_conv_pass *pass)
{
    if (pass->method == DT_CONV_BY_OWN_WGRAD)
        return 0;
    if (pass->method == DT_CONV_BY_OWN_WINOGRAD)
        return dt_winograd_scratch_bytes(cpu, &conv->desc, direction);
    return cpu->n_threads * dt_conv_share_bytes(conv, direction, pass);
}

static int64_t scratch_bytes(const dt_cpu_kernels *cpu, const dt_conv *conv, dt_direction direction,
                             const dt_conv_pass *pass)
{
    return dt_conv_scratch_acts_bytes(conv, pass) + dt_conv_scratch_weights_bytes(conv, direction, pass) +
           method_bytes(cpu, conv, direction, pass);
}

static dt_status prepare_all(dt_cpu_kernels *cpu, dt_conv *conv, dt_error *err)
{
    const dt_conv_desc *d = &conv->desc;
    conv->x_image = d->c * d->h * d->w;
    conv->y_image = d->k * dt_conv_out_h(d) * dt_conv_out_w(d);
    conv->weights_elems = d->k * d->c * d->r * d->s;
    DT_TRY(prepare(cpu, conv, DT_FORWARD, &conv->forward, err));
    DT_TRY(dt_cpu_scratch_reserve(cpu, scratch_bytes(cpu, conv, DT_FORWARD, &conv->forward), err));
    if (!d->for_training)
        return DT_OK;
    DT_TRY(prepare(cpu, conv, DT_BACKWARD_WEIGHTS, &conv->backward_weights, err));
    DT_TRY(dt_cpu_scratch_reserve(cpu, scratch_bytes(cpu, conv, DT_BACKWARD_WEIGHTS, &conv->backward_weights),
                                  err));
    if (d->reads_image)
        return DT_OK;
    DT_TRY(prepare(cpu, conv, DT_BACKWARD_DATA, &conv->backward_data, err));
    return dt_cpu_scratch_reserve(cpu, scratch_bytes(cpu, conv, DT_BACKWARD_DATA, &conv->backward_data), err);
}

dt_status dt_cpu_conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err)
{
    DT_TRY(check(desc, err));
    dt_conv *made = dt_calloc(1, sizeof *made);
    if (made == NULL)
        return dt_fail_memory(err, sizeof *made, "a convolution");
    made->desc = *desc;
    const dt_status status = prepare_all(dt_cpu(k), made, err);
    if (status != DT_OK) {
        dt_cpu_conv_destroy(k, made);
        return status;
    }
    *conv = made;
    return DT_OK;
}

void dt_cpu_conv_destroy(dt_kernels *k, dt_conv *conv)
{
    (void)k;
    if (conv == NULL)
        return;
    unprepare(&conv->forward);
    unprepare(&conv->backward_data);
    unprepare(&conv->backward_weights);
    dt_free(conv);
}

unsigned dt_cpu_conv_fusions(dt_kernels *k, const dt_conv *conv)
{
    (void)k, (void)conv;
    return DT_CONV_FUSE_PROLOGUE | DT_CONV_FUSE_SUMS | DT_CONV_FUSE_BACKWARD_EPILOGUE |
           DT_CONV_FUSE_BACKWARD_ADD | DT_CONV_FUSE_WEIGHTS_PROLOGUE;
}

int64_t dt_cpu_conv_weights_elems(dt_kernels *k, const dt_conv *conv)
{
    (void)k;
    return conv->weights_elems;
}

/* [k / block][c / depth][tap][c % depth][k % block] */
void dt_cpu_conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order)
{
    const dt_conv_desc *d = &conv->desc;
    const int64_t block = dt_cpu(k)->block, depth = d->reads_image ? d->c : block, taps = d->r * d->s;
    *order = (dt_weights_order){.n_k = d->k,
                                .n_c = d->c,
                                .n_taps = taps,
                                .k_block = block,
                                .c_block = depth,
                                .k_step = 1,
                                .k_block_step = d->c * taps * block,
                                .c_step = block,
                                .c_block_step = taps * depth * block,
                                .tap_step = depth * block};
}

/* Nothing to do: no call keeps anything that it derives from the weights. */
dt_status dt_cpu_conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err)
{
    (void)k, (void)conv, (void)w, (void)err;
    return DT_OK;
}
