/* planes_cpu.c: passes over the planes of a tensor, or of some of its images, shared among threads. */
#include "layers/cpu/cpu_internal.h"

typedef struct plane_pass {
    const dt_cpu_kernels *cpu;
    const dt_cpu_planes *planes;
    const dt_act *x;
    const dt_bn_backward *bn; /* whose sums are filled */
    void *sums;
    int64_t c;
    const float *a, *b, *raw;
    const float *coefficients;
    float *to;
} plane_pass;

static void act_work(void *context, int thread, int64_t begin, int64_t end)
{
    const plane_pass *p = context;
    const int64_t block = p->cpu->block, elems = p->planes->elems;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const dt_cpu_norm norm = dt_cpu_norm_at(p->x, i % p->planes->n_blocks * block);
        p->cpu->simd->act(block, elems, p->a + i * elems, &norm, p->to + i * elems);
    }
}

void dt_cpu_act_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, const dt_act *x,
                       const float *raw, float *out)
{
    plane_pass pass = {.cpu = cpu, .planes = planes, .x = x, .a = raw, .to = out};
    dt_cpu_parallel(cpu, planes->n, act_work, &pass);
}

static void sum_work(void *context, int slot, int64_t begin, int64_t end)
{
    const plane_pass *p = context;
    const int64_t block = p->cpu->block, elems = p->planes->elems;
    double *sums = dt_cpu_sums_of(p->sums, p->c, slot);
    for (int64_t i = begin; i < end; i++) {
        const int64_t channel = i % p->planes->n_blocks * block;
        p->cpu->simd->sums(block, elems, p->a + i * elems, sums + channel, sums + p->c + channel);
    }
}

void dt_cpu_sum_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, const float *y, int64_t c,
                       void *sums)
{
    plane_pass pass = {.cpu = cpu, .planes = planes, .sums = sums, .c = c, .a = y};
    dt_cpu_parallel_sums(cpu, planes, sum_work, &pass);
}

static void reduce_work(void *context, int slot, int64_t begin, int64_t end)
{
    const plane_pass *p = context;
    const int64_t block = p->cpu->block, elems = p->planes->elems;
    double *sums = dt_cpu_sums_of(p->bn->sums, p->c, slot);
    for (int64_t i = begin; i < end; i++) {
        const int64_t channel = i % p->planes->n_blocks * block;
        const dt_cpu_norm norm = dt_cpu_norm_at(p->x, channel);
        const dt_cpu_reduce reduce = {p->raw + i * elems, p->bn->mean + channel, sums + channel,
                                      sums + p->c + channel};
        p->cpu->simd->reduce(block, elems, p->a + i * elems, p->b ? p->b + i * elems : NULL, &norm, &reduce,
                             p->to + i * elems);
    }
}

void dt_cpu_reduce_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes, const dt_bn_backward *bn,
                          const float *raw, const float *dv, const float *add, float *dz)
{
    plane_pass pass = {.cpu = cpu,
                       .planes = planes,
                       .x = bn->x,
                       .bn = bn,
                       .c = planes->n_blocks * cpu->block,
                       .a = dv,
                       .b = add,
                       .raw = raw,
                       .to = dz};
    dt_cpu_parallel_sums(cpu, planes, reduce_work, &pass);
}

static void bn_backward_work(void *context, int thread, int64_t begin, int64_t end)
{
    const plane_pass *p = context;
    const int64_t block = p->cpu->block, elems = p->planes->elems;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *coefficients = p->coefficients + i % p->planes->n_blocks * block;
        p->cpu->simd->bn_backward(block, elems, p->a + i * elems, p->raw + i * elems, coefficients,
                                  coefficients + p->c, coefficients + 2 * p->c, p->to + i * elems);
    }
}

void dt_cpu_bn_backward_planes(const dt_cpu_kernels *cpu, const dt_cpu_planes *planes,
                               const float *coefficients, const float *raw, const float *dz, float *dy)
{
    plane_pass pass = {.cpu = cpu,
                       .planes = planes,
                       .c = planes->n_blocks * cpu->block,
                       .a = dz,
                       .raw = raw,
                       .coefficients = coefficients,
                       .to = dy};
    dt_cpu_parallel(cpu, planes->n, bn_backward_work, &pass);
}

/* The threads divide vectors of weights and gradients in lines of 16 floats. */
static void add_work(void *context, int thread, int64_t begin, int64_t end)
{
    const plane_pass *p = context;
    (void)thread;
    p->cpu->simd->add((end - begin) * 16, p->a + begin * 16, p->b + begin * 16, p->to + begin * 16);
}

void dt_cpu_add(const dt_cpu_kernels *cpu, int64_t n, const float *a, const float *b, float *to)
{
    plane_pass pass = {.cpu = cpu, .a = a, .b = b, .to = to};
    assert(n % 16 == 0);
    dt_cpu_parallel(cpu, n / 16, add_work, &pass);
}
