/* Environment variables of libraries: which are listed, refused, and part of a checkpoint. */
#include "launch/hardware/settings.h"

#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static const char *const used[] = {"DNNL_MAX_CPU_ISA",     "NCCL_ALGO",         "NCCL_DEBUG",
                                   "CUDNN_CONV_WSCAP_DBG", "CUDNN_LOGINFO_DBG", "HDF5_VOL_CONNECTOR",
                                   "NVIDIA_TF32_OVERRIDE", "GLIBC_TUNABLES",    "ONEDNN_CPU_ISA_HINTS",
                                   "OMP_THREAD_LIMIT",     "OMP_DYNAMIC"};

static void unset_all(void)
{
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        unsetenv(used[i]);
}

static void what_changes_results_is_listed_in_order(void)
{
    dt_settings s;
    unset_all();
    setenv("NCCL_ALGO", "Ring", 1);
    setenv("NCCL_DEBUG", "INFO", 1);
    setenv("DNNL_MAX_CPU_ISA", "AVX2", 1);
    setenv("CUDNN_CONV_WSCAP_DBG", "1", 1);
    setenv("CUDNN_LOGINFO_DBG", "1", 1);
    setenv("GLIBC_TUNABLES", "", 1);
    dt_settings_read(&s);
    DT_CHECK_INT(s.n, 3);
    DT_CHECK_STR(s.found[0].name, "CUDNN_CONV_WSCAP_DBG");
    DT_CHECK_STR(s.found[1].name, "DNNL_MAX_CPU_ISA");
    DT_CHECK_STR(s.found[1].value, "AVX2");
    DT_CHECK_STR(s.found[2].name, "NCCL_ALGO");
    DT_CHECK_CONTAINS(dt_settings_effect("NCCL_ALGO"), "results");
    DT_CHECK_CONTAINS(dt_settings_effect("NCCL_NVLS_ENABLE"), "results");
    DT_CHECK_STR(dt_settings_effect("NCCL_COMM_BLOCKING"), "nothing");
    unset_all();
    dt_settings_read(&s);
    DT_CHECK_INT(s.n, 0);
}

static void what_breaks_results_is_refused(void)
{
    dt_error err = {0};
    unset_all();
    DT_CHECK_INT(dt_settings_check("cuda", DT_F32, &err), DT_OK);
    setenv("NVIDIA_TF32_OVERRIDE", "1", 1);
    DT_CHECK_INT(dt_settings_check("cpu", DT_F32, &err), DT_OK);
    DT_CHECK_INT(dt_settings_check("cuda", DT_F16, &err), DT_OK);
    DT_CHECK_INT(dt_settings_check("cuda", DT_F32, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "NVIDIA_TF32_OVERRIDE is '1'");
    unset_all();
    setenv("HDF5_VOL_CONNECTOR", "native", 1);
    DT_CHECK_INT(dt_settings_check("cpu", DT_F32, &err), DT_OK);
    setenv("HDF5_VOL_CONNECTOR", "daos", 1);
    DT_CHECK_INT(dt_settings_check("cpu", DT_F32, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "'daos'");
    unset_all();
}

static void a_checkpoint_names_the_settings_of_the_libraries_that_are_used(void)
{
    dt_computed_by c = {0};
    unset_all();
    dt_settings_computed_by("cpu", "self", &c);
    DT_CHECK_INT(c.n, 0);
    setenv("NCCL_ALGO", "Ring", 1);
    setenv("DNNL_MAX_CPU_ISA", "AVX2", 1); /* "isa" shows it */
    setenv("ONEDNN_CPU_ISA_HINTS", "PREFER_YMM", 1);
    dt_settings_computed_by("cpu", "self", &c);
    DT_CHECK_STR(dt_computed_by_find(&c, "environment"), "ONEDNN_CPU_ISA_HINTS=PREFER_YMM");
    memset(&c, 0, sizeof c);
    dt_settings_computed_by("cuda", "nccl", &c);
    DT_CHECK_STR(dt_computed_by_find(&c, "environment"), "NCCL_ALGO=Ring");
    unset_all();
}

static void variables_of_threads_are_named_with_their_values(void)
{
    char text[256];
    unset_all();
    setenv("OMP_DYNAMIC", "true", 1);
    setenv("OMP_THREAD_LIMIT", "1", 1);
    dt_settings_of_threads(text, sizeof text);
    DT_CHECK_CONTAINS(text, "OMP_THREAD_LIMIT=1, OMP_DYNAMIC=true");
    unset_all();
}

static const dt_test tests[] = {
    DT_TEST(what_changes_results_is_listed_in_order),
    DT_TEST(what_breaks_results_is_refused),
    DT_TEST(a_checkpoint_names_the_settings_of_the_libraries_that_are_used),
    DT_TEST(variables_of_threads_are_named_with_their_values),
};
DT_TEST_MAIN("launch/settings", tests)
