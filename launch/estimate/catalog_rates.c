/* Reads rates.json. */
#include "launch/estimate/catalog_build.h"

#include "core/base/alloc.h"
#include "launch/options/suggest.h"
#include "layers/resnet.h"

#include <stdio.h>
#include <string.h>

enum { MOST_GPUS = 100000, MOST_PIXELS = 16384 };

/* DT_ERR_USAGE unless the text of the member `key` is one of the list. */
static dt_status check_choice(const dt_json_place *entry, const char *key, const char *text,
                              const char *const *choices, dt_error *err)
{
    const dt_json_place member = dt_json_member(entry, key);
    for (int i = 0; choices[i]; i++)
        if (strcmp(text, choices[i]) == 0)
            return DT_OK;
    const char *meant = dt_suggest(text, choices);
    return dt_json_fail(&member, err, "\"%s\": there is no '%s'%s%s%s", key, text,
                        meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

static dt_status check_precision(const dt_json_place *entry, const char *text, dt_error *err)
{
    static const char *const precisions[] = {"fp32", "tf32", "fp16", "bf16"};
    const dt_json_place member = dt_json_member(entry, "precision");
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++)
        if (strcmp(text, precisions[i]) == 0)
            return DT_OK;
    return dt_json_fail(&member, err, "\"precision\" is \"%s\"; it is fp32, tf32, fp16 or bf16", text);
}

/* The GPUs of all instances, that of the measured machine, and "CPU". */
static dt_status check_gpu(const dt_catalog_input *input, const dt_json_place *entry, const char *gpu,
                           dt_error *err)
{
    const dt_catalog *catalog = &input->build->catalog;
    const size_t most = (size_t)catalog->n_instances + 3;
    const char **gpus = dt_calloc(most, sizeof *gpus);
    int n = 0;
    if (!gpus)
        return dt_fail_memory(err, most * sizeof *gpus, "a list of GPUs");
    gpus[n++] = "CPU";
    if (catalog->machine)
        gpus[n++] = catalog->machine->gpu;
    for (int i = 0; i < catalog->n_instances; i++)
        gpus[n++] = catalog->instances[i].gpu;
    const dt_status status = check_choice(entry, "gpu", gpu, gpus, err);
    dt_free(gpus);
    return status;
}

static dt_status read_entry(const dt_catalog_input *input, const dt_json_place *entry, dt_rate *rate,
                            dt_error *err)
{
    static const char *const keys[] = {"gpu",      "arch",     "precision", "image_size", "gpus",
                                       "images_s", "software", "source",    NULL};
    const dt_json_place images_s = dt_json_member(entry, "images_s");
    DT_TRY(dt_json_check_keys(entry, keys, err));
    DT_TRY(dt_catalog_need_text(input, entry, "gpu", &rate->gpu, err));
    if (input->is_users) /* who may have given the only instance of a built-in rate another GPU */
        DT_TRY(check_gpu(input, entry, rate->gpu, err));
    DT_TRY(dt_catalog_need_text(input, entry, "arch", &rate->arch, err));
    DT_TRY(check_choice(entry, "arch", rate->arch, dt_resnet_names(), err));
    DT_TRY(dt_catalog_need_text(input, entry, "precision", &rate->precision, err));
    DT_TRY(check_precision(entry, rate->precision, err));
    DT_TRY(dt_json_get_int(entry, "image_size", 1, MOST_PIXELS, &rate->image_size, err));
    DT_TRY(dt_json_get_int(entry, "gpus", 1, MOST_GPUS, &rate->n_gpus, err));
    DT_TRY(dt_json_get_number(entry, "images_s", &rate->images_s, err));
    DT_TRY(dt_json_check_range(&images_s, rate->images_s, 0.001, 1e7, err));
    DT_TRY(dt_catalog_need_text(input, entry, "software", &rate->software, err));
    DT_TRY(dt_catalog_read_source(input, entry, NULL, &rate->source, err));
    if (!rate->source)
        return dt_json_fail(entry, err, "this rate has no \"source\"; write an id of \"sources\"");
    return DT_OK;
}

static bool has_same_key(const dt_rate *a, const dt_rate *b)
{
    return strcmp(a->gpu, b->gpu) == 0 && strcmp(a->arch, b->arch) == 0 &&
           strcmp(a->precision, b->precision) == 0 && a->image_size == b->image_size &&
           a->n_gpus == b->n_gpus && strcmp(a->software, b->software) == 0;
}

static dt_status read_rate(const dt_catalog_input *input, const dt_json_place *entry, dt_error *err)
{
    dt_rate rate = {.is_users = input->is_users};
    DT_TRY(read_entry(input, entry, &rate, err));
    for (int i = input->build->catalog.n_rates - 1; i >= 0; i--) {
        const dt_rate *other = &input->build->rates[i];
        if (!has_same_key(other, &rate))
            continue;
        if (other->is_users == rate.is_users)
            return dt_json_fail(
                entry, err, "the rate of %d %s with %s (%s, %s, %d pixels) stands twice in this file",
                rate.n_gpus, rate.gpu, rate.software, rate.arch, rate.precision, rate.image_size);
        dt_catalog_remove_rate(input->build, i);
    }
    return dt_catalog_add_rate(input->build, &rate, err);
}

dt_status dt_catalog_read_rates(dt_catalog_input *input, dt_error *err)
{
    static const char *const root_keys[] = {"sources", "machine", "rates", NULL};
    const dt_json_place all = dt_json_member(&input->root, "rates");
    const dt_json_place machine = dt_json_member(&input->root, "machine");
    DT_TRY(dt_json_check_keys(&input->root, root_keys, err));
    DT_TRY(dt_json_check_array(&all, err));
    if (machine.value)
        DT_TRY(dt_catalog_read_machine(input, &machine, err));
    for (int i = 0; i < dt_json_length(&all); i++) {
        const dt_json_place entry = dt_json_element(&all, i);
        DT_TRY(read_rate(input, &entry, err));
    }
    return DT_OK;
}
