/* The threads that the cpu backend gets: this file has a pthread_create of its own, which can fail. */
#define _GNU_SOURCE
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include "layers/cpu/cpu_internal.h"
#include "layers/cpu/kernels_cpu.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int n_allowed = -1; /* threads that may still be created; -1: any number */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *context)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&real, &found, sizeof found);
    }
    if (n_allowed == 0)
        return EAGAIN;
    n_allowed -= n_allowed > 0;
    return real(thread, attributes, start, context);
}

static void threads_that_the_system_does_not_start_are_an_error(void)
{
    dt_cpu_pair pair = dt_cpu_pair_create(1);
    dt_kernels *k = NULL;
    dt_error err = {0};
    n_allowed = 2;
    const dt_status status = dt_kernels_cpu_create(pair.device, 8, &k, &err);
    n_allowed = -1;
    DT_CHECK_INT(status, DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "of 8 compute threads, the system started 3");
    DT_CHECK_CONTAINS(err.message, "--threads 3");
    DT_CHECK(k == NULL);
    dt_cpu_pair_destroy(&pair);
}

static void the_team_is_described(void)
{
    dt_cpu_pair pair = dt_cpu_pair_create(3);
    const dt_cpu_team team = dt_kernels_cpu_team(pair.cpu);
    DT_CHECK(team.n_threads >= 1 && team.n_threads <= 3);
    DT_CHECK(team.n_cpus >= 1);
    DT_CHECK(team.least_stack_bytes >= 16 << 10);
    dt_cpu_pair_destroy(&pair);
}

/* As GCC's OpenMP reads them: a number without a letter is in KiB, and OMP_STACKSIZE counts before
 * GOMP_STACKSIZE. */
static void sizes_of_stacks_are_read_as_openmp_does(void)
{
    static const struct {
        const char *omp, *gomp;
        int64_t bytes;
    } cases[] = {{"64", NULL, 64 << 10},
                 {"64k", NULL, 64 << 10},
                 {"65536B", NULL, 64 << 10},
                 {" 64 K ", NULL, 64 << 10},
                 {NULL, "64", 64 << 10},
                 {"96", "64", 96 << 10},
                 {"131071b", NULL, (128 << 10) - 1}};
    if (sysconf(_SC_THREAD_STACK_MIN) > 64 << 10)
        DT_SKIP("the system has no stacks as small as this");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].omp)
            setenv("OMP_STACKSIZE", cases[i].omp, 1);
        if (cases[i].gomp)
            setenv("GOMP_STACKSIZE", cases[i].gomp, 1);
        dt_cpu_pair pair = dt_cpu_pair_create(2);
        unsetenv("OMP_STACKSIZE");
        unsetenv("GOMP_STACKSIZE");
        if (dt_cpu(pair.cpu)->n_threads > 1)
            DT_CHECK_INT(dt_kernels_cpu_team(pair.cpu).least_stack_bytes, cases[i].bytes);
        dt_cpu_pair_destroy(&pair);
    }
}

static void count_units(void *context, int share, int64_t begin, int64_t end)
{
    (void)share;
    for (int64_t i = begin; i < end; i++)
        ((int *)context)[i]++;
}

/* Without an active parallel region OpenMP provides one thread, which computes the shares of all. */
static void all_shares_are_computed_by_fewer_threads(void)
{
    void (*set_max_active_levels)(int) = NULL;
    void *found = dlsym(RTLD_DEFAULT, "omp_set_max_active_levels");
    dt_cpu_pair pair = dt_cpu_pair_create(4);
    memcpy(&set_max_active_levels, &found, sizeof found);
    for (int levels = 0; levels <= 1; levels++) {
        int n_times[10] = {0};
        if (set_max_active_levels)
            set_max_active_levels(levels);
        dt_cpu_parallel(dt_cpu(pair.cpu), 10, count_units, n_times);
        for (int i = 0; i < 10; i++)
            DT_CHECK_INT(n_times[i], 1);
    }
    dt_cpu_pair_destroy(&pair);
}

static const dt_test tests[] = {
    DT_TEST(threads_that_the_system_does_not_start_are_an_error),
    DT_TEST(the_team_is_described),
    DT_TEST(sizes_of_stacks_are_read_as_openmp_does),
    DT_TEST(all_shares_are_computed_by_fewer_threads),
};
DT_TEST_MAIN("layers/cpu_team", tests)
