/* dtrain inspect: lists checkpoints, checks whether they are whole, and compares two of them. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "io/class_names_json.h"
#include "io/store/checkpoint_folder.h"
#include "launch/checkpoints/check.h"
#include "launch/checkpoints/diff.h"
#include "launch/checkpoints/reader.h"
#include "launch/commands/commands.h"
#include "launch/commands/inspect_engines.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const dt_command_usage usage = {
    .name = "dtrain inspect",
    .args_doc = "DIR",
    .n_arguments = 3,
    .bit = DT_COMMAND_INSPECT,
    .doc = "Show the checkpoints in a folder: a run's folder, a folder of checkpoints, or one checkpoint's "
           "folder. Nothing in it is changed.\n\n"
           "  dtrain inspect runs/demo --verify\n"
           "  dtrain inspect runs/demo --diff 100 132\n"
           "  dtrain inspect --diff runs/a runs/b\v--diff takes two arguments, each a folder (of a run: its "
           "newest whole checkpoint) or, after "
           "DIR, a step in it. Code 1: --verify found one that is damaged, or none that is whole; --diff "
           "found a difference. Without --verify no byte of a shard is read.",
};

typedef struct inspection {
    const dt_options *options;
    dt_checkpoints checkpoints;
    dt_table *table;
    /* the last three: of the current folder */
    json_t *json_folders, *json_runs, *json_rows, *json_left, *json_aside;
    int64_t n, n_sound, n_damaged; /* checkpoints; sound: whole or, without --verify, complete */
    int64_t bytes_read;
    double seconds;
} inspection;

/* -- one checkpoint -------------------------------------------------------------------------------------- */

static void format_bytes(double bytes, char *out, size_t out_bytes)
{
    if (bytes < 1e9)
        snprintf(out, out_bytes, "%.1f MB", bytes / 1e6);
    else
        snprintf(out, out_bytes, "%.2f GB", bytes / 1e9);
}

static void format_age(double s, char *out, size_t out_bytes)
{
    if (s < 2 * 86400.0)
        dt_clock_format(s, out, out_bytes);
    else
        snprintf(out, out_bytes, "%.1f days", s / 86400);
}

static void format_state(const dt_checkpoint_check_result *r, bool verified, char *out, size_t out_bytes)
{
    char speed[32] = "";
    if (verified && r->seconds > 0 && r->state != DT_CHECKPOINT_DAMAGED)
        snprintf(speed, sizeof speed, ", %.0f MB/s", (double)r->bytes_read / 1e6 / r->seconds);
    switch (r->state) {
    case DT_CHECKPOINT_COMPLETE:
        snprintf(out, out_bytes, "complete");
        break;
    case DT_CHECKPOINT_WHOLE:
        snprintf(out, out_bytes, "whole%s", speed);
        break;
    case DT_CHECKPOINT_PARTIAL:
        snprintf(out, out_bytes, "%" PRId64 " of %" PRId64 " shard%s here%s%s", r->n_here, r->n_shards,
                 DT_PLURAL(r->n_shards), verified ? ", whole" : "", speed);
        break;
    case DT_CHECKPOINT_NEWER:
        snprintf(out, out_bytes, "newer");
        break;
    case DT_CHECKPOINT_DAMAGED:
        snprintf(out, out_bytes, "damaged");
        break;
    case DT_CHECKPOINT_REMOVED:
        snprintf(out, out_bytes, "removed while it was read");
        break;
    }
}

static dt_status add_row(inspection *in, const dt_checkpoint_check_result *r, dt_error *err)
{
    char step[32], epoch[32] = "", size[32] = "", ranks[32] = "", age[32] = "", state[96];
    snprintf(step, sizeof step, "%" PRId64, r->step);
    if (r->has_manifest) {
        snprintf(epoch, sizeof epoch, "%" PRId64, r->epoch);
        format_bytes((double)r->bytes, size, sizeof size);
        snprintf(ranks, sizeof ranks, "%" PRId64, r->world_size);
    }
    if (r->age_s > 0 || r->has_manifest)
        format_age(r->age_s, age, sizeof age);
    format_state(r, in->options->verify, state, sizeof state);
    return dt_table_add(in->table, (const char *const[]){step, epoch, size, ranks, age, state}, err);
}

static json_t *json_computed_by(const dt_computed_by *c)
{
    json_t *object = json_object();
    for (int64_t i = 0; i < c->n; i++)
        json_object_set_new(object, c->fields[i].name, dt_output_text(c->fields[i].value));
    return object;
}

