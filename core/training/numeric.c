#include "core/training/numeric.h"

#include <stdarg.h>
#include <stdio.h>

#define MAX_LISTED 64

/* The newest step in the store before `step`; -1: none. */
static int64_t find_older(dt_store *store, int64_t step)
{
    int64_t steps[MAX_LISTED], n = 0;
    dt_error ignored;
    if (store->ops->list(store, steps, MAX_LISTED, &n, &ignored) != DT_OK)
        return -1;
    for (int64_t i = 0; i < n && i < MAX_LISTED; i++)
        if (steps[i] < step)
            return steps[i];
    return -1;
}

/* This start resumed from the checkpoint of `step`, and wrote none after it. */
static void describe_way_back(const dt_trainer_parts *p, int64_t step, char *out, size_t out_bytes)
{
    const int64_t older = find_older(p->store, step);
    const char *mirror = p->mirror ? p->mirror->ops->location(p->mirror) : NULL;
    if (older < 0)
        snprintf(
            out, out_bytes,
            "every restart from the checkpoint of step %lld, the only one in %s, ends here; --resume never "
            "starts over",
            (long long)step, p->store->ops->location(p->store));
    else
        snprintf(out, out_bytes,
                 "every restart from the checkpoint of step %lld ends here; to go back to that of step %lld, "
                 "move the folder of step %lld out of %s%s%s%s",
                 (long long)step, (long long)older, (long long)step, p->store->ops->location(p->store),
                 p->per_host ? " on every host" : "", mirror ? " and " : "", mirror ? mirror : "");
}

dt_status dt_numeric_fail(const dt_training *t, int64_t committed_step, dt_error *err, const char *format,
                          ...)
{
    const dt_trainer_parts *p = t->parts;
    char what[512], then[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!p->store)
        snprintf(then, sizeof then, "no checkpoint is kept");
    else if (committed_step < 0)
        snprintf(then, sizeof then, "there is no checkpoint yet");
    else if (committed_step == t->resumed_step)
        describe_way_back(p, committed_step, then, sizeof then);
    else
        snprintf(then, sizeof then, "the last checkpoint, of step %lld, is from before that",
                 (long long)committed_step);
    return dt_fail_shared(err, DT_ERR_NUMERIC, "%s: lower --lr or lengthen --warmup-epochs; %s", what, then);
}
