/* loader.c: the operations of core/source.h, the check of the options, and the limit on broken files. The
 * threads are in loader_ring.c. */
#include "io/source/loader.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "io/durable.h"
#include "io/source/loader_ring.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct dt_loader {
    dt_source source;
    dt_loader_options options;
    char *split_root; /* ROOT/train or ROOT/val, for messages */
    dt_folder *folder;
    dt_slot_filler *filler;
    dt_loader_ring *ring;
    int64_t n_broken; /* in the batches returned since start */
    dt_error failure; /* since start; next returns it again */
    char name[4096];  /* that sample_name returned last */
} dt_loader;

static dt_loader *loader_of(dt_source *source)
{
    return (dt_loader *)source;
}

static void loader_destroy(dt_source *source)
{
    if (!source)
        return;
    dt_loader *loader = loader_of(source);
    if (!dt_loader_ring_destroy(loader->ring))
        return; /* a thread still uses all of it */
    dt_slot_filler_destroy(loader->filler);
    dt_folder_close(loader->folder);
    dt_free(loader->split_root);
    dt_free(loader);
}

static void loader_info(dt_source *source, dt_source_info *info)
{
    const dt_loader *loader = loader_of(source);
    const dt_folder *folder = loader->folder;
    *info = (dt_source_info){
        .n_samples = dt_folder_n_samples(folder),
        .n_classes = dt_folder_n_classes(folder),
        .image_size = loader->options.image_size,
        .fingerprint = dt_folder_fingerprint(folder),
    };
}

static const char *loader_class_name(dt_source *source, int64_t class_index)
{
    return dt_folder_class_name(loader_of(source)->folder, class_index);
}

static dt_status loader_set_labels(dt_source *source, const int32_t *labels, dt_error *err)
{
    (void)err;
    dt_folder_set_labels(loader_of(source)->folder, labels);
    return DT_OK;
}

static const char *loader_sample_name(dt_source *source, int64_t id)
{
    dt_loader *loader = loader_of(source);
    if (id < 0 || id >= dt_folder_n_samples(loader->folder))
        return "(no such sample)";
    dt_folder_path(loader->folder, id, loader->name, sizeof loader->name);
    return loader->name;
}

static dt_status loader_start(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches,
                              dt_error *err)
{
    dt_loader *loader = loader_of(source);
    const dt_loader_options *o = &loader->options;
    int64_t n_samples = dt_folder_n_samples(loader->folder);
    int64_t n_steps = (n_batches + o->accumulate - 1) / o->accumulate;
    int64_t end = position + n_steps * o->world * o->accumulate * o->batch;
    if (epoch < 0 || position < 0 || n_batches < 0 || (o->training && n_batches > 0 && end > n_samples))
        return dt_fail(err, DT_ERR_INTERNAL,
                       "loader: %lld batches from position %lld of epoch %lld end at %lld of %lld",
                       (long long)n_batches, (long long)position, (long long)epoch, (long long)end,
                       (long long)n_samples);
    loader->n_broken = 0;
    loader->failure = (dt_error){0};
    return dt_loader_ring_start(loader->ring, epoch, position, n_batches, err);
}

static dt_status fail_broken(dt_loader *loader, dt_error *err)
{
    char example[768];
    dt_slot_first_broken(loader->filler, example, sizeof example);
    int64_t n_samples = dt_folder_n_samples(loader->folder);
    return dt_fail(
        err, DT_ERR_DATA,
        "data: at least %lld of the %lld file%s in %s %s broken: %.3g%%, and --max-broken allows %.3g%%; "
        "for example %s",
        (long long)loader->n_broken, (long long)n_samples, DT_PLURAL(n_samples), loader->split_root,
        loader->n_broken == 1 ? "is" : "are", 100 * (double)loader->n_broken / (double)n_samples,
        100 * loader->options.max_broken, example);
}

static dt_status loader_next(dt_source *source, dt_batch **batch, dt_error *err)
{
    dt_loader *loader = loader_of(source);
    dt_error *failure = &loader->failure;
    dt_batch *made = NULL;
    int64_t n_broken = 0;
    if (failure->status == DT_OK && dt_loader_ring_next(loader->ring, &made, &n_broken, failure) == DT_OK) {
        loader->n_broken += n_broken;
        /* 1e-9 against rounding: 0.01 of 100 files is 1 */
        double allowed = loader->options.max_broken * (double)dt_folder_n_samples(loader->folder) + 1e-9;
        if (n_broken > 0 && (double)loader->n_broken > allowed) {
            dt_loader_ring_release(loader->ring, made);
            fail_broken(loader, failure);
        }
    }
    if (failure->status != DT_OK) {
        if (err)
            *err = *failure;
        return failure->status;
    }
    *batch = made;
    return DT_OK;
}

