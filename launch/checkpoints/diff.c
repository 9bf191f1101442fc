#include "config.h"

#include "core/base/units.h"
#include "launch/checkpoints/diff.h"

#include "core/base/alloc.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

typedef struct tensor_diff {
    int64_t n_elems, n_different, n_nan_a, n_nan_b;
    double max_abs, relative;
} tensor_diff;

typedef struct diff {
    dt_checkpoint_reader *readers[2];
    const dt_manifest *manifests[2];
    dt_table *scalars, *tensors;
    json_t *json_scalars, *json_tensors, *json_only[2];
    int64_t n_scalars, n_differing, n_only[2];
    bool same;
} diff;

/* -- scalars --------------------------------------------------------------------------------------------- */

static dt_status add_scalar(diff *d, const char *name, const char *a, const char *b, bool counts,
                            dt_error *err)
{
    if (strcmp(a, b) == 0)
        return DT_OK;
    d->n_scalars++;
    d->same = d->same && !counts;
    json_array_append_new(d->json_scalars,
                          json_pack("{s:o, s:o, s:o, s:b}", "name", dt_output_text(name), "a",
                                    dt_output_text(a), "b", dt_output_text(b), "counts", counts));
    return dt_table_add(d->scalars, (const char *const[]){name, a, b, counts ? "" : "does not count"}, err);
}

static dt_status add_integer(diff *d, const char *name, int64_t a, int64_t b, bool counts, dt_error *err)
{
    char text[2][32];
    snprintf(text[0], sizeof text[0], "%" PRId64, a);
    snprintf(text[1], sizeof text[1], "%" PRId64, b);
    return add_scalar(d, name, text[0], text[1], counts, err);
}

static dt_status add_unsigned(diff *d, const char *name, const char *format, uint64_t a, uint64_t b,
                              dt_error *err)
{
    char text[2][32];
    bool is_hex = strcmp(format, "x") == 0;
    snprintf(text[0], sizeof text[0], is_hex ? "%016" PRIx64 : "%" PRIu64, a);
    snprintf(text[1], sizeof text[1], is_hex ? "%016" PRIx64 : "%" PRIu64, b);
    return add_scalar(d, name, text[0], text[1], true, err);
}

static dt_status add_real(diff *d, const char *name, double a, double b, dt_error *err)
{
    char text[2][40];
    snprintf(text[0], sizeof text[0], "%.17g", a);
    snprintf(text[1], sizeof text[1], "%.17g", b);
    return add_scalar(d, name, text[0], text[1], true, err);
}

/* Adds a row "computed_by NAME"; the cell of a side that lacks the name is empty. */
static dt_status add_computed_by(diff *d, const char *name, dt_error *err)
{
    char full[DT_COMPUTED_BY_NAME_BYTES + 16];
    const char *a = dt_computed_by_find(&d->manifests[0]->computed_by, name),
               *b = dt_computed_by_find(&d->manifests[1]->computed_by, name);
    snprintf(full, sizeof full, "computed_by %s", name);
    return add_scalar(d, full, a ? a : "", b ? b : "", false, err);
}

/* Adds a row "engine of NAME" for each operation that both sides compute with another engine on one kind of
 * device. */
static dt_status compare_engines(diff *d, dt_error *err)
{
    const dt_engines *a = &d->manifests[0]->engines, *b = &d->manifests[1]->engines;
    for (int64_t i = 0; i < a->n; i++) {
        const dt_engine *e = &a->list[i];
        const char *other = dt_engines_find(b, e->kind, e->name);
        char name[sizeof "engine of " + DT_ENGINE_NAME_BYTES];
        char engines[2][DT_ENGINE_VALUE_BYTES];
        if (!other || dt_engine_is_same(e->value, other))
            continue;
        snprintf(name, sizeof name, "engine of %s", e->name);
        snprintf(engines[0], sizeof engines[0], "%.*s", (int)strcspn(e->value, " "), e->value);
        snprintf(engines[1], sizeof engines[1], "%.*s", (int)strcspn(other, " "), other);
        DT_TRY(add_scalar(d, name, engines[0], engines[1], false, err));
    }
    return DT_OK;
}

