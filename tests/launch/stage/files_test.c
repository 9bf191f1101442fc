/* The files of a target: a name means whole; what is whole is known again; edited, older and unfinished
 * files. */
#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "launch/stage/files.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART DT_STAGE_PART_BYTES

static dt_stage_listing list;
static dt_stage_files *files;
static dt_stage_target target;

static const char *folder(void)
{
    return dt_test_path("%s/target", dt_test_temp_dir());
}

static void list_objects(int n, const char *const *keys, const int64_t *sizes, const char *etag)
{
    dt_stage_name_changes changes;
    dt_error err;
    dt_stage_listing_free(&list);
    for (int i = 0; i < n; i++)
        DT_REQUIRE(dt_stage_listing_add(&list, keys[i], sizes[i], etag, &err) == DT_OK);
    DT_REQUIRE(dt_stage_names(&list, false, &changes, &err) == DT_OK);
}

static void open_files(void)
{
    dt_error err;
    DT_REQUIRE(dt_stage_target_open(folder(), "s3://b/p", &target, &err) == DT_OK);
    DT_REQUIRE(dt_stage_files_open(folder(), &list, &files, &err) == DT_OK);
}

static void close_files(void)
{
    dt_stage_files_close(files);
    files = NULL;
    dt_stage_target_close(&target);
}

static bool is_there(int64_t bit)
{
    return dt_stage_bit(dt_stage_files_bits(files), bit);
}

static bool exists(const char *path)
{
    return access(dt_test_path("%s/%s", folder(), path), F_OK) == 0;
}

/* The content of an object at an offset. */
static char at(int64_t object, int64_t i)
{
    return (char)(object * 7 + i * 13 + (i >> 11));
}

static dt_status put(int64_t object, int64_t offset, const dt_object_checksum *sum, dt_error *err)
{
    const int64_t left = list.objects[object].bytes - offset, n = left < PART ? left : PART;
    char *data = malloc((size_t)n + 1);
    for (int64_t i = 0; i < n; i++)
        data[i] = at(object, offset + i);
    const dt_status status = dt_stage_files_put(files, &(dt_stage_piece){object, offset, n}, data, sum, err);
    free(data);
    return status;
}

static void put_well(int64_t object, int64_t offset)
{
    dt_error err;
    DT_REQUIRE_MSG(put(object, offset, NULL, &err) == DT_OK, "%s", err.message);
}

static void finish(void)
{
    dt_error err;
    DT_REQUIRE_MSG(dt_stage_files_finish(files, &err) == DT_OK, "%s", err.message);
}

static void check_content(const char *path, int64_t object)
{
    size_t n = 0;
    char *data = dt_test_read_file(dt_test_path("%s/%s", folder(), path), &n);
    DT_REQUIRE(data != NULL);
    DT_CHECK_INT(n, list.objects[object].bytes);
    int64_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong += data[i] != at(object, (int64_t)i);
    DT_CHECK_INT(wrong, 0);
    free(data);
}

static const char *const three[] = {"train/a/1.jpg", "train/b/2.jpg", "empty"};
static const int64_t three_sizes[] = {5000, 70000, 0};

static void files_get_their_names_and_are_known_again(void)
{
    list_objects(3, three, three_sizes, "\"1\"");
    open_files();
    for (int i = 0; i < 3; i++) {
        DT_CHECK(!is_there(i));
        put_well(i, 0);
    }
    finish();
    for (int i = 0; i < 3; i++)
        check_content(three[i], i);
    close_files();
    open_files();
    dt_stage_files_counts counts;
    dt_stage_files_get_counts(files, &counts);
    DT_CHECK_INT(counts.objects, 3);
    DT_CHECK_INT(counts.bytes, 75000);
    for (int i = 0; i < 3; i++)
        DT_CHECK(is_there(i));
    put_well(0, 0); /* dropped */
    finish();
    dt_stage_files_get_counts(files, &counts);
    DT_CHECK_INT(counts.objects, 3);
    close_files();
}

static void another_version_an_edited_and_a_missing_file_are_read_again(void)
{
    list_objects(3, three, three_sizes, "\"1\"");
    open_files();
    for (int i = 0; i < 3; i++)
        put_well(i, 0);
    finish();
    close_files();
    const char *path = dt_test_path("%s/%s", folder(), three[0]);
    const int fd = open(path, O_WRONLY); /* the same size, another content */
    const struct timespec later[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};
    DT_REQUIRE(fd >= 0 && pwrite(fd, "edited", 6, 100) == 6 && futimens(fd, later) == 0 && close(fd) == 0);
    unlink(dt_test_path("%s/%s", folder(), three[1]));
    open_files();
    DT_CHECK(!is_there(0));
    DT_CHECK(!is_there(1));
    DT_CHECK(is_there(2));
    put_well(0, 0);
    finish();
    check_content(three[0], 0);
    close_files();
    list_objects(3, three, three_sizes, "\"2\"");
    open_files();
    for (int i = 0; i < 3; i++)
        DT_CHECK(!is_there(i));
    close_files();
}

