/* chaos_job: dtrain itself (launch/main.c and every archive), linked with a small net (small_net.c) and some
 * functions wrapped (ld --wrap):
 *
 *   dt_loader_create  the training's source is the real one, and records what it is asked for
 *   open, dt_sampler_id
 *                     record the work of the source
 *   fallocate         while there is a file DT_CHAOS_QUOTA, the quota is used up
 *
 * Each rank writes to the file DT_CHAOS_RECORD/RANK, one write(2) a line, so a line of a process that is
 * killed is whole:
 *
 *   source WORLD ACCUMULATE BATCH N_SAMPLES
 *   start EPOCH POSITION N_BATCHES       of this rank
 *   next ID ...                          the samples of its next micro-batch
 *   stop DECODED ORDERED                 at the end: samples decoded since start; samples looked up in the
 *                                        shuffled order, in all
 *   open PATH                            an image of the training set; only where DT_CHAOS_OPENS is set, as
 *                                        these:
 *   sample ID PATH                       all of them, at the beginning
 *
 * DT_CHAOS_PACE_MS: the least time of a micro-batch, so that events can happen during it. */
#define _GNU_SOURCE /* fallocate */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "io/source/loader.h"
#include "io/source/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

typedef struct recorder {
    dt_source source;
    dt_source *inner;
} recorder;

static int record_fd = -1; /* of this process's only training source */
static bool records_opens;
static atomic_llong n_ordered;

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int64_t __real_dt_sampler_id(const dt_sampler *sampler, int64_t epoch, int64_t position);
int64_t __wrap_dt_sampler_id(const dt_sampler *sampler, int64_t epoch, int64_t position);
dt_status __real_dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err);
dt_status __wrap_dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err);

static void put(const char *line, size_t n)
{
    if (record_fd >= 0 && write(record_fd, line, n) != (ssize_t)n) {
        fprintf(stderr, "chaos_job: the record cannot be written\n");
        abort();
    }
}

static void record(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void record(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (records_opens && strstr(path, "/train/"))
        record("open %s\n", path);
    return __real_openat(folder, path, flags, mode);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
    const char *file = getenv("DT_CHAOS_QUOTA");
    if (!file || access(file, F_OK) != 0)
        return __real_fallocate(fd, mode, offset, length);
    errno = EDQUOT;
    return -1;
}

int64_t __wrap_dt_sampler_id(const dt_sampler *sampler, int64_t epoch, int64_t position)
{
    if (sampler->shuffle) /* an evaluation's is not */
        atomic_fetch_add(&n_ordered, 1);
    return __real_dt_sampler_id(sampler, epoch, position);
}

/* -- the source ------------------------------------------------------------------------------------------ */

static dt_source *inner_of(dt_source *source)
{
    return ((recorder *)source)->inner;
}

static void recorder_destroy(dt_source *source)
{
    dt_source_stats stats;
    dt_source *inner = inner_of(source);
    inner->ops->stats(inner, &stats);
    record("stop %lld %lld\n", (long long)stats.n_decoded, (long long)n_ordered);
    inner->ops->destroy(inner);
    dt_free(source);
}

static void recorder_info(dt_source *source, dt_source_info *info)
{
    inner_of(source)->ops->info(inner_of(source), info);
}

static const char *recorder_class_name(dt_source *source, int64_t class_index)
{
    return inner_of(source)->ops->class_name(inner_of(source), class_index);
}

static dt_status recorder_set_labels(dt_source *source, const int32_t *labels, dt_error *err)
{
    return inner_of(source)->ops->set_labels(inner_of(source), labels, err);
}

static const char *recorder_sample_name(dt_source *source, int64_t id)
{
    return inner_of(source)->ops->sample_name(inner_of(source), id);
}

static dt_status recorder_start(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches,
                                dt_error *err)
{
    record("start %lld %lld %lld\n", (long long)epoch, (long long)position, (long long)n_batches);
    return inner_of(source)->ops->start(inner_of(source), epoch, position, n_batches, err);
}

static dt_status recorder_next(dt_source *source, dt_batch **batch, dt_error *err)
{
    char line[LINE_BYTES] = "next";
    size_t n = strlen(line);
    const char *pace = getenv("DT_CHAOS_PACE_MS");
    if (pace)
        dt_clock_sleep_s(atof(pace) / 1000.0);
    DT_TRY(inner_of(source)->ops->next(inner_of(source), batch, err));
    for (int64_t i = 0; i < (*batch)->n && n + 24 < sizeof line; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, " %lld", (long long)(*batch)->ids[i]);
    line[n++] = '\n';
    put(line, n);
    return DT_OK;
}

static void recorder_release(dt_source *source, dt_batch *batch)
{
    inner_of(source)->ops->release(inner_of(source), batch);
}

static void recorder_stats(dt_source *source, dt_source_stats *stats)
{
    inner_of(source)->ops->stats(inner_of(source), stats);
}

static dt_status recorder_set_image_size(dt_source *source, int64_t size, dt_error *err)
{
    return inner_of(source)->ops->set_image_size(inner_of(source), size, err);
}

static const dt_source_ops recorder_ops = {
    .name = "recorder",
    .destroy = recorder_destroy,
    .info = recorder_info,
    .class_name = recorder_class_name,
    .set_labels = recorder_set_labels,
    .sample_name = recorder_sample_name,
    .start = recorder_start,
    .next = recorder_next,
    .release = recorder_release,
    .stats = recorder_stats,
    .set_image_size = recorder_set_image_size,
};

static void begin_record(const dt_loader_options *o, dt_source *source)
{
    dt_source_info info;
    char path[LINE_BYTES];
    snprintf(path, sizeof path, "%s/%d", getenv("DT_CHAOS_RECORD"), o->rank);
    record_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (record_fd < 0) {
        fprintf(stderr, "chaos_job: cannot write %s\n", path);
        abort();
    }
    source->ops->info(source, &info);
    record("source %d %lld %lld %lld\n", o->world, (long long)o->accumulate, (long long)o->batch,
           (long long)info.n_samples);
    records_opens = getenv("DT_CHAOS_OPENS") != NULL;
    for (int64_t id = 0; records_opens && id < info.n_samples; id++)
        record("sample %lld %s\n", (long long)id, source->ops->sample_name(source, id));
}

dt_status __wrap_dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err)
{
    dt_source *inner = NULL;
    DT_TRY(__real_dt_loader_create(options, &inner, err));
    *source = inner;
    if (!options->training || !getenv("DT_CHAOS_RECORD"))
        return DT_OK;
    recorder *r = dt_calloc(1, sizeof *r);
    if (!r)
        abort();
    *r = (recorder){.source = {.ops = &recorder_ops}, .inner = inner};
    begin_record(options, inner);
    *source = &r->source;
    return DT_OK;
}
