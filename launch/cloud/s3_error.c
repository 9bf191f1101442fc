#include "launch/cloud/s3_error.h"

#include "launch/cloud/xml.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *code;
    dt_s3_refusal_kind kind;
} codes[] = {
    {"SlowDown", DT_S3_IS_BUSY},
    {"ServiceUnavailable", DT_S3_IS_BUSY},
    {"TooManyRequests", DT_S3_IS_BUSY},
    {"BandwidthLimitExceeded", DT_S3_IS_BUSY},
    {"RequestLimitExceeded", DT_S3_IS_BUSY},
    {"InternalError", DT_S3_HAS_FAILED},
    {"OperationAborted", DT_S3_HAS_FAILED},
    {"RequestTimeout", DT_S3_HAS_FAILED},
    {"PermanentRedirect", DT_S3_OTHER_REGION},
    {"TemporaryRedirect", DT_S3_OTHER_REGION},
    {"Redirect", DT_S3_OTHER_REGION},
    {"AuthorizationHeaderMalformed", DT_S3_OTHER_REGION},
    {"IllegalLocationConstraintException", DT_S3_OTHER_REGION},
    {"ExpiredToken", DT_S3_EXPIRED},
    {"TokenRefreshRequired", DT_S3_EXPIRED},
    {"InvalidAccessKeyId", DT_S3_UNKNOWN_KEY},
    {"InvalidToken", DT_S3_WRONG_TOKEN},
    {"SignatureDoesNotMatch", DT_S3_WRONG_SIGNATURE},
    {"RequestTimeTooSkewed", DT_S3_WRONG_CLOCK},
    {"RequestExpired", DT_S3_WRONG_CLOCK},
    {"AccessDenied", DT_S3_DENIED},
    {"AllAccessDisabled", DT_S3_DENIED},
    {"AccountProblem", DT_S3_DENIED},
    {"NoSuchBucket", DT_S3_NO_BUCKET},
    {"NoSuchKey", DT_S3_NO_OBJECT},
    {"NoSuchVersion", DT_S3_NO_OBJECT},
    {"PreconditionFailed", DT_S3_CHANGED},
    {"InvalidRange", DT_S3_CHANGED},
    {"InvalidObjectState", DT_S3_ARCHIVED},
};

static dt_s3_refusal_kind by_status(const dt_transfer_answer *answer)
{
    switch (answer->status) {
    case 301:
    case 307:
        return answer->region[0] ? DT_S3_OTHER_REGION : DT_S3_OTHER;
    case 400:
        return answer->region[0] ? DT_S3_OTHER_REGION : DT_S3_OTHER; /* to HEAD */
    case 401:
    case 403:
        return DT_S3_DENIED;
    case 404:
        return DT_S3_NO_OBJECT;
    case 412:
    case 416:
        return DT_S3_CHANGED;
    case 429:
    case 503:
        return DT_S3_IS_BUSY;
    case 408:
    case 500:
    case 502:
    case 504:
        return DT_S3_HAS_FAILED;
    default:
        return DT_S3_OTHER;
    }
}

static void visit(void *context, const char *path, const char *text)
{
    dt_s3_refusal *r = context;
    if (strcmp(path, "Error/Code") == 0)
        snprintf(r->code, sizeof r->code, "%s", text);
    else if (strcmp(path, "Error/Message") == 0)
        snprintf(r->message, sizeof r->message, "%s", text);
    else if (strcmp(path, "Error/Region") == 0)
        snprintf(r->region, sizeof r->region, "%s", text);
}

void dt_s3_refusal_parse(const dt_transfer_answer *answer, dt_s3_refusal *refusal)
{
    dt_s3_refusal r = {.kind = by_status(answer)};
    if (strchr(answer->error, '<'))
        (void)dt_xml_walk(answer->error, answer->error_bytes, visit, &r,
                          NULL); /* what comes before a cut counts */
    r.message[strcspn(r.message, "\r\n")] = '\0';
    if (!r.region[0])
        snprintf(r.region, sizeof r.region, "%s", answer->region);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(r.code, codes[i].code) == 0)
            r.kind = codes[i].kind;
    if (r.kind == DT_S3_OTHER_REGION && !r.region[0])
        r.kind = DT_S3_OTHER;
    *refusal = r;
}
