#include "config.h"

#include "launch/stop/slurm_limit.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/program.h"
#include "core/base/ticker.h"
#include "launch/options/duration.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_BYTES = 64 };
#define MOVED_S 60.0 /* an end that has moved by more is logged again */

struct dt_slurm_limit {
    dt_slurm_limit_options options;
    char job[32];
    dt_ticker *ticker;
    atomic_bool leave;
    _Atomic double end_s;            /* by dt_clock_s; INFINITY: not known */
    bool reported, reported_failure; /* used by the thread only */
};

/* -- squeue ---------------------------------------------------------------------------------------------- */

static dt_status run_squeue(const dt_slurm_limit *l, char answer[ANSWER_BYTES], dt_error *err)
{
    char *arguments[] = {(char *)"squeue", (char *)"-h", (char *)"-j", (char *)l->job,
                         (char *)"-o",     (char *)"%L", NULL};
    int code = 0;
    DT_TRY(dt_program_run(&(dt_program){.arguments = arguments,
                                        .timeout_s = l->options.timeout_s,
                                        .leave = &l->leave,
                                        .out = answer,
                                        .out_bytes = ANSWER_BYTES},
                          &code, err));
    answer[strcspn(answer, " \r\n")] = '\0';
    return code == 0 ? DT_OK : dt_fail(err, DT_ERR_IO, "squeue failed with status %d", code);
}

/* Polls squeue for %L, the time left: "1-02:03:04", "12:34", or a word. */
static dt_status poll_slurm(const dt_slurm_limit *l, double *left_s, dt_error *err)
{
    char answer[ANSWER_BYTES];
    DT_TRY(run_squeue(l, answer, err));
    if (strcmp(answer, "UNLIMITED") == 0) {
        *left_s = INFINITY;
        return DT_OK;
    }
    if (strchr(answer, ':') && dt_duration_parse(answer, left_s))
        return DT_OK;
    return dt_fail(err, DT_ERR_FORMAT, "squeue -h -j %s -o %%L returned '%s'", l->job, answer);
}

/* -- the thread ------------------------------------------------------------------------------------------ */

/* Logs the first limit, and each one that has moved. */
static void report(dt_slurm_limit *l, double left_s, bool moved)
{
    char text[32];
    if (l->reported && !moved)
        return;
    dt_duration_format(round(left_s), text, sizeof text);
    if (isfinite(left_s))
        dt_log_info("Slurm will end this job %s in %s%s; training stops before that, with a checkpoint",
                    l->job, text, l->reported ? " (the limit was changed)" : "");
    else if (l->reported)
        dt_log_info("Slurm's time limit of this job %s was removed", l->job);
    l->reported = true;
}

static double tick(void *context)
{
    dt_slurm_limit *l = context;
    dt_error why = {0};
    double left_s = 0.0;
    const double known_s = dt_slurm_limit_seconds_left(l);
    const dt_status status = poll_slurm(l, &left_s, &why);
    if (atomic_load(&l->leave))
        return INFINITY;
    if (status == DT_OK) {
        atomic_store(&l->end_s, dt_clock_s() + left_s);
        report(l, left_s, isfinite(left_s) != isfinite(known_s) || fabs(left_s - known_s) > MOVED_S);
    } else {
        if (isfinite(known_s)) /* from the environment */
            report(l, known_s, false);
        left_s = known_s;
        if (!l->reported_failure && !isfinite(known_s))
            dt_log_info("Slurm's time limit of this job %s is not known (%s); --time-limit can set one",
                        l->job, why.message);
        l->reported_failure = true;
    }
    const double next_s = left_s / 4.0;
    return next_s < l->options.least_s  ? l->options.least_s
           : next_s > l->options.most_s ? l->options.most_s
                                        : next_s;
}

double dt_slurm_limit_seconds_left(const dt_slurm_limit *l)
{
    return l ? atomic_load(&l->end_s) - dt_clock_s() : INFINITY;
}

dt_status dt_slurm_limit_create(const dt_slurm_limit_options *options, dt_slurm_limit **limit, dt_error *err)
{
    const char *job = getenv("SLURM_JOB_ID"), *text = getenv("SLURM_JOB_END_TIME");
    *limit = NULL;
    if (!job || !job[0] || strspn(job, "0123456789") != strlen(job) || strlen(job) >= sizeof(*limit)->job)
        return DT_OK;
    dt_slurm_limit *l = dt_calloc(1, sizeof *l);
    if (!l)
        return dt_fail_memory(err, sizeof *l, "the thread that polls Slurm's time limit");
    l->options.least_s = options->least_s > 0.0 ? options->least_s : 5.0;
    l->options.most_s = options->most_s > 0.0 ? options->most_s : 600.0;
    l->options.timeout_s = options->timeout_s > 0.0 ? options->timeout_s : 20.0;
    snprintf(l->job, sizeof l->job, "%s", job);
    const double left_s = (text ? strtod(text, NULL) : 0.0) - dt_clock_unix_s();
    atomic_init(&l->leave, false);
    atomic_init(&l->end_s, left_s > 0.0 ? dt_clock_s() + left_s : INFINITY);
    const dt_status status =
        dt_ticker_create(tick, l, "the thread that polls Slurm's time limit", &l->ticker, err);
    if (status == DT_OK)
        *limit = l;
    else
        dt_free(l);
    return status;
}

void dt_slurm_limit_destroy(dt_slurm_limit *l)
{
    if (!l)
        return;
    atomic_store(&l->leave, true);
    dt_ticker_destroy(l->ticker);
    dt_free(l);
}
