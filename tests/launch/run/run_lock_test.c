/* One run at a time in a folder; locks of dead processes are taken over. */
#include "launch/run/run_lock.h"

#include "core/base/clock.h"
#include "tests/testing.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_lock(const char *text)
{
    FILE *f = fopen("lock", "w");
    DT_REQUIRE(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void a_second_run_is_refused_until_the_first_ends(void)
{
    dt_run_lock *lock = NULL, *other = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK);
    DT_CHECK_INT(dt_run_lock_acquire("out", ".", NULL, &other, &err), DT_ERR_USAGE);
    DT_CHECK(strstr(err.message, "another run works there") && !other);
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) != 0);
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK);
    dt_run_lock_release(lock);
    dt_run_lock_release(NULL);
}

static void a_lock_of_a_dead_process_is_taken_over(void)
{
    char host[65] = "", text[200];
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    DT_REQUIRE(gethostname(host, sizeof host - 1) == 0);
    /* this process's number with another start time */
    snprintf(text, sizeof text, "%s %ld 1 7\n", host, (long)getpid());
    write_lock(text);
    DT_CHECK_MSG(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK, "%s", err.message);
    dt_run_lock_release(lock);
    write_lock("not a lock");
    DT_CHECK_MSG(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK, "%s", err.message);
    dt_run_lock_release(lock);
}

/* A process that has ended, but whose parent has not waited for it yet, writes nothing any more. */
static void a_lock_of_a_zombie_is_taken_over(void)
{
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    siginfo_t info;
    pid_t child = fork();
    DT_REQUIRE(child >= 0);
    if (child == 0)
        _exit(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK ? 0 : 1);
    DT_REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0); /* it stays a zombie */
    DT_CHECK(info.si_code == CLD_EXITED && info.si_status == 0 && access("lock", F_OK) == 0);
    DT_CHECK_MSG(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(waitpid(child, NULL, 0), child);
    dt_run_lock_release(lock);
}

static void *beat_elsewhere(void *context)
{
    (void)context;
    dt_clock_sleep_s(0.3);
    write_lock("elsewhere 1 1 8\n");
    return NULL;
}

static void a_lock_with_a_heartbeat_of_another_host_is_respected(void)
{
    pthread_t thread;
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    write_lock("elsewhere 1 1 7\n");
    DT_REQUIRE(pthread_create(&thread, NULL, beat_elsewhere, NULL) == 0);
    DT_CHECK_INT(dt_run_lock_acquire("out", ".", NULL, &lock, &err), DT_ERR_USAGE);
    DT_CHECK(strstr(err.message, "elsewhere") && !lock);
    pthread_join(thread, NULL);
    unlink("lock");
}

static unsigned long long count_in_lock(void)
{
    unsigned long long count = 0;
    FILE *f = fopen("lock", "r");
    DT_REQUIRE(f && fscanf(f, "%*s %*s %*s %llu", &count) == 1);
    fclose(f);
    return count;
}

static void a_heartbeat_is_written_in_place_and_never_over_another_lock(void)
{
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    struct stat before, after;
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK);
    DT_REQUIRE(stat("lock", &before) == 0 && count_in_lock() == 1);
    for (int i = 0; i < 200 && count_in_lock() == 1; i++)
        dt_clock_sleep_s(0.05);
    DT_CHECK(count_in_lock() > 1);
    DT_REQUIRE(stat("lock", &after) == 0);
    DT_CHECK(before.st_ino == after.st_ino && before.st_size == after.st_size); /* no disk space was needed */
    write_lock("elsewhere 1 1 7\n");
    dt_clock_sleep_s(2.5); /* longer than one heartbeat */
    DT_CHECK_INT(count_in_lock(), 7);
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) == 0);
    unlink("lock");
}

static const dt_test tests[] = {
    DT_TEST(a_second_run_is_refused_until_the_first_ends),
    DT_TEST(a_lock_of_a_dead_process_is_taken_over),
    DT_TEST(a_lock_of_a_zombie_is_taken_over),
    DT_TEST(a_lock_with_a_heartbeat_of_another_host_is_respected),
    DT_TEST(a_heartbeat_is_written_in_place_and_never_over_another_lock),
};
DT_TEST_MAIN("launch/run_lock", tests)
