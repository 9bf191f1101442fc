#include "launch/estimate/gpu_spec.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "launch/options/suggest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows {"NAME", "TEXT"}, which the Makefile generates from layers/cuda/devices/NAME.json. */
static const struct {
    const char *name, *text;
} built_in[] = {
#include "launch/estimate/gpu_specs.inc"
};
enum { N_BUILT_IN = sizeof built_in / sizeof built_in[0] };

const char *const *dt_gpu_spec_names(void)
{
    static const char *names[N_BUILT_IN + 1];
    for (int i = 0; i < N_BUILT_IN; i++)
        names[i] = built_in[i].name;
    return names;
}

void dt_gpu_spec_free(dt_gpu_spec *gpu)
{
    free(gpu->properties); /* jansson's */
    *gpu = (dt_gpu_spec){0};
}

/* Reads a positive number. */
static dt_status get_number(const json_t *object, const char *key, const char *where, double *value,
                            dt_error *err)
{
    const json_t *number = json_object_get(object, key);
    if (!json_is_number(number) || json_number_value(number) <= 0)
        return dt_fail(err, DT_ERR_USAGE, "--device %s: \"%s\" is missing, or not a number above 0", where,
                       key);
    *value = json_number_value(number);
    return DT_OK;
}

static dt_status get_text(const json_t *object, const char *key, const char *where, char *out,
                          size_t out_bytes, dt_error *err)
{
    const json_t *text = json_object_get(object, key);
    if (!json_is_string(text) || json_string_length(text) == 0 || json_string_length(text) >= out_bytes)
        return dt_fail(err, DT_ERR_USAGE, "--device %s: \"%s\" is missing, or not a text of 1 to %zu bytes",
                       where, key, out_bytes - 1);
    memcpy(out, json_string_value(text), json_string_length(text) + 1);
    return DT_OK;
}

static dt_status read_object(const json_t *root, const char *where, dt_gpu_spec *gpu, dt_error *err)
{
    const json_t *properties = json_object_get(root, "cudnn"), *flops = json_object_get(root, "flops");
    double sm = 0, memory = 0;
    if (!json_is_object(properties) || !json_is_object(flops))
        return dt_fail(err, DT_ERR_USAGE,
                       "--device %s: this does not describe a GPU: there is no object \"%s\" in it", where,
                       json_is_object(properties) ? "flops" : "cudnn");
    DT_TRY(get_text(root, "name", where, gpu->name, sizeof gpu->name, err));
    DT_TRY(get_text(root, "description", where, gpu->description, sizeof gpu->description, err));
    DT_TRY(get_text(properties, "deviceName", where, gpu->model, sizeof gpu->model, err));
    DT_TRY(get_number(root, "memory_bandwidth_bytes_per_s", where, &gpu->bandwidth_bytes_per_s, err));
    DT_TRY(get_number(properties, "deviceVer", where, &sm, err));
    DT_TRY(get_number(properties, "totalGlobalMem", where, &memory, err));
    gpu->sm = (int)sm / 10;
    gpu->memory_bytes = (int64_t)memory;
    for (dt_dtype dtype = DT_F32; dtype <= DT_TF32; dtype++)
        if (json_object_get(flops, dt_dtype_name(dtype)))
            DT_TRY(get_number(flops, dt_dtype_name(dtype), where, &gpu->flops[dtype], err));
    gpu->properties = json_dumps(properties, 0);
    return gpu->properties ? DT_OK
                           : dt_fail(err, DT_ERR_MEMORY, "out of memory for the description of a GPU");
}

static dt_status use_root(json_t *root, const json_error_t *error, const char *where, dt_gpu_spec *gpu,
                          dt_error *err)
{
    dt_gpu_spec read = {0};
    if (!root)
        return dt_fail(err, DT_ERR_USAGE, "--device %s: line %d: %s", where, error->line, error->text);
    dt_status status = read_object(root, where, &read, err);
    json_decref(root);
    if (status == DT_OK)
        *gpu = read;
    return status;
}

/* A description has some hundred values. So many bytes of any JSON take some MB at most. */
enum { LARGEST_FILE = 64 << 10 };

static dt_status load_file(const char *path, dt_gpu_spec *gpu, dt_error *err)
{
    json_error_t error;
    FILE *f = NULL;
    if (dt_file_open_stream(path, &f, err) != DT_OK) {
        (void)dt_error_prefix(err, "--device");
        return DT_ERR_USAGE;
    }
    char *text = dt_alloc(LARGEST_FILE);
    const size_t n = text ? fread(text, 1, LARGEST_FILE, f) : 0;
    (void)fclose(f);
    dt_status status = DT_OK;
    if (!text)
        status = dt_fail_memory(err, LARGEST_FILE, "the description of a GPU");
    else if (n == LARGEST_FILE)
        status = dt_fail(err, DT_ERR_USAGE, "--device %s: too large for the description of a GPU", path);
    else
        status = use_root(json_loadb(text, n, JSON_REJECT_DUPLICATES, &error), &error, path, gpu, err);
    dt_free(text);
    return status;
}

dt_status dt_gpu_spec_load(const char *name, dt_gpu_spec *gpu, dt_error *err)
{
    json_error_t error;
    size_t length = strlen(name);
    char list[256] = "";
    if (strchr(name, '/') || (length > 5 && strcmp(name + length - 5, ".json") == 0))
        return load_file(name, gpu, err);
    for (int i = 0; i < N_BUILT_IN; i++)
        if (strcmp(built_in[i].name, name) == 0)
            return use_root(json_loads(built_in[i].text, 0, &error), &error, name, gpu, err);
    for (int i = 0; i < N_BUILT_IN; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", built_in[i].name);
    const char *meant = dt_suggest(name, dt_gpu_spec_names());
    return dt_fail(err, DT_ERR_USAGE,
                   "--device: there is no '%s'%s%s%s; built in are %s; the name of a file ends with .json",
                   name, meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "", list);
}
