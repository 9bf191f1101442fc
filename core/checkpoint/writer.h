/* writer.h: a thread on each rank that makes checkpoints in a store while training goes on. saver.h creates
 * the writer that saves the training's state, mirror.h the one that copies checkpoints to a second store.
 *
 *   dt_saver_create(&options, &writer, &memory, err);
 *   dt_writer_start(writer, &manifest, err);                 each rank's thread makes that rank's shard
 *   ... steps, in which ranks vote with dt_writer_is_ready; when all ranks are ready:
 *   dt_writer_exchange_shards(writer, INFINITY, err);        every rank now knows all shards; the threads of
 *                                                            the ranks that commit do so
 *   ... steps, with the same vote; when all ranks are ready again:
 *   dt_writer_finish(writer, INFINITY, &progress, err);      did it become a checkpoint?
 *
 * A collective call on a rank that is not ready waits for the rank's thread, so the votes only spare waiting.
 * Ranks learn of each other's shards by messages, so they need no common folder. A single rank needs no
 * exchange.
 *
 * Between start and finish only the thread calls the store. Until a checkpoint is committed, the older ones
 * stay, whatever happens.
 */
#ifndef DT_CORE_CHECKPOINT_WRITER_H
#define DT_CORE_CHECKPOINT_WRITER_H

#include "core/comm.h"
#include "core/store.h"

typedef struct dt_writer dt_writer;

/* What a writer does: saver.c and mirror.c fill it. The functions get `context`. */
typedef struct dt_writer_job {
    dt_store *store;
    bool begins;   /* this rank calls the store's begin, in dt_writer_start */
    bool commits;  /* this rank commits and removes older checkpoints */
    bool per_host; /* one rank of each host does, since the store is the host's own */
    int64_t keep;  /* checkpoints, at least 1; per host at least 2: while one host has committed and another
                      one has not, the checkpoint before is the newest that is whole */
    /* In the thread that calls dt_writer_start: completes the manifest, which the writer owns, and secures
     * what make_shard is going to read. NULL: the caller's manifest is complete. */
    dt_status (*prepare)(void *context, dt_manifest *manifest, dt_error *err);
    /* In the writer's thread: makes this rank's shard and fills its entry. May change the manifest's scalars,
     * in the same way on all ranks. */
    dt_status (*make_shard)(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err);
    void (*abandon)(void *context); /* from any thread: make_shard is to return soon; NULL: it does anyway */
    void (*destroy)(void *context); /* NULL: the creator keeps the context */
    void *context;
} dt_writer_job;

typedef struct dt_writer_progress {
    bool pending;   /* started and not finished yet */
    bool committed; /* by this rank: it is a checkpoint under its final name */
    int64_t step;
    int64_t bytes;  /* of all shards, once they are exchanged */
    double stall_s; /* that dt_writer_start took */
    double write_s; /* that this rank's part took, from start to its end, without the steps in which it waited
                       for other ranks */
} dt_writer_progress;

/* Local. Copies the job, and owns its context from here on, also on failure; borrows the rest.
 * DT_ERR_MEMORY. */
dt_status dt_writer_create(dt_comm *comm, const dt_writer_job *job, dt_writer **writer, dt_error *err);

/* Local; NULL is fine. Abandons what is being written: an unfinished checkpoint is left for the next start to
 * clean; one whose shards are exchanged is committed. Waits for the file system call that is under way. */
void dt_writer_destroy(dt_writer *writer);

/* Collective. Starts the checkpoint that `manifest` describes; copies the manifest. Nothing may be pending.
 * Work that is under way on the device may go on. Every rank returns the same; after an error nothing is
 * pending and nothing is left in the store. */
dt_status dt_writer_start(dt_writer *writer, const dt_manifest *manifest, dt_error *err);

/* Local, does not wait. Would the next call of exchange_shards or finish return without waiting for this
 * rank's thread? False if nothing is pending. */
bool dt_writer_is_ready(dt_writer *writer);
/* The next call is finish, not exchange_shards. The same on all ranks; always true with a single rank. */
bool dt_writer_has_exchanged(dt_writer *writer);

/* Collective. Waits for the shards, until dt_clock_s() reaches until_s at most. Does nothing if they are
 * exchanged or nothing is pending. Returns errors of the communication only; dt_writer_finish returns what
 * failed in a shard. */
dt_status dt_writer_exchange_shards(dt_writer *writer, double until_s, dt_error *err);

/* Collective. Exchanges shards if that was not done, and waits until until_s at most. DT_OK: it is a
 * checkpoint. Otherwise every rank returns the error of the first rank that failed, and nothing of the
 * checkpoint is left; or DT_ERR_TIMEOUT if some rank was not done by its until_s: then the caller may only
 * destroy the writer. Nothing is pending afterwards. *progress may be NULL. */
dt_status dt_writer_finish(dt_writer *writer, double until_s, dt_writer_progress *progress, dt_error *err);

/* Local, does not wait: how far the newest checkpoint is. */
void dt_writer_poll(dt_writer *writer, dt_writer_progress *progress);

/* The manifest of the newest checkpoint, with all its shards, if it has finished and is whole; else NULL.
 * Valid until the next start. */
const dt_manifest *dt_writer_get_manifest(const dt_writer *writer);

#endif
