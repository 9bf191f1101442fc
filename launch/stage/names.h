/* names.h: where each object goes below the target: its key where that is a path, else a safe name beside it.
 *
 *   dt_stage_name_changes changes;
 *   DT_TRY(dt_stage_names(&list, folds_case, &changes, err));         sets object.path of all
 *
 * A key may hold any bytes, a path of a file not. No path leads out of the target, none is absolute, none has
 * an empty part, "." or "..", and no two objects have the same path:
 *
 *   key                                         path
 *   an empty part, as in a//b or /a             %2F in its place: a/%2F/b
 *   a part "." or ".."                          %2E, %2E%2E
 *   a control character, a newline              %0A and so on
 *   a part longer than 255 bytes                its beginning, ~, 16 digits of the key's hash, its extension
 *   a and a/b                                   the file a becomes a~HASH, the folder keeps its name
 *   two keys with one path, also A and a        the second one becomes NAME~HASH.jpg
 *   on a disk that does not tell these apart
 *   .dtrain-stage/...                           %2Edtrain-stage/..., since that folder is dtrain's own
 *
 * All other bytes stay: blanks, &, %, UTF-8.
 */
#ifndef DT_LAUNCH_STAGE_NAMES_H
#define DT_LAUNCH_STAGE_NAMES_H

#include "launch/stage/listing.h"

#include <stddef.h>

#define DT_STAGE_OWN_FOLDER ".dtrain-stage" /* in the target: the journal, unfinished files */
#define DT_STAGE_PATH_BYTES 3584 /* of a path below the target, with its zero: 1,024 bytes, escaped */

typedef struct dt_stage_name_changes {
    int64_t n_escaped, n_shortened, n_conflicts; /* objects; an object may count twice */
    int64_t first;                               /* object; -1: none was changed */
} dt_stage_name_changes;

/* The path of one key by itself. *escaped, *shortened: whether it differs in that way. */
void dt_stage_path(const char *key, char path[DT_STAGE_PATH_BYTES], bool *escaped, bool *shortened);

/* Sets the path of all objects. folds_case: the target's disk does not tell A from a. DT_ERR_MEMORY;
 * DT_ERR_USAGE: a name of more than 3,583 bytes. */
dt_status dt_stage_names(dt_stage_listing *list, bool folds_case, dt_stage_name_changes *changes,
                         dt_error *err);

#endif
