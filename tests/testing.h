/*
 * testing.h: what every unit test is written with, a thin layer over CUnit.
 *
 * To add a test: write tests/FOLDER/NAME_test.c as below and add `FOLDER_TESTS += tests/FOLDER/NAME_test` to
 * tests/FOLDER.mk.
 *
 *     #include "tests/testing.h"
 *
 *     static void equal_seeds_give_equal_numbers(void)
 *     {
 *         DT_CHECK_INT(dt_rng_next(7), dt_rng_next(7));
 *     }
 *
 *     static const dt_test tests[] = {DT_TEST(equal_seeds_give_equal_numbers)};
 *     DT_TEST_MAIN("core/rng", tests)
 *
 * The program runs all its tests, or with arguments those whose name contains one of them; `--list` names
 * them. DT_TEST_MAIN_RANKS starts itself under mpirun first. A program has 120 seconds (dt_test_time_limit_s
 * changes that), then it says which test it was in and ends with code 124. Otherwise the exit code is 0, 1
 * when a test failed, 77 when all were skipped; the last line is `N passed, N failed, N skipped`.
 *
 * A DT_CHECK that fails is reported and the test goes on; a DT_REQUIRE that fails ends the test.
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

/* main() for a table of tests. `suite` is the file's place in tests/, for example "core/rng". */
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

/* Checks. Each evaluates its arguments once, and prints values and place when it fails. */
#define DT_CHECK(condition) ((void)dt_test_check((condition), false, __FILE__, __LINE__, #condition))
#define DT_REQUIRE(condition) ((void)dt_test_check((condition), true, __FILE__, __LINE__, #condition))
/* The same with a message of your own, printf-like. */
#define DT_CHECK_MSG(condition, ...)                                                                         \
    ((void)dt_test_check_msg((condition), false, __FILE__, __LINE__, __VA_ARGS__))
#define DT_REQUIRE_MSG(condition, ...)                                                                       \
    ((void)dt_test_check_msg((condition), true, __FILE__, __LINE__, __VA_ARGS__))
/* Fails the test and goes on. */
#define DT_FAIL(...) ((void)dt_test_check_msg(false, false, __FILE__, __LINE__, __VA_ARGS__))
/* Integers of any type. */
#define DT_CHECK_INT(actual, expected)                                                                       \
    ((void)dt_test_check_int((int64_t)(actual), (int64_t)(expected), __FILE__, __LINE__, #actual))
/* Strings; NULL equals NULL only. */
#define DT_CHECK_STR(actual, expected)                                                                       \
    ((void)dt_test_check_str((actual), (expected), __FILE__, __LINE__, #actual))
/* That text contains part. */
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

/* Ends the test as skipped; only in the test function itself. Say what is missing. */
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
 * The largest |actual - expected| divided by the largest |expected| (or by 1e-30 if that is smaller). Not the
 * ratio element by element: an element near zero that came out of a long sum has an absolute error of the
 * size of the others. Infinity when either array holds a NaN or an infinity that the other has not.
 */
double dt_test_relative_error(const float *actual, const float *expected, int64_t n_elems);

/* Deterministic numbers in [-1, 1), the same on every machine. */
void dt_test_fill_random(float *out, int64_t n_elems, uint64_t seed);

/*
 * A fresh empty folder for the running test; it and all in it is removed when the test ends. The same one
 * when called again in the same test. The string belongs to the harness. Ends the program when it cannot be
 * made.
 */
const char *dt_test_temp_dir(void);

/* dir/name as printf would put it together, in one of 16 buffers used in turn. */
const char *dt_test_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A file with this content. Ends the test when it cannot be written. */
void dt_test_write_file(const char *path, const void *content, size_t n_bytes);

/* The content of a file, with a zero byte after it; free() it. NULL when it cannot be read. n_bytes may be
 * NULL. */
char *dt_test_read_file(const char *path, size_t *n_bytes);

/* The path of a file of the source tree. */
const char *dt_test_source_path(const char *name);

/* The path of a file of the shared data folder beside the checkout, or NULL where there is none: then
 * DT_SKIP. */
const char *dt_test_shared_data(const char *name);

/* Below here: what the macros call. */
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
