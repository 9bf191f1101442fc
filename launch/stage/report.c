#include "config.h"

#include "launch/stage/report.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "io/metrics/progress.h"
#include "io/metrics/progress_text.h"
#include "io/replace.h"
#include "launch/show/console.h"
#include "launch/show/table.h"
#include "launch/stage/target.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What S3 asks in us-east-1 for a thousand requests, 2026. */
#define USD_PER_1000_LISTS 0.005
#define USD_PER_1000_GETS 0.0004

#define MANY_OBJECTS 10000    /* fewer are quick in any case */
#define SMALL_BYTES (1 << 20) /* an object on average */
#define REQUESTS_PER_S 5500.0 /* that S3 answers for one prefix */
#define RATE_OVER_S 5.0

/* "144.0 GB" in one of four buffers. */
static const char *in_bytes(int64_t bytes)
{
    static char texts[4][32];
    static int next;
    dt_progress_text t = {0};
    dt_progress_add_bytes(&t, bytes);
    char *out = texts[next++ % 4];
    snprintf(out, sizeof texts[0], "%.24s", t.text + strspn(t.text, " "));
    return out;
}

double dt_stage_request_usd(int64_t lists, int64_t gets_and_heads)
{
    return (double)lists * USD_PER_1000_LISTS / 1000 + (double)gets_and_heads * USD_PER_1000_GETS / 1000;
}

/* -- names ----------------------------------------------------------------------------------------------- */

/* Appends "path<TAB>key" of each object whose path is not its key. A newline in a key is written as \n. */
static char *list_changes(const dt_stage_listing *list)
{
    char *all = NULL;
    size_t n = 0, capacity = 0;
    for (int64_t i = 0; i < list->n; i++) {
        const char *key = dt_stage_text(list, list->objects[i].key) + list->prefix_bytes;
        const char *path = dt_stage_text(list, list->objects[i].path);
        if (strcmp(key, path) == 0)
            continue;
        const size_t most = strlen(path) + 2 * strlen(key) + 4;
        if (n + most > capacity) {
            char *grown = dt_realloc(all, capacity, (n + most) * 2);
            if (!grown)
                break;
            all = grown;
            capacity = (n + most) * 2;
        }
        n += (size_t)snprintf(all + n, capacity - n, "%s\t", path);
        for (const char *c = key; *c; c++) {
            if (*c == '\n' || *c == '\\')
                all[n++] = '\\';
            all[n++] = *c;
            if (*c == '\n')
                all[n - 1] = 'n';
        }
        all[n++] = '\n';
        all[n] = '\0';
    }
    return all;
}

void dt_stage_report_names(const char *folder, const dt_stage_listing *list,
                           const dt_stage_name_changes *changes)
{
    char path[DT_STAGE_FOLDER_BYTES];
    dt_error err = {0};
    if (changes->first < 0)
        return;
    const dt_stage_object *o = &list->objects[changes->first];
    char *all = list_changes(list);
    dt_stage_target_file(folder, "names", path);
    if (all && dt_replace_file(path, all, (int64_t)strlen(all), &err) != DT_OK)
        dt_log_warn("%s", err.message);
    dt_free(all);
    dt_log_warn(
        "%lld key%s no safe name for a file, %lld %s too long, and %lld clash%s with others: they get "
        "other names, which %s lists; the first is %s for %s",
        (long long)changes->n_escaped, changes->n_escaped == 1 ? " is" : "s are",
        (long long)changes->n_shortened, changes->n_shortened == 1 ? "is" : "are",
        (long long)changes->n_conflicts, changes->n_conflicts == 1 ? "es" : "", path,
        dt_stage_text(list, o->path), dt_stage_text(list, o->key));
}

/* -- the plan -------------------------------------------------------------------------------------------- */

static void warn_of_small_objects(const dt_stage_plan *plan)
{
    const int64_t n = plan->source_objects;
    char least[32];
    if (n < MANY_OBJECTS || plan->source_bytes / n >= SMALL_BYTES)
        return;
    dt_clock_format((double)n / REQUESTS_PER_S, least, sizeof least);
    dt_log_warn(
        "%lld objects of %s on average take a request each: at the %.0f requests a second that S3 answers "
        "for one prefix, %s at least. Large objects come at the network's rate: the images as some "
        "hundred tar files, for example, which have to be unpacked before a training (tar -xf), since "
        "dtrain trains on files",
        (long long)n, in_bytes(plan->source_bytes / n), REQUESTS_PER_S, least);
}

