#include "config.h"

#include "launch/stop/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };

/* Static, because a signal handler gets no context. */
static struct {
    dt_events events;
    bool is_open, announce;
    volatile sig_atomic_t received; /* the first signal; 0: none */
    volatile sig_atomic_t n_interrupts;
    struct sigaction before[N_SIGNALS];
} state;

/* Calls async-signal-safe functions only. */
static void handle(int number)
{
    static const char text[] =
        "\ndtrain: stopping after this step, with a checkpoint; Ctrl-C again ends at once\n";
    int saved_errno = errno;
    if (number == SIGINT && ++state.n_interrupts > 1)
        _exit(128 + SIGINT);
    /* Other signals are not acknowledged: SIGINT is the one that a user types, and mpirun sends SIGTERM after
     * another rank has failed, which has its own message. */
    if (number == SIGINT && !state.received && state.announce)
        (void)!write(STDERR_FILENO, text, sizeof text - 1); /* nothing can be done about a failure */
    if (!state.received)
        state.received = number;
    errno = saved_errno;
}

static const char *stop_requested(dt_events *events)
{
    (void)events;
    switch (state.received) {
    case 0:
        return NULL;
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    default:
        return "SIGUSR1";
    }
}

static void destroy(dt_events *events)
{
    if (!events || !state.is_open)
        return;
    for (int i = 0; i < N_SIGNALS; i++)
        (void)sigaction(signals[i], &state.before[i], NULL);
    state.is_open = false;
}

dt_status dt_signals_create(bool announce, dt_events **events, dt_error *err)
{
    static const dt_events_ops ops = {
        .name = "signals", .destroy = destroy, .stop_requested = stop_requested};
    struct sigaction action;
    if (state.is_open)
        return dt_fail(err, DT_ERR_INTERNAL, "signals: the handlers are installed already");
    memset(&state, 0, sizeof state);
    state.announce = announce;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++)
        (void)sigaction(signals[i], &action, &state.before[i]); /* fails for invalid numbers only */
    state.events.ops = &ops;
    state.is_open = true;
    *events = &state.events;
    return DT_OK;
}
