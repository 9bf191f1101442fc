/* winograd.c: 3x3 convolutions of stride 1 by Winograd's algorithm: memory, and the division of the work
 * among threads. simd_winograd.c has the arithmetic.
 *
 * Forward: the threads transform the weights, once for each call. Then each thread processes its share of the
 * tiles, some at a time: it transforms their inputs (and normalises a lazy x while it reads it), multiplies,
 * and transforms the products back. The data gradient is the same with the weights rotated by 180 degrees and
 * c and k exchanged. A tile depends on its own inputs only, so the result has the same bits for any number of
 * threads and any chunks.
 *
 * Weight gradient: the threads transform some tiles of x and of dy; then each adds its share of the 36
 * products to dU. At the end of the call the threads transform dU into dw. Each element sums over the tiles
 * in their order, so the bits do not depend on the number of threads.
 */
#include "layers/cpu/winograd.h"

#include <string.h>

#define FREQUENCIES 36
/* Elements between the arrays of two frequencies. Without them the 36 streams of writes would fall into the
 * same set of a cache. */
#define PAD_ELEMS 16

/* Most bytes of a thread's transformed tiles. */
#define TILES_BYTES (1 << 20)
/* Fewest tiles at a time: with fewer, a thread spends more time reading the weights than multiplying. */
#define LEAST_TILES (4 * DT_CPU_PRODUCT_ROWS)
#define MOST_TILES (8 * DT_CPU_PRODUCT_ROWS)

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t rounded_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int64_t tiles_of_image(const dt_conv_desc *d)
{
    return (d->h + 3) / 4 * ((d->w + 3) / 4);
}

/* How many tiles a thread works on at a time (weight gradient: all threads together). */
static int64_t tiles_at_once(const dt_conv_desc *d)
{
    const int64_t fit = TILES_BYTES / ((d->c + d->k) * FREQUENCIES * (int64_t)sizeof(float));
    const int64_t n = fit < LEAST_TILES ? LEAST_TILES : fit > MOST_TILES ? MOST_TILES : fit;
    return rounded_up(n - DT_CPU_PRODUCT_ROWS + 1, DT_CPU_PRODUCT_ROWS);
}

static int64_t frequency_of(int64_t n)
{
    return n + PAD_ELEMS;
}

/* Elements of an array of n elements for each of the 36 frequencies. */
static int64_t elems(int64_t n)
{
    return FREQUENCIES * frequency_of(n);
}

bool dt_winograd_can(const dt_cpu_kernels *cpu, const dt_conv_desc *d)
{
    return d->r == 3 && d->s == 3 && d->stride == 1 && d->pad == 1 && d->c % (2 * cpu->block) == 0 &&
           d->k % (2 * cpu->block) == 0;
}

int64_t dt_winograd_scratch_bytes(const dt_cpu_kernels *cpu, const dt_conv_desc *d, dt_direction direction)
{
    const int64_t n = tiles_at_once(d), n_threads = direction == DT_BACKWARD_WEIGHTS ? 1 : cpu->n_threads;
    return (elems(d->c * d->k) + n_threads * (elems(n * d->c) + elems(n * d->k))) * (int64_t)sizeof(float);
}

/* One call. Its scratch memory holds the transformed weights or their gradient, then the transformed tiles of
 * x and y: for each thread, or in the weight gradient once for all threads. */
typedef struct pass {
    const dt_cpu_kernels *cpu;
    const dt_conv_desc *desc;
    int64_t n_in, n_out; /* channels of the input and of the result: c and k; for the data gradient k and c */
    const dt_act *act;   /* how to normalise `in`; NULL: not at all */
    const float *in, *w;
    float *out, *weights;
    int64_t first, n; /* weight gradient: the tiles that the threads process now */
    bool accumulate, turned;
} pass;

static pass pass_of(const dt_cpu_kernels *cpu, const dt_conv_desc *d, dt_direction direction, float *scratch)
{
    const bool turned = direction == DT_BACKWARD_DATA;
    return (pass){.cpu = cpu,
                  .desc = d,
                  .n_in = turned ? d->k : d->c,
                  .n_out = turned ? d->c : d->k,
                  .weights = scratch,
                  .turned = turned};
}

static float *tiles_in(const pass *p, int thread)
{
    const int64_t n = tiles_at_once(p->desc);
    return p->weights + elems(p->n_in * p->n_out) + thread * (elems(n * p->n_in) + elems(n * p->n_out));
}

static float *tiles_out(const pass *p, int thread)
{
    return tiles_in(p, thread) + elems(tiles_at_once(p->desc) * p->n_in);
}

/* -- weights --------------------------------------------------------------------------------------------- */