static void loader_release(dt_source *source, dt_batch *batch)
{
    dt_loader_ring_release(loader_of(source)->ring, batch);
}

static void loader_stats(dt_source *source, dt_source_stats *stats)
{
    dt_loader *loader = loader_of(source);
    *stats = (dt_source_stats){.n_broken = loader->n_broken};
    dt_loader_ring_stats(loader->ring, &stats->n_decoded, &stats->wait_s);
}

static dt_status check_image_size(int64_t size, dt_error *err)
{
    if (size >= 1 && size <= 8192)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE, "--image-size is %lld; it must be 1 to 8192 pixels", (long long)size);
}

/* torchvision's CenterCrop would pad a smaller image with black; this is refused. */
static dt_status check_eval_resize(const dt_loader_options *o, int64_t image_size, dt_error *err)
{
    if (o->training || o->eval_resize == DT_EVAL_RESIZE_AUTO || o->eval_resize == DT_EVAL_RESIZE_NONE ||
        o->eval_resize >= image_size)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE, "--eval-resize: %lld pixels are less than --image-size %lld",
                   (long long)o->eval_resize, (long long)image_size);
}

static dt_status loader_set_image_size(dt_source *source, int64_t size, dt_error *err)
{
    DT_TRY(check_image_size(size, err));
    DT_TRY(check_eval_resize(&loader_of(source)->options, size, err));
    DT_TRY(dt_loader_ring_set_image_size(loader_of(source)->ring, size, err));
    loader_of(source)->options.image_size = size;
    return DT_OK;
}

static const dt_source_ops loader_ops = {
    .name = "folder",
    .destroy = loader_destroy,
    .info = loader_info,
    .class_name = loader_class_name,
    .set_labels = loader_set_labels,
    .sample_name = loader_sample_name,
    .start = loader_start,
    .next = loader_next,
    .release = loader_release,
    .stats = loader_stats,
    .set_image_size = loader_set_image_size,
};

static dt_status check_options(const dt_loader_options *o, dt_error *err)
{
    DT_TRY(check_image_size(o->image_size, err));
    if (o->batch < 1 || o->accumulate < 1)
        return dt_fail(err, DT_ERR_USAGE, "--batch is %lld and --accumulate %lld; both must be 1 at least",
                       (long long)o->batch, (long long)o->accumulate);
    if (o->workers < 1 || o->workers > 1024)
        return dt_fail(err, DT_ERR_USAGE, "--workers is %lld; it must be 1 to 1024 threads",
                       (long long)o->workers);
    if (!(o->crop_scale_min > 0 && o->crop_scale_min <= o->crop_scale_max && o->crop_scale_max <= 1))
        return dt_fail(err, DT_ERR_USAGE,
                       "--crop-scale is %g,%g; it must be MIN,MAX with 0 < MIN <= MAX <= 1",
                       o->crop_scale_min, o->crop_scale_max);
    if (!(o->flip >= 0 && o->flip <= 1))
        return dt_fail(err, DT_ERR_USAGE, "the probability of a flip is %g; it must be 0 to 1", o->flip);
    if (!(o->eval_crop > 0 && o->eval_crop <= 1))
        return dt_fail(err, DT_ERR_USAGE,
                       "the share of the evaluation crop is %g; it must be above 0 and at most 1",
                       o->eval_crop);
    DT_TRY(check_eval_resize(o, o->image_size, err));
    if (!(o->max_broken >= 0 && o->max_broken <= 1))
        return dt_fail(err, DT_ERR_USAGE, "--max-broken is %g; it must be 0 to 1", o->max_broken);
    if (o->world < 1 || o->rank < 0 || o->rank >= o->world)
        return dt_fail(err, DT_ERR_INTERNAL, "loader: rank %d of %d", o->rank, o->world);
    return DT_OK;
}

static bool has_split(const char *root, const char *split)
{
    char path[DT_DURABLE_PATH_BYTES];
    return dt_durable_path(path, NULL, "%s/%s", root, split) == DT_OK && dt_durable_is_folder(path);
}

bool dt_loader_has_validation(const char *root)
{
    char path[DT_DURABLE_PATH_BYTES];
    struct stat info;
    return dt_durable_path(path, NULL, "%s/val", root) == DT_OK && lstat(path, &info) == 0;
}

