/* start_watch.h: a thread that watches the start of a training, and long waits of other commands.
 *
 *   dt_start_watch_create(prints, &watch, err);          before MPI_Init
 *   dt_start_watch_set_limit(watch, "the time limit of 1h", until_s);
 *   dt_start_watch_set_trains(watch);                    the first step begins: the watch is over
 *
 * The loops of the start ask for requests to stop themselves (core/base/waits.h), and then all ranks leave
 * together. But a start can hang where no rank polls: in MPI_Init, in a system call on a dead disk, in a
 * collective that another rank does not come to. So a second after a request, and after the time limit, this
 * thread ends the process. Before the first step there is nothing to save.
 *
 * It also logs what the main thread has been waiting for since half a minute.
 */
#ifndef DT_LAUNCH_STOP_START_WATCH_H
#define DT_LAUNCH_STOP_START_WATCH_H

#include "core/base/error.h"

typedef struct dt_start_watch dt_start_watch;

/* Starts the thread. `prints`: this process prints why it ends, and log lines. `trains`: not another command,
 * which a signal ends as usual, but for half-written files (dt_waits_set_unfinished). DT_ERR_MEMORY. */
dt_status dt_start_watch_create(bool prints, bool trains, dt_start_watch **watch, dt_error *err);
void dt_start_watch_destroy(dt_start_watch *watch); /* NULL is fine */

/* The start must have ended by until_s, by dt_clock_s. `option`: the limit's option and value, which is wrong
 * if it has not: copied. */
void dt_start_watch_set_limit(dt_start_watch *watch, const char *option, double until_s);

/* From now on a stop writes a checkpoint, and the thread does nothing any more. NULL is fine. */
void dt_start_watch_set_trains(dt_start_watch *watch);

#endif
