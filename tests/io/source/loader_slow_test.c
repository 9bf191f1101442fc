/* The loader, and disks that do not answer. */
#include "io/source/loader.h"

#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/waits.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/source/loader_kit.h"
#include "tests/testing.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_error error;

static void a_fifo_in_place_of_a_file_is_a_broken_file(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    dt_source *source = loader_kit_open(&options);
    dt_batch *batch = NULL;
    for (int id = 0; id < KIT_SAMPLES; id += 7)
        DT_REQUIRE(unlink(loader_kit_sample_path("train", id)) == 0 &&
                   mkfifo(loader_kit_sample_path("train", id), 0666) == 0);
    captured_log_begin(DT_LOG_DEBUG);
    DT_REQUIRE(source->ops->start(source, 0, 0, KIT_SAMPLES / options.batch, &error) == DT_OK);
    for (int i = 0; i < KIT_SAMPLES / options.batch; i++) {
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        source->ops->release(source, batch);
    }
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "it is a FIFO; dtrain opens regular files only");
    source->ops->destroy(source);
}

static const char *ask(void *context)
{
    return context;
}

/* A stuck thread still uses this source after the test has destroyed it, so its memory is never freed. The
 * pointer keeps that memory reachable: LeakSanitizer then reports no leak. */
static dt_source *volatile stuck_source;

/* The thread sleeps in place of a system call that does not return. */
static void a_read_that_hangs_ends_on_a_request_to_stop_and_its_thread_is_left_behind(void)
{
    char reason[] = "SIGTEST";
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.workers = 1;
    dt_source *source = loader_kit_open(&options);
    dt_batch *batch = NULL;
    stuck_source = source;
    DT_REQUIRE(dt_fault_arm("loader.read:6:sleep=100000", 0, &error) == DT_OK);
    DT_REQUIRE(source->ops->start(source, 0, 0, 3, &error) == DT_OK);
    DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
    source->ops->release(source, batch);
    dt_waits_set_stop(ask, reason);
    const double start = dt_clock_s();
    DT_CHECK_INT(source->ops->next(source, &batch, &error), DT_ERR_INTERRUPTED);
    DT_CHECK(dt_clock_s() - start < 15.0);
    DT_CHECK_CONTAINS(error.message, "stopped on SIGTEST while ");
    DT_CHECK_CONTAINS(error.message, ".jpg had not come for ");
    DT_CHECK(!dt_waits_has_left_threads());
    source->ops->destroy(source); /* does not wait */
    DT_CHECK(dt_clock_s() - start < 20.0);
    DT_CHECK(dt_waits_has_left_threads());
    dt_waits_set_stop(NULL, NULL);
}

static void a_listing_ends_on_a_request_to_stop(void)
{
    char reason[] = "SIGTEST";
    dt_source *source = NULL;
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    dt_waits_set_stop(ask, reason);
    DT_CHECK_INT(dt_loader_create(&options, &source, &error), DT_ERR_INTERRUPTED);
    DT_CHECK_CONTAINS(error.message, "stopped on SIGTEST before the first step, while listing the images");
    dt_waits_set_stop(NULL, NULL);
}

static const dt_test tests[] = {
    DT_TEST(a_fifo_in_place_of_a_file_is_a_broken_file),
    DT_TEST(a_listing_ends_on_a_request_to_stop),
    DT_TEST(a_read_that_hangs_ends_on_a_request_to_stop_and_its_thread_is_left_behind),
};
DT_TEST_MAIN("io/loader_slow", tests)
