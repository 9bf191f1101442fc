/* core/base/shared_library.h with copies of one small library (tests/fakes/fake_library.so) in all places. */
#define _GNU_SOURCE
#include "core/base/shared_library.h"

#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const homes[] = {"FAKE_HOME", "FAKE_ROOT", NULL}, *const wheels[] = {"fake", "cu13", NULL};
static char built[512];
static const dt_shared_library fake = {.name = "Fake",
                                       .file = "libdtfake.so.1",
                                       .wanted_by = "--fake",
                                       .homes = homes,
                                       .built_dir = built,
                                       .wheels = wheels};

/* The folders in which the library is looked for, in order; each is below the test's own. */
static const char *const places[] = {"home/lib64",
                                     "home/lib",
                                     "home",
                                     "root/lib",
                                     "path1",
                                     "path2",
                                     "built",
                                     "cuda/lib64",
                                     "cuda2/lib",
                                     "conda/lib",
                                     "venv/lib/python3.11/site-packages/nvidia/fake/lib",
                                     "venv/lib/python3.12/dist-packages/nvidia/cu13/lib",
                                     "conda/lib/python3.9/site-packages/nvidia/fake/lib",
                                     "user/.local/lib/python3.11/site-packages/nvidia/cu13/lib"};
enum { N_PLACES = sizeof places / sizeof *places };

static void make_folders(const char *path)
{
    char part[1024];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        (void)mkdir(part, 0700);
    }
}

static const char *path_in(const char *place)
{
    return dt_test_path("%s/%s/%s", dt_test_temp_dir(), place, fake.file);
}

