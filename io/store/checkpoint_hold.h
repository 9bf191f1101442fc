/* checkpoint_hold.h: keeps a checkpoint in place while a process that is not its run reads it.
 *
 *   dt_checkpoint_hold hold;
 *   dt_checkpoint_hold_begin(&hold, "runs/demo/checkpoints", step);
 *   ... read its files by their paths ...
 *   if (failed && dt_checkpoint_hold_was_removed(&hold)) ... it is not damaged, it is gone
 *   dt_checkpoint_hold_end(&hold);
 *
 * The reader has a shared lock of the kernel (flock) on the checkpoint's folder, which ends with the process.
 * Pruning asks for it (checkpoint_prune.h). Nothing is written, so that the right to read the folder is
 * enough. Where such locks do not work, or not between hosts (NFS), a checkpoint can be removed
 * nevertheless, and the second question is the only one that helps.
 */
#ifndef DT_IO_STORE_CHECKPOINT_HOLD_H
#define DT_IO_STORE_CHECKPOINT_HOLD_H

#include "io/durable.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_checkpoint_hold {
    char path[DT_DURABLE_PATH_BYTES]; /* of the checkpoint's folder; "": too long */
    int fd;                           /* -1: it could not be opened */
} dt_checkpoint_hold;

/* Does not block, and cannot fail: without the lock, reading goes on. */
void dt_checkpoint_hold_begin(dt_checkpoint_hold *hold, const char *folder, int64_t step);

/* Whether there is no folder of this name any more, or another one. */
bool dt_checkpoint_hold_was_removed(const dt_checkpoint_hold *hold);

void dt_checkpoint_hold_end(dt_checkpoint_hold *hold);

/* Whether a reader holds the folder that is open as `fd`. False: until fd is closed, no reader gets it. */
bool dt_checkpoint_is_held(int fd);

#endif
