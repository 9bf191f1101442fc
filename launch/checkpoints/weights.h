/* weights.h: weights from and to .safetensors files, under torchvision's names. */
#ifndef DT_LAUNCH_CHECKPOINTS_WEIGHTS_H
#define DT_LAUNCH_CHECKPOINTS_WEIGHTS_H

#include "core/model/net.h"

#define DT_WEIGHTS_CONFIG_BYTES 128

/* What is known of a weights file, or of a checkpoint, before a net is built for it. */
typedef struct dt_weights_info {
    char arch[32];     /* "" if it is none that we know */
    int64_t n_classes; /* 0: not known */
    char *config_text; /* options that evaluation needs too, in a configuration file's syntax; NULL: not
                           known; dt_alloc'ed, the caller's */
} dt_weights_info;

/* From the names and shapes of a .safetensors file. DT_ERR_USAGE: no such file; DT_ERR_IO, DT_ERR_FORMAT,
 * DT_ERR_UNSUPPORTED, DT_ERR_MEMORY. */
dt_status dt_weights_describe(const char *path, dt_weights_info *info, dt_error *err);

/* Fill the net's parameters and statistics from a file. `new_head`: a linear layer with another number of
 * outputs keeps its initialisation, and a log line says so; otherwise that is an error. A tensor that is
 * missing, has another shape, or that the net has not got is DT_ERR_USAGE and named. */
dt_status dt_weights_load(dt_net *net, const char *path, bool new_head, dt_error *err);

typedef struct dt_weights_export_options {
    const char *arch;
    const char *config_text; /* what dt_weights_describe gives back: dt_weights_config_text */
    int64_t n_batches;       /* num_batches_tracked of each BatchNorm, as PyTorch has it */
    bool ema;                /* the running averages ("ema/...") instead of the weights and statistics
                                themselves */
    bool fp16;               /* float16 instead of float32; a value that is too large for it becomes
                                infinite, and a warning tells how many */
} dt_weights_export_options;

/* The options of a training that an evaluation of its weights needs too. */
void dt_weights_config_text(int64_t image_size, double eval_crop, char out[DT_WEIGHTS_CONFIG_BYTES]);

/* Write all parameters and statistics of a state: a net's or a checkpoint's; io->get is called once for each,
 * in the layout's order. The file's metadata tells nothing that two equal trainings could differ in. The file
 * is whole or not there. DT_ERR_USAGE (`ema`, and the state has none; no such folder), DT_ERR_IO,
 * DT_ERR_MEMORY. */
dt_status dt_weights_export(const dt_state_layout *layout, const dt_state_io *io, const char *path,
                            const dt_weights_export_options *options, dt_error *err);

/* Whether a file could be made at `path`, to know before hours of training: DT_ERR_USAGE with the reason,
 * behind the name of the option. */
dt_status dt_weights_check_writable(const char *option, const char *path, dt_error *err);

#endif
