/* transfer_width.h: how many connections are worth having, found by trying. For transfers.c.
 *
 *   dt_transfer_width w;
 *   dt_transfer_width_begin(&w, 16, 1, 128);
 *   each time some work is done:  dt_transfer_width_note(&w, bytes, requests, is_full, now_s);
 *   w.now connections work at once.
 *
 * The rate is measured in intervals. It counts bytes, and for each request as much as a connection brings
 * while it waits for an answer, so that many small objects and few large ones are one measure. After an
 * interval at the first width the number doubles, as long as each step brings at least an eighth more; the
 * step that does not is taken back. Then the number stays, and now and then a quarter more or fewer are
 * tried: what is faster stays, and so does what is as fast with fewer. A rate that falls far and remains
 * there begins the search again.
 */
#ifndef DT_LAUNCH_CLOUD_TRANSFER_WIDTH_H
#define DT_LAUNCH_CLOUD_TRANSFER_WIDTH_H

#include <stdbool.h>
#include <stdint.h>

#define DT_TRANSFER_WIDTH_INTERVAL_S 0.5

typedef enum dt_width_phase {
    DT_WIDTH_MEASURE,
    DT_WIDTH_GROW,
    DT_WIDTH_HOLD,
    DT_WIDTH_MORE,
    DT_WIDTH_FEWER
} dt_width_phase;

typedef struct dt_transfer_width {
    int now;         /* connections that are to work */
    int least, most; /* now is between them */

    dt_width_phase phase;
    int before;        /* the width to return to, in the last three phases and in GROW */
    double rate;       /* at `before`; in HOLD at `now`, smoothed */
    int n_held, n_low; /* intervals in HOLD; those in a row with a low rate */
    bool tries_fewer;  /* the next probe */
    bool is_settling;  /* the first interval at a new width does not count */
    bool was_full;     /* all connections have had work since the interval began */
    double work, from_s, slowed_s;
} dt_transfer_width;

/* 1 <= least <= first <= most. */
void dt_transfer_width_begin(dt_transfer_width *w, int first, int least, int most, double now_s);

/* `bytes` and `requests` have come since the last call. `is_full`: `now` connections are at work; an interval
 * in which they were not, because the caller had no more for them, does not count. */
void dt_transfer_width_note(dt_transfer_width *w, int64_t bytes, int64_t requests, bool is_full,
                            double now_s);

/* The server has asked for fewer requests: a third fewer connections, at most once a second, and no search
 * for more until the next probe. */
void dt_transfer_width_slow_down(dt_transfer_width *w, double now_s);

#endif
