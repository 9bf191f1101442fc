/* writers.h: threads that write blocks to the target's files.
 *
 *   DT_TRY(dt_stage_writers_create(files, &plan, &writers, err));
 *   dt_stage_writers_add(writers, &(dt_stage_block){batch, memory, written, context});
 *   DT_TRY(dt_stage_writers_finish(writers, err));
 *   dt_stage_writers_destroy(writers);
 */
#ifndef DT_LAUNCH_STAGE_WRITERS_H
#define DT_LAUNCH_STAGE_WRITERS_H

#include "launch/stage/block.h"
#include "launch/stage/files.h"

typedef struct dt_stage_writers dt_stage_writers;

typedef struct dt_stage_block {
    int64_t batch;
    const char *memory;                                           /* until `written` is called */
    void (*written)(void *context, struct dt_stage_block *block); /* in any thread, also after an error */
    void *context, *owner;                                        /* the caller's */
    struct dt_stage_block *next;
} dt_stage_block;

/* Borrows both. DT_ERR_MEMORY. */
dt_status dt_stage_writers_create(dt_stage_files *files, const dt_stage_plan *plan,
                                  dt_stage_writers **writers, dt_error *err);

/* The block is the caller's again when `written` has been called. */
void dt_stage_writers_add(dt_stage_writers *writers, dt_stage_block *block);

/* DT_OK, or the first error; later blocks are not written. */
dt_status dt_stage_writers_status(dt_stage_writers *writers, dt_error *err);

/* Blocks until all have been written, then as status. */
dt_status dt_stage_writers_finish(dt_stage_writers *writers, dt_error *err);

void dt_stage_writers_destroy(dt_stage_writers *writers); /* writes what is left first; NULL is fine */

#endif
