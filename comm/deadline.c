#include "comm/deadline.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define NOTICE_EVERY_S 1.0    /* a quarter of the deadline where that is shorter */
#define SILENT_AFTER 3.0      /* notice intervals; a rank that waits sends a notice in each */
#define HEARTBEAT_EVERY_S 0.1 /* a tenth of the notice interval where that is shorter than 1 s */
#define WARN_AFTER_S 60.0     /* log one warning in each wait that gets as long */
#define NAP_AFTER_S 1.0       /* sleep between polls when nothing has arrived for so long */
#define NAP_S 0.001           /* 128 KiB a poll are still 1 Gbit/s */
#define POLLS_PER_CLOCK 16    /* read the clock once in so many polls */
#define NAMED 8               /* ranks named in a message */

typedef struct peer {
    char host[64];
    dt_notice last_notice; /* the last DT_NOTICE_WAITS or _BUSY */
    double last_seen_s;    /* when the last notice of any kind arrived */
    double heartbeat_s;    /* when the last DT_NOTICE_BUSY arrived */
    bool wants_heartbeat;  /* it waits, and was sent nothing since its notice */
    bool gave_up, gone;    /* gone implies gave_up */
    dt_status status;      /* why it gave up */
    char why[sizeof((dt_notice *)0)->text];
} peer;

struct dt_watch {
    const dt_comm *comm;
    dt_side_channel channel;
    double deadline_s, notice_every_s, next_heartbeat_s;
    int64_t n_begun[DT_SEQUENCES];
    peer *peers;
};

/* -- positions ------------------------------------------------------------------------------------------- */

static dt_sequence sequence_of(const dt_position *position)
{
    return position->kind < DT_POSITION_START ? DT_SEQUENCE_HOST : DT_SEQUENCE_DEVICE;
}

static void describe_host_position(const dt_position *p, char *out, size_t out_bytes)
{
    static const char *const names[] = {"a barrier",     "a broadcast",          "an all-gather",
                                        "an all-reduce", "the sum of gradients", "leaving"};
    char size[40] = "", step[40] = "";
    if (p->bytes > 0)
        snprintf(size, sizeof size, " of %lld bytes", (long long)p->bytes);
    if (p->step > 0)
        snprintf(step, sizeof step, ", step %lld", (long long)p->step);
    snprintf(out, out_bytes, "%s%s (collective %lld%s)", names[p->kind], size, (long long)p->number, step);
}

void dt_position_describe(const dt_position *p, char *out, size_t out_bytes)
{
    if (p->kind < 0 || p->kind > DT_POSITION_WORK)
        snprintf(out, out_bytes, "something unknown");
    else if (p->kind < DT_POSITION_START)
        describe_host_position(p, out, out_bytes);
    else if (p->kind == DT_POSITION_START)
        snprintf(out, out_bytes, "NCCL's start");
    else if (p->kind == DT_POSITION_BUCKET)
        snprintf(out, out_bytes, "the sum of gradient bucket %lld of step %lld (%lld bytes)",
                 (long long)p->bucket, (long long)p->step, (long long)p->bytes);
    else if (p->step > 0)
        snprintf(out, out_bytes, "the device's own work after gradient bucket %lld of step %lld",
                 (long long)p->bucket, (long long)p->step);
    else
        snprintf(out, out_bytes, "the device's own work");
}

/* -- begin and end --------------------------------------------------------------------------------------- */

dt_status dt_watch_create(const dt_watch_options *o, dt_watch **watch, dt_error *err)
{
    const size_t size = (size_t)o->comm->size;
    dt_watch *w = dt_calloc(1, sizeof *w);
    peer *peers = dt_calloc(size, sizeof *peers);
    if (!w || !peers) {
        dt_free(w);
        dt_free(peers);
        return dt_fail_memory(err, size * sizeof *peers, "the state of the other ranks");
    }
    *w = (dt_watch){.comm = o->comm, .channel = o->channel, .deadline_s = o->deadline_s, .peers = peers};
    w->notice_every_s = o->deadline_s < 4.0 * NOTICE_EVERY_S ? o->deadline_s / 4.0 : NOTICE_EVERY_S;
    for (size_t r = 0; r < size; r++) {
        memcpy(peers[r].host, o->hosts[r], sizeof peers[r].host);
        peers[r].last_seen_s = peers[r].heartbeat_s = -INFINITY;
    }
    *watch = w;
    return DT_OK;
}

void dt_watch_destroy(dt_watch *w)
{
    if (!w)
        return;
    dt_free(w->peers);
    dt_free(w);
}

