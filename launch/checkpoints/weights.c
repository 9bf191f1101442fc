#include "launch/checkpoints/weights.h"

#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/state_check.h"
#include "io/class_names_json.h"
#include "io/durable.h"
#include "io/weights/safetensors.h"
#include "launch/checkpoints/weights_internal.h"
#include "layers/resnet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* -- names in the file ----------------------------------------------------------------------------------- */

/* Libraries put words in front of all names: "module." (DataParallel), "_orig_mod." (torch.compile),
 * "model.", ... NULL: the name does not begin with the prefix. */
static const char *without_prefix(const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 ? name + n : NULL;
}

static int64_t find_tensor(const dt_safetensors *file, const char *prefix, const char *name)
{
    char full[2 * DT_SAFETENSORS_NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return dt_safetensors_find(file, full);
}

/* Whether a name, without its prefix (may be NULL), belongs to what all ResNets have but the classifier. */
static bool is_of_the_body(const char *name)
{
    return name && (strncmp(name, "conv1.", 6) == 0 || strncmp(name, "bn1.", 4) == 0 ||
                    (strncmp(name, "layer", 5) == 0 && name[5] >= '0' && name[5] <= '9'));
}

/* Every ResNet has the two tensors by which its prefix is found. Without one of them it is "". DT_ERR_USAGE:
 * there are two networks in the file. */
static dt_status find_prefix(const dt_safetensors *file, const char *path,
                             char prefix[DT_SAFETENSORS_NAME_BYTES], dt_error *err)
{
    static const char first[] = "conv1.weight", second[] = "layer1.0.conv1.weight";
    bool found = false;
    prefix[0] = '\0';
    for (int64_t i = 0; i < dt_safetensors_count(file); i++) {
        const char *name = dt_safetensors_tensor_at(file, i)->name;
        char before[DT_SAFETENSORS_NAME_BYTES];
        snprintf(before, sizeof before, "%s", name);
        if (!ends_with(name, first))
            continue;
        before[strlen(name) - strlen(first)] = '\0';
        if ((before[0] && !ends_with(before, ".")) || find_tensor(file, before, second) < 0)
            continue;
        if (found)
            return dt_fail(
                err, DT_ERR_USAGE,
                "%s holds two networks, of tensors that begin with \"%s\" and with \"%s\": write a file "
                "with one of them",
                path, prefix, before);
        found = true;
        memcpy(prefix, before, sizeof before);
    }
    return DT_OK;
}

static dt_status open_file(const char *path, dt_safetensors **file, char prefix[DT_SAFETENSORS_NAME_BYTES],
                           dt_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return dt_fail(err, DT_ERR_USAGE, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return dt_fail(err, DT_ERR_USAGE,
                       "%s is a folder; a .safetensors file was expected (dtrain export writes one of a run)",
                       path);
    DT_TRY(dt_safetensors_open(path, file, err));
    dt_status status = find_prefix(*file, path, prefix, err);
    if (status != DT_OK)
        dt_safetensors_close(*file);
    return status;
}

/* -- describe -------------------------------------------------------------------------------------------- */

/* Whether the file has every convolution of the spec, and no other. */
static bool has_the_convolutions(const dt_safetensors *file, const char *prefix, const dt_net_spec *spec)
{
    char name[DT_LAYER_NAME_BYTES + 16];
    int64_t n_in_file = 0, n_in_spec = 0;
    for (int64_t i = 0; i < dt_safetensors_count(file); i++) {
        const dt_safetensors_tensor *t = dt_safetensors_tensor_at(file, i);
        n_in_file += t->n_dims == 4 && is_of_the_body(without_prefix(t->name, prefix));
    }
    for (int64_t i = 0; i < spec->n_layers; i++) {
        if (strcmp(spec->layers[i].kind, "conv") != 0)
            continue;
        snprintf(name, sizeof name, "%s.weight", spec->layers[i].name);
        int64_t at = find_tensor(file, prefix, name);
        if (at < 0)
            return false;
        const dt_safetensors_tensor *t = dt_safetensors_tensor_at(file, at);
        if (t->n_dims != 4 || t->dims[0] != spec->layers[i].channels || t->dims[2] != spec->layers[i].kernel)
            return false;
        n_in_spec++;
    }
    return n_in_spec == n_in_file;
}

void dt_weights_info_clear(dt_weights_info *info)
{
    dt_class_names_clear(&info->class_names);
    dt_free(info->config_text);
    *info = (dt_weights_info){0};
}

/* Other programs may use the key for something else, so that what does not fit is only a warning. */
static dt_status read_class_names(const dt_safetensors *file, const char *path, dt_weights_info *info,
                                  dt_error *err)
{
    dt_error why = {0};
    const char *text = dt_safetensors_metadata(file, CLASS_NAMES);
    dt_status status = text ? dt_class_names_from_text(text, &info->class_names, &why) : DT_OK;
    if (status == DT_ERR_MEMORY) {
        if (err)
            *err = why;
        return status;
    }
    if (status == DT_OK && info->class_names.n > 0 && info->class_names.n != info->n_classes)
        status =
            dt_fail(&why, DT_ERR_FORMAT, "has %lld name%s for %lld output%s", (long long)info->class_names.n,
                    DT_PLURAL(info->class_names.n), (long long)info->n_classes, DT_PLURAL(info->n_classes));
    if (status == DT_OK)
        return DT_OK;
    dt_log_warn("%s: its names of classes are ignored: the metadata \"" CLASS_NAMES "\" %s", path,
                why.message);
    dt_class_names_clear(&info->class_names);
    return DT_OK;
}

dt_status dt_weights_describe(const char *path, dt_weights_info *info, dt_error *err)
{
    dt_safetensors *file = NULL;
    dt_weights_info found = {0};
    char prefix[DT_SAFETENSORS_NAME_BYTES];
    DT_TRY(open_file(path, &file, prefix, err));
    const char *config_text = dt_safetensors_metadata(file, "config");
    int64_t fc = find_tensor(file, prefix, "fc.weight");
    if (fc >= 0 && dt_safetensors_tensor_at(file, fc)->n_dims == 2)
        found.n_classes = dt_safetensors_tensor_at(file, fc)->dims[0];
    dt_status status = DT_OK;
    for (const char *const *name = dt_resnet_names(); status == DT_OK && *name && !found.arch[0]; name++) {
        dt_net_spec spec;
        status = dt_resnet_spec(*name, found.n_classes > 0 ? found.n_classes : 1, &spec, err);
        if (status == DT_OK && has_the_convolutions(file, prefix, &spec))
            snprintf(found.arch, sizeof found.arch, "%s", *name);
        if (status == DT_OK)
            dt_free(spec.layers);
    }
    if (status == DT_OK && config_text && !(found.config_text = dt_strdup(config_text)))
        status = dt_fail_memory(err, strlen(config_text), "the weights' configuration");
    if (status == DT_OK)
        status = read_class_names(file, path, &found, err);
    dt_safetensors_close(file);
    if (status == DT_OK)
        *info = found;
    else
        dt_weights_info_clear(&found);
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

/* What is loaded, and from where. */
typedef struct loading {
    dt_net *net;
    dt_safetensors *file;
    const char *path;
    char prefix[DT_SAFETENSORS_NAME_BYTES];
    bool keeps_head; /* the net's classifier keeps its initialisation */
} loading;

static bool is_head(const char *name)
{
    return strcmp(name, "fc.weight") == 0 || strcmp(name, "fc.bias") == 0;
}

/* Whether the file's classifier is one for another number of classes, or there is none; logs that. Both of
 * its tensors keep their initialisation, or none. */
static bool has_another_head(const loading *l)
{
    const dt_state_layout *layout = dt_net_state_layout(l->net);
    char have[96], want[96];
    bool another = false;
    for (int64_t i = 0; i < layout->n_tensors; i++) {
        const dt_state_tensor *t = &layout->tensors[i];
        const char *name = model_name(t->name);
        if (!name || !is_head(name))
            continue;
        const int64_t at = find_tensor(l->file, l->prefix, name);
        const dt_safetensors_tensor *found = dt_safetensors_tensor_at(l->file, at);
        if (!found) {
            dt_log_info("%s has no %s: it keeps its random initialisation", l->path, name);
            another = true;
            continue;
        }
        if (same_shape(found, t) || found->n_dims != t->n_dims ||
            (t->n_dims > 1 && found->dims[1] != t->dims[1]))
            continue; /* a shape that does not fit is an error later */
        shape_text(found->n_dims, found->dims, have, sizeof have);
        shape_text(t->n_dims, t->dims, want, sizeof want);
        dt_log_info("%s: %s is %s, this data needs %s: it keeps its random initialisation", l->path, name,
                    have, want);
        another = true;
    }
    return another;
}

static dt_status load_tensor(const loading *l, const dt_state_io *io, int64_t index, dt_error *err)
{
    char have[96], want[96];
    const dt_state_tensor *t = &dt_net_state_layout(l->net)->tensors[index];
    const char *name = model_name(t->name);
    if (!name || (l->keeps_head && is_head(name)))
        return DT_OK;
    int64_t at = find_tensor(l->file, l->prefix, name);
    if (at < 0)
        return dt_fail(err, DT_ERR_USAGE, "%s has no tensor %s%s: it is of another network", l->path,
                       l->prefix, name);
    const dt_safetensors_tensor *found = dt_safetensors_tensor_at(l->file, at);
    if (!same_shape(found, t)) {
        shape_text(found->n_dims, found->dims, have, sizeof have);
        shape_text(t->n_dims, t->dims, want, sizeof want);
        return dt_fail(err, DT_ERR_USAGE, "%s: %s is %s, and %s was expected", l->path, found->name, have,
                       want);
    }
    float *values = dt_alloc((size_t)t->n_elems * sizeof *values);
    if (!values)
        return dt_fail_memory(err, (size_t)t->n_elems * sizeof *values, "a tensor of the weights");
    dt_status status = dt_safetensors_read_f32(l->file, at, values, err);
    if (status == DT_OK && dt_state_check(found->name, values, t->n_elems, err) != DT_OK)
        status = dt_error_prefix(err, "%s", l->path);
    if (status == DT_OK)
        status = io->set(io->context, index, values, err);
    dt_free(values);
    return status;
}

static bool is_in_layout(const dt_state_layout *layout, const char *name)
{
    for (int64_t i = 0; name && i < layout->n_tensors; i++) {
        const char *ours = model_name(layout->tensors[i].name);
        if (ours && strcmp(ours, name) == 0)
            return true;
    }
    return false;
}

/* Leave out what the net has no use for, and log it; but a file with more of a ResNet is of another one. */
static dt_status check_surplus(const loading *l, dt_error *err)
{
    int64_t n = 0;
    const char *example = "";
    for (int64_t i = 0; i < dt_safetensors_count(l->file); i++) {
        const dt_safetensors_tensor *t = dt_safetensors_tensor_at(l->file, i);
        const char *name = without_prefix(t->name, l->prefix);
        if (ends_with(t->name, TRACKED) || is_in_layout(dt_net_state_layout(l->net), name))
            continue;
        if (is_of_the_body(name) && !t->is_other && t->dtype != DT_I64 && t->dtype != DT_I32 &&
            t->dtype != DT_U8)
            return dt_fail(err, DT_ERR_USAGE,
                           "%s holds %s, which this network does not have: it is of another one", l->path,
                           t->name);
        example = n++ == 0 ? t->name : example;
    }
    if (n > 0)
        dt_log_info("%s: left out %s%s, which this network does not have", l->path, example,
                    n == 1 ? "" : " and other tensors");
    return DT_OK;
}

dt_status dt_weights_load(dt_net *net, const char *path, dt_weights_head head, dt_error *err)
{
    const dt_state_io io = dt_net_state_io(net);
    loading l = {.net = net, .path = path};
    DT_TRY(open_file(path, &l.file, l.prefix, err));
    dt_status status = check_surplus(&l, err);
    if (status == DT_OK && l.prefix[0])
        dt_log_info("%s: all names begin with \"%s\", which is left out", path, l.prefix);
    if (status == DT_OK && head != DT_WEIGHTS_HEAD_SAME)
        l.keeps_head = has_another_head(&l) || head == DT_WEIGHTS_HEAD_NEW;
    for (int64_t i = 0; status == DT_OK && i < dt_net_state_layout(net)->n_tensors; i++)
        status = load_tensor(&l, &io, i, err);
    if (status == DT_OK)
        status = dt_net_weights_changed(net, err);
    dt_safetensors_close(l.file);
    return status;
}
