#include "config.h"

#include "launch/stop/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGINT, "SIGINT"},   {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"},  {SIGUSR1, "SIGUSR1"},
               {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"}, {SIGPIPE, "SIGPIPE"}};
enum { N_SIGNALS = sizeof signals / sizeof signals[0] };

/* Static, because a signal handler gets no context. */
static struct {
    bool is_installed, keeps_hangup_ignored;
    volatile sig_atomic_t announce, trains;
    volatile sig_atomic_t received; /* the first signal; 0: none */
    volatile sig_atomic_t n_interrupts;
} state;

/* Calls async-signal-safe functions only. */
static void acknowledge(void)
{
    static const char trains[] =
        "\ndtrain: stopping after this step, with a checkpoint; Ctrl-C again ends at once\n";
    static const char starts[] =
        "\ndtrain: stopping before the first step, nothing is to be saved; Ctrl-C again ends at once\n";
    if (state.trains)
        (void)!write(STDERR_FILENO, trains, sizeof trains - 1); /* nothing can be done about a failure */
    else
        (void)!write(STDERR_FILENO, starts, sizeof starts - 1);
}

/* Calls async-signal-safe functions only. */
static void handle(int number, siginfo_t *info, void *context)
{
    (void)context;
    const int saved_errno = errno;
    if (number == SIGPIPE && info->si_pid == getpid())
        return; /* of a write, which fails with EPIPE */
    if (number == SIGINT && ++state.n_interrupts > 1)
        _exit(128 + SIGINT);
    /* Other signals are not acknowledged: SIGINT is the one that a user types, and mpirun sends SIGTERM after
     * another rank has failed, which has its own message. */
    if (number == SIGINT && !state.received && state.announce)
        acknowledge();
    if (!state.received)
        state.received = number;
    errno = saved_errno;
}

const char *dt_signals_stop_requested(void)
{
    const int received = state.received;
    for (int i = 0; i < N_SIGNALS; i++)
        if (signals[i].number == received)
            return signals[i].name;
    return NULL;
}

void dt_signals_install(bool announce)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_RESTART | SA_SIGINFO}, before;
    sigemptyset(&action.sa_mask);
    state.announce = announce;
    if (!state.is_installed)
        state.keeps_hangup_ignored = sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
    state.is_installed = true;
    for (int i = 0; i < N_SIGNALS; i++)
        if (signals[i].number != SIGHUP || !state.keeps_hangup_ignored)
            (void)sigaction(signals[i].number, &action, NULL); /* fails for invalid numbers only */
}

void dt_signals_reinstall(void)
{
    if (state.is_installed)
        dt_signals_install(state.announce);
}

void dt_signals_set_trains(void)
{
    state.trains = 1;
}

static sigset_t all(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < N_SIGNALS; i++)
        sigaddset(&set, signals[i].number);
    return set;
}

void dt_signals_hold(void)
{
    const sigset_t set = all();
    (void)sigprocmask(SIG_BLOCK, &set, NULL); /* fails for an invalid first argument only */
    const int received = state.received;
    state.received = state.n_interrupts = 0;
    if (received) /* not SIGPIPE: from this process, it asks for nothing */
        (void)raise(received == SIGPIPE ? SIGTERM : received);
}

void dt_signals_release(void)
{
    const sigset_t set = all();
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void dt_signals_end(void)
{
    if (!state.received)
        return;
    (void)signal(state.received, SIG_DFL);
    dt_signals_release(); /* also in a thread that blocks all */
    (void)kill(getpid(), state.received);
    for (int i = 0; i < 100; i++)
        (void)poll(NULL, 0, 10);
}

void dt_signals_ignore_file_size(void)
{
    (void)signal(SIGXFSZ, SIG_IGN);
}
