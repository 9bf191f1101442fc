/* Reads instances.json. */
#include "launch/estimate/catalog_build.h"

#include <string.h>

static const char *const keys[] = {"type",
                                   "source",
                                   "gpus",
                                   "gpu",
                                   "gpu_memory_gib",
                                   "vcpus",
                                   "cores",
                                   "ram_gib",
                                   "nvme_gb",
                                   "network_baseline_gbit",
                                   "efa_interfaces",
                                   "ebs_mb_s",
                                   "fp16_tflops",
                                   "gpu_bandwidth_gb_s",
                                   "decode_images_s",
                                   "interruption_band",
                                   "unsupported",
                                   "retiring",
                                   NULL};

#define FIGURE(name, required, least, most)                                                                  \
    {                                                                                                        \
#        name, offsetof(dt_instance, name), required, least, most                                            \
    }
static const dt_figure_rule rules[] = {
    FIGURE(gpu_memory_gib, true, 0.1, 1e5),
    FIGURE(vcpus, true, 1, 1e5),
    FIGURE(cores, true, 1, 1e5),
    FIGURE(ram_gib, true, 0.01, 1e6),
    FIGURE(nvme_gb, true, 0, 1e7),
    FIGURE(network_baseline_gbit, false, 0.001, 1e6),
    FIGURE(efa_interfaces, false, 0, 1000),
    FIGURE(ebs_mb_s, false, 0.1, 1e6),
    FIGURE(fp16_tflops, false, 0.001, 1e6),
    FIGURE(gpu_bandwidth_gb_s, false, 0.1, 1e6),
    FIGURE(decode_images_s, false, 0.01, 1e7),
};
enum { N_RULES = sizeof rules / sizeof rules[0], MOST_GPUS = 64 };

static dt_instance *find(const dt_catalog_build *build, const char *type)
{
    for (int i = 0; i < build->catalog.n_instances; i++)
        if (strcmp(build->instances[i].type, type) == 0)
            return &build->instances[i];
    return NULL;
}

/* Changes *instance to what the entry says; is_new: which begins empty. */
static dt_status read_entry(const dt_catalog_input *input, const dt_json_place *entry, bool is_new,
                            dt_instance *instance, dt_error *err)
{
    const dt_data_source *source = NULL;
    DT_TRY(dt_catalog_read_source(input, entry, NULL, &source, err));
    if (is_new || dt_json_member(entry, "gpus").value)
        DT_TRY(dt_json_get_int(entry, "gpus", 1, MOST_GPUS, &instance->n_gpus, err));
    DT_TRY((is_new ? dt_catalog_need_text : dt_catalog_read_text)(input, entry, "gpu", &instance->gpu, err));
    DT_TRY(dt_catalog_read_figures(input, entry, source, is_new, rules, N_RULES, instance, err));
    DT_TRY(dt_catalog_read_remark(input, entry, "interruption_band", &instance->interruption_band, err));
    DT_TRY(dt_catalog_read_remark(input, entry, "unsupported", &instance->unsupported, err));
    DT_TRY(dt_catalog_read_remark(input, entry, "retiring", &instance->retiring, err));
    if (instance->cores.value > instance->vcpus.value)
        return dt_json_fail(entry, err, "%s: \"cores\" is %g, more than \"vcpus\", which is %g",
                            instance->type, instance->cores.value, instance->vcpus.value);
    return DT_OK;
}

static dt_status read_instance(const dt_catalog_input *input, const dt_json_place *entry, dt_error *err)
{
    dt_instance instance = {0};
    const char *type = NULL;
    DT_TRY(dt_json_check_keys(entry, keys, err));
    DT_TRY(dt_json_get_text(entry, "type", &type, err));
    dt_instance *known = find(input->build, type);
    if (known && known->is_users == input->is_users)
        return dt_json_fail(entry, err, "%s stands twice in this file", type);
    if (known)
        instance = *known;
    else
        DT_TRY(dt_catalog_need_text(input, entry, "type", &instance.type, err));
    DT_TRY(read_entry(input, entry, !known, &instance, err));
    instance.is_users = input->is_users;
    if (!known)
        return dt_catalog_add_instance(input->build, &instance, err);
    *known = instance;
    return DT_OK;
}

dt_status dt_catalog_read_instances(dt_catalog_input *input, dt_error *err)
{
    static const char *const root_keys[] = {"sources", "instances", NULL};
    const dt_json_place all = dt_json_member(&input->root, "instances");
    DT_TRY(dt_json_check_keys(&input->root, root_keys, err));
    DT_TRY(dt_json_check_array(&all, err));
    for (int i = 0; i < dt_json_length(&all); i++) {
        const dt_json_place entry = dt_json_element(&all, i);
        DT_TRY(read_instance(input, &entry, err));
    }
    return DT_OK;
}
