/* Which files two splits have in common, exactly: twins, empty files, and which of many are read. */
#include "io/source/folder.h"

#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_error error;

static const char *path_of(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

static void make_folders(void)
{
    static const char *const names[] = {"train", "val", "train/a", "val/a"};
    for (int i = 0; i < 4; i++)
        DT_REQUIRE(mkdir(path_of(names[i]), 0777) == 0);
}

static dt_folder *open_split(const char *split)
{
    dt_folder *folder = NULL;
    DT_REQUIRE_MSG(dt_folder_open(dt_test_temp_dir(), split, NULL, &folder, &error) == DT_OK, "%s",
                   error.message);
    return folder;
}

static dt_folder_shared find(void)
{
    dt_folder_shared shared;
    dt_folder *train = open_split("train"), *val = open_split("val");
    DT_REQUIRE(dt_folder_find_shared(train, val, &shared, &error) == DT_OK);
    dt_folder_close(train);
    dt_folder_close(val);
    return shared;
}

static void a_file_with_two_twins_counts_once(void)
{
    make_folders();
    dt_test_write_file(path_of("train/a/1.jpg"), "content", 7);
    DT_REQUIRE(link(path_of("train/a/1.jpg"), path_of("train/a/2.jpg")) == 0);
    DT_REQUIRE(link(path_of("train/a/1.jpg"), path_of("val/a/3.jpg")) == 0);
    DT_CHECK_INT(find().n, 1);
    dt_test_write_file(path_of("train/a/4.jpg"), "content", 7); /* and a copy */
    dt_test_write_file(path_of("val/a/5.jpg"), "content", 7);
    const dt_folder_shared shared = find();
    DT_CHECK_INT(shared.n, 2);
    DT_CHECK_STR(shared.example[0], path_of("val/a/3.jpg"));
    DT_CHECK_STR(shared.example[1], path_of("train/a/1.jpg"));
}

/* Empty files are broken, all alike, and no sign that a data set was copied. */
static void empty_files_are_not_compared(void)
{
    make_folders();
    dt_test_write_file(path_of("train/a/1.jpg"), "", 0);
    dt_test_write_file(path_of("val/a/1.jpg"), "", 0);
    dt_test_write_file(path_of("val/a/2.jpg"), "", 0);
    DT_CHECK_INT(find().n, 0);
    dt_test_write_file(path_of("train/a/1.jpg"), "x", 1);
    dt_test_write_file(path_of("val/a/1.jpg"), "x", 1);
    DT_CHECK_INT(find().n, 1);
}

/* n files of each split with the same names and sizes; those from `same_from` on are copies. */
static void make_pairs(int n, int same_from)
{
    char content[24];
    make_folders();
    for (int i = 0; i < n; i++) {
        snprintf(content, sizeof content, "train %08d", i);
        dt_test_write_file(path_of(dt_test_path("train/a/%04d.jpg", i)), content, 14);
        if (i < same_from)
            memcpy(content, "valid", 5);
        dt_test_write_file(path_of(dt_test_path("val/a/%04d.jpg", i)), content, 14);
    }
}

/* 65 pairs of equal names, of which every second is read: the numbers 0, 2, ... 64. */
static void files_that_are_read_are_spread_evenly(void)
{
    make_pairs(65, 33);
    const dt_folder_shared shared = find();
    DT_CHECK(shared.n >= 16); /* 34, 36, ... 64, and some of the pairs of other names */
    DT_CHECK(shared.at_least);
    DT_CHECK_STR(shared.example[0], path_of("val/a/0034.jpg"));
}

static void as_many_files_as_are_read_are_all_found(void)
{
    make_pairs(64, 0);
    const dt_folder_shared shared = find();
    DT_CHECK_INT(shared.n, 64);
    DT_CHECK(!shared.at_least);
}

/* A link that leads to itself is a broken file, as one without a target. */
static void a_link_to_itself_is_a_sample(void)
{
    make_folders();
    dt_test_write_file(path_of("train/a/1.jpg"), "x", 1);
    DT_REQUIRE(symlink("2.jpg", path_of("train/a/2.jpg")) == 0);
    DT_REQUIRE(symlink("loop", path_of("train/loop")) == 0);
    dt_folder *folder = open_split("train");
    char text[DT_LEFT_OUT_TEXT_BYTES];
    DT_CHECK_INT(dt_folder_n_samples(folder), 2);
    DT_CHECK_INT(dt_folder_n_classes(folder), 1);
    DT_CHECK_STR(dt_left_out_text(dt_folder_left_out(folder), text, sizeof text),
                 "1 entry: 1 broken link (e.g. loop)");
    dt_folder_close(folder);
}

static const dt_test tests[] = {
    DT_TEST(a_file_with_two_twins_counts_once),     DT_TEST(empty_files_are_not_compared),
    DT_TEST(files_that_are_read_are_spread_evenly), DT_TEST(as_many_files_as_are_read_are_all_found),
    DT_TEST(a_link_to_itself_is_a_sample),
};
DT_TEST_MAIN("io/source/folder_shared", tests)
