#include "config.h"

#include "launch/cloud/s3.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "launch/cloud/aws_settings.h"
#include "launch/cloud/s3_error.h"
#include "launch/cloud/s3_internal.h"
#include "launch/cloud/xml.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *dt_s3_why_not(void)
{
    if (!dt_transfers_are_built_in())
        return "this build has no libcurl";
    return dt_xml_is_built_in() ? NULL : "this build has no expat";
}

/* -- life ------------------------------------------------------------------------------------------------ */

static dt_status find_credentials(dt_s3 *s3, const char *profile, dt_error *err)
{
    dt_error why = {0};
    const dt_status status = dt_aws_renewal_begin(&s3->credentials, profile, &why);
    if (status == DT_OK)
        return DT_OK;
    return dt_fail(err, status, "%s; --anonymous reads public buckets without any", why.message);
}

static dt_status set_up(dt_s3 *s3, const dt_s3_options *o, dt_error *err)
{
    dt_aws_settings settings;
    DT_TRY(dt_aws_settings_find(o->profile, "S3", &settings, err));
    const char *endpoint = o->endpoint_url ? o->endpoint_url : settings.endpoint_url;
    const char *region = o->region ? o->region : settings.region[0] ? settings.region : "us-east-1";
    if (endpoint[0] && !(s3->endpoint = dt_strdup(endpoint)))
        return dt_fail_memory(err, strlen(endpoint), "an endpoint");
    DT_TRY(dt_s3_address_set(&s3->address, s3->endpoint, o->bucket, region, err));
    snprintf(s3->bucket, sizeof s3->bucket, "%s", o->bucket);
    snprintf(s3->folder, sizeof s3->folder, "s3://%s/", o->bucket);
    s3->is_anonymous = o->anonymous;
    s3->payer = o->requester_pays;
    s3->signs_itself = o->signs_itself || !dt_transfers_can_sign();
    return o->anonymous ? DT_OK : find_credentials(s3, o->profile, err);
}

dt_status dt_s3_create(const dt_s3_options *options, dt_s3 **s3, dt_error *err)
{
    if (dt_s3_why_not())
        return dt_fail(err, DT_ERR_UNSUPPORTED, "s3://%s: %s", options->bucket, dt_s3_why_not());
    dt_s3 *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "a bucket");
    const dt_status status = set_up(s, options, err);
    if (status == DT_OK)
        *s3 = s;
    else
        dt_s3_destroy(s);
    return status;
}

static void forget_token(dt_s3 *s3)
{
    if (s3->token)
        explicit_bzero(s3->token, strlen(s3->token));
    dt_free(s3->token);
    s3->token = NULL;
}

void dt_s3_destroy(dt_s3 *s3)
{
    if (!s3)
        return;
    forget_token(s3);
    dt_aws_renewal_end(&s3->credentials);
    dt_free(s3->endpoint);
    dt_free(s3);
}

void dt_s3_get_stats(const dt_s3 *s3, dt_s3_stats *stats)
{
    *stats = s3->stats;
    stats->renewals = s3->credentials.n;
}

const char *dt_s3_describe(dt_s3 *s3)
{
    snprintf(s3->description, sizeof s3->description, "s3://%s%s%s in %s, %s%s", s3->bucket,
             s3->endpoint ? " at " : "", s3->endpoint ? s3->endpoint : "", s3->address.region,
             s3->is_anonymous ? "without credentials" : "with the credentials from ",
             s3->is_anonymous ? "" : s3->credentials.now.source);
    return s3->description;
}

/* -- requests -------------------------------------------------------------------------------------------- */

static void add(dt_transfer_request *request, const char *header)
{
    request->headers[request->n_headers++] = header;
}

static dt_status sign(dt_s3 *s3, const char *method, dt_transfer_request *request, dt_error *err)
{
    const dt_aws_credentials *c = &s3->credentials.now;
    if (!s3->signs_itself) {
        snprintf(s3->sigv4, sizeof s3->sigv4, "aws:amz:%s:s3", s3->address.region);
        request->sigv4 = s3->sigv4;
        request->key_id = c->key_id;
        request->secret = c->secret;
        return DT_OK;
    }
    const dt_s3_signing_key key = {.region = s3->address.region, .key_id = c->key_id, .secret = c->secret};
    DT_TRY(dt_s3_sign(&key, method, request->url, request->headers, request->n_headers, dt_clock_unix_s(),
                      &s3->signature, err));
    add(request, s3->signature.date);
    add(request, s3->signature.authorization);
    return DT_OK;
}

/* Credentials that are valid now, and their token as a header. */
static dt_status refresh(dt_s3 *s3, dt_error *err)
{
    const int64_t before = s3->credentials.n;
    DT_TRY(dt_aws_renewal_poll(&s3->credentials, err));
    if (s3->credentials.n != before)
        forget_token(s3);
    const char *token = s3->credentials.now.token;
    if (token && !s3->token && !(s3->token = dt_strprintf("x-amz-security-token: %s", token)))
        return dt_fail_memory(err, strlen(token), "a request's headers");
    return DT_OK;
}

