/* wait.c: wait for NCCL and for the device, and give up at the deadline or at an error. */
#include "comm/nccl/internal.h"

#include "core/base/clock.h"
#include "core/base/fault.h"

#include <stdio.h>

#define POLL_S 20e-6        /* far below the time of a step */
#define POLLS_PER_STATUS 16 /* ask NCCL for errors once in so many polls */
/* After an error collect notices for so many notice intervals, to find the missing ranks. */
#define SEARCH_INTERVALS 3.5
#define GRACE_S 1.5 /* time for the other ranks to abort, and to send a notice of it */

/* -- giving up ------------------------------------------------------------------------------------------- */

dt_status dt_nccl_leave(dt_comm_nccl *c, dt_status status)
{
    if (!c->failed)
        dt_nccl_log_warnings(&c->log);
    c->failed_as = c->failed ? c->failed_as : status;
    c->failed = true;
    dt_nccl_abort(c, true);
    dt_watch_leave(c->watch, GRACE_S);
    return status;
}

/* Give up because of an error that the other ranks have not been sent yet. */
static dt_status give_up_and_leave(dt_comm_nccl *c, const dt_error *own, dt_error *err)
{
    dt_watch_give_up(c->watch, own);
    if (err)
        *err = *own;
    return dt_nccl_leave(c, own->status);
}

/* Collect notices after an error that NCCL or the watchdog found, and write the missing ranks into
 * missing_ranks ("": none). Fails where another rank has given up: its reason came first. */
static dt_status find_missing(dt_comm_nccl *c, const dt_position *position, char *missing_ranks, size_t bytes,
                              dt_error *err)
{
    dt_waiting w = dt_waiting_begin(position);
    const double deadline_s = dt_watch_deadline_s(c->watch),
                 interval_s = deadline_s < 4.0 ? deadline_s / 4.0 : 1.0;
    while (c->head.size > 1 && dt_clock_s() - w.start_s < SEARCH_INTERVALS * interval_s) {
        DT_TRY(dt_watch_poll(c->watch, &w, false, err));
        dt_clock_sleep_s(1e-3);
    }
    if (dt_watch_describe_missing(c->watch, &w, missing_ranks, bytes) == 0)
        missing_ranks[0] = '\0';
    return DT_OK;
}

static dt_status nccl_failed(dt_comm_nccl *c, int code, const dt_position *position, const char *what,
                             dt_error *err)
{
    char here[160], missing_ranks[600];
    dt_error own = {0};
    const char *last = c->api->last_error(c->handle);
    dt_position_describe(position, here, sizeof here);
    dt_status status = find_missing(c, position, missing_ranks, sizeof missing_ranks, err);
    if (status != DT_OK)
        return dt_nccl_leave(c, status);
    dt_fail(&own, code == DT_NCCL_REMOTE_ERROR || missing_ranks[0] ? DT_ERR_PEER : DT_ERR_COMM,
            "NCCL, in %s (%s): %s%s%s%s%s", here, what, c->api->error_string(code),
            last && last[0] ? ": " : "", last ? last : "", missing_ranks[0] ? "; " : "", missing_ranks);
    return give_up_and_leave(c, &own, err);
}

/* Give up because the watchdog has aborted NCCL, which freed this thread from a call of CUDA. */
static dt_status watchdog_fired(dt_comm_nccl *c, dt_error *err)
{
    /* The watchdog's number, not the marks: the device has gone on since the abort. */
    const dt_position position = dt_nccl_position_of(c, atomic_load(&c->watchdog.stalled));
    char here[160], missing_ranks[600];
    dt_error own = {0};
    dt_position_describe(&position, here, sizeof here);
    dt_status status = find_missing(c, &position, missing_ranks, sizeof missing_ranks, err);
    if (status != DT_OK)
        return dt_nccl_leave(c, status);
    dt_fail(&own, missing_ranks[0] ? DT_ERR_PEER : DT_ERR_TIMEOUT,
            "after %g s in %s, in which the host hung too, NCCL was aborted%s%s",
            dt_watch_deadline_s(c->watch), here, missing_ranks[0] ? "; " : "", missing_ranks);
    return give_up_and_leave(c, &own, err);
}

