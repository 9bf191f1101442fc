/* Keys become paths that stay in the target, and no two objects get one path. */
#include "launch/stage/names.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static dt_stage_listing list;
static dt_stage_name_changes changes;

static void name_keys(const char *const *keys, bool folds_case)
{
    dt_error err;
    dt_stage_listing_free(&list);
    for (int i = 0; keys[i]; i++)
        DT_REQUIRE(dt_stage_listing_add(&list, keys[i], 1, "", &err) == DT_OK);
    DT_REQUIRE(dt_stage_names(&list, folds_case, &changes, &err) == DT_OK);
}

static const char *path(int i)
{
    return dt_stage_text(&list, list.objects[i].path);
}

static void ordinary_keys_are_their_own_paths(void)
{
    const char *const keys[] = {"train/n01440764/n01440764_10026.JPEG",
                                "a b/100%.jpg",
                                "x&y+z=1;2",
                                "\xc3\xbc/\xe2\x82\xac",
                                "...",
                                "a/..b",
                                ".hidden",
                                NULL};
    name_keys(keys, false);
    for (int i = 0; keys[i]; i++)
        DT_CHECK_STR(path(i), keys[i]);
    DT_CHECK_INT(changes.first, -1);
    DT_CHECK_INT(changes.n_escaped + changes.n_shortened + changes.n_conflicts, 0);
}

