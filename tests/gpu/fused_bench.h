/* fused_bench.h: executes each fused graph of one convolution, and the operations that replace it where the
 * library lacks the graph, as layers/conv.c, layers/batchnorm.c and layers/add.c call them.
 *
 *   dt_fused_bench *bench = NULL;
 *   DT_TRY(dt_fused_bench_create(kernels, &desc, &bench, err));
 *   for (int i = 0; i < dt_fused_bench_n(bench); i++)
 *       DT_TRY(dt_fused_bench_run(bench, i, DT_SIDE_COMPOSED, err));
 *   dt_fused_bench_destroy(bench);
 *
 * Which graphs there are depends on desc.input, the form of the input:
 *   plain     conv+sums                conv, bn_sums
 *   lazy      bnrelu+conv+sums         act_materialize, conv, bn_sums
 *             dgrad+drelu+dbn          dgrad, bn_backward_reduce
 *             bnrelu+wgrad             act_materialize, wgrad
 *   join      bn+add+relu+conv+sums    residual_forward, conv, bn_sums
 *             dgrad+add+drelu+dbn      dgrad+=, residual_backward
 *   image     conv+sums, wgrad         the same over pixels of 4 channels: the stem by space to depth
 */
#ifndef DTRAIN_TESTS_GPU_FUSED_BENCH_H
#define DTRAIN_TESTS_GPU_FUSED_BENCH_H

#include "core/kernels.h"
#include "tests/gpu/side_runner.h"

typedef struct dt_fused_bench dt_fused_bench;

/* Plan the convolution on both sides and allocate its tensors, filled with numbers from -1 to 1. `kernels`
 * are of layers/cuda in FP16 on one device, with the runners of side_runner.h; borrowed. desc is for
 * training. DT_ERR_UNSUPPORTED, DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_fused_bench_create(dt_kernels *const kernels[2], const dt_conv_desc *desc,
                                dt_fused_bench **bench, dt_error *err);
void dt_fused_bench_destroy(dt_fused_bench *bench); /* NULL is fine */

/* The number of graphs; the name of each; whether the library has it. */
int dt_fused_bench_n(const dt_fused_bench *bench);
const char *dt_fused_bench_graph(const dt_fused_bench *bench, int i);
bool dt_fused_bench_has(const dt_fused_bench *bench, int i);

/* Enqueue graph i, or what replaces it, once. FUSED only if the library has it. */
dt_status dt_fused_bench_run(dt_fused_bench *bench, int i, dt_side side, dt_error *err);

/* Enqueue what the runs of weight gradients have left to do: they are complete after it, and it is not part
 * of the next measurement. */
dt_status dt_fused_bench_settle(dt_fused_bench *bench, dt_error *err);

/* Whether graph i, which the library must have, writes the same bits n times. Blocking. Copies all outputs to
 * the host n times. */
dt_status dt_fused_bench_repeat(dt_fused_bench *bench, int i, int n, bool *same, dt_error *err);

#endif
