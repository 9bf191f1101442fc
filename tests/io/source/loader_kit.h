/* loader_kit.h: data folders and whole epochs, for the tests of io/source/loader.c. */
#ifndef DTRAIN_TESTS_IO_LOADER_KIT_H
#define DTRAIN_TESTS_IO_LOADER_KIT_H

#include "io/source/loader.h"

enum {
    KIT_CLASSES = 4,
    KIT_PER_CLASS = 10,
    KIT_SAMPLES = KIT_CLASSES * KIT_PER_CLASS,
    KIT_SIZE = 16, /* pixels, of loader_kit_options */
    KIT_SLOT_BYTES = KIT_SIZE * KIT_SIZE * 3,
};

/* The path of a sample in the test's temporary folder, which is the data folder. */
const char *loader_kit_sample_path(const char *split, int id);

/* Make the folder SPLIT with KIT_SAMPLES pictures of different sizes and kinds of JPEG. */
void loader_kit_make_split(const char *split);

/* Put text in the place of a picture. */
void loader_kit_break_sample(const char *split, int id);

/* Training on the temporary folder: one rank, two threads, batches of 4. */
dt_loader_options loader_kit_options(void);

/* Create a loader; ends the test when that fails. */
dt_source *loader_kit_open(const dt_loader_options *options);

/* The sample slots of an epoch in the order of their positions. */
typedef struct loader_kit_epoch {
    uint8_t pixels[KIT_SAMPLES + 16][KIT_SLOT_BYTES];
    int32_t labels[KIT_SAMPLES + 16];
    int64_t ids[KIT_SAMPLES + 16];
    int64_t n, n_broken, n_decoded;
} loader_kit_epoch;

/* Run rank `options->rank` over the epoch from `position` on. Writes its slots to their positions in the
 * global order, and adds its n_broken and n_decoded. */
void loader_kit_run(const dt_loader_options *options, int64_t epoch, int64_t position, loader_kit_epoch *out);

/* Positions [from, to) are equal in ids, labels and pixels. */
void loader_kit_check_same(const loader_kit_epoch *a, const loader_kit_epoch *b, int64_t from, int64_t to);

#endif
