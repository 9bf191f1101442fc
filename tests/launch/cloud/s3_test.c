/* S3's addresses, listings, refusals and signatures, without a store. */
#include "launch/cloud/s3.h"

#include "core/base/alloc.h"
#include "launch/cloud/s3_address.h"
#include "launch/cloud/s3_error.h"
#include "launch/cloud/s3_page.h"
#include "launch/cloud/s3_signature.h"
#include "launch/cloud/sha256.h"
#include "launch/cloud/xml.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_error err;

/* -- addresses ------------------------------------------------------------------------------------------- */

static void locations_are_parsed(void)
{
    dt_s3_location l;
    DT_CHECK_INT(dt_s3_parse("s3://my-bucket", &l, &err), DT_OK);
    DT_CHECK_STR(l.bucket, "my-bucket");
    DT_CHECK_STR(l.prefix, "");
    DT_CHECK_INT(dt_s3_parse("S3://b.c/a//../ b?c#d", &l, &err), DT_OK);
    DT_CHECK_STR(l.bucket, "b.c");
    DT_CHECK_STR(l.prefix, "a//../ b?c#d");
    DT_CHECK_INT(dt_s3_parse("s3://b/", &l, &err), DT_OK);
    DT_CHECK_STR(l.prefix, "");
}

static void other_locations_are_refused(void)
{
    static const struct {
        const char *url, *message;
    } rows[] = {
        {"http://b/c", "does not begin with s3://"},
        {"s3:/b", "does not begin with s3://"},
        {"s3://", "not the name of a bucket"},
        {"s3:///key", "not the name of a bucket"},
        {"s3://a b/key", "not the name of a bucket"},
        {"s3://-a/key", "not the name of a bucket"},
        {"s3://arn:aws:s3:us-east-1:1:accesspoint/x/key", "alias in place of its ARN"},
    };
    char longest[1200] = "s3://b/";
    dt_s3_location l;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        DT_CHECK_INT(dt_s3_parse(rows[i].url, &l, &err), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, rows[i].message);
    }
    memset(longest + 7, 'x', 1025);
    DT_CHECK_INT(dt_s3_parse(longest, &l, &err), DT_ERR_USAGE);
    longest[7 + 1024] = '\0';
    DT_CHECK_INT(dt_s3_parse(longest, &l, &err), DT_OK);
}

static void each_store_has_its_addresses(void)
{
    static const struct {
        const char *endpoint, *bucket, *region, *key, *query, *url;
    } rows[] = {
        {NULL, "my-bucket", "us-east-1", "a/b", NULL, "https://my-bucket.s3.us-east-1.amazonaws.com/a/b"},
        {NULL, "my-bucket", "us-east-1", NULL, "list-type=2",
         "https://my-bucket.s3.us-east-1.amazonaws.com/?list-type=2"},
        {NULL, "my-bucket", "cn-north-1", "a", NULL, "https://my-bucket.s3.cn-north-1.amazonaws.com.cn/a"},
        {NULL, "my.bucket", "eu-west-1", "a", NULL, "https://s3.eu-west-1.amazonaws.com/my.bucket/a"},
        {NULL, "My_Bucket", "us-east-1", NULL, "x=", "https://s3.us-east-1.amazonaws.com/My_Bucket?x="},
        {NULL, "ab", "us-east-1", "a", NULL, "https://s3.us-east-1.amazonaws.com/ab/a"},
        {"http://127.0.0.1:9000//", "my-bucket", "us-east-1", "a", NULL, "http://127.0.0.1:9000/my-bucket/a"},
        {"https://h/base", "b", "eu", NULL, "x=", "https://h/base/b?x="},
    };
    char url[DT_S3_URL_BYTES];
    dt_s3_address a;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        DT_REQUIRE_MSG(dt_s3_address_set(&a, rows[i].endpoint, rows[i].bucket, rows[i].region, &err) == DT_OK,
                       "%s", err.message);
        DT_CHECK_INT(dt_s3_address_url(&a, rows[i].key, rows[i].query, url, &err), DT_OK);
        DT_CHECK_STR(url, rows[i].url);
    }
}