static void add_json_row(inspection *in, const dt_checkpoint_check_result *r)
{
    json_t *row = json_pack("{s:I, s:s, s:o, s:f}", "step", (json_int_t)r->step, "state",
                            dt_checkpoint_state_name(r->state), "problem", dt_output_text(r->problem),
                            "age_s", r->age_s);
    if (r->has_manifest)
        json_object_update_new(
            row, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "epoch", (json_int_t)r->epoch, "position",
                           (json_int_t)r->position, "world_size", (json_int_t)r->world_size, "shards",
                           (json_int_t)r->n_shards, "shards_here", (json_int_t)r->n_here, "bytes",
                           (json_int_t)r->bytes, "computed_by", json_computed_by(&r->computed_by)));
    if (r->has_manifest)
        json_object_update_new(
            row, json_pack("{s:I, s:o, s:f, s:I, s:o}", "classes", (json_int_t)r->n_classes, "class_names",
                           dt_class_names_to_json(&r->class_names), "best_top1", r->best_top1, "best_step",
                           (json_int_t)r->best_step, "engines", dt_inspect_engines_json(&r->engines)));
    if (in->options->verify)
        json_object_update_new(
            row, json_pack("{s:f, s:I}", "verify_s", r->seconds, "bytes_read", (json_int_t)r->bytes_read));
    json_array_append_new(in->json_rows, row);
}

static dt_status inspect_checkpoint(inspection *in, int folder, int64_t step, dt_error *err)
{
    dt_checkpoint_check_result r = {0};
    DT_TRY(dt_checkpoint_check(&in->checkpoints, folder, step, in->options->verify, &r, err));
    in->n += r.state != DT_CHECKPOINT_REMOVED;
    in->n_sound += r.state == DT_CHECKPOINT_WHOLE || r.state == DT_CHECKPOINT_COMPLETE;
    in->n_damaged += r.state == DT_CHECKPOINT_DAMAGED || r.state == DT_CHECKPOINT_NEWER;
    in->bytes_read += r.bytes_read;
    in->seconds += r.seconds;
    add_json_row(in, &r);
    const dt_status status = add_row(in, &r, err);
    dt_checkpoint_check_result_clear(&r);
    return status;
}

/* -- one folder ------------------------------------------------------------------------------------------ */

/* Lists unfinished checkpoints, and what --resume never has put aside. */
static void list_other_entries(inspection *in, const char *path, FILE *stream)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        bool is_left = dt_checkpoint_step_of(name, ".tmp") >= 0,
             is_gone = dt_checkpoint_step_of(name, ".old") >= 0;
        bool is_aside =
            strncmp(name, "old-", 4) == 0 && name[4] && strspn(name + 4, "0123456789") == strlen(name + 4);
        if (!is_left && !is_gone && !is_aside)
            continue;
        json_array_append_new(is_aside ? in->json_aside : in->json_left, dt_output_text(name));
        if (stream)
            dt_output_line(stream, "%s: %s", name,
                           is_left   ? "unfinished, or being written"
                           : is_gone ? "removed in part"
                                     : "put aside by --resume never");
    }
    if (dir)
        closedir(dir);
}

/* Prints "steps 100 to 200 were computed with oneDNN 3.7.2, ..." */
static void print_computed_by(const char *steps, bool one, json_t *with, FILE *stream)
{
    char fields[DT_COMPUTED_BY_MAX * (DT_COMPUTED_BY_NAME_BYTES + DT_COMPUTED_BY_VALUE_BYTES + 4)] = "";
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach(with, name, value)
    {
        if (n < sizeof fields)
            n += (size_t)snprintf(fields + n, sizeof fields - n, "%s%s %s", n ? ", " : "", name,
                                  json_string_value(value));
    }
    dt_output_line(stream, "%s %s computed with %s", steps, one ? "was" : "were", fields);
}

/* Prints "steps 100 to 200 know 3 classes: 'ant', 'bee', 'cat'"; the first names only. */
static void print_class_names(const char *steps, bool one, json_t *names, FILE *stream)
{
    enum { MAX_SHOWN = 6, NAME_BYTES = 48 };
    char list[MAX_SHOWN * (NAME_BYTES + 8) + 32] = "";
    size_t used = 0, n = json_array_size(names), i = 0;
    for (; i < n && i < MAX_SHOWN; i++) {
        char *name = dt_utf8_unescape(json_string_value(json_array_get(names, i)));
        used += (size_t)snprintf(list + used, sizeof list - used, "%s'%.*s%s'", i ? ", " : "", NAME_BYTES - 4,
                                 name ? name : "", name && strlen(name) > NAME_BYTES - 4 ? "..." : "");
        dt_free(name);
    }
    if (i < n)
        snprintf(list + used, sizeof list - used, " and %zu more", n - i);
    dt_output_line(stream, "%s know%s %zu class%s: %s", steps, one ? "s" : "", n, n == 1 ? "" : "es", list);
}

