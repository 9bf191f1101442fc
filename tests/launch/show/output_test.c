/* Lines and JSON on stdout: lengths around the buffer's, and texts from outside. */
#include "launch/show/output.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static FILE *stream;
static char *text;
static size_t text_bytes;

static void begin(void)
{
    stream = open_memstream(&text, &text_bytes);
    DT_REQUIRE(stream != NULL);
}

static void end(void)
{
    fclose(stream);
}

static void lines_of_any_length_are_whole(void)
{
    static const int lengths[] = {0, 1, 1022, 1023, 1024, 1025, 5000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int n = lengths[i];
        char *expected = malloc((size_t)n + 2);
        DT_REQUIRE(expected != NULL);
        memset(expected, 'a', (size_t)n);
        if (n > 0)
            expected[n - 1] = 'z';
        expected[n] = '\0';
        begin();
        dt_output_line(stream, "%s", expected);
        end();
        strcpy(expected + n, "\n");
        DT_CHECK_STR(text, expected);
        free(expected);
        free(text);
    }
}

static void lines_are_made_printable_whole(void)
{
    char bytes[1201], expected[4 * sizeof bytes];
    memset(bytes, 0x1b, sizeof bytes - 1); /* four characters each */
    for (size_t n = 1000; n < sizeof bytes; n += 200) {
        bytes[n] = '\0';
        for (size_t i = 0; i < n; i++)
            strcpy(expected + 4 * i, "\\x1b");
        begin();
        dt_output_line(stream, "%s", bytes);
        end();
        DT_CHECK_INT(text_bytes, 4 * n + 1);
        DT_CHECK(text && memcmp(text, expected, 4 * n) == 0);
        free(text);
        bytes[n] = 0x1b;
    }
}

static void out_of_memory_the_beginning_is_printed(void)
{
    char line[2001];
    memset(line, 'a', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (int n = 1; n <= 2; n++) {
        begin();
        dt_alloc_fail_after(n);
        dt_output_line(stream, "%s", line);
        dt_alloc_fail_after(0);
        end();
        DT_CHECK_INT(text_bytes, 1024); /* 1,023 characters and the newline */
        free(text);
    }
}

static void json_is_ascii_and_keeps_bytes_that_are_not_utf8(void)
{
    dt_error err = {0};
    json_t *root = json_pack("{s:o}", "k", dt_output_text("caf\xc3\xa9 \x7f \xff"));
    begin();
    DT_CHECK_INT(dt_output_json(root, stream, &err), DT_OK);
    end();
    json_decref(root);
    DT_CHECK_STR(text, "{\n  \"k\": \"caf\\u00E9 \\u007f \\uEFFF\"\n}\n");
    free(text);
    DT_CHECK_INT(dt_output_json(NULL, stdout, &err), DT_ERR_MEMORY);
}

static void a_stream_that_fails_is_an_error(void)
{
    dt_error err = {0};
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        DT_SKIP("no /dev/full");
    setvbuf(full, NULL, _IONBF, 0);
    json_t *root = json_object();
    DT_CHECK_INT(dt_output_json(root, full, &err), DT_ERR_IO);
    json_decref(root);
    fclose(full);
}

static void an_unwritable_path_is_refused_early(void)
{
    dt_error err = {0};
    DT_CHECK_INT(
        dt_output_check_writable("export", dt_test_path("%s/w.safetensors", dt_test_temp_dir()), &err),
        DT_OK);
    DT_CHECK_INT(dt_output_check_writable("export", "w.safetensors", &err), DT_OK);
    DT_CHECK_INT(dt_output_check_writable("export", dt_test_temp_dir(), &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_output_check_writable("export", "/nowhere/w.safetensors", &err), DT_ERR_USAGE);
    DT_CHECK_STR(err.message,
                 "--export /nowhere/w.safetensors: the folder /nowhere: No such file or directory");
}

static const dt_test tests[] = {
    DT_TEST(lines_of_any_length_are_whole),          DT_TEST(lines_are_made_printable_whole),
    DT_TEST(out_of_memory_the_beginning_is_printed), DT_TEST(json_is_ascii_and_keeps_bytes_that_are_not_utf8),
    DT_TEST(a_stream_that_fails_is_an_error),        DT_TEST(an_unwritable_path_is_refused_early),
};
DT_TEST_MAIN("launch/show/output", tests)
