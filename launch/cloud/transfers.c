#include "config.h"

#include "launch/cloud/transfers.h"

#ifdef HAVE_CURL

#    include "core/base/alloc.h"
#    include "core/base/clock.h"
#    include "core/base/log.h"
#    include "core/base/waits.h"
#    include "launch/cloud/aws_environment.h"
#    include "launch/cloud/transfer_queue.h"
#    include "launch/cloud/transfer_slot.h"
#    include "launch/cloud/transfer_wait.h"
#    include "launch/cloud/transfer_width.h"

#    include <errno.h>
#    include <math.h>
#    include <signal.h>
#    include <sys/epoll.h>
#    include <sys/eventfd.h>
#    include <unistd.h>

enum { MAX_EVENTS = 64, MAX_TRIES_AT_ONCE = 3, TRIES_OF_A_STRANGER = 3, TRIES_TO_WARN = 5 };
#    define WARN_EVERY_S 30.0
#    define LONGEST_WAIT_S 0.25 /* so that a request to stop is seen */

struct dt_transfers {
    dt_transfers_options options;
    CURLM *multi;
    int epoll, wake; /* file descriptors */
    double timer_s;  /* when curl wants to be called; INFINITY: not */
    dt_transfer_width width;
    dt_transfer_slot **slots, *idle;
    int n_slots, n_active;
    dt_transfer_queue ready, waiting; /* to be tried; to be tried later */
    bool is_answered;                 /* some server has answered */
    double warned_s;
    int64_t n_ended, noted_bytes, noted_requests;
    dt_transfers_stats stats;
};

/* -- queues ---------------------------------------------------------------------------------------------- */

static void begin(dt_transfer *t)
{
    t->received = 0;
    t->answer = NULL;
    t->own.tries = t->own.tries_at_once = 0;
    t->own.is_answered = false;
}

void dt_transfers_add(dt_transfers *transfers, dt_transfer *transfer)
{
    begin(transfer);
    dt_transfer_queue_push(&transfers->ready, transfer);
}

void dt_transfers_add_first(dt_transfers *transfers, dt_transfer *transfer)
{
    begin(transfer);
    dt_transfer_queue_push_first(&transfers->ready, transfer);
}

int64_t dt_transfers_left(const dt_transfers *transfers)
{
    return transfers->ready.n + transfers->waiting.n + transfers->n_active;
}

/* A quarter more than there are connections: the next request is there when one ends. */
static int most_at(int width)
{
    return width + width / 4 + 2;
}

int dt_transfers_wanted(const dt_transfers *transfers)
{
    const int64_t wanted = most_at(transfers->width.now) - dt_transfers_left(transfers);
    return wanted > 0 ? (int)wanted : 0;
}

int dt_transfers_most(const dt_transfers *transfers)
{
    return most_at(transfers->options.max_connections);
}

/* Moves what has waited long enough to the queue. Returns when the next one is due; INFINITY: none waits. */
static double move_due(dt_transfers *x, double now_s)
{
    double next_s = INFINITY;
    for (int64_t n = x->waiting.n; n > 0; n--) {
        dt_transfer *t = dt_transfer_queue_pop(&x->waiting);
        if (t->own.not_before_s <= now_s) {
            dt_transfer_queue_push_first(&x->ready, t); /* others may wait for what has waited so long */
        } else {
            next_s = fmin(next_s, t->own.not_before_s);
            dt_transfer_queue_push(&x->waiting, t);
        }
    }
    return next_s;
}

