#include "config.h"

#include "launch/estimate/workload.h"

#include "core/base/alloc.h"
#include "core/collective/grad_exchange.h"
#include "core/model/net.h"
#include "io/source/folder.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* The architecture that published rates are of. */
#define RATED_ARCH "resnet50"
/* What a GPU needs besides the net: cuDNN's workspace, NCCL's buffers, captured graphs; as in memory.c. */
#define GPU_RESERVE_BYTES (1536.0 * 1048576.0)
/* Batches of images on the GPU at a time. */
#define GPU_BATCHES 2

/* -- sizes ----------------------------------------------------------------------------------------------- */

bool dt_workload_parse_bytes(const char *text, double *bytes)
{
    static const char units[] = "kmgtp";
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    double value = strtod(text, &end);
    if (strspn(text, "0123456789.") < (size_t)(end - text)) /* "0x10", "1e3": not a size */
        return false;
    end += strspn(end, " ");
    const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
    if (unit) {
        const bool is_binary = end[1] == 'i';
        value *= pow(is_binary ? 1024 : 1000, (double)(unit - units + 1));
        end += is_binary ? 2 : 1;
    }
    if (strcasecmp(end, "b") == 0)
        end++;
    if (*end || !(value >= 1 && value <= 1e18))
        return false;
    *bytes = value;
    return true;
}

/* -- what the net counts --------------------------------------------------------------------------------- */

/* Kernels that only plan: those of layers/ref, which every build has. */
typedef struct planner {
    dt_device *device;
    dt_kernels *kernels;
    dt_net_spec spec;
} planner;

static void planner_close(planner *p)
{
    dt_free(p->spec.layers);
    if (p->kernels)
        p->kernels->ops->destroy(p->kernels);
    if (p->device)
        p->device->ops->destroy(p->device);
}

static dt_status planner_open(planner *p, const char *arch, dt_error *err)
{
    DT_TRY(dt_device_host_create(1, &p->device, err));
    DT_TRY(dt_kernels_ref_create(p->device, DT_F32, &p->kernels, err));
    return dt_resnet_spec(arch, DT_IMAGENET_CLASSES, &p->spec, err);
}

/* Plans a net for `batch` images; counts the traffic of a training pass and what the net holds. */
static dt_status plan_net(const char *arch, int64_t image_size, int64_t batch, bool ema, dt_net_info *info,
                          double *bytes, double *flops, dt_error *err)
{
    const dt_net_options options = {
        .batch = batch, .image_size = image_size, .training = true, .ema = ema, .plan_only = true};
    planner p = {0};
    dt_net *net = NULL;
    *bytes = *flops = 0;
    dt_status status = planner_open(&p, arch, err);
    if (status == DT_OK)
        status = dt_net_create(&p.spec, dt_layer_registry(), p.kernels, &options, &net, err);
    for (int64_t layer = -1; status == DT_OK && layer < p.spec.n_layers; layer++)
        for (dt_layer_phase phase = DT_LAYER_FORWARD; phase <= DT_LAYER_BACKWARD; phase++) {
            dt_layer_traffic traffic;
            dt_net_layer_traffic(net, layer, phase, &traffic);
            *bytes += (double)traffic.bytes;
            *flops += traffic.flops;
        }
    if (status == DT_OK)
        dt_net_get_info(net, info);
    dt_net_destroy(net);
    planner_close(&p);
    return status;
}

/* The plan is in float32: activations of 16 bits are half of that. */
static double share_of_float32(dt_dtype precision)
{
    return (double)dt_dtype_bytes(precision) / (double)dt_dtype_bytes(DT_F32);
}

static dt_status count_size(const char *arch, dt_dtype precision, dt_workload_size *size, dt_net_info *info,
                            dt_error *err)
{
    enum { BATCH = 32 }; /* weights and their gradients move once a micro-batch */
    double bytes, flops;
    DT_TRY(plan_net(arch, size->image_size, BATCH, false, info, &bytes, &flops, err));
    size->bytes_moved = bytes / BATCH * share_of_float32(precision);
    size->flops = flops / BATCH;
    return DT_OK;
}

static dt_status count_net(const dt_options *o, dt_workload *w, dt_error *err)
{
    dt_net_info info = {0}, unused;
    const dt_config *c = &o->config;
    w->n_sizes = c->n_resize > 0 ? (int)c->n_resize : 1;
    w->sizes[0] = (dt_workload_size){.image_size = c->image_size, .share = 1};
    for (int i = 0; i < c->n_resize; i++) {
        const double end = i + 1 < c->n_resize ? c->resize[i + 1].share : 1;
        w->sizes[i] =
            (dt_workload_size){.image_size = c->resize[i].image_size, .share = end - c->resize[i].share};
    }
    for (int i = 0; i < w->n_sizes; i++)
        DT_TRY(count_size(w->arch, w->precision, &w->sizes[i], &info, err));
    w->rated = (dt_workload_size){.image_size = DT_RATED_SIZE, .share = 1};
    DT_TRY(count_size(RATED_ARCH, w->precision, &w->rated, &unused, err));
    w->n_params = info.n_params;
    const bool is_float32 = c->wire == DT_WIRE_F32 || dt_dtype_bytes(w->precision) == 4;
    w->gradient_bytes = (double)info.n_params * (is_float32 ? 4 : 2);
    return DT_OK;
}

