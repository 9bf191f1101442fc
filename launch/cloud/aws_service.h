/* aws_service.h: the services of AWS that dtrain asks, and their addresses.
 *
 *   char url[DT_AWS_URL_BYTES];
 *   dt_aws_service_url(DT_AWS_EC2, "us-east-1", url);         "https://ec2.us-east-1.amazonaws.com/"
 */
#ifndef DT_LAUNCH_CLOUD_AWS_SERVICE_H
#define DT_LAUNCH_CLOUD_AWS_SERVICE_H

typedef enum dt_aws_service {
    DT_AWS_EC2, /* answers in XML, as IAM */
    DT_AWS_IAM, /* exists once for each partition (aws, aws-cn, aws-us-gov), as PRICING */
    DT_AWS_PRICING,
    DT_AWS_SERVICE_QUOTAS /* answers in JSON, as PRICING */
} dt_aws_service;

typedef struct dt_aws_service_info {
    const char *name;    /* in signatures and in policies: "ec2" */
    const char *version; /* of the interface, for services that take forms; NULL: it takes JSON */
    const char *target;  /* stands before the action in the header of JSON requests */
} dt_aws_service_info;

enum { DT_AWS_URL_BYTES = 512 };

/* Static storage. */
const dt_aws_service_info *dt_aws_service_get(dt_aws_service service);

/* The region that signs a request about `region`: another one for IAM and PRICING. Returns `region` or static
 * storage. */
const char *dt_aws_service_region(dt_aws_service service, const char *region);

/* The address with a slash at its end. AWS_ENDPOINT_URL_EC2, _IAM, _PRICING and _SERVICE_QUOTAS name another
 * one, AWS_ENDPOINT_URL one for all services, unless AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true. */
void dt_aws_service_url(dt_aws_service service, const char *region, char url[DT_AWS_URL_BYTES]);

#endif
