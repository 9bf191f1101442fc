/* The settings of NCCL: which dtrain reads, in which order, and the one that it makes. */
#include "comm/nccl/environment.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void dump(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    DT_REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void begin(void)
{
    unsetenv("NCCL_NVLS_ENABLE");
    unsetenv("NCCL_COMM_BLOCKING");
    unsetenv("NCCL_CONF_FILE");
    setenv("HOME", "home", 1);
    (void)mkdir("home", 0777);
    (void)unlink("home/.nccl.conf");
}

static void nvls_is_off_unless_the_user_has_set_it(void)
{
    static const struct {
        const char *value;
        bool may_be_used;
    } cases[] = {{NULL, false}, {"", false}, {"0", false}, {"1", true}, {"2", true}, {"on", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_nccl_environment settings;
        const char *value = cases[i].value;
        begin();
        if (value)
            setenv("NCCL_NVLS_ENABLE", value, 1);
        dt_nccl_environment_prepare(&settings);
        DT_CHECK_INT(settings.nvls_may_be_used, cases[i].may_be_used);
        DT_CHECK_STR(settings.nvls, value && value[0] ? value : "0");
        DT_CHECK_STR(getenv("NCCL_NVLS_ENABLE"), value && value[0] ? value : "0");
    }
}

/* NCCL prefers the environment; what dtrain sets there would override the user's file. */
static void a_file_of_nccl_counts_as_set(void)
{
    static const char *const names[] = {"home/.nccl.conf", "own.conf"};
    for (int i = 0; i < 2; i++) {
        dt_nccl_environment settings;
        begin();
        dump(names[i], "# NVLS\nNCCL_NVLS_ENABLE_NOT=0\nNCCL_NVLS_ENABLE=1\nNCCL_COMM_BLOCKING=1\n");
        if (i == 1)
            setenv("NCCL_CONF_FILE", "own.conf", 1);
        dt_nccl_environment_prepare(&settings);
        DT_CHECK(settings.nvls_may_be_used && settings.blocking);
        DT_CHECK(getenv("NCCL_NVLS_ENABLE") == NULL);
        setenv("NCCL_NVLS_ENABLE", "0", 1);
        dt_nccl_environment_prepare(&settings);
        DT_CHECK(!settings.nvls_may_be_used);
    }
    dump("home/.nccl.conf", "NCCL_NVLS_ENABLE=1\n"); /* not read where NCCL_CONF_FILE names another */
    dump("own.conf", "NCCL_DEBUG=WARN\n");
    dt_nccl_environment settings;
    char value[8];
    unsetenv("NCCL_NVLS_ENABLE");
    DT_CHECK(!dt_nccl_setting("NCCL_NVLS_ENABLE", value, sizeof value));
    DT_CHECK(dt_nccl_files_set("NCCL_DEBUG"));
    DT_CHECK(!dt_nccl_files_set("NCCL_IB"));
    dt_nccl_environment_prepare(&settings);
    DT_CHECK(!settings.nvls_may_be_used);
    unlink("own.conf");
    begin();
}

static void a_blocking_communicator_is_chosen_by_nccls_own_setting(void)
{
    static const struct {
        const char *value;
        bool blocking;
    } cases[] = {{NULL, false}, {"0", false}, {"1", true}, {"2", false}, {"yes", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_nccl_environment settings;
        begin();
        if (cases[i].value)
            setenv("NCCL_COMM_BLOCKING", cases[i].value, 1);
        dt_nccl_environment_prepare(&settings);
        DT_CHECK_INT(settings.blocking, cases[i].blocking);
    }
}

static const dt_test tests[] = {
    DT_TEST(nvls_is_off_unless_the_user_has_set_it),
    DT_TEST(a_file_of_nccl_counts_as_set),
    DT_TEST(a_blocking_communicator_is_chosen_by_nccls_own_setting),
};

DT_TEST_MAIN("comm/nccl_environment", tests)