void dt_watch_set_begun(dt_watch *w, dt_sequence sequence, int64_t number)
{
    w->n_begun[sequence] = number;
}

double dt_watch_deadline_s(const dt_watch *w)
{
    return w->deadline_s;
}

/* -- notices --------------------------------------------------------------------------------------------- */

static dt_notice notice_of(const dt_watch *w, dt_notice_kind kind)
{
    dt_notice n;
    memset(&n, 0, sizeof n); /* all of it is sent */
    n.kind = kind;
    memcpy(n.n_begun, w->n_begun, sizeof n.n_begun);
    return n;
}

static void record_notice(dt_watch *w, int from, const dt_notice *n, double now_s)
{
    peer *p = &w->peers[from];
    p->last_seen_s = now_s;
    p->wants_heartbeat = n->kind == DT_NOTICE_WAITS;
    if (n->kind == DT_NOTICE_GIVES_UP && !p->gave_up) {
        p->status = n->status > DT_OK && n->status <= DT_ERR_INTERNAL ? (dt_status)n->status : DT_ERR_COMM;
        snprintf(p->why, sizeof p->why, "%.*s", (int)sizeof n->text - 1, n->text);
    }
    if (n->kind == DT_NOTICE_GONE && !p->gave_up)
        p->status = DT_ERR_PEER;
    p->gave_up = p->gave_up || n->kind == DT_NOTICE_GIVES_UP;
    p->gone = p->gone || n->kind == DT_NOTICE_GONE;
    p->gave_up = p->gave_up || p->gone; /* its DT_NOTICE_GIVES_UP may have been dropped */
    if (n->kind == DT_NOTICE_BUSY)
        p->heartbeat_s = now_s;
    if (n->kind == DT_NOTICE_WAITS || n->kind == DT_NOTICE_BUSY)
        p->last_notice = *n;
}

static dt_status receive_all(dt_watch *w, dt_error *err)
{
    for (;;) {
        dt_notice n;
        int from = -1;
        DT_TRY(w->channel.receive(w->channel.context, &from, &n, err));
        if (from < 0)
            return DT_OK;
        record_notice(w, from, &n, dt_clock_s());
    }
}

/* Send to all ranks. Ranks whose previous notice is still being sent are left out: they hang. */
static dt_status send_all(dt_watch *w, const dt_notice *n, dt_error *err)
{
    for (int r = 0; r < w->comm->size; r++) {
        bool sent = false;
        if (r == w->comm->rank || w->peers[r].gone)
            continue;
        DT_TRY(w->channel.send(w->channel.context, r, n, &sent, err));
        if (sent)
            w->peers[r].wants_heartbeat = false;
    }
    return DT_OK;
}

dt_status dt_watch_heartbeat(dt_watch *w, dt_error *err)
{
    const double now_s = dt_clock_s();
    if (w->comm->size == 1 || now_s < w->next_heartbeat_s)
        return DT_OK;
    w->next_heartbeat_s =
        now_s + (w->notice_every_s < NOTICE_EVERY_S ? w->notice_every_s / 10.0 : HEARTBEAT_EVERY_S);
    DT_TRY(receive_all(w, err));
    const dt_notice busy = notice_of(w, DT_NOTICE_BUSY);
    for (int r = 0; r < w->comm->size; r++) {
        bool sent = false;
        if (!w->peers[r].wants_heartbeat)
            continue;
        DT_TRY(w->channel.send(w->channel.context, r, &busy, &sent, err));
        w->peers[r].wants_heartbeat = !sent;
    }
    return DT_OK;
}

void dt_watch_drain(dt_watch *w)
{
    dt_error ignored;
    if (w->comm->size > 1)
        (void)receive_all(w, &ignored);
}

/* -- missing ranks --------------------------------------------------------------------------------------- */

static bool missing(const dt_watch *w, int rank, const dt_waiting *waiting)
{
    return rank != w->comm->rank && waiting->position.kind != DT_POSITION_WORK &&
           w->peers[rank].last_notice.n_begun[sequence_of(&waiting->position)] < waiting->position.number;
}

/* No notice has come from this rank for so long that it can be neither waiting nor busy. */
static bool silent(const dt_watch *w, int rank, double now_s)
{
    return now_s - w->peers[rank].last_seen_s > SILENT_AFTER * w->notice_every_s;
}

/* List the missing ranks that are silent (or those that are not): "rank 3 (node7), rank 5 (node9) and 4
 * more". Returns how many there are. */
