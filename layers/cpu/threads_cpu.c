/* threads_cpu.c: divides work among OpenMP's threads; scratch memory. */
#include "core/base/alloc.h"
#include "layers/cpu/cpu_internal.h"

#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

/* A thread's share depends on n and the number of threads alone, so that sums have the same bits in every
 * run. */
static void run_share(int64_t n, int thread, int n_threads, dt_cpu_work *work, void *context)
{
    work(context, thread, n * thread / n_threads, n * (thread + 1) / n_threads);
}

void dt_cpu_parallel(const dt_cpu_kernels *cpu, int64_t n, dt_cpu_work *work, void *context)
{
    if (cpu->n_threads == 1 || n < 2) {
        work(context, 0, 0, n);
        return;
    }
#ifdef _OPENMP
#    pragma omp parallel num_threads(cpu->n_threads)
    run_share(n, omp_get_thread_num(), omp_get_num_threads(), work, context);
#else
    run_share(n, 0, 1, work, context);
#endif
}

dt_status dt_cpu_scratch_reserve(dt_cpu_kernels *cpu, int64_t bytes, dt_error *err)
{
    if (bytes <= cpu->scratch_bytes)
        return DT_OK;
    unsigned char *larger = dt_alloc((size_t)bytes);
    if (larger == NULL)
        return dt_fail_memory(err, (size_t)bytes, "the scratch block of the cpu backend");
    dt_free(cpu->scratch);
    cpu->scratch = larger;
    cpu->scratch_bytes = bytes;
    return DT_OK;
}

void dt_cpu_sums_clear(const dt_cpu_kernels *cpu, int64_t c, void *sums)
{
    memset(sums, 0, (size_t)cpu->n_threads * 2 * (size_t)c * sizeof(double));
}