static void what_is_no_endpoint_bucket_or_region_is_refused(void)
{
    static const char *const endpoints[] = {"localhost:9000", "ftp://h",    "http://",       "https:///x",
                                            "http://h?x",     "http://h#x", "http://u:p@h/", "http://h h"};
    dt_s3_address a;
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        DT_CHECK_INT(dt_s3_address_set(&a, endpoints[i], "b", "us-east-1", &err), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, endpoints[i]);
    }
    DT_CHECK_INT(dt_s3_address_set(&a, NULL, "b", "us/east", &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_s3_address_set(&a, NULL, "b", "", &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_s3_address_set(&a, NULL, "a/b", "us-east-1", &err), DT_ERR_USAGE);
}

static void keys_are_percent_encoded(void)
{
    char url[DT_S3_URL_BYTES], long_key[6000];
    dt_s3_address a;
    DT_REQUIRE(dt_s3_address_set(&a, "http://h", "b", "us-east-1", &err) == DT_OK);
    DT_CHECK_INT(dt_s3_address_url(&a, "a b+&%\xc3\xbc'(*)~//;/../x\n", NULL, url, &err), DT_OK);
    DT_CHECK_STR(url, "http://h/b/a%20b%2B%26%25%C3%BC%27%28%2A%29~//%3B/../x%0A");
    memset(long_key, ' ', sizeof long_key);
    long_key[sizeof long_key - 1] = '\0';
    DT_CHECK_INT(dt_s3_address_url(&a, long_key, NULL, url, &err), DT_ERR_USAGE);
}

static void keys_of_listings_are_decoded(void)
{
    char key[] = "a+b%2B%c3%BC%0a~/", none[] = "a%zz", cut[] = "a%2", zero[] = "a%00";
    DT_CHECK(dt_s3_decode(key));
    DT_CHECK_STR(key, "a b+\xc3\xbc\n~/");
    DT_CHECK(!dt_s3_decode(none));
    DT_CHECK(!dt_s3_decode(cut));
    DT_CHECK(!dt_s3_decode(zero));
}

/* -- listings -------------------------------------------------------------------------------------------- */

typedef struct seen {
    int n, fail_at;
    char text[1000];
} seen;

static dt_status note(void *context, const dt_s3_object *object, dt_error *e)
{
    seen *s = context;
    const size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "[%s %lld %s]", object->key, (long long)object->bytes,
             object->etag);
    s->n++;
    return s->n == s->fail_at ? dt_fail(e, DT_ERR_IO, "enough") : DT_OK;
}

static seen s;
static char token[DT_S3_TOKEN_BYTES];

static dt_status walk(const char *prefix, const char *text)
{
    s.n = 0;
    s.text[0] = '\0';
    err.message[0] = '\0';
    return dt_s3_page_walk(text, strlen(text), prefix, note, &s, token, &err);
}

#define PAGE(inside) "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\">" inside "</ListBucketResult>"
#define OBJECT(key, size)                                                                                    \
    "<Contents><Key>" key "</Key><ETag>&quot;e&quot;</ETag><Size>" size "</Size></Contents>"
#define NEED_EXPAT()                                                                                         \
    do {                                                                                                     \
        if (!dt_xml_is_built_in())                                                                           \
            DT_SKIP("this build has no expat");                                                              \
    } while (0)

