#include "launch/checkpoints/weights.h"

#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "io/durable.h"
#include "io/weights/safetensors.h"
#include "layers/half.h"
#include "layers/resnet.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACKED ".num_batches_tracked" /* PyTorch's count of the batches that a BatchNorm has seen */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* "param/fc.weight" -> "fc.weight"; NULL for a tensor that is not part of the model (momentum). */
static const char *model_name(const char *state_name)
{
    if (strncmp(state_name, "param/", 6) == 0)
        return state_name + 6;
    return strncmp(state_name, "buffer/", 7) == 0 ? state_name + 7 : NULL;
}

/* "ema/fc.weight" -> "fc.weight"; NULL for a tensor that is not a running average. */
static const char *average_name(const char *state_name)
{
    return strncmp(state_name, "ema/", 4) == 0 ? state_name + 4 : NULL;
}

static dt_status open_file(const char *path, dt_safetensors **file, dt_error *err)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return dt_fail(err, DT_ERR_USAGE, "%s: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return dt_fail(err, DT_ERR_USAGE, "%s is a folder; a .safetensors file was expected", path);
    return dt_safetensors_open(path, file, err);
}

/* -- describe -------------------------------------------------------------------------------------------- */

/* Whether the file has every convolution of the spec, and no other. */
static bool has_the_convolutions(const dt_safetensors *file, const dt_net_spec *spec)
{
    char name[DT_LAYER_NAME_BYTES + 16];
    int64_t n_in_file = 0, n_in_spec = 0;
    for (int64_t i = 0; i < dt_safetensors_count(file); i++)
        n_in_file += dt_safetensors_tensor_at(file, i)->n_dims == 4;
    for (int64_t i = 0; i < spec->n_layers; i++) {
        if (strcmp(spec->layers[i].kind, "conv") != 0)
            continue;
        snprintf(name, sizeof name, "%s.weight", spec->layers[i].name);
        int64_t at = dt_safetensors_find(file, name);
        if (at < 0)
            return false;
        const dt_safetensors_tensor *t = dt_safetensors_tensor_at(file, at);
        if (t->n_dims != 4 || t->dims[0] != spec->layers[i].channels || t->dims[2] != spec->layers[i].kernel)
            return false;
        n_in_spec++;
    }
    return n_in_spec == n_in_file;
}

dt_status dt_weights_describe(const char *path, dt_weights_info *info, dt_error *err)
{
    dt_safetensors *file = NULL;
    dt_weights_info found = {0};
    DT_TRY(open_file(path, &file, err));
    const char *config_text = dt_safetensors_metadata(file, "config");
    int64_t fc = dt_safetensors_find(file, "fc.weight");
    if (fc >= 0 && dt_safetensors_tensor_at(file, fc)->n_dims == 2)
        found.n_classes = dt_safetensors_tensor_at(file, fc)->dims[0];
    dt_status status = DT_OK;
    for (const char *const *name = dt_resnet_names(); status == DT_OK && *name && !found.arch[0]; name++) {
        dt_net_spec spec;
        status = dt_resnet_spec(*name, found.n_classes > 0 ? found.n_classes : 1, &spec, err);
        if (status == DT_OK && has_the_convolutions(file, &spec))
            snprintf(found.arch, sizeof found.arch, "%s", *name);
        if (status == DT_OK)
            dt_free(spec.layers);
    }
    if (status == DT_OK && config_text && !(found.config_text = dt_strdup(config_text)))
        status = dt_fail_memory(err, strlen(config_text), "the weights' configuration");
    dt_safetensors_close(file);
    if (status == DT_OK)
        *info = found;
    return status;
}

/* -- load ------------------------------------------------------------------------------------------------ */

