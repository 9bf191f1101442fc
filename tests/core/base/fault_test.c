/* Points at which a test can make the program fail. */
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "tests/testing.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void arm(const char *spec, int rank)
{
    dt_error err = {0};
    const dt_status status = dt_fault_arm(spec, rank, &err);
    DT_CHECK_MSG(status == DT_OK, "%s: %s", spec, err.message);
}

static void disarm(void)
{
    DT_CHECK_INT(dt_fault_arm(NULL, 0, NULL), DT_OK);
}

static void unarmed_points_never_fail(void)
{
    arm("", 0);
    DT_CHECK(!dt_fault("checkpoint.rename"));
    arm("other:1", 0);
    DT_CHECK(!dt_fault("checkpoint.rename"));
    DT_CHECK(!dt_fault("oth"));
    DT_CHECK(!dt_fault("other.too"));
    disarm();
    DT_CHECK(!dt_fault("other"));
}

static void a_point_fails_at_its_count_and_only_then(void)
{
    arm("p:3", 0);
    for (int passage = 1; passage <= 6; passage++)
        DT_CHECK_INT(dt_fault("p"), passage == 3);
    arm("p:1:fail", 0);
    DT_CHECK(dt_fault("p"));
    DT_CHECK(!dt_fault("p"));
    disarm();
}

static void always_fails_from_its_count_on(void)
{
    arm("p:3:always", 0);
    for (int passage = 1; passage <= 6; passage++)
        DT_CHECK_INT(dt_fault("p"), passage >= 3);
    disarm();
}

static void a_point_with_a_rank_acts_on_that_rank_only(void)
{
    arm("p@2:1", 1);
    DT_CHECK(!dt_fault("p"));
    arm("p@2:1", 2);
    DT_CHECK(dt_fault("p"));
    disarm();
}

static void several_points_count_separately(void)
{
    arm("a:1,b@0:2,b:4,c@7:1", 0);
    DT_CHECK(dt_fault("a"));
    for (int passage = 1; passage <= 5; passage++)
        DT_CHECK_INT(dt_fault("b"), passage == 2 || passage == 4);
    DT_CHECK(!dt_fault("c"));
    disarm();
}

static void arming_again_resets_the_counts(void)
{
    arm("p:2", 0);
    DT_CHECK(!dt_fault("p"));
    arm("p:2", 0);
    DT_CHECK(!dt_fault("p"));
    DT_CHECK(dt_fault("p"));
    disarm();
}

