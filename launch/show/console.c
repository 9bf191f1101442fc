#include "config.h"

#include "launch/show/console.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/printable.h"
#include "io/metrics/progress.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    int rank, size;
    char host[64];
    bool terminal, colours;
    dt_sink *progress;
    pthread_mutex_t mutex; /* guards `progress`: another thread may log while it is replaced */
} console = {.size = 1, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* `line` is printable already. */
static void print_line(const char *line)
{
    pthread_mutex_lock(&console.mutex);
    if (console.progress) {
        dt_progress_line(console.progress, line);
    } else {
        flockfile(stderr); /* one write per line: lines of several ranks do not mix */
        fprintf(stderr, "%s\n", line);
        funlockfile(stderr);
    }
    pthread_mutex_unlock(&console.mutex);
}

/* Prints "dtrain: [rank 1 on node2: ]KIND: text", with the kind in a colour. This is the one place where log
 * lines and errors are printed, so that what they quote is made printable here. */
static void print_as(const char *kind, const char *colour, bool with_rank, const char *text)
{
    char rank[112] = "", shown_rank[448], short_line[DT_ERROR_MESSAGE_BYTES + 640];
    if (with_rank && console.size > 1)
        snprintf(rank, sizeof rank, "rank %d on %s: ", console.rank, console.host);
    (void)dt_printable(shown_rank, sizeof shown_rank, rank);
    const bool coloured = console.colours && kind[0];
    const size_t bytes = dt_printable(NULL, 0, text) + 640;
    char *longer =
        bytes > sizeof short_line ? dt_alloc(bytes) : NULL; /* out of memory: print the beginning */
    char *line = longer ? longer : short_line;
    const size_t line_bytes = longer ? bytes : sizeof short_line;
    const int n = snprintf(line, line_bytes, "dtrain: %s%s%s%s%s%s", shown_rank, coloured ? "\033[" : "",
                           coloured ? colour : "", coloured ? "m" : "", kind, coloured ? "\033[0m" : "");
    (void)dt_printable(line + n, line_bytes - (size_t)n, text);
    print_line(line);
    dt_free(longer);
}

static void sink(void *context, dt_log_level level, const char *line)
{
    (void)context;
    if (level <= DT_LOG_INFO && console.rank != 0)
        return;
    if (level == DT_LOG_WARN)
        print_as("warning: ", "33", console.rank != 0, line);
    else if (level == DT_LOG_ERROR)
        print_as("error: ", "31", console.rank != 0, line);
    else
        print_as("", "", false, line);
}

void dt_console_open_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) /* the lowest number that is free is this one */
            (void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

void dt_console_open(void)
{
    const char *term = getenv("TERM");
    console.terminal = isatty(STDERR_FILENO) != 0;
    console.colours = console.terminal && !getenv("NO_COLOR") && !(term && strcmp(term, "dumb") == 0);
    setvbuf(stderr, NULL, _IOLBF, 8192); /* one write per line, also if ranks share a pipe */
    dt_log_set_sink(sink, NULL, DT_LOG_INFO);
}

void dt_console_set_rank(const dt_comm *comm)
{
    console.rank = comm ? comm->rank : 0;
    console.size = comm ? comm->size : 1;
    snprintf(console.host, sizeof console.host, "%s", comm ? comm->host : "");
}

void dt_console_set_progress(dt_sink *progress)
{
    pthread_mutex_lock(&console.mutex);
    console.progress = progress;
    pthread_mutex_unlock(&console.mutex);
}

bool dt_console_is_terminal(void)
{
    return console.terminal;
}

void dt_console_fail(const dt_error *error)
{
    if (console.rank == 0)
        print_as("", "", false, error->message);
}

void dt_console_fail_here(const dt_error *error)
{
    print_as("", "", true, error->message);
}