/* Each would leave the target, or be no file's name. */
static void dangerous_keys_are_escaped(void)
{
    static const char *const cases[][2] = {
        {"../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"},
        {"/etc/passwd", "%2F/etc/passwd"},
        {"a//b", "a/%2F/b"},
        {"a/./b", "a/%2E/b"},
        {"a/..", "a/%2E%2E"},
        {"folder/", "folder/%2F"},
        {"line\nfeed\x1b[2J", "line%0Afeed%1B[2J"},
        {"del\x7f", "del%7F"},
        {"", "%2F"},
        {".dtrain-stage/journal", "%2Edtrain-stage/journal"},
        {"a/.dtrain-stage", "a/.dtrain-stage"},
        {".dtrain-stage2", ".dtrain-stage2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        name_keys((const char *const[]){cases[i][0], NULL}, false);
        DT_CHECK_STR(path(0), cases[i][1]);
        DT_CHECK_INT(changes.n_escaped, strcmp(cases[i][0], cases[i][1]) != 0);
    }
}

static void long_names_are_cut_and_keep_their_extension(void)
{
    char key[600], other[600];
    memset(key, 'x', sizeof key);
    memcpy(key, "folder/", 7);
    snprintf(key + 400, sizeof key - 400, ".jpeg");
    memcpy(other, key, sizeof key);
    other[300] = 'y'; /* it differs only in what is cut */
    name_keys((const char *const[]){key, other, NULL}, false);
    for (int i = 0; i < 2; i++) {
        const char *name = strchr(path(i), '/') + 1;
        DT_CHECK_INT(strlen(name), 255);
        DT_CHECK_STR(name + 250, ".jpeg");
        DT_CHECK(name[255 - 5 - 17] == '~');
    }
    DT_CHECK(strcmp(path(0), path(1)) != 0);
    DT_CHECK_INT(changes.n_shortened, 2);
}

/* A character of UTF-8 is not cut in two, and escapes count. */
static void cutting_leaves_characters_whole(void)
{
    char key[700] = "";
    for (int i = 0; i < 200; i++)
        strcat(key, "\xc3\xbc");
    name_keys((const char *const[]){key, NULL}, false);
    const char *mark = strchr(path(0), '~');
    DT_REQUIRE(mark != NULL);
    DT_CHECK_INT((mark - path(0)) % 2, 0);
    DT_CHECK(strlen(path(0)) <= 255);
}

static void a_file_beside_a_folder_of_its_name_gets_another(void)
{
    name_keys((const char *const[]){"a", "a/b", "a/c", "d.jpg", "d.jpg/e", NULL}, false);
    DT_CHECK(strncmp(path(0), "a~", 2) == 0 && strlen(path(0)) == 18);
    DT_CHECK_STR(path(1), "a/b");
    DT_CHECK_STR(path(2), "a/c");
    DT_CHECK(strncmp(path(3), "d~", 2) == 0);
    DT_CHECK_STR(path(3) + strlen(path(3)) - 4, ".jpg");
    DT_CHECK_INT(changes.n_conflicts, 2);
    DT_CHECK_INT(changes.first, 0);
}

static void letters_that_the_disk_does_not_tell_apart_conflict(void)
{
    const char *const keys[] = {"A/x.jpg", "a/X.jpg", "a/y.jpg", NULL};
    name_keys(keys, false);
    DT_CHECK_INT(changes.n_conflicts, 0);
    name_keys(keys, true);
    DT_CHECK_INT(changes.n_conflicts, 1);
    DT_CHECK_STR(path(0), "A/x.jpg");
    DT_CHECK(strncmp(path(1), "a/X~", 4) == 0);
    DT_CHECK_STR(path(2), "a/y.jpg");
}

/* "%2F" may also be in a key: the second of two that become one path gets another. */
static void keys_that_become_one_path_conflict(void)
{
    name_keys((const char *const[]){"a/%2F/b", "a//b", NULL}, false);
    DT_CHECK_STR(path(0), "a/%2F/b");
    DT_CHECK(strncmp(path(1), "a/%2F/b~", 8) == 0);
    DT_CHECK_INT(changes.n_conflicts, 1);
}

static void paths_begin_after_the_prefix_and_end_before_a_query(void)
{
    dt_error err;
    dt_stage_listing_free(&list);
    DT_REQUIRE(dt_stage_listing_add(&list, "https://h/d/a.tar?X-Amz-Date=1/2", 1, "", &err) == DT_OK);
    list.prefix_bytes = 12;
    list.has_addresses = true;
    DT_REQUIRE(dt_stage_names(&list, false, &changes, &err) == DT_OK);
    DT_CHECK_STR(path(0), "a.tar");
}

static void impossible_sizes_are_refused(void)
{
    dt_error err;
    dt_stage_listing_free(&list);
    DT_CHECK_INT(dt_stage_listing_add(&list, "k", -1, "", &err), DT_ERR_FORMAT);
    DT_CHECK_INT(dt_stage_listing_add(&list, "k", INT64_MAX, "", &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "9223372036854775807 bytes");
    DT_CHECK_INT(list.n, 0);
}

static void many_objects_are_found_by_path(void)
{
    enum { N = 20000 };
    dt_stage_index index;
    dt_error err;
    char key[40];
    dt_stage_listing_free(&list);
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "train/%d/%d.jpg", i % 7, i);
        DT_REQUIRE(dt_stage_listing_add(&list, key, i, "", &err) == DT_OK);
    }
    DT_REQUIRE(dt_stage_names(&list, false, &changes, &err) == DT_OK);
    DT_REQUIRE(dt_stage_index_create(&list, false, &index, &err) == DT_OK);
    for (int i = 0; i < N; i++)
        DT_REQUIRE(dt_stage_index_add(&index, i) == -1);
    DT_CHECK_INT(dt_stage_index_add(&index, 5), 5);
    for (int i = 0; i < N; i += 997)
        DT_CHECK_INT(dt_stage_index_find(&index, path(i), strlen(path(i))), i);
    DT_CHECK_INT(dt_stage_index_find(&index, "train/0", 7), -1);
    DT_CHECK_INT(dt_stage_index_find(&index, "", 0), -1);
    dt_stage_index_free(&index);
    dt_stage_listing_free(&list);
}

static const dt_test tests[] = {
    DT_TEST(ordinary_keys_are_their_own_paths),
    DT_TEST(dangerous_keys_are_escaped),
    DT_TEST(long_names_are_cut_and_keep_their_extension),
    DT_TEST(cutting_leaves_characters_whole),
    DT_TEST(a_file_beside_a_folder_of_its_name_gets_another),
    DT_TEST(letters_that_the_disk_does_not_tell_apart_conflict),
    DT_TEST(keys_that_become_one_path_conflict),
    DT_TEST(paths_begin_after_the_prefix_and_end_before_a_query),
    DT_TEST(impossible_sizes_are_refused),
    DT_TEST(many_objects_are_found_by_path),
};
DT_TEST_MAIN("launch/stage/names", tests)
