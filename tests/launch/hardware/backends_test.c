/* Which backend "auto" chooses, what it reports of a GPU, and what backends refuse. */
#include "config.h"

#include "launch/hardware/backends.h"

#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static dt_error err;

static dt_status create(const char *name, dt_dtype precision, dt_backend *backend)
{
    const dt_backend_options options = {.n_threads = 1, .local_size = 1, .precision = precision};
    err = (dt_error){0};
    return dt_backend_create(name, &options, backend, &err);
}

static void check_zeroed(const dt_backend *b)
{
    DT_CHECK(!b->device && !b->kernels && !b->library && !b->has_team);
    DT_CHECK_STR(b->why_no_gpu, "");
}

#ifdef DT_WITH_CPU
/* A build without CUDA needs no reason: it never uses a GPU. */
static void only_a_build_with_cuda_reports_why_no_gpu_is_used(void)
{
    dt_backend b;
    DT_REQUIRE_MSG(create("auto", DT_F32, &b) == DT_OK, "%s", err.message);
#    ifdef DT_WITH_CUDA
    const bool has_gpu = strcmp(b.kernels->ops->name, "cuda") == 0;
#    else
    const bool has_gpu = true; /* does not matter */
    DT_CHECK_STR(b.kernels->ops->name, "cpu");
#    endif
    DT_CHECK_MSG((b.why_no_gpu[0] == '\0') == has_gpu, "%s", b.why_no_gpu);
    dt_backend_destroy(&b);
    check_zeroed(&b);
    DT_REQUIRE_MSG(create("ref", DT_F32, &b) == DT_OK, "%s", err.message);
    DT_CHECK_STR(b.why_no_gpu, "");
    dt_backend_destroy(&b);
}
#endif

static void the_usual_precision_is_fp16_on_a_gpu_and_fp32_on_a_host(void)
{
    static const char *const hosts[] = {"ref", "cpu"};
    DT_CHECK_INT(dt_backend_usual_precision("cuda"), DT_F16);
    for (int i = 0; i < 2; i++) {
        dt_backend b;
        const dt_backend_options options = {
            .n_threads = 1, .local_size = 1, .precision = DT_BF16, .choose_precision = true};
        DT_CHECK_INT(dt_backend_usual_precision(hosts[i]), DT_F32);
        if (dt_backend_create(hosts[i], &options, &b, &err) == DT_OK)
            DT_CHECK_INT(b.kernels->dtype, DT_F32);
        dt_backend_destroy(&b);
    }
}

static void a_reduced_precision_is_part_of_what_computes(void)
{
    static const dt_dtype precisions[] = {DT_F32, DT_F16, DT_TF32};
    static const char *const names[] = {NULL, "fp16", "tf32"};
    for (int i = 0; i < 3; i++) {
        dt_backend b;
        dt_computed_by by = {0};
        DT_REQUIRE_MSG(create("ref", precisions[i], &b) == DT_OK, "%s", err.message);
        dt_backend_computed_by(&b, &by);
        const char *found = dt_computed_by_find(&by, "reduced precision");
        DT_CHECK_MSG(names[i] ? found && strcmp(found, names[i]) == 0 : !found, "%s", found);
        dt_backend_destroy(&b);
    }
}

/* Of all backends on the host only ref rounds as a GPU would. */
static void low_precisions_are_refused_on_the_cpu(void)
{
    static const dt_dtype low[] = {DT_F16, DT_BF16, DT_TF32};
    for (int i = 0; i < 3; i++) {
        dt_backend b;
        DT_REQUIRE_MSG(create("ref", low[i], &b) == DT_OK, "%s", err.message);
        DT_CHECK_INT(b.kernels->dtype, low[i]);
        dt_backend_destroy(&b);
        DT_CHECK_INT(create("cpu", low[i], &b), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, dt_test_path("--precision %s needs a GPU: --backend cpu computes in "
                                                    "fp32 alone",
                                                    dt_dtype_name(low[i])));
        check_zeroed(&b);
    }
}

static void unknown_names_and_missing_backends_are_refused(void)
{
    dt_backend b;
    DT_CHECK_INT(create("gpu", DT_F32, &b), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, "--backend: there is no 'gpu'");
    check_zeroed(&b);
#ifndef DT_WITH_CUDA
    DT_CHECK_INT(create("cuda", DT_F32, &b), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "--backend cuda: this build has no cuda backend: ");
    check_zeroed(&b);
#endif
}

/* Its device stays the backend's. */
static void a_planner_is_of_the_same_kind_and_borrows_the_device(void)
{
    static const dt_dtype precisions[] = {DT_F32, DT_BF16};
    for (int i = 0; i < 2; i++) {
        const dt_backend_options options = {.n_threads = 1, .local_size = 1, .precision = precisions[i]};
        dt_backend b, planner;
        DT_REQUIRE_MSG(dt_backend_create("ref", &options, &b, &err) == DT_OK, "%s", err.message);
        for (int k = 0; k < 2; k++) {
            DT_REQUIRE_MSG(dt_backend_create_planner(&b, &options, &planner, &err) == DT_OK, "%s",
                           err.message);
            DT_CHECK(planner.device == b.device && planner.device_is_borrowed);
            DT_CHECK(planner.kernels != b.kernels);
            DT_CHECK_STR(planner.kernels->ops->name, "ref");
            DT_CHECK_INT(planner.kernels->dtype, precisions[i]);
            dt_backend_destroy(&planner);
        }
        dt_backend_destroy(&b);
    }
}

static const dt_test tests[] = {
#ifdef DT_WITH_CPU
    DT_TEST(only_a_build_with_cuda_reports_why_no_gpu_is_used),
#endif
    DT_TEST(the_usual_precision_is_fp16_on_a_gpu_and_fp32_on_a_host),
    DT_TEST(a_reduced_precision_is_part_of_what_computes),
    DT_TEST(low_precisions_are_refused_on_the_cpu),
    DT_TEST(unknown_names_and_missing_backends_are_refused),
    DT_TEST(a_planner_is_of_the_same_kind_and_borrows_the_device),
};
DT_TEST_MAIN("launch/hardware/backends", tests)
