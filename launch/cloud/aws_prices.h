/* aws_prices.h: today's prices of EC2 instances from AWS itself.
 *
 *   dt_aws_prices prices = {0};
 *   DT_TRY(dt_aws_spot_prices(client, "us-east-1", types, &prices, err));
 *   DT_TRY(dt_aws_on_demand_price(client, "us-east-1", "g5.xlarge", &usd_h, err));
 *   dt_aws_prices_free(&prices);
 */
#ifndef DT_LAUNCH_CLOUD_AWS_PRICES_H
#define DT_LAUNCH_CLOUD_AWS_PRICES_H

#include "core/base/error.h"
#include "launch/cloud/aws_request.h"

typedef struct dt_aws_price {
    char type[32];
    char zone[32]; /* "use1-az4": its id, which is the same in all accounts */
    double usd_h;
} dt_aws_price;

typedef struct dt_aws_prices {
    dt_aws_price *items;
    int n, n_allocated;
} dt_aws_prices;

void dt_aws_prices_free(dt_aws_prices *prices);

/* Appends the spot price that counts now (Linux) of each of `types`, a list ended by NULL, in each zone of
 * the region that offers it: EC2's DescribeAvailabilityZones, and a DescribeSpotPriceHistory for each page.
 * Errors: dt_aws_call; DT_ERR_FORMAT: an answer that is not understood. */
dt_status dt_aws_spot_prices(dt_aws_client *client, const char *region, const char *const *types,
                             dt_aws_prices *prices, dt_error *err);

/* The price list's price (Linux, shared hardware); NAN: the region does not offer the type. Errors as
 * above. */
dt_status dt_aws_on_demand_price(dt_aws_client *client, const char *region, const char *type, double *usd_h,
                                 dt_error *err);

#endif