/* Calls `print` for each series of checkpoints with the same value, unless it is empty: that of a damaged
 * checkpoint, or of a format without it. */
static void print_series(const json_t *rows, const char *key,
                         void (*print)(const char *steps, bool one, json_t *value, FILE *stream),
                         FILE *stream)
{
    for (size_t first = 0, next; first < json_array_size(rows); first = next) {
        char steps[64];
        json_t *with = json_object_get(json_array_get(rows, first), key);
        const json_int_t newest = json_integer_value(json_object_get(json_array_get(rows, first), "step"));
        json_int_t oldest = newest;
        for (next = first + 1; next < json_array_size(rows) &&
                               json_equal(with, json_object_get(json_array_get(rows, next), key));
             next++)
            oldest = json_integer_value(json_object_get(json_array_get(rows, next), "step"));
        if (oldest == newest)
            snprintf(steps, sizeof steps, "step %" JSON_INTEGER_FORMAT, newest);
        else
            snprintf(steps, sizeof steps, "steps %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, oldest,
                     newest);
        if (json_object_size(with) + json_array_size(with) > 0)
            print(steps, oldest == newest, with, stream);
    }
}

/* Prints "step 6: damaged: shard-0000-of-0002.h5 is missing" for each checkpoint that has a problem. */
static void print_problems(const json_t *rows, FILE *stream)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char *problem = dt_utf8_unescape(json_string_value(json_object_get(row, "problem")));
        if (problem && problem[0])
            dt_output_line(stream, "step %" JSON_INTEGER_FORMAT ": %s: %s",
                           json_integer_value(json_object_get(row, "step")),
                           json_string_value(json_object_get(row, "state")), problem);
        dt_free(problem);
    }
}

static dt_status inspect_folder(inspection *in, int folder, dt_error *err)
{
    const dt_checkpoints_folder *f = &in->checkpoints.folders[folder];
    FILE *stream = in->options->json ? NULL : stdout;
    int64_t *steps = dt_alloc(DT_CHECKPOINTS_MAX * sizeof *steps), n = 0;
    if (!steps)
        return dt_fail_memory(err, DT_CHECKPOINTS_MAX * sizeof *steps, "a list of checkpoints");
    in->json_rows = json_array();
    in->json_left = json_array();
    in->json_aside = json_array();
    dt_status status = dt_table_create(
        (const char *const[]){"step", "epoch", "size", "ranks", "age", "state"}, 6, &in->table, err);
    for (int c = 0; c < 5 && status == DT_OK; c++)
        dt_table_align_right(in->table, c);
    if (status == DT_OK)
        status = dt_checkpoints_list(&in->checkpoints, folder, steps, &n, err);
    for (int64_t i = 0; i < n && status == DT_OK; i++)
        status = inspect_checkpoint(in, folder, steps[i], err);
    if (status == DT_OK && stream) {
        dt_output_line(stream, "%s%s%s", f->path, f->is_mirror ? " (mirror)" : "",
                       n ? "" : ": no checkpoints");
        status =
            n ? dt_table_print(in->table, stream, dt_table_utf8(), dt_table_columns(stream), err) : DT_OK;
        print_problems(in->json_rows, stream);
        print_series(in->json_rows, "computed_by", print_computed_by, stream);
        print_series(in->json_rows, "class_names", print_class_names, stream);
        print_series(in->json_rows, "engines",
                     in->checkpoints.only_step >= 0 ? dt_inspect_engines_table : dt_inspect_engines_count,
                     stream);
    }
    if (status == DT_OK && in->checkpoints.only_step < 0)
        list_other_entries(in, f->path, stream);
    json_array_append_new(in->json_folders,
                          json_pack("{s:o, s:b, s:o, s:o, s:o}", "path", dt_output_text(f->path), "mirror",
                                    f->is_mirror, "generations", in->json_rows, "unfinished", in->json_left,
                                    "put_aside", in->json_aside));
    dt_table_destroy(in->table);
    in->table = NULL;
    dt_free(steps);
    return status;
}

/* -- all folders ----------------------------------------------------------------------------------------- */

/* Lists OUT.old-1, ...: older runs that --resume never has renamed. */
static void list_older_runs(inspection *in)
{
    char path[DT_PATH_BYTES + 32];
    struct stat st;
    for (int i = 1; in->checkpoints.run[0]; i++) {
        snprintf(path, sizeof path, "%s.old-%d", in->checkpoints.run, i);
        if (stat(path, &st) != 0)
            return;
        json_array_append_new(in->json_runs, dt_output_text(path));
        if (!in->options->json)
            dt_output_line(stdout, "%s: an older run, put aside by --resume never", path);
    }
}

