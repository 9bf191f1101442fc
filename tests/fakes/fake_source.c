#include "tests/fakes/fake_source.h"

#include "core/base/clock.h"
#include "core/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fake_source {
    dt_source head;
    fake_source_options o;
    int64_t n_starts, epoch, position, n_batches, at, n_calls;
    dt_batch batches[FAKE_SOURCE_BATCHES]; /* in turn */
    int64_t n_given, n_released, max_held;
    int32_t labels[1024]; /* by colour */
    char name[32];        /* that class_name returned last */
} fake_source;

static void *allocate(const fake_source *s, int64_t bytes)
{
    void *p = s->o.device ? s->o.device->ops->host_alloc(s->o.device, bytes) : malloc((size_t)bytes);
    if (!p)
        abort();
    return p;
}

static void give_back(const fake_source *s, void *p)
{
    if (s->o.device)
        s->o.device->ops->host_free(s->o.device, p);
    else
        free(p);
}

static void destroy(dt_source *source)
{
    fake_source *s = (fake_source *)source;
    if (!s)
        return;
    for (int i = 0; i < FAKE_SOURCE_BATCHES; i++) {
        give_back(s, s->batches[i].pixels);
        give_back(s, s->batches[i].labels);
        free(s->batches[i].ids);
    }
    free(s);
}

static void info(dt_source *source, dt_source_info *out)
{
    const fake_source *s = (const fake_source *)source;
    *out = (dt_source_info){.n_samples = s->o.n_samples,
                            .n_classes = s->o.n_classes,
                            .image_size = s->o.image_size,
                            .fingerprint = (uint64_t)s->o.n_samples * 31 + 7};
}

static const char *class_name(dt_source *source, int64_t index)
{
    fake_source *s = (fake_source *)source;
    for (int64_t c = 0; c < s->o.n_classes; c++)
        if (s->labels[c] == index) {
            snprintf(s->name, sizeof s->name, "class %lld", (long long)c);
            return s->name;
        }
    return NULL;
}

static dt_status set_labels(dt_source *source, const int32_t *labels, dt_error *err)
{
    fake_source *s = (fake_source *)source;
    (void)err;
    for (int64_t c = 0; c < s->o.n_classes; c++)
        s->labels[c] = labels[s->labels[c]];
    return DT_OK;
}

static const char *sample_name(dt_source *source, int64_t id)
{
    (void)source;
    (void)id;
    return "sample";
}

static dt_status start(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches, dt_error *err)
{
    fake_source *s = (fake_source *)source;
    int64_t needed = position + n_batches * s->o.batch * s->o.size;
    if (!s->o.evaluation && needed > s->o.n_samples)
        return dt_fail(err, DT_ERR_INTERNAL, "asked for %lld of %lld samples", (long long)needed,
                       (long long)s->o.n_samples);
    s->n_starts++;
    s->epoch = epoch;
    s->position = position;
    s->n_batches = n_batches;
    s->at = 0;
    s->n_released = s->n_given; /* the source takes them all back */
    if (s->o.starts)
        s->o.starts[(*s->o.n_starts)++] = s->o.image_size;
    return DT_OK;
}

static void fill_row(fake_source *s, dt_batch *batch, int64_t row, int64_t position)
{
    int64_t size = s->o.image_size, bytes = size * size * 3;
    uint8_t *pixels = batch->pixels + row * bytes;
    if (position >= s->o.n_samples) {
        batch->labels[row] = -1;
        batch->ids[row] = -1;
        memset(pixels, 0, (size_t)bytes);
        return;
    }
    int64_t id =
        s->o.evaluation ? position : dt_rng_permute(s->o.seed, (uint64_t)s->epoch, s->o.n_samples, position);
    int64_t class = id % s->o.n_classes;
    dt_rng colour = dt_rng_at(99, DT_RNG_TEST, (uint64_t) class, 0),
           noise = dt_rng_at(s->o.seed, DT_RNG_TEST, (uint64_t)s->epoch + 1, (uint64_t)id);
    int base[3];
    for (int c = 0; c < 3; c++)
        base[c] = 40 + (int)dt_rng_below(&colour, 150);
    for (int64_t i = 0; i < bytes; i++)
        pixels[i] = (uint8_t)(base[i % 3] + (int)dt_rng_below(&noise, 60));
    batch->labels[row] = s->labels[class];
    batch->ids[row] = id;
    if (s->o.times_seen)
        __atomic_add_fetch(&s->o.times_seen[id], 1, __ATOMIC_RELAXED);
}

