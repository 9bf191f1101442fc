/* fused_times.h: measures each fused graph of a network's convolutions beside the operations that it
 * replaces, in FP16, and prints both times.
 *
 *   const dt_fused_times_options options = {.arch = "resnet50", .batch = 256, .image_size = 224,
 *                                           .n_runs = 10};
 *   DT_TRY(dt_fused_times_print(device, runner, &options, stdout, err));
 *
 *   graph                      convolution           layers      fused   composed
 *   conv+sums                  7x7/2 3->64 224x224        1   0.301 ms   0.414 ms
 *   dgrad+drelu+dbn            3x3/2 128->128 56x56       1       none   0.302 ms
 *
 * The composed time contains our own kernels, as they run on this GPU; the backend's own comparison
 * (layers/cuda/fused_cuda.c) computes theirs from the bandwidth. Neither contains what both sides do alike.
 */
#ifndef DTRAIN_TESTS_GPU_FUSED_TIMES_H
#define DTRAIN_TESTS_GPU_FUSED_TIMES_H

#include "core/kernels.h"
#include "layers/cuda/graph.h"

#include <stdio.h>

typedef struct dt_fused_times_options {
    const char *arch;
    int64_t batch, image_size;
    int n_runs; /* executions of which the time is the mean; the least of two such means is printed */
} dt_fused_times_options;

/* The different convolutions of a network in training. */
enum { DT_FUSED_MAX_CONVS = 96 };
typedef struct dt_fused_convs {
    dt_conv_desc descs[DT_FUSED_MAX_CONVS];
    int n_layers[DT_FUSED_MAX_CONVS]; /* that have this convolution */
    int n;
    const dt_conv_desc *last; /* used while the list is made */
} dt_fused_convs;

/* *convs is zero before. Of the options only n_runs is not read. Local; allocates no device memory. */
dt_status dt_fused_convs_list(dt_device *device, const dt_fused_times_options *options, dt_fused_convs *convs,
                              dt_error *err);

/* Prints a line as soon as it is measured; then sums for a step: of each graph's executions that the library
 * has, and of all, where those that it lacks are composed on both sides. Blocking. The device and its runner
 * are borrowed. Errors of planning and executing; DT_ERR_IO. */
dt_status dt_fused_times_print(dt_device *device, dt_graph_runner *runner,
                               const dt_fused_times_options *options, FILE *stream, dt_error *err);

#endif
