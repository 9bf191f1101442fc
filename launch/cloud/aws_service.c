#include "config.h"

#include "launch/cloud/aws_service.h"

#include "launch/cloud/aws_environment.h"

#include <stdio.h>
#include <string.h>

static const struct {
    dt_aws_service_info info;
    const char *variable; /* AWS_ENDPOINT_URL_... */
    const char *host;     /* before the region */
} services[] = {
    [DT_AWS_EC2] = {{"ec2", "2016-11-15", NULL}, "EC2", "ec2"},
    [DT_AWS_IAM] = {{"iam", "2010-05-08", NULL}, "IAM", "iam"},
    [DT_AWS_PRICING] = {{"pricing", NULL, "AWSPriceListService"}, "PRICING", "api.pricing"},
    [DT_AWS_SERVICE_QUOTAS] = {{"servicequotas", NULL, "ServiceQuotasV20190624"},
                               "SERVICE_QUOTAS",
                               "servicequotas"},
};

static bool begins_with(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

const dt_aws_service_info *dt_aws_service_get(dt_aws_service service)
{
    return &services[service].info;
}

const char *dt_aws_service_region(dt_aws_service service, const char *region)
{
    const bool is_china = begins_with(region, "cn-");
    if (service == DT_AWS_IAM)
        return is_china ? "cn-north-1" : begins_with(region, "us-gov-") ? "us-gov-west-1" : "us-east-1";
    if (service == DT_AWS_PRICING)
        return is_china ? "cn-northwest-1" : "us-east-1";
    return region;
}

static void default_url(dt_aws_service service, const char *region, char url[DT_AWS_URL_BYTES])
{
    const char *signs = dt_aws_service_region(service, region);
    const bool is_china = begins_with(signs, "cn-");
    if (service == DT_AWS_IAM && !is_china)
        snprintf(url, DT_AWS_URL_BYTES, "https://iam%s.amazonaws.com/",
                 begins_with(signs, "us-gov-") ? ".us-gov" : "");
    else
        snprintf(url, DT_AWS_URL_BYTES, "https://%s.%s.amazonaws.com%s/", services[service].host, signs,
                 is_china ? ".cn" : "");
}

void dt_aws_service_url(dt_aws_service service, const char *region, char url[DT_AWS_URL_BYTES])
{
    char name[64];
    snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", services[service].variable);
    const char *given = dt_aws_environment(name);
    if (!given)
        given = dt_aws_environment("AWS_ENDPOINT_URL");
    if (!given || dt_aws_environment_is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) {
        default_url(service, region, url);
        return;
    }
    size_t n = strlen(given);
    while (n > 0 && given[n - 1] == '/')
        n--;
    snprintf(url, DT_AWS_URL_BYTES, "%.*s/", (int)n, given);
}
