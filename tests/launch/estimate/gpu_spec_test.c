/* Descriptions of GPUs: the built-in ones, and files. */
#include "launch/estimate/gpu_spec.h"

#include "launch/estimate/offline_device.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error err;

static void the_figures_of_a_built_in_gpu_are_those_of_its_data_sheet(void)
{
    dt_gpu_spec gpu;
    DT_REQUIRE_MSG(dt_gpu_spec_load("h200", &gpu, &err) == DT_OK, "%s", err.message);
    DT_CHECK_STR(gpu.name, "h200");
    DT_CHECK_STR(gpu.model, "NVIDIA H200");
    DT_CHECK_INT(gpu.sm, 90);
    DT_CHECK_INT(gpu.memory_bytes, INT64_C(150754820096));
    DT_CHECK_CLOSE(gpu.bandwidth_bytes_per_s, 4.8e12, 0);
    DT_CHECK_CLOSE(gpu.flops[DT_F32], 67e12, 0);
    DT_CHECK_CLOSE(gpu.flops[DT_F16], 989e12, 0);
    DT_CHECK_CLOSE(gpu.flops[DT_BF16], 989e12, 0);
    DT_CHECK_CLOSE(gpu.flops[DT_TF32], 494e12, 0);
    dt_device *device = NULL;
    dt_device_info info;
    DT_REQUIRE(dt_offline_device_create(&gpu, DT_TF32, &device, &err) == DT_OK);
    device->ops->info(device, &info);
    DT_CHECK_CLOSE(info.compute_flops, 494e12, 0);
    DT_CHECK_CLOSE(info.bandwidth_bytes_per_s, 4.8e12, 0);
    DT_CHECK(info.memory_bytes == gpu.memory_bytes && device->ops->memory_free(device) == gpu.memory_bytes);
    DT_CHECK_STR(info.name, "NVIDIA H200");
    DT_CHECK(!info.is_host);
    device->ops->destroy(device);
    dt_gpu_spec_free(&gpu);
    DT_REQUIRE(dt_gpu_spec_load("t4", &gpu, &err) == DT_OK);
    DT_CHECK_INT(gpu.sm, 75);
    DT_CHECK_CLOSE(gpu.flops[DT_TF32], 0, 0); /* it has none */
    DT_CHECK_CLOSE(gpu.flops[DT_BF16], 0, 0);
    dt_gpu_spec_free(&gpu);
}

