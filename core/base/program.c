#define _GNU_SOURCE /* pipe2 */
#include "core/base/program.h"

#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    POLL_MS = 50,      /* how long `leave` waits */
    KILLED_POLLS = 40, /* how often a process that was killed is waited for */
    N_STREAMS = 2      /* stdout and stderr */
};

typedef struct stream {
    int in; /* -1: closed */
    char *text;
    size_t bytes, used;
} stream;

static int spawn(const dt_program *p, const int outs[N_STREAMS], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, outs[0], STDOUT_FILENO);
    if (p->errors)
        posix_spawn_file_actions_adddup2(&actions, outs[1], STDERR_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setsigmask(&attributes, &none); /* this thread may block all */
    posix_spawnattr_setpgroup(&attributes, 0); /* Ctrl-C does not reach it, and kill reaches its children */
    posix_spawnattr_setsigdefault(&attributes, &usual); /* this program ignores some */
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    const int failed = posix_spawnp(pid, p->arguments[0], &actions, &attributes, p->arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static bool is_late(const dt_program *p, double until_s)
{
    return dt_clock_s() >= until_s || (p->leave && atomic_load(p->leave));
}

static void read_some(stream *s)
{
    char more[1024];
    const ssize_t n = read(s->in, more, sizeof more);
    if (n <= 0) {
        close(s->in);
        s->in = -1;
        return;
    }
    const size_t space = s->bytes - 1 - s->used, kept = (size_t)n < space ? (size_t)n : space;
    memcpy(s->text + s->used, more, kept);
    s->used += kept;
}

/* Reads until the other ends are closed. False: that took longer than until_s, or the caller leaves. */
static bool read_all(const dt_program *p, stream streams[N_STREAMS], double until_s)
{
    while (streams[0].in >= 0 || streams[1].in >= 0) {
        struct pollfd polls[N_STREAMS];
        if (is_late(p, until_s))
            return false;
        for (int i = 0; i < N_STREAMS; i++)
            polls[i] = (struct pollfd){.fd = streams[i].in, .events = POLLIN};
        if (poll(polls, N_STREAMS, POLL_MS) <= 0)
            continue;
        for (int i = 0; i < N_STREAMS; i++)
            if (streams[i].in >= 0 && polls[i].revents)
                read_some(&streams[i]);
    }
    return true;
}

/* Waits for the program's end, which may come long after it has closed its output, or never. Kills it when it
 * takes longer than until_s or the caller leaves, and with it all that it has started. One that does not die
 * at once (it waits for a dead disk) is left to init. False: it was killed. */
static bool wait_for_end(const dt_program *p, pid_t pid, double until_s, int *code)
{
    siginfo_t info = {.si_pid = 0};
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0 &&
           !is_late(p, until_s))
        dt_clock_sleep_s(POLL_MS / 1e3);
    (void)kill(-pid, SIGKILL); /* before it is reaped: until then the number is its own */
    for (int i = 0; i < KILLED_POLLS && waitpid(pid, code, WNOHANG) == 0; i++)
        dt_clock_sleep_s(POLL_MS / 1e3);
    return info.si_pid != 0;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

dt_status dt_program_run(const dt_program *program, int *code, dt_error *err)
{
    const char *name = program->arguments[0];
    const double until_s = dt_clock_s() + program->timeout_s;
    int first[2] = {-1, -1}, second[2] = {-1, -1}, end = 0;
    pid_t pid;
    if (pipe2(first, O_CLOEXEC) != 0 || (program->errors && pipe2(second, O_CLOEXEC) != 0)) {
        dt_fail_errno(err, "%s: no pipe", name);
        close_all(first, 2);
        return err ? err->status : DT_ERR_IO;
    }
    const int failed = spawn(program, (const int[N_STREAMS]){first[1], second[1]}, &pid);
    close_all((const int[]){first[1], second[1]}, 2);
    stream streams[N_STREAMS] = {{first[0], program->out, program->out_bytes, 0},
                                 {second[0], program->errors, program->errors_bytes, 0}};
    if (failed) {
        close_all((const int[]){first[0], second[0]}, 2);
        return dt_fail(err, DT_ERR_IO, "%s: %s", name, strerror(failed));
    }
    const bool complete = read_all(program, streams, until_s);
    close_all((const int[]){streams[0].in, streams[1].in}, 2);
    for (int i = 0; i < N_STREAMS; i++)
        if (streams[i].text)
            streams[i].text[streams[i].used] = '\0';
    if (!wait_for_end(program, pid, complete ? until_s : 0.0, &end))
        return dt_fail(err, DT_ERR_TIMEOUT, "%s did not answer and end within %g s", name,
                       program->timeout_s);
    /* posix_spawn may learn too late that there is no such program, and then ends the child with 127 */
    if (WIFEXITED(end) && WEXITSTATUS(end) == 127)
        return dt_fail(err, DT_ERR_IO, "%s: not found, or it does not start (code 127)", name);
    *code = WIFEXITED(end) ? WEXITSTATUS(end) : 128 + WTERMSIG(end);
    return DT_OK;
}
