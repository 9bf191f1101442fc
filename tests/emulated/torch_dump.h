/* torch_dump.h: computes what torch_compare.py computes again with PyTorch. The program executes every graph
 * and the kernels of the CUDA backend on the CPU, and writes their inputs and outputs.
 *
 *     torch_dump FOLDER [MISREADING]
 *
 * FOLDER/index has a line `case KIND NUMBER...` for each case, then a line `NAME N C H W` for each of its
 * tensors (filters: K C R S); FOLDER/data has the tensors, in this order, float32 NCHW. The numbers of a case
 * are stride and padding unless its writer says otherwise. A MISREADING of dt_misreading, by its name in
 * torch_dump.c, is planted. */
#ifndef DTRAIN_TESTS_EMULATED_TORCH_DUMP_H
#define DTRAIN_TESTS_EMULATED_TORCH_DUMP_H

#include "tests/emulated/gpu_emulated.h"

#include <stdio.h>

/* A wrong understanding of an operation that graphs, interpreter and layers/ref could share. */
typedef enum dt_misreading {
    DT_MISREADING_NONE,
    DT_MISREADING_UNBIASED_VARIANCE,       /* BatchNorm normalises by the unbiased variance */
    DT_MISREADING_BIASED_RUNNING_VARIANCE, /* the running variance is the biased one */
    DT_MISREADING_NORMALISED_PADDING,      /* the prologue's bias is added to the padding, too */
    DT_MISREADING_FLIPPED_FILTER,          /* a convolution, not a cross-correlation */
    DT_MISREADING_EARLY_RELU,              /* ReLU before the last addition: of the bias or of the skip */
    DT_MISREADING_MASK_OF_RAW,             /* backward of ReLU by the sign of raw */
    DT_MISREADING_MASK_WITHOUT_SKIP,       /* backward of a join's ReLU by the sign of the branch alone */
    DT_MISREADING_LOST_SHORTCUT,           /* the gradient that comes by the shortcut is not added */
    DT_MISREADING_CONSTANT_MEAN,           /* BatchNorm's gradient: c without the term of the mean */
    DT_MISREADING_SCALED_SUMS,             /* dgamma from raw - mean, without the invstd */
    DT_MISREADING_OTHER_CLASSES,           /* smoothing is divided among the wrong classes */
    DT_MISREADING_DAMPED_MOMENTUM,         /* v = momentum * v + (1 - momentum) * g */
    DT_N_MISREADINGS
} dt_misreading;

enum { DT_DUMP_MAX_BLOCKS = 64 };

/* The memory of a case belongs to the dump until the next case begins. */
typedef struct dt_dump {
    dt_emulated_gpu gpu;
    dt_misreading misreading;
    FILE *index, *data;
    uint64_t seed;
    void *blocks[DT_DUMP_MAX_BLOCKS];
    int n_blocks;
    dt_error err;
} dt_dump;

/* End the program with the error's message if status is not DT_OK. */
void dt_dump_require(dt_dump *d, dt_status status);

void dt_dump_begin(dt_dump *d, const char *kind, double first, double second);
void *dt_dump_alloc(dt_dump *d, int64_t bytes); /* device memory, which the host can read and write */

/* Tensors of the backend's dtype, in its layout. input: random in [low, high), and written to the files.
 * output: for the operation to write. */
dt_tensor dt_dump_input(dt_dump *d, const char *name, int64_t n, int64_t c, int64_t h, int64_t w, float low,
                        float high);
dt_tensor dt_dump_output(dt_dump *d, int64_t n, int64_t c, int64_t h, int64_t w);
void dt_dump_write(dt_dump *d, const char *name, const dt_tensor *t);

/* Float32 vectors [1, c, 1, 1]. */
float *dt_dump_vector(dt_dump *d, const char *name, int64_t c, float low, float high);
void dt_dump_write_floats(dt_dump *d, const char *name, const float *values, int64_t n, int64_t c, int64_t h,
                          int64_t w);

/* An input of BatchNorm with its statistics, computed by the backend's kernels. Written to the files: raw,
 * gamma (of any sign; 0 in two channels) and beta (mostly above 0; 0 in one of these two). */
typedef struct dt_dump_norm {
    dt_tensor raw;
    float *gamma, *beta, *mean, *invstd, *scale, *bias, *stat_mean, *stat_var;
    void *sums; /* for backward */
} dt_dump_norm;
dt_dump_norm dt_dump_normalise(dt_dump *d, bool is_skip, int64_t n, int64_t c, int64_t h, int64_t w);
dt_act dt_dump_act(const dt_dump_norm *norm, bool relu);
dt_bn_backward dt_dump_bn_backward(const dt_dump_norm *norm, const dt_act *act);

/* The cases: torch_dump_graphs.c, torch_dump_kernels.c, and those of a backend in FP16. */
void dt_dump_graphs(dt_dump *d);
void dt_dump_kernels(dt_dump *d);
void dt_dump_stem(dt_dump *d);

#endif
