/* backend_cases.c: the shapes, and all groups of cases over them. backend_cases.h says how to add a case.
 *
 * The shapes come from walking the networks (He et al. 2015, with the stride on the 3x3 as in torchvision).
 * Each shape is tested once, however many layers have it.
 */
#include "tests/backend_cases.h"

#include "tests/backend_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHAPES = 64 };

bool dt_backend_cases_quiet = false;

typedef struct join_shape {
    dt_kit_shape shape;
    bool projected; /* the skip is a normalised projection, not the block's input itself */
} join_shape;

typedef struct shapes {
    int64_t n;
    dt_conv_desc convs[MAX_SHAPES];
    int n_convs;
    dt_kit_shape norms[MAX_SHAPES]; /* inputs of BatchNorm */
    int n_norms;
    join_shape joins[MAX_SHAPES];
    int n_joins;
    dt_conv_desc readers[MAX_SHAPES]; /* the first convolution that reads a join's output */
    int n_readers;
    dt_kit_shape stem;                 /* what max pooling reads */
    dt_kit_shape features[MAX_SHAPES]; /* what average pooling reads */
    int n_features;
} shapes;

static const dt_pool_desc stem_pool = {.window = 3, .stride = 2, .pad = 1};

static int64_t out_size(int64_t size, int64_t window, int64_t stride, int64_t pad)
{
    return (size + 2 * pad - window) / stride + 1;
}

/* Append `item` to an array of items of item_bytes unless the array has it already. */
static void add_once(void *array, int *n, const void *item, size_t item_bytes)
{
    char *items = array;
    for (int i = 0; i < *n; i++)
        if (memcmp(items + (size_t)i * item_bytes, item, item_bytes) == 0)
            return;
    if (*n == MAX_SHAPES) {
        fprintf(stderr, "backend cases: more than %d shapes\n", MAX_SHAPES);
        exit(99);
    }
    memcpy(items + (size_t)(*n)++ * item_bytes, item, item_bytes);
}

static dt_conv_desc conv_of(const shapes *s, const dt_kit_shape *at, int64_t k, int64_t window,
                            int64_t stride, bool reads_image)
{
    dt_conv_desc desc;
    memset(&desc, 0, sizeof desc); /* padding bytes too: add_once compares memory */
    desc.n = s->n;
    desc.c = at->c;
    desc.h = at->h;
    desc.w = at->w;
    desc.k = k;
    desc.r = window;
    desc.s = window;
    desc.stride = stride;
    desc.pad = window / 2;
    desc.for_training = true;
    desc.reads_image = reads_image;
    return desc;
}

/* Add a convolution and the BatchNorm after it; *at becomes the shape of their output. */
static void walk_conv(shapes *s, dt_kit_shape *at, int64_t k, int64_t window, int64_t stride,
                      bool reads_image)
{
    dt_conv_desc desc = conv_of(s, at, k, window, stride, reads_image);
    add_once(s->convs, &s->n_convs, &desc, sizeof desc);
    *at = (dt_kit_shape){k, out_size(at->h, window, stride, desc.pad),
                         out_size(at->w, window, stride, desc.pad)};
    add_once(s->norms, &s->n_norms, at, sizeof *at);
}

static void walk_block(shapes *s, dt_kit_shape *at, int64_t width, int64_t stride, bool bottleneck)
{
    dt_kit_shape skip = *at;
    dt_conv_desc first = conv_of(s, at, width, bottleneck ? 1 : 3, bottleneck ? 1 : stride, false);
    int64_t out_channels = bottleneck ? 4 * width : width;
    if (bottleneck) {
        walk_conv(s, at, width, 1, 1, false);
        walk_conv(s, at, width, 3, stride, false);
        walk_conv(s, at, out_channels, 1, 1, false);
    } else {
        walk_conv(s, at, width, 3, stride, false);
        walk_conv(s, at, width, 3, 1, false);
    }
    if (s->n_joins > 0) /* the first block reads the stem's pooling */
        add_once(s->readers, &s->n_readers, &first, sizeof first);
    join_shape join;
    memset(&join, 0, sizeof join);
    join.shape = *at;
    join.projected = stride != 1 || skip.c != out_channels;
    if (join.projected)
        walk_conv(s, &skip, out_channels, 1, stride, false);
    add_once(s->joins, &s->n_joins, &join, sizeof join);
}

static void walk_resnet(shapes *s, int64_t image_size, const int *n_blocks, bool bottleneck)
{
    dt_kit_shape at = {3, image_size, image_size};
    walk_conv(s, &at, 64, 7, 2, true);
    s->stem = at;
    at.h = out_size(at.h, stem_pool.window, stem_pool.stride, stem_pool.pad);
    at.w = out_size(at.w, stem_pool.window, stem_pool.stride, stem_pool.pad);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < n_blocks[stage]; block++)
            walk_block(s, &at, 64 << stage, block == 0 && stage > 0 ? 2 : 1, bottleneck);
    add_once(s->features, &s->n_features, &at, sizeof at);
}

static void run_all(dt_kit *kit, const shapes *s, int64_t image_size)
{
    dt_kit_input_cases(kit, s->n, image_size);
    for (int i = 0; i < s->n_norms; i++) {
        dt_kit_layout_cases(kit, s->n, &s->norms[i]);
        dt_kit_batchnorm_cases(kit, s->n, &s->norms[i]);
    }
    for (int i = 0; i < s->n_convs; i++)
        dt_kit_conv_cases(kit, &s->convs[i]);
    for (int i = 0; i < s->n_readers; i++) {
        dt_kit_join_cases(kit, &s->readers[i]);
        dt_kit_join_forward_cases(kit, &s->readers[i]);
    }
    for (int i = 0; i < s->n_joins; i++)
        dt_kit_residual_cases(kit, s->n, &s->joins[i].shape, s->joins[i].projected);
    dt_kit_max_pool_cases(kit, s->n, &s->stem, &stem_pool);
    for (int i = 0; i < s->n_features; i++) {
        dt_kit_average_pool_cases(kit, s->n, &s->features[i]);
        dt_kit_linear_cases(kit, s->n, s->features[i].c, 10);
        dt_kit_linear_cases(kit, s->n, s->features[i].c, 1000);
    }
    dt_kit_loss_cases(kit, s->n + 8, 10);
    dt_kit_loss_cases(kit, s->n + 8, 1000);
    dt_kit_optimizer_cases(kit);
    dt_kit_step_cases(kit);
}

int dt_backend_cases_run(dt_kernels *candidate, dt_kernels *reference, int64_t image_size, int64_t batch,
                         double tolerance, const char *filter)
{
    dt_kit kit = {.side = {candidate, reference},
                  .tolerance = tolerance,
                  .filter = filter,
                  .quiet = dt_backend_cases_quiet};
    const char *verbose = getenv("DTRAIN_TEST_VERBOSE");
    kit.verbose = verbose != NULL && strcmp(verbose, "1") == 0;
    shapes s = {.n = batch};
    walk_resnet(&s, image_size, (const int[]){2, 2, 2, 2}, false);
    walk_resnet(&s, image_size, (const int[]){3, 4, 6, 3}, true);
    run_all(&kit, &s, image_size);
    if (!kit.quiet)
        printf("%s against %s, %lldx%lld pixels, batch %lld: %d cases, %d failed\n", candidate->ops->name,
               reference->ops->name, (long long)image_size, (long long)image_size, (long long)batch,
               kit.n_run, kit.n_failed);
    if (kit.n_run == 0 && !kit.quiet)
        printf("no case has \"%s\" in its name\n", filter);
    return kit.n_run > 0 ? kit.n_failed : 1;
}
