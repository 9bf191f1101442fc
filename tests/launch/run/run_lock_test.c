/* One run at a time in a folder; locks of dead processes are taken over. */
#include "launch/run/run_lock.h"

#include "core/base/clock.h"
#include "launch/run/lock_owner.h"
#include "tests/testing.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int dt_test_time_limit_s = 240;

/* Tests lock the current folder. */
static void enter_new_folder(void)
{
    DT_REQUIRE(chdir(dt_test_temp_dir()) == 0);
}

static void write_lock(const char *text)
{
    FILE *f = fopen("lock", "w");
    DT_REQUIRE(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void a_second_run_is_refused_until_the_first_ends(void)
{
    enter_new_folder();
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

/* The line of an owner of the present format: this process's, with changes. */
static const char *line_of(const dt_lock_owner *owner)
{
    static char text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner_format(owner, text);
    return text;
}

static void check_acquired_within(double seconds)
{
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    const double start = dt_clock_s();
    DT_CHECK_MSG(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK, "%s", err.message);
    DT_CHECK_MSG(dt_clock_s() - start < seconds, "%.1f s", dt_clock_s() - start);
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) != 0);
}

static void a_dead_owner_on_this_kernel_is_known_at_once(void)
{
    enter_new_folder();
    dt_lock_owner o;
    dt_lock_owner_self(&o);
    o.start += 7; /* this process's number with another start time */
    write_lock(line_of(&o));
    check_acquired_within(8.0);
    o.pid = 1 << 30; /* no process has this number */
    write_lock(line_of(&o));
    check_acquired_within(8.0);
    o.pid_namespace++; /* in another container, where the number says nothing: the kernel's lock is free */
    o.locked = true;
    write_lock(line_of(&o));
    check_acquired_within(8.0);
    write_lock("");
    check_acquired_within(8.0);
}

/* One folder and thread for each file, since each is watched for ten seconds. */
static const char *const watched_names[] = {
    "another boot",     "another namespace, without the kernel's lock",
    "the first format", "damaged",
    "a newer version",  "of another host"};
enum { N_WATCHED = sizeof watched_names / sizeof *watched_names };
typedef struct watched {
    char folder[4096 + 64];
    const char *name;
    bool beats;
    dt_status status;
    double seconds;
    dt_error err;
} watched;

static void *acquire_watched(void *context)
{
    watched *w = context;
    dt_run_lock *lock = NULL;
    const double start = dt_clock_s();
    w->status = dt_run_lock_acquire("out", w->folder, NULL, &lock, &w->err);
    w->seconds = dt_clock_s() - start;
    dt_run_lock_release(lock);
    return NULL;
}

static void write_watched(const watched *w, int i, unsigned long long count)
{
    char text[DT_LOCK_TEXT_BYTES + 64] = "";
    dt_lock_owner o;
    dt_lock_owner_self(&o);
    o.start += 7;
    o.count = count;
    if (i == 0)
        o.boot[0] = o.boot[0] == 'x' ? 'y' : 'x';
    if (i == 1)
        o.pid_namespace++;
    if (i == 2)
        snprintf(text, sizeof text, "%s %ld 1 %llu\n", o.host, (long)getpid(), count);
    else if (i == 3)
        snprintf(text, sizeof text, "not a lock %llu", count);
    else if (i == 4)
        snprintf(text, sizeof text, "dtrain-lock 3 {\"count\": %llu}", count);
    else if (i == 5)
        snprintf(text, sizeof text, "elsewhere 1 1 %llu\n", count);
    else
        snprintf(text, sizeof text, "%s", line_of(&o));
    dt_test_write_file(dt_test_path("%s/lock", w->folder), text, strlen(text));
}

static void check_watched(const watched *w)
{
    DT_CHECK_MSG(w->status == (w->beats ? DT_ERR_USAGE : DT_OK), "%s: %s", w->name, w->err.message);
    DT_CHECK_MSG(w->beats || w->seconds >= 10.0, "%s: %.1f s", w->name, w->seconds);
    DT_CHECK_MSG(!w->beats || access(dt_test_path("%s/lock", w->folder), F_OK) == 0, "%s", w->name);
}

/* Each kind of owner twice at the same time: without a heartbeat, and with one. */
static void an_owner_that_may_be_elsewhere_is_watched_and_respected_with_a_heartbeat(void)
{
    enter_new_folder();
    enum { N = 2 * N_WATCHED };
    pthread_t threads[N];
    static watched all[N];
    for (int i = 0; i < N; i++) {
        all[i] = (watched){.name = watched_names[i % N_WATCHED], .beats = i >= N_WATCHED};
        snprintf(all[i].folder, sizeof all[i].folder, "%s/%d", dt_test_temp_dir(), i);
        DT_REQUIRE(mkdir(all[i].folder, 0755) == 0);
        write_watched(&all[i], i % N_WATCHED, 7);
        DT_REQUIRE(pthread_create(&threads[i], NULL, acquire_watched, &all[i]) == 0);
    }
    dt_clock_sleep_s(3.0);
    for (int i = N_WATCHED; i < N; i++)
        write_watched(&all[i], i % N_WATCHED, 8);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        check_watched(&all[i]);
    }
}