/* The memory that the net plans grows in proportion to the batch: two batches show how. */
static dt_status count_memory(bool has_ema, dt_workload *w, dt_error *err)
{
    enum { SMALL = 16, LARGE = 32 };
    dt_net_info small, large;
    double traffic, flops;
    int64_t pixels = 0;
    for (int i = 0; i < w->n_sizes; i++)
        pixels = w->sizes[i].image_size > pixels ? w->sizes[i].image_size : pixels;
    DT_TRY(plan_net(w->arch, pixels, SMALL, has_ema, &small, &traffic, &flops, err));
    DT_TRY(plan_net(w->arch, pixels, LARGE, has_ema, &large, &traffic, &flops, err));
    const double half = share_of_float32(w->precision);
    const double image = (double)(large.activation_bytes - small.activation_bytes) / (LARGE - SMALL) * half;
    /* A GPU keeps weights and gradients of two bytes in addition to those of four. */
    const double halves = dt_dtype_bytes(w->precision) == 2 ? 4.0 * (double)small.n_params : 0;
    w->memory_image_bytes = image + (double)(GPU_BATCHES * pixels * pixels * 3);
    w->memory_fixed_bytes = (double)small.activation_bytes * half - SMALL * image +
                            (double)small.parameter_bytes + halves + (double)small.state_bytes +
                            GPU_RESERVE_BYTES;
    w->checkpoint_bytes = (double)small.state_bytes;
    return DT_OK;
}

/* -- the images ------------------------------------------------------------------------------------------ */

/* The bytes of a split, from at most SAMPLES of its files. */
static double split_bytes(const dt_folder *folder)
{
    enum { SAMPLES = 2000 };
    const int64_t n = dt_folder_n_samples(folder), step = n > SAMPLES ? n / SAMPLES : 1;
    double sum = 0;
    int64_t read = 0;
    for (int64_t id = 0; id < n; id += step) {
        char path[2 * DT_PATH_BYTES];
        struct stat st;
        dt_folder_path(folder, id, path, sizeof path);
        if (stat(path, &st) != 0)
            continue;
        sum += (double)st.st_size;
        read++;
    }
    return read ? sum / (double)read * (double)n : 0;
}

static dt_status count_data(const dt_options *o, dt_workload *w, dt_error *err)
{
    dt_folder *train = NULL, *val = NULL;
    struct stat st;
    char path[DT_PATH_BYTES + 8];
    DT_TRY(dt_folder_open(o->config.data, "train", NULL, &train, err));
    w->n_images = (double)dt_folder_n_samples(train);
    w->data_bytes = split_bytes(train);
    w->n_val_images = 0;
    w->is_counted = true;
    snprintf(path, sizeof path, "%s/val", o->config.data);
    dt_status status = DT_OK;
    if (stat(path, &st) == 0) /* a training without images to evaluate on is allowed */
        status = dt_folder_open(o->config.data, "val", train, &val, err);
    if (status == DT_OK && val) {
        w->n_val_images = (double)dt_folder_n_samples(val);
        w->data_bytes += split_bytes(val);
    }
    if (val)
        dt_folder_close(val);
    dt_folder_close(train);
    return status;
}

/* A configuration file may name a folder of another machine: the one that will train. */
static bool data_is_elsewhere(const dt_options *o)
{
    const int row = dt_options_find("data", DT_COMMAND_PLAN);
    struct stat st;
    return o->origin[row] == DT_ORIGIN_FILE && stat(o->config.data, &st) != 0;
}

static dt_status count_images(const dt_options *o, dt_workload *w, dt_error *err)
{
    w->n_images = DT_IMAGENET_IMAGES;
    w->n_val_images = DT_IMAGENET_VAL_IMAGES;
    w->data_bytes = DT_IMAGENET_BYTES;
    w->data_is_elsewhere = o->config.data[0] && data_is_elsewhere(o);
    if (o->config.data[0] && !w->data_is_elsewhere)
        DT_TRY(count_data(o, w, err));
    if (o->images > 0) {
        const double bytes_per_image = w->data_bytes / (w->n_images + w->n_val_images);
        w->is_counted = false;
        w->n_val_images *= (double)o->images / w->n_images;
        w->n_images = (double)o->images;
        w->data_bytes = bytes_per_image * (w->n_images + w->n_val_images);
    }
    if (o->data_bytes[0] && !dt_workload_parse_bytes(o->data_bytes, &w->data_bytes))
        return dt_fail(err, DT_ERR_USAGE,
                       "--data-bytes: '%s' is not a size: for example 144G, 1.5T or 500MiB", o->data_bytes);
    return DT_OK;
}

dt_status dt_workload_read(const dt_options *options, dt_workload *work, dt_error *err)
{
    const dt_config *c = &options->config;
    const int every = dt_options_find("checkpoint-every", DT_COMMAND_PLAN);
    dt_workload w = {.image_size = c->image_size,
                     .batch = c->batch,
                     .accumulate = c->accumulate > 0 ? c->accumulate : 1,
                     .checkpoint_every = options->origin[every] == DT_ORIGIN_DEFAULT ? DT_CHECKPOINT_AUTO
                                                                                     : c->checkpoint_every,
                     .epochs = (double)c->epochs,
                     .precision =
                         options->precision == DT_PRECISION_AUTO ? DT_F16 : dt_options_dtype(options)};
    snprintf(w.arch, sizeof w.arch, "%s", options->arch);
    DT_TRY(count_images(options, &w, err));
    DT_TRY(count_net(options, &w, err));
    DT_TRY(count_memory(c->ema_decay > 0, &w, err));
    w.images_of_run = w.n_images * w.epochs;
    w.n_evaluations = c->eval_every > 0 ? floor(w.epochs / c->eval_every) : 1;
    if (w.n_evaluations < 1)
        w.n_evaluations = 1;
    w.val_images_of_run = w.n_val_images * w.n_evaluations;
    *work = w;
    return DT_OK;
}
