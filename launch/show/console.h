/* console.h: prints log lines, and the error that ends the program, to stderr.
 *
 *   dt_console_open();                      print log lines from now on
 *   dt_console_set_rank(comm);              from now on: information of rank 0, warnings of all ranks
 *   dt_console_set_progress(sink);          print lines above the progress bar
 *   dt_console_fail(&error);                "dtrain: --batch: 0 is out of range: 1 to 65536"
 *
 * What a line quotes is made printable (core/base/printable.h): names of files, hosts and classes may hold
 * any bytes. Uses colours only if stderr is a terminal and NO_COLOR is not set.
 */
#ifndef DT_LAUNCH_SHOW_CONSOLE_H
#define DT_LAUNCH_SHOW_CONSOLE_H

#include "core/comm.h"
#include "core/metrics.h"

/* Open descriptors 0 to 2 on /dev/null where they are closed, so that no file of data gets one of these
 * numbers. What is written to a closed stdout fails, so that a command whose result is lost says so. */
void dt_console_open_descriptors(void);
void dt_console_open(void);
void dt_console_set_rank(const dt_comm *comm);    /* copies what it needs; NULL: a single process */
void dt_console_set_progress(dt_sink *progress);  /* borrowed until the next call; NULL: none */
bool dt_console_is_terminal(void);                /* whether stderr is one */
void dt_console_fail(const dt_error *error);      /* an error that all ranks have: rank 0 prints it */
void dt_console_fail_here(const dt_error *error); /* an error of this rank only: prints it with the rank */

#endif