/* A process that has ended, but whose parent has not waited for it yet, writes nothing any more. */
static void a_lock_of_a_zombie_is_taken_over(void)
{
    enter_new_folder();
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
    enter_new_folder();
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    struct stat before, after;
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK);
    const unsigned long long first = count_in_lock();
    DT_REQUIRE(stat("lock", &before) == 0);
    for (int i = 0; i < 400 && count_in_lock() < first + 2; i++)
        dt_clock_sleep_s(0.05);
    DT_CHECK(count_in_lock() >= first + 2);
    DT_REQUIRE(stat("lock", &after) == 0);
    DT_CHECK(before.st_ino == after.st_ino && before.st_size == after.st_size); /* no disk space was needed */
    write_lock("elsewhere 1 1 7\n");
    dt_clock_sleep_s(2.5); /* longer than one heartbeat */
    DT_CHECK_INT(count_in_lock(), 7);
    DT_CHECK_INT(dt_run_lock_check_recent(lock, &err), DT_ERR_IO); /* the heartbeat has found it */
    DT_CHECK_CONTAINS(err.message, "process 1 on elsewhere");
    unlink("lock");
    DT_CHECK_INT(dt_run_lock_check(lock, NULL), DT_ERR_IO); /* for good */
    write_lock("mine\n");
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) == 0);
    unlink("lock");
}

static void an_owner_finds_that_its_lock_is_gone_and_mends_a_damaged_one(void)
{
    enter_new_folder();
    dt_run_lock *lock = NULL, *other = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK);
    write_lock("nonsense");
    DT_CHECK_INT(dt_run_lock_check(lock, &err), DT_OK);
    DT_CHECK(count_in_lock() >= 1); /* its own line again */
    write_lock("");
    DT_CHECK_INT(dt_run_lock_check(lock, &err), DT_OK);
    DT_CHECK_INT(dt_run_lock_acquire("out", ".", NULL, &other, &err), DT_ERR_USAGE);
    unlink("lock");
    DT_CHECK_INT(dt_run_lock_check(lock, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "was removed");
    dt_run_lock_release(lock);
}

/* Between two heartbeats: this owner has not seen yet that it lost the lock. */
static void a_release_removes_no_lock_that_another_run_has_meanwhile(void)
{
    enter_new_folder();
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK);
    write_lock("elsewhere 1 1 7\n");
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) == 0);
    DT_CHECK_INT(count_in_lock(), 7);
    unlink("lock");
    DT_REQUIRE(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK); /* after a loss, as before */
    DT_CHECK_INT(dt_run_lock_check(lock, &err), DT_OK);
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) != 0);
}

static void what_is_no_file_is_refused_without_waiting(void)
{
    enter_new_folder();
    dt_run_lock *lock = NULL;
    static const char *const names[] = {"a FIFO", "a folder", "a link", "a link", "a socket"};
    for (int i = 0; i < 5; i++) {
        dt_error err = {0};
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "lock"};
        const int s = socket(AF_UNIX, SOCK_STREAM, 0);
        DT_REQUIRE(i == 0   ? mkfifo("lock", 0644) == 0
                   : i == 1 ? mkdir("lock", 0755) == 0
                   : i == 2 ? symlink("target", "lock") == 0
                   : i == 3 ? symlink("/dev/null", "lock") == 0
                            : bind(s, (struct sockaddr *)&address, sizeof address) == 0);
        DT_CHECK_INT(dt_run_lock_acquire("out", ".", NULL, &lock, &err), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, names[i]);
        DT_CHECK(access("target", F_OK) != 0 && (unlink("lock") == 0 || rmdir("lock") == 0));
        close(s);
    }
}