/* -- events of curl -------------------------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    dt_transfers *x = context;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(x->epoll, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    event.events =
        (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(x->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
        (void)epoll_ctl(x->epoll, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    (void)curl_multi_assign(x->multi, fd, x);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *context)
{
    dt_transfers *x = context;
    (void)multi;
    x->timer_s = ms < 0 ? INFINITY : dt_clock_s() + (double)ms / 1000.0;
    return 0;
}

/* Waits for events until until_s, and lets curl work on them. Returns whether the engine was woken. */
static bool work(dt_transfers *x, double until_s)
{
    struct epoll_event events[MAX_EVENTS];
    int running;
    bool is_woken = false;
    const double now_s = dt_clock_s(), wait_s = fmin(fmin(until_s, x->timer_s) - now_s, LONGEST_WAIT_S);
    const int n = epoll_wait(x->epoll, events, MAX_EVENTS, wait_s > 0.0 ? (int)ceil(wait_s * 1000.0) : 0);
    for (int i = 0; i < n; i++) {
        const uint32_t e = events[i].events;
        uint64_t count;
        if (events[i].data.fd == x->wake) {
            is_woken = read(x->wake, &count, sizeof count) > 0;
            continue;
        }
        (void)curl_multi_socket_action(x->multi, events[i].data.fd,
                                       (e & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                                           (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                                           (e & EPOLLERR ? CURL_CSELECT_ERR : 0),
                                       &running);
    }
    if (dt_clock_s() >= x->timer_s) {
        x->timer_s = INFINITY; /* curl sets it again */
        (void)curl_multi_socket_action(x->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    return is_woken;
}

/* -- tries ----------------------------------------------------------------------------------------------- */

static dt_status end_transfer(dt_transfers *x, dt_transfer *t, dt_status status, dt_error *why, dt_error *err)
{
    x->n_ended++;
    x->stats.transfers += status == DT_OK;
    status = t->done(t, status, why);
    if (status != DT_OK && err)
        *err = *why;
    return status;
}

/* How often a transfer may fail in a row. An address that has never answered is probably wrong. */
static int most_tries(const dt_transfers *x, const dt_transfer_slot *slot)
{
    const bool is_wrong = slot->is_unreachable && !x->is_answered;
    return is_wrong && x->options.max_tries > TRIES_OF_A_STRANGER ? TRIES_OF_A_STRANGER
                                                                  : x->options.max_tries;
}

/* The slot's try has failed with *why: again now, again later, or not again. */
static dt_status try_again(dt_transfers *x, const dt_transfer_slot *slot, dt_transfer *t,
                           dt_transfer_verdict verdict, dt_error *why, dt_error *err)
{
    const dt_transfers_options *o = &x->options;
    const bool is_at_once = verdict == DT_TRANSFER_RETRY_NOW && t->own.tries_at_once < MAX_TRIES_AT_ONCE;
    if (slot->n_received > 0)
        t->own.tries = 0;
    t->own.tries += !is_at_once;
    t->own.tries_at_once += is_at_once;
    if (verdict == DT_TRANSFER_FAIL || t->own.tries >= most_tries(x, slot))
        return end_transfer(x, t, why->status, why, err);
    x->stats.retries++;
    if (verdict == DT_TRANSFER_RETRY_SLOW) {
        x->stats.slow_downs++;
        dt_transfer_width_slow_down(&x->width, dt_clock_s());
    }
    if (is_at_once) {
        dt_transfer_queue_push_first(&x->ready, t);
        return DT_OK;
    }
    const double wait_s = dt_transfer_wait_s(t->own.tries, o->wait_s, o->max_wait_s);
    const double now_s = dt_clock_s();
    if (t->own.tries >= TRIES_TO_WARN && now_s - x->warned_s > WARN_EVERY_S) {
        dt_log_warn("%s; trying again", why->message);
        x->warned_s = now_s;
    }
    t->own.not_before_s = now_s + wait_s;
    dt_transfer_queue_push(&x->waiting, t);
    return DT_OK;
}

static dt_status start(dt_transfers *x, dt_transfer *t, dt_error *err)
{
    dt_error why = {0};
    dt_transfer_slot *slot = x->idle;
    if (!slot) {
        DT_TRY(dt_transfer_slot_create(&x->options, dt_aws_environment("AWS_CA_BUNDLE"), &slot, err));
        x->slots[x->n_slots++] = slot;
    } else {
        x->idle = slot->next;
    }
    slot->next = NULL;
    dt_status status = dt_transfer_slot_load(slot, t, &why);
    if (status == DT_OK && curl_multi_add_handle(x->multi, slot->easy) != CURLM_OK)
        status = dt_fail_memory(&why, sizeof *slot, "a request");
    if (status == DT_OK) {
        x->n_active++;
        x->stats.requests++;
        return DT_OK;
    }
    slot->next = x->idle;
    x->idle = slot;
    return end_transfer(x, t, status, &why, err);
}

static dt_status end_try(dt_transfers *x, dt_transfer_slot *slot, CURLcode result, dt_error *err)
{
    long opened = 0;
    dt_error why = {0};
    dt_transfer_verdict verdict = DT_TRANSFER_FAIL;
    dt_transfer *t = slot->transfer;
    (void)curl_easy_getinfo(slot->easy, CURLINFO_NUM_CONNECTS, &opened);
    (void)curl_multi_remove_handle(x->multi, slot->easy);
    x->n_active--;
    const bool is_whole = dt_transfer_slot_end(slot, result, &verdict, &why);
    x->stats.connections += opened;
    x->stats.bytes += slot->n_received;
    x->is_answered = x->is_answered || slot->answer.status > 0;
    slot->transfer = NULL;
    const dt_status status =
        is_whole ? end_transfer(x, t, DT_OK, &why, err) : try_again(x, slot, t, verdict, &why, err);
    slot->next = x->idle; /* only now: `done` reads the answer */
    x->idle = slot;
    return status;
}

static dt_status end_tries(dt_transfers *x, dt_error *err)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(x->multi, &left)) != NULL;) {
        dt_transfer_slot *slot = NULL;
        if (m->msg == CURLMSG_DONE && curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &slot) == CURLE_OK)
            DT_TRY(end_try(x, slot, m->data.result, err));
    }
    return DT_OK;
}

