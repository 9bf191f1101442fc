#include "launch/estimate/json_reader.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "core/base/json_limit.h"
#include "launch/options/suggest.h"

#include <stdio.h>
#include <string.h>

enum { LARGEST_FILE = 8 << 20, MOST_VALUES = 200000, DEEPEST = 16, LONGEST_TEXT = 1000 };

/* ---- The line of a value: a walk through text that is known to be valid JSON. ---- */

struct walk {
    const char *p;
    int line;
};

static void skip_space(struct walk *walk)
{
    for (; *walk->p == ' ' || *walk->p == '\t' || *walk->p == '\r' || *walk->p == '\n'; walk->p++)
        walk->line += *walk->p == '\n';
}

static void skip_string(struct walk *walk)
{
    for (walk->p++; *walk->p != '"'; walk->p++)
        if (*walk->p == '\\')
            walk->p++;
    walk->p++;
}

static void skip_value(struct walk *walk)
{
    int depth = 0;
    do {
        skip_space(walk);
        if (*walk->p == '"') {
            skip_string(walk);
        } else if (*walk->p == '{' || *walk->p == '[') {
            depth++;
            walk->p++;
        } else if (*walk->p == '}' || *walk->p == ']') {
            depth--;
            walk->p++;
        } else if (*walk->p == ',' || *walk->p == ':') {
            walk->p++;
        } else {
            walk->p += strcspn(walk->p, " \t\r\n,]}");
        }
    } while (depth > 0);
}

/* From a value to the member or element number `index` in it: to the key of a member. */
static void enter(struct walk *walk, int index)
{
    const bool is_object = *walk->p == '{';
    walk->p++;
    for (int i = 0; i < index; i++) {
        skip_space(walk);
        if (is_object) {
            skip_string(walk);
            skip_space(walk);
            walk->p++; /* the colon */
        }
        skip_value(walk);
        skip_space(walk);
        walk->p++; /* the comma */
    }
    skip_space(walk);
}

/* From the key of a member to its value; an element is there already. */
static void pass_key(struct walk *walk, const dt_json_place *place)
{
    if (!place->key)
        return;
    skip_string(walk);
    skip_space(walk);
    walk->p++;
    skip_space(walk);
}

/* Leaves the walk at the key of the place's value, or at the value where it has none. */
static void go_to(const dt_json_place *place, struct walk *walk)
{
    if (!place->parent) {
        *walk = (struct walk){.p = place->file->text, .line = 1};
        skip_space(walk);
        return;
    }
    go_to(place->parent, walk);
    if (place->index < 0)
        return;
    pass_key(walk, place->parent);
    enter(walk, place->index);
}

int dt_json_line(const dt_json_place *place)
{
    struct walk walk;
    go_to(place, &walk);
    return walk.line;
}

dt_status dt_json_fail(const dt_json_place *place, dt_error *err, const char *format, ...)
{
    char words[DT_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    return dt_fail(err, DT_ERR_USAGE, "%s:%d: %s", place->file->name, dt_json_line(place), words);
}

/* ---- Files ---- */

static dt_status parse(const char *name, char *text, size_t bytes, dt_json_file *file, dt_error *err)
{
    json_error_t error;
    dt_error limit = {0};
    if (dt_json_limit(text, (int64_t)bytes, MOST_VALUES, DEEPEST, &limit) != DT_OK)
        return dt_fail(err, DT_ERR_USAGE, "%s: %s", name, limit.message);
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!root && strstr(error.text, "JSON_ALLOW_NUL")) /* the library's words for its callers */
        return dt_fail(err, DT_ERR_USAGE, "%s:%d: a text has the character \\u0000", name, error.line);
    if (!root)
        return dt_fail(err, DT_ERR_USAGE, "%s:%d: %s", name, error.line, error.text);
    *file = (dt_json_file){.name = name, .text = text, .root = root};
    return DT_OK;
}

dt_status dt_json_text_open(const char *name, const char *text, dt_json_file *file, dt_error *err)
{
    char *copy = dt_strdup(text);
    if (!copy)
        return dt_fail_memory(err, strlen(text), name);
    dt_status status = parse(name, copy, strlen(copy), file, err);
    if (status != DT_OK)
        dt_free(copy);
    return status;
}

dt_status dt_json_file_open(const char *path, dt_json_file *file, dt_error *err)
{
    FILE *f = NULL;
    if (dt_file_open_stream(path, &f, err) != DT_OK)
        return err ? err->status = DT_ERR_USAGE : DT_ERR_USAGE;
    char *text = dt_alloc(LARGEST_FILE + 1);
    size_t n = text ? fread(text, 1, LARGEST_FILE + 1, f) : 0;
    const bool is_read = !ferror(f);
    (void)fclose(f);
    dt_status status;
    if (!text)
        return dt_fail_memory(err, LARGEST_FILE, path);
    if (!is_read)
        status = dt_fail(err, DT_ERR_USAGE, "%s: cannot be read", path);
    else if (n > LARGEST_FILE)
        status = dt_fail(err, DT_ERR_USAGE, "%s: larger than %d MiB", path, LARGEST_FILE >> 20);
    else if (memchr(text, 0, n))
        status = dt_fail(err, DT_ERR_USAGE, "%s: has a byte 0; this is no JSON", path);
    else {
        /* Some editors begin a file with these three bytes. */
        const size_t mark = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        memmove(text, text + mark, n -= mark);
        text[n] = 0;
        status = parse(path, text, n, file, err);
    }
    if (status != DT_OK)
        dt_free(text);
    return status;
}

