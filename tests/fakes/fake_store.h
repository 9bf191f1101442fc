/* fake_store.h: a dt_store (core/store.h) in memory, shared by all ranks of a test. It copies what is
 * committed. */
#ifndef DTRAIN_TESTS_FAKE_STORE_H
#define DTRAIN_TESTS_FAKE_STORE_H

#include "core/store.h"

typedef struct fake_store_options {
    int64_t fail_commit_from; /* commits from the n-th on fail (1 is the first); 0: none */
    uint64_t fail_commits;    /* bit n: commit n fails (0 is the first) */
    double commit_s, shard_s; /* a commit takes so long, and the writing of a shard */
    int64_t fail_copies_of;   /* copy_shard of this rank's shard fails, by core/checkpoint/saver.c's names; 0:
                                 none, so rank 0's cannot */
    double copy_s;            /* a copy_shard takes so long */
} fake_store_options;

/* Thread-safe. Aborts the test program when out of memory. */
dt_store *fake_store_create(const fake_store_options *options);

/* Forget the checkpoints after `step`, as if the process had been killed before they were written. */
void fake_store_forget_after(dt_store *store, int64_t step);
int64_t fake_store_count(dt_store *store);   /* checkpoints that are there */
int64_t fake_store_commits(dt_store *store); /* so far, with those that replaced a checkpoint */

#endif