/* "[64, 3, 7, 7]" */
static const char *shape_text(int n_dims, const int64_t *dims, char *out, size_t out_bytes)
{
    size_t used = (size_t)snprintf(out, out_bytes, "[");
    for (int i = 0; i < n_dims && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%lld", i ? ", " : "", (long long)dims[i]);
    if (used < out_bytes)
        snprintf(out + used, out_bytes - used, "]");
    return out;
}

static bool same_shape(const dt_safetensors_tensor *a, const dt_state_tensor *b)
{
    return a->n_dims == b->n_dims && memcmp(a->dims, b->dims, (size_t)b->n_dims * sizeof b->dims[0]) == 0;
}

/* Whether it is a classifier for another number of classes: only the first dimension differs. */
static bool is_another_head(const dt_safetensors_tensor *a, const dt_state_tensor *b)
{
    const char *name = model_name(b->name);
    return (strcmp(name, "fc.weight") == 0 || strcmp(name, "fc.bias") == 0) && a->n_dims == b->n_dims &&
           (b->n_dims < 2 || a->dims[1] == b->dims[1]);
}

static dt_status load_tensor(dt_safetensors *file, const char *path, const dt_state_io *io, int64_t index,
                             const dt_state_tensor *t, bool new_head, dt_error *err)
{
    char have[96], want[96];
    const char *name = model_name(t->name);
    int64_t at = dt_safetensors_find(file, name);
    if (at < 0)
        return dt_fail(err, DT_ERR_USAGE, "%s has no tensor %s: it is of another network", path, name);
    const dt_safetensors_tensor *found = dt_safetensors_tensor_at(file, at);
    if (!same_shape(found, t)) {
        shape_text(found->n_dims, found->dims, have, sizeof have);
        shape_text(t->n_dims, t->dims, want, sizeof want);
        if (!new_head || !is_another_head(found, t))
            return dt_fail(err, DT_ERR_USAGE, "%s: %s is %s, and %s was expected", path, name, have, want);
        dt_log_info("%s: %s is %s, this data needs %s: it keeps its random initialisation", path, name, have,
                    want);
        return DT_OK;
    }
    float *values = dt_alloc((size_t)t->n_elems * sizeof *values);
    if (!values)
        return dt_fail_memory(err, (size_t)t->n_elems * sizeof *values, "a tensor of the weights");
    dt_status status = dt_safetensors_read_f32(file, at, values, err);
    if (status == DT_OK)
        status = io->set(io->context, index, values, err);
    dt_free(values);
    return status;
}

static bool is_in_layout(const dt_state_layout *layout, const char *name)
{
    for (int64_t i = 0; i < layout->n_tensors; i++) {
        const char *ours = model_name(layout->tensors[i].name);
        if (ours && strcmp(ours, name) == 0)
            return true;
    }
    return false;
}

dt_status dt_weights_load(dt_net *net, const char *path, bool new_head, dt_error *err)
{
    const dt_state_layout *layout = dt_net_state_layout(net);
    const dt_state_io io = dt_net_state_io(net);
    dt_safetensors *file = NULL;
    dt_status status;
    DT_TRY(open_file(path, &file, err));
    for (int64_t i = 0; i < dt_safetensors_count(file); i++) {
        const char *name = dt_safetensors_tensor_at(file, i)->name;
        if (!ends_with(name, TRACKED) && !is_in_layout(layout, name)) {
            status =
                dt_fail(err, DT_ERR_USAGE,
                        "%s holds %s, which this network does not have: it is of another one", path, name);
            goto fail;
        }
    }
    for (int64_t i = 0; i < layout->n_tensors; i++)
        if (model_name(layout->tensors[i].name))
            DT_TRY_OR_FAIL(status, load_tensor(file, path, &io, i, &layout->tensors[i], new_head, err));
    status = dt_net_weights_changed(net, err);
fail:
    dt_safetensors_close(file);
    return status;
}

/* -- export ---------------------------------------------------------------------------------------------- */

dt_status dt_weights_check_writable(const char *option, const char *path, dt_error *err)
{
    char folder[1100];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
             slash ? path : ".");
    if (dt_durable_is_folder(path))
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: this is a folder", option, path);
    if (access(folder, W_OK) != 0)
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: the folder %s: %s", option, path, folder,
                       strerror(errno));
    return DT_OK;
}

void dt_weights_config_text(int64_t image_size, double eval_crop, char out[DT_WEIGHTS_CONFIG_BYTES])
{
    snprintf(out, DT_WEIGHTS_CONFIG_BYTES, "image-size = %lld;\neval-crop = %.17g;\n", (long long)image_size,
             eval_crop);
}

