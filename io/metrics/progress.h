/* progress.h: the progress of the training on the user's screen. A sink of core/metrics.h.
 *
 *   dt_progress_options options = {.terminal = isatty(fileno(stderr)), .utf8 = true, .every_s = 5};
 *   DT_TRY(dt_progress_create(stderr, &options, &sink, err));
 *   dt_log_set_sink(log_line, sink, DT_LOG_INFO);   log_line calls dt_progress_line(sink, line)
 *
 * On a terminal one line is redrawn in place, at most 10 times a second. It fits the terminal's width:
 *
 *   epoch  3/15   52%  ━━━━╸───  step  390/2340  loss 1.6012  lr 0.08710    812 img/s      4:05 left
 *
 * Elsewhere (a file, a pipe, a batch system's log) the same is printed as a plain line for the first step,
 * then every every_s seconds, and for the last step, without bar and escape codes. The percentage and the bar
 * show the epoch's progress; the time left is that of the whole training. `dtrain eval` prints "eval  batch
 * 40/391" every every_s seconds. In both cases each epoch, evaluation and checkpoint is reported in a line,
 * and a summary at the end:
 *
 *   epoch  3/15  done  step  468/2340  loss 1.5820  top-1 41.20%    812 img/s  15.4 s  1 broken file replaced
 *   epoch  3/15  eval  step  468/2340  loss 1.5511  top-1 44.30%  top-5 91.20%  1000 images  0.4 s
 *   epoch  3/15  save  step  468/2340  90.3 MB  0.2 s  runs/demo/checkpoints
 */
#ifndef DT_IO_METRICS_PROGRESS_H
#define DT_IO_METRICS_PROGRESS_H

#include "core/metrics.h"

#include <stdio.h>

typedef struct dt_progress_options {
    bool terminal;           /* redraw in place; else plain lines */
    bool utf8;               /* the stream shows UTF-8: the bar is drawn with lines; else with '#' */
    double every_s;          /* plain lines: seconds between them */
    int columns;             /* 0: ask the terminal before every drawing (80 if it does not say) */
    double (*clock_s)(void); /* NULL: dt_clock_s; tests set their own */
} dt_progress_options;

/* Borrows `stream`, which must outlive the sink; copies the options. The caller destroys the sink, which puts
 * the cursor on a new line. DT_ERR_MEMORY. If the stream fails (a closed pipe), the event's function returns
 * DT_ERR_IO. */
dt_status dt_progress_create(FILE *stream, const dt_progress_options *options, dt_sink **sink, dt_error *err);

/* Work that is no training, such as a copy:
 *
 *   copy   52%  ━━━━╸───  74.9 GB of 144.0 GB  812.0 MB/s      1:25 left
 */
typedef struct dt_progress_work {
    const char *what;    /* "copy": at most 8 bytes */
    int64_t done, total; /* bytes */
    double bytes_per_s, left_s;
} dt_progress_work;

/* Show it: on a terminal as the line that is redrawn, elsewhere as a plain line every every_s seconds.
 * Errors as above. dt_progress_create made `sink`. */
dt_status dt_progress_show_work(dt_sink *sink, const dt_progress_work *work, dt_error *err);

/* Print a line, given without its newline and printable (core/base/printable.h), above the bar, and redraw
 * the bar. For launch's log sink; any thread may call it. dt_progress_create made `sink`. */
void dt_progress_line(dt_sink *sink, const char *line);

#endif
