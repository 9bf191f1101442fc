/* Files that are replaced: links are followed, modes stay, and what is no file is left as it is. */
#include "io/replace.h"

#include "io/weights/safetensors.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_content(const char *path, const char *expected)
{
    char *text = dt_test_read_file(path, NULL);
    DT_CHECK_STR(text, expected);
    free(text);
}

static struct stat stat_of(const char *path)
{
    struct stat st = {0};
    DT_CHECK_MSG(lstat(path, &st) == 0, "%s is gone", path);
    return st;
}

static void a_new_file_has_the_usual_mode(void)
{
    dt_error err = {0};
    const char *path = dt_test_path("%s/new", dt_test_temp_dir());
    const mode_t mask = umask(022);
    DT_CHECK_MSG(dt_replace_file(path, "text", 4, &err) == DT_OK, "%s", err.message);
    umask(mask);
    check_content(path, "text");
    DT_CHECK_INT(stat_of(path).st_mode & 07777, 0644);
    DT_CHECK(access(dt_test_path("%s.tmp", path), F_OK) != 0);
}

static void a_file_keeps_its_mode(void)
{
    static const mode_t modes[] = {0600, 0644, 0666, 0400};
    const char *path = dt_test_path("%s/kept", dt_test_temp_dir());
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        dt_error err = {0};
        (void)unlink(path);
        dt_test_write_file(path, "old", 3);
        DT_REQUIRE(chmod(path, modes[i]) == 0);
        DT_CHECK_MSG(dt_replace_file(path, "new", 3, &err) == DT_OK, "%s", err.message);
        DT_CHECK_INT(stat_of(path).st_mode & 07777, modes[i]);
        check_content(path, "new");
    }
}

/* A link to a link in another folder, whose path is relative to that folder. */
static void links_stay_and_lead_to_the_new_content(void)
{
    const char *dir = dt_test_temp_dir();
    dt_error err = {0};
    DT_REQUIRE(mkdir(dt_test_path("%s/other", dir), 0700) == 0 &&
               symlink("target", dt_test_path("%s/other/inner", dir)) == 0 &&
               symlink("other/inner", dt_test_path("%s/outer", dir)) == 0);
    for (int i = 0; i < 2; i++) { /* there is no target at first */
        const char *text = i ? "second" : "first";
        DT_CHECK_MSG(dt_replace_file(dt_test_path("%s/outer", dir), text, (int64_t)strlen(text), &err) ==
                         DT_OK,
                     "%s", err.message);
        DT_CHECK(S_ISLNK(stat_of(dt_test_path("%s/outer", dir)).st_mode) &&
                 S_ISLNK(stat_of(dt_test_path("%s/other/inner", dir)).st_mode));
        DT_CHECK(S_ISREG(stat_of(dt_test_path("%s/other/target", dir)).st_mode));
        check_content(dt_test_path("%s/other/target", dir), text);
    }
    DT_REQUIRE(symlink("loop", dt_test_path("%s/loop", dir)) == 0);
    DT_CHECK_INT(dt_replace_file(dt_test_path("%s/loop", dir), "x", 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "loop: Too many levels of symbolic links");
}

static void what_is_no_file_is_refused_and_stays(void)
{
    static const char *const refused[] = {"pipe", "link", "open"};
    const char *dir = dt_test_temp_dir();
    dt_error err = {0};
    DT_REQUIRE(mkfifo(dt_test_path("%s/pipe", dir), 0600) == 0 &&
               symlink("pipe", dt_test_path("%s/link", dir)) == 0 &&
               symlink("/proc/self/exe", dt_test_path("%s/open", dir)) == 0); /* as /dev/stdout can be */
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const char *path = dt_test_path("%s/%s", dir, refused[i]);
        const mode_t mode = stat_of(path).st_mode;
        DT_CHECK_INT(dt_replace_file(path, "x", 1, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, "is not a regular file, and would be replaced by one");
        DT_CHECK_CONTAINS(err.message, path);
        DT_CHECK_INT(stat_of(path).st_mode, mode);
        DT_CHECK(access(dt_test_path("%s.tmp", path), F_OK) != 0);
    }
    DT_CHECK_INT(dt_replace_file(dir, "x", 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "there is a folder where a file should be");
    DT_CHECK_INT(dt_replace_file("/nowhere/x", "x", 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/nowhere/x: its folder does not exist");
}

/* An export is too large for one call, and is written part by part. */
static void an_export_follows_a_link_and_keeps_a_mode(void)
{
    static const dt_safetensors_tensor tensor = {.name = "x", .dtype = DT_F32};
    const char *dir = dt_test_temp_dir(), *link = dt_test_path("%s/link", dir);
    dt_safetensors_writer *w = NULL;
    dt_error err = {0};
    dt_test_write_file(dt_test_path("%s/weights", dir), "old", 3);
    DT_REQUIRE(chmod(dt_test_path("%s/weights", dir), 0600) == 0 && symlink("weights", link) == 0);
    DT_REQUIRE_MSG(dt_safetensors_writer_create(link, &tensor, 1, NULL, &w, &err) == DT_OK, "%s",
                   err.message);
    DT_CHECK_INT(dt_safetensors_writer_add(w, "x", &(float){1}, &err), DT_OK);
    DT_CHECK_INT(dt_safetensors_writer_commit(w, &err), DT_OK);
    dt_safetensors_writer_destroy(w);
    DT_CHECK(S_ISLNK(stat_of(link).st_mode));
    const struct stat st = stat_of(dt_test_path("%s/weights", dir));
    DT_CHECK((st.st_mode & 07777) == 0600 && st.st_size > 3);
}

/* PATH.tmp may be another user's link to a file of this one's. */
static void a_link_in_the_place_of_the_temporary_file_is_not_followed(void)
{
    const char *dir = dt_test_temp_dir();
    dt_error err = {0};
    dt_test_write_file(dt_test_path("%s/precious", dir), "old", 3);
    DT_REQUIRE(symlink("precious", dt_test_path("%s/x.tmp", dir)) == 0);
    DT_CHECK_INT(dt_replace_file(dt_test_path("%s/x", dir), "new", 3, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "x.tmp");
    check_content(dt_test_path("%s/precious", dir), "old");
}

static const dt_test tests[] = {
    DT_TEST(a_new_file_has_the_usual_mode),
    DT_TEST(a_file_keeps_its_mode),
    DT_TEST(links_stay_and_lead_to_the_new_content),
    DT_TEST(what_is_no_file_is_refused_and_stays),
    DT_TEST(an_export_follows_a_link_and_keeps_a_mode),
    DT_TEST(a_link_in_the_place_of_the_temporary_file_is_not_followed),
};
DT_TEST_MAIN("io/replace", tests)
