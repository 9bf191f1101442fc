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

enum { ANSWER_BYTES = 64 };
#define MOVED_S 60.0 /* an end that has moved by more is told */

struct dt_slurm_limit {
    dt_slurm_limit_options options;
    char job[32];
    dt_ticker *ticker;
    atomic_bool leave;
    _Atomic double end_s;    /* by dt_clock_s; INFINITY: not known */
    bool told, told_trouble; /* the thread's */
};

/* -- squeue ---------------------------------------------------------------------------------------------- */

static int spawn_squeue(const char *job, int out, pid_t *pid)
{
    char *arguments[] = {(char *)"squeue", (char *)"-h", (char *)"-j", (char *)job,
                         (char *)"-o",     (char *)"%L", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setsigmask(&attributes, &none); /* this thread blocks all */
    posix_spawnattr_setpgroup(&attributes, 0);      /* a Ctrl-C is not for it, and all that it starts can
                                                       be ended */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    const int failed = posix_spawnp(pid, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

/* What comes until the other end is closed; false when patience is at its end. */
static bool read_answer(const dt_slurm_limit *e, int in, char answer[ANSWER_BYTES])
{
    const double until = dt_clock_s() + e->options.patience_s;
    size_t used = 0;
    while (dt_clock_s() < until && !atomic_load(&e->leave)) {
        char more[ANSWER_BYTES];
        struct pollfd p = {.fd = in, .events = POLLIN};
        if (poll(&p, 1, 50) <= 0) /* ms: how long leaving waits */
            continue;
        const ssize_t n = read(in, more, sizeof more);
        if (n <= 0) {
            answer[used] = '\0';
            return n == 0;
        }
        const size_t room = ANSWER_BYTES - 1 - used, taken = (size_t)n < room ? (size_t)n : room;
        memcpy(answer + used, more, taken);
        used += taken;
    }
    return false;
}

static dt_status ask_squeue(const dt_slurm_limit *e, char answer[ANSWER_BYTES], dt_error *err)
{
    int ends[2], code = 0;
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return dt_fail_errno(err, "squeue: no pipe");
    const int failed = spawn_squeue(e->job, ends[1], &pid);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return dt_fail(err, DT_ERR_IO, "squeue: %s", strerror(failed));
    }
    const bool came = read_answer(e, ends[0], answer);
    close(ends[0]);
    if (!came)
        (void)kill(-pid, SIGKILL);
    while (waitpid(pid, &code, 0) < 0 && errno == EINTR)
        continue;
    if (!came)
        return dt_fail(err, DT_ERR_TIMEOUT, "squeue did not answer within %g s", e->options.patience_s);
    answer[strcspn(answer, " \r\n")] = '\0';
    code = WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
    return code == 0 ? DT_OK : dt_fail(err, DT_ERR_IO, "squeue failed with status %d", code);
}

/* %L: the time left, "1-02:03:04", "12:34", or a word. */
static dt_status ask(const dt_slurm_limit *e, double *left_s, dt_error *err)
{
    char answer[ANSWER_BYTES];
    DT_TRY(ask_squeue(e, answer, err));
    if (strcmp(answer, "UNLIMITED") == 0) {
        *left_s = INFINITY;
        return DT_OK;
    }
    if (strchr(answer, ':') && dt_duration_parse(answer, left_s))
        return DT_OK;
    return dt_fail(err, DT_ERR_FORMAT, "squeue -h -j %s -o %%L says '%s'", e->job, answer);
}

/* -- the thread ------------------------------------------------------------------------------------------ */

static void tell(dt_slurm_limit *e, double left_s, bool moved)
{
    char text[32];
    if (e->told && !moved)
        return;
    dt_duration_format(round(left_s), text, sizeof text);
    if (isfinite(left_s))
        dt_log_info("Slurm ends this job %s in %s%s; it stops before that, with a checkpoint", e->job, text,
                    e->told ? " now" : "");
    else if (e->told)
        dt_log_info("Slurm sets this job %s no limit now", e->job);
    e->told = true;
}

static double tick(void *context)
{
    dt_slurm_limit *e = context;
    dt_error why = {0};
    double left_s = 0.0;
    const double known_s = dt_slurm_limit_seconds_left(e);
    const dt_status status = ask(e, &left_s, &why);
    if (atomic_load(&e->leave))
        return INFINITY;
    if (status == DT_OK) {
        atomic_store(&e->end_s, dt_clock_s() + left_s);
        tell(e, left_s, isfinite(left_s) != isfinite(known_s) || fabs(left_s - known_s) > MOVED_S);
    } else {
        tell(e, known_s, false);
        left_s = known_s;
        if (!e->told_trouble && !isfinite(known_s))
            dt_log_info("when Slurm ends this job %s is not known (%s); --time-limit can say it", e->job,
                        why.message);
        e->told_trouble = true;
    }
    const double next_s = left_s / 4.0;
    return next_s < e->options.least_s  ? e->options.least_s
           : next_s > e->options.most_s ? e->options.most_s
                                        : next_s;
}

double dt_slurm_limit_seconds_left(const dt_slurm_limit *e)
{
    return e ? atomic_load(&e->end_s) - dt_clock_s() : INFINITY;
}

dt_status dt_slurm_limit_create(const dt_slurm_limit_options *options, dt_slurm_limit **end, dt_error *err)
{
    const char *job = getenv("SLURM_JOB_ID"), *text = getenv("SLURM_JOB_END_TIME");
    *end = NULL;
    if (!job || !job[0] || strspn(job, "0123456789") != strlen(job) || strlen(job) >= sizeof(*end)->job)
        return DT_OK;
    dt_slurm_limit *e = dt_calloc(1, sizeof *e);
    if (!e)
        return dt_fail_memory(err, sizeof *e, "the watch for Slurm's time limit");
    e->options.least_s = options->least_s > 0.0 ? options->least_s : 5.0;
    e->options.most_s = options->most_s > 0.0 ? options->most_s : 600.0;
    e->options.patience_s = options->patience_s > 0.0 ? options->patience_s : 20.0;
    snprintf(e->job, sizeof e->job, "%s", job);
    const double left_s = (text ? strtod(text, NULL) : 0.0) - dt_clock_unix_s();
    atomic_init(&e->leave, false);
    atomic_init(&e->end_s, left_s > 0.0 ? dt_clock_s() + left_s : INFINITY);
    const dt_status status = dt_ticker_create(tick, e, "the watch for Slurm's time limit", &e->ticker, err);
    if (status == DT_OK)
        *end = e;
    else
        dt_free(e);
    return status;
}

void dt_slurm_limit_destroy(dt_slurm_limit *e)
{
    if (!e)
        return;
    atomic_store(&e->leave, true);
    dt_ticker_destroy(e->ticker);
    dt_free(e);
}
