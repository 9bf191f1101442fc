/* Trials before a training: what cannot be written is refused with the reason, and nothing remains. */
#include "io/trial.h"

#include "core/base/fault.h"
#include "tests/testing.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int n_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    int n = 0;
    DT_REQUIRE(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static void what_can_be_written_leaves_nothing_behind(void)
{
    const char *dir = dt_test_temp_dir(), *folder = dt_test_path("%s/a/b/checkpoints", dir);
    dt_error err = {0};
    DT_CHECK_MSG(dt_trial_folder(folder, &err) == DT_OK, "%s", err.message);
    DT_CHECK_MSG(dt_trial_folder(folder, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(n_entries(folder), 0);
    DT_CHECK_MSG(dt_trial_file(dt_test_path("%s/w.safetensors", dir), &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(n_entries(dir), 1);
    DT_REQUIRE(chdir(dir) == 0);
    DT_CHECK_MSG(dt_trial_file("w.safetensors", &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(n_entries(dir), 1);
}

static void the_file_that_is_there_stays(void)
{
    const char *path = dt_test_path("%s/w", dt_test_temp_dir());
    dt_test_write_file(path, "old", 3);
    DT_CHECK_INT(dt_trial_file(path, NULL), DT_OK);
    char *now = dt_test_read_file(path, NULL);
    DT_CHECK_STR(now, "old");
    free(now);
    DT_CHECK_INT(n_entries(dt_test_temp_dir()), 1);
}

/* The export replaces the file, and its folder counts. */
static void a_link_is_followed_to_its_folder(void)
{
    const char *dir = dt_test_temp_dir();
    dt_error err = {0};
    DT_REQUIRE(mkdir(dt_test_path("%s/there", dir), 0700) == 0 &&
               symlink("there/w", dt_test_path("%s/link", dir)) == 0 &&
               symlink("missing/w", dt_test_path("%s/broken", dir)) == 0);
    DT_CHECK_MSG(dt_trial_file(dt_test_path("%s/link", dir), &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(n_entries(dt_test_path("%s/there", dir)), 0);
    DT_CHECK_INT(dt_trial_file(dt_test_path("%s/broken", dir), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "broken: its folder does not exist");
    DT_CHECK_INT(n_entries(dir), 3);
}

static void refusals_of_the_disk_are_reported(void)
{
    static const struct {
        const char *fault, *message;
    } faults[] = {{"trial.write:1", "No space left on device"}, {"trial.rename:1", "cannot rename"}};
    const char *dir = dt_test_temp_dir(), *folder = dt_test_path("%s/checkpoints", dir);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        dt_error err = {0};
        dt_fault_arm(faults[i].fault, 0, NULL);
        DT_CHECK_INT(dt_trial_folder(folder, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, faults[i].message);
        DT_CHECK_CONTAINS(err.message, folder);
        dt_fault_arm(faults[i].fault, 0, NULL);
        DT_CHECK_INT(dt_trial_file(dt_test_path("%s/w", dir), &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, faults[i].message);
        DT_CHECK_INT(n_entries(dir), 0);
    }
    dt_fault_arm(NULL, 0, NULL);
}

static void what_is_in_the_way_is_named(void)
{
    const char *dir = dt_test_temp_dir();
    char name[300];
    dt_error err = {0};
    DT_REQUIRE(mkdir(dt_test_path("%s/folder", dir), 0700) == 0 &&
               mkdir(dt_test_path("%s/w.tmp", dir), 0700) == 0);
    dt_test_write_file(dt_test_path("%s/file", dir), "", 0);
    DT_CHECK_INT(dt_trial_file(dt_test_path("%s/folder", dir), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "there is a folder where a file should be");
    DT_CHECK_INT(dt_trial_file(dt_test_path("%s/w", dir), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "w.tmp: there is a folder where a file should be");
    DT_REQUIRE(mkfifo(dt_test_path("%s/pipe", dir), 0600) == 0);
    DT_REQUIRE(symlink("/dev/null", dt_test_path("%s/null", dir)) == 0);
    DT_REQUIRE(symlink("/proc/self/exe", dt_test_path("%s/open", dir)) ==
               0); /* a file, as /dev/stdout can be */
    static const char *const refused[] = {"pipe", "null", "open"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        DT_CHECK_INT(dt_trial_file(dt_test_path("%s/%s", dir, refused[i]), &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, "is not a regular file");
    }
    DT_CHECK_INT(dt_trial_folder(dt_test_path("%s/file", dir), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "file");
    DT_CHECK_INT(dt_trial_file("/nowhere/w", &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "No such file");
    DT_CHECK_INT(dt_trial_folder("/sys/checkpoints", &err), DT_ERR_IO);
    DT_CHECK_MSG(!strstr(err.message, "No such file"), "%s", err.message);
    memset(name, 'x', 252); /* fits, and with .tmp no more */
    name[252] = '\0';
    DT_CHECK_INT(dt_trial_file(dt_test_path("%s/%s", dir, name), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "File name too long");
    name[251] = '\0';
    DT_CHECK_INT(dt_trial_file(dt_test_path("%s/%s", dir, name), NULL), DT_OK);
    DT_CHECK_INT(n_entries(dir), 6);
}

static const dt_test tests[] = {
    DT_TEST(what_can_be_written_leaves_nothing_behind),
    DT_TEST(the_file_that_is_there_stays),
    DT_TEST(a_link_is_followed_to_its_folder),
    DT_TEST(refusals_of_the_disk_are_reported),
    DT_TEST(what_is_in_the_way_is_named),
};
DT_TEST_MAIN("io/trial", tests)