static int list_missing(const dt_watch *w, const dt_waiting *waiting, bool are_silent, double now_s,
                        char *out, size_t out_bytes)
{
    int n = 0;
    size_t used = 0;
    out[0] = '\0';
    for (int r = 0; r < w->comm->size; r++)
        if (missing(w, r, waiting) && silent(w, r, now_s) == are_silent && n++ < NAMED && used < out_bytes)
            used += (size_t)snprintf(out + used, out_bytes - used, "%srank %d (%s)", n > 1 ? ", " : "", r,
                                     w->peers[r].host);
    if (n > NAMED && used < out_bytes)
        snprintf(out + used, out_bytes - used, " and %d more", n - NAMED);
    return n;
}

int dt_watch_describe_missing(const dt_watch *w, const dt_waiting *waiting, char *out, size_t out_bytes)
{
    char names[700], there[160];
    const double now_s = dt_clock_s();
    int n = list_missing(w, waiting, true, now_s, names, sizeof names);
    out[0] = '\0';
    if (n > 0) {
        snprintf(out, out_bytes, "there is no sign of %s", names);
        return n;
    }
    n = list_missing(w, waiting, false, now_s, names, sizeof names);
    for (int r = 0; r < w->comm->size && n > 0; r++) {
        if (!missing(w, r, waiting))
            continue;
        dt_position_describe(&w->peers[r].last_notice.position, there, sizeof there);
        bool waits = w->peers[r].last_notice.kind == DT_NOTICE_WAITS;
        snprintf(out, out_bytes, "%s %s not come; rank %d is %s%s", names, n > 1 ? "have" : "has", r,
                 waits ? "in " : "busy with its own work", waits ? there : "");
        break;
    }
    return n;
}

/* Fails when another rank waits at the position with this number, but in another collective or with another
 * size: waiting on would not help. */
static dt_status check_same_position(const dt_watch *w, const dt_waiting *waiting, dt_error *err)
{
    char here[160], there[160];
    for (int r = 0; r < w->comm->size; r++) {
        const dt_position *other = &w->peers[r].last_notice.position;
        if (w->peers[r].last_notice.kind != DT_NOTICE_WAITS || waiting->position.kind == DT_POSITION_WORK ||
            other->kind == DT_POSITION_WORK || sequence_of(other) != sequence_of(&waiting->position) ||
            other->number != waiting->position.number ||
            (other->kind == waiting->position.kind && other->bytes == waiting->position.bytes))
            continue;
        dt_position_describe(&waiting->position, here, sizeof here);
        dt_position_describe(other, there, sizeof there);
        return dt_fail(err, DT_ERR_COMM, "rank %d is in %s, and rank %d (%s) in %s: a bug", w->comm->rank,
                       here, r, w->peers[r].host, there);
    }
    return DT_OK;
}

static dt_status check_given_up(const dt_watch *w, dt_error *err)
{
    for (int r = 0; r < w->comm->size; r++)
        if (w->peers[r].gave_up)
            return dt_fail(err, w->peers[r].status, "rank %d (%s) has given up: %s", r, w->peers[r].host,
                           w->peers[r].why);
    return DT_OK;
}

static dt_status timed_out(const dt_watch *w, const dt_waiting *waiting, dt_error *err)
{
    char missing_ranks[900], here[160];
    dt_position_describe(&waiting->position, here, sizeof here);
    int n = dt_watch_describe_missing(w, waiting, missing_ranks, sizeof missing_ranks);
    if (waiting->position.kind == DT_POSITION_WORK)
        return dt_fail(err, DT_ERR_TIMEOUT, "after %g s in %s nothing moves: the device hangs", w->deadline_s,
                       here);
    if (n == 0)
        return dt_fail(err, DT_ERR_PEER,
                       "after %g s in %s nothing arrives, although all ranks have come: check the network "
                       "between hosts",
                       w->deadline_s, here);
    return dt_fail(err, DT_ERR_PEER,
                   "after %g s in %s %s: it hangs, or waits for its data, or its host or network is down",
                   w->deadline_s, here, missing_ranks);
}

/* The deadline is over, and either all ranks have come, or a missing rank has sent no heartbeat for as long.
 * The extra 1.5 intervals let the notice of a rank that came just before the deadline arrive. */
static bool too_late(const dt_watch *w, const dt_waiting *waiting, double now_s)
{
    const double give_up_s = w->deadline_s + 1.5 * w->notice_every_s;
    bool all_came = true;
    if (now_s - waiting->start_s < give_up_s)
        return false;
    for (int r = 0; r < w->comm->size; r++)
        if (missing(w, r, waiting)) {
            all_came = false;
            if (now_s - w->peers[r].heartbeat_s >= give_up_s)
                return true;
        }
    return all_came;
}