/* Lists the tensors to write; a count of batches follows each running_var. */
static int64_t list_tensors(const dt_state_layout *layout, dt_dtype dtype, dt_safetensors_tensor *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < layout->n_tensors; i++) {
        const dt_state_tensor *t = &layout->tensors[i];
        const char *name = model_name(t->name);
        if (!name)
            continue;
        out[n] = (dt_safetensors_tensor){.dtype = dtype, .n_dims = t->n_dims};
        snprintf(out[n].name, sizeof out[n].name, "%s", name);
        memcpy(out[n].dims, t->dims, (size_t)t->n_dims * sizeof t->dims[0]);
        n++;
        if (!ends_with(name, ".running_var"))
            continue;
        out[n] = (dt_safetensors_tensor){.dtype = DT_I64};
        snprintf(out[n].name, sizeof out[n].name, "%.*s" TRACKED,
                 (int)(strlen(name) - strlen(".running_var")), name);
        n++;
    }
    return n;
}

/* Rounds in place; the result occupies the first half of `values`. */
static void round_to_fp16(float *values, int64_t n, const char *name)
{
    int64_t n_too_large = 0;
    for (int64_t i = 0; i < n; i++) {
        const float v = values[i];
        const uint16_t half = dt_half_from_float(v);
        n_too_large += isfinite(v) && (half & 0x7C00U) == 0x7C00U;
        memcpy((char *)values + i * (int64_t)sizeof half, &half, sizeof half);
    }
    if (n_too_large > 0)
        dt_log_warn("%s: %lld of its %lld values are too large for FP16 and are infinite now", name,
                    (long long)n_too_large, (long long)n);
}

static dt_status write_tensors(const dt_state_layout *layout, const dt_state_io *io,
                               const dt_weights_export_options *o, dt_safetensors_writer *writer,
                               const dt_safetensors_tensor *tensors, int64_t n, float *buffer, dt_error *err)
{
    bool any = false;
    for (int64_t i = 0; i < layout->n_tensors; i++) {
        const char *name =
            o->ema ? average_name(layout->tensors[i].name) : model_name(layout->tensors[i].name);
        if (!name)
            continue;
        any = true;
        DT_TRY(io->get(io->context, i, buffer, err));
        if (o->fp16)
            round_to_fp16(buffer, layout->tensors[i].n_elems, name);
        DT_TRY(dt_safetensors_writer_add(writer, name, buffer, err));
    }
    if (!any)
        return dt_fail(err, DT_ERR_USAGE,
                       "there are no running averages in it: it was trained without --ema");
    for (int64_t i = 0; i < n; i++)
        if (tensors[i].dtype == DT_I64)
            DT_TRY(dt_safetensors_writer_add(writer, tensors[i].name, &o->n_batches, err));
    return dt_safetensors_writer_commit(writer, err);
}

dt_status dt_weights_export(const dt_state_layout *layout, const dt_state_io *io, const char *path,
                            const dt_weights_export_options *o, dt_error *err)
{
    const char *const metadata[] = {"format", "pt",           "arch",     o->arch,
                                    "config", o->config_text, "producer", "dtrain " PACKAGE_VERSION,
                                    NULL};
    dt_safetensors_writer *writer = NULL;
    int64_t largest = 1;
    for (int64_t i = 0; i < layout->n_tensors; i++)
        largest = layout->tensors[i].n_elems > largest ? layout->tensors[i].n_elems : largest;
    dt_safetensors_tensor *tensors = dt_calloc((size_t)layout->n_tensors * 2, sizeof *tensors);
    float *buffer = dt_alloc((size_t)largest * sizeof *buffer);
    dt_status status =
        tensors && buffer ? DT_OK : dt_fail_memory(err, (size_t)largest * sizeof *buffer, "the export");
    int64_t n = status == DT_OK ? list_tensors(layout, o->fp16 ? DT_F16 : DT_F32, tensors) : 0;
    if (status == DT_OK)
        status = dt_safetensors_writer_create(path, tensors, n, metadata, &writer, err);
    if (status == DT_OK)
        status = write_tensors(layout, io, o, writer, tensors, n, buffer, err);
    dt_safetensors_writer_destroy(writer);
    dt_free(buffer);
    dt_free(tensors);
    return status;
}
