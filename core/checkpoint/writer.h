/* writer.h: a thread on each rank that makes checkpoints in a store, while the training goes
 * on. saver.h and mirror.h are what the training sees of it.
 *
 *   dt_writer_create(comm, &job, &writer, err);
 *   dt_writer_start(writer, &manifest);                     the thread makes this rank's shard
 *   ... steps, in which ranks vote with dt_writer_is_ready; when all are:
 *   dt_writer_exchange_shards(writer, INFINITY, err);                  all ranks know all shards now; the threads of
 *                                                           ranks that commit do so
 *   ... steps, the same vote; when all are ready again:
 *   dt_writer_finish(writer, INFINITY, &report, err);       what became of it
 *
 * A collective call of a rank that is not ready waits for its thread: nothing depends on the votes but that
 * nobody waits. Ranks learn of each other's shards by messages, so they need no folder in common. One rank
 * alone needs no seal.
 *
 * Only the thread calls the store between start and settle. Until a checkpoint is committed the older ones
 * stand, whatever happens.
 */
#ifndef DT_CORE_CHECKPOINT_WRITER_H
#define DT_CORE_CHECKPOINT_WRITER_H

#include "core/comm.h"
#include "core/store.h"

typedef struct dt_writer dt_writer;

typedef struct dt_writer_job {
    dt_store *store;
    bool commits;  /* this rank commits and removes older checkpoints */
    bool per_host; /* one rank of each host does, since the store is the host's own */
    int64_t keep;  /* checkpoints, at least 1; per host at least 2: while one host has committed and
                      another one has not, the one before is what counts */
    /* In the thread: make this rank's shard, and fill its entry. May change the manifest, in the same way on
     * all ranks. */
    dt_status (*make_shard)(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err);
    void *context;
} dt_writer_job;

typedef struct dt_writer_progress {
    bool pending;   /* start was called and settle has not yet told of it */
    bool committed; /* by this rank: it is a checkpoint under its final name */
    int64_t step;
    int64_t bytes;  /* of all shards, once it is sealed */
    double stall_s; /* that its start took from the training; filled by the caller */
    double write_s; /* of this rank's part, from start to its end, without the steps until the others were
                        ready */
} dt_writer_progress;

/* Local. Copies the job; borrows what it points to. DT_ERR_MEMORY. */
dt_status dt_writer_create(dt_comm *comm, const dt_writer_job *job, dt_writer **writer, dt_error *err);

/* Local; NULL is fine. Abandons what is being written: an unfinished checkpoint is left as it is for the next
 * start to clean; one that is sealed is committed. Waits for the call into the file system that is under
 * way. */
void dt_writer_destroy(dt_writer *writer);

/* Local; all ranks do it. Takes what the manifest owns and zeroes it; it has room for a shard of every rank.
 * Nothing is pending. */
void dt_writer_start(dt_writer *writer, dt_manifest *manifest, double stall_s);

/* Local, does not wait: would the next call of seal or settle not wait for this rank? False if nothing is
 * pending. */
bool dt_writer_is_ready(dt_writer *writer);
/* Settle is next, not seal. The same on all ranks, and true with one rank. */
bool dt_writer_has_exchanged(dt_writer *writer);

/* Collective; waits for shards, until dt_clock_s() is until_s at most. Nothing if it is sealed or nothing is
 * pending. What failed, settle tells: an error here is one of the communication. */
dt_status dt_writer_exchange_shards(dt_writer *writer, double until_s, dt_error *err);

/* Collective; seals if that was not done, and waits likewise. What became of the checkpoint: DT_OK, or on
 * every rank the error of the first rank that failed, after which nothing of it is left; DT_ERR_TIMEOUT when
 * it was not done by until_s (of any rank): then only destroy may follow. Nothing is pending afterwards.
 * *report may be NULL. */
dt_status dt_writer_finish(dt_writer *writer, double until_s, dt_writer_progress *report, dt_error *err);

/* Local, does not wait: how far it is. */
void dt_writer_poll(dt_writer *writer, dt_writer_progress *report);

/* Of the newest checkpoint, with all its shards, if it was settled and is whole; else NULL. Until the next
 * start. */
const dt_manifest *dt_writer_get_manifest(const dt_writer *writer);

#endif
