/* aws_zones.h: the zones of a region. A name ("us-east-1a") stands for another place in each account, an id
 * ("use1-az4") for the same place in all.
 *
 *   dt_aws_zones zones;
 *   DT_TRY(dt_aws_zones_read(client, "us-east-1", &zones, &finding, err));
 *   const dt_aws_zone *zone = dt_aws_zones_find(&zones, "us-east-1a");      or "use1-az4"
 */
#ifndef DT_LAUNCH_CLOUD_AWS_ZONES_H
#define DT_LAUNCH_CLOUD_AWS_ZONES_H

#include "core/base/error.h"
#include "launch/cloud/aws_request.h"

typedef struct dt_aws_zone {
    char name[48], id[32];
} dt_aws_zone;

enum { DT_AWS_MAX_ZONES = 64 }; /* of a region, with local zones; us-east-1 has about 25 */

typedef struct dt_aws_zones {
    dt_aws_zone items[DT_AWS_MAX_ZONES];
    int n;
} dt_aws_zones;

typedef enum dt_aws_finding {
    DT_AWS_KNOWN,
    DT_AWS_DENIED, /* the credentials may not ask this */
    DT_AWS_ABSENT  /* AWS has no such thing */
} dt_aws_finding;

/* The zones that this account can use (EC2's DescribeAvailabilityZones). *zones is set only for DT_AWS_KNOWN.
 * Errors of both functions: dt_aws_call; DT_ERR_FORMAT: an answer that is not understood. */
dt_status dt_aws_zones_read(dt_aws_client *client, const char *region, dt_aws_zones *zones,
                            dt_aws_finding *finding, dt_error *err);

/* Those of them that offer a type ("g5.xlarge"), sorted by name (EC2's DescribeInstanceTypeOfferings).
 * DT_AWS_ABSENT: none. */
dt_status dt_aws_zones_with(dt_aws_client *client, const char *region, const char *type, dt_aws_zones *zones,
                            dt_aws_finding *finding, dt_error *err);

/* By name or id; NULL: it is not there. */
const dt_aws_zone *dt_aws_zones_find(const dt_aws_zones *zones, const char *name);

#endif
