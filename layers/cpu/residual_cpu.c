/* residual_cpu.c: y = relu(branch + skip), each input with its own normalisation, and its gradient.
 *
 * Forward keeps a bit for each element, in the order of the tensor, so that backward does not read y.
 */
#include "layers/cpu/cpu_internal.h"

typedef struct join_pass {
    const dt_cpu_kernels *cpu;
    dt_cpu_planes planes;
    const dt_act *branch, *skip;
    const dt_bn_backward *branch_bn, *skip_bn;
    const float *dy;
    float *out;
    uint8_t *mask;
    const uint8_t *mask_in;
} join_pass;

int64_t dt_cpu_residual_mask_bytes(dt_kernels *k, const dt_tensor *y)
{
    (void)k;
    return dt_cpu_elems(y) / 8;
}

static void forward_work(void *context, int thread, int64_t begin, int64_t end)
{
    const join_pass *p = context;
    const float *branch = p->branch->raw.data, *skip = p->skip->raw.data;
    const int64_t block = p->cpu->block, elems = p->planes.elems;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t channel = i % p->planes.n_blocks * block;
        const dt_cpu_norm branch_norm = dt_cpu_norm_at(p->branch, channel),
                          skip_norm = dt_cpu_norm_at(p->skip, channel);
        p->cpu->simd->residual(block, elems, branch + i * elems, &branch_norm, skip + i * elems, &skip_norm,
                               p->out + i * elems, p->mask ? p->mask + i * elems / 8 : NULL);
    }
}

dt_status dt_cpu_residual_forward(dt_kernels *k, const dt_act *branch, const dt_act *skip, const dt_tensor *y,
                                  void *mask, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    join_pass pass = {.cpu = cpu,
                      .planes = dt_cpu_planes_of(cpu, y->n, y->c, y->h * y->w),
                      .branch = branch,
                      .skip = skip,
                      .mask = mask};
    (void)dt_cpu_data_like(&branch->raw, y), (void)dt_cpu_data_like(&skip->raw, y), (void)err;
    pass.out = dt_cpu_data_like(y, y);
    dt_cpu_parallel(cpu, pass.planes.n, forward_work, &pass);
    return DT_OK;
}

/* Where the sums of one plane go, for one of the two inputs. */
static dt_cpu_reduce reduce_at(const dt_bn_backward *bn, int64_t c, int slot, int64_t at, int64_t channel)
{
    double *sums = dt_cpu_sums_of(bn->sums, c, slot);
    return (dt_cpu_reduce){(const float *)bn->x->raw.data + at, bn->mean + channel, sums + channel,
                           sums + c + channel};
}

static void backward_work(void *context, int slot, int64_t begin, int64_t end)
{
    const join_pass *p = context;
    const int64_t block = p->cpu->block, elems = p->planes.elems, c = p->planes.n_blocks * block;
    for (int64_t i = begin; i < end; i++) {
        const int64_t channel = i % p->planes.n_blocks * block;
        dt_cpu_reduce branch = {0}, skip = {0};
        if (p->branch_bn)
            branch = reduce_at(p->branch_bn, c, slot, i * elems, channel);
        if (p->skip_bn)
            skip = reduce_at(p->skip_bn, c, slot, i * elems, channel);
        p->cpu->simd->residual_backward(block, elems, p->dy + i * elems, p->mask_in + i * elems / 8,
                                        p->branch_bn ? &branch : NULL, p->skip_bn ? &skip : NULL,
                                        p->out + i * elems);
    }
}

dt_status dt_cpu_residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y, const void *mask,
                                   const dt_bn_backward *branch, const dt_bn_backward *skip,
                                   const dt_tensor *g, dt_error *err)
{
    const dt_cpu_kernels *cpu = dt_cpu(k);
    join_pass pass = {.cpu = cpu,
                      .planes = dt_cpu_planes_of(cpu, dy->n, dy->c, dy->h * dy->w),
                      .branch_bn = branch,
                      .skip_bn = skip,
                      .mask_in = mask};
    assert((branch == NULL || !branch->x->relu) && (skip == NULL || !skip->x->relu));
    (void)y, (void)err;
    pass.dy = dt_cpu_data_like(dy, dy);
    pass.out = dt_cpu_data_like(g, dy);
    if (branch)
        dt_cpu_sums_clear(dy->c, branch->sums);
    if (skip)
        dt_cpu_sums_clear(dy->c, skip->sums);
    dt_cpu_parallel_sums(cpu, &pass.planes, backward_work, &pass);
    return DT_OK;
}
