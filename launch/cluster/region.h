/* region.h: AWS's regions: which there are, and the partition that one is in. Local. */
#ifndef DT_LAUNCH_CLUSTER_REGION_H
#define DT_LAUNCH_CLUSTER_REGION_H

#include "launch/estimate/catalog.h"

/* DT_ERR_USAGE, with the region that was probably meant, unless this is a region of AWS's or the catalog has
 * a price in it. `what` begins the message: "--region". */
dt_status dt_region_check(const dt_catalog *catalog, const char *region, const char *what, dt_error *err);

/* "aws", "aws-cn" (China) or "aws-us-gov": the second part of each ARN. Static storage. */
const char *dt_region_partition(const char *region);

#endif