/* Ends the tries that get nothing more, as a time-out. */
static dt_status end_stalled(dt_transfers *x, double now_s, dt_error *err)
{
    for (int i = 0; i < x->n_slots; i++)
        if (x->slots[i]->transfer && dt_transfer_slot_is_stalled(x->slots[i], x->options.stall_s, now_s))
            DT_TRY(end_try(x, x->slots[i], CURLE_OPERATION_TIMEDOUT, err));
    return DT_OK;
}

static dt_status start_tries(dt_transfers *x, dt_error *err)
{
    while (x->n_active < x->width.now && x->ready.n > 0)
        DT_TRY(start(x, dt_transfer_queue_pop(&x->ready), err));
    return DT_OK;
}

/* -- running --------------------------------------------------------------------------------------------- */

static void note_width(dt_transfers *x, double now_s)
{
    int64_t bytes = x->stats.bytes;
    for (int i = 0; i < x->n_slots; i++) /* those under way, too */
        if (x->slots[i]->transfer)
            bytes += x->slots[i]->n_received;
    dt_transfer_width_note(&x->width, bytes - x->noted_bytes, x->n_ended - x->noted_requests,
                           x->n_active >= x->width.now, now_s);
    x->noted_bytes = bytes;
    x->noted_requests = x->n_ended;
    if (x->width.now > x->stats.most_width)
        x->stats.most_width = x->width.now;
}

static dt_status run(dt_transfers *x, double most_s, dt_error *err)
{
    const int64_t n_ended = x->n_ended;
    const double until_s = dt_clock_s() + most_s;
    double noted_s = 0.0;
    for (bool is_woken = false, has_worked = false;; has_worked = true) {
        const char *stop = dt_waits_stop_requested();
        if (stop)
            return dt_fail(err, DT_ERR_INTERRUPTED, "stopped on %s while fetching data", stop);
        const double now_s = dt_clock_s(), due_s = move_due(x, now_s);
        DT_TRY(start_tries(x, err));
        if (now_s - noted_s > 0.05) {
            note_width(x, now_s);
            DT_TRY(end_stalled(x, now_s, err));
            noted_s = now_s;
        }
        if (x->n_ended != n_ended || dt_transfers_left(x) == 0 ||
            (has_worked && (is_woken || now_s >= until_s)))
            return DT_OK;
        is_woken = work(x, fmin(until_s, due_s));
        DT_TRY(end_tries(x, err));
    }
}

dt_status dt_transfers_run(dt_transfers *transfers, double most_s, dt_error *err)
{
    sigset_t pipe, before, pending;
    const struct timespec now = {0};
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before); /* OpenSSL writes to connections that are closed */
    const dt_status status = run(transfers, most_s, err);
    if (!sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR) {
        }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

dt_status dt_transfers_finish(dt_transfers *transfers, dt_error *err)
{
    while (dt_transfers_left(transfers) > 0)
        DT_TRY(dt_transfers_run(transfers, 1.0, err));
    return DT_OK;
}

