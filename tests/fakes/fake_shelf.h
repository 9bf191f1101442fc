/* fake_shelf.h: a dt_store (core/store.h) that is only read, and whose checkpoints a test puts there as it
 * wants them: with shards missing, damaged, or of another attempt.
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
    uint64_t seed;       /* of the fake_state that it holds; another seed is another attempt, and
                                another identity */
    unsigned has;        /* bit i: shard i is there */
    unsigned damaged;    /* shard i has another hash */
    unsigned unreadable; /* it has the right one, but then read_shard fails */
    dt_status manifest;  /* DT_OK, or with what read_manifest fails */
} fake_checkpoint;

/* Called before an operation on a shard, in the thread that wants it. */
typedef void fake_shelf_hook(void *context, const char *operation, int64_t shard);

/* Thread-safe once all is put. Abort the test program when out of memory. */
dt_store *fake_shelf_create(const char *location);
void fake_shelf_put(dt_store *shelf, const fake_checkpoint *checkpoint);
void fake_shelf_set_hook(dt_store *shelf, fake_shelf_hook *hook, void *context);
int64_t fake_shelf_reads(dt_store *shelf); /* shards that were read so far */

#endif
