/* fake_shelf.h: a read-only dt_store (core/store.h). A test puts checkpoints into it, with shards that are
 * missing, damaged, or of another attempt.
 *
 *   dt_store *shelf = fake_shelf_create("nvme0");
 *   fake_shelf_put(shelf, &(fake_checkpoint){.step = 40, .n_shards = 4, .has = 0x3, .seed = 7});
 */
#ifndef DTRAIN_TESTS_FAKE_SHELF_H
#define DTRAIN_TESTS_FAKE_SHELF_H

#include "core/store.h"

typedef struct fake_checkpoint {
    int64_t step;
    int64_t n_shards;    /* at most 32 */
    uint64_t seed;       /* of its fake_state; another seed is another attempt, with another identity */
    unsigned has;        /* bit i: shard i is there */
    unsigned damaged;    /* shard i has another hash */
    unsigned unreadable; /* shard i has the right hash, but read_shard fails */
    bool not_finite;     /* its first element is NaN */
    dt_status manifest;  /* DT_OK, or the error that read_manifest returns */
} fake_checkpoint;

/* Called before an operation on a shard ("verify", "read"), in the thread that calls the store. */
typedef void fake_shelf_hook(void *context, const char *operation, int64_t shard);

/* Thread-safe after the last put. Aborts the test program when out of memory. */
dt_store *fake_shelf_create(const char *location);
void fake_shelf_put(dt_store *shelf, const fake_checkpoint *checkpoint);
void fake_shelf_set_hook(dt_store *shelf, fake_shelf_hook *hook, void *context);
int64_t fake_shelf_reads(dt_store *shelf); /* calls of read_shard so far, of shards that are whole */

#endif