void dt_transfers_wake(dt_transfers *transfers)
{
    const uint64_t one = 1;
    (void)!write(transfers->wake, &one, sizeof one);
}

void dt_transfers_get_stats(const dt_transfers *transfers, dt_transfers_stats *stats)
{
    *stats = transfers->stats;
    for (int i = 0; i < transfers->n_slots; i++)
        if (transfers->slots[i]->transfer)
            stats->bytes += transfers->slots[i]->n_received;
    stats->width = transfers->width.now;
}

/* -- life ------------------------------------------------------------------------------------------------ */

bool dt_transfers_are_built_in(void)
{
    return true;
}

bool dt_transfers_can_sign(void)
{
    return curl_version_info(CURLVERSION_NOW)->version_num >= 0x075800;
}

static void set_defaults(dt_transfers_options *o)
{
    o->max_connections = o->max_connections > 0 ? o->max_connections : 128;
    o->min_connections = o->min_connections > 0 ? o->min_connections : 1;
    o->first_connections = o->first_connections > 0 ? o->first_connections : 16;
    if (o->min_connections > o->max_connections)
        o->min_connections = o->max_connections;
    o->first_connections = (int)fmax(fmin(o->first_connections, o->max_connections), o->min_connections);
    o->max_tries = o->max_tries > 0 ? o->max_tries : 15;
    o->wait_s = o->wait_s > 0.0 ? o->wait_s : 0.2;
    o->max_wait_s = o->max_wait_s > 0.0 ? o->max_wait_s : 20.0;
    o->connect_s = o->connect_s > 0.0 ? o->connect_s : 10.0;
    o->stall_s = o->stall_s > 0.0 ? o->stall_s : 20.0;
}

static bool set_up(dt_transfers *x)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = x->wake};
    return curl_multi_setopt(x->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(x->multi, CURLMOPT_SOCKETDATA, x) == CURLM_OK &&
           curl_multi_setopt(x->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(x->multi, CURLMOPT_TIMERDATA, x) == CURLM_OK &&
           curl_multi_setopt(x->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
           curl_multi_setopt(x->multi, CURLMOPT_MAXCONNECTS, (long)x->options.max_connections) == CURLM_OK &&
           epoll_ctl(x->epoll, EPOLL_CTL_ADD, x->wake, &event) == 0;
}

dt_status dt_transfers_create(const dt_transfers_options *options, dt_transfers **transfers, dt_error *err)
{
    dt_transfers *x = dt_calloc(1, sizeof *x);
    if (!x || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        dt_free(x);
        return dt_fail_memory(err, sizeof *x, "transfers");
    }
    dt_status status = DT_OK;
    x->options = *options;
    set_defaults(&x->options);
    x->timer_s = INFINITY;
    x->warned_s = -INFINITY;
    dt_transfer_width_begin(&x->width, x->options.first_connections, x->options.min_connections,
                            x->options.max_connections, dt_clock_s());
    x->epoll = epoll_create1(EPOLL_CLOEXEC);
    x->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    x->slots = dt_calloc((size_t)x->options.max_connections, sizeof *x->slots);
    x->multi = curl_multi_init();
    if (x->epoll < 0 || x->wake < 0)
        status = dt_fail_errno(err, "transfers: no file descriptor");
    else if (!x->slots || !x->multi || !set_up(x))
        status = dt_fail_memory(err, sizeof *x, "transfers");
    if (status == DT_OK)
        *transfers = x;
    else
        dt_transfers_destroy(x);
    return status;
}

void dt_transfers_destroy(dt_transfers *transfers)
{
    if (!transfers)
        return;
    for (int i = 0; i < transfers->n_slots; i++) {
        if (transfers->slots[i]->transfer)
            (void)curl_multi_remove_handle(transfers->multi, transfers->slots[i]->easy);
        dt_transfer_slot_destroy(transfers->slots[i]);
    }
    if (transfers->multi)
        (void)curl_multi_cleanup(transfers->multi);
    if (transfers->epoll >= 0)
        (void)close(transfers->epoll);
    if (transfers->wake >= 0)
        (void)close(transfers->wake);
    dt_free(transfers->slots);
    dt_free(transfers);
    curl_global_cleanup();
}

#endif
