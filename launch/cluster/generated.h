/* generated.h: files that `dtrain cluster` writes and its user may edit. Each ends with a line that has a
 * checksum of all before it. dtrain replaces a file only if this checksum is right. A file without that line,
 * or with another checksum, was edited by the user or is not dtrain's.
 *
 *   char *text = NULL;
 *   DT_TRY(dt_generated_add_checksum(document, &text, err));
 *   DT_TRY(dt_generated_check("--output", "cluster.yaml", text, &state, err));    before anything is written
 *   if (state != DT_GENERATED_SAME) DT_TRY(dt_generated_write("--output", "cluster.yaml", text, err));
 *   dt_free(text);
 *
 * Local.
 */
#ifndef DT_LAUNCH_CLUSTER_GENERATED_H
#define DT_LAUNCH_CLUSTER_GENERATED_H

#include "core/base/error.h"

typedef enum dt_generated_state {
    DT_GENERATED_NEW,     /* there is no such file */
    DT_GENERATED_SAME,    /* it has this text already */
    DT_GENERATED_REPLACED /* dtrain wrote what is there, and the user has not changed it */
} dt_generated_state;

/* Adds the last line, a comment of YAML and of shells. `text` ends with a newline, or is empty. The caller
 * frees *whole with dt_free. DT_ERR_MEMORY. */
dt_status dt_generated_add_checksum(const char *text, char **whole, dt_error *err);

/* What is at `path`. DT_ERR_USAGE: a file that must not be replaced, with the reason and what to do;
 * DT_ERR_IO: it cannot be read. `what` begins the message: "--output". */
dt_status dt_generated_check(const char *what, const char *path, const char *whole, dt_generated_state *state,
                             dt_error *err);

/* Writes the file, as a whole or not at all (io/replace.h). DT_ERR_IO, DT_ERR_USAGE. */
dt_status dt_generated_write(const char *what, const char *path, const char *whole, dt_error *err);

#endif
