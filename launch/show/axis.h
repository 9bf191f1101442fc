/* axis.h: the axes of charts, with round ticks.
 *
 *   dt_axis x, y;
 *   dt_axis_log(0.4, 90, 60, 700, &x);                hours, from left to right: 0.2, 0.5, 1, ... 100
 *   dt_axis_linear(0, 41, 380, 20, 6, &y);                  dollars, from bottom to top: 0, 10, ... 50
 *   for (int i = 0; i < x.n_ticks; i++)
 *       line at dt_axis_position(&x, x.ticks[i]), with the text dt_axis_format(&x, i, text, sizeof text)
 *
 * Positions are in units of the drawing; an axis runs from `from` to `to`, and may run backwards. Values that
 * no axis can show (not finite, not positive on a logarithmic one) get the nearest end. No function fails.
 */
#ifndef DT_LAUNCH_SHOW_AXIS_H
#define DT_LAUNCH_SHOW_AXIS_H

#include <stdbool.h>
#include <stddef.h>

#define DT_AXIS_MAX_TICKS 24

typedef struct dt_axis {
    bool is_log;
    double low, high; /* the values at the ends: the first and the last tick */
    double from, to;  /* their positions */
    int n_ticks;
    double ticks[DT_AXIS_MAX_TICKS]; /* ascending */
    int n_decimals;                  /* of a linear axis's ticks */
} dt_axis;

/* An axis with 2 to n_most + 1 ticks (n_most >= 2) at multiples of 1, 2 or 5 times a power of ten, which
 * begins at or below `min` and ends at or above `max`. min >= max, or a value that is not finite: an axis
 * around min. */
void dt_axis_linear(double min, double max, double from, double to, int n_most, dt_axis *axis);

/* A logarithmic axis with ticks at 1, 2 and 5 times powers of ten; over more than five decades at powers of
 * ten, and where these are too many at each second, third, ... of them. min and max as above. */
void dt_axis_log(double min, double max, double from, double to, dt_axis *axis);

/* The position of a value; one beyond an end gets that end's. */
double dt_axis_position(const dt_axis *axis, double value);

/* The text of a tick: "0.5", "20", "5,000". All ticks of a linear axis have the same decimals. */
void dt_axis_format(const dt_axis *axis, int tick, char *out, size_t out_bytes);

/* A number with three significant digits and separators of thousands: "0.56", "34.2", "1,380". */
void dt_axis_format_value(double value, char *out, size_t out_bytes);

#endif
