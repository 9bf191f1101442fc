/* What options of the data do to pixels, labels and order, from their text on: the sources of
 * launch/commands/session.h on small pictures of many sizes. */
#include "comm/self.h"
#include "launch/commands/session.h"
#include "layers/device_host.h"
#include "tests/io/source/loader_kit.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sample i has pixels[i] and labels[i] and came at position position[i]. */
typedef struct epoch {
    uint8_t pixels[KIT_SAMPLES][KIT_SLOT_BYTES];
    int32_t labels[KIT_SAMPLES];
    int64_t position[KIT_SAMPLES], ids[KIT_SAMPLES];
    dt_status status; /* of the first call that failed */
} epoch;

static dt_options options;
static dt_error err;
static dt_session session;
static epoch a, b, c, d;
static int n_threads_before; /* before any source: the main thread, and a sanitizer's */

/* Of this process. */
static int n_threads(void)
{
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));)
        n += entry->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return n;
}

void dt_test_set_up(void)
{
    if (dt_comm_self_create(&session.comm, &err) != DT_OK ||
        dt_device_host_create(1, &session.device, &err) != DT_OK)
        abort();
    session.affinity.n_workers = 2;
    n_threads_before = n_threads();
}

void dt_test_tear_down(void)
{
    session.device->ops->destroy(session.device);
    session.comm->ops->destroy(session.comm);
}

