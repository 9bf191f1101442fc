/* waits.h: what all long waits of the program have in common: they end on a request to stop, another thread
 * can report what the main thread waits for, and the exit does not wait for a thread that a dead disk holds.
 *
 *   dt_waits_begin("listing %s", folder);              the main thread may hang here
 *   for (...)
 *       DT_TRY(dt_waits_check("listing the images", err));
 *   dt_waits_end();
 *
 * All functions are thread-safe.
 */
#ifndef DT_CORE_BASE_WAITS_H
#define DT_CORE_BASE_WAITS_H

#include "core/base/error.h"

#include <stddef.h>

/* The reason to stop ("SIGTERM"), a text that stays valid; NULL: go on. Called in any thread. */
typedef const char *dt_stop_ask(void *context);

/* From now on dt_waits_stop_requested calls `ask`; NULL: no stop is requested. */
void dt_waits_set_stop(dt_stop_ask *ask, void *context);
const char *dt_waits_stop_requested(void);

/* DT_ERR_INTERRUPTED, "stopped on SIGTERM while DOING, ...", if a stop is requested. For the start of a
 * training, when there is nothing to save. */
dt_status dt_waits_check(const char *doing, dt_error *err);

/* What the caller, the main thread, does from now on until dt_waits_end, or until the next call. */
void dt_waits_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
void dt_waits_end(void);
/* Copies what the main thread does ("" outside begin and end); returns for how many seconds it has. */
double dt_waits_get(char *what, size_t what_bytes);

/* A file that is to be removed if the process ends now, because it is half written; copied. NULL: none. */
void dt_waits_set_unfinished(const char *path);
void dt_waits_remove_unfinished(void);

/* A thread does not return from the disk and keeps running, with all memory that it uses. The program must
 * then end with _exit: what exit() destroys may still be in use. */
void dt_waits_leave_thread(void);
bool dt_waits_has_left_threads(void);

#endif