static dt_status next(dt_source *source, dt_batch **batch, dt_error *err)
{
    fake_source *s = (fake_source *)source;
    if (s->at >= s->n_batches)
        return dt_fail(err, DT_ERR_INTERNAL, "batch %lld of %lld", (long long)s->at + 1,
                       (long long)s->n_batches);
    if (s->o.next_s > 0.0)
        dt_clock_sleep_s(s->o.next_s);
    if (++s->n_calls == s->o.fail_at)
        return dt_fail(err, DT_ERR_DATA, "the fake source fails as asked");
    if (s->n_calls == s->o.interrupt_at)
        return dt_fail(err, DT_ERR_INTERRUPTED, "the fake source was interrupted as asked");
    if (s->n_given - s->n_released == FAKE_SOURCE_BATCHES)
        return dt_fail(err, DT_ERR_INTERNAL, "all %d batches are held", FAKE_SOURCE_BATCHES);
    dt_batch *made = &s->batches[s->n_given % FAKE_SOURCE_BATCHES];
    int64_t accumulate = s->o.evaluation ? 1 : s->o.accumulate, global = s->o.batch * accumulate * s->o.size;
    int64_t micro = s->o.rank * accumulate + s->at % accumulate;
    int64_t first = s->position + s->at / accumulate * global + micro * s->o.batch;
    for (int64_t row = 0; row < s->o.batch; row++)
        fill_row(s, made, row, first + row);
    s->at++;
    s->n_given++;
    s->max_held = s->n_given - s->n_released > s->max_held ? s->n_given - s->n_released : s->max_held;
    *batch = made;
    return DT_OK;
}

static void release(dt_source *source, dt_batch *batch)
{
    fake_source *s = (fake_source *)source;
    if (batch != &s->batches[s->n_released % FAKE_SOURCE_BATCHES] || s->n_released == s->n_given) {
        fprintf(stderr, "fake_source: a batch was released out of turn\n");
        abort();
    }
    s->n_released++;
    /* a test notices if it is still read */
    memset(batch->pixels, 0xA5, (size_t)(batch->n * batch->size * batch->size * 3));
    memset(batch->labels, 0, (size_t)batch->n * sizeof *batch->labels);
}

int64_t fake_source_max_held(dt_source *source)
{
    return ((fake_source *)source)->max_held;
}

static void stats(dt_source *source, dt_source_stats *out)
{
    const fake_source *s = (const fake_source *)source;
    const bool later = s->o.evaluation ? s->n_starts > 1 : s->epoch > 0;
    *out = (dt_source_stats){.n_decoded = s->at * s->o.batch,
                             .n_broken = s->o.broken_samples - (s->o.broken_samples > 0 && later)};
}

static dt_status set_image_size(dt_source *source, int64_t size, dt_error *err)
{
    fake_source *s = (fake_source *)source;
    if (size < 1)
        return dt_fail(err, DT_ERR_USAGE, "an image size of %lld", (long long)size);
    for (int i = 0; i < FAKE_SOURCE_BATCHES; i++) {
        give_back(s, s->batches[i].pixels);
        s->batches[i].pixels = allocate(s, s->o.batch * size * size * 3);
        s->batches[i].size = size;
    }
    s->o.image_size = size;
    return DT_OK;
}

dt_source *fake_source_create(const fake_source_options *options)
{
    static const dt_source_ops ops = {.name = "fake",
                                      .destroy = destroy,
                                      .info = info,
                                      .class_name = class_name,
                                      .set_labels = set_labels,
                                      .sample_name = sample_name,
                                      .start = start,
                                      .next = next,
                                      .release = release,
                                      .stats = stats,
                                      .set_image_size = set_image_size};
    fake_source *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->head.ops = &ops;
    s->o = *options;
    if (options->n_classes > (int64_t)(sizeof s->labels / sizeof *s->labels))
        abort();
    for (int64_t c = 0; c < options->n_classes; c++)
        s->labels[c] = (int32_t)((c + options->label_shift) % options->n_classes);
    for (int i = 0; i < FAKE_SOURCE_BATCHES; i++) {
        s->batches[i] =
            (dt_batch){.pixels = allocate(s, options->batch * options->image_size * options->image_size * 3),
                       .labels = allocate(s, options->batch * (int64_t)sizeof(int32_t)),
                       .ids = calloc((size_t)options->batch, sizeof(int64_t)),
                       .n = options->batch,
                       .size = options->image_size};
        if (!s->batches[i].ids)
            abort();
    }
    return &s->head;
}
