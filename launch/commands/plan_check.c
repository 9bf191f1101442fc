/* dtrain plan --check: whether the account can start what was chosen, and what to do where it cannot. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/units.h"
#include "launch/cloud/aws_check.h"
#include "launch/commands/plan_aws.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 640, MAX_ADVICE = 64 };

typedef struct check {
    dt_aws_client *client;
    dt_table *table;
    FILE *out;
    char *advice[MAX_ADVICE]; /* one line each */
    int n_advice;
    int n_problems; /* of the choice that is checked now */
} check;

/* One row; `advice` says what to do, NULL: nothing. */
static dt_status add(check *c, const char *what, const char *found, const char *advice, dt_error *err)
{
    DT_TRY(dt_table_add(c->table, (const char *const[]){what, advice ? "-" : "ok", found}, err));
    for (int i = 0; advice && i < c->n_advice; i++)
        if (strcmp(c->advice[i], advice) == 0)
            return DT_OK;
    if (!advice || c->n_advice == MAX_ADVICE)
        return DT_OK;
    char *copy = dt_strdup(advice);
    if (!copy)
        return dt_fail_memory(err, strlen(advice), "advice");
    c->advice[c->n_advice++] = copy;
    return DT_OK;
}

static dt_status add_denied(check *c, const char *what, const char *action, dt_error *err)
{
    char advice[TEXT_BYTES];
    snprintf(advice, sizeof advice,
             "allow %s to these credentials, so that it can be checked (the policy is in launch/README.md)",
             action);
    return add(c, what, "not known: the credentials may not ask", advice, err);
}

/* "us-east-1a (use1-az4), us-east-1c (use1-az1)" */
static void format_zones(const dt_aws_zones *zones, char *out, size_t bytes)
{
    out[0] = '\0';
    for (int i = 0; i < zones->n; i++) {
        const size_t used = strlen(out);
        snprintf(out + used, bytes - used, "%s%s (%s)", i > 0 ? ", " : "", zones->items[i].name,
                 zones->items[i].id);
    }
}

static dt_status check_offer(check *c, const dt_plan_wanted *w, dt_error *err)
{
    char names[TEXT_BYTES / 2], what[TEXT_BYTES], found[TEXT_BYTES], advice[TEXT_BYTES];
    dt_aws_zones zones = {.n = 0};
    dt_aws_finding finding;
    DT_TRY(dt_aws_zones_with(c->client, w->region, w->type, &zones, &finding, err));
    format_zones(&zones, names, sizeof names);
    snprintf(what, sizeof what, "%s in %s", w->type, w->zone ? w->zone : w->region);
    if (finding == DT_AWS_DENIED)
        return add_denied(c, what, "ec2:DescribeInstanceTypeOfferings and ec2:DescribeAvailabilityZones",
                          err);
    if (finding == DT_AWS_ABSENT) {
        c->n_problems++;
        snprintf(found, sizeof found, "not offered in %s", w->region);
        snprintf(advice, sizeof advice, "choose another region than %s for %s (--regions)", w->region,
                 w->type);
        return add(c, what, found, advice, err);
    }
    snprintf(found, sizeof found, "offered in %s", names);
    if (!w->zone || dt_aws_zones_find(&zones, w->zone))
        return add(c, what, found, NULL, err);
    c->n_problems++;
    snprintf(found, sizeof found, "not offered in %s", w->zone);
    snprintf(advice, sizeof advice, "choose a subnet for %s in one of the zones %s", w->type, names);
    return add(c, what, found, advice, err);
}

