#include "config.h"

#include "launch/stop/events.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/waits.h"
#include "launch/cloud/spot_notice.h"
#include "launch/hardware/machine.h"
#include "launch/options/duration.h"
#include "launch/stop/signals.h"
#include "launch/stop/slurm_limit.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

#define IMDS_TIMEOUT_S 2.0 /* the service is one hop away */

typedef struct all_events {
    dt_events head;
    dt_slurm_limit *slurm; /* NULL: no Slurm job, or another rank polls */
    dt_spot_notice *spot;  /* NULL: this rank does not poll */
    dt_start_watch *watch; /* borrowed */
    const dt_guard *guard; /* borrowed */
    double limit_s;        /* when --time-limit ends, by dt_clock_s; INFINITY: no limit */
    _Atomic double reserve_s;
    atomic_bool is_limit;
    char limit_text[64];
} all_events;

static double limit_left(const all_events *e)
{
    return e->limit_s - dt_clock_s();
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static const char *ask(all_events *e, double reserve_s)
{
    const char *why = dt_signals_stop_requested();
    if (!why && e->spot)
        why = dt_spot_notice_stop_requested(e->spot);
    atomic_store(&e->is_limit, false);
    if (why)
        return why;
    const double limit = limit_left(e), slurm = dt_slurm_limit_seconds_left(e->slurm);
    if (!isfinite(least(limit, slurm)) || least(limit, slurm) > reserve_s)
        return NULL;
    atomic_store(&e->is_limit, true);
    return limit < slurm ? e->limit_text : "Slurm's time limit";
}

static const char *ask_now(void *context)
{
    all_events *e = context;
    return ask(e, atomic_load(&e->reserve_s));
}

static const char *stop_requested(dt_events *events)
{
    if (dt_guard_check(((all_events *)events)->guard, NULL) != DT_OK)
        return "the loss of the run's lock"; /* the trainer returns the guard's error in place of it */
    return ask_now(events);
}

static const char *start_stop_requested(dt_events *events)
{
    return ask((all_events *)events, 0.0);
}

static void begin(dt_events *events)
{
    dt_signals_set_trains();
    dt_start_watch_set_trains(((all_events *)events)->watch);
}

static bool is_limit(dt_events *events)
{
    return atomic_load(&((all_events *)events)->is_limit);
}

static double seconds_left(dt_events *events)
{
    const all_events *e = (const all_events *)events;
    const double limits = least(limit_left(e), dt_slurm_limit_seconds_left(e->slurm));
    return e->spot ? least(limits, dt_spot_notice_seconds_left(e->spot)) : limits;
}

static void reserve(dt_events *events, double seconds)
{
    atomic_store(&((all_events *)events)->reserve_s, seconds);
}

static const char *save_requested(dt_events *events)
{
    const all_events *e = (const all_events *)events;
    return e->spot ? dt_spot_notice_save_requested(e->spot) : NULL;
}

static void destroy(dt_events *events)
{
    all_events *e = (all_events *)events;
    if (!e)
        return;
    dt_waits_set_stop(NULL, NULL);
    dt_spot_notice_destroy(e->spot);
    dt_slurm_limit_destroy(e->slurm);
    dt_free(e);
}

static dt_status start_polling_spot(const dt_events_options *o, dt_spot_notice **spot, dt_error *err)
{
    dt_http *http = NULL;
    if (!o->polls_spot || o->spot == DT_SPOT_OFF || (o->spot == DT_SPOT_AUTO && !dt_machine_is_ec2("/sys")))
        return DT_OK;
    if (o->spot == DT_SPOT_AUTO && !dt_http_is_built_in()) {
        dt_log_warn("this is an EC2 instance, but dtrain cannot poll for spot notices: this build has no "
                    "libcurl (--spot off hides this warning)");
        return DT_OK;
    }
    DT_TRY(dt_http_create(o->imds_endpoint, IMDS_TIMEOUT_S, &http, err));
    return dt_spot_notice_create(http, &(dt_spot_notice_options){0}, spot, err);
}

dt_status dt_events_create(const dt_events_options *o, dt_events **events, dt_error *err)
{
    static const dt_events_ops ops = {.name = "events",
                                      .destroy = destroy,
                                      .stop_requested = stop_requested,
                                      .seconds_left = seconds_left,
                                      .reserve = reserve,
                                      .start_stop_requested = start_stop_requested,
                                      .begin = begin,
                                      .is_limit = is_limit,
                                      .save_requested = save_requested};
    char limit[32];
    all_events *e = dt_calloc(1, sizeof *e);
    if (!e)
        return dt_fail_memory(err, sizeof *e, "requests to stop");
    e->head.ops = &ops;
    e->guard = o->guard;
    e->limit_s = o->time_limit_s > 0.0 ? o->start_s + o->time_limit_s : INFINITY;
    dt_duration_format(o->time_limit_s, limit, sizeof limit);
    snprintf(e->limit_text, sizeof e->limit_text, "the time limit of %s", limit);
    e->watch = o->watch;
    atomic_init(&e->reserve_s, 0.0);
    atomic_init(&e->is_limit, false);
    dt_status status = DT_OK;
    if (o->polls_slurm)
        status = dt_slurm_limit_create(&(dt_slurm_limit_options){0}, &e->slurm, err);
    if (status == DT_OK)
        status = start_polling_spot(o, &e->spot, err);
    if (status == DT_OK)
        dt_waits_set_stop(ask_now, e);
    if (status == DT_OK)
        *events = &e->head;
    else
        destroy(&e->head);
    return status;
}
