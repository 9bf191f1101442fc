#include "tests/testing.h"

#include <CUnit/Basic.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Automake's exit code for a skipped test, and timeout(1)'s for one that took too long. */
enum { EXIT_SKIPPED = 77, EXIT_TIMED_OUT = 124 };

__attribute__((weak)) int dt_test_time_limit_s = 120;

__attribute__((weak)) void dt_test_set_up(void)
{
}

__attribute__((weak)) void dt_test_tear_down(void)
{
}

static const char *suite_name;
static const dt_test *all_tests;
static const char *volatile current_test = "(set-up)";
static bool current_skipped;
static int n_skipped;
static char temp_dir[4096];

/* Open MPI's mpirun, MPICH's mpiexec; NULL: started by none. */
static const char *rank_from_launcher(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    return rank != NULL ? rank : getenv("PMI_RANK");
}

static int rank_of_this_process(void)
{
    const char *rank = rank_from_launcher();
    return rank != NULL ? atoi(rank) : 0;
}

/* Reporting */

static bool report(bool ok, bool fatal, const char *file, int line, const char *message)
{
    return CU_assertImplementation(ok, (unsigned)line, message, file, current_test, fatal) == CU_TRUE;
}

bool dt_test_check(bool ok, bool fatal, const char *file, int line, const char *text)
{
    return report(ok, fatal, file, line, text);
}

bool dt_test_check_msg(bool ok, bool fatal, const char *file, int line, const char *format, ...)
{
    char message[1024] = "";
    if (!ok) {
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
    }
    return report(ok, fatal, file, line, message);
}

bool dt_test_check_int(int64_t actual, int64_t expected, const char *file, int line, const char *text)
{
    return dt_test_check_msg(actual == expected, false, file, line, "%s is %lld, expected %lld", text,
                             (long long)actual, (long long)expected);
}

bool dt_test_check_str(const char *actual, const char *expected, const char *file, int line, const char *text)
{
    bool same = actual == expected || (actual != NULL && expected != NULL && strcmp(actual, expected) == 0);
    return dt_test_check_msg(same, false, file, line, "%s is \"%s\", expected \"%s\"", text,
                             actual != NULL ? actual : "(null)", expected != NULL ? expected : "(null)");
}

bool dt_test_check_contains(const char *text, const char *part, const char *file, int line, const char *name)
{
    bool contains = text != NULL && strstr(text, part) != NULL;
    return dt_test_check_msg(contains, false, file, line, "%s is \"%s\", without \"%s\"", name,
                             text != NULL ? text : "(null)", part);
}

bool dt_test_check_bytes(const void *actual, const void *expected, size_t n_bytes, const char *file, int line,
                         const char *text)
{
    const unsigned char *a = actual;
    const unsigned char *e = expected;
    size_t at = 0;
    while (at < n_bytes && a[at] == e[at])
        at++;
    return dt_test_check_msg(at == n_bytes, false, file, line, "%s differs first at byte %zu of %zu", text,
                             at, n_bytes);
}

bool dt_test_check_close(double actual, double expected, double tolerance, const char *file, int line,
                         const char *text)
{
    bool close = fabs(actual - expected) <= tolerance;
    return dt_test_check_msg(close, false, file, line, "%s is %.9g, expected %.9g within %.3g", text, actual,
                             expected, tolerance);
}

double dt_test_relative_error(const float *actual, const float *expected, int64_t n_elems)
{
    double largest_error = 0;
    double largest = 1e-30;
    for (int64_t i = 0; i < n_elems; i++) {
        double a = (double)actual[i];
        double e = (double)expected[i];
        if (!isfinite(a) || !isfinite(e)) {
            if (!(a == e || (isnan(a) && isnan(e))))
                return INFINITY;
            continue;
        }
        largest_error = fmax(largest_error, fabs(a - e));
        largest = fmax(largest, fabs(e));
    }
    return largest_error / largest;
}

bool dt_test_check_near(const float *actual, const float *expected, int64_t n_elems, double tolerance,
                        const char *file, int line, const char *text)
{
    double error = dt_test_relative_error(actual, expected, n_elems);
    int64_t worst = 0;
    for (int64_t i = 1; i < n_elems; i++)
        if (!(fabs((double)actual[i] - (double)expected[i]) <=
              fabs((double)actual[worst] - (double)expected[worst])))
            worst = i;
    if (n_elems <= 0)
        return report(true, false, file, line, text);
    return dt_test_check_msg(error <= tolerance, false, file, line,
                             "%s: relative error %.3g, allowed %.3g; worst at [%lld]: %.9g, expected %.9g",
                             text, error, tolerance, (long long)worst, (double)actual[worst],
                             (double)expected[worst]);
}

