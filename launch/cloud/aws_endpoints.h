/* aws_endpoints.h: credentials from a service near this machine: a container's endpoint, or the metadata
 * service of an EC2 instance.
 *
 *   DT_TRY(dt_aws_container_credentials(&credentials, &found, err));
 *   if (!found) DT_TRY(dt_aws_instance_credentials(&credentials, &found, err));
 */
#ifndef DT_LAUNCH_CLOUD_AWS_ENDPOINTS_H
#define DT_LAUNCH_CLOUD_AWS_ENDPOINTS_H

#include "core/base/error.h"
#include "launch/cloud/aws_credentials.h"

/* *found is false if the environment names no such endpoint. DT_ERR_USAGE: what it names is no endpoint of
 * this machine, or speaks HTTPS, which is not supported; DT_ERR_IO, DT_ERR_FORMAT: no answer, or another
 * one. */
dt_status dt_aws_container_credentials(dt_aws_credentials *credentials, bool *found, dt_error *err);

/* *found is false if this is no EC2 instance (no answer within a second), if the instance has no role, or if
 * AWS_EC2_METADATA_DISABLED is true. DT_ERR_FORMAT: the service answers with something else. */
dt_status dt_aws_instance_credentials(dt_aws_credentials *credentials, bool *found, dt_error *err);

#endif
