#include "config.h"

#include "launch/cloud/aws_error.h"

#include "core/base/json_limit.h"
#include "launch/cloud/xml.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 1000, MAX_DEPTH = 8 };

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* EC2: Response/Errors/Error/Code; IAM: ErrorResponse/Error/Code. */
static void visit(void *context, const char *path, const char *text)
{
    dt_aws_refusal *r = context;
    if (ends_with(path, "Error/Code"))
        snprintf(r->code, sizeof r->code, "%s", text);
    else if (ends_with(path, "Error/Message"))
        snprintf(r->message, sizeof r->message, "%s", text);
}

/* {"__type": "com.amazonaws.x#ThrottlingException", "message": "..."}; some services write Message. */
static void read_json(const char *text, size_t bytes, dt_aws_refusal *r)
{
    json_t *root = NULL;
    if (dt_json_limit(text, (int64_t)bytes, MAX_VALUES, MAX_DEPTH, NULL) == DT_OK)
        root = json_loadb(text, bytes, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "__type"));
    const char *message = json_string_value(json_object_get(root, "message"));
    if (!message)
        message = json_string_value(json_object_get(root, "Message"));
    const char *code = type ? strrchr(type, '#') : NULL;
    snprintf(r->code, sizeof r->code, "%s", code ? code + 1 : type ? type : "");
    r->code[strcspn(r->code, ":")] = '\0';
    snprintf(r->message, sizeof r->message, "%s", message ? message : "");
    json_decref(root);
}

static bool is_one_of(const char *code, const char *const *codes)
{
    for (; *codes; codes++)
        if (strcmp(code, *codes) == 0)
            return true;
    return false;
}

dt_aws_refusal_kind dt_aws_refusal_parse(int status, const char *text, size_t bytes, dt_aws_refusal *refusal)
{
    static const char *const now[] = {"Throttling",
                                      "ThrottlingException",
                                      "ThrottledException",
                                      "RequestThrottled",
                                      "RequestThrottledException",
                                      "RequestLimitExceeded",
                                      "TooManyRequestsException",
                                      "BandwidthLimitExceeded",
                                      "LimitExceededException",
                                      "SlowDown",
                                      "PriorRequestNotComplete",
                                      "TransactionInProgressException",
                                      "EC2ThrottledException",
                                      NULL};
    static const char *const credentials[] = {"AuthFailure",
                                              "InvalidClientTokenId",
                                              "UnrecognizedClientException",
                                              "SignatureDoesNotMatch",
                                              "InvalidSignatureException",
                                              "IncompleteSignature",
                                              "MissingAuthenticationToken",
                                              "MissingAuthenticationTokenException",
                                              "ExpiredToken",
                                              "ExpiredTokenException",
                                              "RequestExpired",
                                              "RequestTimeTooSkewed",
                                              "InvalidAccessKeyId",
                                              NULL};
    static const char *const action[] = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException",
                                         "OptInRequired", NULL};
    *refusal = (dt_aws_refusal){0};
    const size_t start = strspn(text, " \t\r\n");
    if (text[start] == '{')
        read_json(text, bytes, refusal);
    else if (text[start] == '<')
        (void)dt_xml_walk(text, bytes, visit, refusal, NULL); /* what it has found before a mistake counts */
    refusal->message[strcspn(refusal->message, "\r\n")] = '\0';
    if (status == 429 || status == 500 || (status >= 502 && status <= 504) || is_one_of(refusal->code, now))
        return DT_AWS_REFUSES_NOW;
    if (is_one_of(refusal->code, credentials))
        return DT_AWS_REFUSES_CREDENTIALS;
    return is_one_of(refusal->code, action) ? DT_AWS_REFUSES_ACTION : DT_AWS_REFUSES;
}
