#include "launch/checkpoints/weights.h"

#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/state_check.h"
#include "io/class_names_json.h"
#include "io/weights/safetensors.h"
#include "launch/checkpoints/weights_internal.h"
#include "layers/half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void dt_weights_config_text(const dt_options *trained, char out[DT_WEIGHTS_CONFIG_BYTES])
{
    char resize[24];
    dt_option_format(trained, dt_options_find("eval-resize", DT_COMMAND_TRAIN), resize, sizeof resize);
    const char *quote = trained->eval_resize > 0 ? "" : "\"";
    snprintf(out, DT_WEIGHTS_CONFIG_BYTES, "image-size = %lld;\neval-crop = %.17g;\neval-resize = %s%s%s;\n",
             (long long)trained->config.image_size, trained->eval_crop, quote, resize, quote);
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
        dt_log_warn("%s: %lld of its %lld value%s %s too large for FP16 and %s infinite now", name,
                    (long long)n_too_large, (long long)n, DT_PLURAL(n), n_too_large == 1 ? "is" : "are",
                    n_too_large == 1 ? "is" : "are");
}

static dt_status write_tensors(const dt_state_layout *layout, const dt_state_io *io, const char *path,
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
        DT_TRY(dt_state_check(name, buffer, layout->tensors[i].n_elems, err));
        if (o->fp16)
            round_to_fp16(buffer, layout->tensors[i].n_elems, name);
        DT_TRY(dt_safetensors_writer_add(writer, name, buffer, err));
    }
    if (!any)
        return o->ema ? dt_fail(err, DT_ERR_USAGE,
                                "there are no running averages in it: it was trained without --ema")
                      : dt_fail(err, DT_ERR_FORMAT, "%s: there are no weights to write", path);
    for (int64_t i = 0; i < n; i++)
        if (tensors[i].dtype == DT_I64)
            DT_TRY(dt_safetensors_writer_add(writer, tensors[i].name, &o->n_batches, err));
    return dt_safetensors_writer_commit(writer, err);
}

dt_status dt_weights_export(const dt_state_layout *layout, const dt_state_io *io, const char *path,
                            const dt_weights_export_options *o, dt_error *err)
{
    const bool names_classes = o->class_names && o->class_names->n > 0;
    char *class_names = names_classes ? dt_class_names_to_text(o->class_names) : NULL;
    const char *const metadata[] = {"format",
                                    "pt",
                                    "arch",
                                    o->arch,
                                    "config",
                                    o->config_text,
                                    "producer",
                                    "dtrain " PACKAGE_VERSION,
                                    class_names ? CLASS_NAMES : NULL,
                                    class_names,
                                    NULL};
    dt_safetensors_writer *writer = NULL;
    int64_t largest = 1;
    for (int64_t i = 0; i < layout->n_tensors; i++)
        largest = layout->tensors[i].n_elems > largest ? layout->tensors[i].n_elems : largest;
    dt_safetensors_tensor *tensors = dt_calloc((size_t)layout->n_tensors * 2, sizeof *tensors);
    float *buffer = dt_alloc((size_t)largest * sizeof *buffer);
    dt_status status = tensors && buffer && (class_names || !names_classes)
                           ? DT_OK
                           : dt_fail_memory(err, (size_t)largest * sizeof *buffer, "the export");
    int64_t n = status == DT_OK ? list_tensors(layout, o->fp16 ? DT_F16 : DT_F32, tensors) : 0;
    if (status == DT_OK)
        status = dt_safetensors_writer_create(path, tensors, n, metadata, &writer, err);
    if (status == DT_OK)
        status = write_tensors(layout, io, path, o, writer, tensors, n, buffer, err);
    dt_safetensors_writer_destroy(writer);
    dt_free(class_names);
    dt_free(buffer);
    dt_free(tensors);
    return status;
}