static void a_folder_is_renamed_with_its_lock(void)
{
    enter_new_folder();
    dt_run_lock *lock = NULL, *other = NULL;
    dt_error err = {0};
    const char *from = dt_test_path("%s/run", dt_test_temp_dir()),
               *to = dt_test_path("%s/old", dt_test_temp_dir());
    DT_REQUIRE(mkdir(from, 0755) == 0);
    DT_REQUIRE(dt_run_lock_acquire("out", from, NULL, &lock, &err) == DT_OK);
    DT_CHECK_INT(dt_run_lock_rename_folder(lock, "/proc/no", &err), DT_ERR_IO);
    DT_REQUIRE(dt_run_lock_rename_folder(lock, to, &err) == DT_OK);
    DT_CHECK_INT(dt_run_lock_check(lock, &err), DT_OK);
    DT_CHECK_INT(dt_run_lock_acquire("out", to, NULL, &other, &err), DT_ERR_USAGE);
    dt_run_lock_release(lock);
    DT_CHECK(rmdir(to) == 0);
}

/* Acquires when the parent closes the first pipe, and holds the lock until it closes the second. */
static _Noreturn void start_in_child(int go[2], int end[2])
{
    char byte;
    dt_run_lock *lock = NULL;
    close(go[1]);
    close(end[1]);
    (void)!read(go[0], &byte, 1);
    if (dt_run_lock_acquire("out", ".", NULL, &lock, NULL) != DT_OK)
        _exit(1);
    (void)!read(end[0], &byte, 1);
    dt_run_lock_release(lock);
    _exit(0);
}

/* The owner ends when all others have been refused, or after a time in which they would have been. */
static void of_many_starts_at_the_same_moment_one_gets_the_lock(void)
{
    enter_new_folder();
    enum { ROUNDS = 2, STARTS = 8 };
    for (int round = 0; round < ROUNDS; round++) {
        int go[2], end[2], n_acquired = 0, n_ended = 0, status;
        DT_REQUIRE(pipe(go) == 0 && pipe(end) == 0);
        if (round % 2) /* in a file that a dead owner has left */
            write_lock("elsewhere 1 1 7\n");
        for (int i = 0; i < STARTS; i++) {
            const pid_t child = fork();
            DT_REQUIRE(child >= 0);
            if (child == 0)
                start_in_child(go, end);
        }
        close(go[0]);
        close(go[1]);
        close(end[0]);
        for (int i = 0; i < 1200 && n_ended < STARTS - 1; i++) {
            if (waitpid(-1, &status, WNOHANG) > 0) {
                n_ended++;
                n_acquired += WIFEXITED(status) && WEXITSTATUS(status) == 0;
            } else
                dt_clock_sleep_s(0.05);
        }
        DT_CHECK_INT(n_ended, STARTS - 1);
        close(end[1]);
        for (; waitpid(-1, &status, 0) > 0;)
            n_acquired += WIFEXITED(status) && WEXITSTATUS(status) == 0;
        DT_CHECK_INT(n_acquired, 1);
        DT_CHECK(access("lock", F_OK) != 0);
    }
}

static void after_kill_9_the_next_start_has_the_lock_at_once(void)
{
    enter_new_folder();
    for (int i = 0; i < 20; i++) {
        dt_run_lock *lock = NULL;
        dt_error err = {0};
        char byte = 0;
        int ready[2];
        DT_REQUIRE(pipe(ready) == 0);
        pid_t child = fork();
        if (child == 0) {
            (void)!write(ready[1], dt_run_lock_acquire("out", ".", NULL, &lock, NULL) == DT_OK ? "y" : "n",
                         1);
            pause();
        }
        DT_REQUIRE(child > 0 && read(ready[0], &byte, 1) == 1);
        DT_CHECK(byte == 'y' && kill(child, SIGKILL) == 0);
        DT_CHECK_MSG(dt_run_lock_acquire("out", ".", NULL, &lock, &err) == DT_OK, "%s", err.message);
        dt_run_lock_release(lock);
        DT_CHECK_INT(waitpid(child, NULL, 0), child);
        close(ready[0]);
        close(ready[1]);
    }
}

static const dt_test tests[] = {
    DT_TEST(a_second_run_is_refused_until_the_first_ends),
    DT_TEST(a_dead_owner_on_this_kernel_is_known_at_once),
    DT_TEST(an_owner_that_may_be_elsewhere_is_watched_and_respected_with_a_heartbeat),
    DT_TEST(a_lock_of_a_zombie_is_taken_over),
    DT_TEST(a_heartbeat_is_written_in_place_and_never_over_another_lock),
    DT_TEST(an_owner_finds_that_its_lock_is_gone_and_mends_a_damaged_one),
    DT_TEST(a_release_removes_no_lock_that_another_run_has_meanwhile),
    DT_TEST(what_is_no_file_is_refused_without_waiting),
    DT_TEST(a_folder_is_renamed_with_its_lock),
    DT_TEST(of_many_starts_at_the_same_moment_one_gets_the_lock),
    DT_TEST(after_kill_9_the_next_start_has_the_lock_at_once),
};
DT_TEST_MAIN("launch/run_lock", tests)
