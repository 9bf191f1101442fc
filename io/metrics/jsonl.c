#define _GNU_SOURCE /* memrchr, TEMP_FAILURE_RETRY */
#include "io/metrics/jsonl.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "core/base/printable.h"
#include "core/base/utf8.h"
#include "io/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest line is the mirror event's: texts of 512 and 256 bytes, whose bytes become six each at
 * worst. */
#define TEXT_BYTES 3136
#define LINE_BYTES 8192

typedef struct jsonl {
    dt_sink base; /* first */
    int fd;
    char path[DT_DURABLE_PATH_BYTES];
} jsonl;

typedef struct line {
    char text[LINE_BYTES];
    size_t n;
} line;

static void add(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->n, sizeof l->text - l->n, format, args);
    va_end(args);
    l->n += n < 0 ? 0 : (size_t)n;
    if (l->n >= sizeof l->text)
        l->n = sizeof l->text - 1;
}

static void add_integer(line *l, const char *name, int64_t value)
{
    add(l, ", \"%s\": %" PRId64, name, value);
}

/* Nine digits, the precision of a float. */
static void add_real(line *l, const char *name, double value)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.9g", value);
    for (char *p = digits; *p; p++)
        if (*p == ',') /* some locales' decimal point */
            *p = '.';
    add(l, ", \"%s\": %s", name, isfinite(value) ? digits : "null");
}

/* A fraction or a loss; -1 means that it was not measured. */
static void add_measured(line *l, const char *name, double value)
{
    add_real(l, name, value < 0 ? NAN : value);
}

/* A step; -1 means that there was none. */
static void add_step(line *l, const char *name, int64_t step)
{
    if (step < 0)
        add(l, ", \"%s\": null", name);
    else
        add_integer(l, name, step);
}

/* A text that does not fit is cut, so that the line stays valid JSON. */
static void add_text(line *l, const char *name, const char *value)
{
    char json[TEXT_BYTES], *utf8 = dt_utf8_escape(value);
    (void)dt_printable_json(json, sizeof json, utf8 ? utf8 : "");
    dt_free(utf8);
    add(l, ", \"%s\": \"%s\"", name, json);
}

static void begin(line *l, const char *event, int64_t step, int64_t epoch)
{
    double now = dt_clock_unix_s();
    l->n = 0;
    add(l, "{\"event\": \"%s\", \"time\": %" PRId64 ".%03d", event, (int64_t)now,
        (int)((now - floor(now)) * 1000));
    add_integer(l, "step", step);
    if (epoch >= 0)
        add_integer(l, "epoch", epoch + 1);
}

/* Append the line in one write. If only a part of it was written (a full disk), remove that part. */
static dt_status end_line(jsonl *j, line *l, dt_error *err)
{
    struct stat st;
    add(l, "}\n");
    if (fstat(j->fd, &st) != 0)
        return dt_fail_errno(err, "%s: cannot read its attributes", j->path);
    ssize_t n;
    if (dt_fault("jsonl.write")) {
        n = write(j->fd, l->text, l->n / 2);
        errno = ENOSPC;
    } else {
        n = TEMP_FAILURE_RETRY(write(j->fd, l->text, l->n));
    }
    if (n == (ssize_t)l->n)
        return DT_OK;
    int why = n < 0 ? errno : ENOSPC;
    if (n > 0 && TEMP_FAILURE_RETRY(ftruncate(j->fd, st.st_size)) != 0)
        return dt_fail_errno(err, "%s: holds half a line that cannot be removed", j->path);
    return dt_durable_write_failed(j->fd, j->path, why, (int64_t)l->n, err);
}

/* The step of a line; -1: not a line of ours. *late: lines of later steps may precede it. */
static int64_t step_of(const char *text, size_t n, bool *late)
{
    *late = false;
    if (n > LINE_BYTES)
        return -1;
    json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *step = json_object_get(object, "step");
    const char *event = json_string_value(json_object_get(object, "event"));
    int64_t value = json_is_integer(step) ? json_integer_value(step) : -1;
    *late = event && (strcmp(event, "checkpoint") == 0 || strcmp(event, "mirror") == 0);
    json_decref(object);
    return value;
}

