#include "config.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "launch/cloud/aws_check.h"
#include "launch/cloud/aws_credentials.h"
#include "launch/cloud/aws_error.h"
#include "launch/cloud/aws_profile.h"
#include "launch/cloud/aws_request.h"
#include "launch/cloud/aws_service.h"
#include "launch/cloud/xml.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- addresses ------------------------------------------------------------------------------------------- */

static void without_variables(void)
{
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_IAM");
    unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
}

static void each_service_has_its_address_and_region(void)
{
    static const struct {
        dt_aws_service service;
        const char *region, *url, *signs;
    } rows[] = {
        {DT_AWS_EC2, "eu-west-1", "https://ec2.eu-west-1.amazonaws.com/", "eu-west-1"},
        {DT_AWS_EC2, "cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn/", "cn-north-1"},
        {DT_AWS_SERVICE_QUOTAS, "us-west-2", "https://servicequotas.us-west-2.amazonaws.com/", "us-west-2"},
        {DT_AWS_PRICING, "us-west-2", "https://api.pricing.us-east-1.amazonaws.com/", "us-east-1"},
        {DT_AWS_PRICING, "cn-north-1", "https://api.pricing.cn-northwest-1.amazonaws.com.cn/",
         "cn-northwest-1"},
        {DT_AWS_IAM, "us-west-2", "https://iam.amazonaws.com/", "us-east-1"},
        {DT_AWS_IAM, "us-gov-east-1", "https://iam.us-gov.amazonaws.com/", "us-gov-west-1"},
        {DT_AWS_IAM, "cn-north-1", "https://iam.cn-north-1.amazonaws.com.cn/", "cn-north-1"},
    };
    char url[DT_AWS_URL_BYTES];
    without_variables();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dt_aws_service_url(rows[i].service, rows[i].region, url);
        DT_CHECK_STR(url, rows[i].url);
        DT_CHECK_STR(dt_aws_service_region(rows[i].service, rows[i].region), rows[i].signs);
    }
}

static void the_environment_names_other_addresses(void)
{
    char url[DT_AWS_URL_BYTES];
    without_variables();
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5555//", 1);
    setenv("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:6666", 1);
    dt_aws_service_url(DT_AWS_EC2, "us-east-1", url);
    DT_CHECK_STR(url, "http://127.0.0.1:5555/");
    dt_aws_service_url(DT_AWS_IAM, "us-east-1", url);
    DT_CHECK_STR(url, "http://127.0.0.1:6666/");
    setenv("AWS_ENDPOINT_URL_IAM", "", 1);
    dt_aws_service_url(DT_AWS_IAM, "us-east-1", url);
    DT_CHECK_STR(url, "http://127.0.0.1:5555/");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True", 1);
    dt_aws_service_url(DT_AWS_IAM, "us-east-1", url);
    DT_CHECK_STR(url, "https://iam.amazonaws.com/");
    without_variables();
}

/* -- requests -------------------------------------------------------------------------------------------- */

static void forms_are_percent_encoded(void)
{
    static const char expected[] = "&NextToken=a%2B%2F%3D%26%20%C3%BC~-._%25&Filter.1=x";
    char *form = NULL;
    DT_CHECK_INT(dt_aws_form_add(&form, "NextToken", "a+/=& \xc3\xbc~-._%", NULL), DT_OK);
    DT_CHECK_INT(dt_aws_form_add(&form, "Filter.1", "x", NULL), DT_OK);
    DT_CHECK_STR(form, expected);
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_aws_form_add(&form, "b", "c", NULL), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_CHECK_STR(form, expected); /* as it was */
    dt_free(form);
}