static void refused(const char *spec, const char *part)
{
    dt_error err = {0};
    DT_CHECK_INT(dt_fault_arm(spec, 0, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "DTRAIN_FAULT");
    DT_CHECK_CONTAINS(err.message, part);
}

static void malformed_settings_are_refused_with_the_reason(void)
{
    char long_name[200], longest[64 + 2] = "", too_long[65 + 2] = "";
    memset(long_name, 'n', sizeof long_name);
    strcpy(long_name + sizeof long_name - 3, ":1");
    strcpy((char *)memset(longest, 'n', 63) + 63, ":1");
    strcpy((char *)memset(too_long, 'n', 64) + 64, ":1");
    arm(longest, 0);
    refused(too_long, "needs a name of 1 to 63 characters");
    refused("p", "\"p\" has no count");
    refused("p@1", "\"p@1\" has no count");
    refused("p:", "the count \"\"");
    refused("p:0", "the count \"0\"");
    refused("p:-1", "the count \"-1\"");
    refused("p:+1", "the count \"+1\"");
    refused("p:2x", "the count \"2x\"");
    refused("p:99999999999999999999", "the count \"99999999999999999999\"");
    refused("p@:1", "the rank \"\"");
    refused("p@x:1", "the rank \"x\"");
    refused("p@-1:1", "the rank \"-1\"");
    refused("p:1:explode", "\"explode\" is no action");
    refused("p:1:", "\"\" is no action");
    refused("p:1:fail:2", "\"fail:2\" is no action");
    refused("p:1:sleep", "\"sleep\" is no action");
    refused("p:1:sleep=", "\"sleep=\" is no action");
    refused("p:1:sleep=-1", "\"sleep=-1\" is no action");
    refused("p:1:sleep=inf", "\"sleep=inf\" is no action");
    refused("p:1:sleep=nan", "\"sleep=nan\" is no action");
    refused("p:1:sleep=1s", "\"sleep=1s\" is no action");
    refused(":1", "needs a name");
    refused(long_name, "needs a name");
    refused("p:1,", "ends with a comma");
    refused(",p:1", "\"\" has no count");
    refused("p@5:1:explode", "\"explode\" is no action"); /* although it is not for this rank */
    refused("a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1,i:1,j:1,k:1,l:1,m:1,n:1,o:1,p:1,q:1", "more than 16");
}

static void a_malformed_setting_arms_nothing(void)
{
    arm("p:1", 0);
    DT_CHECK_INT(dt_fault_arm("q:1,p", 0, NULL), DT_ERR_USAGE);
    DT_CHECK(!dt_fault("p"));
    DT_CHECK(!dt_fault("q"));
}

static void sleep_stalls_and_does_not_fail(void)
{
    arm("p:1:sleep=0.05", 0);
    const double start = dt_clock_s();
    DT_CHECK(!dt_fault("p"));
    DT_CHECK(dt_clock_s() - start >= 0.0499);
    disarm();
}

/* Fork a child that passes the point twice and then exits with 42; returns the first status that waitpid
 * reports of it. */
static int status_of_child(const char *spec, int wait_flags, pid_t *child)
{
    int status = 0;
    arm(spec, 0);
    *child = fork();
    if (*child == 0) {
        dt_fault("p");
        dt_fault("p");
        _exit(42);
    }
    disarm();
    DT_REQUIRE(*child > 0);
    DT_REQUIRE(waitpid(*child, &status, wait_flags) == *child);
    return status;
}

static void kill_ends_the_process_with_sigkill(void)
{
    pid_t child;
    const int status = status_of_child("p:2:kill", 0, &child);
    DT_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void exit_leaves_with_code_1(void)
{
    pid_t child;
    const int status = status_of_child("p:2:exit", 0, &child);
    DT_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void stop_halts_until_continued(void)
{
    pid_t child;
    int status = status_of_child("p:2:stop", WUNTRACED, &child);
    DT_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(child, SIGCONT);
    DT_REQUIRE(waitpid(child, &status, 0) == child);
    DT_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void before_its_count_nothing_happens(void)
{
    pid_t child;
    const int status = status_of_child("p:3:kill", 0, &child);
    DT_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

enum { N_THREADS = 4, N_PASSAGES = 5000 };

static void *pass_often(void *n_failed)
{
    for (int i = 0; i < N_PASSAGES; i++)
        *(int *)n_failed += dt_fault("p");
    return NULL;
}

static void among_threads_exactly_one_passage_fails(void)
{
    int n_failed[N_THREADS] = {0}, total = 0;
    pthread_t threads[N_THREADS];
    arm("p:10000", 0);
    for (int i = 0; i < N_THREADS; i++)
        DT_REQUIRE(pthread_create(&threads[i], NULL, pass_often, &n_failed[i]) == 0);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        total += n_failed[i];
    }
    DT_CHECK_INT(total, 1);
    disarm();
}

static const dt_test tests[] = {
    DT_TEST(unarmed_points_never_fail),
    DT_TEST(a_point_fails_at_its_count_and_only_then),
    DT_TEST(always_fails_from_its_count_on),
    DT_TEST(a_point_with_a_rank_acts_on_that_rank_only),
    DT_TEST(several_points_count_separately),
    DT_TEST(arming_again_resets_the_counts),
    DT_TEST(malformed_settings_are_refused_with_the_reason),
    DT_TEST(a_malformed_setting_arms_nothing),
    DT_TEST(sleep_stalls_and_does_not_fail),
    DT_TEST(kill_ends_the_process_with_sigkill),
    DT_TEST(exit_leaves_with_code_1),
    DT_TEST(stop_halts_until_continued),
    DT_TEST(before_its_count_nothing_happens),
    DT_TEST(among_threads_exactly_one_passage_fails),
};

DT_TEST_MAIN("core/base/fault", tests)