/* The bytes to keep: up to the end of the last line of a step <= `step`. Searches from the end, since few
 * lines are removed and many stay. A checkpoint's line is written when the checkpoint is on the disk, some
 * steps later; such a line stays if it follows directly after those that stay. */
static size_t kept_bytes(const char *text, size_t n, int64_t step)
{
    size_t with_checkpoints = 0; /* > 0: the lines from n to here are checkpoints up to `step` */
    while (n > 0) {
        const char *before = n > 1 ? memrchr(text, '\n', n - 1) : NULL;
        size_t first = before ? (size_t)(before - text) + 1 : 0;
        bool late = false;
        int64_t of = text[n - 1] == '\n' ? step_of(text + first, n - first, &late) : -1;
        bool stays = of >= 0 && of <= step;
        if (stays && !late)
            return with_checkpoints ? with_checkpoints : n;
        if (!stays)
            with_checkpoints = 0;
        else if (!with_checkpoints)
            with_checkpoints = n;
        n = first;
    }
    return with_checkpoints;
}

static dt_status cut(jsonl *j, int64_t step, dt_error *err)
{
    struct stat st;
    size_t keep = 0;
    if (fstat(j->fd, &st) != 0)
        return dt_fail_errno(err, "%s: cannot read its attributes", j->path);
    if (!S_ISREG(st.st_mode))
        return DT_OK; /* /dev/null, a pipe to another program */
    if (step > 0 && st.st_size > 0) {
        char *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, j->fd, 0);
        if (text == MAP_FAILED)
            return dt_fail_errno(err, "%s: cannot read it", j->path);
        keep = kept_bytes(text, (size_t)st.st_size, step);
        munmap(text, (size_t)st.st_size);
    }
    if ((int64_t)keep != st.st_size && TEMP_FAILURE_RETRY(ftruncate(j->fd, (off_t)keep)) != 0)
        return dt_fail_errno(err, "%s: cannot cut off the lines after step %" PRId64, j->path, step);
    return DT_OK;
}

static dt_status sync_data(jsonl *j, dt_error *err)
{
    if (TEMP_FAILURE_RETRY(fdatasync(j->fd)) != 0 && errno != EINVAL && errno != EROFS)
        /* these two: not a regular file */
        return dt_fail_errno(err, "%s: fdatasync failed", j->path);
    return DT_OK;
}

static dt_status jsonl_start(dt_sink *sink, const dt_metrics_start *m, dt_error *err)
{
    jsonl *j = (jsonl *)sink;
    line l;
    DT_TRY(cut(j, m->first_step, err));
    begin(&l, "start", m->first_step, m->first_epoch);
    add_integer(&l, "total_steps", m->total_steps);
    add_integer(&l, "steps_per_epoch", m->steps_per_epoch);
    add_integer(&l, "epochs", m->epochs);
    add_integer(&l, "world_size", m->world_size);
    add_integer(&l, "global_batch", m->global_batch);
    add_integer(&l, "n_train", m->n_train);
    add_integer(&l, "n_val", m->n_val);
    add_integer(&l, "n_params", m->n_params);
    return end_line(j, &l, err);
}

static dt_status jsonl_step(dt_sink *sink, const dt_metrics_step *m, dt_error *err)
{
    line l;
    begin(&l, "step", m->step, m->epoch);
    add_real(&l, "loss", m->loss);
    add_real(&l, "top1", m->top1);
    add_real(&l, "lr", m->lr);
    add_real(&l, "images_per_s", m->images_per_s);
    add_real(&l, "data_wait_s", m->data_wait_s);
    add_real(&l, "comm_wait_s", m->comm_wait_s);
    if (m->scaled) {
        add_real(&l, "loss_scale", m->loss_scale);
        add_integer(&l, "skipped_steps", m->n_skipped);
    }
    add_real(&l, "elapsed_s", m->elapsed_s);
    return end_line((jsonl *)sink, &l, err);
}