static dt_source *open_words(bool training, const char *const *more)
{
    const char *words[40] = {"--data", dt_test_temp_dir(), "--image-size", "16", "--batch", "4", NULL};
    dt_source *source = NULL;
    int n = 6;
    for (int i = 0; more[i]; i++)
        words[n++] = more[i];
    words[n] = NULL;
    DT_REQUIRE_MSG(options_kit_parse(&options_kit_train, words, &options, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_session_source(&session, &options, training, &source, &err) == DT_OK, "%s",
                   err.message);
    return source;
}

static void read_epoch(dt_source *source, int64_t number, epoch *out)
{
    memset(out, 0, sizeof *out);
    int64_t at = 0;
    out->status = source->ops->start(source, number, 0, KIT_SAMPLES / 4, &err);
    while (out->status == DT_OK && at < KIT_SAMPLES) {
        dt_batch *batch = NULL;
        out->status = source->ops->next(source, &batch, &err);
        if (out->status != DT_OK)
            break;
        DT_REQUIRE(batch->n == 4 && batch->size == KIT_SIZE);
        for (int64_t i = 0; i < 4; i++, at++) {
            const int64_t id = batch->ids[i];
            DT_REQUIRE(id >= 0 && id < KIT_SAMPLES);
            memcpy(out->pixels[id], batch->pixels + i * KIT_SLOT_BYTES, KIT_SLOT_BYTES);
            out->labels[id] = batch->labels[i];
            out->position[id] = at;
            out->ids[at] = id;
        }
        source->ops->release(source, batch);
    }
}

static void read_words(bool training, int64_t number, epoch *out, const char *const *more)
{
    dt_source *source = open_words(training, more);
    read_epoch(source, number, out);
    source->ops->destroy(source);
}

/* Reads an epoch of training images, or those of an evaluation, with these options. */
#define TRAINING(number, out, ...) read_words(true, number, out, (const char *const[]){__VA_ARGS__, NULL})
#define EVALUATION(out, ...) read_words(false, 0, out, (const char *const[]){__VA_ARGS__, NULL})

/* Of samples with the same pixels in both. */
static int n_same(const epoch *x, const epoch *y)
{
    int n = 0;
    for (int i = 0; i < KIT_SAMPLES; i++)
        n += memcmp(x->pixels[i], y->pixels[i], KIT_SLOT_BYTES) == 0;
    return n;
}

static bool is_mirrored(const uint8_t *x, const uint8_t *y)
{
    for (int row = 0; row < KIT_SIZE; row++)
        for (int i = 0; i < KIT_SIZE; i++)
            if (memcmp(x + (row * KIT_SIZE + i) * 3, y + (row * KIT_SIZE + KIT_SIZE - 1 - i) * 3, 3) != 0)
                return false;
    return true;
}

static void flip_is_a_probability(void)
{
    loader_kit_make_split("train");
    TRAINING(0, &a, "--flip", "0");
    TRAINING(0, &b, "--flip", "1");
    TRAINING(0, &c, "--flip", "0.5");
    TRAINING(0, &d, "--seed", "1");
    int n_flipped = 0;
    for (int i = 0; i < KIT_SAMPLES; i++) {
        DT_CHECK_MSG(is_mirrored(a.pixels[i], b.pixels[i]), "sample %d", i);
        const bool is_plain = memcmp(c.pixels[i], a.pixels[i], KIT_SLOT_BYTES) == 0;
        const bool is_flipped = memcmp(c.pixels[i], b.pixels[i], KIT_SLOT_BYTES) == 0;
        DT_CHECK_MSG(is_plain || is_flipped, "sample %d", i);
        n_flipped += is_flipped;
    }
    DT_CHECK_MSG(n_flipped >= 8 && n_flipped <= 32, "%d of 40 are flipped", n_flipped);
    DT_CHECK_INT(n_same(&c, &d), KIT_SAMPLES); /* 0.5 is the default */
}

/* With 1,1 hardly a box fits but that of the whole image, so that the crop is the same in each epoch. */
static void crop_scale_limits_the_share_of_a_crop(void)
{
    loader_kit_make_split("train");
    TRAINING(0, &a, "--flip", "0", "--crop-scale", "1,1");
    TRAINING(1, &b, "--flip", "0", "--crop-scale", "1,1");
    DT_CHECK(n_same(&a, &b) > 35);
    TRAINING(0, &a, "--flip", "0");
    TRAINING(0, &b, "--flip", "0", "--crop-scale", "0.08,1");
    TRAINING(0, &c, "--flip", "0", "--crop-scale", "0.3,1");
    TRAINING(0, &d, "--flip", "0", "--crop-scale", "0.08,0.5");
    DT_CHECK_INT(n_same(&a, &b), KIT_SAMPLES);
    DT_CHECK(n_same(&a, &c) < 10 && n_same(&a, &d) < 10);
    TRAINING(1, &b, "--flip", "0");
    DT_CHECK_INT(n_same(&a, &b), 0);
}

/* As an evaluation with --eval-crop 1: in each epoch, and whatever the other options say. */
static void augment_none_shows_the_whole_image_resized_and_centred(void)
{
    loader_kit_make_split("train");
    loader_kit_make_split("val");
    EVALUATION(&a, "--eval-crop", "1");
    TRAINING(0, &b, "--augment", "none");
    TRAINING(3, &c, "--augment", "none", "--flip", "1", "--crop-scale", "0.1,0.2", "--eval-crop", "0.5",
             "--seed", "9");
    TRAINING(0, &d, "--augment", "standard");
    DT_CHECK_INT(n_same(&a, &b), KIT_SAMPLES);
    DT_CHECK_INT(n_same(&a, &c), KIT_SAMPLES);
    DT_CHECK_INT(n_same(&a, &d), 0);
}

/* All but the first image have a shorter side of 32 or more. */
static void eval_crop_and_eval_resize_choose_the_shorter_side(void)
{
    loader_kit_make_split("train");
    loader_kit_make_split("val");
    EVALUATION(&a, "--eval-crop", "0.5");
    EVALUATION(&b, "--eval-resize", "32");
    DT_CHECK_INT(n_same(&a, &b), KIT_SAMPLES - 1);
    EVALUATION(&a, "--seed", "1");
    EVALUATION(&b, "--eval-crop", "0.875", "--eval-resize", "auto");
    DT_CHECK_INT(n_same(&a, &b), KIT_SAMPLES);
    EVALUATION(&c, "--eval-crop", "1");
    EVALUATION(&d, "--eval-resize", "none");
    DT_CHECK_INT(n_same(&a, &c), 0);
    DT_CHECK_INT(n_same(&a, &d), 0);
    EVALUATION(&b, "--eval-resize", "16");
    DT_CHECK_INT(n_same(&b, &c), KIT_SAMPLES);
    DT_CHECK(a.ids[0] == 0 && a.ids[39] == 39 && a.labels[39] == 3);
}

static void no_shuffle_reads_the_files_in_sorted_order(void)
{
    loader_kit_make_split("train");
    TRAINING(1, &a, "--no-shuffle");
    TRAINING(1, &b, "--seed", "1");
    int n_in_place = 0;
    for (int i = 0; i < KIT_SAMPLES; i++) {
        DT_CHECK_INT(a.ids[i], i);
        n_in_place += b.ids[i] == i;
        DT_CHECK_INT(b.ids[b.position[i]], i); /* each once */
    }
    DT_CHECK(n_in_place < 10);
    DT_CHECK_INT(n_same(&a, &b), KIT_SAMPLES); /* the order changes no crop */
}

static void the_seed_changes_order_and_crops(void)
{
    loader_kit_make_split("train");
    TRAINING(0, &a, "--seed", "1");
    TRAINING(0, &b, "--flip", "0.5");
    TRAINING(0, &c, "--seed", "2");
    DT_CHECK_BYTES(&a, &b, sizeof a); /* 1 is the default */
    DT_CHECK_INT(n_same(&a, &c), 0);
    DT_CHECK(memcmp(a.ids, c.ids, sizeof a.ids) != 0);
    DT_CHECK_BYTES(a.labels, c.labels, sizeof a.labels);
}

static void max_broken_is_the_share_of_each_splits_files(void)
{
    static const char *const splits[] = {"val", "train"};
    loader_kit_make_split("train");
    loader_kit_make_split("val");
    for (int training = 0; training < 2; training++) {
        loader_kit_break_sample(splits[training], 7);
        loader_kit_break_sample(splits[training], 17); /* 2 of 40 */
        read_words(training, 0, &a, (const char *const[]){"--max-broken", "0.05", "--no-shuffle", NULL});
        DT_CHECK_INT(a.status, DT_OK);
        read_words(training, 0, &a, (const char *const[]){"--max-broken", "0.04", "--no-shuffle", NULL});
        DT_CHECK_INT(a.status, DT_ERR_DATA);
        read_words(training, 0, &a, (const char *const[]){"--no-shuffle", NULL});
        DT_CHECK_INT(a.status, DT_ERR_DATA);
    }
}

static void the_sizes_of_images_and_batches_are_those_of_the_options(void)
{
    dt_source_info info;
    loader_kit_make_split("train");
    for (int i = 0; i < 2; i++) {
        dt_batch *batch = NULL;
        dt_source *source = open_words(true, (const char *const[]){"--image-size", "24", "--batch", "10",
                                                                   i ? "--input" : NULL, "synthetic", NULL});
        DT_REQUIRE(source->ops->start(source, 0, 0, 1, &err) == DT_OK &&
                   source->ops->next(source, &batch, &err) == DT_OK);
        DT_CHECK(batch->size == 24 && batch->n == 10);
        source->ops->release(source, batch);
        source->ops->info(source, &info);
        DT_CHECK(info.n_samples == KIT_SAMPLES && info.n_classes == KIT_CLASSES && info.image_size == 24);
        source->ops->destroy(source);
    }
}

/* A step reads micro-batches one after the other, first all of rank 0. An evaluation does not accumulate. */
static void accumulate_and_the_world_choose_the_micro_batches(void)
{
    static const struct {
        bool training;
        int rank, size, first[4]; /* first: samples that begin the rank's micro-batches */
    } cases[] = {{true, 0, 1, {0, 4, 8, 12}},
                 {true, 0, 2, {0, 4, 16, 20}},
                 {true, 1, 2, {8, 12, 24, 28}},
                 {false, 1, 2, {4, 12, 20, 28}}};
    loader_kit_make_split("train");
    loader_kit_make_split("val");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        session.comm->rank = cases[i].rank;
        session.comm->size = cases[i].size;
        dt_source *source =
            open_words(cases[i].training, (const char *const[]){"--no-shuffle", "--accumulate", "2", NULL});
        DT_REQUIRE(source->ops->start(source, 0, 0, 4, &err) == DT_OK);
        for (int k = 0; k < 4; k++) {
            dt_batch *batch = NULL;
            DT_REQUIRE(source->ops->next(source, &batch, &err) == DT_OK);
            DT_CHECK_INT(batch->ids[0], cases[i].first[k]);
            source->ops->release(source, batch);
        }
        source->ops->destroy(source);
    }
    session.comm->rank = 0;
    session.comm->size = 1;
}