void dt_test_skip(const char *format, ...)
{
    va_list args;
    current_skipped = true;
    if (rank_of_this_process() != 0)
        return;
    printf("skipped: ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" ... ");
}

bool dt_test_long_wanted(void)
{
    const char *wanted = getenv("DTRAIN_TEST_LONG");
    return wanted != NULL && strcmp(wanted, "1") == 0;
}

/* Data and files */

void dt_test_fill_random(float *out, int64_t n_elems, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
    for (int64_t i = 0; i < n_elems; i++) {
        /* xorshift64*: good enough for test data, and independent of the generator under test. */
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        uint32_t bits = (uint32_t)((state * 0x2545f4914f6cdd1dU) >> 40);
        out[i] = (float)bits / 8388608.0F - 1.0F;
    }
}

/* End the program, because the harness itself cannot continue. */
__attribute__((noreturn, format(printf, 1, 2))) static void harness_failed(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s: in %s: ", suite_name, current_test);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(99); /* automake: a hard error, not a failed test */
}

const char *dt_test_path(const char *format, ...)
{
    static char buffers[16][4096];
    static unsigned next;
    char *buffer = buffers[next++ % 16];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(buffer, sizeof buffers[0], format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof buffers[0])
        harness_failed("a path of more than %zu bytes", sizeof buffers[0] - 1);
    return buffer;
}

const char *dt_test_temp_dir(void)
{
    if (temp_dir[0] == '\0') {
        const char *base = getenv("TMPDIR");
        snprintf(temp_dir, sizeof temp_dir, "%s/dtrain-test-XXXXXX",
                 base != NULL && *base != '\0' ? base : "/tmp");
        if (mkdtemp(temp_dir) == NULL)
            harness_failed("cannot make the folder %s: %s", temp_dir, strerror(errno));
    }
    return temp_dir;
}

static void remove_tree(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return;
    if (!S_ISDIR(status.st_mode)) {
        unlink(path);
        return;
    }
    chmod(path, 0700);
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inner[8192];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) < (int)sizeof inner)
            remove_tree(inner);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

static void remove_temp_dir(void)
{
    if (temp_dir[0] != '\0')
        remove_tree(temp_dir);
    temp_dir[0] = '\0';
}

void dt_test_write_file(const char *path, const void *content, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && fwrite(content, 1, n_bytes, file) == n_bytes;
    if (file != NULL)
        written = fclose(file) == 0 && written;
    DT_REQUIRE_MSG(written, "cannot write %s: %s", path, strerror(errno));
}

char *dt_test_read_file(const char *path, size_t *n_bytes)
{
    FILE *file = fopen(path, "rb");
    char *content = NULL;
    size_t length = 0;
    size_t got = 0;
    if (file == NULL)
        return NULL;
    do {
        char *larger = realloc(content, length + 65536 + 1);
        if (larger == NULL)
            harness_failed("no memory to read %s", path);
        content = larger;
        got = fread(content + length, 1, 65536, file);
        length += got;
    } while (got > 0);
    content[length] = '\0';
    if (ferror(file)) {
        free(content);
        content = NULL;
    }
    fclose(file);
    if (n_bytes != NULL && content != NULL)
        *n_bytes = length;
    return content;
}

const char *dt_test_source_path(const char *name)
{
    return dt_test_path("%s/%s", DT_TEST_TOP_SRCDIR, name);
}

