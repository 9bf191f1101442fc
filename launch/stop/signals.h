/* signals.h: signals that ask a training to stop, and those that must not end it.
 *
 *   dt_signals_install(rank == 0);              first of all in main, and again after MPI_Init
 *   why = dt_signals_stop_requested();          "SIGTERM", or NULL
 *
 * SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU ask for a stop: users, terminals that go away, and
 * batch systems before they kill a job send them. SIGHUP stays ignored where it was (nohup). SIGPIPE from
 * another process asks for a stop too; the one that the kernel sends for a write to a pipe without a reader
 * does nothing: the write fails, and that ends no training. The handlers stay until the process ends, so that
 * no signal changes the exit code of a training that is done.
 */
#ifndef DT_LAUNCH_STOP_SIGNALS_H
#define DT_LAUNCH_STOP_SIGNALS_H

#include <stdbool.h>

/* Install the handlers; calls after the first one install them over those that a library has put there since.
 * After the first signal dt_signals_stop_requested returns its name. A second SIGINT ends the process at once
 * with exit code 130. `announce`: acknowledge the first SIGINT on stderr. */
void dt_signals_install(bool announce);

/* Install the handlers again if dt_signals_install was called before; else do nothing. */
void dt_signals_reinstall(void);

/* The name of the first signal, static storage; NULL: there was none. */
const char *dt_signals_stop_requested(void);

/* From now on a stop writes a checkpoint: changes the words that acknowledge SIGINT. */
void dt_signals_set_trains(void);

/* Around an exec, which removes handlers: from hold on signals wait, also in the new program, until it calls
 * release. One that has arrived before waits too. */
void dt_signals_hold(void);
void dt_signals_release(void);

/* End the process as the first signal would have without the handlers, or else return. */
void dt_signals_end(void);

/* For every command: a file that is too large (ulimit -f) is an error of the write. */
void dt_signals_ignore_file_size(void);

#endif
