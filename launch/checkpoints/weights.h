/* weights.h: reads and writes weights in .safetensors files, with torchvision's names. */
#ifndef DT_LAUNCH_CHECKPOINTS_WEIGHTS_H
#define DT_LAUNCH_CHECKPOINTS_WEIGHTS_H

#include "core/class_names.h"
#include "core/model/net.h"
#include "launch/options/options.h"

#define DT_WEIGHTS_CONFIG_BYTES 128

/* Properties of a weights file, or of a checkpoint, that are needed to build a net for it. */
typedef struct dt_weights_info {
    char arch[32];              /* "": no network that dtrain knows */
    int64_t n_classes;          /* 0: not known */
    dt_class_names class_names; /* by output of the classifier; none: not known. Owned */
    char *config_text; /* options that an evaluation needs, in the syntax of a configuration file; NULL: not
                          known. dt_alloc'ed, owned */
} dt_weights_info;

/* Derive *info from the names and shapes in a .safetensors file, and from its metadata. Names of classes that
 * do not fit the file's classifier are ignored with a warning. The caller clears *info. DT_ERR_USAGE: no such
 * file; DT_ERR_IO, DT_ERR_FORMAT, DT_ERR_UNSUPPORTED, DT_ERR_MEMORY. */
dt_status dt_weights_describe(const char *path, dt_weights_info *info, dt_error *err);

void dt_weights_info_clear(dt_weights_info *info); /* a zeroed one is fine */

/* What becomes of the classifier (fc) in a file. */
typedef enum dt_weights_head {
    DT_WEIGHTS_HEAD_SAME,       /* it must have as many outputs as the net's */
    DT_WEIGHTS_HEAD_IF_IT_FITS, /* if it has not, or is missing, the net's keeps its
                                   initialisation, and this is logged */
    DT_WEIGHTS_HEAD_NEW         /* the net's keeps its initialisation */
} dt_weights_head;

/* Set the net's parameters and statistics from a file. Its names may all begin with the same words, such as
 * "module." or "_orig_mod."; what the net has no use for is left out. All of this is logged. DT_ERR_USAGE:
 * the file lacks a tensor, a tensor has another shape, it has more layers than the net, or it holds two
 * networks; DT_ERR_NUMERIC: a value is not finite, or a variance is negative; the message names the tensor.
 * Other errors as above. */
dt_status dt_weights_load(dt_net *net, const char *path, dt_weights_head head, dt_error *err);

typedef struct dt_weights_export_options {
    const char *arch;
    const char *config_text;           /* from dt_weights_config_text; dt_weights_describe returns it */
    const dt_class_names *class_names; /* by output of the classifier; NULL or none: not known */
    int64_t n_batches;                 /* num_batches_tracked of each BatchNorm, as in PyTorch */
    bool ema;  /* write the running averages ("ema/...") instead of weights and statistics */
    bool fp16; /* write float16 instead of float32; values that are too large become infinite,
                                and a warning counts them */
} dt_weights_export_options;

/* Format the options of a training that an evaluation of its weights needs. */
void dt_weights_config_text(const dt_options *trained, char out[DT_WEIGHTS_CONFIG_BYTES]);

/* Write all parameters and statistics of a net or a checkpoint; calls io->get once for each, in the layout's
 * order. Two equal trainings give the same bytes: the metadata holds no dates and no paths. On failure there
 * is no new file, and an older one stays. DT_ERR_USAGE: `ema` and the state has no averages, or no such
 * folder; DT_ERR_NUMERIC: a value is not finite, or a variance is negative; DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_weights_export(const dt_state_layout *layout, const dt_state_io *io, const char *path,
                            const dt_weights_export_options *options, dt_error *err);

#endif
