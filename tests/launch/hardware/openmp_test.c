/* When the program is executed again with a limit for spinning threads. */
#include "launch/hardware/openmp.h"

#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_EXECUTED = 40, EXECUTED, EXECUTED_WITHOUT_LIMIT };

/* Comes before main: ends a program that was executed again. */
__attribute__((constructor)) static void end_if_executed_again(void)
{
    const char *count = getenv("GOMP_SPINCOUNT");
    if (getenv("DT_TEST_EXECUTED"))
        _exit(count && strcmp(count, "5000") == 0 ? EXECUTED : EXECUTED_WITHOUT_LIMIT);
}

/* What becomes of a child with these variables; NULL: not set. */
static int end_with(const char *count, const char *policy)
{
    const pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {(char *)"openmp_test", NULL};
        unsetenv("GOMP_SPINCOUNT");
        unsetenv("OMP_WAIT_POLICY");
        if (count)
            setenv("GOMP_SPINCOUNT", count, 1);
        if (policy)
            setenv("OMP_WAIT_POLICY", policy, 1);
        setenv("DT_TEST_EXECUTED", "1", 1);
        dt_openmp_limit_spinning(argv);
        const char *now = getenv("GOMP_SPINCOUNT");
        _exit(now == NULL || (count && strcmp(now, count) == 0) ? NOT_EXECUTED : EXECUTED_WITHOUT_LIMIT);
    }
    int status = 0;
    DT_REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void what_the_user_sets_is_left_alone(void)
{
    DT_CHECK_INT(end_with(NULL, NULL), EXECUTED);
    DT_CHECK_INT(end_with("300", NULL), NOT_EXECUTED);
    DT_CHECK_INT(end_with("0", "active"), NOT_EXECUTED);
    DT_CHECK_INT(end_with(NULL, "passive"), NOT_EXECUTED);
    DT_CHECK_INT(end_with(NULL, "active"), NOT_EXECUTED);
}

static const dt_test tests[] = {
    DT_TEST(what_the_user_sets_is_left_alone),
};
DT_TEST_MAIN("launch/hardware/openmp", tests)
