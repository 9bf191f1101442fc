/* loader_kit.c: see loader_kit.h. */
#include "tests/io/source/loader_kit.h"

#include "tests/io/source/jpeg_kit.h"
#include "tests/testing.h"

#include <string.h>
#include <sys/stat.h>

const char *loader_kit_sample_path(const char *split, int id)
{
    return dt_test_path("%s/%s/c%d/%02d.jpg", dt_test_temp_dir(), split, id / KIT_PER_CLASS,
                        id % KIT_PER_CLASS);
}

void loader_kit_make_split(const char *split)
{
    mkdir(dt_test_path("%s/%s", dt_test_temp_dir(), split), 0777);
    for (int c = 0; c < KIT_CLASSES; c++)
        mkdir(dt_test_path("%s/%s/c%d", dt_test_temp_dir(), split, c), 0777);
    for (int id = 0; id < KIT_SAMPLES; id++) {
        jpeg_kit_recipe recipe = {
            .width = 30 + 3 * id, .height = 90 - id, .h_samp = 1 + id % 2, .v_samp = 1 + id % 2};
        recipe.seed = (uint64_t)id;
        recipe.progressive = id % 5 == 4;
        recipe.colour = id % 7 == 3 ? JPEG_KIT_GREY : JPEG_KIT_YCC;
        jpeg_kit_write(loader_kit_sample_path(split, id), &recipe);
    }
}

void loader_kit_break_sample(const char *split, int id)
{
    dt_test_write_file(loader_kit_sample_path(split, id), "no picture", 10);
}

dt_loader_options loader_kit_options(void)
{
    return (dt_loader_options){
        .root = dt_test_temp_dir(),
        .training = true,
        .image_size = 16,
        .batch = 4,
        .accumulate = 1,
        .world = 1,
        .workers = 2,
        .crop_scale_min = 0.08,
        .crop_scale_max = 1,
        .flip = 0.5,
        .eval_crop = 0.875,
        .seed = 3,
        .shuffle = true,
        .max_broken = 0.2,
    };
}

dt_source *loader_kit_open(const dt_loader_options *options)
{
    dt_source *source = NULL;
    dt_error error = {0};
    dt_status status = dt_loader_create(options, &source, &error);
    DT_REQUIRE_MSG(status == DT_OK, "%s", error.message);
    return source;
}

void loader_kit_run(const dt_loader_options *options, int64_t epoch, int64_t position, loader_kit_epoch *out)
{
    dt_error error = {0};
    dt_source *source = loader_kit_open(options);
    int64_t global = options->world * options->accumulate * options->batch, n = KIT_SAMPLES - position;
    int64_t steps = options->training ? n / global : (n + global - 1) / global;
    DT_REQUIRE_MSG(source->ops->start(source, epoch, position, steps * options->accumulate, &error) == DT_OK,
                   "%s", error.message);
    for (int64_t k = 0; k < steps * options->accumulate; k++) {
        dt_batch *batch = NULL;
        DT_REQUIRE_MSG(source->ops->next(source, &batch, &error) == DT_OK, "%s", error.message);
        DT_CHECK(batch->n == options->batch && batch->size == KIT_SIZE);
        int64_t at = position + (k / options->accumulate) * global +
                     (options->rank * options->accumulate + k % options->accumulate) * options->batch;
        for (int64_t i = 0; i < batch->n; i++) {
            memcpy(out->pixels[at + i], batch->pixels + i * KIT_SLOT_BYTES, KIT_SLOT_BYTES);
            out->labels[at + i] = batch->labels[i];
            out->ids[at + i] = batch->ids[i];
        }
        source->ops->release(source, batch);
    }
    dt_source_stats stats;
    source->ops->stats(source, &stats);
    out->n = position + steps * global;
    out->n_broken += stats.n_broken;
    out->n_decoded += stats.n_decoded;
    source->ops->destroy(source);
}

void loader_kit_check_same(const loader_kit_epoch *a, const loader_kit_epoch *b, int64_t from, int64_t to)
{
    DT_CHECK_BYTES(a->ids + from, b->ids + from, (size_t)(to - from) * sizeof a->ids[0]);
    DT_CHECK_BYTES(a->labels + from, b->labels + from, (size_t)(to - from) * sizeof a->labels[0]);
    DT_CHECK_BYTES(a->pixels[from], b->pixels[from], (size_t)(to - from) * KIT_SLOT_BYTES);
}
