/* The line in a lock's file, and whether its process runs. */
#include "launch/run/lock_owner.h"

#include "tests/testing.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_line_is_read_back_and_has_the_same_length_for_every_count(void)
{
    char first[DT_LOCK_TEXT_BYTES], text[DT_LOCK_TEXT_BYTES];
    dt_lock_owner o, read;
    dt_lock_owner_self(&o);
    o.locked = true;
    const int n = dt_lock_owner_format(&o, first);
    DT_CHECK_INT(n, strlen(first));
    DT_CHECK(first[n - 1] == '\n');
    DT_REQUIRE(dt_lock_owner_parse(first, &read));
    DT_CHECK_STR(read.host, o.host);
    DT_CHECK(read.pid == getpid() && read.start == o.start && read.count == 1 && read.locked);
    DT_CHECK_STR(read.id, o.id);
    DT_CHECK_STR(read.boot, o.boot);
    DT_CHECK(read.pid_namespace == o.pid_namespace && dt_lock_owner_is(&read, &o));
    o.count = ~0ULL;
    o.locked = false;
    DT_CHECK_INT(dt_lock_owner_format(&o, text), n);
    DT_REQUIRE(dt_lock_owner_parse(text, &read));
    DT_CHECK(read.count == ~0ULL && !read.locked);
}

static void the_first_format_and_later_ones_are_read(void)
{
    dt_lock_owner o;
    DT_REQUIRE(dt_lock_owner_parse("node7 4711 81512 42\n", &o));
    DT_CHECK_STR(o.host, "node7");
    DT_CHECK(o.pid == 4711 && o.start == 81512 && o.count == 42 && !o.locked);
    DT_CHECK_STR(o.id, "");
    DT_REQUIRE(dt_lock_owner_parse("a 1 2 3 v2 id boot 9 1 and more\na second line", &o));
    DT_CHECK(o.pid_namespace == 9 && o.locked);
    static const char *const others[] = {"", "\n", "a 1 2", "a b c d", "a 1 2 3 v2 id boot 9"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        DT_CHECK_MSG(!dt_lock_owner_parse(others[i], &o), "\"%s\"", others[i]);
}

static void each_acquisition_differs_from_all_others(void)
{
    dt_lock_owner a, b;
    dt_lock_owner_self(&a);
    dt_lock_owner_self(&b);
    DT_CHECK(dt_lock_owner_is(&a, &a) && !dt_lock_owner_is(&a, &b)); /* another id */
    DT_CHECK(dt_lock_owner_same_boot(&a, &b));
    for (int field = 0; field < 4; field++) {
        b = a;
        if (field == 0)
            b.id[0] = b.id[0] == 'x' ? 'y' : 'x';
        b.pid += field == 1;
        b.start += field == 2;
        if (field == 3)
            strcpy(b.host, "another");
        DT_CHECK_MSG(!dt_lock_owner_is(&a, &b), "field %d", field);
    }
    b = a;
    b.count++; /* its heartbeat */
    DT_CHECK(dt_lock_owner_is(&a, &b));
    strcpy(a.boot, "-");
    strcpy(b.boot, "-");
    DT_CHECK(!dt_lock_owner_same_boot(&a, &b)); /* both are not known */
}

/* Starts a child that waits, and describes it as an owner. */
static pid_t start_child(dt_lock_owner *o)
{
    int ready[2];
    DT_REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    DT_REQUIRE(child >= 0);
    if (child == 0) {
        dt_lock_owner_self(o);
        (void)!write(ready[1], o, sizeof *o);
        for (;;)
            pause();
    }
    DT_REQUIRE(read(ready[0], o, sizeof *o) == (ssize_t)sizeof *o);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void a_process_is_alive_until_it_ends_also_before_it_is_reaped(void)
{
    dt_lock_owner self, o;
    siginfo_t info;
    dt_lock_owner_self(&self);
    const pid_t child = start_child(&o);
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_ALIVE);
    DT_CHECK(kill(child, SIGSTOP) == 0);
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_ALIVE); /* it may go on */
    DT_CHECK(kill(child, SIGKILL) == 0);
    DT_REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_DEAD); /* a zombie */
    DT_CHECK_INT(waitpid(child, NULL, 0), child);
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_DEAD);
}

static void what_is_not_seen_from_here_is_not_known(void)
{
    dt_lock_owner self, o;
    dt_lock_owner_self(&self);
    o = self;
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_ALIVE);
    o.start++; /* another process had this number */
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_DEAD);
    o.pid_namespace++;
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_UNKNOWN);
    o = self;
    o.boot[0] = o.boot[0] == 'x' ? 'y' : 'x';
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_UNKNOWN);
    o = self;
    o.id[0] = '\0'; /* the first format: the host's name must be the same */
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_ALIVE);
    strcpy(o.host, "another");
    DT_CHECK_INT(dt_lock_owner_life(&o, &self), DT_LOCK_UNKNOWN);
    self.start = 0; /* no /proc */
    DT_CHECK_INT(dt_lock_owner_life(&self, &self), DT_LOCK_UNKNOWN);
}

static const dt_test tests[] = {
    DT_TEST(a_line_is_read_back_and_has_the_same_length_for_every_count),
    DT_TEST(the_first_format_and_later_ones_are_read),
    DT_TEST(each_acquisition_differs_from_all_others),
    DT_TEST(a_process_is_alive_until_it_ends_also_before_it_is_reaped),
    DT_TEST(what_is_not_seen_from_here_is_not_known),
};
DT_TEST_MAIN("launch/run/lock_owner", tests)