dt_status dt_nccl_usable(dt_comm_nccl *c, const char *what, const char *fault, dt_error *err)
{
    if (c->failed)
        return dt_fail(err, c->failed_as, "%s: communication has failed before", what);
    if (dt_fault(fault))
        return dt_fail(err, DT_ERR_COMM, "%s: fault point %s", what, fault);
    return dt_nccl_check_fired(c, err);
}

dt_status dt_nccl_check_fired(dt_comm_nccl *c, dt_error *err)
{
    return dt_nccl_watchdog_enter(c) ? DT_OK : watchdog_fired(c, err);
}

/* -- waiting --------------------------------------------------------------------------------------------- */

static dt_status poll_watch(dt_comm_nccl *c, dt_waiting *w, dt_error *err)
{
    dt_status status = dt_watch_poll(c->watch, w, false, err);
    return status == DT_OK ? DT_OK : dt_nccl_leave(c, status);
}

static dt_status wait_for_nccl(dt_comm_nccl *c, int *result, const dt_position *position, dt_error *err)
{
    dt_waiting w = dt_waiting_begin(position);
    while (*result == DT_NCCL_IN_PROGRESS) {
        DT_TRY(dt_nccl_check_fired(c, err));
        int code = dt_nccl_call_poll(c, result);
        if (code != DT_NCCL_SUCCESS)
            return nccl_failed(c, code, position, "ncclCommGetAsyncError", err);
        if (*result == DT_NCCL_IN_PROGRESS)
            DT_TRY(poll_watch(c, &w, err));
    }
    return DT_OK;
}

dt_status dt_nccl_wait_ready(dt_comm_nccl *c, int result, const dt_position *position, const char *what,
                             dt_error *err)
{
    if (result == DT_NCCL_SUCCESS)
        return DT_OK;
    dt_nccl_watchdog_hold(c);
    dt_status status = wait_for_nccl(c, &result, position, err);
    dt_nccl_watchdog_release(c);
    DT_TRY(status);
    return result == DT_NCCL_SUCCESS ? DT_OK : nccl_failed(c, result, position, what, err);
}

/* Fails where NCCL reports an asynchronous error: it detects some lost connections itself. */
static dt_status check_nccl(dt_comm_nccl *c, const dt_position *position, dt_error *err)
{
    int result = DT_NCCL_SUCCESS;
    int code = c->api->async_error(c->handle, &result);
    if (code != DT_NCCL_SUCCESS)
        return nccl_failed(c, code, position, "ncclCommGetAsyncError", err);
    if (result != DT_NCCL_SUCCESS && result != DT_NCCL_IN_PROGRESS)
        return nccl_failed(c, result, position, "found while waiting for the device", err);
    return DT_OK;
}

static dt_status wait_for_event(dt_comm_nccl *c, dt_event *event, dt_error *err)
{
    dt_position position = dt_nccl_device_position(c);
    dt_waiting w = dt_waiting_begin(&position);
    /* Waits of a step are too short for notices, but other ranks may wait for this one. */
    DT_TRY(dt_watch_heartbeat(c->watch, err));
    for (int64_t polls = 1;; polls++) {
        dt_error own = {0};
        bool done = false;
        if (c->device->ops->event_done(c->device, event, &done, &own) != DT_OK)
            return give_up_and_leave(c, &own, err);
        if (atomic_load(&c->watchdog.fired))
            return watchdog_fired(c, err);
        if (done)
            return DT_OK;
        if (polls % POLLS_PER_STATUS == 0)
            DT_TRY(check_nccl(c, &position, err));
        const dt_position now = dt_nccl_device_position(c);
        if (now.number != position.number || now.kind != position.kind) {
            position = now;
            dt_waiting_move(&w, &position);
        } else {
            DT_TRY(poll_watch(c, &w, err));
        }
        dt_clock_sleep_s(POLL_S);
    }
}

dt_status dt_nccl_device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err)
{
    dt_comm_nccl *c = (dt_comm_nccl *)comm;
    if (device != c->device)
        return dt_fail(err, DT_ERR_INTERNAL, "NCCL: a wait for another device");
    DT_TRY(dt_nccl_usable(c, "waiting for the device", "comm.device_wait", err));
    dt_nccl_watchdog_hold(c);
    dt_status status = wait_for_event(c, event, err);
    dt_nccl_watchdog_release(c);
    return status;
}
