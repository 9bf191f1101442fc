/* aws_credentials.h: the user's credentials for AWS, from where the AWS command line has them.
 *
 *   dt_aws_credentials credentials;
 *   DT_TRY(dt_aws_credentials_find(NULL, &credentials, err));
 *   ...
 *   dt_aws_credentials_free(&credentials);
 *
 * The places, in botocore's order; the first that has credentials counts:
 *
 *   1. the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   2. a profile (AWS_PROFILE, or "default") of ~/.aws/credentials and ~/.aws/config, or of the files that
 *      AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name. What needs more than a key (SSO, a role to
 *      assume, credential_process, web identity) is left to `aws configure export-credentials`
 *   3. a container's endpoint: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or
 *      AWS_CONTAINER_CREDENTIALS_FULL_URI, with AWS_CONTAINER_AUTHORIZATION_TOKEN or
 *      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
 *   4. the role of an EC2 instance, from its metadata service (IMDSv2), unless AWS_EC2_METADATA_DISABLED is
 *      true; AWS_EC2_METADATA_SERVICE_ENDPOINT names another server
 *
 * No message and no log line contains the secret or the token.
 */
#ifndef DT_LAUNCH_CLOUD_AWS_CREDENTIALS_H
#define DT_LAUNCH_CLOUD_AWS_CREDENTIALS_H

#include "core/base/error.h"

typedef struct dt_aws_credentials {
    char *key_id, *secret;
    char *token;           /* of temporary credentials; NULL: none */
    char *source;          /* for people: "the environment", "profile 'default' of FILE" */
    double expires_unix_s; /* INFINITY: never */
} dt_aws_credentials;

/* `profile`: the name of one that the user has chosen, which then comes before the environment; NULL: none.
 * Local; blocks for up to a few seconds on a machine that is not in AWS, for up to 30 s where the program aws
 * is needed. DT_ERR_USAGE: there are none, with the places that were searched and what to do; a file has a
 * line that is not understood ("FILE:LINE: ..."); a place has only a part of what it needs, or credentials
 * that have expired. DT_ERR_IO, DT_ERR_FORMAT: a place that the user has named does not answer as it should.
 * DT_ERR_MEMORY. */
dt_status dt_aws_credentials_find(const char *profile, dt_aws_credentials *credentials, dt_error *err);

/* Credentials from {"AccessKeyId", "SecretAccessKey", "Token" or "SessionToken", "Expiration"}, as endpoints
 * and credential processes print them. `source` says where they come from. DT_ERR_FORMAT: the text is
 * something else; DT_ERR_USAGE: they have expired; DT_ERR_MEMORY. */
dt_status dt_aws_credentials_parse(const char *text, const char *source, dt_aws_credentials *credentials,
                                   dt_error *err);

/* Overwrites the secrets before it frees them. Zeroed credentials are fine. */
void dt_aws_credentials_free(dt_aws_credentials *credentials);

#endif
