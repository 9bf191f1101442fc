#include "config.h"

#include "launch/options/duration.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_S (100.0 * 365.0 * 86400.0)

static const struct {
    char letter;
    double seconds;
} units[] = {{'d', 86400.0}, {'h', 3600.0}, {'m', 60.0}, {'s', 1.0}};
enum { N_UNITS = sizeof units / sizeof units[0] };

/* Reads digits, and a fraction if `fraction`; none of the other forms that strtod accepts. */
static bool read_number(const char **at, bool fraction, double *value)
{
    size_t n = strspn(*at, fraction ? "0123456789." : "0123456789");
    char *end;
    if (n == 0 || n > 20 || !isdigit((unsigned char)**at))
        return false;
    *value = strtod(*at, &end);
    if (end != *at + n)
        return false;
    *at = end;
    return true;
}

/* Parses "1h30m", with units in descending order. */
static bool parse_units(const char *text, double *seconds)
{
    double sum = 0.0, value;
    int unit = 0;
    for (const char *at = text; *at; at++, unit++) {
        if (!read_number(&at, true, &value))
            return false;
        while (unit < N_UNITS && units[unit].letter != *at)
            unit++;
        if (unit == N_UNITS)
            return false;
        sum += value * units[unit].seconds;
    }
    *seconds = sum;
    return true;
}

/* Parses [DAYS-]A[:B[:C]]. After days the first number is hours; else the last one is seconds. */
static bool parse_slurm(const char *text, double *seconds)
{
    const char *dash = strchr(text, '-'), *at = text;
    double days = 0.0, parts[3] = {0.0};
    int n = 0;
    if (dash && (!read_number(&at, false, &days) || at++ != dash))
        return false;
    do {
        if (n == 3 || !read_number(&at, false, &parts[n++]) || (n > 1 && parts[n - 1] >= 60.0))
            return false;
    } while (*at == ':' && *++at);
    if (*at || at[-1] == ':')
        return false;
    *seconds = days * 86400.0;
    if (dash || n == 3)
        *seconds += parts[0] * 3600.0 + parts[1] * 60.0 + parts[2];
    else
        *seconds += parts[0] * 60.0 + parts[1];
    return true;
}

bool dt_duration_parse(const char *text, double *seconds)
{
    double value;
    const char *at = text;
    const bool plain = read_number(&at, true, &value) && !*at;
    if (!plain && !(strpbrk(text, ":-") ? parse_slurm(text, &value) : text[0] && parse_units(text, &value)))
        return false;
    if (value > LONGEST_S)
        return false;
    *seconds = value;
    return true;
}

void dt_duration_format(double seconds, char *out, size_t out_bytes)
{
    double left = round(seconds * 1000.0) / 1000.0;
    size_t used = 0;
    snprintf(out, out_bytes, "0");
    for (int unit = 0; unit < N_UNITS && used < out_bytes; unit++) {
        const bool last = unit == N_UNITS - 1;
        const double n = last ? left : floor(left / units[unit].seconds);
        left -= n * units[unit].seconds;
        if (n > 0.0005)
            used += (size_t)snprintf(out + used, out_bytes - used, "%.*f%c", last && n != floor(n) ? 3 : 0, n,
                                     units[unit].letter);
    }
}
