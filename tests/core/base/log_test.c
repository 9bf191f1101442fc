/* Log lines: levels, the sink, threads. */
#include "core/base/alloc.h"
#include "core/base/log.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct record {
    int n_lines, n_torn;
    dt_log_level level;
    char line[8192];
} record;

static void keep(void *context, dt_log_level level, const char *line)
{
    record *r = context;
    r->n_lines++;
    r->level = level;
    snprintf(r->line, sizeof r->line, "%s", line);
}

static void a_line_reaches_the_sink_with_its_level(void)
{
    record r = {0};
    dt_log_set_sink(keep, &r, DT_LOG_DEBUG);
    dt_log_warn("%s is broken: %d", "a.jpg", 7);
    DT_CHECK_STR(r.line, "a.jpg is broken: 7");
    DT_CHECK_INT(r.level, DT_LOG_WARN);
    dt_log_debug("d");
    DT_CHECK_INT(r.level, DT_LOG_DEBUG);
    dt_log_info("i");
    DT_CHECK_INT(r.level, DT_LOG_INFO);
    dt_log_error("e");
    DT_CHECK_INT(r.level, DT_LOG_ERROR);
    DT_CHECK_INT(r.n_lines, 4);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
}

static void lines_below_the_least_level_are_dropped(void)
{
    record r = {0};
    dt_log_set_sink(keep, &r, DT_LOG_WARN);
    dt_log_info("not this");
    DT_CHECK_INT(r.n_lines, 0);
    dt_log_warn("this");
    DT_CHECK_INT(r.n_lines, 1);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
}

static void without_a_sink_lines_are_dropped(void)
{
    record r = {0};
    dt_log_set_sink(keep, &r, DT_LOG_DEBUG);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
    dt_log_error("dropped");
    DT_CHECK_INT(r.n_lines, 0);
}

static void a_trailing_newline_is_removed(void)
{
    record r = {0};
    dt_log_set_sink(keep, &r, DT_LOG_DEBUG);
    dt_log_info("line\n");
    DT_CHECK_STR(r.line, "line");
    dt_log_info("%s", "");
    DT_CHECK_STR(r.line, "");
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
}

static void long_lines_arrive_whole_unless_out_of_memory(void)
{
    record r = {0};
    const int64_t before = dt_alloc_live_blocks();
    dt_log_set_sink(keep, &r, DT_LOG_DEBUG);
    dt_log_info("%*s", 5000, "end");
    DT_CHECK_INT(strlen(r.line), 5000);
    DT_CHECK_STR(r.line + 4997, "end");
    for (int n = 1020; n <= 1030; n++) { /* about the size of the usual buffer */
        dt_log_info("%*s", n, "end");
        DT_CHECK_INT(strlen(r.line), n);
        DT_CHECK_STR(r.line + n - 3, "end");
    }
    dt_alloc_fail_after(1);
    dt_log_info("begin%5000s", "end");
    DT_CHECK(strncmp(r.line, "begin", 5) == 0);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
}

enum { N_THREADS = 4, N_LINES = 2000 };

static void count_whole(void *context, dt_log_level level, const char *line)
{
    record *r = context;
    (void)level;
    const int before = r->n_lines; /* written in two halves, so that a second caller would be seen */
    snprintf(r->line, sizeof r->line, "%s", line);
    if (strlen(r->line) != 20 || strspn(r->line, (char[]){r->line[0], '\0'}) != 20)
        r->n_torn++;
    r->n_lines = before + 1;
}

static void *log_lines(void *letter)
{
    char line[21];
    memset(line, *(const char *)letter, 20);
    line[20] = '\0';
    for (int i = 0; i < N_LINES; i++)
        dt_log_info("%s", line);
    return NULL;
}

static void lines_of_many_threads_come_one_at_a_time(void)
{
    record r = {0};
    pthread_t threads[N_THREADS];
    dt_log_set_sink(count_whole, &r, DT_LOG_DEBUG);
    for (int i = 0; i < N_THREADS; i++)
        DT_REQUIRE(pthread_create(&threads[i], NULL, log_lines, (void *)&"abcd"[i]) == 0);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
    DT_CHECK_INT(r.n_lines, N_THREADS * N_LINES);
    DT_CHECK_INT(r.n_torn, 0);
}

static const dt_test tests[] = {
    DT_TEST(a_line_reaches_the_sink_with_its_level),
    DT_TEST(lines_below_the_least_level_are_dropped),
    DT_TEST(without_a_sink_lines_are_dropped),
    DT_TEST(a_trailing_newline_is_removed),
    DT_TEST(long_lines_arrive_whole_unless_out_of_memory),
    DT_TEST(lines_of_many_threads_come_one_at_a_time),
};

DT_TEST_MAIN("core/base/log", tests)
