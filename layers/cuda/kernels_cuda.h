/* kernels_cuda.h: core/kernels.h on a GPU.
 *
 *   dt_kernels *k = NULL;
 *   const dt_cuda_options options = {.dtype = DT_F16};
 *   DT_TRY(dt_kernels_cuda_create(device, runner, &options, &k, err));
 *   ... k->ops->conv_forward(k, conv, &x, w, &y, sums, err) ...
 *   k->ops->destroy(k);
 *
 * It uses CUDA only through three interfaces: core/device.h (memory), layers/cuda/graph.h (convolutions and
 * matrix products, by cuDNN) and layers/cuda/launch.h (our own kernels). tests/emulated/ implements all three
 * without a GPU.
 *
 * Activations are NHWC of the dtype, the image with a fourth channel of zeros; where a stem reads it by space
 * to depth (conv_stem_cuda.c), in blocks of 2x2 pixels. Weights are float32 KRSC in the flat vector, the
 * stem's with a fourth input channel of zeros; F16 and BF16 read a mirror of that vector (values_bind). Sums
 * are float [2][c].
 *
 * The calls of a step allocate nothing, wait for nothing, and can be captured. Create-calls (conv_create,
 * linear_create, optimizer_create, values_bind) may replace the shared workspace: a graph captured before one
 * of them must not be launched after it.
 */
#ifndef DT_LAYERS_CUDA_KERNELS_CUDA_H
#define DT_LAYERS_CUDA_KERNELS_CUDA_H

#include "core/kernels.h"
#include "layers/cuda/graph.h"

typedef struct dt_cuda_options {
    dt_dtype dtype; /* of activations: F16, BF16, TF32 or F32 */
    bool plan_only; /* only make plans, for tables: the kernels allocate no device memory (the device may
                       be NULL), and no operation may be called */
} dt_cuda_options;

/* Create the cuda backend. Operations enqueue on the device's main stream (native_stream). Device and runner
 * are borrowed and must outlive the kernels. Local; blocks while memory is allocated. Errors:
 * DT_ERR_UNSUPPORTED (dtype), DT_ERR_MEMORY. */
dt_status dt_kernels_cuda_create(dt_device *device, dt_graph_runner *runner, const dt_cuda_options *options,
                                 dt_kernels **kernels, dt_error *err);

/* One graph that a convolution or a linear layer has requested from the runner. Pointers belong to the
 * kernels. */
typedef struct dt_cuda_plan_row {
    const char *name;         /* of the graph: "bnrelu+conv+sums 3x3 64->64 56x56 n256 fp16" */
    const dt_conv_desc *conv; /* NULL: a linear layer */
    int n_layers;             /* that share it: convolutions of one shape have the same plans */
    bool is_fused;            /* more than one operation */
    bool is_refused;          /* no engine: it is composed of other graphs, which have rows of their own;
                                 info is empty */
    const char *reason;       /* why it is refused */
    dt_graph_plan_info info;
    int64_t bytes_moved; /* by one execution; dt_graph_bytes_moved */
    double flops;
} dt_cuda_plan_row;

/* Visit every graph of the convolutions and linear layers that exist now, in the order of their creation. */
void dt_kernels_cuda_plans(dt_kernels *kernels, void (*visit)(void *context, const dt_cuda_plan_row *row),
                           void *context);

#endif