const char *dt_test_shared_data(const char *name)
{
    const char *path = dt_test_path("%s/../shared/data/%s", DT_TEST_TOP_SRCDIR, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* Running */

static void time_is_up(int signal_number)
{
    /* Only async-signal-safe calls. */
    static const char before[] = "\ntime limit reached in ";
    static const char after[] = "\n0 passed, 1 failed\n";
    const char *name = current_test;
    (void)signal_number;
    if (write(STDOUT_FILENO, before, sizeof before - 1) < 0 || write(STDOUT_FILENO, name, strlen(name)) < 0 ||
        write(STDOUT_FILENO, after, sizeof after - 1) < 0)
        _exit(EXIT_TIMED_OUT);
    _exit(EXIT_TIMED_OUT);
}

static void set_time_limit(void)
{
    const char *slower = getenv("DTRAIN_TEST_SLOWER");
    int factor = slower != NULL && atoi(slower) > 0 ? atoi(slower) : 1;
    signal(SIGALRM, time_is_up);
    alarm((unsigned)(dt_test_time_limit_s * factor));
}

/* Replace this process by n_ranks processes of the same program. */
static void become_ranks(int n_ranks, char **argv, int argc)
{
    const char *launcher = dt_test_source_path("tests/ranks");
    char ranks[16];
    char **command = calloc((size_t)argc + 3, sizeof *command);
    int n = 0;
    if (command == NULL)
        harness_failed("no memory");
    snprintf(ranks, sizeof ranks, "%d", n_ranks);
    command[n++] = (char *)launcher;
    command[n++] = ranks;
    for (int i = 0; i < argc; i++)
        command[n++] = argv[i];
    setenv("MPIRUN", DT_TEST_MPIRUN, 0);
    fflush(stdout);
    execvp(launcher, command);
    harness_failed("cannot start %s: %s", launcher, strerror(errno));
}

/* Makes free() keep memory for the next malloc(). By default glibc returns each large array to the kernel,
 * which then has to clear the pages of the next one. Tests allocate large arrays hundreds of times; in
 * tests/emulated/cases_test clearing pages took a third of the processor time. */
static void keep_freed_memory(void)
{
#ifdef M_MMAP_MAX
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

/* CUnit passes no argument to a test, so this function finds the test by its name. */
static void run_current_test(void)
{
    const char *name = CU_get_current_test()->pName;
    const dt_test *test = all_tests;
    while (strcmp(test->name, name) != 0)
        test++;
    current_test = name;
    current_skipped = false;
    test->run();
}

static void after_test(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
    (void)suite;
    bool failed = failure != NULL;
    if (current_skipped && !failed)
        n_skipped++;
    if (rank_of_this_process() == 0)
        printf("%s %s\n", failed ? "not ok" : current_skipped ? "skipped" : "ok", test->pName);
    for (CU_pFailureRecord f = failure; f != NULL; f = f->pNext)
        printf("  rank %d: %s:%u: %s\n", rank_of_this_process(), f->strFileName, f->uiLineNumber,
               f->strCondition);
    fflush(stdout);
    remove_temp_dir();
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]) != NULL)
            return true;
    return argc < 2;
}

int dt_test_main(const char *suite, const dt_test *tests, size_t n_tests, int n_ranks, int argc, char **argv)
{
    suite_name = suite;
    all_tests = tests;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < n_tests; i++)
            puts(tests[i].name);
        return 0;
    }
    if (n_ranks > 0 && rank_from_launcher() == NULL)
        become_ranks(n_ranks, argv, argc);
    if (CU_initialize_registry() != CUE_SUCCESS)
        harness_failed("CUnit: %s", CU_get_error_msg());
    CU_pSuite cunit_suite = CU_add_suite(suite, NULL, NULL);
    for (size_t i = 0; cunit_suite != NULL && i < n_tests; i++)
        if (wanted(tests[i].name, argc, argv) &&
            CU_add_test(cunit_suite, tests[i].name, run_current_test) == NULL)
            harness_failed("CUnit: %s: %s", tests[i].name, CU_get_error_msg());
    if (cunit_suite == NULL || cunit_suite->uiNumberOfTests == 0)
        harness_failed("no test has a name that contains an argument");

    set_time_limit();
    keep_freed_memory();
    dt_test_set_up();
    CU_set_test_complete_handler(after_test);
    CU_run_all_tests();
    int n_run = (int)CU_get_number_of_tests_run();
    int n_failed = (int)CU_get_number_of_tests_failed();
    current_test = "(tear-down)";
    dt_test_tear_down();
    CU_cleanup_registry();
    if (rank_of_this_process() == 0)
        printf("%d passed, %d failed, %d skipped\n", n_run - n_failed - n_skipped, n_failed, n_skipped);
    if (n_failed > 0)
        return 1;
    return n_skipped == n_run ? EXIT_SKIPPED : 0;
}
