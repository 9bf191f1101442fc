/* threads_cpu.c: divides work among OpenMP's threads; scratch memory.
 *
 * OpenMP may provide fewer threads than a parallel region requests (OMP_THREAD_LIMIT, OMP_DYNAMIC,
 * OMP_MAX_ACTIVE_LEVELS, a caller that is itself in a parallel region). So the work is divided into shares,
 * n_threads of them, and the threads of the team, however many there are, compute all shares. */
#include "core/base/alloc.h"
#include "layers/cpu/cpu_internal.h"

#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

/* Computes the shares of one thread of the team: share `thread`, and every team_size'th after it. */
static void run_shares(int64_t n, int n_shares, int thread, int team_size, dt_cpu_work *work, void *context)
{
    for (int share = thread; share < n_shares; share += team_size)
        work(context, share, n * share / n_shares, n * (share + 1) / n_shares);
}

void dt_cpu_parallel(const dt_cpu_kernels *cpu, int64_t n, dt_cpu_work *work, void *context)
{
    if (cpu->n_threads == 1 || n < 2) {
        work(context, 0, 0, n);
        return;
    }
#ifdef _OPENMP
#    pragma omp parallel num_threads(cpu->n_threads)
    run_shares(n, cpu->n_threads, omp_get_thread_num(), omp_get_num_threads(), work, context);
#else
    run_shares(n, cpu->n_threads, 0, 1, work, context);
#endif
}

typedef struct slot_pass {
    const dt_cpu_planes *planes;
    int64_t n_images;
    dt_cpu_work *work;
    void *context;
} slot_pass;

/* A unit is a channel block of the images first, first + DT_CPU_SLOTS, first + 2 DT_CPU_SLOTS ... */
static void slot_work(void *context, int share, int64_t begin, int64_t end)
{
    const slot_pass *p = context;
    const int64_t n_blocks = p->planes->n_blocks;
    (void)share;
    for (int64_t first = begin / n_blocks; first * n_blocks < end; first++) {
        const int64_t before = first * n_blocks, from = begin > before ? begin - before : 0,
                      to = end - before < n_blocks ? end - before : n_blocks;
        for (int64_t image = first; image < p->n_images; image += DT_CPU_SLOTS)
            p->work(p->context, (int)((p->planes->first_image + image) % DT_CPU_SLOTS),
                    image * n_blocks + from, image * n_blocks + to);
    }
}

void dt_cpu_parallel_sums(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, dt_cpu_work *work,
                          void *context)
{
    slot_pass pass = {planes, planes->n / planes->n_blocks, work, context};
    const int64_t n_firsts = pass.n_images < DT_CPU_SLOTS ? pass.n_images : DT_CPU_SLOTS;
    dt_cpu_parallel(cpu, n_firsts * planes->n_blocks, slot_work, &pass);
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

void dt_cpu_sums_clear(int64_t c, void *sums)
{
    memset(sums, 0, (size_t)DT_CPU_SLOTS * 2 * (size_t)c * sizeof(double));
}