static void synthetic_input_opens_no_image(void)
{
    dt_source *source = NULL;
    dt_source_info info;
    DT_REQUIRE(PARSE(train, "--input", "synthetic", "--image-size", "16", "--batch", "2") == DT_OK);
    DT_REQUIRE(dt_session_source(&session, &options, true, &source, &err) == DT_OK);
    source->ops->info(source, &info);
    DT_CHECK(info.n_samples == 1281167 && info.n_classes == 1000);
    DT_CHECK_STR(source->ops->name, "synthetic");
    source->ops->destroy(source);
}

/* Threads that have ended may be listed for a moment. */
static void check_threads(int n_more)
{
    const int expected = n_threads_before + n_more;
    for (int i = 0; i < 1000 && n_threads() != expected; i++)
        usleep(10000);
    DT_CHECK_INT(n_threads(), expected);
}

static void workers_are_the_decoding_threads(void)
{
    loader_kit_make_split("train");
    for (int workers = 1; workers <= 5; workers += 4) {
        session.affinity.n_workers = workers;
        dt_source *source = open_words(true, (const char *const[]){NULL});
        check_threads(0);
        DT_REQUIRE(source->ops->start(source, 0, 0, 10, &err) == DT_OK);
        check_threads(workers);
        source->ops->destroy(source);
    }
    session.affinity.n_workers = 2;
}

static const dt_test tests[] = {
    DT_TEST(flip_is_a_probability),
    DT_TEST(crop_scale_limits_the_share_of_a_crop),
    DT_TEST(augment_none_shows_the_whole_image_resized_and_centred),
    DT_TEST(eval_crop_and_eval_resize_choose_the_shorter_side),
    DT_TEST(no_shuffle_reads_the_files_in_sorted_order),
    DT_TEST(the_seed_changes_order_and_crops),
    DT_TEST(max_broken_is_the_share_of_each_splits_files),
    DT_TEST(the_sizes_of_images_and_batches_are_those_of_the_options),
    DT_TEST(accumulate_and_the_world_choose_the_micro_batches),
    DT_TEST(synthetic_input_opens_no_image),
    DT_TEST(workers_are_the_decoding_threads),
};
DT_TEST_MAIN("launch/options/data_effects", tests)