static void put(const char *path)
{
    size_t n_bytes = 0;
    char program[1024] = "";
    DT_REQUIRE(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    *strrchr(program, '/') = '\0'; /* build/tests/core/base */
    char *library = dt_test_read_file(dt_test_path("%s/../../fakes/fake_library.so", program), &n_bytes);
    DT_REQUIRE(library != NULL);
    make_folders(path);
    dt_test_write_file(path, library, n_bytes);
    free(library);
}

static void set(const char *variable, const char *folder)
{
    setenv(variable, dt_test_path("%s/%s", dt_test_temp_dir(), folder), 1);
}

static void set_all(void)
{
    const char *dir = dt_test_temp_dir();
    set("FAKE_HOME", "home");
    set("FAKE_ROOT", "root");
    setenv("LD_LIBRARY_PATH", dt_test_path("relative::%s/path1:%s/path2", dir, dir), 1);
    snprintf(built, sizeof built, "%s/built", dir);
    set("CUDA_HOME", "cuda");
    set("CUDA_PATH", "cuda2");
    set("CONDA_PREFIX", "conda");
    set("VIRTUAL_ENV", "venv");
    set("HOME", "user");
}

static void unset_all(void)
{
    static const char *const variables[] = {"FAKE_HOME", "FAKE_ROOT",    "LD_LIBRARY_PATH", "CUDA_HOME",
                                            "CUDA_PATH", "CONDA_PREFIX", "VIRTUAL_ENV",     "HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    built[0] = '\0';
}

static void expect_from(const char *expected)
{
    dt_error err = {0};
    char path[1024];
    void *handle = NULL, *address = NULL;
    DT_REQUIRE_MSG(dt_shared_library_open(&fake, &handle, &err) == DT_OK, "%s: %s", expected, err.message);
    dt_shared_library_path(&fake, handle, path, sizeof path);
    DT_CHECK_STR(path, expected);
    DT_CHECK_INT(dt_shared_library_symbol(&fake, handle, "cudnnGetVersion", &address, &err), DT_OK);
    DT_CHECK(address != NULL);
}

/* The library is put into the last place, then also into the one before it, and so on. */
static void the_places_are_tried_in_the_stated_order(void)
{
    unset_all();
    set_all();
    for (int i = N_PLACES - 1; i >= 0; i--) {
        put(path_in(places[i]));
        expect_from(path_in(places[i]));
    }
}

static void the_system_is_asked_after_the_folder_of_configure(void)
{
    dt_error err = {0};
    void *handle = NULL;
    char path[1024];
    dt_shared_library libm = fake;
    libm.file = "libm.so.6";
    unset_all();
    set("CUDA_HOME", "cuda");
    put(dt_test_path("%s/cuda/lib64/libm.so.6", dt_test_temp_dir()));
    DT_REQUIRE_MSG(dt_shared_library_open(&libm, &handle, &err) == DT_OK, "%s", err.message);
    dt_shared_library_path(&libm, handle, path, sizeof path);
    DT_CHECK_CONTAINS(path, "libm.so.6");
    DT_CHECK_MSG(strstr(path, dt_test_temp_dir()) == NULL, "%s", path);
}

static void a_missing_library_is_named_with_all_places(void)
{
    dt_error err = {0};
    void *handle = NULL;
    unset_all();
    set_all();
    DT_CHECK_INT(dt_shared_library_open(&fake, &handle, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK(handle == NULL);
    DT_CHECK_CONTAINS(err.message,
                      "--fake needs Fake, and libdtfake.so.1 is in none of these places: FAKE_HOME (");
    DT_CHECK_CONTAINS(err.message, "/home), FAKE_ROOT (");
    DT_CHECK_CONTAINS(err.message, "LD_LIBRARY_PATH, ");
    DT_CHECK_CONTAINS(err.message, "/built, the system's folders, CUDA_HOME (");
    DT_CHECK_CONTAINS(err.message, "set FAKE_HOME to its folder");
    unset_all();
    DT_CHECK_INT(dt_shared_library_open(&fake, &handle, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message,
                      "places: the system's folders, /usr/local/cuda, Python's nvidia packages; install it");
}

static void a_file_that_does_not_load_is_named_with_the_reason(void)
{
    dt_error err = {0};
    void *handle = NULL;
    unset_all();
    set_all();
    make_folders(path_in("home/lib64"));
    dt_test_write_file(path_in("home/lib64"), "no library\n", 11);
    DT_CHECK_INT(dt_shared_library_open(&fake, &handle, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "--fake needs Fake, which does not load: ");
    DT_CHECK_CONTAINS(err.message, path_in("home/lib64"));
    /* who names a folder does not get the library of another place, but one of another named folder */
    put(path_in("path2"));
    DT_CHECK_INT(dt_shared_library_open(&fake, &handle, &err), DT_ERR_UNSUPPORTED);
    put(path_in("root/lib"));
    expect_from(path_in("root/lib"));
}

static void a_named_folder_may_be_relative(void)
{
    char before[4096];
    unset_all();
    setenv("FAKE_HOME", "home", 1);
    put(path_in("home/lib"));
    DT_REQUIRE(getcwd(before, sizeof before) != NULL && chdir(dt_test_temp_dir()) == 0);
    expect_from(path_in("home/lib"));
    DT_REQUIRE(chdir(before) == 0); /* qemu-user finds the program by its relative path */
}

static void a_library_without_a_function_is_too_old(void)
{
    dt_error err = {0};
    void *handle = NULL, *address = &err;
    unset_all();
    set_all();
    put(path_in("home"));
    DT_REQUIRE(dt_shared_library_open(&fake, &handle, &err) == DT_OK);
    DT_CHECK_INT(dt_shared_library_symbol(&fake, handle, "fakeNewest", &address, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK(address == &err);
    DT_CHECK_CONTAINS(err.message, "--fake needs a newer Fake: ");
    DT_CHECK_CONTAINS(err.message, path_in("home"));
    DT_CHECK_CONTAINS(err.message, "has no function fakeNewest; set FAKE_HOME");
}

/* -- loading once ---------------------------------------------------------------------------------------- */

static int64_t found_version;
static int n_found;
static dt_status find_result;

static dt_status find(void *handle, int64_t *version, dt_error *err)
{
    DT_CHECK(handle != NULL);
    n_found++;
    *version = found_version;
    return find_result == DT_OK ? DT_OK : dt_fail(err, find_result, "a function is missing");
}

static void a_library_is_loaded_once_if_it_is_new_enough(void)
{
    dt_error err = {0};
    void *handle = NULL;
    dt_shared_library library = fake;
    library.oldest = 90100;
    unset_all();
    set_all();
    put(path_in("home"));
    n_found = 0;
    find_result = DT_ERR_UNSUPPORTED;
    DT_CHECK_INT(dt_shared_library_load(&library, find, &handle, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_STR(err.message, "a function is missing");
    find_result = DT_OK;
    found_version = 90099;
    DT_CHECK_INT(dt_shared_library_load(&library, find, &handle, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "--fake needs Fake 9.1.0 or later: ");
    DT_CHECK_CONTAINS(err.message, path_in("home"));
    DT_CHECK_CONTAINS(err.message, " is version 9.0.99; set FAKE_HOME to the folder of a newer one");
    DT_CHECK(handle == NULL);
    found_version = 90100;
    DT_CHECK_INT(dt_shared_library_load(&library, find, &handle, &err), DT_OK);
    DT_CHECK(handle != NULL);
    DT_CHECK_INT(n_found, 3);
    DT_CHECK_INT(dt_shared_library_load(&library, find, &handle, &err), DT_OK);
    DT_CHECK_INT(n_found, 3);
}

static void versions_are_written_as_their_libraries_count(void)
{
    static const struct {
        int64_t number;
        const char *text;
    } cases[] = {{91900, "9.19.0"}, {90000, "9.0.0"}, {8907, "8.9.7"}, {22809, "2.28.9"}, {2708, "2.7.8"}};
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_shared_library_version(cases[i].number, text, sizeof text);
        DT_CHECK_STR(text, cases[i].text);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_places_are_tried_in_the_stated_order),
    DT_TEST(the_system_is_asked_after_the_folder_of_configure),
    DT_TEST(a_missing_library_is_named_with_all_places),
    DT_TEST(a_file_that_does_not_load_is_named_with_the_reason),
    DT_TEST(a_named_folder_may_be_relative),
    DT_TEST(a_library_without_a_function_is_too_old),
    DT_TEST(a_library_is_loaded_once_if_it_is_new_enough),
    DT_TEST(versions_are_written_as_their_libraries_count),
};
DT_TEST_MAIN("core/base/shared_library", tests)