static dt_status check_quota(check *c, const dt_plan_wanted *w, dt_error *err)
{
    const dt_aws_quota *quota = dt_aws_quota_of(w->type, w->is_spot);
    char what[TEXT_BYTES], found[TEXT_BYTES], advice[TEXT_BYTES];
    double vcpus = 0.0;
    dt_aws_finding finding;
    const int needed = w->n_nodes * w->n_vcpus;
    if (!quota) {
        snprintf(what, sizeof what, "quota for %s, %s", w->type, w->is_spot ? "spot" : "on demand");
        snprintf(advice, sizeof advice,
                 "compare the quota for %s in the Service Quotas console of %s with %d vCPUs", w->type,
                 w->region, needed);
        return add(c, what, "not known which quota counts", advice, err);
    }
    DT_TRY(dt_aws_quota_vcpus(c->client, w->region, quota, &vcpus, &finding, err));
    snprintf(what, sizeof what, "quota '%s' in %s", quota->name, w->region);
    if (finding == DT_AWS_DENIED)
        return add_denied(c, what, "servicequotas:GetServiceQuota", err);
    if (finding == DT_AWS_ABSENT)
        return add(c, what, "AWS does not know this quota there", NULL, err);
    snprintf(found, sizeof found, "%.0f vCPUs for all that runs; %d node%s of %d need%s %d", vcpus,
             w->n_nodes, DT_PLURAL(w->n_nodes), w->n_vcpus, w->n_nodes == 1 ? "s" : "", needed);
    if (vcpus >= needed)
        return add(c, what, found, NULL, err);
    c->n_problems++;
    snprintf(advice, sizeof advice,
             "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code %s "
             "--desired-value "
             "%d --region %s    (AWS takes hours to days)",
             quota->code, needed, w->region);
    return add(c, what, found, advice, err);
}

static dt_status check_role(check *c, const dt_plan_wanted *w, dt_error *err)
{
    static const char what[] = "role for spot instances";
    dt_aws_finding finding;
    DT_TRY(dt_aws_spot_role(c->client, w->region, &finding, err));
    if (finding == DT_AWS_DENIED)
        return add_denied(c, what, "iam:GetRole", err);
    if (finding == DT_AWS_KNOWN)
        return add(c, what, "AWSServiceRoleForEC2Spot exists", NULL, err);
    c->n_problems++;
    return add(
        c, what, "AWSServiceRoleForEC2Spot is missing",
        "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com    (once in the account)",
        err);
}

static dt_status check_all(check *c, const dt_plan_wanted *wanted, int n_wanted, int *n_bad, dt_error *err)
{
    for (int i = 0; i < n_wanted; i++) {
        c->n_problems = 0;
        if (i > 0)
            DT_TRY(dt_table_add_rule(c->table, err));
        DT_TRY(check_offer(c, &wanted[i], err));
        DT_TRY(check_quota(c, &wanted[i], err));
        if (wanted[i].is_spot)
            DT_TRY(check_role(c, &wanted[i], err));
        *n_bad += c->n_problems > 0;
    }
    return DT_OK;
}

static dt_status print(const check *c, dt_error *err)
{
    DT_TRY(dt_table_print(c->table, c->out, dt_table_utf8(), dt_table_columns(c->out), err));
    if (c->n_advice > 0)
        dt_output_line(c->out, "What to do:");
    for (int i = 0; i < c->n_advice; i++)
        dt_output_line(c->out, "  %s", c->advice[i]);
    return fflush(c->out) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the checks");
}

static dt_status ask_and_print(check *c, const dt_plan_wanted *wanted, int n_wanted, dt_error *err)
{
    static const char *const headings[] = {"what", "", "found"};
    dt_aws_credentials credentials = {0};
    int n_bad = 0;
    DT_TRY(dt_aws_credentials_find(NULL, &credentials, err));
    dt_status status = dt_aws_client_create(&credentials, &(dt_aws_options){0}, &c->client, err);
    if (status == DT_OK)
        status = dt_table_create(headings, 3, &c->table, err);
    if (status == DT_OK)
        status = check_all(c, wanted, n_wanted, &n_bad, err);
    if (status == DT_OK)
        status = print(c, err);
    dt_aws_client_destroy(c->client);
    dt_aws_credentials_free(&credentials);
    if (status == DT_OK && n_bad > 0)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "--check: %d of %d kinds of instances cannot be started as it is", n_bad, n_wanted);
    return status;
}

dt_status dt_plan_check_account(const dt_plan_wanted *wanted, int n_wanted, FILE *out, dt_error *err)
{
    check c = {.out = out};
    if (dt_aws_why_not())
        return dt_fail(err, DT_ERR_UNSUPPORTED, "--check: %s", dt_aws_why_not());
    const dt_status status = ask_and_print(&c, wanted, n_wanted, err);
    dt_table_destroy(c.table);
    for (int i = 0; i < c.n_advice; i++)
        dt_free(c.advice[i]);
    return status;
}
