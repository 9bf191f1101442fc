/* core/base/cpus.h with kernels that have many processors: this file has a sched_getaffinity of its own. */
#define _GNU_SOURCE
#include "core/base/cpus.h"

#include "tests/testing.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static int kernel_cpus;       /* the size of the kernel's sets; smaller ones are refused, as Linux does */
static int first_cpu, n_cpus; /* those that the thread may use */
static int fails_with, n_calls;

int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
    (void)pid;
    n_calls++;
    errno = fails_with ? fails_with : EINVAL;
    if (fails_with || bytes * 8 < (size_t)kernel_cpus)
        return -1;
    memset(set, 0, bytes);
    for (int cpu = first_cpu; cpu < first_cpu + n_cpus; cpu++)
        CPU_SET_S((size_t)cpu, bytes, set);
    return 0;
}

static void kernel(int size, int first, int n, int error)
{
    kernel_cpus = size;
    first_cpu = first;
    n_cpus = n;
    fails_with = error;
    n_calls = 0;
}

static void kernels_with_more_than_1024_processors_are_asked_again(void)
{
    static const int sizes[] = {64, 1024, 1025, 2048, 8192, 16384, 1 << 20};
    dt_cpus cpus;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int last = sizes[i] < DT_CPUS_MAX ? sizes[i] : DT_CPUS_MAX;
        kernel(sizes[i], last - 2, 2, 0);
        DT_CHECK(dt_cpus_read(0, &cpus));
        DT_CHECK_INT(dt_cpus_count(&cpus), 2);
        DT_CHECK_INT(dt_cpus_next(&cpus, 0), last - 2);
        DT_CHECK_INT(dt_cpus_next(&cpus, last), -1);
    }
}

static void a_kernel_that_does_not_say_leaves_those_online(void)
{
    dt_cpus cpus;
    kernel(64, 0, 2, EPERM);
    DT_CHECK(!dt_cpus_read(0, &cpus));
    DT_CHECK_INT(dt_cpus_count(&cpus), sysconf(_SC_NPROCESSORS_ONLN));
    DT_CHECK_INT(n_calls, 1); /* a larger set would not help */
    kernel(64, 0, 2, EINVAL); /* whatever the size */
    DT_CHECK(!dt_cpus_read(0, &cpus));
    DT_CHECK_INT(dt_cpus_count(&cpus), sysconf(_SC_NPROCESSORS_ONLN));
}

static void processors_are_added_and_removed(void)
{
    dt_cpus cpus = {{0}};
    DT_CHECK_INT(dt_cpus_next(&cpus, 0), -1);
    dt_cpus_add(&cpus, 0);
    dt_cpus_add(&cpus, 63);
    dt_cpus_add(&cpus, DT_CPUS_MAX - 1);
    DT_CHECK_INT(dt_cpus_count(&cpus), 3);
    dt_cpus_remove(&cpus, 0);
    DT_CHECK_INT(dt_cpus_next(&cpus, 0), 63);
    DT_CHECK_INT(dt_cpus_next(&cpus, 64), DT_CPUS_MAX - 1);
    DT_CHECK(!dt_cpus_has(&cpus, -1) && !dt_cpus_has(&cpus, DT_CPUS_MAX));
}

static const dt_test tests[] = {
    DT_TEST(kernels_with_more_than_1024_processors_are_asked_again),
    DT_TEST(a_kernel_that_does_not_say_leaves_those_online),
    DT_TEST(processors_are_added_and_removed),
};
DT_TEST_MAIN("core/base/cpus", tests)
