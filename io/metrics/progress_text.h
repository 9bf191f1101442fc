/* progress_text.h: the fields of io/metrics/progress.c. Each has a fixed width, so that lines are in
 * columns. */
#ifndef DT_IO_METRICS_PROGRESS_TEXT_H
#define DT_IO_METRICS_PROGRESS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text that grows; what does not fit is cut. Initialise it with {0}. */
typedef struct dt_progress_text {
    char text[1024];
    size_t n; /* bytes, which are columns where there is no bar */
} dt_progress_text;

void dt_progress_add(dt_progress_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

int dt_progress_digits(int64_t n); /* decimal digits of n >= 0 */

/* Each function adds two blanks and a field. */
void dt_progress_add_loss(dt_progress_text *t, double loss); /* "loss 1.6012" */
/* "lr 0.08710", "lr 3.2e-05" */
void dt_progress_add_lr(dt_progress_text *t, double lr);
/* " 812 img/s", "12.3k img/s" */
void dt_progress_add_rate(dt_progress_text *t, double images_per_s);
/* "    4:05 left", "2d 03:15 left" */
void dt_progress_add_left(dt_progress_text *t, double seconds);
void dt_progress_add_duration(dt_progress_text *t, double seconds);              /* "12.3 s", "4:05" */
void dt_progress_add_share(dt_progress_text *t, const char *name, double share); /* "top-1 44.30%" */
void dt_progress_add_bytes(dt_progress_text *t, int64_t bytes);                  /* "90.3 MB" */
/* A bar of `columns` columns, of which the share `done` (0 to 1) is filled. */
void dt_progress_add_bar(dt_progress_text *t, double done, int columns, bool utf8);

#endif