/* A unit of work is a pair of blocks: U [36][n_out / block][n_in][block]. */
static void weights_work(void *context, int thread, int64_t begin, int64_t end)
{
    const pass *p = context;
    const int64_t block = p->cpu->block, tile = block * block, n_in_blocks = p->n_in / block,
                  n_c_blocks = p->desc->c / block;
    float turned[9 * 16 * 16];
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t to = i / n_in_blocks, from = i % n_in_blocks;
        const float *w = p->w + (p->turned ? from * n_c_blocks + to : to * n_c_blocks + from) * 9 * tile;
        for (int64_t tap = 0; tap < 9 && p->turned; tap++)
            p->cpu->simd->transpose(block, w + (8 - tap) * tile, turned + tap * tile);
        p->cpu->simd->winograd_weights(block, p->turned ? turned : w, frequency_of(p->n_in * p->n_out),
                                       p->weights + i * tile);
    }
}

void dt_winograd_weights(const dt_cpu_kernels *cpu, const dt_conv_desc *d, dt_direction direction,
                         const float *w, float *scratch)
{
    pass p = pass_of(cpu, d, direction, scratch);
    p.w = w;
    dt_cpu_parallel(cpu, p.n_in / cpu->block * (p.n_out / cpu->block), weights_work, &p);
}

/* -- transforming some tiles ----------------------------------------------------------------------------- */

/* A run of tiles of one image, among the tiles first to first + n - 1 of a chunk. */
typedef struct piece {
    int64_t image, begin, end, at; /* at: the position of its first tile among the n */
} piece;

/* Advance *at, which starts as {0}, to the next run. Return false if there is none. */
static bool next_piece(const pass *p, int64_t first, int64_t n, piece *at)
{
    const int64_t per_image = tiles_of_image(p->desc), tile = first + at->at + at->end - at->begin;
    if (tile >= first + n)
        return false;
    at->at = tile - first;
    at->image = tile / per_image;
    at->begin = tile % per_image;
    at->end = least(per_image, at->begin + n - at->at);
    return true;
}

static dt_cpu_tiles tiles_of(const pass *p, int64_t n_channels)
{
    return (dt_cpu_tiles){p->cpu->block, p->desc->h, p->desc->w,
                          frequency_of(tiles_at_once(p->desc) * n_channels), n_channels};
}

static int64_t plane_elems(const pass *p)
{
    return p->desc->h * p->desc->w * p->cpu->block;
}

/* Transform the tiles of channel blocks begin to end - 1 of `in`. */
static void transform_in(const pass *p, int64_t first, int64_t n, int64_t begin, int64_t end, float *v)
{
    const dt_cpu_tiles tiles = tiles_of(p, p->n_in);
    const int64_t n_blocks = p->n_in / p->cpu->block;
    for (int64_t b = begin; b < end; b++) {
        const dt_cpu_norm norm =
            p->act != NULL ? dt_cpu_norm_at(p->act, b * p->cpu->block) : (dt_cpu_norm){NULL, NULL, false};
        for (piece at = {0}; next_piece(p, first, n, &at);)
            p->cpu->simd->winograd_input(&tiles, p->in + (at.image * n_blocks + b) * plane_elems(p), &norm,
                                         at.begin, at.end, v + at.at * p->n_in + b * p->cpu->block);
    }
}

/* -- forward and data gradient --------------------------------------------------------------------------- */

static void multiply(const pass *p, int64_t n, const float *v, float *m)
{
    const int64_t block = p->cpu->block, n_at_once = tiles_at_once(p->desc);
    const dt_cpu_product product = {.n_rows = rounded_up(n, DT_CPU_PRODUCT_ROWS),
                                    .inner = p->n_in,
                                    .row = p->n_in,
                                    .block_step = p->n_in * block,
                                    .to_row = p->n_out};
    for (int64_t f = 0; f < FREQUENCIES; f++) {
        const float *u = p->weights + f * frequency_of(p->n_in * p->n_out),
                    *rows = v + f * frequency_of(n_at_once * p->n_in);
        for (int64_t to = 0; to < p->n_out; to += 2 * block)
            p->cpu->simd->winograd_product(block, &product, rows, u + to * p->n_in,
                                           m + f * frequency_of(n_at_once * p->n_out) + to);
    }
}

/* Clear the rows after the n-th: the product, which processes whole groups of rows, reads them too. */
static void clear_rows(const pass *p, int64_t n, float *v)
{
    const int64_t n_more = rounded_up(n, DT_CPU_PRODUCT_ROWS) - n;
    for (int64_t f = 0; f < FREQUENCIES && n_more > 0; f++)
        memset(v + f * frequency_of(tiles_at_once(p->desc) * p->n_in) + n * p->n_in, 0,
               (size_t)(n_more * p->n_in) * sizeof *v);
}

