/* Checksums of objects, against published values. */
#include "launch/cloud/object_checksum.h"

#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static const dt_object_checksum_kind crcs[] = {DT_CHECKSUM_CRC32, DT_CHECKSUM_CRC32C, DT_CHECKSUM_CRC64NVME};

enum { N_CRCS = sizeof crcs / sizeof crcs[0], N_BYTES = 5000 };

static unsigned char data[N_BYTES];

static void fill(void)
{
    uint32_t x = 1;
    for (int i = 0; i < N_BYTES; i++) {
        x = x * 1664525U + 1013904223U;
        data[i] = (unsigned char)(x >> 24);
    }
}

/* The check value of each algorithm's definition is that of the text "123456789". */
static void crcs_have_their_check_values(void)
{
    DT_CHECK(dt_object_crc(DT_CHECKSUM_CRC32, 0, "123456789", 9) == 0xcbf43926U);
    DT_CHECK(dt_object_crc(DT_CHECKSUM_CRC32C, 0, "123456789", 9) == 0xe3069283U);
    DT_CHECK(dt_object_crc(DT_CHECKSUM_CRC64NVME, 0, "123456789", 9) == 0xae8b14860a799888U);
    for (int i = 0; i < N_CRCS; i++)
        DT_CHECK(dt_object_crc(crcs[i], 0, "", 0) == 0);
}

/* Short texts go through tables, long ones through the processor's multiplication without carries. */
static void every_length_gives_what_single_bytes_give(void)
{
    fill();
    for (int k = 0; k < N_CRCS; k++)
        for (size_t n = 0; n < 400; n += n < 200 ? 1 : 37) {
            uint64_t bytewise = 0;
            for (size_t i = 0; i < n; i++)
                bytewise = dt_object_crc(crcs[k], bytewise, data + 3 + i, 1);
            DT_CHECK_MSG(dt_object_crc(crcs[k], 0, data + 3, n) == bytewise, "%s of %zu bytes",
                         dt_object_checksum_name(crcs[k]), n);
        }
}

static void sums_of_parts_are_joined(void)
{
    static const size_t cuts[] = {0, 1, 63, 64, 1000, 4999, 5000};
    fill();
    for (int k = 0; k < N_CRCS; k++)
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            const uint64_t a = dt_object_crc(crcs[k], 0, data, cuts[i]);
            const uint64_t b = dt_object_crc(crcs[k], 0, data + cuts[i], N_BYTES - cuts[i]);
            DT_CHECK_MSG(dt_object_crc_join(crcs[k], a, b, (int64_t)(N_BYTES - cuts[i])) ==
                             dt_object_crc(crcs[k], 0, data, N_BYTES),
                         "%s cut at %zu", dt_object_checksum_name(crcs[k]), cuts[i]);
        }
}

/* RFC 1321, A.5. */
static void md5_has_its_published_values(void)
{
    static const struct {
        const char *text, *digest;
    } rows[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step < 90; step += 29) {
            dt_md5 md5;
            unsigned char digest[16];
            char hex[33];
            dt_md5_begin(&md5);
            for (size_t at = 0, n = strlen(rows[i].text); at < n; at += step)
                dt_md5_add(&md5, rows[i].text + at, n - at < step ? n - at : step);
            dt_md5_end(&md5, digest);
            for (int b = 0; b < 16; b++)
                snprintf(hex + 2 * b, 3, "%02x", digest[b]);
            DT_CHECK_STR(hex, rows[i].digest);
        }
}

static void what_a_store_says_is_compared(void)
{
    dt_object_checksum sum;
    DT_REQUIRE(dt_object_checksum_parse("crc32", "y/Q5Jg==", "\"x\"", &sum));
    DT_CHECK_INT(sum.kind, DT_CHECKSUM_CRC32);
    DT_CHECK(dt_object_checksum_matches(&sum, "123456789", 9));
    DT_CHECK(!dt_object_checksum_matches(&sum, "123456788", 9));
    DT_REQUIRE(dt_object_checksum_parse("crc64nvme", "rosUhgp5mIg=", "", &sum));
    DT_CHECK(dt_object_checksum_matches(&sum, "123456789", 9));
    DT_REQUIRE(dt_object_checksum_parse("", "", "\"900150983cd24fb0d6963f7d28e17f72\"", &sum));
    DT_CHECK_INT(sum.kind, DT_CHECKSUM_MD5);
    DT_CHECK(dt_object_checksum_matches(&sum, "abc", 3));
    DT_CHECK(!dt_object_checksum_matches(&sum, "abd", 3));
}

/* A sum of sums says nothing about the bytes in a row. */
static void sums_of_parts_and_unknown_ones_are_left_out(void)
{
    dt_object_checksum sum;
    DT_CHECK(
        !dt_object_checksum_parse("crc32", "y/Q5Jg==-2", "\"900150983cd24fb0d6963f7d28e17f72-2\"", &sum));
    DT_CHECK(!dt_object_checksum_parse("sha256", "y/Q5Jg==", "", &sum));
    DT_CHECK(!dt_object_checksum_parse("crc32", "y/Q5", NULL, &sum));
    DT_CHECK(!dt_object_checksum_parse("crc32", "y/Q5JgAA", NULL, &sum));
    DT_CHECK(!dt_object_checksum_parse(NULL, NULL, "\"900150983cd24fb0d6963f7d28e17fZZ\"", &sum));
    DT_CHECK(!dt_object_checksum_parse(NULL, NULL, "W/\"900150983cd24fb0d6963f7d28e17f72\"", &sum));
    DT_REQUIRE(dt_object_checksum_parse("crc32", "y/Q5Jg==-2", "\"900150983cd24fb0d6963f7d28e17f72\"", &sum));
    DT_CHECK_INT(sum.kind, DT_CHECKSUM_MD5);
}

static const dt_test tests[] = {
    DT_TEST(crcs_have_their_check_values),  DT_TEST(every_length_gives_what_single_bytes_give),
    DT_TEST(sums_of_parts_are_joined),      DT_TEST(md5_has_its_published_values),
    DT_TEST(what_a_store_says_is_compared), DT_TEST(sums_of_parts_and_unknown_ones_are_left_out),
};
DT_TEST_MAIN("launch/cloud/object_checksum", tests)
