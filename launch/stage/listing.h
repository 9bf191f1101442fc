/* listing.h: the objects of a source, in the order of their keys; one listing serves a whole job.
 *
 *   dt_stage_listing list = {0};
 *   DT_TRY(dt_stage_listing_add(&list, "train/cat/1.jpg", 4711, "\"5d41...\"", err));
 *   DT_TRY(dt_stage_listing_broadcast(&list, comm, 0, err));
 *   dt_stage_text(&list, list.objects[0].key)
 *   dt_stage_listing_free(&list);
 *
 * Texts lie in one block and are named by their position in it, so that a listing of a million objects is
 * sent in two messages.
 */
#ifndef DT_LAUNCH_STAGE_LISTING_H
#define DT_LAUNCH_STAGE_LISTING_H

#include "core/comm.h"
#include "launch/cloud/object_checksum.h"

#include <stdbool.h>
#include <stdint.h>

/* Larger objects are read, sent and recorded in parts of so many bytes. Written in journals: a journal of
 * another size is not understood. */
#define DT_STAGE_PART_BYTES ((int64_t)8 << 20)

typedef struct dt_stage_object {
    int64_t key;  /* text: of S3, the whole key; a path below the source's folder; an address */
    int64_t path; /* text: below the target; dt_stage_names sets it */
    int64_t etag; /* text: of this version; "" if the source does not say */
    int64_t bytes;
    int64_t first_part; /* of a large object: number of its first part among those of all; -1: it has none */
    bool has_sum;       /* of a large object: the source has said a checksum of all of it */
    dt_object_checksum sum;
} dt_stage_object;

typedef struct dt_stage_listing {
    dt_stage_object *objects;
    int64_t n, capacity;
    char *text;
    int64_t text_bytes, text_capacity;
    int64_t n_parts; /* of all large objects */
    int64_t bytes;   /* of all objects */
    /* What paths are made of: keys without their first prefix_bytes, and addresses without their query. */
    int64_t prefix_bytes;
    bool has_addresses;
} dt_stage_listing;

/* Appends; copies the texts. etag NULL: "". DT_ERR_MEMORY; DT_ERR_FORMAT: an impossible size. */
dt_status dt_stage_listing_add(dt_stage_listing *list, const char *key, int64_t bytes, const char *etag,
                               dt_error *err);

/* Appends a text; *at is its position. DT_ERR_MEMORY. */
dt_status dt_stage_listing_add_text(dt_stage_listing *list, const char *text, int64_t *at, dt_error *err);

/* Valid until the next text is added. */
static inline const char *dt_stage_text(const dt_stage_listing *list, int64_t at)
{
    return list->text + at;
}

/* How many parts an object has: 0 for one that is read as a whole. */
int64_t dt_stage_parts_of(const dt_stage_object *object);

/* Collective. All ranks get root's listing; the others' are empty before. Errors of the communicator;
 * DT_ERR_MEMORY, which all ranks return. */
dt_status dt_stage_listing_broadcast(dt_stage_listing *list, dt_comm *comm, int root, dt_error *err);

void dt_stage_listing_free(dt_stage_listing *list); /* a zeroed one is fine */

/* 64 bits of a text, the same on all machines. */
uint64_t dt_stage_hash(const char *text);

/* -- objects by path --------------------------------------------------------------------------------------
 */

/* A table from texts to numbers. Borrows the texts' block: list->text may grow, but not shrink. */
typedef struct dt_stage_index {
    const dt_stage_listing *list;
    int64_t *slots; /* object + 1; 0: free */
    int64_t n_slots;
    bool folds_case; /* letters A to Z count as a to z */
} dt_stage_index;

/* DT_ERR_MEMORY. */
dt_status dt_stage_index_create(const dt_stage_listing *list, bool folds_case, dt_stage_index *index,
                                dt_error *err);
void dt_stage_index_free(dt_stage_index *index);
/* Adds an object by its path. Returns the object that has this path already, or -1 after adding. */
int64_t dt_stage_index_add(dt_stage_index *index, int64_t object);
/* The object with this path (its first n bytes); -1: none. */
int64_t dt_stage_index_find(const dt_stage_index *index, const char *path, size_t n);

#endif
