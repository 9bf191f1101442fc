/* team_cpu.c: starts the team of OpenMP's threads and inspects it, once, before it computes anything. */
#define _GNU_SOURCE /* pthread_getattr_np */
#include "core/base/alloc.h"
#include "core/base/cpus.h"
#include "layers/cpu/cpu_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

#ifdef _OPENMP
static void *wait_for_lock(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

/* The size of stacks that the environment asks OpenMP for, as GCC's reads it: a number with B, K (also if
 * there is no letter), M or G. 0: none, or one that OpenMP ignores. */
static size_t requested_stack_bytes(void)
{
    static const char units[] = "bkmg";
    const char *text = getenv("OMP_STACKSIZE");
    text = text ? text : getenv("GOMP_STACKSIZE");
    char *end = NULL;
    const unsigned long long number = text ? strtoull(text, &end, 10) : 0;
    if (number == 0)
        return 0;
    end += strspn(end, " \t");
    const char *unit = *end ? strchr(units, *end | 0x20) : units + 1;
    if (unit == NULL || number > SIZE_MAX >> (10 * (unit - units)))
        return 0;
    return (size_t)number << (10 * (unit - units));
}

/* The size of stacks that OpenMP gives its threads because of the environment; INT64_MAX: its default. */
static int64_t accepted_stack_bytes(void)
{
    const size_t bytes = requested_stack_bytes();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    const bool accepted = bytes > 0 && pthread_attr_setstacksize(&attributes, bytes) == 0;
    pthread_attr_destroy(&attributes);
    return accepted ? (int64_t)bytes : INT64_MAX;
}

/* Start as many threads as OpenMP will, and end them again: GCC's OpenMP ends the program if it cannot
 * start a thread, without a word about the reason. */
static dt_status try_threads(int n, dt_error *err)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *threads = dt_alloc((size_t)n * sizeof *threads);
    const size_t stack_bytes = requested_stack_bytes();
    pthread_attr_t attributes;
    int n_started = 0, failed = 0;
    if (threads == NULL)
        return dt_fail_memory(err, (size_t)n * sizeof *threads, "the list of threads");
    pthread_attr_init(&attributes);
    if (stack_bytes > 0)
        (void)pthread_attr_setstacksize(&attributes, stack_bytes); /* OpenMP ignores what is too small, too */
    pthread_mutex_lock(&lock);
    while (n_started < n && failed == 0) {
        failed = pthread_create(&threads[n_started], &attributes, wait_for_lock, &lock);
        n_started += failed == 0;
    }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
    dt_free(threads);
    pthread_mutex_destroy(&lock);
    pthread_attr_destroy(&attributes);
    if (failed == 0)
        return DT_OK;
    return dt_fail(
        err, DT_ERR_UNSUPPORTED,
        "backend cpu: of %d compute threads, the system started %d (%s); raise the limit of processes "
        "(ulimit -u, or pids.max of the control group)%s, or use --threads %d",
        n + 1, n_started + 1, strerror(failed), stack_bytes > 0 ? ", lower OMP_STACKSIZE" : "",
        n_started + 1);
}

static int64_t stack_bytes_of_this_thread(void)
{
    pthread_attr_t attributes;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return INT64_MAX;
    if (pthread_attr_getstacksize(&attributes, &bytes) != 0)
        bytes = SIZE_MAX / 2;
    pthread_attr_destroy(&attributes);
    return (int64_t)bytes;
}

/* What the threads of a team find. The stack of the first one, which calls this, is not OpenMP's. */
static void inspect(int n_threads, dt_cpu_team *team)
{
    dt_cpus all = {{0}};
    *team = (dt_cpu_team){.least_stack_bytes = INT64_MAX};
#    pragma omp parallel num_threads(n_threads)
    {
        const int64_t stack_bytes = omp_get_thread_num() > 0 ? stack_bytes_of_this_thread() : INT64_MAX;
#    pragma omp critical(dt_cpu_team)
        {
            dt_cpus mine;
            (void)dt_cpus_read(0, &mine);
            for (int cpu = dt_cpus_next(&mine, 0); cpu >= 0; cpu = dt_cpus_next(&mine, cpu + 1))
                dt_cpus_add(&all, cpu);
            if (stack_bytes < team->least_stack_bytes)
                team->least_stack_bytes = stack_bytes;
            team->n_threads++;
        }
    }
    team->n_cpus = dt_cpus_count(&all);
}

dt_status dt_cpu_team_start(dt_cpu_kernels *cpu, dt_error *err)
{
    dt_cpus before;
    const int limit = omp_get_thread_limit();
    const int64_t stack_bytes = accepted_stack_bytes();
    if (cpu->n_threads > 1 && stack_bytes < DT_CPU_LEAST_STACK_BYTES) {
        cpu->team = (dt_cpu_team){1, 1, stack_bytes}; /* no thread is started: the system may refuse it */
        return DT_OK;
    }
    if (cpu->n_threads > 1)
        DT_TRY(try_threads((cpu->n_threads < limit ? cpu->n_threads : limit) - 1, err));
    const bool known = dt_cpus_read(0, &before);
    inspect(cpu->n_threads, &cpu->team);
    /* With OMP_PROC_BIND OpenMP binds the caller too, to its own processor. The threads that the caller
     * creates, which decode and write, would all inherit that one. */
    if (known)
        (void)dt_cpus_bind(&before);
    return DT_OK;
}
#else
dt_status dt_cpu_team_start(dt_cpu_kernels *cpu, dt_error *err)
{
    (void)err;
    cpu->team = (dt_cpu_team){1, 1, INT64_MAX};
    return DT_OK;
}
#endif
