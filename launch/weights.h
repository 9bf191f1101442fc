/* weights.h: a net's weights from and to .safetensors files, under torchvision's names. */
#ifndef DT_LAUNCH_WEIGHTS_H
#define DT_LAUNCH_WEIGHTS_H

#include "core/model/net.h"

/* What is known of a weights file, or of a checkpoint, before a net is built for it. */
typedef struct dt_weights_info {
    char arch[32];      /* "" if it is none that we know */
    int64_t n_classes;  /* 0: not known */
    char *config_text;  /* options that evaluation needs too, in a configuration file's syntax; NULL: not known; dt_alloc'ed, the caller's */
} dt_weights_info;

/* From the names and shapes of a .safetensors file. DT_ERR_USAGE: no such file; DT_ERR_IO, DT_ERR_FORMAT,
 * DT_ERR_UNSUPPORTED, DT_ERR_MEMORY. */
dt_status dt_weights_describe(const char *path, dt_weights_info *info, dt_error *err);

/* Fill the net's parameters and statistics from a file. `new_head`: a linear layer with another number of outputs
 * keeps its initialisation, and a log line says so; otherwise that is an error. A tensor that is missing, has another
 * shape, or that the net has not got is DT_ERR_USAGE and named. */
dt_status dt_weights_load(dt_net *net, const char *path, bool new_head, dt_error *err);

/* Write all parameters and statistics (float32), and num_batches_tracked = n_batches for each BatchNorm as PyTorch
 * has it. arch and config_text (what dt_weights_describe gives back) go into the file's metadata, and nothing that
 * two equal trainings could differ in. The file is whole or not there. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_weights_export(dt_net *net, const char *path, const char *arch, const char *config_text, int64_t n_batches, dt_error *err);

/* Whether a file could be made at `path`, to know before hours of training: DT_ERR_USAGE with the reason. */
dt_status dt_weights_check_writable(const char *path, dt_error *err);

#endif
