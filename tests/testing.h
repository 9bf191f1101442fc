/*
 * testing.h: the harness of all unit tests, a thin layer over CUnit.
 *
 * To add a test: write tests/FOLDER/NAME_test.c as below and add `FOLDER_TESTS += tests/FOLDER/NAME_test` to
 * tests/FOLDER.mk.
 *
 *     #include "core/base/rng.h"
 *     #include "tests/testing.h"
 *
 *     static void equal_seeds_give_equal_numbers(void)
 *     {
 *         dt_rng a = dt_rng_at(1, DT_RNG_AUGMENT, 0, 0), b = a;
 *         DT_CHECK_INT(dt_rng_u32(&a), dt_rng_u32(&b));
 *     }
 *
 *     static const dt_test tests[] = {DT_TEST(equal_seeds_give_equal_numbers)};
 *     DT_TEST_MAIN("core/base/rng", tests)
 *
 * The program runs all its tests, or only those whose names contain one of its arguments; `--list` prints the
 * names. DT_TEST_MAIN_RANKS starts the program under mpirun first. After 120 seconds (dt_test_time_limit_s
 * changes that) the program prints the name of the running test and ends with code 124. Otherwise the exit
 * code is 0, 1 when a test failed, 77 when all were skipped; the last line is `N passed, N failed, N
 * skipped`.
 *
 * After a DT_CHECK fails, the test continues; a DT_REQUIRE that fails ends the test.
 */
#ifndef DTRAIN_TESTS_TESTING_H
#define DTRAIN_TESTS_TESTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dt_test {
    const char *name;
    void (*run)(void);
} dt_test;

/* A row of the table of tests. Name it after the behaviour: resume_after_kill_gives_the_same_bits. */
/* clang-format off */
#define DT_TEST(function) {#function, function}
/* clang-format on */

/* main() for a table of tests. `suite` is the file's path in tests/ without _test.c: "core/base/rng". */
#define DT_TEST_MAIN(suite, tests) DT_TEST_MAIN_RANKS(suite, tests, 0)

/*
 * main() for tests that are collective over MPI: the program replaces itself by `mpirun -np n_ranks PROGRAM`
 * unless it already runs under mpirun. The tests call MPI_Init_thread themselves, in dt_test_set_up for
 * example. Every rank runs every test; rank 0 alone prints the summary, and a failure on any rank fails the
 * program.
 */
#define DT_TEST_MAIN_RANKS(suite, tests, n_ranks)                                                            \
    int main(int argc, char **argv)                                                                          \
    {                                                                                                        \
        return dt_test_main(suite, tests, sizeof(tests) / sizeof((tests)[0]), n_ranks, argc, argv);          \
    }

/* A test file may define these; testing.c has weak ones. */
extern int dt_test_time_limit_s; /* for the whole program; 120 unless defined; multiplied under a sanitizer */
void dt_test_set_up(void);       /* called once before the first test */
void dt_test_tear_down(void);    /* called once after the last test */

/* Checks. Each evaluates its arguments once, and prints values, file and line when it fails. */
#define DT_CHECK(condition) ((void)dt_test_check((condition), false, __FILE__, __LINE__, #condition))
#define DT_REQUIRE(condition) ((void)dt_test_check((condition), true, __FILE__, __LINE__, #condition))
/* The same with a message, as for printf. */
#define DT_CHECK_MSG(condition, ...)                                                                         \
    ((void)dt_test_check_msg((condition), false, __FILE__, __LINE__, __VA_ARGS__))
#define DT_REQUIRE_MSG(condition, ...)                                                                       \
    ((void)dt_test_check_msg((condition), true, __FILE__, __LINE__, __VA_ARGS__))