static dt_status print_summary(inspection *in, dt_error *err)
{
    const bool verify = in->options->verify;
    if (in->options->json) {
        json_t *root =
            json_pack("{s:b, s:I, s:I, s:I, s:O, s:O}", "verified", verify, "n_generations",
                      (json_int_t)in->n, "n_sound", (json_int_t)in->n_sound, "n_damaged",
                      (json_int_t)in->n_damaged, "folders", in->json_folders, "older_runs", in->json_runs);
        dt_status status = dt_output_json(root, stdout, err);
        json_decref(root);
        DT_TRY(status);
    } else if (verify && in->seconds > 0) {
        printf("%.1f MB read and verified in %.1f s: %.0f MB/s\n", (double)in->bytes_read / 1e6, in->seconds,
               (double)in->bytes_read / 1e6 / in->seconds);
    } else if (!verify && in->n > 0) {
        printf("only sizes were compared; --verify reads the shards\n");
    }
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the result");
}

/* The command's status: an error if a checkpoint is damaged, or if there is none. */
static dt_status result(const inspection *in, const char *dir, dt_error *err)
{
    if (in->options->verify && in->n_damaged > 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s: %" PRId64 " of %" PRId64 " checkpoint%s %s damaged", dir,
                       in->n_damaged, in->n, DT_PLURAL(in->n), in->n_damaged == 1 ? "is" : "are");
    if (in->options->verify && in->n > 0 && in->n_sound == 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s: no checkpoint has all its shards here", dir);
    return in->n > 0 ? DT_OK
                     : dt_fail(err, in->options->verify ? DT_ERR_FORMAT : DT_ERR_USAGE,
                               "%s: there is no checkpoint in it", dir);
}

static dt_status inspect_all(inspection *in, dt_error *err)
{
    const char *dir = in->options->arguments[0];
    DT_TRY(dt_checkpoints_open(dir, &in->checkpoints, err));
    for (int i = 0; i < in->checkpoints.n_folders; i++)
        DT_TRY(inspect_folder(in, i, err));
    list_older_runs(in);
    DT_TRY(print_summary(in, err));
    return result(in, dir, err);
}

/* -- --diff ---------------------------------------------------------------------------------------------- */

/* Opens one side of --diff: `what` is a folder or, if `dir` is given, a step in it. */
static dt_status open_side(const char *dir, const char *what, dt_checkpoints *g,
                           dt_checkpoint_reader **reader, dt_error *err)
{
    char *end;
    long long step = strtoll(what, &end, 10);
    if (dir && *what && !*end && step >= 0) {
        DT_TRY(dt_checkpoints_open(dir, g, err));
        return dt_checkpoints_newest_whole(g, step, reader, err);
    }
    DT_TRY(dt_checkpoints_open(what, g, err));
    return dt_checkpoints_newest_whole(g, -1, reader, err);
}

static dt_status run_diff(const dt_options *o, dt_error *err)
{
    dt_checkpoints g[2] = {0};
    dt_checkpoint_reader *readers[2] = {NULL, NULL};
    bool same = false;
    if (o->n_arguments < 2)
        return dt_fail(
            err, DT_ERR_USAGE,
            "--diff compares two: dtrain inspect --diff A B, or dtrain inspect DIR --diff STEP STEP");
    const char *dir = o->n_arguments == 3 ? o->arguments[0] : NULL;
    dt_status status = DT_OK;
    for (int i = 0; i < 2 && status == DT_OK; i++)
        status = open_side(dir, o->arguments[o->n_arguments - 2 + i], &g[i], &readers[i], err);
    if (status == DT_OK)
        status = dt_checkpoint_diff(readers[0], readers[1], o->json, stdout, &same, err);
    if (status == DT_OK && fflush(stdout) != 0)
        status = dt_fail_errno(err, "cannot print the result");
    if (status == DT_OK && !same)
        status = dt_fail(err, DT_ERR_FORMAT, "the two checkpoints differ");
    for (int i = 0; i < 2; i++) {
        dt_checkpoint_reader_close(readers[i]);
        dt_checkpoints_close(&g[i]);
    }
    return status;
}

dt_status dt_command_inspect(int argc, char **argv, dt_session *session, dt_error *err)
{
    static dt_options options; /* static, because it is large */
    (void)session;
    DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
    if (options.diff)
        return run_diff(&options, err);
    if (options.n_arguments > 1)
        return dt_fail(err, DT_ERR_USAGE, "unexpected argument '%s'; only --diff takes several",
                       options.arguments[1]);
    inspection in = {.options = &options, .json_folders = json_array(), .json_runs = json_array()};
    dt_status status = inspect_all(&in, err);
    json_decref(in.json_folders);
    json_decref(in.json_runs);
    dt_checkpoints_close(&in.checkpoints);
    return status;
}