static void every_built_in_gpu_can_be_loaded(void)
{
    int n = 0;
    for (const char *const *name = dt_gpu_spec_names(); *name; name++, n++) {
        dt_gpu_spec gpu;
        DT_REQUIRE_MSG(dt_gpu_spec_load(*name, &gpu, &err) == DT_OK, "%s", err.message);
        DT_CHECK_STR(gpu.name, *name);
        DT_CHECK(gpu.memory_bytes > INT64_C(10) << 30 && gpu.flops[DT_F32] > 1e12 &&
                 gpu.bandwidth_bytes_per_s > 1e11);
        dt_gpu_spec_free(&gpu);
    }
    DT_CHECK_INT(n, 7);
    dt_gpu_spec gpu;
    DT_CHECK_INT(dt_gpu_spec_load("h20", &gpu, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "--device: there is no 'h20'; did you mean 'h200'?; built in are ");
}

#define GOOD(sm, flops)                                                                                      \
    "{\"name\": \"x\", \"description\": \"d\", \"memory_bandwidth_bytes_per_s\": 1e12, \"flops\": {" flops   \
    "}, "                                                                                                    \
    "\"cudnn\": {\"deviceName\": \"N\", \"deviceVer\": " sm ", \"totalGlobalMem\": 8000000000}}"

static dt_status load(const char *text, size_t n, dt_gpu_spec *gpu)
{
    const char *path = dt_test_path("%s/gpu.json", dt_test_temp_dir());
    dt_test_write_file(path, text, n);
    err = (dt_error){0};
    return dt_gpu_spec_load(path, gpu, &err);
}

static void a_file_is_read_and_its_mistakes_are_named(void)
{
    static const char good[] = GOOD("890", "\"fp32\": 5e12");
    dt_gpu_spec gpu = {0};
    DT_REQUIRE_MSG(load(good, strlen(good), &gpu) == DT_OK, "%s", err.message);
    DT_CHECK(gpu.sm == 89 && gpu.memory_bytes == INT64_C(8000000000) && gpu.flops[DT_F32] == 5e12);
    dt_gpu_spec_free(&gpu);
    static const struct {
        const char *text, *message;
    } bad[] = {{GOOD("0", "\"fp32\": 5e12"), "\"deviceVer\" is missing, or not a number above 0"},
               {GOOD("890", "\"fp32\": -1"), "\"fp32\" is missing, or not a number above 0"},
               {"{}", "there is no object \"cudnn\" in it"},
               {"{\"cudnn\": {}}", "there is no object \"flops\" in it"},
               {"{\"cudnn\": {}, \"flops\": {}, \"name\": \"\"}",
                "\"name\" is missing, or not a text of 1 to 63 bytes"},
               {"{\n\n  x", "line 3: "},
               {"", "line 1: "}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        DT_CHECK_INT(load(bad[i].text, strlen(bad[i].text), &gpu), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, bad[i].message);
    }
}

static void texts_may_fill_their_fields(void)
{
    static const int longest[] = {63, 127, 95}; /* name, description, the model */
    for (int i = 0; i < 3; i++)
        for (int more = 0; more < 2; more++) {
            char texts[3][130] = {"x", "d", "N"}, file[1024];
            dt_gpu_spec gpu = {0};
            memset(texts[i], 'a', (size_t)(longest[i] + more));
            texts[i][longest[i] + more] = '\0';
            const int n = snprintf(file, sizeof file,
                                   "{\"name\": \"%s\", \"description\": \"%s\", "
                                   "\"memory_bandwidth_bytes_per_s\": 1, \"flops\": {}, \"cudnn\": "
                                   "{\"deviceName\": \"%s\", \"deviceVer\": 90, \"totalGlobalMem\": 1}}",
                                   texts[0], texts[1], texts[2]);
            DT_CHECK_INT(load(file, (size_t)n, &gpu), more ? DT_ERR_USAGE : DT_OK);
            if (more)
                DT_CHECK_CONTAINS(err.message, dt_test_path("not a text of 1 to %d bytes", longest[i]));
            else
                DT_CHECK(strcmp(gpu.name, texts[0]) == 0 && strcmp(gpu.description, texts[1]) == 0 &&
                         strcmp(gpu.model, texts[2]) == 0);
            dt_gpu_spec_free(&gpu);
        }
}

/* Blanks after the object make it as long as wanted. */
static void a_file_of_64_kib_is_too_large(void)
{
    enum { LARGEST = 64 << 10 };
    static const char good[] = GOOD("890", "\"fp32\": 5e12");
    char *text = malloc(LARGEST);
    DT_REQUIRE(text != NULL);
    memset(text, ' ', LARGEST);
    memcpy(text, good, strlen(good));
    dt_gpu_spec gpu = {0};
    DT_CHECK_MSG(load(text, LARGEST - 1, &gpu) == DT_OK, "%s", err.message);
    dt_gpu_spec_free(&gpu);
    DT_CHECK_INT(load(text, LARGEST, &gpu), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "too large for the description of a GPU");
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(the_figures_of_a_built_in_gpu_are_those_of_its_data_sheet),
    DT_TEST(every_built_in_gpu_can_be_loaded),
    DT_TEST(a_file_is_read_and_its_mistakes_are_named),
    DT_TEST(texts_may_fill_their_fields),
    DT_TEST(a_file_of_64_kib_is_too_large),
};
DT_TEST_MAIN("launch/estimate/gpu_spec", tests)