/* Fails the test and continues. */
#define DT_FAIL(...) ((void)dt_test_check_msg(false, false, __FILE__, __LINE__, __VA_ARGS__))
/* Integers of any type. */
#define DT_CHECK_INT(actual, expected)                                                                       \
    ((void)dt_test_check_int((int64_t)(actual), (int64_t)(expected), __FILE__, __LINE__, #actual))
/* Strings; NULL equals NULL only. */
#define DT_CHECK_STR(actual, expected)                                                                       \
    ((void)dt_test_check_str((actual), (expected), __FILE__, __LINE__, #actual))
/* text contains part. */
#define DT_CHECK_CONTAINS(text, part)                                                                        \
    ((void)dt_test_check_contains((text), (part), __FILE__, __LINE__, #text))
/* Memory, byte for byte. */
#define DT_CHECK_BYTES(actual, expected, n_bytes)                                                            \
    ((void)dt_test_check_bytes((actual), (expected), (n_bytes), __FILE__, __LINE__, #actual))
/* One number: |actual - expected| <= tolerance. */
#define DT_CHECK_CLOSE(actual, expected, tolerance)                                                          \
    ((void)dt_test_check_close((actual), (expected), (tolerance), __FILE__, __LINE__, #actual))
/* Arrays of n_elems floats: dt_test_relative_error(actual, expected) <= tolerance. */
#define DT_CHECK_NEAR(actual, expected, n_elems, tolerance)                                                  \
    ((void)dt_test_check_near((actual), (expected), (n_elems), (tolerance), __FILE__, __LINE__, #actual))

/* Ends the test as skipped, with a message that names what is missing. Only in the test function itself. */
#define DT_SKIP(...)                                                                                         \
    do {                                                                                                     \
        dt_test_skip(__VA_ARGS__);                                                                           \
        return;                                                                                              \
    } while (0)
/* First line of a test that takes longer than a few seconds: skipped unless `make check-long` runs it. */
#define DT_LONG_TEST()                                                                                       \
    do {                                                                                                     \
        if (!dt_test_long_wanted())                                                                          \
            DT_SKIP("long: run by make check-long");                                                         \
    } while (0)

/*
 * The largest |actual - expected| divided by the largest |expected| (or by 1e-30 if that is smaller). It is
 * not the ratio of each element, because an element near zero that results from a long sum has an absolute
 * error as large as the others. Infinity if one array has a NaN or an infinity that the other does not have.
 */
double dt_test_relative_error(const float *actual, const float *expected, int64_t n_elems);

/* Deterministic numbers in [-1, 1), the same on every machine. */
void dt_test_fill_random(float *out, int64_t n_elems, uint64_t seed);

/*
 * A new, empty folder for the running test; another call in the same test returns the same folder. The
 * harness removes it with its contents when the test ends. It owns the string. Ends the program when it
 * cannot make the folder.
 */
const char *dt_test_temp_dir(void);

/* A path, formatted as by printf, in one of 16 buffers that are used in turn. */
const char *dt_test_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Write a file. Ends the test when it cannot. */
void dt_test_write_file(const char *path, const void *content, size_t n_bytes);

/* The content of a file, with a zero byte after it; the caller calls free(). NULL when it cannot be read.
 * n_bytes may be NULL. */
char *dt_test_read_file(const char *path, size_t *n_bytes);

/* The path of a file of the source tree. */
const char *dt_test_source_path(const char *name);

/* The path of a file in the shared data folder beside the checkout; NULL if there is none: then use
 * DT_SKIP. */
const char *dt_test_shared_data(const char *name);

/* The functions below are for the macros. */
int dt_test_main(const char *suite, const dt_test *tests, size_t n_tests, int n_ranks, int argc, char **argv);
bool dt_test_check(bool ok, bool fatal, const char *file, int line, const char *text);
bool dt_test_check_msg(bool ok, bool fatal, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
bool dt_test_check_int(int64_t actual, int64_t expected, const char *file, int line, const char *text);
bool dt_test_check_str(const char *actual, const char *expected, const char *file, int line,
                       const char *text);
bool dt_test_check_contains(const char *text, const char *part, const char *file, int line, const char *name);
bool dt_test_check_bytes(const void *actual, const void *expected, size_t n_bytes, const char *file, int line,
                         const char *text);
bool dt_test_check_close(double actual, double expected, double tolerance, const char *file, int line,
                         const char *text);
bool dt_test_check_near(const float *actual, const float *expected, int64_t n_elems, double tolerance,
                        const char *file, int line, const char *text);
void dt_test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool dt_test_long_wanted(void);

#endif
