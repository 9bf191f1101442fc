/* zone.h: zones of a region, as AWS names them: by id ("use1-az2"), which is one place for all accounts, or
 * by name ("us-east-1a"), which is another place in each.
 *
 *   if (!dt_zone_is_in("usw2-az1", "us-east-1")) ...
 *
 * Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_ZONE_H
#define DT_LAUNCH_ESTIMATE_ZONE_H

#include <stdbool.h>

/* What the ids of a region's zones begin with: "use1" of us-east-1, "apse2" of ap-southeast-2. Returns false
 * for a region whose name is made in another way. */
bool dt_zone_prefix(const char *region, char out[8]);

/* Whether the zone is one of the region. True also where its form says nothing. */
bool dt_zone_is_in(const char *zone, const char *region);

#endif
