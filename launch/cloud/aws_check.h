/* aws_check.h: whether an account can start instances: quotas, and the role for spot.
 *
 *   const dt_aws_quota *quota = dt_aws_quota_of("p4d.24xlarge", true);
 *   DT_TRY(dt_aws_quota_vcpus(client, "us-east-1", quota, &vcpus, &finding, err));
 *   if (finding == DT_AWS_KNOWN && vcpus < 96.0) ...
 */
#ifndef DT_LAUNCH_CLOUD_AWS_CHECK_H
#define DT_LAUNCH_CLOUD_AWS_CHECK_H

#include "core/base/error.h"
#include "launch/cloud/aws_request.h"
#include "launch/cloud/aws_zones.h"

/* A limit on the vCPUs of all running instances of some families in one region. */
typedef struct dt_aws_quota {
    const char *code; /* "L-417A185B" */
    const char *name; /* as in the Service Quotas console */
} dt_aws_quota;

/* The quota that counts for a type ("p4d.24xlarge"); NULL: not known for its family. Static storage. */
const dt_aws_quota *dt_aws_quota_of(const char *type, bool is_spot);

/* The quota's value in vCPUs; AWS's default where the account has no value of its own. Outputs are set only
 * for DT_AWS_KNOWN. Errors of this and the next functions: dt_aws_call; DT_ERR_FORMAT: an answer that is not
 * understood. */
dt_status dt_aws_quota_vcpus(dt_aws_client *client, const char *region, const dt_aws_quota *quota,
                             double *vcpus, dt_aws_finding *finding, dt_error *err);

/* Whether the account has the role AWSServiceRoleForEC2Spot. `region` chooses the partition. */
dt_status dt_aws_spot_role(dt_aws_client *client, const char *region, dt_aws_finding *finding, dt_error *err);

#endif
