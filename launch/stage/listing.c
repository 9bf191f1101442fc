#include "config.h"

#include "launch/stage/listing.h"

#include "core/base/alloc.h"
#include "core/collective/agreement.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((int64_t)1 << 50) /* of an object; S3's largest have some TB */

/* -- building one ---------------------------------------------------------------------------------------- */

dt_status dt_stage_listing_add_text(dt_stage_listing *list, const char *text, int64_t *at, dt_error *err)
{
    const int64_t bytes = (int64_t)strlen(text) + 1;
    if (list->text_bytes + bytes > list->text_capacity) {
        const int64_t capacity = (list->text_bytes + bytes) * 2 + 4096;
        char *grown = dt_realloc(list->text, (size_t)list->text_capacity, (size_t)capacity);
        if (!grown)
            return dt_fail_memory(err, (size_t)capacity, "the names of the objects");
        list->text = grown;
        list->text_capacity = capacity;
    }
    memcpy(list->text + list->text_bytes, text, (size_t)bytes);
    *at = list->text_bytes;
    list->text_bytes += bytes;
    return DT_OK;
}

static dt_status make_space(dt_stage_listing *list, dt_error *err)
{
    if (list->n < list->capacity)
        return DT_OK;
    const int64_t capacity = list->capacity * 2 + 64;
    const size_t each = sizeof *list->objects;
    dt_stage_object *grown =
        dt_realloc(list->objects, (size_t)list->capacity * each, (size_t)capacity * each);
    if (!grown)
        return dt_fail_memory(err, (size_t)capacity * each, "the list of objects");
    list->objects = grown;
    list->capacity = capacity;
    return DT_OK;
}

int64_t dt_stage_parts_of(const dt_stage_object *object)
{
    return object->bytes > DT_STAGE_PART_BYTES
               ? (object->bytes + DT_STAGE_PART_BYTES - 1) / DT_STAGE_PART_BYTES
               : 0;
}

dt_status dt_stage_listing_add(dt_stage_listing *list, const char *key, int64_t bytes, const char *etag,
                               dt_error *err)
{
    dt_stage_object object;
    if (bytes < 0 || bytes > MAX_BYTES)
        return dt_fail(err, DT_ERR_FORMAT, "%s: the source says that it has %lld bytes", key,
                       (long long)bytes);
    memset(&object, 0, sizeof object); /* all of it is sent to other ranks */
    object.bytes = bytes;
    object.path = -1;
    object.first_part = -1;
    DT_TRY(make_space(list, err));
    DT_TRY(dt_stage_listing_add_text(list, key, &object.key, err));
    DT_TRY(dt_stage_listing_add_text(list, etag ? etag : "", &object.etag, err));
    const int64_t n_parts = dt_stage_parts_of(&object);
    if (n_parts > 0)
        object.first_part = list->n_parts;
    list->n_parts += n_parts;
    list->bytes += bytes;
    list->objects[list->n++] = object;
    return DT_OK;
}

void dt_stage_listing_free(dt_stage_listing *list)
{
    dt_free(list->objects);
    dt_free(list->text);
    *list = (dt_stage_listing){0};
}

dt_status dt_stage_listing_broadcast(dt_stage_listing *list, dt_comm *comm, int root, dt_error *err)
{
    int64_t head[] = {list->n,     list->text_bytes,   list->n_parts,
                      list->bytes, list->prefix_bytes, list->has_addresses};
    dt_status status = DT_OK;
    if (comm->size == 1)
        return DT_OK;
    DT_TRY(comm->ops->broadcast(comm, head, sizeof head, root, err));
    const size_t objects_bytes = (size_t)head[0] * sizeof *list->objects;
    if (comm->rank != root) {
        list->objects = dt_alloc(objects_bytes);
        list->text = dt_alloc((size_t)head[1]);
        list->n = list->capacity = head[0];
        list->text_bytes = list->text_capacity = head[1];
        list->n_parts = head[2];
        list->bytes = head[3];
        list->prefix_bytes = head[4];
        list->has_addresses = head[5] != 0;
        if (!list->objects || !list->text)
            status = dt_fail_memory(err, objects_bytes + (size_t)head[1], "the list of objects");
    }
    DT_TRY(dt_agree(comm, status, err));
    DT_TRY(comm->ops->broadcast(comm, list->objects, (int64_t)objects_bytes, root, err));
    return comm->ops->broadcast(comm, list->text, head[1], root, err);
}

/* -- objects by path ------------------------------------------------------------------------------------- */

static unsigned char folded(unsigned char c, bool folds_case)
{
    return folds_case && c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

/* FNV-1a, and a last mixing, since tables use the low bits. */
static uint64_t hash_of(const char *text, size_t n, bool folds_case)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ folded((unsigned char)text[i], folds_case)) * 0x100000001b3ULL;
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 29;
}

uint64_t dt_stage_hash(const char *text)
{
    return hash_of(text, strlen(text), false);
}

static bool same_text(const char *a, const char *b, size_t n, bool folds_case)
{
    for (size_t i = 0; i < n; i++)
        if (folded((unsigned char)a[i], folds_case) != folded((unsigned char)b[i], folds_case) || !a[i])
            return false;
    return a[n] == '\0';
}

dt_status dt_stage_index_create(const dt_stage_listing *list, bool folds_case, dt_stage_index *index,
                                dt_error *err)
{
    int64_t n_slots = 64;
    while (n_slots < 2 * list->n)
        n_slots *= 2;
    *index = (dt_stage_index){.list = list, .n_slots = n_slots, .folds_case = folds_case};
    index->slots = dt_calloc((size_t)n_slots, sizeof *index->slots);
    return index->slots ? DT_OK
                        : dt_fail_memory(err, (size_t)n_slots * sizeof *index->slots, "a table of paths");
}

void dt_stage_index_free(dt_stage_index *index)
{
    dt_free(index->slots);
    *index = (dt_stage_index){0};
}

/* The slot of a path, or the free one where it belongs. */
static int64_t *slot_of(const dt_stage_index *index, const char *path, size_t n)
{
    const dt_stage_listing *list = index->list;
    int64_t i = (int64_t)(hash_of(path, n, index->folds_case) & (uint64_t)(index->n_slots - 1));
    while (index->slots[i]) {
        const dt_stage_object *o = &list->objects[index->slots[i] - 1];
        if (same_text(dt_stage_text(list, o->path), path, n, index->folds_case))
            break;
        i = (i + 1) & (index->n_slots - 1);
    }
    return &index->slots[i];
}

int64_t dt_stage_index_add(dt_stage_index *index, int64_t object)
{
    const char *path = dt_stage_text(index->list, index->list->objects[object].path);
    int64_t *slot = slot_of(index, path, strlen(path));
    if (*slot)
        return *slot - 1;
    *slot = object + 1;
    return -1;
}

int64_t dt_stage_index_find(const dt_stage_index *index, const char *path, size_t n)
{
    return *slot_of(index, path, n) - 1;
}
