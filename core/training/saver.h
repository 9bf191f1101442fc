/* saver.h: writes generations of checkpoints while the training goes on.
 *
 *   dt_saver_create(comm, store, layout, &io, keep, &saver, err);
 *   dt_saver_start(saver, &manifest, err);           a copy of this rank's share is made; a thread writes it
 *   ... steps ...
 *   dt_saver_settle(saver, &report, err);            before the next one, and at the end: did it become a generation?
 *
 * start has this rank's share of the state copied to host memory of the saver's own (snapshot.h), and returns; on a GPU the copy is still under way then.
 * One thread on each rank does the rest: waits for the copy, shard, fsync, hash. Ranks tell rank 0's thread that their shard is on the disk through small files beside the
 * shards (dt_store_ops.tell_shard), so no collective is needed for a generation to be committed: that thread writes the manifest, renames,
 * and removes older generations. Ranks learn what became of it in settle, which is collective; start settles nothing by itself.
 *
 * Only the saver's thread calls the store between start and settle. Until a generation is committed the older ones stand, whatever
 * happens.
 */
#ifndef DT_CORE_TRAINING_SAVER_H
#define DT_CORE_TRAINING_SAVER_H

#include "core/comm.h"
#include "core/store.h"
#include "core/training/snapshot.h"

typedef struct dt_saver dt_saver;

typedef struct dt_saver_report {
    bool pending;    /* start was called and settle has not yet told of it */
    bool committed;  /* rank 0: it is a generation under its final name */
    int64_t step;
    int64_t bytes;   /* of all shards; rank 0 */
    double stall_s;  /* that start took from the training */
    double write_s;  /* from start to the commit; rank 0 (other ranks: to the end of their shard) */
} dt_saver_report;

/* Local. Borrows everything; layout and what io->places points to must stay. Memory for the copy of the state is taken here. Where io->places has step_state, a
 * manifest's loss scale and its counts come from there, and where it has loss, a state whose loss is not finite does not become a generation. */
dt_status dt_saver_create(dt_comm *comm, dt_store *store, const dt_state_layout *layout, const dt_state_io *io, int64_t keep, dt_saver **saver, dt_error *err);

/* Local. Abandons what is being written: an unfinished generation is left as a .tmp folder for the next start to clean, or, if it was
 * being committed just then, committed. Waits for the call into the file system that is under way. */
void dt_saver_destroy(dt_saver *saver);

/* Collective. The caller fills the manifest's scalars and config_text; on success the saver takes what it owns and zeroes it. Nothing may be
 * pending. What is under way on the device may go on. Every rank returns the same; after an error nothing is pending and nothing is left on the disk. */
dt_status dt_saver_start(dt_saver *saver, dt_manifest *manifest, dt_error *err);

/* Collective; waits. What became of the generation that is pending: DT_OK, or on every rank the error of the first rank that failed
 * (DT_ERR_IO, DT_ERR_MEMORY ...), after which nothing of it is left. Nothing is pending afterwards. *report may be NULL. */
dt_status dt_saver_settle(dt_saver *saver, dt_saver_report *report, dt_error *err);

/* Local, does not wait: how far it is. */
void dt_saver_look(dt_saver *saver, dt_saver_report *report);

/* Memory that the snapshot takes on this rank. */
dt_snapshot_memory dt_saver_snapshot_memory(const dt_saver *saver);

#endif
