/* Reads "machine" of a rates file: what `dtrain bench` has measured. */
#include "launch/estimate/catalog_build.h"

#include "core/base/alloc.h"

#define FIGURE(name, required, least, most)                                                                  \
    {                                                                                                        \
#        name, offsetof(dt_measured_machine, name), required, least, most                                    \
    }
static const dt_figure_rule machine_rules[] = {
    FIGURE(cores, true, 1, 1e5),
    FIGURE(ram_gib, true, 0.01, 1e6),
    FIGURE(gpu_memory_gib, false, 0.1, 1e5),
    FIGURE(decode_images_s_core, false, 0.001, 1e6),
    FIGURE(decode_images_s, false, 0.01, 1e7),
    FIGURE(disk_read_mb_s, false, 0.001, 1e7),
    FIGURE(checkpoint_write_mb_s, false, 0.001, 1e7),
    FIGURE(download_mb_s, false, 1e-6, 1e6),
    FIGURE(start_s, false, 0, 1e6),
    FIGURE(usd_h, false, 0, 1e5),
};
static const dt_figure_rule training_rules[] = {
    FIGURE(train_images_s, false, 0.001, 1e8), FIGURE(evaluate_images_s, false, 0.001, 1e8),
    FIGURE(checkpoint_s, false, 0, 1e5),       FIGURE(last_checkpoint_s, false, 0, 1e5),
    FIGURE(checkpoint_mb, false, 1e-6, 1e7),
};
enum { MOST_RANKS = 100000, MOST_PIXELS = 16384, MOST_IMAGES = 1 << 30 };
#define N_RULES(rules) (int)(sizeof(rules) / sizeof(rules)[0])

static dt_status read_training(const dt_catalog_input *input, const dt_json_place *entry,
                               dt_measured_machine *machine, dt_error *err)
{
    static const char *const keys[] = {"arch",           "precision",
                                       "image_size",     "batch",
                                       "ranks",          "source",
                                       "train_images_s", "evaluate_images_s",
                                       "checkpoint_s",   "last_checkpoint_s",
                                       "checkpoint_mb",  NULL};
    const dt_data_source *source = NULL;
    DT_TRY(dt_json_check_keys(entry, keys, err));
    DT_TRY(dt_catalog_need_text(input, entry, "arch", &machine->arch, err));
    DT_TRY(dt_catalog_need_text(input, entry, "precision", &machine->precision, err));
    DT_TRY(dt_json_get_int(entry, "image_size", 1, MOST_PIXELS, &machine->image_size, err));
    DT_TRY(dt_json_get_int(entry, "batch", 1, MOST_IMAGES, &machine->batch, err));
    DT_TRY(dt_json_get_int(entry, "ranks", 1, MOST_RANKS, &machine->n_ranks, err));
    DT_TRY(dt_catalog_read_source(input, entry, NULL, &source, err));
    return dt_catalog_read_figures(input, entry, source, true, training_rules, N_RULES(training_rules),
                                   machine, err);
}

dt_status dt_catalog_read_machine(dt_catalog_input *input, const dt_json_place *entry, dt_error *err)
{
    static const char *const keys[] = {"name",
                                       "gpu",
                                       "gpus",
                                       "versions",
                                       "source",
                                       "cores",
                                       "ram_gib",
                                       "gpu_memory_gib",
                                       "decode_images_s_core",
                                       "decode_images_s",
                                       "disk_read_mb_s",
                                       "checkpoint_write_mb_s",
                                       "download_mb_s",
                                       "start_s",
                                       "usd_h",
                                       "training",
                                       NULL};
    const dt_json_place training = dt_json_member(entry, "training");
    const dt_data_source *source = NULL;
    dt_measured_machine *machine = dt_catalog_keep(input->build, sizeof *machine);
    if (!machine)
        return dt_fail_memory(err, sizeof *machine, "a machine");
    *machine = (dt_measured_machine){0};
    DT_TRY(dt_json_check_keys(entry, keys, err));
    DT_TRY(dt_catalog_need_text(input, entry, "name", &machine->name, err));
    DT_TRY(dt_catalog_need_text(input, entry, "gpu", &machine->gpu, err));
    DT_TRY(dt_json_get_int(entry, "gpus", 0, MOST_RANKS, &machine->n_gpus, err));
    DT_TRY(dt_catalog_need_text(input, entry, "versions", &machine->versions, err));
    DT_TRY(dt_catalog_read_source(input, entry, NULL, &source, err));
    DT_TRY(dt_catalog_read_figures(input, entry, source, true, machine_rules, N_RULES(machine_rules), machine,
                                   err));
    if (training.value)
        DT_TRY(read_training(input, &training, machine, err));
    input->build->catalog.machine = machine;
    return DT_OK;
}
