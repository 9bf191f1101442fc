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
    check_refused(
        "train", NULL,
        "/train/b holds no JPEG file (.jpg, .jpeg, .jpe, .jfif); it holds 1 entry: 1 .png (e.g. 1.png)");
    make_file("val/a/images/1.jpg", 1);
    check_refused(
        "val", NULL,
        "it holds 1 entry: 1 folder (e.g. images): fill it, or remove the class from train and val");
    make_file("files/1.jpg", 1);
    make_file("files/2.jpg", 1);
    check_refused("files", NULL,
                  "/files has no class folders, but 2 entries: 2 beside the classes (e.g. 1.jpg); expected:");
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

/* The text of what was left out of a split. */
static const char *left_out_of(const char *split)
{
    static char text[DT_LEFT_OUT_TEXT_BYTES];
    dt_folder *folder = open_folder(split, NULL);
    DT_REQUIRE_MSG(folder != NULL, "%s", error.message);
    dt_left_out_text(dt_folder_left_out(folder), text, sizeof text);
    dt_folder_close(folder);
    return text;
}

static void endings_in_any_case_are_images(void)
{
    static const char *const endings[] = {"jpg",  "Jpg", "JPG", "jPg",  "jpeg",
                                          "JPeG", "jpe", "JPE", "jfif", "JfIf"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        make_file(dt_test_path("train/a/%zu.%s", i, endings[i]), 1);
    dt_folder *folder = open_folder("train", NULL);
    DT_REQUIRE(folder != NULL);
    DT_CHECK_INT(dt_folder_n_samples(folder), sizeof endings / sizeof *endings);
    dt_folder_close(folder);
    DT_CHECK_STR(left_out_of("train"), "");
}

static void what_is_left_out_is_counted_by_kind(void)
{
    static const char *const names[] = {
        "train/a/1.jpg",     "train/a/2.png",  "train/b/1.PNG",    "train/b/1.jpg",  "train/b/sub/3.jpg",
        "train/b/.DS_Store", "train/.git/x",   "train/labels.txt", "train/a/Thumbs", "train/a/x.tar.gz",
        "train/a/jpg",       "train/a/y.jpg~", "train/a/z.",       "train/a/.jpg",   "train/b/sub.jpg/x"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        make_file(names[i], 1);
    const char *root = dt_test_temp_dir();
    DT_REQUIRE(symlink("nowhere", dt_test_path("%s/train/c", root)) == 0);
    DT_REQUIRE(mkfifo(dt_test_path("%s/train/a/pipe.jpg", root), 0600) == 0);
    dt_folder *folder = open_folder("train", NULL);
    DT_REQUIRE(folder != NULL);
    DT_CHECK_INT(dt_folder_n_samples(folder), 2);
    DT_CHECK_INT(dt_folder_left_out(folder)->n, 15);
    DT_CHECK_INT(dt_folder_left_out(folder)->n_hidden, 3);
    dt_folder_close(folder);
    const char *text = left_out_of("train");
    DT_CHECK_CONTAINS(text, "15 entries: ");
    DT_CHECK_CONTAINS(text, "4 of other names (e.g. a/Thumbs)");
    DT_CHECK_CONTAINS(text, "3 hidden (e.g. .git)");
    DT_CHECK_CONTAINS(text, "2 folders (e.g. b/sub)");
    DT_CHECK_CONTAINS(text, "2 .png (e.g. a/2.png)");
    DT_CHECK_CONTAINS(text, " and 2 other kinds");
}

static void many_kinds_are_counted_together(void)
{
    make_file("train/a/1.jpg", 1);
    for (int i = 0; i < 40; i++)
        make_file(dt_test_path("train/a/x.%d", i), 1);
    DT_CHECK_CONTAINS(left_out_of("train"), "40 entries: 17 of other kinds (e.g. a/x.");
}

static void attributes_that_cannot_be_read_are_an_error(void)
{
    if (geteuid() == 0)
        DT_SKIP("root reads every folder");
    const char *root = make_file("train/a/1.jpg", 1);
    chmod(dt_test_path("%s/train/a", root), 0400);
    dt_folder *folder = open_folder("train", NULL);
    chmod(dt_test_path("%s/train/a", root), 0700);
    DT_CHECK(folder == NULL);
    DT_CHECK_INT(error.status, DT_ERR_IO);
    DT_CHECK_CONTAINS(error.message, "cannot read the attributes of");
}

static void labels_follow_another_order(void)
{
    static const int32_t order[] = {2, 0, 1};
    make_file("train/a/1.jpg", 1);
    make_file("train/b/1.jpg", 1);
    make_file("train/c/1.jpg", 1);
    dt_folder *folder = open_folder("train", NULL);
    DT_REQUIRE(folder != NULL);
    const uint64_t fingerprint = dt_folder_fingerprint(folder);
    dt_folder_set_labels(folder, order);
    DT_CHECK_INT(dt_folder_label(folder, 0), 2);
    DT_CHECK_INT(dt_folder_label(folder, 2), 1);
    DT_CHECK_STR(dt_folder_class_name(folder, 0), "b");
    DT_CHECK_STR(dt_folder_class_name(folder, 2), "a");
    dt_folder_set_labels(folder, order); /* the labels that they have now are mapped again */
    DT_CHECK_STR(dt_folder_class_name(folder, 0), "c");
    DT_CHECK(dt_folder_fingerprint(folder) == fingerprint);
    char path[4096];
    dt_folder_path(folder, 0, path, sizeof path);
    DT_CHECK_CONTAINS(path, "/train/a/1.jpg");
    dt_folder_close(folder);
}

static void classes_that_differ_in_case_are_found(void)
{
    char a[DT_SIMILAR_BYTES], b[DT_SIMILAR_BYTES];
    make_file("train/Dog/1.jpg", 1);
    make_file("train/cat/1.jpg", 1);
    make_file("train/dot/1.jpg", 1);
    dt_folder *folder = open_folder("train", NULL);
    DT_CHECK(!dt_folder_find_similar_classes(folder, a, b));
    dt_folder_close(folder);
    make_file("train/dOG/1.jpg", 1);
    folder = open_folder("train", NULL);
    DT_CHECK(dt_folder_find_similar_classes(folder, a, b));
    DT_CHECK((strcmp(a, "Dog") == 0 && strcmp(b, "dOG") == 0) ||
             (strcmp(a, "dOG") == 0 && strcmp(b, "Dog") == 0));
    dt_folder_close(folder);
}

static dt_folder_shared shared_files(void)
{
    dt_folder_shared shared = {.n = -1};
    dt_folder *train = open_folder("train", NULL), *val = open_folder("val", NULL);
    DT_REQUIRE(train && val);
    DT_CHECK_INT(dt_folder_find_shared(train, val, &shared, &error), DT_OK);
    dt_folder_close(train);
    dt_folder_close(val);
    return shared;
}

static void shared_files_are_found(void)
{
    const char *root = dt_test_temp_dir();
    char other[] = "something else";
    for (int i = 0; i < 9; i++) { /* of one size, and all different */
        make_file(dt_test_path("train/%d/%d.jpg", i % 2, i), 14);
        make_file(dt_test_path("val/%d/%d.jpg", i % 2, i), 14);
        other[0] = (char)('a' + i);
        dt_test_write_file(dt_test_path("%s/train/%d/%d.jpg", root, i % 2, i), other, 14);
        other[0] = (char)('A' + i);
        dt_test_write_file(dt_test_path("%s/val/%d/%d.jpg", root, i % 2, i), other, 14);
    }
    DT_CHECK_INT(shared_files().n, 0);
    other[0] = 'a' + 6; /* a copy under another name */
    make_file("val/0/b.jpg", 1);
    dt_test_write_file(dt_test_path("%s/val/0/b.jpg", root), other, 14);
    DT_CHECK_INT(shared_files().n, 1);
    DT_CHECK_CONTAINS(shared_files().example[1], "/train/0/6.jpg");
    DT_REQUIRE(unlink(dt_test_path("%s/val/0/b.jpg", root)) == 0);
    other[0] = 'a' + 7; /* and under the same */
    dt_test_write_file(dt_test_path("%s/val/1/7.jpg", root), other, 14);
    dt_folder_shared shared = shared_files();
    DT_CHECK_INT(shared.n, 1);
    DT_CHECK(!shared.at_least);
    DT_CHECK_CONTAINS(shared.example[0], "/val/1/7.jpg");
    DT_CHECK_CONTAINS(shared.example[1], "/train/1/7.jpg");
    /* links under any name and in any class; the one copied above as well counts once */
    DT_REQUIRE(symlink("../../train/1/3.jpg", dt_test_path("%s/val/0/soft.jpg", root)) == 0);
    DT_REQUIRE(link(dt_test_path("%s/train/0/4.jpg", root), dt_test_path("%s/val/1/hard.jpg", root)) == 0);
    DT_CHECK_INT(shared_files().n, 3);
    DT_REQUIRE(rename(dt_test_path("%s/val", root), dt_test_path("%s/old", root)) == 0);
    DT_REQUIRE(symlink("train", dt_test_path("%s/val", root)) == 0);
    DT_CHECK_INT(shared_files().n, 9);
}

static void files_in_two_classes_are_found(void)
{
    const char *root = make_file("train/a/1.jpg", 1);
    int64_t n = -1;
    char example[2][512];
    make_file("train/a/2.jpg", 1);
    make_file("train/b/1.jpg", 1);
    DT_REQUIRE(symlink("1.jpg", dt_test_path("%s/train/a/same.jpg", root)) ==
               0); /* twice in one class is no matter */
    DT_REQUIRE(symlink("nowhere", dt_test_path("%s/train/a/x.jpg", root)) == 0);
    DT_REQUIRE(symlink("nowhere", dt_test_path("%s/train/b/x.jpg", root)) == 0);
    dt_folder *folder = open_folder("train", NULL);
    DT_CHECK_INT(dt_folder_find_twice(folder, &n, example, &error), DT_OK);
    DT_CHECK_INT(n, 0);
    dt_folder_close(folder);
    DT_REQUIRE(symlink("a", dt_test_path("%s/train/c", root)) == 0);
    folder = open_folder("train", NULL);
    DT_CHECK_INT(dt_folder_find_twice(folder, &n, example, &error), DT_OK);
    DT_CHECK_INT(n, 2);
    DT_CHECK_CONTAINS(example[0], "/train/a/");
    DT_CHECK_CONTAINS(example[1], "/train/c/");
    dt_folder_close(folder);
}

static void many_copies_are_found_without_reading_all(void)
{
    for (int i = 0; i < 500; i++) {
        make_file(dt_test_path("train/a/%d.jpg", i), 14);
        make_file(dt_test_path("val/a/%d.jpg", i), 14);
    }
    const dt_folder_shared shared = shared_files();
    DT_CHECK(shared.n >= 50 && shared.n <= 2 * DT_FOLDER_SHARED_READS);
    DT_CHECK(shared.at_least);
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
    DT_TEST(endings_in_any_case_are_images),
    DT_TEST(what_is_left_out_is_counted_by_kind),
    DT_TEST(many_kinds_are_counted_together),
    DT_TEST(attributes_that_cannot_be_read_are_an_error),
    DT_TEST(labels_follow_another_order),
    DT_TEST(classes_that_differ_in_case_are_found),
    DT_TEST(shared_files_are_found),
    DT_TEST(files_in_two_classes_are_found),
    DT_TEST(many_copies_are_found_without_reading_all),
    DT_TEST(the_fingerprint_covers_names_and_sizes),
    DT_TEST(thousands_of_files_are_listed),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};
DT_TEST_MAIN("io/source/folder", tests)
