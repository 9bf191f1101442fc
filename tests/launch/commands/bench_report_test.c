/* The file that `dtrain bench` writes, as the catalog reads it. */
#include "launch/commands/bench_report.h"

#include "comm/self.h"
#include "launch/estimate/catalog.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error err;
static dt_options options;
static dt_session session;
static const dt_bench_parts parts = {.session = &session, .options = &options};

void dt_test_set_up(void)
{
    const dt_backend_options backend = {.n_threads = 1, .local_size = 1};
    dt_options_set_defaults(&options, DT_COMMAND_BENCH);
    options.config.image_size = 64;
    options.config.batch = 16;
    if (dt_comm_self_create(&session.comm, &err) != DT_OK ||
        dt_backend_create("ref", &backend, &session.backend, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(99);
    }
    session.device = session.backend.device;
    session.kernels = session.backend.kernels;
    session.affinity.n_cores = 3;
    session.comm->size = session.comm->local_size = 2; /* as on a machine with two ranks */
}

void dt_test_tear_down(void)
{
    dt_backend_destroy(&session.backend);
    session.comm->ops->destroy(session.comm);
}

static void gpus_have_the_names_of_the_rates(void)
{
    static const struct {
        const char *cuda;
        int64_t gib;
        const char *name;
    } rows[] = {
        {"NVIDIA A100-SXM4-40GB", 39, "A100-40GB"},
        {"NVIDIA A100-SXM4-80GB", 79, "A100-80GB"},
        {"NVIDIA A100 80GB PCIe", 79, "A100-80GB"},
        {"NVIDIA A10G", 22, "A10G"},
        {"NVIDIA A10", 22, "NVIDIA A10"},
        {"NVIDIA L4", 22, "L4"},
        {"NVIDIA L40S", 44, "L40S"},
        {"NVIDIA L40", 44, "NVIDIA L40"},
        {"Tesla T4", 14, "T4"},
        {"Tesla V100-SXM2-16GB", 15, "V100"},
        {"NVIDIA H100 80GB HBM3", 79, "H100"},
        {"NVIDIA H200", 140, "H200"},
        {"NVIDIA B200", 178, "B200"},
        {"NVIDIA GeForce RTX 4090", 23, "NVIDIA GeForce RTX 4090"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64];
        dt_bench_report_gpu_name(rows[i].cuda, rows[i].gib * 1073741824, name, sizeof name);
        DT_CHECK_STR(name, rows[i].name);
    }
}

static dt_catalog *write_and_load(const dt_bench_figures *figures)
{
    dt_catalog *catalog = NULL;
    const char *path = dt_test_path("%s/rates.json", dt_test_temp_dir());
    DT_REQUIRE_MSG(dt_bench_report_write(&parts, figures, path, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_catalog_load(NULL, NULL, path, &catalog, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(catalog->machine != NULL);
    return catalog;
}

static void check_source(const dt_data_source *source)
{
    char today[11];
    dt_catalog_today(today);
    DT_REQUIRE(source != NULL);
    DT_CHECK_INT(source->confidence, DT_CONFIDENCE_MEASURED);
    DT_CHECK_CONTAINS(source->text, "dtrain bench on ");
    DT_CHECK_STR(source->date, today);
}

static void all_figures_come_through_the_catalog(void)
{
    const dt_bench_figures figures = {.start_s = 1.5,
                                      .step_images_s = 200,
                                      .loader_core_images_s = 700,
                                      .loader_images_s = 2000,
                                      .train_images_s = 180,
                                      .evaluate_images_s = 500,
                                      .checkpoint_s = 0.25,
                                      .last_checkpoint_s = 0.5,
                                      .checkpoint_bytes = 94e6,
                                      .disk_bytes_s = 300e6,
                                      .download_bytes_s = 20e6};
    dt_catalog *catalog = write_and_load(&figures);
    const dt_measured_machine *m = catalog->machine;
    DT_CHECK_STR(m->name, session.comm->host);
    DT_CHECK_STR(m->gpu, "CPU");
    DT_CHECK_INT(m->n_gpus, 0);
    DT_CHECK_CONTAINS(m->versions, "dtrain ");
    DT_CHECK_CONTAINS(m->versions, "backend ref");
    DT_CHECK_STR(m->arch, "resnet50");
    DT_CHECK_STR(m->precision, "fp32");
    DT_CHECK(m->image_size == 64 && m->batch == 16 && m->n_ranks == 2);
    DT_CHECK_CLOSE(m->cores.value, 6, 0);
    DT_CHECK_CLOSE(m->start_s.value, 1.5, 1e-9);
    DT_CHECK_CLOSE(m->decode_images_s_core.value, 700, 1e-9);
    DT_CHECK_CLOSE(m->decode_images_s.value, 2000, 1e-9);
    DT_CHECK_CLOSE(m->train_images_s.value, 180, 1e-9);
    DT_CHECK_CLOSE(m->evaluate_images_s.value, 500, 1e-9);
    DT_CHECK_CLOSE(m->checkpoint_s.value, 0.25, 1e-9);
    DT_CHECK_CLOSE(m->last_checkpoint_s.value, 0.5, 1e-9);
    DT_CHECK_CLOSE(m->checkpoint_mb.value, 94, 1e-9);
    DT_CHECK_CLOSE(m->checkpoint_write_mb_s.value, 188, 1e-9);
    DT_CHECK_CLOSE(m->disk_read_mb_s.value, 300, 1e-9);
    DT_CHECK_CLOSE(m->download_mb_s.value, 20, 1e-9);
    check_source(m->train_images_s.source);
    const dt_rate *rate = dt_catalog_find_rate(catalog, "CPU", "resnet50", "fp32", 64, 2);
    DT_REQUIRE(rate != NULL);
    DT_CHECK_CLOSE(rate->images_s, 100, 1e-9);
    DT_CHECK_INT(rate->n_gpus, 2);
    DT_CHECK(rate->is_users);
    check_source(rate->source);
    dt_catalog_free(catalog);
}

static void what_was_not_measured_is_left_out(void)
{
    dt_bench_figures figures;
    dt_bench_figures_init(&figures);
    figures.step_images_s = 10;
    figures.start_s = 1;
    dt_catalog *catalog = write_and_load(&figures);
    const dt_measured_machine *m = catalog->machine;
    DT_CHECK(dt_figure_is_known(m->start_s) && !dt_figure_is_known(m->download_mb_s) &&
             !dt_figure_is_known(m->evaluate_images_s) && !dt_figure_is_known(m->checkpoint_s) &&
             !dt_figure_is_known(m->checkpoint_write_mb_s) && !dt_figure_is_known(m->gpu_memory_gib));
    dt_catalog_free(catalog);
}

static void the_table_shows_how_much_the_speed_varies(void)
{
    char text[4096] = "";
    dt_bench_figures figures;
    dt_bench_figures_init(&figures);
    figures.train_images_s = 180;
    figures.slowest_train_images_s = 99.5;
    figures.fastest_train_images_s = 190;
    FILE *stream = fmemopen(text, sizeof text, "w");
    DT_REQUIRE(stream != NULL);
    DT_CHECK(dt_bench_report_print(&parts, &figures, stream, &err) == DT_OK);
    fclose(stream);
    DT_CHECK_CONTAINS(text, "180 images/s: steps on images");
    DT_CHECK_CONTAINS(text, "99.5 to 190 images/s: how much");
}

static const dt_test tests[] = {
    DT_TEST(gpus_have_the_names_of_the_rates),
    DT_TEST(all_figures_come_through_the_catalog),
    DT_TEST(what_was_not_measured_is_left_out),
    DT_TEST(the_table_shows_how_much_the_speed_varies),
};
DT_TEST_MAIN("launch/commands/bench_report", tests)
