/* Class folders: the files listed, their order, and the messages when something is missing. */
#include "io/source/folder.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Make root/NAME with `n_bytes` bytes, and the folders above it. Returns root. */
static const char *make_file(const char *name, size_t n_bytes)
{
    const char *root = dt_test_temp_dir();
    char *path = strdup(dt_test_path("%s/%s", root, name));
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    if (path[strlen(path) - 1] != '/') {
        char content[64] = {0};
        dt_test_write_file(path, content, n_bytes);
    }
    free(path);
    return root;
}

static dt_error error;

static dt_folder *open_folder(const char *split, const dt_folder *like)
{
    dt_folder *folder = NULL;
    error = (dt_error){0};
    dt_status status = dt_folder_open(dt_test_temp_dir(), split, like, &folder, &error);
    DT_CHECK((status == DT_OK) == (folder != NULL));
    DT_CHECK_INT(error.status, status);
    return folder;
}

/* Opening the folder fails, with these words in the message. */
static void check_refused(const char *split, const dt_folder *like, const char *words)
{
    int64_t before = dt_alloc_live_blocks();
    dt_folder *folder = open_folder(split, like);
    DT_CHECK(folder == NULL);
    DT_CHECK_INT(error.status, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, words);
    dt_folder_close(folder);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static void classes_and_files_are_in_byte_order(void)
{
    static const char *const names[] = {"train/b/2.jpg",        "train/b/10.jpg",   "train/B/x.JPEG",
                                        "train/a/z.JPG",        "train/a/Z.jpeg",   "train/a/.hidden.jpg",
                                        "train/a/note.txt",     "train/.git/1.jpg", "train/readme.jpg",
                                        "train/a/sub.jpg/y.jpg"};
    static const char *const expected[] = {"B/x.JPEG", "a/Z.jpeg", "a/z.JPG", "b/10.jpg", "b/2.jpg"};
    static const int labels[] = {0, 1, 1, 2, 2};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        make_file(names[i], 1);
    dt_folder *folder = open_folder("train", NULL);
    DT_REQUIRE_MSG(folder != NULL, "%s", error.message);
    DT_CHECK_INT(dt_folder_n_classes(folder), 3);
    DT_CHECK_STR(dt_folder_class_name(folder, 0), "B");
    DT_CHECK_STR(dt_folder_class_name(folder, 2), "b");
    DT_CHECK_STR(dt_folder_class_name(folder, 3), NULL);
    DT_CHECK_STR(dt_folder_class_name(folder, -1), NULL);
    DT_CHECK_INT(dt_folder_n_samples(folder), 5);
    for (int i = 0; i < 5; i++) {
        char path[4096];
        dt_folder_path(folder, i, path, sizeof path);
        DT_CHECK_STR(path, dt_test_path("%s/train/%s", dt_test_temp_dir(), expected[i]));
        DT_CHECK_INT(dt_folder_label(folder, i), labels[i]);
    }
    dt_folder_close(folder);
}

static void links_are_followed_and_dangling_ones_kept(void)
{
    const char *root = make_file("elsewhere/c/1.jpg", 3);
    make_file("train/a/1.jpg", 1);
    DT_REQUIRE(symlink("../elsewhere/c", dt_test_path("%s/train/b", root)) == 0);
    DT_REQUIRE(symlink("nowhere", dt_test_path("%s/train/a/0.jpg", root)) == 0);
    dt_folder *folder = open_folder("train", NULL);
    DT_REQUIRE(folder != NULL);
    DT_CHECK_INT(dt_folder_n_classes(folder), 2);
    DT_CHECK_INT(dt_folder_n_samples(folder), 3);
    dt_folder_close(folder);
}

static void a_missing_folder_is_named_with_the_layout(void)
{
    dt_folder *folder = NULL;
    DT_CHECK_INT(dt_folder_open("/no/such/place", "train", NULL, &folder, &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message,
                      "there is no folder /no/such/place; expected: DIR/train/<class>/<file>.jpg");
    DT_CHECK_CONTAINS(error.message, "--data DIR");
    make_file("train/a/1.jpg", 1);
    check_refused("val", NULL, "/val; expected: DIR/train/<class>");
    make_file("val/", 0);
    check_refused("val", NULL, "/val has no class folders; expected:");
    DT_CHECK_INT(
        dt_folder_open(dt_test_path("%s/train/a/1.jpg", dt_test_temp_dir()), "train", NULL, &folder, &error),
        DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "is not a folder");
}

static void an_empty_class_is_named(void)
{
    make_file("train/a/1.jpg", 1);
    make_file("train/b/1.png", 1);
    check_refused("train", NULL, "/train/b holds no .jpg");
}

static void classes_that_only_one_split_has_are_named(void)
{
    make_file("train/a/1.jpg", 1);
    make_file("train/c/1.jpg", 1);
    make_file("val/a/1.jpg", 1);
    dt_folder *train = NULL;
    DT_REQUIRE(dt_folder_open_classes(dt_test_temp_dir(), "train", &train, &error) == DT_OK);
    DT_CHECK_INT(dt_folder_n_samples(train), 0);
    check_refused("val", train, "class 'c' is in ");
    DT_CHECK_CONTAINS(error.message, "/train but not in ");
    make_file("val/b/1.jpg", 1);
    make_file("val/c/1.jpg", 1);
    check_refused("val", train, "class 'b' is in ");
    DT_CHECK_CONTAINS(error.message, "/val but not in ");
    make_file("train/b/1.jpg", 1);
    dt_folder_close(train);
    DT_REQUIRE(dt_folder_open_classes(dt_test_temp_dir(), "train", &train, &error) == DT_OK);
    dt_folder *val = open_folder("val", train);
    DT_CHECK(val != NULL);
    dt_folder_close(val);
    dt_folder_close(train);
}

static uint64_t fingerprint_of(const char *split)
{
    dt_folder *folder = open_folder(split, NULL);
    DT_REQUIRE(folder != NULL);
    uint64_t fingerprint = dt_folder_fingerprint(folder);
    dt_folder_close(folder);
    return fingerprint;
}

static void the_fingerprint_covers_names_and_sizes(void)
{
    make_file("train/a/1.jpg", 5);
    make_file("val/a/1.jpg", 5);
    uint64_t first = fingerprint_of("train");
    DT_CHECK(fingerprint_of("val") == first);
    make_file("train/a/1.jpg", 6);
    DT_CHECK(fingerprint_of("train") != first);
    make_file("train/a/1.jpg", 5);
    DT_CHECK(fingerprint_of("train") == first);
    make_file("train/a/2.jpg", 5);
    DT_CHECK(fingerprint_of("train") != first);
    rename(dt_test_path("%s/val/a", dt_test_temp_dir()), dt_test_path("%s/val/b", dt_test_temp_dir()));
    DT_CHECK(fingerprint_of("val") != first);
}

static void thousands_of_files_are_listed(void)
{
    for (int i = 0; i < 3000; i++)
        make_file(dt_test_path("train/%d/a-rather-long-name-for-a-file-%d.jpg", i % 7, i), 1);
    dt_folder *folder = open_folder("train", NULL);
    DT_REQUIRE(folder != NULL);
    DT_CHECK_INT(dt_folder_n_samples(folder), 3000);
    char path[4096], last[4096] = "";
    for (int64_t i = 0; i < 3000; i++) {
        dt_folder_path(folder, i, path, sizeof path);
        DT_REQUIRE(strcmp(last, path) < 0);
        strcpy(last, path);
    }
    dt_folder_close(folder);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    make_file("train/a/1.jpg", 1);
    make_file("train/b/1.jpg", 1);
    int64_t before = dt_alloc_live_blocks();
    for (int64_t n = 1;; n++) {
        dt_folder *folder = NULL;
        dt_alloc_fail_after(n);
        dt_status status = dt_folder_open(dt_test_temp_dir(), "train", NULL, &folder, &error);
        dt_alloc_fail_after(0);
        dt_folder_close(folder);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
        if (status == DT_OK) {
            DT_CHECK(n > 6);
            break;
        }
        DT_CHECK(folder == NULL);
        DT_CHECK_INT(status, DT_ERR_MEMORY);
    }
}

static const dt_test tests[] = {
    DT_TEST(classes_and_files_are_in_byte_order),
    DT_TEST(links_are_followed_and_dangling_ones_kept),
    DT_TEST(a_missing_folder_is_named_with_the_layout),
    DT_TEST(an_empty_class_is_named),
    DT_TEST(classes_that_only_one_split_has_are_named),
    DT_TEST(the_fingerprint_covers_names_and_sizes),
    DT_TEST(thousands_of_files_are_listed),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};
DT_TEST_MAIN("io/source/folder", tests)