static void quotas_follow_the_family(void)
{
    static const struct {
        const char *type, *on_demand, *spot;
    } rows[] = {
        {"g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"},
        {"g6e.48xlarge", "L-DB2E81BA", "L-3819A6DF"},
        {"p3.2xlarge", "L-417A185B", "L-7212CCBC"},
        {"p4de.24xlarge", "L-417A185B", "L-7212CCBC"},
        {"p5en.48xlarge", "L-417A185B", "L-C4BD4855"},
        {"p6-b200.48xlarge", "L-417A185B", NULL},
        {"trn1.32xlarge", "L-2C3B7624", "L-6B0D517C"},
        {"c6i.xlarge", NULL, NULL},
        {"gr6.4xlarge", NULL, NULL},
        {"g", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const dt_aws_quota *on_demand = dt_aws_quota_of(rows[i].type, false);
        const dt_aws_quota *spot = dt_aws_quota_of(rows[i].type, true);
        DT_CHECK_STR(on_demand ? on_demand->code : NULL, rows[i].on_demand);
        DT_CHECK_STR(spot ? spot->code : NULL, rows[i].spot);
    }
}

static void refusals_are_told_apart(void)
{
    static const struct {
        int status;
        const char *text;
        dt_aws_refusal_kind kind;
        const char *code, *message;
        bool is_xml;
    } rows[] = {
        {403,
         "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not\nyou</Message></Error></"
         "Errors>"
         "</Response>",
         DT_AWS_REFUSES_ACTION, "UnauthorizedOperation", "not", true},
        {503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>",
         DT_AWS_REFUSES_NOW, "RequestLimitExceeded", "", true},
        {404, "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>m</Message></Error></ErrorResponse>",
         DT_AWS_REFUSES, "NoSuchEntity", "m", true},
        {400, "{\"__type\":\"com.amazon#ThrottlingException\",\"message\":\"slow\"}", DT_AWS_REFUSES_NOW,
         "ThrottlingException", "slow", false},
        {400, "{\"__type\":\"UnrecognizedClientException\",\"Message\":\"key\"}", DT_AWS_REFUSES_CREDENTIALS,
         "UnrecognizedClientException", "key", false},
        {400, "{\"__type\": 7, \"message\": [1]}", DT_AWS_REFUSES, "", "", false},
        {429, "", DT_AWS_REFUSES_NOW, "", "", false},
        {502, "<html>bad gateway", DT_AWS_REFUSES_NOW, "", "", false},
        {418, "{", DT_AWS_REFUSES, "", "", false},
    };
    dt_aws_refusal r;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].is_xml && !dt_xml_is_built_in())
            continue;
        DT_CHECK_INT(dt_aws_refusal_parse(rows[i].status, rows[i].text, strlen(rows[i].text), &r),
                     rows[i].kind);
        DT_CHECK_STR(r.code, rows[i].code);
        DT_CHECK_STR(r.message, rows[i].message);
    }
}

/* -- XML ------------------------------------------------------------------------------------------------- */

static char seen[512];

static void note(void *context, const char *path, const char *text)
{
    const size_t used = strlen(seen);
    (void)context;
    snprintf(seen + used, sizeof seen - used, "%s=%s;", path, text);
}

static dt_status walk(const char *text, dt_error *err)
{
    seen[0] = '\0';
    return dt_xml_walk(text, strlen(text), note, NULL, err);
}

static void elements_are_visited_with_their_paths(void)
{
    dt_error err = {0};
    if (!dt_xml_is_built_in())
        DT_SKIP("this build has no expat");
    DT_CHECK_INT(walk("<?xml version=\"1.0\"?>\n<a x='1'>\n  <b>one &amp; two<!-- no "
                      "--></b><b/><c><d><![CDATA[<3>]]></d></c>"
                      "\n</a>",
                      &err),
                 DT_OK);
    DT_CHECK_STR(seen, "a/b=one & two;a/b=;a/c/d=<3>;a/c=;a=\n;");
}