static dt_status jsonl_eval(dt_sink *sink, const dt_metrics_eval *m, dt_error *err)
{
    line l;
    begin(&l, "eval", m->step, m->epoch);
    add_real(&l, "val_loss", m->val_loss);
    add_real(&l, "val_top1", m->val_top1);
    add_real(&l, "val_top5", m->val_top5);
    add_integer(&l, "n", m->n);
    add_integer(&l, "n_broken", m->n_broken);
    add_real(&l, "images_per_s", m->images_per_s);
    add_real(&l, "elapsed_s", m->elapsed_s);
    return end_line((jsonl *)sink, &l, err);
}

static dt_status jsonl_epoch(dt_sink *sink, const dt_metrics_epoch *m, dt_error *err)
{
    line l;
    begin(&l, "epoch", m->step, m->epoch);
    add_real(&l, "mean_loss", m->mean_loss);
    add_real(&l, "mean_top1", m->mean_top1);
    add_integer(&l, "n_images", m->n_images);
    add_integer(&l, "n_broken", m->n_broken);
    add_real(&l, "images_per_s", m->images_per_s);
    add_real(&l, "elapsed_s", m->elapsed_s);
    return end_line((jsonl *)sink, &l, err);
}

static void begin_folder(line *l, const char *event, const dt_metrics_checkpoint *m)
{
    begin(l, event, m->step, -1);
    add_integer(l, "bytes", m->bytes);
    add_real(l, "elapsed_s", m->elapsed_s);
    add_text(l, "path", m->path);
}

static dt_status jsonl_checkpoint(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    line l;
    begin_folder(&l, "checkpoint", m);
    DT_TRY(end_line((jsonl *)sink, &l, err));
    /* a start that resumes from this checkpoint finds the lines up to here, even after a power cut */
    return sync_data((jsonl *)sink, err);
}

static dt_status jsonl_mirror(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    line l;
    begin_folder(&l, "mirror", m);
    if (m->error[0])
        add_text(&l, "error", m->error);
    return end_line((jsonl *)sink, &l, err);
}

static dt_status jsonl_end(dt_sink *sink, const dt_metrics_end *m, dt_error *err)
{
    line l;
    begin(&l, "end", m->steps, -1);
    add_integer(&l, "epochs_done", m->epochs);
    add_real(&l, "elapsed_s", m->elapsed_s);
    add_real(&l, "images_per_s", m->images_per_s);
    add_measured(&l, "final_loss", m->final_loss);
    add_measured(&l, "final_top1", m->final_top1);
    add_measured(&l, "final_top5", m->final_top5);
    add_step(&l, "final_step", m->final_step);
    add_measured(&l, "best_top1", m->best_top1);
    add_step(&l, "best_step", m->best_step);
    add_integer(&l, "n_broken", m->n_broken);
    add_integer(&l, "n_broken_val", m->n_broken_val);
    add(&l, ", \"stopped_on_request\": %s", m->stopped_on_request ? "true" : "false");
    DT_TRY(end_line((jsonl *)sink, &l, err));
    return sync_data((jsonl *)sink, err);
}

static void jsonl_destroy(dt_sink *sink)
{
    if (!sink)
        return;
    close(((jsonl *)sink)->fd);
    dt_free(sink);
}

static const dt_sink_ops jsonl_ops = {
    .name = "metrics.jsonl",
    .destroy = jsonl_destroy,
    .start = jsonl_start,
    .step = jsonl_step,
    .eval = jsonl_eval,
    .epoch = jsonl_epoch,
    .checkpoint = jsonl_checkpoint,
    .mirror = jsonl_mirror,
    .end = jsonl_end,
};

dt_status dt_jsonl_create(const char *path, dt_sink **sink, dt_error *err)
{
    jsonl *j = dt_calloc(1, sizeof *j);
    if (!j)
        return dt_fail_memory(err, sizeof *j, "metrics.jsonl");
    j->base.ops = &jsonl_ops;
    dt_status status = dt_durable_path(j->path, err, "%s", path);
    if (status == DT_OK)
        status = dt_file_open(path, O_RDWR | O_APPEND | O_CREAT, 0666, &j->fd, err);
    if (status != DT_OK) {
        dt_free(j);
        return status;
    }
    *sink = &j->base;
    return DT_OK;
}
