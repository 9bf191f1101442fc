/* Where the data of a training is copied to, if the user has not said it. */
#include "launch/commands/stage_data.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[DT_PATH_BYTES], other[DT_PATH_BYTES];
static dt_error err;

/* The variable is also what the harness makes its folders in. */
static const char *begin(void)
{
    static char before[4096];
    static bool is_known;
    if (!is_known)
        snprintf(before, sizeof before, "%s", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    is_known = true;
    setenv("TMPDIR", before, 1);
    return dt_test_temp_dir();
}

static void the_folder_is_named_after_the_source(void)
{
    const char *base = begin();
    setenv("TMPDIR", base, 1);
    DT_REQUIRE(dt_stage_choose_folder("s3://bucket/a/imagenet/", NULL, folder, &err) == DT_OK);
    DT_CHECK(strncmp(folder, base, strlen(base)) == 0);
    DT_CHECK_CONTAINS(folder, "/dtrain-data-");
    DT_CHECK_CONTAINS(folder, "/bucket-a-imagenet-");
    DT_REQUIRE(dt_stage_choose_folder("s3://bucket/a/imagenet", NULL, other, &err) == DT_OK);
    DT_CHECK_STR(other, folder);
    DT_REQUIRE(dt_stage_choose_folder("s3://bucket-a/imagenet", NULL, other, &err) == DT_OK);
    DT_CHECK(strcmp(other, folder) != 0); /* the same letters, another source */
    DT_REQUIRE(dt_stage_choose_folder("s3://../..//x y\n", NULL, other, &err) == DT_OK);
    DT_CHECK(strchr(other, '\n') == NULL);
    DT_CHECK(strstr(other, "/../") == NULL);
}

static void the_first_base_that_can_be_written_counts(void)
{
    const char *base = begin(), *first = dt_test_path("%s/first", base);
    const char *second = dt_test_path("%s/second", base);
    const char *const bases[] = {first, second, NULL};
    setenv("TMPDIR", "/nonexistent/tmp", 1);
    DT_CHECK_INT(dt_stage_choose_folder("s3://b", bases, folder, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "--stage-dir");
    mkdir(second, 0777);
    DT_REQUIRE(dt_stage_choose_folder("s3://b", bases, folder, &err) == DT_OK);
    DT_CHECK(strncmp(folder, second, strlen(second)) == 0);
    mkdir(first, 0777);
    DT_REQUIRE(dt_stage_choose_folder("s3://b", bases, folder, &err) == DT_OK);
    DT_CHECK(strncmp(folder, first, strlen(first)) == 0);
    unsetenv("TMPDIR");
    DT_REQUIRE(dt_stage_choose_folder("s3://b", bases, other, &err) == DT_OK);
    DT_CHECK_STR(other, folder);
}

/* Another user could have put a link there. */
static void a_link_in_the_place_of_the_folder_is_refused(void)
{
    const char *base = begin();
    setenv("TMPDIR", base, 1);
    DT_REQUIRE(dt_stage_choose_folder("s3://b", NULL, folder, &err) == DT_OK);
    *strrchr(folder, '/') = '\0';
    DT_REQUIRE(symlink("/", folder) == 0);
    DT_CHECK_INT(dt_stage_choose_folder("s3://b", NULL, other, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "is not a folder of this user's");
}

static const dt_test tests[] = {
    DT_TEST(the_folder_is_named_after_the_source),
    DT_TEST(the_first_base_that_can_be_written_counts),
    DT_TEST(a_link_in_the_place_of_the_folder_is_refused),
};
DT_TEST_MAIN("launch/commands/stage_data", tests)
