/* Signals request a stop; a second SIGINT ends the program at once. */
#include "config.h"

#include "tests/testing.h"

#include "launch/stop/signals.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void each_signal_requests_a_stop(void)
{
    static const struct {
        int number;
        const char *name;
    } signals[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        dt_events *events = NULL;
        dt_error err;
        DT_REQUIRE(dt_signals_create(false, &events, &err) == DT_OK);
        DT_CHECK_STR(events->ops->stop_requested(events), NULL);
        raise(signals[i].number);
        DT_CHECK_STR(events->ops->stop_requested(events), signals[i].name);
        raise(SIGTERM); /* stop_requested keeps the first one */
        DT_CHECK_STR(events->ops->stop_requested(events), signals[i].name);
        events->ops->destroy(events);
    }
}

static void a_second_object_is_refused(void)
{
    dt_events *events = NULL, *second = NULL;
    dt_error err;
    DT_REQUIRE(dt_signals_create(false, &events, &err) == DT_OK);
    DT_CHECK_INT(dt_signals_create(false, &second, &err), DT_ERR_INTERNAL);
    events->ops->destroy(events);
}

/* Returns the exit code of a child that gets these signals; 1000 + the signal if one kills it. */
static int end_of_child(int first, int second, bool destroy_first)
{
    pid_t pid = fork();
    if (pid == 0) {
        dt_events *events = NULL;
        alarm(0);
        if (dt_signals_create(false, &events, NULL) != DT_OK)
            _exit(99);
        if (destroy_first)
            events->ops->destroy(events);
        raise(first);
        raise(second);
        _exit(0);
    }
    int status = 0;
    DT_REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void a_second_interrupt_ends_at_once(void)
{
    DT_CHECK_INT(end_of_child(SIGINT, SIGINT, false), 130);
    DT_CHECK_INT(end_of_child(SIGTERM, SIGTERM, false), 0);
    DT_CHECK_INT(end_of_child(SIGTERM, SIGINT, false), 0);
}

static void destroy_restores_the_old_handlers(void)
{
    DT_CHECK_INT(end_of_child(SIGTERM, SIGTERM, true), 1000 + SIGTERM);
}

static const dt_test tests[] = {
    DT_TEST(each_signal_requests_a_stop),
    DT_TEST(a_second_object_is_refused),
    DT_TEST(a_second_interrupt_ends_at_once),
    DT_TEST(destroy_restores_the_old_handlers),
};

DT_TEST_MAIN("launch/signals", tests)
