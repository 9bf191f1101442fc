/* plan_aws.h: what `dtrain plan` asks AWS: --refresh-prices and --check.
 *
 *   DT_TRY(dt_plan_refresh_prices(catalog, types, regions, "prices.json", err));
 *   dt_plan_wanted wanted = {.type = "p4d.24xlarge", .region = "us-east-1", .n_nodes = 2, .n_vcpus = 96};
 *   DT_TRY(dt_plan_check_account(&wanted, 1, stdout, err));
 *
 * Both need credentials, which are found in the order of the AWS command line
 * (launch/cloud/aws_credentials.h), and an internet connection. They block for about a second for each
 * request, and log what they wait for.
 * AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> name other servers, as for the AWS command line.
 *
 * Errors of both: DT_ERR_USAGE: no credentials, with how to get some, or AWS refuses them; DT_ERR_IO: no
 * answer, or one that is not understood; DT_ERR_UNSUPPORTED: this build has no libcurl or no expat.
 */
#ifndef DT_LAUNCH_COMMANDS_PLAN_AWS_H
#define DT_LAUNCH_COMMANDS_PLAN_AWS_H

#include "core/base/error.h"
#include "launch/estimate/catalog.h"

#include <stdio.h>

/* Fetches the spot prices of each zone and the prices on demand (Linux, USD an hour), of `types` in
 * `regions`, and writes them to `path` in the format of prices.json, together with the other prices of the
 * user's files; those that are built in need not be there. Prints on stdout what has changed. `types`,
 * `regions`: lists ended by NULL; NULL: all types of the catalog that are supported; all regions for which
 * the catalog has a price. The file is replaced as a whole or not at all. */
dt_status dt_plan_refresh_prices(const dt_catalog *catalog, const char *const *types,
                                 const char *const *regions, const char *path, dt_error *err);

/* What a choice needs from the account. */
typedef struct dt_plan_wanted {
    const char *type, *region;
    const char *zone; /* "use1-az4", or the account's name for it, "us-east-1a"; NULL: any of the region */
    int n_nodes, n_vcpus; /* vCPUs of each node */
    bool is_spot;
} dt_plan_wanted;

/* For each of `wanted`: whether the region and the zone offer the type, whether the quota covers the vCPUs of
 * all nodes, and, for spot, whether the account has the role that spot instances need. Prints on `out` a row
 * for each, and what to do. DT_ERR_UNSUPPORTED also if the account cannot start one of them as it is. */
dt_status dt_plan_check_account(const dt_plan_wanted *wanted, int n_wanted, FILE *out, dt_error *err);

#endif