static void xml_that_is_broken_or_defines_entities_is_refused(void)
{
    dt_error err = {0};
    static char deep[40 * 3 + 1], *large;
    if (!dt_xml_is_built_in())
        DT_SKIP("this build has no expat");
    DT_CHECK_INT(walk("<a><b></a>", &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "the XML of the answer, line 1: mismatched tag");
    DT_CHECK_INT(walk("", &err), DT_ERR_FORMAT);
    DT_CHECK_INT(walk("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "a document type");
    DT_CHECK_STR(seen, "");
    for (int i = 0; i < 40; i++)
        memcpy(deep + 3 * i, "<a>", 4);
    DT_CHECK_INT(walk(deep, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "too many levels");
    DT_REQUIRE((large = calloc(1, 70008)) != NULL);
    memset(large, 'x', 70000);
    memcpy(large, "<a>", 3);
    memcpy(large + 70000, "</a>", 4);
    DT_CHECK_INT(walk(large, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "64 KiB");
    free(large);
}

/* -- profiles -------------------------------------------------------------------------------------------- */

static void read_profile(const char *text, const char *name, bool is_config, dt_aws_profile *profile)
{
    dt_error err = {0};
    const char *path = dt_test_path("%s/config", dt_test_temp_dir());
    dt_test_write_file(path, text, strlen(text));
    DT_REQUIRE_MSG(dt_aws_profile_read(path, name, is_config, profile, &err) == DT_OK, "%s", err.message);
}

static void profiles_of_both_files_are_read(void)
{
    dt_aws_profile p;
    const int64_t blocks = dt_alloc_live_blocks();
    read_profile("; mine\r\n[ work ]\r\naws_access_key_id = A=:B # C\r\nAWS_Secret_Access_Key:s\r\n"
                 "aws_session_token =\r\n[other]\r\naws_access_key_id = O\r\n",
                 "work", false, &p);
    DT_CHECK(p.has_file && p.is_there);
    DT_CHECK_STR(p.values[DT_AWS_KEY_ID], "A=:B # C");
    DT_CHECK_STR(p.values[DT_AWS_SECRET], "s");
    DT_CHECK_STR(p.values[DT_AWS_TOKEN], NULL);
    DT_CHECK_STR(p.names, "work, other");
    dt_aws_profile_free(&p);
    read_profile("[profile \"my work\"]\nrole_arn = r\n[work]\naws_access_key_id = A\n[sso-session my work]\n"
                 "sso_start_url = u\n",
                 "my work", true, &p);
    DT_CHECK(p.is_there);
    DT_CHECK_STR(p.values[DT_AWS_ROLE_ARN], "r");
    DT_CHECK_STR(p.values[DT_AWS_KEY_ID], NULL);
    DT_CHECK_STR(p.values[DT_AWS_SSO_START_URL], NULL);
    DT_CHECK_STR(p.names, "my work");
    dt_aws_profile_free(&p);
    DT_CHECK_INT(dt_aws_profile_read("/nonexistent/x", "default", false, &p, NULL), DT_OK);
    DT_CHECK(!p.has_file && !p.is_there);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
}

/* -- anything -------------------------------------------------------------------------------------------- */

static void texts_with_wrong_bytes_do_no_harm(void)
{
    static const char *const texts[] = {
        "<Response><Errors><Error><Code>A&amp;</Code><Message><![CDATA[x]]></Message></Error></Errors></"
        "Response>",
        "{\"__type\": \"a#b\", \"message\": \"\\u00fc\", \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s\", "
        "\"Token\": \"t\", \"Expiration\": \"2099-01-01T00:00:00Z\"}",
        "[default]\naws_access_key_id = A\n[profile \"work\"]\naws_secret_access_key = s\n",
    };
    const char *path = dt_test_path("%s/config", dt_test_temp_dir());
    const int64_t blocks = dt_alloc_live_blocks();
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (int i = 0; i < 3000; i++) {
        char text[512];
        dt_aws_refusal r;
        dt_aws_credentials c = {0};
        dt_aws_profile p;
        const size_t n = strlen(texts[i % 3]);
        memcpy(text, texts[i % 3], n + 1);
        for (uint64_t k = dt_rng_below(&g, 4); k > 0; k--)
            text[dt_rng_below(&g, n)] = (char)dt_rng_below(&g, 256);
        (void)dt_aws_refusal_parse(400, text, strlen(text), &r);
        if (dt_aws_credentials_parse(text, "a test", &c, NULL) == DT_OK)
            dt_aws_credentials_free(&c);
        dt_test_write_file(path, text, n);
        if (dt_aws_profile_read(path, "work", true, &p, NULL) == DT_OK)
            dt_aws_profile_free(&p);
    }
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
}

static const dt_test tests[] = {
    DT_TEST(each_service_has_its_address_and_region),
    DT_TEST(the_environment_names_other_addresses),
    DT_TEST(forms_are_percent_encoded),
    DT_TEST(quotas_follow_the_family),
    DT_TEST(refusals_are_told_apart),
    DT_TEST(elements_are_visited_with_their_paths),
    DT_TEST(xml_that_is_broken_or_defines_entities_is_refused),
    DT_TEST(profiles_of_both_files_are_read),
    DT_TEST(texts_with_wrong_bytes_do_no_harm),
};
DT_TEST_MAIN("launch/cloud/aws", tests)