static void pages_are_read(void)
{
    NEED_EXPAT();
    /* The encoding may be named after the keys. */
    DT_CHECK_INT(walk("p", PAGE("<Prefix>p</Prefix>" OBJECT(
                               "p%2B+", "12") "<IsTruncated>true</IsTruncated>"
                                              "<NextContinuationToken>a+/=</NextContinuationToken>" OBJECT(
                                                  "p2", "0") "<EncodingType>url</EncodingType>")),
                 DT_OK);
    DT_CHECK_STR(s.text, "[p+  12 \"e\"][p2 0 \"e\"]");
    DT_CHECK_STR(token, "a+/=");
    DT_CHECK_INT(walk("", PAGE("<IsTruncated>false</IsTruncated>" OBJECT(
                              "a%2B+b", "5000000000") "<NextContinuationToken>x</NextContinuationToken>")),
                 DT_OK);
    DT_CHECK_STR(s.text, "[a%2B+b 5000000000 \"e\"]"); /* not encoded */
    DT_CHECK_STR(token, "");
    DT_CHECK_INT(walk("", PAGE("")), DT_OK);
    DT_CHECK_INT(s.n, 0);
}

static void an_etag_that_is_too_long_is_left_out(void)
{
    NEED_EXPAT();
    DT_CHECK_INT(walk("", PAGE("<Contents><Key>a</Key><Size>1</Size><ETag>"
                               "0123456789012345678901234567890123456789012345678901234567890123456789</ETag>"
                               "</Contents>" OBJECT("b", "2"))),
                 DT_OK);
    DT_CHECK_STR(s.text, "[a 1 ][b 2 \"e\"]");
}

static void other_pages_are_refused(void)
{
    static const char *const pages[] = {
        "",
        "<html><body>welcome</body></html>",
        "not xml",
        PAGE("<IsTruncated>true</IsTruncated>"),
        PAGE(OBJECT("", "1")),
        PAGE(OBJECT("a", "")),
        PAGE(OBJECT("a", "-1")),
        PAGE(OBJECT("a", "1x")),
        PAGE("<Contents><Size>1</Size></Contents>"),
        PAGE("<Contents><Key>a</Key></Contents>"),
        PAGE("<EncodingType>url</EncodingType>" OBJECT("a%", "1")),
        PAGE(OBJECT("a", "1")) "x",
    };
    NEED_EXPAT();
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        DT_CHECK_MSG(walk("", pages[i]) == DT_ERR_FORMAT && err.message[0], "page %zu: %s", i, err.message);
    DT_CHECK_INT(walk("p", PAGE(OBJECT("q", "1"))), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "does not begin with 'p'");
}

static void an_error_of_the_visitor_ends_the_listing(void)
{
    NEED_EXPAT();
    s.fail_at = 1;
    DT_CHECK_INT(walk("", PAGE(OBJECT("a", "1") OBJECT("b", "2"))), DT_ERR_IO);
    DT_CHECK_INT(s.n, 1);
    DT_CHECK_STR(err.message, "enough");
    s.fail_at = 0;
}

static void a_build_without_expat_says_so(void)
{
    if (dt_xml_is_built_in())
        DT_SKIP("this build has expat");
    DT_CHECK_INT(walk("", PAGE("")), DT_ERR_UNSUPPORTED);
    DT_CHECK(dt_s3_why_not() != NULL);
}

/* -- refusals -------------------------------------------------------------------------------------------- */

static dt_s3_refusal refusal_of(int status, const char *region, const char *text)
{
    static dt_transfer_answer a;
    dt_s3_refusal r;
    a = (dt_transfer_answer){.status = status, .object_bytes = -1, .server_unix_s = NAN};
    snprintf(a.region, sizeof a.region, "%s", region);
    snprintf(a.error, sizeof a.error, "%s", text);
    a.error_bytes = strlen(a.error);
    dt_s3_refusal_parse(&a, &r);
    return r;
}

#define ERROR(code, more) "<?xml version=\"1.0\"?>\n<Error><Code>" code "</Code>" more "</Error>"

