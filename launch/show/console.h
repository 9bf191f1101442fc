/* console.h: the one place that writes to the user's terminal: log lines and the error that ends the program,
 * all on stderr.
 *
 *   dt_console_open();                      log lines appear from here on
 *   dt_console_set_rank(comm);              from here on only rank 0's information, and everybody's warnings
 *   dt_console_set_progress(sink);          lines go above the progress bar
 *   dt_console_fail(&error);                "dtrain: --batch: 0 is out of range: 1 to 65536"
 *
 * Colours only where stderr is a terminal and NO_COLOR is not set.
 */
#ifndef DT_LAUNCH_SHOW_CONSOLE_H
#define DT_LAUNCH_SHOW_CONSOLE_H

#include "core/comm.h"
#include "core/metrics.h"

void dt_console_open(void);
void dt_console_set_rank(const dt_comm *comm);    /* copies what it needs; NULL: a single process */
void dt_console_set_progress(dt_sink *progress);  /* borrowed; NULL: none any more */
bool dt_console_is_terminal(void);                /* stderr */
void dt_console_fail(const dt_error *error);      /* an error that all ranks share: only rank 0 prints */
void dt_console_fail_here(const dt_error *error); /* one that only this rank knows: it prints, with its
                                                         name */

#endif
