/* --batch auto and the largest batch that fits, on a device whose free memory a test sets. */
#include "launch/commands/auto_batch.h"

#include "comm/self.h"
#include "core/base/units.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t free_bytes;
static bool is_host;

static int64_t get_free(dt_device *device)
{
    (void)device;
    return free_bytes;
}

static void get_info(dt_device *device, dt_device_info *info)
{
    (void)device;
    *info = (dt_device_info){.is_host = is_host}; /* on a GPU the reserve does not depend on what is free */
}

static void *no_memory(dt_device *device, int64_t bytes)
{
    (void)device;
    return malloc((size_t)bytes);
}

static void free_memory(dt_device *device, void *p)
{
    (void)device;
    free(p);
}

static const dt_device_ops ops = {.name = "fake",
                                  .memory_free = get_free,
                                  .info = get_info,
                                  .host_alloc = no_memory,
                                  .host_free = free_memory};
static dt_device device = {&ops};
static dt_session session;
static dt_options options;
static dt_error err;

/* The figures of ImageNet, random pixels; no file is opened. */
static void reset_options(int64_t batch)
{
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    options.input = DT_INPUT_SYNTHETIC;
    options.config.image_size = 224; /* ref needs as much scratch memory for each batch of more than 8 */
    options.config.batch = batch;
    strcpy(options.arch, "resnet18");
}

void dt_test_set_up(void)
{
    if (dt_comm_self_create(&session.comm, &err) != DT_OK ||
        dt_backend_create("ref", &(dt_backend_options){.n_threads = 1}, &session.backend, &err) != DT_OK)
        exit(99);
    session.device = &device;
    session.kernels = session.backend.kernels;
}

void dt_test_tear_down(void)
{
    dt_backend_destroy(&session.backend);
    session.comm->ops->destroy(session.comm);
}

/* What a training with this batch needs, with the snapshot of its one writer. */
static int64_t bytes_of(int64_t batch, bool training)
{
    dt_memory_estimate estimate = {0};
    free_bytes = 0; /* not known: everything fits */
    reset_options(batch);
    DT_REQUIRE_MSG(dt_auto_batch_check(&session, &options, 1000, training, training, &estimate, &err) ==
                       DT_OK,
                   "%s", err.message);
    return estimate.total_bytes;
}

