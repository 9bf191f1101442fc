#include "launch/cloud/transfer_width.h"

#define BYTES_OF_REQUEST                                                                                     \
    1048576.0            /* what a connection of 40 MB/s brings in the 25 ms that S3 takes to answer */
#define WORTH_MORE 1.125 /* a step of twice as many connections */
#define WORTH_PROBE 1.05 /* a quarter more */
#define AS_GOOD 0.98     /* a quarter fewer */
#define LOW 0.6

enum { HOLD_INTERVALS = 10, LOW_INTERVALS = 4 };

static int between(int n, const dt_transfer_width *w)
{
    return n < w->least ? w->least : n > w->most ? w->most : n;
}

static void begin_interval(dt_transfer_width *w, double now_s)
{
    w->work = 0.0;
    w->from_s = now_s;
    w->was_full = true;
}

static void hold(dt_transfer_width *w, int width, double rate)
{
    w->now = width;
    w->phase = DT_WIDTH_HOLD;
    w->rate = rate;
    w->n_held = 0;
    w->n_low = 0;
}

/* Tries another width; a width that cannot change is held. */
static void step_to(dt_transfer_width *w, int width, dt_width_phase phase, double rate)
{
    width = between(width, w);
    if (width == w->now) {
        hold(w, w->now, rate);
        return;
    }
    w->before = w->now;
    w->rate = rate;
    w->now = width;
    w->phase = phase;
    w->is_settling = true;
}

void dt_transfer_width_begin(dt_transfer_width *w, int first, int least, int most, double now_s)
{
    *w = (dt_transfer_width){.now = first, .least = least, .most = most, .before = first, .slowed_s = -1e9};
    w->is_settling = true; /* connections are being made */
    begin_interval(w, now_s);
}

static void note_hold(dt_transfer_width *w, double rate)
{
    w->n_low = rate < LOW * w->rate ? w->n_low + 1 : 0;
    if (w->n_low == LOW_INTERVALS) { /* the network is another one */
        w->phase = DT_WIDTH_MEASURE;
        return;
    }
    if (w->n_low == 0)
        w->rate += 0.3 * (rate - w->rate);
    if (++w->n_held < HOLD_INTERVALS)
        return;
    const int quarter = w->now / 4 > 0 ? w->now / 4 : 1;
    const bool fewer = w->tries_fewer;
    w->tries_fewer = !fewer;
    step_to(w, fewer ? w->now - quarter : w->now + quarter, fewer ? DT_WIDTH_FEWER : DT_WIDTH_MORE, w->rate);
}

static void end_interval(dt_transfer_width *w, double rate)
{
    const double worth = w->phase == DT_WIDTH_GROW   ? WORTH_MORE
                         : w->phase == DT_WIDTH_MORE ? WORTH_PROBE
                                                     : AS_GOOD;
    if (w->is_settling) {
        w->is_settling = false;
        return;
    }
    if (w->phase == DT_WIDTH_MEASURE)
        step_to(w, 2 * w->now, DT_WIDTH_GROW, rate);
    else if (w->phase == DT_WIDTH_HOLD)
        note_hold(w, rate);
    else if (rate < worth * w->rate)
        hold(w, w->before, w->rate);
    else if (w->phase == DT_WIDTH_GROW)
        step_to(w, 2 * w->now, DT_WIDTH_GROW, rate);
    else
        hold(w, w->now, rate);
}

void dt_transfer_width_note(dt_transfer_width *w, int64_t bytes, int64_t requests, bool is_full, double now_s)
{
    w->work += (double)bytes + BYTES_OF_REQUEST * (double)requests;
    w->was_full = w->was_full && is_full;
    const double seconds = now_s - w->from_s;
    if (seconds < DT_TRANSFER_WIDTH_INTERVAL_S)
        return;
    if (w->was_full)
        end_interval(w, w->work / seconds);
    begin_interval(w, now_s);
}

void dt_transfer_width_slow_down(dt_transfer_width *w, double now_s)
{
    if (now_s - w->slowed_s < 1.0)
        return;
    w->slowed_s = now_s;
    hold(w, between(w->now - (w->now + 2) / 3, w), w->rate * 2.0 / 3.0);
    w->is_settling = true;
    begin_interval(w, now_s);
}
