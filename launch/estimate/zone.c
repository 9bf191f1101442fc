#include "launch/estimate/zone.h"

#include <stddef.h>
#include <string.h>

bool dt_zone_prefix(const char *region, char out[8])
{
    static const char *const directions[] = {"north", "south", "east", "west", "central"};
    const char *at = region + 3;
    size_t n = 2;
    if (strlen(region) < 6 || region[2] != '-')
        return false;
    memcpy(out, region, 2);
    while (*at != '-') {
        size_t i = 0;
        while (i < 5 && strncmp(at, directions[i], strlen(directions[i])) != 0)
            i++;
        if (i == 5 || n == 5)
            return false;
        out[n++] = directions[i][0];
        at += strlen(directions[i]);
    }
    if (at[1] < '0' || at[1] > '9' || at[2])
        return false;
    out[n] = at[1];
    out[n + 1] = '\0';
    return true;
}

bool dt_zone_is_in(const char *zone, const char *region)
{
    char prefix[8];
    if (!strchr(zone, '-') || !dt_zone_prefix(region, prefix))
        return true;
    const size_t n = strlen(prefix);
    return strncmp(zone, region, strlen(region)) == 0 || (strncmp(zone, prefix, n) == 0 && zone[n] == '-');
}
