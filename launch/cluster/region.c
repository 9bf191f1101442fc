#include "config.h"

#include "launch/cluster/region.h"

#include "launch/options/suggest.h"

#include <string.h>

/* As of November 2026. */
static const char *const regions[] = {"af-south-1",     "ap-east-1",      "ap-east-2",
                                      "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
                                      "ap-south-1",     "ap-south-2",     "ap-southeast-1",
                                      "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
                                      "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
                                      "ca-central-1",   "ca-west-1",      "cn-north-1",
                                      "cn-northwest-1", "eu-central-1",   "eu-central-2",
                                      "eu-north-1",     "eu-south-1",     "eu-south-2",
                                      "eu-west-1",      "eu-west-2",      "eu-west-3",
                                      "il-central-1",   "me-central-1",   "me-south-1",
                                      "mx-central-1",   "sa-east-1",      "us-east-1",
                                      "us-east-2",      "us-gov-east-1",  "us-gov-west-1",
                                      "us-west-1",      "us-west-2",      NULL};

dt_status dt_region_check(const dt_catalog *catalog, const char *region, const char *what, dt_error *err)
{
    for (int i = 0; regions[i]; i++)
        if (strcmp(regions[i], region) == 0)
            return DT_OK;
    for (int i = 0; i < catalog->n_prices; i++)
        if (strcmp(catalog->prices[i].region, region) == 0)
            return DT_OK;
    const char *meant = dt_suggest(region, regions);
    if (meant)
        return dt_fail(err, DT_ERR_USAGE, "%s: there is no region '%s'; did you mean '%s'?", what, region,
                       meant);
    return dt_fail(
        err, DT_ERR_USAGE,
        "%s: there is no region '%s' in dtrain's list; a newer one needs a price in the file of --prices",
        what, region);
}

const char *dt_region_partition(const char *region)
{
    if (strncmp(region, "cn-", 3) == 0)
        return "aws-cn";
    return strncmp(region, "us-gov-", 7) == 0 ? "aws-us-gov" : "aws";
}