static void the_largest_batch_that_fits_is_exact(void)
{
    char end[64];
    dt_memory_estimate estimate;
    for (int64_t batch = 9; batch < 60; batch += 5) {
        const int64_t needed = bytes_of(batch, true);
        free_bytes = needed;
        reset_options(batch);
        DT_CHECK_MSG(dt_auto_batch_check(&session, &options, 1000, true, true, &estimate, &err) == DT_OK,
                     "%s", err.message);
        reset_options(60);
        DT_CHECK_INT(dt_auto_batch_check(&session, &options, 1000, true, true, &estimate, &err),
                     DT_ERR_USAGE);
        snprintf(end, sizeof end, "the largest that fits is --batch %lld", (long long)batch);
        DT_CHECK_CONTAINS(err.message, end);
    }
    free_bytes = bytes_of(1, true) - 1;
    const int64_t left = free_bytes;
    reset_options(2);
    free_bytes = left;
    DT_CHECK_INT(dt_auto_batch_check(&session, &options, 1000, true, true, &estimate, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "--batch 2: resnet18 at 224 pixels does not fit with any batch: ");
}

/* Of six ranks on three hosts, two share the memory of each. */
static void the_ranks_of_a_host_share_its_memory(void)
{
    dt_memory_estimate estimate = {0};
    session.comm->size = 6;
    session.comm->local_size = 2;
    for (int i = 0; i < 2; i++) {
        is_host = i == 0;
        reset_options(1);
        free_bytes = INT64_C(64) << 30;
        DT_CHECK_INT(dt_auto_batch_check(&session, &options, 1000, true, true, &estimate, &err), DT_OK);
        DT_CHECK_INT(estimate.free_bytes, free_bytes / (is_host ? 2 : 1));
    }
    session.comm->size = session.comm->local_size = 1;
}

/* The least free memory of which this much is left when a twentieth stays free. */
static int64_t with_margin(int64_t needed)
{
    int64_t bytes = needed + needed / 19;
    while (bytes - bytes / 20 < needed)
        bytes++;
    return bytes;
}

/* Gives this batch just enough memory, resolves --batch auto, and returns what it has become. */
static int64_t resolve_with(int64_t batch, bool training)
{
    const int64_t needed = bytes_of(batch, training);
    reset_options(0);
    free_bytes = with_margin(needed);
    captured_log_begin(DT_LOG_INFO);
    DT_CHECK_MSG(dt_auto_batch_resolve(&session, &options, training, training, &err) == DT_OK, "%s",
                 err.message);
    captured_log_end();
    return options.config.batch;
}

static void auto_is_resolved_and_logged_with_its_figures(void)
{
    char line[256];
    DT_CHECK_INT(resolve_with(48, true), 48);
    const double gib = DT_TO_GIB(free_bytes);
    snprintf(
        line, sizeof line,
        "--batch auto: 48 images per rank, with %.2f of %.2f GiB; a global batch of 48: check that --lr 0.1 "
        "suits it\n",
        gib, gib);
    DT_CHECK_STR(captured_log_text(), line);
    DT_CHECK_INT(resolve_with(63, true), 48); /* the candidates are 48 and 64 */
    DT_CHECK_INT(resolve_with(64, false), 64);
    snprintf(line, sizeof line, "--batch auto: 64 images per rank, with %.2f of %.2f GiB\n",
             DT_TO_GIB(free_bytes), DT_TO_GIB(free_bytes));
    DT_CHECK_STR(captured_log_text(), line);
    reset_options(7); /* a number stays */
    DT_CHECK_INT(dt_auto_batch_resolve(&session, &options, true, true, &err), DT_OK);
    DT_CHECK_INT(options.config.batch, 7);
}

/* A number that the user gives may use all of the memory; --batch auto leaves a twentieth of a GPU's. */
static void auto_leaves_a_margin_on_a_gpu(void)
{
    const int64_t needed = bytes_of(48, true);
    dt_memory_estimate estimate;
    reset_options(48);
    free_bytes = needed;
    DT_CHECK_INT(dt_auto_batch_check(&session, &options, 1000, true, true, &estimate, &err), DT_OK);
    for (int i = 0; i < 2; i++) {
        reset_options(0);
        free_bytes = with_margin(needed) - i;
        DT_CHECK_INT(dt_auto_batch_resolve(&session, &options, true, true, &err), DT_OK);
        DT_CHECK_INT(options.config.batch, i == 0 ? 48 : 32);
    }
}

static void the_global_batch_counts_micro_batches(void)
{
    const int64_t needed = bytes_of(16, true);
    reset_options(0);
    options.config.accumulate = 3;
    free_bytes = with_margin(needed);
    captured_log_begin(DT_LOG_INFO);
    DT_CHECK_INT(dt_auto_batch_resolve(&session, &options, true, true, &err), DT_OK);
    captured_log_end();
    DT_CHECK_INT(options.config.batch, 16);
    DT_CHECK_CONTAINS(captured_log_text(), "; a global batch of 48: ");
}

static void not_even_one_image_is_an_error(void)
{
    const int64_t needed = bytes_of(1, true);
    reset_options(0);
    free_bytes = with_margin(needed) - 1;
    DT_CHECK_INT(dt_auto_batch_resolve(&session, &options, true, true, &err), DT_ERR_MEMORY);
    DT_CHECK_STR(err.message,
                 "--batch auto: not enough memory for resnet18 at 224 pixels, even with one image");
}

/* 60,000 of ImageNet's images are no more than there are: memory decides. */
static void a_batch_of_an_evaluation_that_does_not_fit_is_refused(void)
{
    const int64_t needed = bytes_of(300, false);
    for (int64_t batch = 300; batch <= 60000; batch += 59700) {
        reset_options(batch);
        free_bytes = needed;
        captured_log_begin(DT_LOG_INFO);
        const dt_status status = dt_auto_batch_limit(&session, &options, false, &err);
        captured_log_end();
        DT_CHECK_INT(status, batch == 300 ? DT_OK : DT_ERR_USAGE);
        DT_CHECK_INT(options.config.batch, batch);
        DT_CHECK_INT(captured_log_lines(), 0);
    }
    DT_CHECK_CONTAINS(err.message, "--batch 60000 does not fit: resnet18 at 224 pixels would need ");
    DT_CHECK_CONTAINS(err.message, "the largest that fits is --batch 300");
}

/* Each of 20 ranks has at most 64,059 of 1,281,167 images, and some have that many. */
static void an_evaluation_has_a_batch_of_its_share_at_most(void)
{
    static const int64_t batches[] = {65536, 64060, 64059, 64058};
    session.comm->size = 20;
    for (int i = 0; i < 4; i++) {
        reset_options(batches[i]);
        free_bytes = 0; /* not known: everything fits */
        captured_log_begin(DT_LOG_INFO);
        DT_CHECK_INT(dt_auto_batch_limit(&session, &options, false, &err), DT_OK);
        captured_log_end();
        DT_CHECK_INT(options.config.batch, i < 3 ? 64059 : 64058);
        DT_CHECK_STR(captured_log_text(),
                     i >= 2 ? ""
                            : dt_test_path("--batch %lld is more than there is: each rank evaluates its "
                                           "64059 images in one batch\n",
                                           (long long)batches[i]));
    }
    session.comm->size = 1;
}

static const dt_test tests[] = {
    DT_TEST(the_largest_batch_that_fits_is_exact),
    DT_TEST(the_ranks_of_a_host_share_its_memory),
    DT_TEST(auto_is_resolved_and_logged_with_its_figures),
    DT_TEST(auto_leaves_a_margin_on_a_gpu),
    DT_TEST(the_global_batch_counts_micro_batches),
    DT_TEST(not_even_one_image_is_an_error),
    DT_TEST(a_batch_of_an_evaluation_that_does_not_fit_is_refused),
    DT_TEST(an_evaluation_has_a_batch_of_its_share_at_most),
};
DT_TEST_MAIN("launch/commands/auto_batch", tests)
