/* The threads that the cpu backend gets: this file has a pthread_create of its own, which can fail. */
#define _GNU_SOURCE
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include "layers/cpu/kernels_cpu.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

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

static const dt_test tests[] = {
    DT_TEST(threads_that_the_system_does_not_start_are_an_error),
    DT_TEST(the_team_is_described),
};
DT_TEST_MAIN("layers/cpu_team", tests)