static dt_status compare_computed_by(diff *d, dt_error *err)
{
    const dt_computed_by *a = &d->manifests[0]->computed_by, *b = &d->manifests[1]->computed_by;
    for (int64_t i = 0; i < a->n; i++)
        DT_TRY(add_computed_by(d, a->fields[i].name, err));
    for (int64_t i = 0; i < b->n; i++)
        if (!dt_computed_by_find(a, b->fields[i].name))
            DT_TRY(add_computed_by(d, b->fields[i].name, err));
    return DT_OK;
}

static dt_status compare_scalars(diff *d, dt_error *err)
{
    const dt_manifest *a = d->manifests[0], *b = d->manifests[1];
    DT_TRY(add_integer(d, "step", a->step, b->step, true, err));
    DT_TRY(add_integer(d, "epochs done", a->epoch, b->epoch, true, err));
    DT_TRY(add_integer(d, "position", a->position, b->position, true, err));
    DT_TRY(add_unsigned(d, "seed", "u", a->seed, b->seed, err));
    DT_TRY(add_real(d, "loss_scale", a->loss_scale, b->loss_scale, err));
    DT_TRY(add_integer(d, "good_steps", a->n_good_steps, b->n_good_steps, true, err));
    DT_TRY(add_integer(d, "skipped_steps", a->n_skipped_steps, b->n_skipped_steps, true, err));
    DT_TRY(add_scalar(d, "arch", a->arch, b->arch, true, err));
    DT_TRY(add_integer(d, "classes", a->n_classes, b->n_classes, true, err));
    const bool same_names = dt_class_names_equal(&a->class_names, &b->class_names);
    DT_TRY(add_scalar(d, "class_names", "one list", same_names ? "one list" : "another list", true, err));
    DT_TRY(add_integer(d, "image_size", a->image_size, b->image_size, true, err));
    DT_TRY(add_unsigned(d, "data_fingerprint", "x", a->data_fingerprint, b->data_fingerprint, err));
    DT_TRY(add_real(d, "best_top1", a->best_top1, b->best_top1, err));
    DT_TRY(add_integer(d, "best_step", a->best_step, b->best_step, false, err));
    DT_TRY(add_integer(d, "global_batch", a->global_batch, b->global_batch, false, err));
    DT_TRY(add_integer(d, "world_size", a->world_size, b->world_size, false, err));
    DT_TRY(compare_computed_by(d, err));
    DT_TRY(compare_engines(d, err));
    bool same_config = strcmp(a->config_text, b->config_text) == 0;
    return add_scalar(d, "config", "one", same_config ? "one" : "another", false, err);
}

/* -- tensors --------------------------------------------------------------------------------------------- */