void dt_json_file_close(dt_json_file *file)
{
    json_decref(file->root);
    dt_free(file->text);
    *file = (dt_json_file){0};
}

/* ---- Places ---- */

dt_json_place dt_json_root(const dt_json_file *file)
{
    return (dt_json_place){.file = file, .value = file->root};
}

/* jansson keeps the members in the order of the text. */
dt_json_place dt_json_member(const dt_json_place *object, const char *key)
{
    dt_json_place place = {.file = object->file, .parent = object, .index = -1, .key = key};
    json_t *all = (json_t *)object->value; /* json_object_iter has no const; it changes nothing */
    int index = 0;
    for (void *at = json_object_iter(all); at; at = json_object_iter_next(all, at), index++)
        if (strcmp(json_object_iter_key(at), key) == 0) {
            place.index = index;
            place.value = json_object_iter_value(at);
        }
    return place;
}

dt_json_place dt_json_member_at(const dt_json_place *object, int index)
{
    json_t *all = (json_t *)object->value;
    void *at = json_object_iter(all);
    for (int i = 0; at && i < index; i++)
        at = json_object_iter_next(all, at);
    return dt_json_member(object, at ? json_object_iter_key(at) : "");
}

dt_json_place dt_json_element(const dt_json_place *array, int index)
{
    const json_t *value = json_array_get(array->value, (size_t)index);
    return (dt_json_place){.file = array->file, .parent = array, .index = value ? index : -1, .value = value};
}

int dt_json_length(const dt_json_place *place)
{
    return (int)(json_is_object(place->value) ? json_object_size(place->value)
                                              : json_array_size(place->value));
}

/* ---- Checks ---- */

/* "\"usd_h\"", or what else names a place in a message. */
static const char *name_of(const dt_json_place *place, char *name, size_t bytes)
{
    if (place->key)
        snprintf(name, bytes, "\"%s\"", place->key);
    else
        snprintf(name, bytes, place->parent ? "this" : "the file");
    return name;
}

dt_status dt_json_check_keys(const dt_json_place *object, const char *const *keys, dt_error *err)
{
    char name[80];
    if (!json_is_object(object->value))
        return dt_json_fail(object, err, "%s is not an object, { ... }", name_of(object, name, sizeof name));
    for (int i = 0; i < dt_json_length(object); i++) {
        const dt_json_place member = dt_json_member_at(object, i);
        int k = 0;
        while (keys[k] && strcmp(keys[k], member.key) != 0)
            k++;
        if (keys[k])
            continue;
        const char *meant = dt_suggest(member.key, keys);
        return dt_json_fail(&member, err, "\"%s\" is no known key%s%s%s", member.key,
                            meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
    }
    return DT_OK;
}

dt_status dt_json_check_array(const dt_json_place *array, dt_error *err)
{
    char name[80];
    if (!json_is_array(array->value))
        return dt_json_fail(array, err, "%s is %s", name_of(array, name, sizeof name),
                            array->value ? "not an array, [ ... ]" : "missing");
    return DT_OK;
}

static dt_status missing(const dt_json_place *member, const char *kind, dt_error *err)
{
    return dt_json_fail(member, err, "\"%s\" is %s%s", member->key,
                        member->value ? "not " : "missing; it is ", kind);
}

dt_status dt_json_get_number(const dt_json_place *object, const char *key, double *number, dt_error *err)
{
    const dt_json_place member = dt_json_member(object, key);
    if (!json_is_number(member.value))
        return missing(&member, "a number", err);
    *number = json_number_value(member.value);
    return DT_OK;
}

dt_status dt_json_check_range(const dt_json_place *member, double number, double least, double most,
                              dt_error *err)
{
    if (number >= least && number <= most)
        return DT_OK;
    return dt_json_fail(member, err, "\"%s\" is %g; it must be from %.15g to %.15g", member->key, number,
                        least, most);
}

dt_status dt_json_get_int(const dt_json_place *object, const char *key, int least, int most, int *number,
                          dt_error *err)
{
    const dt_json_place member = dt_json_member(object, key);
    char kind[80];
    snprintf(kind, sizeof kind, "an integer from %d to %d", least, most);
    if (!json_is_integer(member.value) || json_integer_value(member.value) < least ||
        json_integer_value(member.value) > most)
        return missing(&member, kind, err);
    *number = (int)json_integer_value(member.value);
    return DT_OK;
}

dt_status dt_json_get_text(const dt_json_place *object, const char *key, const char **text, dt_error *err)
{
    const dt_json_place member = dt_json_member(object, key);
    const size_t length = json_is_string(member.value) ? json_string_length(member.value) : 0;
    if (length == 0 || length > LONGEST_TEXT)
        return missing(&member, "a text of 1 to 1000 bytes", err);
    *text = json_string_value(member.value);
    return DT_OK;
}