void dt_stage_report_plan(const dt_stage_options *options, const char *name, const dt_stage_listing *list,
                          const dt_stage_plan *plan, int n_nodes, bool is_s3)
{
    char nodes[64] = "", others[80] = "";
    if (n_nodes > 1)
        snprintf(nodes, sizeof nodes,
                 options->split ? ", a part on each of %d nodes" : ", to each of %d nodes", n_nodes);
    if (plan->n_batches == 0) {
        dt_log_info("%s: %lld object%s, %s%s: all there", name, (long long)list->n, DT_PLURAL(list->n),
                    in_bytes(list->bytes), nodes);
        return;
    }
    if (plan->disk_bytes > 0)
        snprintf(others, sizeof others, ", and %s from nodes that have it", in_bytes(plan->disk_bytes));
    dt_log_info("%s: %lld object%s, %s%s; %s to be read from there%s", name, (long long)list->n,
                DT_PLURAL(list->n), in_bytes(list->bytes), nodes, in_bytes(plan->source_bytes), others);
    if (is_s3)
        warn_of_small_objects(plan);
}

/* -- the result ------------------------------------------------------------------------------------------ */

void dt_stage_report_result(const dt_stage_options *o, const dt_stage_result *r, char *text, size_t bytes)
{
    size_t n;
    char took[32], name[DT_PATH_BYTES];
    dt_stage_source_name(o->source, name);
    const double rate = r->seconds > 0 ? (double)r->source_bytes / r->seconds : 0;
    dt_clock_format(r->seconds, took, sizeof took);
    n = (size_t)snprintf(text, bytes, "%s holds %s%lld object%s, %s, of %s", o->folder,
                         o->split && r->nodes > 1 ? "its part of " : "", (long long)r->objects,
                         DT_PLURAL(r->objects), in_bytes(r->bytes), name);
    if (r->nodes > 1 && n < bytes)
        n += (size_t)snprintf(text + n, bytes - n, " on each of %lld nodes", (long long)r->nodes);
    if (n < bytes)
        n += (size_t)snprintf(text + n, bytes - n, "; read %s in %s (%s/s, %lld connection%s at most)",
                              in_bytes(r->source_bytes), took, in_bytes((int64_t)rate),
                              (long long)r->most_width, DT_PLURAL(r->most_width));
    const int64_t requests = r->lists + r->gets + r->heads;
    if (r->is_s3 && n < bytes)
        n += (size_t)snprintf(
            text + n, bytes - n, "; %lld request%s (%lld LIST, %lld GET, %lld HEAD; %lld repeated), %s$%.4f",
            (long long)requests, DT_PLURAL(requests), (long long)r->lists, (long long)r->gets,
            (long long)r->heads, (long long)r->retries, r->is_at_aws ? "" : "at AWS ",
            dt_stage_request_usd(r->lists, r->gets + r->heads));
}

/* -- the progress line ----------------------------------------------------------------------------------- */

dt_status dt_stage_meter_open(dt_stage_meter *m, int64_t total, double log_every_s, dt_error *err)
{
    const dt_progress_options options = {
        .terminal = dt_console_is_terminal(), .utf8 = dt_table_utf8(), .every_s = log_every_s};
    const double now = dt_clock_s();
    *m = (dt_stage_meter){.total = total, .older_s = now, .newer_s = now};
    DT_TRY(dt_progress_create(stderr, &options, &m->sink, err));
    dt_console_set_progress(m->sink);
    return DT_OK;
}

void dt_stage_meter_show(dt_stage_meter *m, int64_t done)
{
    const double now = dt_clock_s();
    if (!m->sink || m->total == 0)
        return;
    if (now - m->newer_s >= RATE_OVER_S) {
        m->older_s = m->newer_s;
        m->older_bytes = m->newer_bytes;
        m->newer_s = now;
        m->newer_bytes = done;
    }
    const double seconds = now - m->older_s;
    const double rate = seconds > 0 ? (double)(done - m->older_bytes) / seconds : 0;
    const dt_progress_work work = {.what = "copy",
                                   .done = done,
                                   .total = m->total,
                                   .bytes_per_s = rate,
                                   .left_s = rate > 0 ? (double)(m->total - done) / rate : -1};
    (void)dt_progress_show_work(m->sink, &work, NULL);
}

void dt_stage_meter_close(dt_stage_meter *m)
{
    if (!m->sink)
        return;
    dt_console_set_progress(NULL);
    m->sink->ops->destroy(m->sink);
    m->sink = NULL;
}
