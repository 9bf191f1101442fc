/* The built-in digits as a data folder. */
#define _GNU_SOURCE /* memmem */
#include "io/source/demo.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "io/source/folder.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/io/source/resize_exact.h"
#include "tests/testing.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static dt_error error;

static const char *demo_dir(void)
{
    return dt_test_path("%s/data/demo", dt_test_temp_dir());
}

static void check_counts(void)
{
    static const int64_t expected[2] = {1437, 360};
    for (int split = 0; split < 2; split++) {
        dt_folder *folder = NULL;
        dt_status status = dt_folder_open(demo_dir(), split ? "val" : "train", NULL, &folder, &error);
        DT_REQUIRE_MSG(status == DT_OK, "%s", error.message);
        DT_CHECK_INT(dt_folder_n_samples(folder), expected[split]);
        DT_CHECK_INT(dt_folder_n_classes(folder), 10);
        DT_CHECK_STR(dt_folder_class_name(folder, 7), "7");
        dt_folder_close(folder);
    }
}

/* Entries of a folder, hidden ones too. */
static int n_entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n - 2;
}

static void another_folder_is_not_touched(void)
{
    const char *root = dt_test_temp_dir();
    dt_test_write_file(dt_test_path("%s/mine", root), "x", 1);
    DT_CHECK_INT(dt_demo_data_write(root, &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "is not the complete demo data: remove it or name another folder");
    DT_CHECK_INT(dt_demo_data_write(dt_test_path("%s/mine", root), &error), DT_ERR_USAGE);
    DT_CHECK_INT(dt_demo_data_write("", &error), DT_ERR_USAGE);
    DT_CHECK_INT(dt_demo_data_write("//", &error), DT_ERR_USAGE);
    DT_CHECK_INT(n_entries(root), 1);
}

static void several_processes_may_write_at_the_same_time(void)
{
    const char *dir = demo_dir(); /* made here, not in each child */
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(dt_demo_data_write(dir, NULL) == DT_OK ? 0 : 1);
    }
    for (int i = 0; i < 2; i++) {
        int status = 0;
        DT_CHECK(waitpid(children[i], &status, 0) == children[i]);
        DT_CHECK_INT(status, 0);
    }
    check_counts();
    DT_CHECK_INT(n_entries(dt_test_path("%s/data", dt_test_temp_dir())), 1);
}

static void a_failure_leaves_no_files(void)
{
    int64_t before = dt_alloc_live_blocks();
    DT_REQUIRE(dt_fault_arm("demo.write:20", 0, &error) == DT_OK);
    DT_CHECK_INT(dt_demo_data_write(demo_dir(), &error), DT_ERR_IO);
    DT_CHECK_CONTAINS(error.message, "demo data: cannot write");
    DT_REQUIRE(dt_fault_arm("", 0, NULL) == DT_OK);
    DT_CHECK_INT(n_entries(dt_test_path("%s/data", dt_test_temp_dir())), 0);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    int64_t before = dt_alloc_live_blocks();
    for (int64_t n = 1; n < 60; n++) {
        dt_alloc_fail_after(n);
        dt_status status = dt_demo_data_write(demo_dir(), &error);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
        if (status == DT_OK) /* the allocation failed in is_complete, which then returned false */
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_CHECK(n_entries(dt_test_path("%s/data", dt_test_temp_dir())) <= 0);
    }
}

/* Level 16 is 255, others are rounded; what quality 95 loses is small, and nothing on average. */
static void check_exactly(const int digit[8][8], const uint8_t *pixels)
{
    enum { N = 32 * 32 * 3 };
    static uint8_t source[8 * 8 * 3], expected[N];
    const dt_crop whole = {.box = {.w = 8, .h = 8}, .full_w = 32, .full_h = 32, .n = 32};
    double sum = 0;
    for (int i = 0; i < 8 * 8 * 3; i++)
        source[i] = (uint8_t)((digit[i / 24][i / 3 % 8] * 255 + 8) / 16);
    resize_exact_crop(source, 8, &whole, expected);
    for (int i = 0; i < N; i++)
        sum += (double)pixels[i] - (double)expected[i];
    DT_CHECK_MSG(fabs(sum / N) < 0.12, "%g levels away on average", sum / N);
    DT_CHECK(resize_exact_largest(pixels, expected, N) <= 8);
}

/* The first digit of the original file is a zero; the middle of each 4x4 block is near the original level. */
static void check_pictures(void)
{
    static const int zero[8][8] = {{0, 0, 5, 13, 9, 1, 0, 0},   {0, 0, 13, 15, 10, 15, 5, 0},
                                   {0, 3, 15, 2, 0, 11, 8, 0},  {0, 4, 12, 0, 0, 8, 8, 0},
                                   {0, 5, 8, 0, 0, 9, 8, 0},    {0, 4, 11, 0, 1, 12, 7, 0},
                                   {0, 2, 14, 5, 10, 12, 0, 0}, {0, 0, 6, 13, 10, 0, 0, 0}};
    size_t n_bytes;
    int width, height, channels;
    char *bytes = dt_test_read_file(dt_test_path("%s/val/0/0000.jpg", demo_dir()), &n_bytes);
    DT_REQUIRE(bytes != NULL);
    uint8_t *pixels = jpeg_kit_decode((uint8_t *)bytes, n_bytes, 1, &width, &height, &channels);
    DT_CHECK(width == 32 && height == 32);
    double sum = 0;
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) {
            int got = 0;
            for (int k = 0; k < 4; k++) /* the four around the centre */
                got += pixels[((4 * y + 1 + k / 2) * 32 + 4 * x + 1 + k % 2) * 3];
            double off = got / 4.0 - zero[y][x] * 255 / 16.0;
            sum += off < 0 ? -off : off;
        }
    DT_CHECK_MSG(sum / 64 < 14, "on average %g levels away", sum / 64);
    check_exactly(zero, pixels);
    const char *tables = memmem(bytes, n_bytes, "\xff\xdb", 2);
    DT_REQUIRE(tables != NULL);
    DT_CHECK_INT(tables[5], 2); /* the constant's step at quality 95; 3 at 90, 8 at 75 */
    free(pixels);
    free(bytes);
}

/* One test, since writing 1,797 files takes time. */
static void the_digits_are_written_completely_and_once(void)
{
    DT_REQUIRE_MSG(dt_demo_data_write(demo_dir(), &error) == DT_OK, "%s", error.message);
    check_counts();
    check_pictures();
    DT_CHECK_INT(n_entries(dt_test_path("%s/data", dt_test_temp_dir())), 1);
    struct stat before, after;
    DT_REQUIRE(stat(demo_dir(), &before) == 0);
    DT_CHECK_INT(before.st_mode & 0777, 0755);
    DT_CHECK_INT(dt_demo_data_write(dt_test_path("%s//", demo_dir()), &error), DT_OK);
    DT_REQUIRE(stat(demo_dir(), &after) == 0);
    DT_CHECK_INT(after.st_ino, before.st_ino);
    DT_REQUIRE(unlink(dt_test_path("%s/val/0/0000.jpg", demo_dir())) == 0);
    DT_CHECK_INT(dt_demo_data_write(demo_dir(), &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "is not the complete demo data: remove it or name another folder");
}

static const dt_test tests[] = {
    DT_TEST(the_digits_are_written_completely_and_once),       DT_TEST(another_folder_is_not_touched),
    DT_TEST(several_processes_may_write_at_the_same_time),     DT_TEST(a_failure_leaves_no_files),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};
DT_TEST_MAIN("io/source/demo", tests)