/* Evaluation needs the classes of train, if that exists: the model was trained on their indices. */
static dt_status open_folder(const dt_loader_options *o, dt_folder **folder, dt_error *err)
{
    if (o->training)
        return dt_folder_open(o->root, "train", NULL, folder, err);
    dt_folder *like = NULL;
    if (has_split(o->root, "train"))
        DT_TRY(dt_folder_open_classes(o->root, "train", &like, err));
    dt_status status = dt_folder_open(o->root, "val", like, folder, err);
    dt_folder_close(like);
    return status;
}

/* -- what is odd about the data -------------------------------------------------------------------------- */

static void log_left_out(const dt_loader *loader)
{
    char text[DT_LEFT_OUT_TEXT_BYTES];
    const dt_left_out *left_out = dt_folder_left_out(loader->folder);
    dt_left_out_text(left_out, text, sizeof text);
    if (left_out->n > left_out->n_hidden)
        dt_log_warn("data: %s: left out %s", loader->split_root, text);
    else if (left_out->n > 0)
        dt_log_info("data: %s: left out %s", loader->split_root, text);
}

/* Two classes whose names differ in the case of letters only are probably one. */
static void log_similar_classes(const dt_loader *loader)
{
    char first[DT_SIMILAR_BYTES], second[DT_SIMILAR_BYTES];
    if (dt_folder_find_similar_classes(loader->folder, first, second))
        dt_log_warn("data: the classes '%s' and '%s' in %s differ only in the case of letters: they are "
                    "trained as two "
                    "classes",
                    first, second, loader->split_root);
}

static void log_files_in_two_classes(const dt_loader *loader)
{
    int64_t n = 0;
    char example[2][512];
    if (dt_folder_find_twice(loader->folder, &n, example, NULL) == DT_OK && n > 0) /* no memory, no hint */
        dt_log_warn("data: %lld file%s in %s %s in two classes or more, for example %s (%s): they are "
                    "trained with each "
                    "label in turn",
                    (long long)n, n == 1 ? "" : "s", loader->split_root, n == 1 ? "is" : "are", example[0],
                    example[1]);
}

static void log_oddities(const dt_loader *loader)
{
    const dt_folder *folder = loader->folder;
    log_left_out(loader);
    if (!loader->options.training)
        return;
    if (dt_folder_n_classes(folder) == 1)
        dt_log_warn("data: %s has one class only, '%s': there is nothing to distinguish, and every accuracy "
                    "is 100%%; expected: DIR/train/<class>/<file>.jpg with two classes or more",
                    loader->split_root, dt_folder_class_name(folder, 0));
    log_similar_classes(loader);
    log_files_in_two_classes(loader);
}

dt_status dt_loader_log_shared(const dt_source *train, const dt_source *val, dt_error *err)
{
    if (train->ops != &loader_ops || val->ops != &loader_ops)
        return DT_OK;
    const dt_folder *of_train = ((const dt_loader *)train)->folder,
                    *of_val = ((const dt_loader *)val)->folder;
    dt_folder_shared shared;
    DT_TRY(dt_folder_find_shared(of_train, of_val, &shared, err));
    if (shared.n > 0)
        dt_log_warn("data: %s%lld of the %lld file%s in %s %s also in %s, for example %s (%s): its accuracy "
                    "says little "
                    "about new images",
                    shared.at_least ? "at least " : "", (long long)shared.n,
                    (long long)dt_folder_n_samples(of_val), DT_PLURAL(dt_folder_n_samples(of_val)),
                    ((const dt_loader *)val)->split_root, shared.n == 1 ? "is" : "are",
                    ((const dt_loader *)train)->split_root, shared.example[0], shared.example[1]);
    return DT_OK;
}

dt_status dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err)
{
    DT_TRY(check_options(options, err));
    dt_loader *loader = dt_calloc(1, sizeof *loader);
    if (!loader)
        return dt_fail_memory(err, sizeof *loader, "the loader");
    loader->source.ops = &loader_ops;
    loader->options = *options;
    loader->options.root = NULL; /* the caller may free it */
    dt_status status = DT_OK;
    loader->split_root = dt_strprintf("%s/%s", options->root, options->training ? "train" : "val");
    if (!loader->split_root) {
        status = dt_fail_memory(err, strlen(options->root) + sizeof "/train", "a path");
        goto fail;
    }
    DT_TRY_OR_FAIL(status, open_folder(options, &loader->folder, err));
    DT_TRY_OR_FAIL(status, dt_slot_filler_create(&loader->options, loader->folder, &loader->filler, err));
    DT_TRY_OR_FAIL(
        status, dt_loader_ring_create(&loader->options, loader->folder, loader->filler, &loader->ring, err));
    if (options->rank == 0)
        log_oddities(loader);
    *source = &loader->source;
    return DT_OK;
fail:
    loader_destroy(&loader->source);
    return status;
}
