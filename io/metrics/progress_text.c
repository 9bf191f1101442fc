#include "io/metrics/progress_text.h"

#include "core/base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void dt_progress_add(dt_progress_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->text + t->n, sizeof t->text - t->n, format, args);
    va_end(args);
    t->n += n < 0 ? 0 : (size_t)n;
    if (t->n >= sizeof t->text)
        t->n = sizeof t->text - 1;
}

int dt_progress_digits(int64_t n)
{
    int digits = 1;
    for (; n >= 10; n /= 10)
        digits++;
    return digits;
}

void dt_progress_add_loss(dt_progress_text *t, double loss)
{
    dt_progress_add(t, fabs(loss) < 1000 ? "  loss %6.4f" : "  loss %6.4g", loss);
}

void dt_progress_add_lr(dt_progress_text *t, double lr)
{
    dt_progress_add(t, lr == 0 || fabs(lr) >= 0.001 ? "  lr %.5f" : "  lr %.1e", lr);
}

void dt_progress_add_rate(dt_progress_text *t, double rate)
{
    char text[16];
    if (!isfinite(rate) || rate <= 0)
        snprintf(text, sizeof text, "-");
    else if (rate < 9.995)
        snprintf(text, sizeof text, "%.2f", rate);
    else if (rate < 99.95)
        snprintf(text, sizeof text, "%.1f", rate);
    else if (rate < 999.5)
        snprintf(text, sizeof text, "%.0f", rate);
    else if (rate < 99950)
        snprintf(text, sizeof text, "%.1fk", rate / 1e3);
    else if (rate < 999500)
        snprintf(text, sizeof text, "%.0fk", rate / 1e3);
    else
        snprintf(text, sizeof text, "%.2fM", rate / 1e6);
    dt_progress_add(t, "  %5s img/s", text);
}

void dt_progress_add_left(dt_progress_text *t, double seconds)
{
    char text[32] = "-:--";
    if (seconds >= 0 && seconds < 1e9) {
        int64_t s = llround(seconds);
        int minutes = (int)(s / 60 % 60), rest = (int)(s % 60);
        if (s >= 86400)
            snprintf(text, sizeof text, "%" PRId64 "d %02d:%02d", s / 86400, (int)(s / 3600 % 24), minutes);
        else if (s >= 3600)
            snprintf(text, sizeof text, "%d:%02d:%02d", (int)(s / 3600), minutes, rest);
        else
            snprintf(text, sizeof text, "%d:%02d", minutes, rest);
    }
    dt_progress_add(t, "  %8s left", text);
}

void dt_progress_add_duration(dt_progress_text *t, double seconds)
{
    char text[32];
    dt_clock_format(seconds, text, sizeof text);
    dt_progress_add(t, "  %6s", text);
}

void dt_progress_add_share(dt_progress_text *t, const char *name, double share)
{
    dt_progress_add(t, "  %s %5.2f%%", name, share * 100);
}

void dt_progress_add_bytes(dt_progress_text *t, int64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double n = (double)bytes / 1000;
    int unit = 0;
    for (; n >= 999.95 && unit < 3; unit++)
        n /= 1000;
    dt_progress_add(t, "  %5.1f %s", n, units[unit]);
}

void dt_progress_add_bar(dt_progress_text *t, double done, int columns, bool utf8)
{
    double share = done > 0 ? (done < 1 ? done : 1) : 0; /* NaN: 0 */
    int inside = utf8 ? columns : columns - 2;
    if (inside < 1)
        return;
    int halves = (int)(share * 2 * inside + 1e-9);
    dt_progress_add(t, utf8 ? "  " : "  [");
    for (int i = 0; i < inside; i++)
        if (utf8)
            dt_progress_add(t, "%s", 2 * i + 2 <= halves ? "━" : 2 * i + 1 == halves ? "╸" : "─");
        else
            dt_progress_add(t, "%c", 2 * i + 2 <= halves ? '#' : '.');
    if (!utf8)
        dt_progress_add(t, "]");
}
