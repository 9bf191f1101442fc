#include "io/source/synthetic.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "io/source/host_memory.h"

#include <stdio.h>
#include <string.h>

typedef struct synthetic {
    dt_source base;
    dt_synthetic_options options;
    dt_batch batches[DT_SYNTHETIC_BATCHES];
    int64_t n_returned, n_left; /* since start */
    char name[32];
} synthetic;

static void empty(synthetic *s, dt_batch *b)
{
    dt_host_memory_free(s->options.device, b->pixels);
    dt_host_memory_free(s->options.device, b->labels);
    dt_free(b->ids);
    *b = (dt_batch){0};
}

static dt_status fill(synthetic *s, int64_t which, int64_t size, dt_batch *b, dt_error *err)
{
    const dt_synthetic_options *o = &s->options;
    const int64_t pixels = o->batch * size * size * 3;
    *b = (dt_batch){.n = o->batch, .size = size};
    b->pixels = dt_host_memory_alloc(o->device, pixels);
    b->labels = dt_host_memory_alloc(o->device, o->batch * (int64_t)sizeof *b->labels);
    b->ids = dt_alloc((size_t)o->batch * sizeof *b->ids);
    if (!b->pixels || !b->labels || !b->ids)
        return dt_fail_memory(err, (size_t)pixels, "a batch of random pixels");
    dt_rng g = dt_rng_at(o->seed, DT_RNG_ORDER, (uint64_t)o->rank, (uint64_t)which);
    int64_t at = 0;
    for (; at + 4 <= pixels; at += 4) {
        uint32_t four = dt_rng_u32(&g);
        memcpy(b->pixels + at, &four, sizeof four);
    }
    for (; at < pixels; at++)
        b->pixels[at] = (uint8_t)dt_rng_u32(&g);
    for (int64_t i = 0; i < o->batch; i++) {
        b->labels[i] = (int32_t)dt_rng_below(&g, (uint64_t)o->n_classes);
        b->ids[i] = which * o->batch + i;
    }
    return DT_OK;
}

static void destroy(dt_source *source)
{
    synthetic *s = (synthetic *)source;
    if (!s)
        return;
    for (int i = 0; i < DT_SYNTHETIC_BATCHES; i++)
        empty(s, &s->batches[i]);
    dt_free(s);
}

static void info(dt_source *source, dt_source_info *info)
{
    const synthetic *s = (const synthetic *)source;
    *info = (dt_source_info){.n_samples = s->options.n_samples,
                             .n_classes = s->options.n_classes,
                             .image_size = s->options.image_size,
                             /* "syntheti": all synthetic sources are equal */
                             .fingerprint = UINT64_C(0x73796e7468657469)};
}

/* Random pixels belong to no class that has a name. */
static const char *class_name(dt_source *source, int64_t class_index)
{
    (void)source;
    (void)class_index;
    return NULL;
}

static const char *sample_name(dt_source *source, int64_t id)
{
    (void)source, (void)id;
    return "random pixels";
}

static dt_status start(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches, dt_error *err)
{
    synthetic *s = (synthetic *)source;
    if (epoch < 0 || position < 0 || position > s->options.n_samples || n_batches < 0)
        return dt_fail(err, DT_ERR_INTERNAL, "synthetic source: epoch %lld, position %lld, %lld batches",
                       (long long)epoch, (long long)position, (long long)n_batches);
    s->n_returned = 0;
    s->n_left = n_batches;
    return DT_OK;
}

static dt_status next(dt_source *source, dt_batch **batch, dt_error *err)
{
    synthetic *s = (synthetic *)source;
    if (s->n_left == 0)
        return dt_fail(err, DT_ERR_INTERNAL,
                       "synthetic source: next was called more often than start allows");
    s->n_left--;
    *batch = &s->batches[s->n_returned++ % DT_SYNTHETIC_BATCHES];
    return DT_OK;
}

static void release(dt_source *source, dt_batch *batch)
{
    (void)source, (void)batch;
}

static void stats(dt_source *source, dt_source_stats *stats)
{
    (void)source;
    *stats = (dt_source_stats){0};
}

static dt_status set_image_size(dt_source *source, int64_t size, dt_error *err)
{
    synthetic *s = (synthetic *)source;
    dt_batch made[DT_SYNTHETIC_BATCHES] = {{0}};
    dt_status status =
        size < 1 ? dt_fail(err, DT_ERR_USAGE, "an image size of %lld pixels", (long long)size) : DT_OK;
    for (int i = 0; i < DT_SYNTHETIC_BATCHES && status == DT_OK; i++)
        status = fill(s, i, size, &made[i], err);
    if (status == DT_OK)
        s->options.image_size = size;
    for (int i = 0; i < DT_SYNTHETIC_BATCHES; i++) {
        empty(s, status == DT_OK ? &s->batches[i] : &made[i]);
        if (status == DT_OK)
            s->batches[i] = made[i];
    }
    s->n_left = 0;
    return status;
}

static const dt_source_ops ops = {.name = "synthetic",
                                  .destroy = destroy,
                                  .info = info,
                                  .class_name = class_name,
                                  .sample_name = sample_name,
                                  .start = start,
                                  .next = next,
                                  .release = release,
                                  .stats = stats,
                                  .set_image_size = set_image_size};

dt_status dt_synthetic_create(const dt_synthetic_options *options, dt_source **source, dt_error *err)
{
    if (options->n_samples < 1 || options->n_classes < 1 || options->batch < 1)
        return dt_fail(err, DT_ERR_USAGE, "synthetic source: %lld samples, %lld classes, batches of %lld",
                       (long long)options->n_samples, (long long)options->n_classes,
                       (long long)options->batch);
    synthetic *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the synthetic source");
    s->base.ops = &ops;
    s->options = *options;
    dt_status status = set_image_size(&s->base, options->image_size, err);
    if (status == DT_OK)
        *source = &s->base;
    else
        destroy(&s->base);
    return status;
}
