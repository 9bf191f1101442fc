/* slot.c: see slot.h. */
#include "io/source/slot.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Replacements drawn for a broken file. If half of all files are broken, all 64 are broken once in 2^64. */
#define N_REPLACEMENTS 64

/* What is known of a file. UNREADABLE: the disk refused it; logged, and tried again the next time. */
enum { NOT_READ_YET, WHOLE, BROKEN, UNREADABLE };

struct dt_slot_filler {
    const dt_folder *folder;
    dt_loader_options options;
    dt_crop_random_settings random;
    int64_t n_samples;
    _Atomic uint8_t *known; /* [n_samples] */
    pthread_mutex_t lock;   /* of example */
    char example[640];
};

dt_status dt_slot_filler_create(const dt_loader_options *options, const dt_folder *folder,
                                dt_slot_filler **filler_out, dt_error *err)
{
    dt_slot_filler *filler = dt_calloc(1, sizeof *filler);
    if (!filler)
        return dt_fail_memory(err, sizeof *filler, "the loader");
    filler->folder = folder;
    filler->options = *options;
    filler->random = (dt_crop_random_settings){
        .scale_min = options->crop_scale_min, .scale_max = options->crop_scale_max, .flip = options->flip};
    filler->n_samples = dt_folder_n_samples(folder);
    filler->known = dt_calloc((size_t)filler->n_samples, sizeof *filler->known);
    if (!filler->known) {
        dt_free(filler);
        return dt_fail_memory(err, (size_t)dt_folder_n_samples(folder), "the loader");
    }
    pthread_mutex_init(&filler->lock, NULL);
    *filler_out = filler;
    return DT_OK;
}

void dt_slot_filler_destroy(dt_slot_filler *filler)
{
    if (!filler)
        return;
    pthread_mutex_destroy(&filler->lock);
    dt_free((void *)filler->known);
    dt_free(filler);
}

void dt_slot_first_broken(dt_slot_filler *filler, char *out, size_t out_bytes)
{
    pthread_mutex_lock(&filler->lock);
    snprintf(out, out_bytes, "%s", filler->example);
    pthread_mutex_unlock(&filler->lock);
}

static bool is_about_the_file(dt_status status)
{
    return status == DT_ERR_IO || status == DT_ERR_FORMAT || status == DT_ERR_UNSUPPORTED;
}

/* Remember a broken file, and log it if this is the first time. */
static void note_broken(dt_slot_filler *filler, int64_t id, const char *path, const dt_error *why)
{
    uint8_t now = why->status == DT_ERR_IO ? UNREADABLE : BROKEN;
    uint8_t before = atomic_exchange(&filler->known[id], now);
    if (before == BROKEN || before == UNREADABLE)
        return;
    dt_log_warn("data: %s is broken and %s: %s", path,
                filler->options.training ? "replaced by other samples" : "left out of the evaluation",
                why->message);
    pthread_mutex_lock(&filler->lock);
    if (!filler->example[0])
        snprintf(filler->example, sizeof filler->example, "%.400s (%.200s)", path, why->message);
    pthread_mutex_unlock(&filler->lock);
}

static dt_crop choose_crop(const dt_slot_filler *filler, int64_t width, int64_t height, int64_t size,
                           dt_rng random)
{
    const dt_loader_options *options = &filler->options;
    const dt_crop_centre_settings evaluation = {.share = options->eval_crop, .resize = options->eval_resize},
                                  whole = {.share = 1, .resize = DT_EVAL_RESIZE_AUTO};
    if (!options->training)
        return dt_crop_centre(&evaluation, width, height, size);
    dt_crop crop = options->augment == DT_AUGMENT_NONE
                       ? dt_crop_centre(&whole, width, height, size)
                       : dt_crop_random(&filler->random, width, height, size, &random);
    crop.may_shrink = true;
    return crop;
}

/* Write the pixels of sample `id`, augmented by `random`. A broken file sets *broken and is DT_OK. */
static dt_status make_sample(dt_slot_filler *filler, dt_sample *sample, int64_t id, int64_t size,
                             dt_rng random, uint8_t *pixels, bool *broken, dt_error *err)
{
    uint8_t known = atomic_load_explicit(&filler->known[id], memory_order_relaxed);
    *broken = known == BROKEN;
    if (known == BROKEN)
        return DT_OK;
    char path[4096];
    dt_folder_path(filler->folder, id, path, sizeof path);
    int64_t width = 0, height = 0;
    dt_error why = {0};
    dt_status status = dt_sample_open(sample, path, &width, &height, &why);
    if (status == DT_OK) {
        dt_crop crop = choose_crop(filler, width, height, size, random);
        status = dt_sample_decode(sample, &crop, known != WHOLE, pixels, &why);
    }
    if (status == DT_OK) {
        if (known != WHOLE)
            atomic_store_explicit(&filler->known[id], WHOLE, memory_order_relaxed);
        return DT_OK;
    }
    if (!is_about_the_file(status)) {
        dt_error_prefix(&why, "data: %s", path);
        if (err)
            *err = why;
        return status;
    }
    *broken = true;
    note_broken(filler, id, path, &why);
    return DT_OK;
}

dt_status dt_slot_fill(dt_slot_filler *filler, dt_sample *sample, int64_t epoch, int64_t id, int64_t size,
                       uint8_t *pixels, dt_slot *slot, dt_error *err)
{
    uint64_t seed = filler->options.seed;
    const dt_rng random = dt_rng_at(seed, DT_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)id);
    bool broken = false;
    DT_TRY(make_sample(filler, sample, id, size, random, pixels, &broken, err));
    *slot = (dt_slot){.label = broken ? -1 : dt_folder_label(filler->folder, id), .broken = broken};
    if (!broken)
        return DT_OK;
    if (!filler->options.training) {
        memset(pixels, 0, (size_t)(size * size * 3));
        return DT_OK;
    }
    dt_rng others = dt_rng_at(seed, DT_RNG_REPLACE, (uint64_t)epoch, (uint64_t)id);
    for (int i = 0; i < N_REPLACEMENTS; i++) {
        int64_t other = (int64_t)dt_rng_below(&others, (uint64_t)filler->n_samples);
        DT_TRY(make_sample(filler, sample, other, size, random, pixels, &broken, err));
        if (broken)
            continue;
        slot->label = dt_folder_label(filler->folder, other);
        return DT_OK;
    }
    char example[sizeof filler->example];
    dt_slot_first_broken(filler, example, sizeof example);
    return dt_fail(
        err, DT_ERR_DATA,
        "data: a broken file cannot be replaced: %d others drawn in its place are broken too; for example %s",
        N_REPLACEMENTS, example);
}
