/* The time of a training on a measured machine, by hand. */
#include "launch/estimate/here.h"

#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static dt_error err;
static const dt_data_source source = {
    .id = "bench", .text = "dtrain bench", .date = "2026-11-30", .confidence = DT_CONFIDENCE_MEASURED};

#define KNOWN(v)                                                                                             \
    {                                                                                                        \
        .value = (v), .source = &source                                                                      \
    }
#define UNKNOWN                                                                                              \
    {                                                                                                        \
        .value = NAN                                                                                         \
    }

/* 200 images/s, 800 in evaluations; a checkpoint delays by half a second, the last takes one. */
static dt_measured_machine machine;
static dt_workload work;
static dt_config config;
static dt_here here;

static void set_up(void)
{
    machine = (dt_measured_machine){.name = "vm",
                                    .gpu = "CPU",
                                    .versions = "dtrain",
                                    .start_s = KNOWN(2),
                                    .usd_h = UNKNOWN,
                                    .arch = "resnet18",
                                    .precision = "fp32",
                                    .image_size = 32,
                                    .batch = 32,
                                    .n_ranks = 2,
                                    .train_images_s = KNOWN(200),
                                    .evaluate_images_s = KNOWN(800),
                                    .checkpoint_s = KNOWN(0.5),
                                    .last_checkpoint_s = KNOWN(1)};
    work = (dt_workload){.arch = "resnet18",
                         .precision = DT_F32,
                         .image_size = 32,
                         .batch = 32,
                         .accumulate = 1,
                         .epochs = 10,
                         .n_images = 1000,
                         .n_val_images = 400,
                         .n_evaluations = 10,
                         .images_of_run = 10000,
                         .val_images_of_run = 4000,
                         .sizes = {{.image_size = 32, .share = 1, .flops = 7e7}},
                         .n_sizes = 1};
    config = (dt_config){.image_size = 32, .mtti_h = 6};
}

static dt_status estimate(void)
{
    const dt_here_query query = {
        .machine = &machine, .work = &work, .config = &config, .measured_flops = 7e7, .evaluated_flops = 7e7};
    err.message[0] = '\0';
    return dt_here_estimate(&query, &here, &err);
}

/* 15 whole steps of 64 an epoch; an epoch ends with a checkpoint. */
static void the_parts_add_up(void)
{
    set_up();
    DT_REQUIRE_MSG(estimate() == DT_OK, "%s", err.message);
    DT_CHECK_INT(here.n_steps, 150);
    DT_CHECK_INT(here.n_checkpoints, 10);
    DT_CHECK_CLOSE(here.images_s, 200, 1e-9);
    DT_CHECK_CLOSE(here.train_s, 150 * 64 / 200.0, 1e-9);
    DT_CHECK_CLOSE(here.evaluate_s, 5.0, 1e-9);
    DT_CHECK_CLOSE(here.checkpoints_s, 9 * 0.5 + 1, 1e-9);
    DT_CHECK_CLOSE(here.total_s, 2 + 48 + 5 + 5.5, 1e-9);
    DT_CHECK(!here.is_scaled && !here.evaluates_by_guess);
    DT_CHECK_CLOSE(here.usd, 0, 0);
}

/* A step takes 0.32 s. */
static void a_stop_saves_and_a_kill_loses_half_an_interval(void)
{
    set_up();
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_CLOSE(here.stop_s, 0.32 + 1 + 2 + 1, 1e-9);
    DT_CHECK_CLOSE(here.kill_s, 15 * 0.32 / 2 + 2 + 1, 1e-9);
}

static void checkpoints_come_as_often_as_the_option_says(void)
{
    set_up();
    config.checkpoint_every = 50;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_INT(here.n_checkpoints, 3); /* after 50, 100, and the last, which is the 150th */
    config.checkpoint_every = 49;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_INT(here.n_checkpoints, 4);
    config.checkpoint_every = DT_CHECKPOINT_AUTO; /* Daly: about sqrt(2 x 0.5 s x 21600 s) = 147 s */
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_INT(here.n_checkpoints, 1);
}

static void another_network_is_scaled_by_operations(void)
{
    set_up();
    work.sizes[0].flops = 21e7;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK(here.is_scaled);
    DT_CHECK_CLOSE(here.train_s, 3 * 48, 1e-9);
    set_up(); /* half of the epochs at half of the operations */
    work.n_sizes = 2;
    work.sizes[0] = (dt_workload_size){.image_size = 24, .share = 0.5, .flops = 3.5e7};
    work.sizes[1] = (dt_workload_size){.image_size = 32, .share = 0.5, .flops = 7e7};
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_CLOSE(here.train_s, 0.75 * 48, 1e-9);
    DT_CHECK_CLOSE(here.evaluate_s, 5.0, 1e-9);
}

static void checkpoints_of_another_network_are_scaled_by_bytes(void)
{
    set_up();
    machine.checkpoint_mb = (dt_figure)KNOWN(90);
    work.checkpoint_bytes = 89e6; /* the same network, with fewer classes */
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_CLOSE(here.checkpoints_s, 9 * 0.5 + 1, 1e-9);
    snprintf(work.arch, sizeof work.arch, "resnet50");
    work.checkpoint_bytes = 180e6;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_CLOSE(here.checkpoints_s, 2 * (9 * 0.5 + 1), 1e-9);
    DT_CHECK_CLOSE(here.stop_s, 64.0 / 200 + 2 + 2 + 2, 1e-9);
}

static void what_was_not_measured_is_replaced(void)
{
    set_up();
    machine.evaluate_images_s = machine.checkpoint_s = (dt_figure)UNKNOWN;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK(here.evaluates_by_guess);
    DT_CHECK_CLOSE(here.evaluate_s, 4000 / 600.0, 1e-9);
    DT_CHECK_CLOSE(here.checkpoints_s, 10 * 1, 1e-9);
}

static void batch_auto_is_the_measured_batch(void)
{
    set_up();
    work.batch = 0;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_INT(here.batch, 32);
    work.batch = 64;
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_INT(here.n_steps, 70);
}

static void dollars_are_those_of_the_time(void)
{
    set_up();
    machine.usd_h = (dt_figure)KNOWN(3.6);
    DT_REQUIRE(estimate() == DT_OK);
    DT_CHECK_CLOSE(here.usd, 0.0605, 1e-9);
}

static void what_cannot_be_planned_is_refused(void)
{
    set_up();
    machine.arch = NULL;
    DT_CHECK_INT(estimate(), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "no training was measured on vm");
    set_up();
    work.precision = DT_F16;
    DT_CHECK_INT(estimate(), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "measured in fp32, and this training is in fp16");
    set_up();
    work.n_images = 63;
    DT_CHECK_INT(estimate(), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "63 images are fewer than one global batch of 64 (2 ranks)");
}

static const dt_test tests[] = {
    DT_TEST(the_parts_add_up),
    DT_TEST(a_stop_saves_and_a_kill_loses_half_an_interval),
    DT_TEST(checkpoints_come_as_often_as_the_option_says),
    DT_TEST(another_network_is_scaled_by_operations),
    DT_TEST(checkpoints_of_another_network_are_scaled_by_bytes),
    DT_TEST(what_was_not_measured_is_replaced),
    DT_TEST(batch_auto_is_the_measured_batch),
    DT_TEST(dollars_are_those_of_the_time),
    DT_TEST(what_cannot_be_planned_is_refused),
};
DT_TEST_MAIN("launch/estimate/here", tests)