/* A small file that was not named yet leaves nothing under its name. */
static void without_a_sync_nothing_has_a_name(void)
{
    dt_error err;
    list_objects(3, three, three_sizes, "\"1\"");
    DT_REQUIRE(dt_fault_arm("stage.sync:1:always", 0, &err) == DT_OK);
    open_files();
    put_well(0, 0);
    put_well(1, 0);
    DT_CHECK_INT(dt_stage_files_finish(files, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "stage.sync");
    DT_CHECK_INT(put(2, 0, NULL, &err), DT_ERR_IO); /* later ones get the error at once */
    close_files();
    DT_REQUIRE(dt_fault_arm(NULL, 0, &err) == DT_OK);
    for (int i = 0; i < 3; i++)
        DT_CHECK(!exists(three[i]));
    open_files();
    DT_CHECK(!is_there(0) && !is_there(1));
    DT_CHECK(!exists(".dtrain-stage/new/0") && !exists(".dtrain-stage/new/1"));
    close_files();
}

static const char *const large[] = {"shard.tar", "small"};
static const int64_t large_sizes[] = {3 * PART + 1000, 10};

static void parts_are_known_again_and_the_last_one_gives_the_name(void)
{
    list_objects(2, large, large_sizes, "\"1\"");
    open_files();
    put_well(0, 2 * PART);
    put_well(0, 0);
    finish();
    DT_CHECK(!exists("shard.tar"));
    close_files();
    open_files();
    DT_CHECK(!is_there(0));
    DT_CHECK(is_there(list.n + 0) && !is_there(list.n + 1) && is_there(list.n + 2) && !is_there(list.n + 3));
    char path[4096];
    dt_error err;
    DT_REQUIRE(dt_stage_files_path(files, 0, list.objects[0].first_part + 2, path, &err) == DT_OK);
    DT_CHECK_CONTAINS(path, "/.dtrain-stage/parts/");
    put_well(0, PART);
    put_well(0, 3 * PART);
    finish();
    check_content("shard.tar", 0);
    DT_CHECK(access(path, F_OK) != 0);
    close_files();
    open_files();
    DT_CHECK(is_there(0));
    close_files();
}

/* Records of parts must not count for a file that was made again. */
static void parts_of_a_file_that_was_removed_never_count_again(void)
{
    char path[4096];
    dt_error err;
    list_objects(2, large, large_sizes, "\"1\"");
    open_files();
    put_well(0, 0);
    put_well(0, PART);
    finish();
    DT_REQUIRE(dt_stage_files_path(files, 0, list.objects[0].first_part, path, &err) == DT_OK);
    close_files();
    DT_REQUIRE(unlink(path) == 0);
    open_files();
    DT_CHECK(!is_there(list.n) && !is_there(list.n + 1));
    put_well(0, 2 * PART); /* the file is there again, with this part */
    finish();
    close_files();
    open_files();
    DT_CHECK(!is_there(list.n) && !is_there(list.n + 1) && is_there(list.n + 2));
    close_files();
}

static void a_wrong_checksum_of_a_small_object_gives_no_file(void)
{
    dt_error err;
    char data[10];
    dt_object_checksum sum = {.kind = DT_CHECKSUM_CRC32C};
    list_objects(2, large, large_sizes, "\"1\"");
    for (int i = 0; i < 10; i++)
        data[i] = at(1, i);
    open_files();
    sum.crc = dt_object_crc(sum.kind, 0, data, 10) ^ 1;
    DT_CHECK_INT(put(1, 0, &sum, &err), DT_ERR_DATA);
    DT_CHECK_CONTAINS(err.message, "small: the 10 bytes");
    DT_CHECK_CONTAINS(err.message, "CRC32C");
    sum.crc ^= 1;
    DT_CHECK_INT(put(1, 0, &sum, &err), DT_OK);
    finish();
    check_content("small", 1);
    close_files();
}

static uint64_t crc_of(dt_object_checksum_kind kind, int64_t object)
{
    uint64_t crc = 0;
    char block[4096];
    for (int64_t i = 0; i < list.objects[object].bytes; i += 4096) {
        const int64_t left = list.objects[object].bytes - i, n = left < 4096 ? left : 4096;
        for (int64_t k = 0; k < n; k++)
            block[k] = at(object, i + k);
        crc = dt_object_crc(kind, crc, block, (size_t)n);
    }
    return crc;
}

/* The parts come in any order, over several starts; their CRCs are joined. */
static void the_checksum_of_a_large_object_is_compared(void)
{
    dt_error err;
    for (int is_wrong = 1; is_wrong >= 0; is_wrong--) {
        list_objects(2, large, large_sizes, "\"1\"");
        list.objects[0].has_sum = true;
        list.objects[0].sum = (dt_object_checksum){.kind = DT_CHECKSUM_CRC64NVME};
        list.objects[0].sum.crc = crc_of(DT_CHECKSUM_CRC64NVME, 0) ^ (uint64_t)is_wrong;
        open_files();
        DT_CHECK(!is_there(list.n + 1)); /* those of the wrong one are gone */
        put_well(0, 3 * PART);
        put_well(0, PART);
        finish();
        close_files();
        open_files();
        DT_CHECK(is_there(list.n + 1));
        put_well(0, 0);
        put_well(0, 2 * PART);
        const dt_status status = dt_stage_files_finish(files, &err);
        DT_CHECK_INT(status, is_wrong ? DT_ERR_DATA : DT_OK);
        if (is_wrong)
            DT_CHECK_CONTAINS(err.message, "shard.tar: the 25166824 bytes");
        DT_CHECK(exists("shard.tar") == !is_wrong);
        close_files();
    }
}

static void a_disk_that_is_too_small_is_refused_with_both_numbers(void)
{
    const int64_t sizes[] = {50000000000000, 10};
    int64_t missing = 0;
    dt_error err;
    list_objects(2, large, sizes, "");
    open_files();
    DT_CHECK_INT(dt_stage_files_check_space(files, NULL, &missing, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "50000.00 GB are to be copied");
    DT_CHECK_CONTAINS(err.message, "GB free");
    const bool keeps[] = {false, true};
    DT_CHECK_INT(dt_stage_files_check_space(files, keeps, &missing, &err), DT_OK);
    DT_CHECK_INT(missing, 4096);
    close_files();
}

static void a_folder_is_of_one_source_and_of_one_copy_at_a_time(void)
{
    dt_stage_target second;
    dt_error err;
    list_objects(3, three, three_sizes, "");
    open_files();
    DT_CHECK_INT(dt_stage_target_open(folder(), "s3://b/p", &second, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "another dtrain");
    close_files();
    DT_CHECK_INT(dt_stage_target_open(folder(), "s3://b/other", &second, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "is a copy of s3://b/p");
    DT_REQUIRE(dt_stage_target_open(folder(), "s3://b/p", &second, &err) == DT_OK);
    dt_stage_target_close(&second);
}

static void the_record_that_all_is_there_comes_back(void)
{
    dt_stage_complete complete = {.objects = 5, .bytes = 6, .part = 1, .of = 3, .unix_s = 1e9}, read;
    dt_error err;
    snprintf(complete.source, sizeof complete.source, "s3://b/a prefix");
    DT_REQUIRE(dt_stage_target_make(folder(), &err) == DT_OK);
    DT_CHECK(!dt_stage_target_get_complete(folder(), &read));
    DT_REQUIRE(dt_stage_target_set_complete(folder(), &complete, &err) == DT_OK);
    DT_CHECK(dt_stage_target_get_complete(folder(), &read));
    DT_CHECK_STR(read.source, "s3://b/a prefix");
    DT_CHECK(read.objects == 5 && read.bytes == 6 && read.part == 1 && read.of == 3 && read.unix_s == 1e9);
    DT_REQUIRE(dt_stage_target_set_complete(folder(), NULL, &err) == DT_OK);
    DT_CHECK(!dt_stage_target_get_complete(folder(), &read));
    dt_test_write_file(dt_test_path("%s/.dtrain-stage/complete", folder()), "objects 5\nbytes", 15);
    DT_CHECK(!dt_stage_target_get_complete(folder(), &read));
}

static const dt_test tests[] = {
    DT_TEST(files_get_their_names_and_are_known_again),
    DT_TEST(another_version_an_edited_and_a_missing_file_are_read_again),
    DT_TEST(without_a_sync_nothing_has_a_name),
    DT_TEST(parts_are_known_again_and_the_last_one_gives_the_name),
    DT_TEST(parts_of_a_file_that_was_removed_never_count_again),
    DT_TEST(a_wrong_checksum_of_a_small_object_gives_no_file),
    DT_TEST(the_checksum_of_a_large_object_is_compared),
    DT_TEST(a_disk_that_is_too_small_is_refused_with_both_numbers),
    DT_TEST(a_folder_is_of_one_source_and_of_one_copy_at_a_time),
    DT_TEST(the_record_that_all_is_there_comes_back),
};
DT_TEST_MAIN("launch/stage/files", tests)
