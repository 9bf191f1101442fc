/* io/durable.c, io/file_writer.c and core/base/file.c when system calls fail, are interrupted or do a
 * part. */
#include "core/base/alloc.h"
#include "core/base/file.h"
#include "io/durable.h"
#include "io/file_writer.h"
#include "tests/call_script.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int n_cache_dropped; /* how often the page cache was asked to drop a file */

int posix_fadvise(int fd, off_t offset, off_t bytes, int advice)
{
    (void)fd, (void)offset, (void)bytes;
    n_cache_dropped += advice == POSIX_FADV_DONTNEED;
    return 0;
}

static const char *path_of(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

static int open_new(const char *name)
{
    int fd = -1;
    DT_REQUIRE(dt_file_open(path_of(name), O_RDWR | O_CREAT | O_EXCL, 0666, &fd, NULL) == DT_OK);
    return fd;
}

static void check_content(const char *name, const void *expected, size_t n_bytes)
{
    size_t n = 0;
    char *content = dt_test_read_file(path_of(name), &n);
    DT_CHECK_INT(n, n_bytes);
    if (content && n == n_bytes)
        DT_CHECK_BYTES(content, expected, n_bytes);
    free(content);
}

/* -- durable.c ------------------------------------------------------------------------------------------- */

static void a_write_goes_on_after_a_signal_and_after_a_part(void)
{
    const int fd = open_new("x");
    calls_record(dt_test_temp_dir());
    calls_fail("pwrite", "x", 1, 2, EINTR);
    calls_halve("pwrite", "x", 3);
    calls_fail("pwrite", "x", 4, 1, EINTR);
    calls_halve("pwrite", "x", 5);
    DT_CHECK_INT(dt_durable_write(fd, path_of("x"), "abcdefgh", 8, 2, NULL), DT_OK);
    calls_stop();
    DT_CHECK_INT(calls_count("pwrite", "x"), 6);
    check_content("x", "\0\0abcdefgh", 10);
    close(fd);
}

static void the_bytes_that_are_left_are_reported(void)
{
    static const int errors[] = {ENOSPC, EDQUOT, EIO, EFBIG};
    for (int i = 0; i < 4; i++) {
        dt_error err = {0};
        const char *name = dt_test_path("%d", i);
        const int fd = open_new(name);
        calls_record(dt_test_temp_dir());
        calls_halve("pwrite", "*", 1);
        calls_fail("pwrite", "*", 2, 1000, errors[i]);
        DT_CHECK_INT(dt_durable_write(fd, path_of(name), "0123456789", 10, 0, &err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_INT(calls_count("pwrite", "*"), 2);
        DT_CHECK_CONTAINS(err.message, path_of(name));
        DT_CHECK_CONTAINS(err.message, strerror(errors[i]));
        DT_CHECK_CONTAINS(err.message, i < 2 ? ": 5 bytes wanted, " : "cannot write 5 bytes");
        check_content(name, "01234", 5);
        close(fd);
    }
}

/* As a device that is full may do. */
static void a_write_of_nothing_is_a_full_disk(void)
{
    dt_error err = {0};
    const int fd = open_new("x");
    errno = 0;
    calls_record(dt_test_temp_dir());
    calls_halve("pwrite", "x", 1); /* of one byte: 0 */
    DT_CHECK_INT(dt_durable_write(fd, path_of("x"), "a", 1, 0, &err), DT_ERR_IO);
    calls_stop();
    DT_CHECK_INT(calls_count("pwrite", "x"), 1);
    DT_CHECK_CONTAINS(err.message, "No space left on device: 1 bytes wanted, ");
    close(fd);
}

static void a_read_goes_on_and_reports_where_a_file_ends(void)
{
    char got[8] = "";
    dt_error err = {0};
    const int fd = open_new("x");
    DT_CHECK_INT(dt_durable_write(fd, "x", "abcdefgh", 8, 0, NULL), DT_OK);
    calls_record(dt_test_temp_dir());
    calls_fail("pread", "x", 1, 1, EINTR);
    calls_halve("pread", "x", 2);
    calls_fail("pread", "x", 3, 1, EINTR);
    DT_CHECK_INT(dt_durable_read(fd, "x", got, 7, 1, NULL), DT_OK);
    DT_CHECK_INT(calls_count("pread", "x"), 4);
    DT_CHECK_BYTES(got, "bcdefgh", 7);
    DT_CHECK_INT(dt_durable_read(fd, "x", got, 7, 2, &err), DT_ERR_FORMAT);
    DT_CHECK_STR(err.message, "x: ends after 8 bytes, in the middle of its data: cut short");
    calls_record(dt_test_temp_dir());
    calls_fail("pread", "x", 1, 1000, EIO);
    DT_CHECK_INT(dt_durable_read(fd, "x", got, 7, 1, &err), DT_ERR_IO);
    calls_stop();
    DT_CHECK_INT(calls_count("pread", "x"), 1);
    DT_CHECK_STR(err.message, "x: cannot read 7 bytes at 1: Input/output error");
    close(fd);
}

static void an_fsync_is_repeated_after_a_signal_only(void)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS};
    dt_error err = {0};
    const int fd = open_new("x");
    calls_record(dt_test_temp_dir());
    calls_fail("fsync", "x", 1, 3, EINTR);
    DT_CHECK_INT(dt_durable_sync(fd, "x", NULL), DT_OK);
    DT_CHECK_INT(calls_count("fsync", "x"), 4);
    for (int i = 0; i < 4; i++) {
        calls_record(dt_test_temp_dir());
        calls_fail("fsync", "x", 1, 1000, errors[i]);
        DT_CHECK_INT(dt_durable_sync(fd, "x", &err), DT_ERR_IO);
        DT_CHECK_INT(calls_count("fsync", "x"), 1);
        DT_CHECK_CONTAINS(err.message, "x: fsync failed, so the file may not be on the disk: ");
        DT_CHECK_CONTAINS(err.message, strerror(errors[i]));
    }
    calls_stop();
    close(fd);
}

static void a_folder_is_fsynced_where_that_works(void)
{
    static const int harmless[] = {EINVAL, ENOTSUP, EBADF};
    dt_error err = {0};
    DT_REQUIRE(mkdir(path_of("folder"), 0777) == 0);
    calls_record(dt_test_temp_dir());
    calls_fail("fsync", "folder", 1, 2, EINTR);
    calls_fail("open", "folder", 1, 2, EINTR);
    DT_CHECK_INT(dt_durable_sync_folder(path_of("folder"), NULL), DT_OK);
    DT_CHECK_STR(calls_text(), "open folder: Interrupted system call\nopen folder\n"
                               "fsync folder: Interrupted system call\nfsync folder\nclose folder\n");
    for (int i = 0; i < 4; i++) {
        calls_record(dt_test_temp_dir());
        calls_fail("fsync", "folder", 1, 1000, i < 3 ? harmless[i] : EIO);
        DT_CHECK_INT(dt_durable_sync_folder(path_of("folder"), &err), i < 3 ? DT_OK : DT_ERR_IO);
        DT_CHECK_INT(calls_count("fsync", "folder"), 1);
        DT_CHECK_INT(calls_count("close", "folder"), 1);
    }
    DT_CHECK_CONTAINS(err.message, "/folder: fsync of the folder failed: Input/output error");
    calls_record(dt_test_temp_dir());
    calls_fail("open", "folder", 1, 1, EACCES); /* as with mode -wx */
    DT_CHECK_INT(dt_durable_sync_folder(path_of("folder"), &err), DT_OK);
    calls_fail("open", "folder", 1, 1, EMFILE);
    DT_CHECK_INT(dt_durable_sync_folder(path_of("folder"), &err), DT_ERR_IO);
    calls_stop();
    DT_CHECK_CONTAINS(err.message, "/folder: cannot open the folder: Too many open files");
}

static void a_rename_is_durable(void)
{
    static const char *const parents[] = {"a/b", "a//b", "a/b/", "a//b//"};
    dt_error err = {0};
    DT_REQUIRE(mkdir(path_of("a"), 0777) == 0);
    dt_test_write_file(path_of("a/from"), "1", 1);
    calls_record(dt_test_temp_dir());
    DT_CHECK_INT(dt_durable_rename(path_of("a/from"), path_of("to"), NULL), DT_OK);
    calls_stop();
    DT_CHECK_STR(calls_text(), "rename a/from -> to\nopen .\nfsync .\nclose .\n");
    for (int i = 0; i < 4; i++) {
        calls_record(dt_test_temp_dir());
        DT_CHECK_INT(dt_durable_sync_parent(path_of(parents[i]), NULL), DT_OK);
        DT_CHECK_STR(calls_text(), "open a\nfsync a\nclose a\n");
    }
    calls_record(dt_test_temp_dir());
    calls_fail("rename", "to", 1, 1, EXDEV);
    DT_CHECK_INT(dt_durable_rename(path_of("to"), path_of("a/from"), &err), DT_ERR_IO);
    calls_stop();
    DT_CHECK_CONTAINS(err.message, "cannot rename ");
    DT_CHECK_CONTAINS(err.message, "/to to ");
    DT_CHECK_CONTAINS(err.message, "/a/from: Invalid cross-device link");
    DT_CHECK_STR(calls_text(), "rename to -> a/from: Invalid cross-device link\n");
}

static void a_folder_that_cannot_be_made_is_named(void)
{
    dt_error err = {0};
    calls_record(dt_test_temp_dir());
    calls_fail("mkdir", "a/b", 1, 1, EDQUOT);
    DT_CHECK_INT(dt_durable_make_folder(path_of("a/b/c"), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/a/b: cannot make the folder: Disk quota exceeded");
    calls_record(dt_test_temp_dir());
    calls_fail("fsync", "a", 1, 1, EIO);
    DT_CHECK_INT(dt_durable_make_folder(path_of("a/b/c"), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/a: fsync of the folder failed: Input/output error");
    calls_record(dt_test_temp_dir());
    DT_CHECK_INT(dt_durable_make_folder(path_of("a/b/c"), &err), DT_OK);
    calls_stop();
    DT_CHECK_STR(strstr(calls_text(), "mkdir a/b/c"), "mkdir a/b/c\nopen a/b\nfsync a/b\nclose a/b\n");
}

static void blocks_are_reserved_if_the_file_system_can(void)
{
    static const int errors[] = {EOPNOTSUPP, EIO, ENOSYS, ENOSPC, EDQUOT};
    dt_error err = {0};
    const int fd = open_new("x");
    calls_record(dt_test_temp_dir());
    DT_CHECK_INT(dt_durable_reserve(fd, "x", 0, &err), DT_OK);
    DT_CHECK_INT(calls_count("fallocate", "x"), 0);
    calls_fail("fallocate", "x", 1, 2, EINTR);
    DT_CHECK_INT(dt_durable_reserve(fd, "x", 5000, &err), DT_OK);
    DT_CHECK_INT(calls_count("fallocate", "x"), 3);
    for (int i = 0; i < 5; i++) {
        calls_record(dt_test_temp_dir());
        calls_fail("fallocate", "x", 1, 1000, errors[i]);
        DT_CHECK_INT(dt_durable_reserve(fd, "x", 5000, &err), i < 3 ? DT_OK : DT_ERR_IO);
        DT_CHECK_INT(calls_count("fallocate", "x"), 1);
    }
    calls_stop();
    DT_CHECK_CONTAINS(err.message, "x: Disk quota exceeded: 5.0 kB wanted, ");
    check_content("x", "", 0);
    close(fd);
}

static void sizes_are_rounded_to_one_digit(void)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {{0, ": 0 bytes wanted"},        {999, ": 999 bytes wanted"},
                 {1000, ": 1.0 kB wanted"},      {12345, ": 12.3 kB wanted"},
                 {93100000, ": 93.1 MB wanted"}, {1500000000, ": 1.5 GB wanted"},
                 {2000000000000, "2.0 TB"},      {5000000000000000, ": 5000.0 TB wanted"}};
    const int fd = open_new("x");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_error err = {0};
        DT_CHECK_INT(dt_durable_write_failed(fd, "x", ENOSPC, cases[i].bytes, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, cases[i].text);
    }
    close(fd);
}

/* -- core/base/file.c ------------------------------------------------------------------------------------ */

static void a_file_is_opened_after_a_signal_and_closed_once(void)
{
    dt_error err = {0};
    int fd = -1;
    calls_record(dt_test_temp_dir());
    calls_fail("create", "x", 1, 2, EINTR);
    DT_CHECK_INT(dt_file_open(path_of("x"), O_RDWR | O_CREAT, 0666, &fd, &err), DT_OK);
    DT_CHECK_INT(calls_count("create", "x"), 3);
    calls_fail("close", "x", 1, 1, EINTR);
    DT_CHECK_INT(dt_file_close(fd), 0);
    DT_CHECK_INT(calls_count("close", "x"), 1);
    DT_CHECK_INT(dt_file_open(path_of("x"), O_RDWR, 0, &fd, &err), DT_OK);
    calls_record(dt_test_temp_dir());
    calls_fail("close", "x", 1, 1, EDQUOT);
    DT_CHECK_INT(dt_file_close(fd), -1);
    DT_CHECK_INT(errno, EDQUOT);
    calls_stop();
    DT_CHECK_INT(calls_count("close", "x"), 1);
}

/* -- file_writer.c --------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 20, N_PIECES = 17, LAST = 77 }; /* two blocks with O_DIRECT, and a rest without */
#define WRITER_BYTES ((int64_t)N_PIECES * PIECE + LAST)

typedef struct written {
    dt_status append, finish, sync;
    dt_error err;
} written;

static void fill(char *to, int64_t n, int64_t at)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (char)((at + i) * 7 >> 3);
}

/* A file of its own for each call; the functions are called up to the first that fails. */
static written write_file(const char *name)
{
    written w = {DT_OK, DT_OK, DT_OK, {0}};
    char hex[33];
    dt_file_writer *writer = NULL;
    const int fd = open_new(name);
    const dt_file_writer_options o = {.fd = fd, .path = name, .bytes = WRITER_BYTES, .largest = PIECE};
    DT_REQUIRE(dt_file_writer_create(&o, &writer, NULL) == DT_OK);
    for (int64_t at = 0; at < WRITER_BYTES && w.append == DT_OK; at += PIECE) {
        const int64_t n = WRITER_BYTES - at < PIECE ? LAST : PIECE;
        fill(dt_file_writer_room(writer, n), n, at);
        w.append = dt_file_writer_append(writer, n, &w.err);
    }
    w.finish = w.append == DT_OK ? dt_file_writer_finish(writer, hex, &w.err) : w.append;
    w.sync = w.finish == DT_OK ? dt_file_writer_sync_and_check(writer, &w.err) : w.finish;
    dt_file_writer_destroy(writer);
    close(fd);
    return w;
}

static void check_written(const char *name)
{
    char *expected = malloc((size_t)WRITER_BYTES);
    DT_REQUIRE(expected != NULL);
    fill(expected, WRITER_BYTES, 0);
    check_content(name, expected, (size_t)WRITER_BYTES);
    free(expected);
}

static void a_large_file_is_fsynced_once_and_then_read_back(void)
{
    n_cache_dropped = 0;
    calls_record(dt_test_temp_dir());
    DT_CHECK_INT(write_file("x").sync, DT_OK);
    calls_stop();
    DT_CHECK_STR(calls_text(), "create x\nfallocate x\npwrite x\nfsync x\npread x\nclose x\n");
    DT_CHECK_INT(n_cache_dropped, 1); /* so that the disk is read */
    DT_CHECK_INT(calls_count("pwrite", "x"), 4);
    DT_CHECK_INT(calls_count("fsync", "x"), 1);
    check_written("x");
}

/* O_DIRECT was accepted, and a call is refused or does a part: the page cache gets the rest. */
static void a_refused_direct_call_is_made_through_the_page_cache(void)
{
    for (int i = 0; i < 5; i++) {
        const char *name = dt_test_path("%d", i);
        calls_record(dt_test_temp_dir());
        if (i < 2)
            calls_fail("pwrite", "*", i + 1, 1, EINVAL);
        else if (i == 2)
            calls_halve("pwrite", "*", 2);
        else if (i == 3)
            calls_fail("pread", "*", 1, 1, EINVAL);
        else
            calls_fail("pwrite", "*", 1, 2, EINTR);
        const written w = write_file(name);
        calls_stop();
        DT_CHECK_MSG(w.sync == DT_OK, "%s", w.err.message);
        check_written(name);
        DT_CHECK(unlink(path_of(name)) == 0);
    }
}

static void any_failing_call_of_a_large_file_is_an_error(void)
{
    static const char *const names[] = {"pwrite", "fsync", "pread"};
    static const char *const messages[] = {
        "cannot write ", "fsync failed, so the file may not be on the disk", "cannot read "};
    for (int i = 0; i < 3; i++)
        for (int n = 1; n <= (i == 0 ? 4 : i == 1 ? 1 : 2); n++) {
            const char *name = dt_test_path("%d-%d", i, n);
            calls_record(dt_test_temp_dir());
            calls_fail(names[i], "*", n, 1000, EIO);
            const written w = write_file(name);
            calls_stop();
            DT_CHECK_INT(w.sync, DT_ERR_IO);
            DT_CHECK_CONTAINS(w.err.message, name);
            DT_CHECK_CONTAINS(w.err.message, messages[i]);
            DT_CHECK_CONTAINS(w.err.message, ": Input/output error");
            DT_CHECK_INT(calls_count("fsync", "*"), i == 0 ? 0 : 1); /* none after a failed write */
            if (i < 2)
                DT_CHECK_INT(calls_count("pread", "*"), 0);
            DT_CHECK(unlink(path_of(name)) == 0);
        }
}

/* Also for a caller that goes on, and although the disk works again. */
static void the_first_error_of_a_writer_stays(void)
{
    char hex[33];
    dt_file_writer *writer = NULL;
    const int fd = open_new("x");
    const dt_file_writer_options o = {.fd = fd, .path = "x", .bytes = WRITER_BYTES, .largest = PIECE};
    calls_record(dt_test_temp_dir());
    calls_fail("pwrite", "x", 1, 2, EIO); /* with O_DIRECT, and through the page cache */
    DT_REQUIRE(dt_file_writer_create(&o, &writer, NULL) == DT_OK);
    for (int i = 0; i < 8; i++) /* one block */
        DT_CHECK_INT(dt_file_writer_append(writer, PIECE, NULL), DT_OK);
    DT_CHECK(ftruncate(fd, WRITER_BYTES) == 0); /* so that it can be read */
    for (int i = 0; i < 3; i++) {
        dt_error err = {0};
        DT_CHECK_INT(i == 1 ? dt_file_writer_sync_and_check(writer, &err)
                            : dt_file_writer_finish(writer, hex, &err),
                     DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, "x: cannot write ");
    }
    calls_stop();
    dt_file_writer_destroy(writer);
    close(fd);
}

static void any_bit_that_the_disk_changes_is_detected(void)
{
    for (int n = 1; n <= 4 + 2; n++) {
        const char *name = dt_test_path("%d", n);
        calls_record(dt_test_temp_dir());
        calls_flip(n <= 4 ? "pwrite" : "pread", "*", n <= 4 ? n : n - 4);
        const written w = write_file(name);
        calls_stop();
        DT_CHECK_INT(w.finish, DT_OK);
        DT_CHECK_INT(w.sync, DT_ERR_IO);
        DT_CHECK_CONTAINS(w.err.message, ": was read back with XXH3-128 ");
        DT_CHECK(unlink(path_of(name)) == 0);
    }
}

static const dt_test tests[] = {
    DT_TEST(a_write_goes_on_after_a_signal_and_after_a_part),
    DT_TEST(the_bytes_that_are_left_are_reported),
    DT_TEST(a_write_of_nothing_is_a_full_disk),
    DT_TEST(a_read_goes_on_and_reports_where_a_file_ends),
    DT_TEST(an_fsync_is_repeated_after_a_signal_only),
    DT_TEST(a_folder_is_fsynced_where_that_works),
    DT_TEST(a_rename_is_durable),
    DT_TEST(a_folder_that_cannot_be_made_is_named),
    DT_TEST(blocks_are_reserved_if_the_file_system_can),
    DT_TEST(sizes_are_rounded_to_one_digit),
    DT_TEST(a_file_is_opened_after_a_signal_and_closed_once),
    DT_TEST(a_large_file_is_fsynced_once_and_then_read_back),
    DT_TEST(a_refused_direct_call_is_made_through_the_page_cache),
    DT_TEST(any_failing_call_of_a_large_file_is_an_error),
    DT_TEST(the_first_error_of_a_writer_stays),
    DT_TEST(any_bit_that_the_disk_changes_is_detected),
};
DT_TEST_MAIN("io/durable_calls", tests)