static void refusals_are_told_apart(void)
{
    static const struct {
        int status;
        const char *region, *text;
        dt_s3_refusal_kind kind;
    } rows[] = {
        {503, "", ERROR("SlowDown", ""), DT_S3_IS_BUSY},
        {400, "", ERROR("ExpiredToken", ""), DT_S3_EXPIRED},
        {403, "", ERROR("InvalidAccessKeyId", ""), DT_S3_UNKNOWN_KEY},
        {403, "", ERROR("SignatureDoesNotMatch", ""), DT_S3_WRONG_SIGNATURE},
        {403, "", ERROR("RequestTimeTooSkewed", ""), DT_S3_WRONG_CLOCK},
        {404, "", ERROR("NoSuchBucket", ""), DT_S3_NO_BUCKET},
        {400, "", ERROR("RequestTimeout", ""), DT_S3_HAS_FAILED},
        {400, "", ERROR("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), DT_S3_OTHER_REGION},
        {301, "eu-west-1", ERROR("PermanentRedirect", ""), DT_S3_OTHER_REGION},
        {403, "", ERROR("InvalidObjectState", ""), DT_S3_ARCHIVED},
    };
    NEED_EXPAT();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const dt_s3_refusal r = refusal_of(rows[i].status, rows[i].region, rows[i].text);
        DT_CHECK_MSG(r.kind == rows[i].kind, "%s: %d", r.code, (int)r.kind);
        if (r.kind == DT_S3_OTHER_REGION)
            DT_CHECK_STR(r.region, "eu-west-1");
    }
    DT_CHECK_INT(refusal_of(301, "", ERROR("PermanentRedirect", "")).kind, DT_S3_OTHER); /* where to? */
    DT_CHECK_STR(refusal_of(400, "", ERROR("X", "<Message>one\ntwo</Message>")).message, "one");
    DT_CHECK_STR(refusal_of(403, "", "<Error><Code>AccessDenied</Code><Message>cut").code, "AccessDenied");
}

/* Answers to HEAD, those of proxies, and a build without expat. */
static void without_a_text_the_status_counts(void)
{
    static const struct {
        int status;
        dt_s3_refusal_kind kind;
    } rows[] = {{403, DT_S3_DENIED},     {404, DT_S3_NO_OBJECT},  {412, DT_S3_CHANGED},
                {416, DT_S3_CHANGED},    {429, DT_S3_IS_BUSY},    {503, DT_S3_IS_BUSY},
                {500, DT_S3_HAS_FAILED}, {502, DT_S3_HAS_FAILED}, {504, DT_S3_HAS_FAILED},
                {408, DT_S3_HAS_FAILED}, {400, DT_S3_OTHER},      {301, DT_S3_OTHER}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        DT_CHECK_MSG(refusal_of(rows[i].status, "", "oops").kind == rows[i].kind, "%d", rows[i].status);
    DT_CHECK_INT(refusal_of(301, "eu-west-1", "").kind, DT_S3_OTHER_REGION);
}

/* -- signatures ------------------------------------------------------------------------------------------ */

static void sha256_has_its_published_values(void)
{
    unsigned char digest[DT_SHA256_BYTES], key[131];
    char hex[2 * DT_SHA256_BYTES + 1];
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    dt_sha256("", 0, digest);
    dt_sha256_format(digest, hex);
    DT_CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    dt_sha256(two_blocks, strlen(two_blocks), digest);
    dt_sha256_format(digest, hex);
    DT_CHECK_STR(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    dt_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest); /* RFC 4231, 4.3 */
    dt_sha256_format(digest, hex);
    DT_CHECK_STR(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    dt_hmac_sha256(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54, digest);
    dt_sha256_format(digest, hex);
    DT_CHECK_STR(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* The examples of S3's documentation ("Authenticating Requests: Using the Authorization Header"). */
static void signatures_are_those_of_the_documentation(void)
{
    static const char empty[] =
        "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const dt_s3_signing_key key = {"us-east-1", "AKIAIOSFODNN7EXAMPLE",
                                          "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
    const double time_s = 1369353600.0; /* 2013-05-24 */
    dt_s3_signature g;
    const char *get[] = {empty, "range: bytes=0-9"}, *list[] = {empty};
    DT_REQUIRE(dt_s3_sign(&key, "GET", "https://examplebucket.s3.amazonaws.com/test.txt", get, 2, time_s, &g,
                          &err) == DT_OK);
    DT_CHECK_STR(g.date, "x-amz-date: 20130524T000000Z");
    DT_CHECK_STR(g.authorization,
                 "Authorization: AWS4-HMAC-SHA256 "
                 "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                 "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                 "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    DT_REQUIRE(dt_s3_sign(&key, "GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", list, 1,
                          time_s, &g, &err) == DT_OK);
    DT_CHECK_CONTAINS(g.authorization, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    DT_REQUIRE(dt_s3_sign(&key, "GET", "https://examplebucket.s3.amazonaws.com:443/?lifecycle=", list, 1,
                          time_s, &g, &err) == DT_OK);
    DT_CHECK_CONTAINS(g.authorization, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void memory_that_is_not_there_is_an_error(void)
{
    static const dt_s3_signing_key key = {"us-east-1", "A", "B"};
    dt_s3_signature g;
    const int64_t live = dt_alloc_live_blocks();
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_s3_sign(&key, "GET", "http://h/", NULL, 0, 0.0, &g, &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(1);
    DT_CHECK_INT(walk("", PAGE("")), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_CHECK_INT(dt_alloc_live_blocks(), live);
}

/* The environment's keys, a session token, and an endpoint: each allocation may fail. */
static void a_bucket_that_cannot_be_opened_leaves_nothing(void)
{
    dt_s3 *s3 = NULL;
    dt_status status = DT_ERR_MEMORY;
    if (dt_s3_why_not())
        DT_SKIP("%s", dt_s3_why_not());
    setenv("HOME", dt_test_temp_dir(), 1);
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
    setenv("AWS_SESSION_TOKEN", "TOKEN", 1);
    const int64_t live = dt_alloc_live_blocks();
    for (int n = 1; status == DT_ERR_MEMORY && n < 50; n++) {
        dt_alloc_fail_after(n);
        status = dt_s3_create(&(dt_s3_options){.bucket = "b", .endpoint_url = "http://h"}, &s3, &err);
        dt_alloc_fail_after(0);
        if (status != DT_OK)
            DT_CHECK_INT(dt_alloc_live_blocks(), live);
    }
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    DT_CHECK_STR(dt_s3_describe(s3),
                 "s3://b at http://h in us-east-1, with the credentials from the environment");
    dt_s3_destroy(s3);
    DT_CHECK_INT(dt_alloc_live_blocks(), live);
    DT_CHECK_INT(dt_s3_create(&(dt_s3_options){.bucket = "b", .endpoint_url = "h"}, &s3, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_s3_create(&(dt_s3_options){.bucket = "b", .profile = "no"}, &s3, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_alloc_live_blocks(), live);
}

static const dt_test tests[] = {
    DT_TEST(locations_are_parsed),
    DT_TEST(other_locations_are_refused),
    DT_TEST(each_store_has_its_addresses),
    DT_TEST(what_is_no_endpoint_bucket_or_region_is_refused),
    DT_TEST(keys_are_percent_encoded),
    DT_TEST(keys_of_listings_are_decoded),
    DT_TEST(pages_are_read),
    DT_TEST(an_etag_that_is_too_long_is_left_out),
    DT_TEST(other_pages_are_refused),
    DT_TEST(an_error_of_the_visitor_ends_the_listing),
    DT_TEST(a_build_without_expat_says_so),
    DT_TEST(refusals_are_told_apart),
    DT_TEST(without_a_text_the_status_counts),
    DT_TEST(sha256_has_its_published_values),
    DT_TEST(signatures_are_those_of_the_documentation),
    DT_TEST(memory_that_is_not_there_is_an_error),
    DT_TEST(a_bucket_that_cannot_be_opened_leaves_nothing),
};
DT_TEST_MAIN("launch/cloud/s3", tests)
