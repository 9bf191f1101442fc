#include "core/base/fault.h"

#include "core/base/clock.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum action {
    ACTION_FAIL,
    ACTION_ALWAYS,
    ACTION_KILL,
    ACTION_STOP,
    ACTION_EXIT,
    ACTION_SLEEP
} action;

enum { MAX_POINTS = 16, NAME_BYTES = 64 };

typedef struct fault_point {
    char name[NAME_BYTES];
    int64_t count;
    action action;
    double sleep_s;
    _Atomic int64_t n_passed;
} fault_point;

static fault_point points[MAX_POINTS];
static _Atomic int n_points;

static const char syntax[] =
    "write NAME[@RANK]:COUNT[:ACTION], with ACTION one of fail, always, kill, stop, exit, sleep=SECONDS";

static bool parse_int(const char *text, int64_t least, int64_t *value)
{
    char *end;
    if (*text < '0' || *text > '9') /* strtoll accepts spaces and signs */
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *value >= least;
}

static bool parse_action(const char *text, fault_point *point)
{
    static const struct {
        const char *name;
        action action;
    } names[] = {{"fail", ACTION_FAIL},
                 {"always", ACTION_ALWAYS},
                 {"kill", ACTION_KILL},
                 {"stop", ACTION_STOP},
                 {"exit", ACTION_EXIT}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i].name) == 0) {
            point->action = names[i].action;
            return true;
        }
    }
    if (strncmp(text, "sleep=", 6) != 0)
        return false;
    char *end;
    point->action = ACTION_SLEEP;
    point->sleep_s = strtod(text + 6, &end);
    return end != text + 6 && *end == '\0' && point->sleep_s >= 0 && isfinite(point->sleep_s);
}

/* Parse one entry; writes zeros into it. *for_this_rank: whether the entry is for `rank`. */
static dt_status parse_point(char *entry, int rank, fault_point *point, bool *for_this_rank, dt_error *err)
{
    char whole[256];
    strncpy(whole, entry, sizeof whole - 1);
    whole[sizeof whole - 1] = '\0';

    char *count = strchr(entry, ':');
    if (!count)
        return dt_fail(err, DT_ERR_USAGE, "DTRAIN_FAULT: \"%s\" has no count; %s", whole, syntax);
    *count++ = '\0';
    char *action_text = strchr(count, ':');
    if (action_text)
        *action_text++ = '\0';
    char *rank_text = strchr(entry, '@');
    if (rank_text)
        *rank_text++ = '\0';

    if (entry[0] == '\0' || strlen(entry) >= NAME_BYTES)
        return dt_fail(err, DT_ERR_USAGE, "DTRAIN_FAULT: \"%s\" needs a name of 1 to %d characters; %s",
                       whole, NAME_BYTES - 1, syntax);
    int64_t point_rank = rank;
    if (rank_text && !parse_int(rank_text, 0, &point_rank))
        return dt_fail(err, DT_ERR_USAGE,
                       "DTRAIN_FAULT: \"%s\": the rank \"%s\" is not a number from 0 on; %s", whole,
                       rank_text, syntax);
    if (!parse_int(count, 1, &point->count))
        return dt_fail(err, DT_ERR_USAGE,
                       "DTRAIN_FAULT: \"%s\": the count \"%s\" is not a number from 1 on; %s", whole, count,
                       syntax);
    point->action = ACTION_FAIL;
    point->sleep_s = 0;
    if (action_text && !parse_action(action_text, point))
        return dt_fail(err, DT_ERR_USAGE, "DTRAIN_FAULT: \"%s\": \"%s\" is no action; %s", whole, action_text,
                       syntax);
    strcpy(point->name, entry);
    atomic_store(&point->n_passed, 0);
    *for_this_rank = point_rank == rank;
    return DT_OK;
}

dt_status dt_fault_arm(const char *spec, int rank, dt_error *err)
{
    char entry[1024];
    int n = 0;
    atomic_store(&n_points, 0);
    for (const char *next = spec ? spec : ""; *next;) {
        const size_t bytes = strcspn(next, ",");
        if (bytes >= sizeof entry)
            return dt_fail(err, DT_ERR_USAGE,
                           "DTRAIN_FAULT: an entry has %zu characters, more than any name needs; %s", bytes,
                           syntax);
        memcpy(entry, next, bytes);
        entry[bytes] = '\0';
        next += bytes;
        if (*next == ',' && *++next == '\0')
            return dt_fail(err, DT_ERR_USAGE, "DTRAIN_FAULT: \"%s\" ends with a comma; %s", spec, syntax);
        if (n == MAX_POINTS)
            return dt_fail(err, DT_ERR_USAGE, "DTRAIN_FAULT: more than %d points for rank %d", MAX_POINTS,
                           rank);
        bool for_this_rank = false;
        DT_TRY(parse_point(entry, rank, &points[n], &for_this_rank, err));
        n += for_this_rank;
    }
    atomic_store(&n_points, n);
    return DT_OK;
}

static bool pass(fault_point *point)
{
    const int64_t passage = atomic_fetch_add(&point->n_passed, 1) + 1;
    if (point->action == ACTION_ALWAYS)
        return passage >= point->count;
    if (passage != point->count)
        return false;
    switch (point->action) {
    case ACTION_KILL:
        kill(getpid(), SIGKILL);
        return false;
    case ACTION_STOP:
        kill(getpid(), SIGSTOP);
        return false;
    case ACTION_EXIT:
        _exit(1);
    case ACTION_SLEEP:
        dt_clock_sleep_s(point->sleep_s);
        return false;
    default:
        return true;
    }
}

bool dt_fault(const char *name)
{
    const int n = atomic_load_explicit(&n_points, memory_order_acquire);
    bool fails = false;
    for (int i = 0; i < n; i++)
        if (strcmp(points[i].name, name) == 0 && pass(&points[i]))
            fails = true;
    return fails;
}
