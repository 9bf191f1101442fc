/* workload.h: what `dtrain plan` plans for: how much a training computes, reads and writes, whatever
 * computes it.
 *
 *   dt_workload work;
 *   DT_TRY(dt_workload_read(options, &work, err));      from the training options, --images and --data-bytes
 *   work.images_of_run                                  1,281,167 images x 90 epochs
 *
 * Bytes and operations of an image are those that the net itself counts (dt_net_layer_traffic), in the chosen
 * precision, without a GPU. Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_WORKLOAD_H
#define DT_LAUNCH_ESTIMATE_WORKLOAD_H

#include "launch/options/options.h"

#define DT_IMAGENET_IMAGES 1281167 /* of ILSVRC 2012's training set */
#define DT_IMAGENET_VAL_IMAGES 50000
#define DT_IMAGENET_BYTES 144e9 /* of both sets, as JPEG files */
#define DT_IMAGENET_CLASSES 1000
#define DT_RATED_SIZE 224 /* pixels that published rates are of; --image-size by default */

/* Training at one image size. */
typedef struct dt_workload_size {
    int64_t image_size; /* pixels, square */
    double share;       /* of the epochs; the shares of all sizes add up to 1 */
    double bytes_moved; /* between GPU and its memory, per trained image */
    double flops;       /* per trained image; a multiply-add is two */
} dt_workload_size;

typedef struct dt_workload {
    char arch[32];
    dt_dtype precision;       /* DT_F16 for --precision auto: what a GPU uses */
    int64_t image_size;       /* --image-size: that of evaluations, and of training without a schedule */
    int64_t batch;            /* per GPU and micro-batch; 0: --batch auto, the largest that fits */
    int64_t accumulate;       /* micro-batches per optimizer step */
    int64_t checkpoint_every; /* steps; DT_CHECKPOINT_AUTO also where the user gave none; 0: an epoch */
    double epochs;
    double n_images, n_val_images;
    bool data_is_elsewhere;   /* --data of a configuration file names a folder that is not here: ImageNet is
                               assumed, unless --images and --data-bytes say other */
    bool is_counted;          /* n_images was counted in --data, and not assumed or given */
    double images_of_run;     /* n_images x epochs */
    double val_images_of_run; /* n_val_images x the number of evaluations */
    double n_evaluations;
    double data_bytes; /* of all files; what has to be brought to each node */
    dt_workload_size sizes[DT_RESIZE_MAX];
    int n_sizes; /* 1 or more */
    dt_workload_size
        rated; /* ResNet-50 at 224 pixels in the same precision: what most published rates are of */
    int64_t n_params;
    double memory_fixed_bytes, memory_image_bytes; /* of a GPU, whatever the batch; for each image of it */
    double checkpoint_bytes; /* weights, momentum and, with --ema, averages, in float32 */
    double gradient_bytes;   /* that an all-reduce sums each step, in the type in which they are sent */
} dt_workload;

/* From the options of `dtrain plan`; the files of --data are counted if it is given. DT_ERR_USAGE: what the
 * options ask for cannot be planned; DT_ERR_MEMORY; with --data the errors of reading a folder. */
dt_status dt_workload_read(const dt_options *options, dt_workload *work, dt_error *err);

/* Memory that a GPU needs to train a batch, in bytes, by the net's own plan, with what libraries need. */
static inline double dt_workload_memory(const dt_workload *work, int64_t batch)
{
    return work->memory_fixed_bytes + (double)batch * work->memory_image_bytes;
}

/* "144G", "1.5 TB", "500 MiB", "1000" (bytes): decimal units, and binary ones with an i. Returns false for
 * any other text, for less than 1 byte and for more than 1e18, and leaves *bytes. */
bool dt_workload_parse_bytes(const char *text, double *bytes);

#endif