static void run_work(void *context, int thread, int64_t begin, int64_t end)
{
    const pass *p = context;
    const int64_t n_at_once = tiles_at_once(p->desc), n_in_blocks = p->n_in / p->cpu->block,
                  n_out_blocks = p->n_out / p->cpu->block;
    const dt_cpu_tiles tiles = tiles_of(p, p->n_out);
    float *v = tiles_in(p, thread), *m = tiles_out(p, thread);
    for (int64_t first = begin; first < end; first += n_at_once) {
        const int64_t n = least(n_at_once, end - first);
        transform_in(p, first, n, 0, n_in_blocks, v);
        clear_rows(p, n, v);
        multiply(p, n, v, m);
        for (int64_t b = 0; b < n_out_blocks; b++)
            for (piece at = {0}; next_piece(p, first, n, &at);)
                p->cpu->simd->winograd_output(&tiles, m + at.at * p->n_out + b * p->cpu->block, at.begin,
                                              at.end,
                                              p->out + (at.image * n_out_blocks + b) * plane_elems(p));
    }
}

void dt_winograd_run(const dt_cpu_kernels *cpu, const dt_conv_desc *d, dt_direction direction,
                     int64_t n_images, const dt_act *act, const float *in, float *out, float *scratch)
{
    pass p = pass_of(cpu, d, direction, scratch);
    p.act = act;
    p.in = in;
    p.out = out;
    dt_cpu_parallel(cpu, n_images * tiles_of_image(d), run_work, &p);
}

/* -- weight gradient ------------------------------------------------------------------------------------- */

/* A unit of work is a block of channels of x, or of dy. */
static void gradient_tiles_work(void *context, int thread, int64_t begin, int64_t end)
{
    const pass *p = context;
    const dt_cpu_tiles tiles = tiles_of(p, p->n_out);
    const int64_t block = p->cpu->block, n_in_blocks = p->n_in / block, n_out_blocks = p->n_out / block;
    (void)thread;
    transform_in(p, p->first, p->n, least(begin, n_in_blocks), least(end, n_in_blocks), tiles_in(p, 0));
    for (int64_t i = begin > n_in_blocks ? begin : n_in_blocks; i < end; i++) {
        const int64_t b = i - n_in_blocks;
        for (piece at = {0}; next_piece(p, p->first, p->n, &at);)
            p->cpu->simd->winograd_output_gradient(
                &tiles, p->out + (at.image * n_out_blocks + b) * plane_elems(p), at.begin, at.end,
                tiles_out(p, 0) + at.at * p->n_out + b * block);
    }
}

/* A unit of work is a frequency. */
static void gradient_products_work(void *context, int thread, int64_t begin, int64_t end)
{
    const pass *p = context;
    const int64_t block = p->cpu->block, n_at_once = tiles_at_once(p->desc);
    const dt_cpu_product product = {
        .n_rows = p->n_in, .inner = p->n, .row = p->n_in, .block_step = p->n_out, .to_row = p->n_out};
    (void)thread;
    for (int64_t f = begin; f < end; f++) {
        const float *v = tiles_in(p, 0) + f * frequency_of(n_at_once * p->n_in),
                    *y = tiles_out(p, 0) + f * frequency_of(n_at_once * p->n_out);
        float *du = p->weights + f * frequency_of(p->n_in * p->n_out);
        for (int64_t to = 0; to < p->n_out; to += 2 * block)
            p->cpu->simd->winograd_outer(block, &product, v, y + to, du + to);
    }
}

void dt_winograd_gradient_begin(const dt_conv_desc *d, float *scratch)
{
    memset(scratch, 0, (size_t)elems(d->c * d->k) * sizeof *scratch);
}

void dt_winograd_gradient_add(const dt_cpu_kernels *cpu, const dt_conv_desc *d, int64_t n_images,
                              const dt_act *act, const float *x, const float *dy, float *scratch)
{
    const int64_t n_tiles = n_images * tiles_of_image(d), n_at_once = tiles_at_once(d);
    pass p = pass_of(cpu, d, DT_BACKWARD_WEIGHTS, scratch);
    p.act = act;
    p.in = x;
    p.out = (float *)dy; /* read only */
    for (p.first = 0; p.first < n_tiles; p.first += n_at_once) {
        p.n = least(n_at_once, n_tiles - p.first);
        dt_cpu_parallel(cpu, (p.n_in + p.n_out) / cpu->block, gradient_tiles_work, &p);
        dt_cpu_parallel(cpu, FREQUENCIES, gradient_products_work, &p);
    }
}

static void gradient_weights_work(void *context, int thread, int64_t begin, int64_t end)
{
    const pass *p = context;
    const int64_t block = p->cpu->block, n_c_blocks = p->n_in / block;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        p->cpu->simd->winograd_weight_gradient(
            block, p->weights + i % n_c_blocks * block * p->n_out + i / n_c_blocks * block,
            frequency_of(p->n_in * p->n_out), p->n_out, p->accumulate, p->out + i * 9 * block * block);
}

void dt_winograd_gradient_end(const dt_cpu_kernels *cpu, const dt_conv_desc *d, bool accumulate, float *dw,
                              float *scratch)
{
    pass p = pass_of(cpu, d, DT_BACKWARD_WEIGHTS, scratch);
    p.accumulate = accumulate;
    p.out = dw;
    dt_cpu_parallel(cpu, d->k / cpu->block * (d->c / cpu->block), gradient_weights_work, &p);
}