static int64_t find_tensor(const dt_manifest *m, const char *name, int64_t guess)
{
    if (guess < m->n_tensors && strcmp(m->tensors[guess].name, name) == 0)
        return guess;
    for (int64_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return i;
    return -1;
}

static tensor_diff compare_values(const float *a, const float *b, int64_t n)
{
    tensor_diff t = {.n_elems = n};
    double squares = 0, of_a = 0;
    for (int64_t i = 0; i < n; i++) {
        t.n_different += memcmp(&a[i], &b[i], sizeof *a) != 0;
        t.n_nan_a += isnan(a[i]);
        t.n_nan_b += isnan(b[i]);
        if (!isfinite(a[i]) || !isfinite(b[i]))
            continue;
        const double difference = fabs((double)a[i] - (double)b[i]);
        t.max_abs = difference > t.max_abs ? difference : t.max_abs;
        squares += difference * difference;
        of_a += (double)a[i] * (double)a[i];
    }
    t.relative = squares == 0 ? 0 : sqrt(squares) / sqrt(of_a); /* infinite: a is all zeros */
    return t;
}

static dt_status add_tensor(diff *d, const char *name, const tensor_diff *t, dt_error *err)
{
    char different[64], max_abs[32], relative[32], nan[64] = "";
    if (t->n_different == 0 && t->n_nan_a == 0)
        return DT_OK;
    if (t->n_different > 0) {
        d->n_differing++;
        d->same = false;
    }
    json_array_append_new(d->json_tensors,
                          json_pack("{s:o, s:I, s:I, s:f, s:o, s:I, s:I}", "name", dt_output_text(name),
                                    "elements", (json_int_t)t->n_elems, "different",
                                    (json_int_t)t->n_different, "max_abs", t->max_abs, "relative",
                                    isfinite(t->relative) ? json_real(t->relative) : json_null(), "nan_a",
                                    (json_int_t)t->n_nan_a, "nan_b", (json_int_t)t->n_nan_b));
    snprintf(different, sizeof different, "%" PRId64 " of %" PRId64, t->n_different, t->n_elems);
    snprintf(max_abs, sizeof max_abs, "%.3g", t->max_abs);
    snprintf(relative, sizeof relative, "%.3g", t->relative);
    if (t->n_nan_a > 0 || t->n_nan_b > 0)
        snprintf(nan, sizeof nan, "%" PRId64 ", %" PRId64, t->n_nan_a, t->n_nan_b);
    return dt_table_add(d->tensors, (const char *const[]){name, different, max_abs, relative, nan}, err);
}

static dt_status add_other_shape(diff *d, const dt_state_tensor *a, const dt_state_tensor *b, dt_error *err)
{
    d->n_differing++;
    d->same = false;
    json_array_append_new(d->json_tensors,
                          json_pack("{s:o, s:I, s:b}", "name", dt_output_text(a->name), "elements",
                                    (json_int_t)a->n_elems, "another_shape", true));
    char text[64];
    snprintf(text, sizeof text, "another shape: %" PRId64 ", %" PRId64, a->n_elems, b->n_elems);
    return dt_table_add(d->tensors, (const char *const[]){a->name, text, "", "", ""}, err);
}

static dt_status add_only_in(diff *d, int side, const char *name, dt_error *err)
{
    d->n_only[side]++;
    d->same = false;
    json_array_append_new(d->json_only[side], dt_output_text(name));
    return dt_table_add(d->tensors, (const char *const[]){name, side ? "only in B" : "only in A", "", "", ""},
                        err);
}

static dt_status compare_tensor(diff *d, int64_t i, float *values[2], dt_error *err)
{
    const dt_state_tensor *a = &d->manifests[0]->tensors[i];
    const int64_t at = find_tensor(d->manifests[1], a->name, i);
    if (at < 0)
        return add_only_in(d, 0, a->name, err);
    const dt_state_tensor *b = &d->manifests[1]->tensors[at];
    if (a->n_dims != b->n_dims || memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) != 0)
        return add_other_shape(d, a, b, err);
    DT_TRY(dt_checkpoint_reader_get(d->readers[0], i, values[0], err));
    DT_TRY(dt_checkpoint_reader_get(d->readers[1], at, values[1], err));
    const tensor_diff t = compare_values(values[0], values[1], a->n_elems);
    return add_tensor(d, a->name, &t, err);
}

static dt_status compare_tensors(diff *d, dt_error *err)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < d->manifests[0]->n_tensors; i++)
        longest =
            d->manifests[0]->tensors[i].n_elems > longest ? d->manifests[0]->tensors[i].n_elems : longest;
    float *values[2] = {dt_alloc((size_t)longest * sizeof(float)), dt_alloc((size_t)longest * sizeof(float))};
    dt_status status =
        values[0] && values[1] ? DT_OK : dt_fail_memory(err, (size_t)longest * sizeof(float), "a tensor");
    for (int64_t i = 0; i < d->manifests[0]->n_tensors && status == DT_OK; i++)
        status = compare_tensor(d, i, values, err);
    for (int64_t i = 0; i < d->manifests[1]->n_tensors && status == DT_OK; i++)
        if (find_tensor(d->manifests[0], d->manifests[1]->tensors[i].name, i) < 0)
            status = add_only_in(d, 1, d->manifests[1]->tensors[i].name, err);
    dt_free(values[0]);
    dt_free(values[1]);
    return status;
}

