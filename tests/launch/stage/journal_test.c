/* The journal: what was written is read, what a power cut has cut short or filled with zeros is not. */
#include "launch/stage/journal.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 8 };

static struct {
    int n;
    bool is_part[MAX];
    int64_t bytes[MAX], number[MAX];
    uint64_t crc[MAX];
    char etag[MAX][100], path[MAX][100];
    int64_t n_damaged;
} seen;

static void visit(void *context, const dt_stage_record *r)
{
    (void)context;
    const int i = seen.n++;
    if (i >= MAX)
        return;
    seen.is_part[i] = r->is_part;
    seen.bytes[i] = r->bytes;
    seen.number[i] = r->is_part ? r->part : r->mtime_ns;
    seen.crc[i] = r->crc;
    snprintf(seen.etag[i], 100, "%s", r->etag);
    snprintf(seen.path[i], 100, "%s", r->path);
}

static const char *file(void)
{
    return dt_test_path("%s/journal", dt_test_temp_dir());
}

static void read_all(void)
{
    dt_error err;
    memset(&seen, 0, sizeof seen);
    DT_REQUIRE(dt_stage_journal_read(file(), visit, NULL, &seen.n_damaged, &err) == DT_OK);
}

static void write_two(void)
{
    dt_stage_journal *journal;
    dt_error err;
    DT_REQUIRE(dt_stage_journal_open(file(), &journal, &err) == DT_OK);
    const dt_stage_record whole = {.bytes = 12345678901,
                                   .mtime_ns = 1700000000123456789,
                                   .etag = "\"ab-2\"",
                                   .path = "train/a b/c d.jpg"};
    const dt_stage_record part = {
        .is_part = true, .bytes = 99, .part = 7, .crc = 0xfedcba9876543210U, .etag = "-", .path = "x"};
    DT_CHECK(dt_stage_journal_add(journal, &whole, &err) == DT_OK);
    DT_CHECK(dt_stage_journal_add(journal, &part, &err) == DT_OK);
    DT_CHECK(dt_stage_journal_write(journal, &err) == DT_OK);
    dt_stage_journal_close(journal);
}

static void records_come_back_as_they_were(void)
{
    read_all(); /* there is no file */
    DT_CHECK_INT(seen.n, 0);
    write_two();
    write_two();
    read_all();
    DT_CHECK_INT(seen.n, 4);
    DT_CHECK_INT(seen.n_damaged, 0);
    for (int i = 0; i < 4; i += 2) {
        DT_CHECK(!seen.is_part[i] && seen.is_part[i + 1]);
        DT_CHECK_INT(seen.bytes[i], 12345678901);
        DT_CHECK_INT(seen.number[i], 1700000000123456789);
        DT_CHECK_STR(seen.etag[i], "\"ab-2\"");
        DT_CHECK_STR(seen.path[i], "train/a b/c d.jpg");
        DT_CHECK_INT(seen.number[i + 1], 7);
        DT_CHECK(seen.crc[i + 1] == 0xfedcba9876543210U);
        DT_CHECK_STR(seen.path[i + 1], "x");
    }
}

static void what_was_not_written_is_not_there(void)
{
    dt_stage_journal *journal;
    dt_error err;
    DT_REQUIRE(dt_stage_journal_open(file(), &journal, &err) == DT_OK);
    DT_CHECK(dt_stage_journal_add(journal, &(dt_stage_record){.etag = "-", .path = "x"}, &err) == DT_OK);
    dt_stage_journal_close(journal);
    read_all();
    DT_CHECK_INT(seen.n, 0);
}

/* After every number of bytes: what is complete counts, the rest does not, and new records follow it. */
static void a_journal_that_is_cut_short_anywhere_is_read(void)
{
    size_t bytes = 0;
    write_two();
    char *text = dt_test_read_file(file(), &bytes);
    const size_t first = (size_t)(strchr(text, '\n') + 1 - text);
    for (size_t n = 0; n < bytes; n++) {
        dt_test_write_file(file(), text, n);
        read_all();
        DT_CHECK_INT(seen.n, n < first ? 0 : 1);
        write_two();
        read_all();
        DT_CHECK_INT(seen.n, 2 + (n + 1 >= first) + (n + 1 == bytes)); /* only the newline may be missing */
        DT_CHECK_STR(seen.path[seen.n - 1], "x");
    }
    free(text);
}

static void damaged_lines_do_not_count(void)
{
    size_t bytes = 0;
    write_two();
    char *text = dt_test_read_file(file(), &bytes);
    for (size_t i = 0; i < bytes; i++) {
        const char was = text[i];
        if (was == '\n')
            continue;
        text[i] = (char)(was ^ 1);
        dt_test_write_file(file(), text, bytes);
        read_all();
        DT_CHECK_INT(seen.n, 1);
        text[i] = '\0';
        dt_test_write_file(file(), text, bytes);
        read_all();
        DT_CHECK_INT(seen.n, 1);
        DT_CHECK_INT(seen.n_damaged, 1);
        text[i] = was;
    }
    free(text);
}

static void etags_become_words(void)
{
    char word[DT_STAGE_ETAG_BYTES], other[DT_STAGE_ETAG_BYTES], text[200];
    dt_stage_journal_etag("", word);
    DT_CHECK_STR(word, "-");
    dt_stage_journal_etag("W/\"1\"", word);
    DT_CHECK_STR(word, "W/\"1\"");
    dt_stage_journal_etag("a b", word);
    dt_stage_journal_etag("a  b", other);
    DT_CHECK(word[0] == '#' && strlen(word) == 17 && strcmp(word, other) != 0);
    memset(text, 'x', sizeof text);
    text[199] = '\0';
    dt_stage_journal_etag(text, word);
    DT_CHECK(word[0] == '#' && strlen(word) == 17);
}

static const dt_test tests[] = {
    DT_TEST(records_come_back_as_they_were),
    DT_TEST(what_was_not_written_is_not_there),
    DT_TEST(a_journal_that_is_cut_short_anywhere_is_read),
    DT_TEST(damaged_lines_do_not_count),
    DT_TEST(etags_become_words),
};
DT_TEST_MAIN("launch/stage/journal", tests)
