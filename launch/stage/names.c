#include "config.h"

#include "launch/stage/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_PART_BYTES = 255,     /* Linux's NAME_MAX */
    MAX_EXTENSION_BYTES = 16, /* with its dot */
    HASH_BYTES = 17           /* "~" and 16 digits */
};

/* -- one key --------------------------------------------------------------------------------------------- */

typedef struct writer {
    char *out;
    size_t n, size; /* written; with space for the zero */
    bool escaped;
} writer;

static void put(writer *w, char c)
{
    if (w->n + 1 < w->size)
        w->out[w->n++] = c;
}

static void put_escaped(writer *w, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    put(w, '%');
    put(w, digits[c >> 4]);
    put(w, digits[c & 15]);
    w->escaped = true;
}

/* One part of a key, between two slashes. */
static void put_part(writer *w, const char *part, size_t n, bool is_first)
{
    const bool is_dots = (n == 1 && part[0] == '.') || (n == 2 && memcmp(part, "..", 2) == 0);
    const size_t own = sizeof DT_STAGE_OWN_FOLDER - 1;
    if (n == 0)
        put_escaped(w, '/');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)part[i];
        if (c < 0x20 || c == 0x7f || is_dots ||
            (i == 0 && is_first && n == own && memcmp(part, DT_STAGE_OWN_FOLDER, own) == 0))
            put_escaped(w, c);
        else
            put(w, (char)c);
    }
}

/* Where a name ends if it may have `most` bytes: before a character of UTF-8, not in it. */
static size_t cut(const char *name, size_t n, size_t most)
{
    if (n <= most)
        return n;
    while (most > 0 && ((unsigned char)name[most] & 0xc0) == 0x80)
        most--;
    return most;
}

/* Writes "NAME~HASH.EXT", in which NAME is as long as it can be. */
static void put_with_hash(writer *w, const char *part, size_t n, uint64_t hash)
{
    char mark[HASH_BYTES + 1];
    size_t stem = n;
    while (stem > 0 && part[stem - 1] != '.' && n - stem < MAX_EXTENSION_BYTES)
        stem--;
    const bool has_extension = stem > 1 && part[stem - 1] == '.';
    const char *extension = has_extension ? part + stem - 1 : part + n;
    const size_t extension_bytes = (size_t)(part + n - extension);
    const size_t kept = cut(part, n - extension_bytes, MAX_PART_BYTES - HASH_BYTES - extension_bytes);
    snprintf(mark, sizeof mark, "~%016" PRIx64, hash);
    for (size_t i = 0; i < kept; i++)
        put(w, part[i]);
    for (const char *c = mark; *c; c++)
        put(w, *c);
    for (size_t i = 0; i < extension_bytes; i++)
        put(w, extension[i]);
}

void dt_stage_path(const char *key, char path[DT_STAGE_PATH_BYTES], bool *escaped, bool *shortened)
{
    char part[DT_STAGE_PATH_BYTES];
    writer w = {.out = path, .size = DT_STAGE_PATH_BYTES};
    *shortened = false;
    for (const char *at = key;;) {
        const size_t n = strcspn(at, "/");
        writer p = {.out = part, .size = sizeof part};
        put_part(&p, at, n, at == key);
        w.escaped = w.escaped || p.escaped;
        if (p.n > MAX_PART_BYTES) {
            put_with_hash(&w, part, p.n, dt_stage_hash(key));
            *shortened = true;
        } else {
            for (size_t i = 0; i < p.n; i++)
                put(&w, part[i]);
        }
        if (!at[n])
            break;
        put(&w, '/');
        at += n + 1;
    }
    path[w.n] = '\0';
    *escaped = w.escaped;
}

/* -- all keys -------------------------------------------------------------------------------------------- */

/* Gives an object another name in the same folder. */
static dt_status rename_object(dt_stage_listing *list, int64_t object, dt_error *err)
{
    char path[DT_STAGE_PATH_BYTES];
    dt_stage_object *o = &list->objects[object];
    const char *old = dt_stage_text(list, o->path), *slash = strrchr(old, '/');
    const size_t folder = slash ? (size_t)(slash + 1 - old) : 0;
    writer w = {.out = path, .size = sizeof path};
    for (size_t i = 0; i < folder; i++)
        put(&w, old[i]);
    put_with_hash(&w, old + folder, strlen(old + folder), dt_stage_hash(dt_stage_text(list, o->key)));
    path[w.n] = '\0';
    return dt_stage_listing_add_text(list, path, &o->path, err);
}

static void note(dt_stage_name_changes *changes, int64_t *count, int64_t object)
{
    (*count)++;
    if (changes->first < 0 || object < changes->first)
        changes->first = object;
}

static dt_status name_each(dt_stage_listing *list, dt_stage_name_changes *changes, dt_error *err)
{
    char path[DT_STAGE_PATH_BYTES], name[DT_STAGE_PATH_BYTES];
    bool escaped, shortened;
    for (int64_t i = 0; i < list->n; i++) {
        const char *key = dt_stage_text(list, list->objects[i].key) + list->prefix_bytes;
        const size_t n = strcspn(key, list->has_addresses ? "?#" : "");
        if (n >= sizeof name)
            return dt_fail(err, DT_ERR_USAGE, "%.80s...: a name of %zu bytes is too long", key, n);
        snprintf(name, sizeof name, "%.*s", (int)n, key);
        dt_stage_path(name, path, &escaped, &shortened);
        if (escaped)
            note(changes, &changes->n_escaped, i);
        if (shortened)
            note(changes, &changes->n_shortened, i);
        DT_TRY(dt_stage_listing_add_text(list, path, &list->objects[i].path, err));
    }
    return DT_OK;
}

/* Objects whose path is another one's folder: found by looking up each folder of each path. */
static dt_status separate_from_folders(dt_stage_listing *list, const dt_stage_index *index,
                                       dt_stage_name_changes *changes, dt_error *err)
{
    char path[DT_STAGE_PATH_BYTES];
    for (int64_t i = 0; i < list->n; i++) {
        snprintf(path, sizeof path, "%s", dt_stage_text(list, list->objects[i].path));
        for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
            const int64_t file = dt_stage_index_find(index, path, (size_t)(slash - path));
            if (file < 0)
                continue;
            note(changes, &changes->n_conflicts, file);
            DT_TRY(rename_object(list, file, err)); /* it is not found under its old path any more */
        }
    }
    return DT_OK;
}

dt_status dt_stage_names(dt_stage_listing *list, bool folds_case, dt_stage_name_changes *changes,
                         dt_error *err)
{
    dt_stage_index index;
    *changes = (dt_stage_name_changes){.first = -1};
    DT_TRY(name_each(list, changes, err));
    DT_TRY(dt_stage_index_create(list, folds_case, &index, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < list->n && status == DT_OK; i++)
        if (dt_stage_index_add(&index, i) >= 0) {
            note(changes, &changes->n_conflicts, i);
            status = rename_object(list, i, err);
            (void)dt_stage_index_add(&index, i);
        }
    if (status == DT_OK)
        status = separate_from_folders(list, &index, changes, err);
    dt_stage_index_free(&index);
    return status;
}
