#include "config.h"

#include "launch/cloud/aws_check.h"

#include "core/base/json_limit.h"
#include "launch/cloud/xml.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 1000, MAX_DEPTH = 16 };

/* -- quotas ---------------------------------------------------------------------------------------------- */

const dt_aws_quota *dt_aws_quota_of(const char *type, bool is_spot)
{
    /* The letters of a family end at its first digit: "p4d" is p, "trn1" is trn. */
    static const struct {
        const char *letters;
        const char *generations; /* the digits after the letters; NULL: all others */
        dt_aws_quota on_demand, spot;
    } quotas[] = {
        {"g",
         NULL,
         {"L-DB2E81BA", "Running On-Demand G and VT instances"},
         {"L-3819A6DF", "All G and VT Spot Instance Requests"}},
        {"p",
         "234",
         {"L-417A185B", "Running On-Demand P instances"},
         {"L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"}},
        {"p",
         "5",
         {"L-417A185B", "Running On-Demand P instances"},
         {"L-C4BD4855", "All P5 Spot Instance Requests"}},
        {"p", NULL, {"L-417A185B", "Running On-Demand P instances"}, {NULL, NULL}}, /* spot: not known */
        {"trn",
         NULL,
         {"L-2C3B7624", "Running On-Demand Trn instances"},
         {"L-6B0D517C", "All Trn Spot Instance Requests"}},
    };
    const size_t n = strcspn(type, "0123456789");
    for (size_t i = 0; i < sizeof quotas / sizeof quotas[0]; i++) {
        if (strlen(quotas[i].letters) != n || strncmp(type, quotas[i].letters, n) != 0 || !type[n] ||
            (quotas[i].generations && !strchr(quotas[i].generations, type[n])))
            continue;
        const dt_aws_quota *quota = is_spot ? &quotas[i].spot : &quotas[i].on_demand;
        return quota->code ? quota : NULL;
    }
    return NULL;
}

static dt_status read_quota(const dt_aws_answer *answer, double *vcpus, dt_error *err)
{
    json_t *root = NULL;
    if (dt_json_limit(answer->text, (int64_t)answer->bytes, MAX_VALUES, MAX_DEPTH, NULL) == DT_OK)
        root = json_loadb(answer->text, answer->bytes, 0, NULL);
    const json_t *value = json_object_get(json_object_get(root, "Quota"), "Value");
    const bool is_number = json_is_number(value);
    if (is_number)
        *vcpus = json_number_value(value);
    json_decref(root);
    return is_number ? DT_OK : dt_fail(err, DT_ERR_FORMAT, "the answer has no Quota.Value");
}

/* As dt_aws_quota_vcpus, by one of the two actions. */
static dt_status ask_quota(dt_aws_client *client, const char *region, const dt_aws_quota *quota,
                           const char *action, double *vcpus, dt_aws_finding *finding, dt_error *err)
{
    static const char *const codes[] = {"NoSuchResourceException", "AccessDeniedException", NULL};
    char parameters[128];
    dt_aws_answer answer;
    snprintf(parameters, sizeof parameters, "{\"ServiceCode\":\"ec2\",\"QuotaCode\":\"%s\"}", quota->code);
    DT_TRY(dt_aws_call(client,
                       &(dt_aws_request){.service = DT_AWS_SERVICE_QUOTAS,
                                         .region = region,
                                         .action = action,
                                         .parameters = parameters,
                                         .error_codes = codes},
                       &answer, err));
    dt_status status = DT_OK;
    *finding = DT_AWS_KNOWN;
    if (strcmp(answer.error_code, codes[0]) == 0)
        *finding = DT_AWS_ABSENT;
    else if (answer.error_code[0])
        *finding = DT_AWS_DENIED;
    else if ((status = read_quota(&answer, vcpus, err)) != DT_OK)
        dt_error_prefix(err, "servicequotas:%s in %s", action, region);
    dt_aws_answer_free(&answer);
    return status;
}

dt_status dt_aws_quota_vcpus(dt_aws_client *client, const char *region, const dt_aws_quota *quota,
                             double *vcpus, dt_aws_finding *finding, dt_error *err)
{
    DT_TRY(ask_quota(client, region, quota, "GetServiceQuota", vcpus, finding, err));
    return *finding == DT_AWS_ABSENT
               ? ask_quota(client, region, quota, "GetAWSDefaultServiceQuota", vcpus, finding, err)
               : DT_OK;
}

/* -- the role for spot ----------------------------------------------------------------------------------- */

static void visit_role(void *context, const char *path, const char *text)
{
    if (strcmp(path, "GetRoleResponse/GetRoleResult/Role/RoleName") == 0 &&
        strcmp(text, "AWSServiceRoleForEC2Spot") == 0)
        *(bool *)context = true;
}

dt_status dt_aws_spot_role(dt_aws_client *client, const char *region, dt_aws_finding *finding, dt_error *err)
{
    static const char *const codes[] = {"NoSuchEntity", "AccessDenied", NULL};
    bool is_there = false;
    dt_aws_answer answer;
    DT_TRY(dt_aws_call(client,
                       &(dt_aws_request){.service = DT_AWS_IAM,
                                         .region = region,
                                         .action = "GetRole",
                                         .parameters = "&RoleName=AWSServiceRoleForEC2Spot",
                                         .error_codes = codes},
                       &answer, err));
    dt_status status = DT_OK;
    *finding = strcmp(answer.error_code, codes[0]) == 0 ? DT_AWS_ABSENT
               : answer.error_code[0]                   ? DT_AWS_DENIED
                                                        : DT_AWS_KNOWN;
    if (*finding == DT_AWS_KNOWN)
        status = dt_xml_walk(answer.text, answer.bytes, visit_role, &is_there, err);
    if (status == DT_OK && *finding == DT_AWS_KNOWN && !is_there)
        status = dt_fail(err, DT_ERR_FORMAT, "iam:GetRole: the answer is another");
    dt_aws_answer_free(&answer);
    return status;
}
