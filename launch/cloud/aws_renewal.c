#include "launch/cloud/aws_renewal.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"

#include <math.h>
#include <string.h>

#define BEFORE_END_S 300.0 /* an EC2 instance has the next ones by then */
#define AGAIN_S 30.0

static double due_of(const dt_aws_credentials *c, double now_s)
{
    return c->expires_unix_s - fmin(BEFORE_END_S, 0.25 * (c->expires_unix_s - now_s));
}

dt_status dt_aws_renewal_begin(dt_aws_renewal *renewal, const char *profile, dt_error *err)
{
    dt_aws_renewal r = {.profile = profile ? dt_strdup(profile) : NULL};
    if (profile && !r.profile)
        return dt_fail_memory(err, strlen(profile), "a profile's name");
    const dt_status status = dt_aws_credentials_find(profile, &r.now, err);
    if (status != DT_OK) {
        dt_free(r.profile);
        return status;
    }
    r.due_s = due_of(&r.now, dt_clock_unix_s());
    *renewal = r;
    return DT_OK;
}

void dt_aws_renewal_end(dt_aws_renewal *renewal)
{
    dt_aws_credentials_free(&renewal->now);
    dt_free(renewal->profile);
    renewal->profile = NULL;
}

static bool are_same(const dt_aws_credentials *a, const dt_aws_credentials *b)
{
    return strcmp(a->key_id, b->key_id) == 0 && strcmp(a->secret, b->secret) == 0 &&
           strcmp(a->token ? a->token : "", b->token ? b->token : "") == 0;
}

static dt_status renew(dt_aws_renewal *r, bool *is_new, dt_error *err)
{
    dt_aws_credentials next;
    const double now_s = dt_clock_unix_s();
    *is_new = false;
    r->due_s = now_s + AGAIN_S;
    DT_TRY(dt_aws_credentials_find(r->profile, &next, err));
    *is_new = !are_same(&next, &r->now);
    if (!*is_new) {
        dt_aws_credentials_free(&next);
        return DT_OK;
    }
    dt_aws_credentials_free(&r->now);
    r->now = next;
    r->n++;
    r->due_s = due_of(&next, now_s);
    r->is_warned = false;
    dt_log_debug("new credentials from %s", next.source);
    return DT_OK;
}

dt_status dt_aws_renewal_poll(dt_aws_renewal *renewal, dt_error *err)
{
    bool is_new;
    dt_error why = {0};
    const double now_s = dt_clock_unix_s();
    if (now_s < renewal->due_s)
        return DT_OK;
    const dt_status status = renew(renewal, &is_new, &why);
    if (status == DT_OK)
        return DT_OK;
    if (now_s >= renewal->now.expires_unix_s) {
        if (err)
            *err = why;
        (void)dt_error_prefix(err, "the credentials have expired");
        return status;
    }
    if (!renewal->is_warned)
        dt_log_warn("%s: the credentials expire in %.0f s; trying again every %.0f s", why.message,
                    renewal->now.expires_unix_s - now_s, AGAIN_S);
    renewal->is_warned = true;
    return DT_OK;
}

dt_status dt_aws_renewal_expired(dt_aws_renewal *renewal, int64_t n, bool *is_new, dt_error *err)
{
    *is_new = n != renewal->n;
    return *is_new ? DT_OK : renew(renewal, is_new, err);
}