dt_status dt_s3_prepare(dt_s3 *s3, const dt_s3_wanted *wanted, dt_transfer_request *request,
                        int64_t *signed_with, dt_error *err)
{
    DT_TRY(dt_s3_address_url(&s3->address, wanted->key, wanted->query, s3->url, err));
    request->url = s3->url;
    if (!wanted->key)
        s3->stats.lists++;
    else if (strcmp(wanted->method, "HEAD") == 0)
        s3->stats.heads++;
    else
        s3->stats.gets++;
    if (wanted->etag && wanted->etag[0]) {
        snprintf(s3->if_match, sizeof s3->if_match, "if-match: %s", wanted->etag);
        add(request, s3->if_match);
    }
    if (wanted->wants_checksum)
        add(request, "x-amz-checksum-mode: ENABLED");
    if (s3->is_anonymous)
        return DT_OK;
    DT_TRY(refresh(s3, err));
    *signed_with = s3->credentials.n;
    if (s3->payer)
        add(request, "x-amz-request-payer: requester");
    if (s3->token)
        add(request, s3->token);
    add(request, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    return sign(s3, wanted->method, request, err);
}

/* -- refusals -------------------------------------------------------------------------------------------- */

static const char *source_of(const dt_s3 *s3)
{
    return s3->credentials.now.source;
}

/* What the credentials are not allowed to do. */
static void describe_denied(const dt_s3 *s3, const char *name, const char *action, const dt_s3_refusal *r,
                            dt_error *err)
{
    const char *verb = strcmp(action, "s3:ListBucket") == 0 ? "list" : "read";
    const bool has_reason = r->message[0] && strcmp(r->message, "Access Denied") != 0;
    if (s3->is_anonymous)
        (void)dt_fail(err, DT_ERR_USAGE,
                      "%s%s is not public: without --anonymous, dtrain signs requests with your credentials",
                      s3->folder, name);
    else
        (void)dt_fail(err, DT_ERR_USAGE,
                      "the credentials from %s may not %s %s%s (%s%s%s)%s: a policy that allows %s does%s",
                      source_of(s3), verb, s3->folder, name, r->code[0] ? r->code : "403",
                      has_reason ? ": " : "", has_reason ? r->message : "",
                      s3->payer ? ", even as the one who pays" : "", action,
                      s3->payer ? "" : "; a bucket whose readers pay needs --requester-pays");
}

static void describe_clock(const dt_s3 *s3, const dt_transfer_answer *answer, const dt_s3_refusal *r,
                           dt_error *err)
{
    const double late_s = answer->server_unix_s - dt_clock_unix_s();
    if (isnan(late_s))
        (void)dt_fail(err, DT_ERR_USAGE, "s3://%s: this machine's clock is wrong (%s): set it", s3->bucket,
                      r->code);
    else
        (void)dt_fail(err, DT_ERR_USAGE, "s3://%s: this machine's clock is %.0f minutes %s (%s): set it",
                      s3->bucket, fabs(late_s) / 60.0, late_s > 0.0 ? "slow" : "fast", r->code);
}

/* Fills *err with one line about a refusal that stays. */
static void describe(const dt_s3 *s3, const char *name, const dt_transfer_answer *answer, const char *action,
                     const dt_s3_refusal *r, dt_error *err)
{
    const char *key_id = s3->is_anonymous ? "" : s3->credentials.now.key_id, *source = source_of(s3);
    switch (r->kind) {
    case DT_S3_UNKNOWN_KEY:
        (void)dt_fail(err, DT_ERR_USAGE, "s3://%s: the store does not know the access key %s from %s (%s)",
                      s3->bucket, key_id, source, r->code);
        break;
    case DT_S3_WRONG_TOKEN:
    case DT_S3_EXPIRED:
        (void)dt_fail(err, DT_ERR_USAGE, "s3://%s: the session token from %s %s (%s): get new credentials",
                      s3->bucket, source, r->kind == DT_S3_EXPIRED ? "has expired" : "is wrong",
                      r->code[0] ? r->code : "400");
        break;
    case DT_S3_WRONG_SIGNATURE:
        (void)dt_fail(
            err, DT_ERR_USAGE,
            "s3://%s: the store does not accept the signature (%s): the secret access key from %s does not "
            "belong to the access key %s",
            s3->bucket, r->code, source, key_id);
        break;
    case DT_S3_WRONG_CLOCK:
        describe_clock(s3, answer, r, err);
        break;
    case DT_S3_DENIED:
        describe_denied(s3, name, action, r, err);
        break;
    case DT_S3_NO_BUCKET:
        (void)dt_fail(err, DT_ERR_USAGE, "there is no bucket '%s' at %s", s3->bucket,
                      s3->endpoint ? s3->endpoint : "AWS");
        break;
    case DT_S3_NO_OBJECT:
        (void)dt_fail(err, DT_ERR_USAGE, "there is no object %s%s", s3->folder, name);
        break;
    case DT_S3_CHANGED:
        (void)dt_fail(err, DT_ERR_DATA, "%s%s has changed since it was listed: begin again", s3->folder,
                      name);
        break;
    case DT_S3_ARCHIVED:
        (void)dt_fail(err, DT_ERR_USAGE, "%s%s is archived (%s): restore it first", s3->folder, name,
                      r->code);
        break;
    default:
        (void)dt_fail(err, DT_ERR_IO, "%s%s: the store answers %d %s%s%s", s3->folder, name, answer->status,
                      r->code[0] ? r->code : "without a code", r->message[0] ? ": " : "", r->message);
    }
}

static dt_transfer_verdict go_to_region(dt_s3 *s3, const char *region, dt_error *err)
{
    dt_s3_address other;
    if (dt_s3_address_set(&other, s3->endpoint, s3->bucket, region, err) != DT_OK)
        return DT_TRANSFER_FAIL;
    if (strcmp(other.region, s3->address.region) != 0)
        dt_log_info("s3://%s is in %s", s3->bucket, region);
    s3->address = other;
    return DT_TRANSFER_RETRY_NOW;
}

dt_transfer_verdict dt_s3_judge(dt_s3 *s3, const dt_transfer *transfer, const dt_transfer_answer *answer,
                                const char *action, int64_t signed_with, dt_error *err)
{
    dt_s3_refusal r;
    bool is_new = false;
    dt_s3_refusal_parse(answer, &r);
    if (!s3->is_anonymous && s3->credentials.now.token && answer->status == 400 && !r.code[0] &&
        (r.kind == DT_S3_OTHER || strcmp(r.region, s3->address.region) == 0))
        r.kind = DT_S3_EXPIRED; /* an answer to HEAD has no text: this is the likeliest */
    if (s3->is_anonymous && r.kind == DT_S3_EXPIRED)
        r.kind = DT_S3_OTHER;
    describe(s3, transfer->name, answer, action, &r, err);
    switch (r.kind) {
    case DT_S3_IS_BUSY:
        return DT_TRANSFER_RETRY_SLOW;
    case DT_S3_HAS_FAILED:
        return DT_TRANSFER_RETRY;
    case DT_S3_OTHER_REGION:
        return go_to_region(s3, r.region, err);
    case DT_S3_EXPIRED:
        if (dt_aws_renewal_expired(&s3->credentials, signed_with, &is_new, NULL) != DT_OK || !is_new)
            return DT_TRANSFER_FAIL;
        forget_token(s3);
        return DT_TRANSFER_RETRY_NOW;
    default:
        return DT_TRANSFER_FAIL;
    }
}

/* -- objects --------------------------------------------------------------------------------------------- */

static dt_status prepare_get(dt_transfer *transfer, dt_transfer_request *request, dt_error *err)
{
    dt_s3_get *get = transfer->context;
    const bool is_head = transfer->kind == DT_TRANSFER_HEAD;
    return dt_s3_prepare(get->s3,
                         &(dt_s3_wanted){.method = is_head ? "HEAD" : "GET",
                                         .key = get->object.key,
                                         .etag = get->object.etag,
                                         .wants_checksum = transfer->kind != DT_TRANSFER_RANGE},
                         request, &get->signed_with, err);
}

static dt_transfer_verdict judge_get(dt_transfer *transfer, const dt_transfer_answer *answer, dt_error *err)
{
    const dt_s3_get *get = transfer->context;
    return dt_s3_judge(get->s3, transfer, answer, "s3:GetObject", get->signed_with, err);
}

static dt_status end_get(dt_transfer *transfer, dt_status status, dt_error *err)
{
    dt_s3_get *get = transfer->context;
    return get->done(get, status, err);
}

static void begin_get(dt_s3 *s3, dt_s3_get *get, dt_transfer_kind kind)
{
    get->s3 = s3;
    get->transfer = (dt_transfer){.folder = s3->folder,
                                  .name = get->object.key,
                                  .kind = kind,
                                  .offset = get->offset,
                                  .bytes = kind == DT_TRANSFER_HEAD ? 0 : get->bytes,
                                  .buffer = kind == DT_TRANSFER_HEAD ? NULL : get->buffer,
                                  .prepare = prepare_get,
                                  .judge = judge_get,
                                  .done = end_get,
                                  .context = get};
}

void dt_s3_get_start(dt_s3 *s3, dt_transfers *transfers, dt_s3_get *get)
{
    const bool is_whole = get->offset == 0 && get->bytes == get->object.bytes;
    begin_get(s3, get, is_whole ? DT_TRANSFER_WHOLE : DT_TRANSFER_RANGE);
    dt_transfers_add(transfers, &get->transfer);
}

void dt_s3_head_start(dt_s3 *s3, dt_transfers *transfers, dt_s3_get *get)
{
    begin_get(s3, get, DT_TRANSFER_HEAD);
    dt_transfers_add(transfers, &get->transfer);
}