/* Log a warning that names the missing ranks. Of the ranks that wait only the lowest logs it. */
static void warn(const dt_watch *w, const dt_waiting *waiting, double waited_s)
{
    char missing_ranks[900];
    for (int r = 0; r < w->comm->rank; r++)
        if (!missing(w, r, waiting))
            return;
    if (dt_watch_describe_missing(w, waiting, missing_ranks, sizeof missing_ranks) > 0)
        dt_log_warn("rank %d has waited %.0f s, and gives up after %.0f s: %s", w->comm->rank, waited_s,
                    w->deadline_s, missing_ranks);
}

/* -- waiting --------------------------------------------------------------------------------------------- */

dt_waiting dt_waiting_begin(const dt_position *position)
{
    return (dt_waiting){.position = *position, .start_s = dt_clock_s()};
}

void dt_waiting_move(dt_waiting *waiting, const dt_position *position)
{
    waiting->position = *position;
    waiting->start_s = dt_clock_s();
}

static dt_status exchange_notices(dt_watch *w, dt_waiting *waiting, double now_s, dt_error *err)
{
    if (w->comm->size == 1)
        return DT_OK;
    if (now_s >= waiting->next_notice_s) {
        dt_notice n = notice_of(w, DT_NOTICE_WAITS);
        n.position = waiting->position;
        DT_TRY(send_all(w, &n, err));
        waiting->next_notice_s = now_s + w->notice_every_s;
    }
    DT_TRY(receive_all(w, err));
    return DT_OK;
}

/* Fails when this rank must give up. */
static dt_status check_own_wait(const dt_watch *w, const dt_waiting *waiting, double now_s, dt_error *err)
{
    DT_TRY(check_same_position(w, waiting, err));
    return too_late(w, waiting, now_s) ? timed_out(w, waiting, err) : DT_OK;
}

dt_status dt_watch_poll(dt_watch *w, dt_waiting *waiting, bool moved, dt_error *err)
{
    if (moved) {
        waiting->start_s = dt_clock_s();
        return DT_OK;
    }
    /* Give the processor to the loader's threads, and to ranks that share it. */
    sched_yield();
    if (++waiting->n_polls % POLLS_PER_CLOCK != 0)
        return DT_OK;
    const double now_s = dt_clock_s(), waited_s = now_s - waiting->start_s;
    if (waited_s < w->notice_every_s)
        return DT_OK;
    DT_TRY(exchange_notices(w, waiting, now_s, err));
    dt_error own;
    dt_status status = check_own_wait(w, waiting, now_s, &own);
    if (status != DT_OK) {
        dt_watch_give_up(w, &own);
        if (err)
            *err = own;
        return status;
    }
    DT_TRY(check_given_up(w, err));
    if (waited_s >= WARN_AFTER_S && !waiting->warned) {
        waiting->warned = true;
        warn(w, waiting, waited_s);
    }
    if (waited_s >= NAP_AFTER_S)
        dt_clock_sleep_s(NAP_S);
    return DT_OK;
}

/* -- giving up ------------------------------------------------------------------------------------------- */

void dt_watch_give_up(dt_watch *w, const dt_error *why)
{
    dt_error ignored;
    dt_notice n = notice_of(w, DT_NOTICE_GIVES_UP);
    n.status = why->status;
    snprintf(n.text, sizeof n.text, "%.*s", (int)sizeof n.text - 1, why->message);
    if (w->comm->size > 1)
        (void)send_all(w, &n, &ignored);
}

void dt_watch_leave(dt_watch *w, double grace_s)
{
    const dt_notice gone = notice_of(w, DT_NOTICE_GONE);
    const double end_s = dt_clock_s() + grace_s;
    bool *sent = dt_calloc((size_t)w->comm->size, sizeof *sent), all = w->comm->size == 1 || !sent;
    dt_error ignored;
    while (!all && dt_clock_s() < end_s) {
        all = true;
        for (int r = 0; r < w->comm->size; r++) {
            if (r == w->comm->rank)
                continue;
            if (!sent[r] && w->channel.send(w->channel.context, r, &gone, &sent[r], &ignored) != DT_OK)
                sent[r] = true; /* the channel to it failed: do not try again */
            all = all && (w->peers[r].gone || silent(w, r, dt_clock_s()));
        }
        if (receive_all(w, &ignored) != DT_OK)
            break;
        dt_clock_sleep_s(NAP_S);
    }
    dt_free(sent);
}
