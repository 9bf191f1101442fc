#include "config.h"

#include "launch/stop/slurm_limit.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/ticker.h"
#include "launch/options/duration.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    ANSWER_BYTES = 64,
    POLL_MS = 50,     /* how long leaving waits */
    KILLED_POLLS = 40 /* how often a process that was killed is waited for */
};
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

static int spawn_squeue(const char *job, int out, pid_t *pid)
{
    char *arguments[] = {(char *)"squeue", (char *)"-h", (char *)"-j", (char *)job,
                         (char *)"-o",     (char *)"%L", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setsigmask(&attributes, &none); /* this thread blocks all */
    posix_spawnattr_setpgroup(&attributes, 0); /* Ctrl-C does not reach it, and kill reaches its children */
    posix_spawnattr_setsigdefault(&attributes, &usual); /* this program ignores some */
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    const int failed = posix_spawnp(pid, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static bool is_late(const dt_slurm_limit *l, double until_s)
{
    return dt_clock_s() >= until_s || atomic_load(&l->leave);
}

/* Reads until the other end is closed. False: that took longer than until_s, or the program ends. */
static bool read_answer(const dt_slurm_limit *l, int in, double until_s, char answer[ANSWER_BYTES])
{
    size_t used = 0;
    while (!is_late(l, until_s)) {
        char more[ANSWER_BYTES];
        struct pollfd p = {.fd = in, .events = POLLIN};
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        const ssize_t n = read(in, more, sizeof more);
        if (n <= 0) {
            answer[used] = '\0';
            return n == 0;
        }
        const size_t space = ANSWER_BYTES - 1 - used, kept = (size_t)n < space ? (size_t)n : space;
        memcpy(answer + used, more, kept);
        used += kept;
    }
    return false;
}

/* Waits for the end of squeue, which may come long after it has closed its output, or never. Kills it when it
 * takes longer than until_s or the program ends, and with it all that it has started. One that does not die
 * at once (it waits for a dead disk) is left to init. False: it was killed. */
static bool wait_for_end(const dt_slurm_limit *l, pid_t pid, double until_s, int *code)
{
    siginfo_t info = {.si_pid = 0};
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0 &&
           !is_late(l, until_s))
        dt_clock_sleep_s(POLL_MS / 1e3);
    (void)kill(-pid, SIGKILL); /* before it is reaped: until then the number is its own */
    for (int i = 0; i < KILLED_POLLS && waitpid(pid, code, WNOHANG) == 0; i++)
        dt_clock_sleep_s(POLL_MS / 1e3);
    return info.si_pid != 0;
}

static dt_status run_squeue(const dt_slurm_limit *l, char answer[ANSWER_BYTES], dt_error *err)
{
    int ends[2], code = 0;
    pid_t pid;
    const double until_s = dt_clock_s() + l->options.timeout_s;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return dt_fail_errno(err, "squeue: no pipe");
    const int failed = spawn_squeue(l->job, ends[1], &pid);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return dt_fail(err, DT_ERR_IO, "squeue: %s", strerror(failed));
    }
    const bool complete = read_answer(l, ends[0], until_s, answer);
    close(ends[0]);
    if (!wait_for_end(l, pid, complete ? until_s : 0.0, &code))
        return dt_fail(err, DT_ERR_TIMEOUT, "squeue did not answer and end within %g s",
                       l->options.timeout_s);
    answer[strcspn(answer, " \r\n")] = '\0';
    code = WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
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
