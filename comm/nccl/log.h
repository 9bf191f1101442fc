/* log.h: NCCL's log, kept in memory.
 *
 *   dt_nccl_log_begin(&log);           before the first call of NCCL in this process
 *   ... create a communicator and make a sum ...
 *   text = dt_nccl_log_end(&log);      NULL: there is no log
 *   ... an error: dt_nccl_log_warnings(&log) ...
 *   dt_nccl_log_close(&log);
 *
 * Where the user has set NCCL_DEBUG or a related setting it stays, and the log goes where the user sends it.
 */
#ifndef DT_COMM_NCCL_LOG_H
#define DT_COMM_NCCL_LOG_H

#include <stdbool.h>

typedef struct dt_nccl_log {
    int fd;   /* of a file in memory; -1: none */
    bool set; /* dt_nccl_log_begin has set environment variables */
} dt_nccl_log;

enum { DT_NCCL_LOG_WARNINGS = 5 }; /* lines that dt_nccl_log_warnings prints at most */

/* Let NCCL write its log into a file in memory, by environment variables, unless the user has set one of
 * them. */
void dt_nccl_log_begin(dt_nccl_log *log);
/* Unset the variables again and return the log so far, or NULL. The caller frees it with dt_free. NCCL goes
 * on writing into the file. */
char *dt_nccl_log_end(dt_nccl_log *log);
/* Print the last warnings in the log as warnings of this program, oldest first. They say why NCCL failed more
 * exactly than its error codes do. */
void dt_nccl_log_warnings(const dt_nccl_log *log);
/* NCCL still writes into the file, which ends with the process. */
void dt_nccl_log_close(dt_nccl_log *log);

#endif
