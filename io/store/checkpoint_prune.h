/* checkpoint_prune.h: replaces and removes checkpoints' folders.
 *
 *   dt_pruner p = {.folder = "runs/demo/checkpoints"};
 *   DT_TRY(dt_pruner_prune(&p, step, keep, err));
 *   dt_pruner_clear(&p);
 *
 * What is removed is dtrain's, and nothing else:
 *   - a folder itself, never a link to one: what a user linked in stays, and so does the link;
 *   - in it, regular files with exactly the names that dtrain writes (manifest.json,
 *     shard-0000-of-0002.h5), and of these only what a valid manifest lists. With a damaged manifest, or
 *     none, the names alone decide. A file with several names (a hard link) loses the name in this folder;
 *   - nothing of a checkpoint that a newer dtrain wrote.
 * A folder in which other files remain keeps its name, and is no checkpoint any more. A warning names it,
 * once for each pruner. Of the older checkpoints that are due, the newest that another process reads
 * (checkpoint_hold.h) stays until a later pruning; only one, so that readers do not fill the disk. No failure
 * keeps the other folders from being removed.
 *
 * Functions are local and block. Errors: DT_ERR_IO, DT_ERR_MEMORY; DT_ERR_USAGE if a path is too long.
 */
#ifndef DT_IO_STORE_CHECKPOINT_PRUNE_H
#define DT_IO_STORE_CHECKPOINT_PRUNE_H

#include "core/guard.h"

#include <stdint.h>

typedef struct dt_pruner {
    const char *folder;    /* borrowed */
    const dt_guard *guard; /* borrowed; asked before each folder is renamed or removed; NULL: none */
    char (*reported)[48];  /* names of the folders that a warning has named */
    int64_t n_reported;
} dt_pruner;

void dt_pruner_clear(dt_pruner *pruner);

/* Remove what is dtrain's in the folder of `step` with this suffix, and the folder if nothing else is in
 * it. No folder, or one that stays for the reasons above: DT_OK. */
dt_status dt_pruner_remove(dt_pruner *pruner, int64_t step, const char *suffix, dt_error *err);

/* Remove all folders with the suffix ".tmp" or ".old". Returns the first error. */
dt_status dt_pruner_clean(dt_pruner *pruner, dt_error *err);

/* As clean, then as prune in core/store.h. Linked folders are not counted. Returns the first error. */
dt_status dt_pruner_prune(dt_pruner *pruner, int64_t step, int64_t keep, dt_error *err);

/* Rename the folder of `step` with the suffix ".tmp" to its final name, and fsync the folder above. If a
 * checkpoint has that name, the names are exchanged in one step, and the replaced one is removed after the
 * fsync. Where names cannot be exchanged, a rename that fails gives the old checkpoint its name back. */
dt_status dt_pruner_put_in_place(dt_pruner *pruner, int64_t step, dt_error *err);

#endif