/* -- printing -------------------------------------------------------------------------------------------- */

static dt_status print_tables(const diff *d, FILE *stream, dt_error *err)
{
    const int64_t n = d->manifests[0]->n_tensors;
    if (d->n_scalars > 0) {
        DT_TRY(dt_table_print(d->scalars, stream, dt_table_utf8(), dt_table_columns(stream), err));
        fputc('\n', stream);
    }
    if (d->n_differing + d->n_only[0] + d->n_only[1] > 0) {
        DT_TRY(dt_table_print(d->tensors, stream, dt_table_utf8(), dt_table_columns(stream), err));
        fputc('\n', stream);
        fprintf(stream, "%" PRId64 " of %" PRId64 " tensor%s differ%s", d->n_differing, n, DT_PLURAL(n),
                d->n_differing == 1 ? "s" : "");
        if (d->n_only[0] + d->n_only[1] > 0)
            fprintf(stream, ", %" PRId64 " only in A, %" PRId64 " only in B", d->n_only[0], d->n_only[1]);
        fputc('\n', stream);
    } else {
        fprintf(stream, "all %" PRId64 " tensors are the same bits\n", n);
    }
    return DT_OK;
}

static dt_status print_json(const diff *d, FILE *stream, dt_error *err)
{
    json_t *root = json_pack(
        "{s:b, s:{s:I, s:I}, s:{s:I, s:I}, s:I, s:O, s:O, s:O, s:O}", "same", d->same, "a", "step",
        (json_int_t)d->manifests[0]->step, "world_size", (json_int_t)d->manifests[0]->world_size, "b", "step",
        (json_int_t)d->manifests[1]->step, "world_size", (json_int_t)d->manifests[1]->world_size,
        "tensors_compared", (json_int_t)d->manifests[0]->n_tensors, "scalars", d->json_scalars, "tensors",
        d->json_tensors, "only_in_a", d->json_only[0], "only_in_b", d->json_only[1]);
    dt_status status = dt_output_json(root, stream, err);
    json_decref(root);
    return status;
}

static dt_status run(diff *d, bool json, FILE *stream, dt_error *err)
{
    DT_TRY(dt_table_create((const char *const[]){"scalar", "A", "B", ""}, 4, &d->scalars, err));
    DT_TRY(dt_table_create(
        (const char *const[]){"tensor", "elements that differ", "max |A-B|", "|A-B|/|A|", "NaNs in A, B"}, 5,
        &d->tensors, err));
    for (int c = 1; c < 4; c++)
        dt_table_align_right(d->tensors, c);
    DT_TRY(compare_scalars(d, err));
    DT_TRY(compare_tensors(d, err));
    return json ? print_json(d, stream, err) : print_tables(d, stream, err);
}

dt_status dt_checkpoint_diff(dt_checkpoint_reader *a, dt_checkpoint_reader *b, bool json, FILE *stream,
                             bool *same, dt_error *err)
{
    diff d = {.readers = {a, b},
              .manifests = {dt_checkpoint_reader_manifest(a), dt_checkpoint_reader_manifest(b)},
              .same = true};
    d.json_scalars = json_array();
    d.json_tensors = json_array();
    d.json_only[0] = json_array();
    d.json_only[1] = json_array();
    dt_status status = run(&d, json, stream, err);
    if (status == DT_OK)
        *same = d.same;
    dt_table_destroy(d.scalars);
    dt_table_destroy(d.tensors);
    json_decref(d.json_scalars);
    json_decref(d.json_tensors);
    json_decref(d.json_only[0]);
    json_decref(d.json_only[1]);
    return status;
}
