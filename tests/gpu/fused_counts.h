/* fused_counts.h: counts the fused graphs that a GPU's library has, by kind, and checks that they are there
 * which its generation has. Without that a comparison of fused graphs passes where all of them are refused.
 *
 *   dt_fused_counts counts = {0};
 *   dt_kernels_cuda_plans(kernels, dt_fused_counts_visit, &counts);
 *   DT_CHECK_MSG(dt_fused_counts_check(&counts, 90, 0, text, sizeof text), "%s", text);
 */
#ifndef DTRAIN_TESTS_GPU_FUSED_COUNTS_H
#define DTRAIN_TESTS_GPU_FUSED_COUNTS_H

#include "layers/cuda/kernels_cuda.h"

enum { DT_FUSED_N_KINDS = 7 };

typedef struct dt_fused_counts {
    int n, n_there;                      /* of all kinds, and of those that the library has */
    int n_there_of[DT_FUSED_N_KINDS];    /* in the order of the table in fused_counts.c */
    char reason[DT_ERROR_MESSAGE_BYTES]; /* why the last one that is not there was refused; "": unknown */
} dt_fused_counts;

/* Count a graph: "dgrad+drelu+dbn", also followed by a space and a shape. Others than those of a training's
 * convolutions are ignored. */
void dt_fused_counts_add(dt_fused_counts *counts, const char *graph, bool is_there);

/* The same for a row of dt_kernels_cuda_plans; the context is the counts. */
void dt_fused_counts_visit(void *counts, const dt_cuda_plan_row *row);

/* How many fused graphs a training of ResNet-50 in FP16 has on GPUs of compute capability sm with cuDNN 9.19.
 * -1: unknown. */
int dt_fused_counts_of_resnet50(int sm);

/* Write "61 of 61: 6 conv+sums, ..." and what is missing into `text`. Return whether each kind
 * that cuDNN 9.19 has on this compute capability is there, and `least` graphs in all; of a capability that
 * the table does not have, any one graph. */
bool dt_fused_counts_check(const dt_fused_counts *counts, int sm, int least, char *text, size_t text_bytes);

#endif
