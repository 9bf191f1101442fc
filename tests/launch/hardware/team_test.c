/* When dtrain warns about OpenMP's threads, with the exact limits. */
#include "launch/hardware/team.h"

#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <stdlib.h>

/* Checks a team of `provided` threads on `n_cpus` processors where `wanted` threads were requested. Returns
 * how many compute; captured_log has the warnings. */
static int64_t check(int provided, int n_cpus, int64_t wanted)
{
    const dt_backend backend = {
        .has_team = true,
        .team = {.n_threads = provided, .n_cpus = n_cpus, .least_stack_bytes = DT_CPU_LEAST_STACK_BYTES}};
    dt_error err = {0};
    int64_t n = wanted;
    captured_log_begin(DT_LOG_INFO);
    DT_CHECK_INT(dt_team_check(&backend, &n, &err), DT_OK);
    captured_log_end();
    return n;
}

void dt_test_set_up(void)
{
    static const char *const names[] = {
        "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS", "OMP_NESTED",     "OMP_NUM_THREADS",
        "OMP_PROC_BIND",    "OMP_PLACES",  "OMP_STACKSIZE",         "GOMP_STACKSIZE", "GOMP_CPU_AFFINITY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void as_many_threads_as_requested_are_no_warning(void)
{
    DT_CHECK_INT(check(4, 4, 4), 4);
    DT_CHECK_INT(captured_log_lines(), 0);
    DT_CHECK_INT(check(4, 8, 4), 4);
    DT_CHECK_INT(captured_log_lines(), 0);
    DT_CHECK_INT(check(4, 2, 4), 4); /* --threads 4 on two processors is the user's choice */
    DT_CHECK_INT(captured_log_lines(), 0);
}

static void fewer_threads_and_shared_processors_are_reported_with_the_variables(void)
{
    DT_CHECK_INT(check(3, 4, 4), 3);
    DT_CHECK_STR(captured_log_text(), "OpenMP provides 3 of 4 compute threads: the results are the same, the "
                                      "speed is not\n");
    setenv("OMP_THREAD_LIMIT", "3", 1);
    DT_CHECK_INT(check(3, 4, 4), 3);
    DT_CHECK_STR(captured_log_text(),
                 "OpenMP provides 3 of 4 compute threads (OMP_THREAD_LIMIT=3): the results "
                 "are the same, the speed is not\n");
    setenv("OMP_PLACES", "{0}", 1);
    DT_CHECK_INT(check(4, 4, 4), 4);
    DT_CHECK_INT(captured_log_lines(), 0);
    DT_CHECK_INT(check(4, 1, 4), 4);
    DT_CHECK_STR(
        captured_log_text(),
        "4 compute threads share 1 processor (OMP_THREAD_LIMIT=3, OMP_PLACES={0}): the results are the "
        "same, the speed is not\n");
    DT_CHECK_INT(check(4, 3, 4), 4);
    DT_CHECK_CONTAINS(captured_log_text(), "4 compute threads share 3 processors (");
    unsetenv("OMP_THREAD_LIMIT");
    unsetenv("OMP_PLACES");
}

static void a_stack_that_is_one_byte_too_small_is_refused(void)
{
    dt_backend backend = {
        .has_team = true,
        .team = {.n_threads = 2, .n_cpus = 2, .least_stack_bytes = DT_CPU_LEAST_STACK_BYTES - 1}};
    dt_error err = {0};
    int64_t n = 4;
    setenv("OMP_STACKSIZE", "127k", 1);
    DT_CHECK_INT(dt_team_check(&backend, &n, &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message,
                 "OpenMP's threads have stacks of 127 KiB (OMP_STACKSIZE=127k), and computing needs "
                 "128; raise OMP_STACKSIZE or unset it");
    DT_CHECK_INT(n, 4);
    unsetenv("OMP_STACKSIZE");
    backend.has_team = false;
    DT_CHECK_INT(dt_team_check(&backend, &n, &err), DT_OK);
    DT_CHECK_INT(n, 4);
}

static const dt_test tests[] = {
    DT_TEST(as_many_threads_as_requested_are_no_warning),
    DT_TEST(fewer_threads_and_shared_processors_are_reported_with_the_variables),
    DT_TEST(a_stack_that_is_one_byte_too_small_is_refused),
};
DT_TEST_MAIN("launch/hardware/team", tests)
