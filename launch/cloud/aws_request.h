/* aws_request.h: signed requests to AWS, by libcurl (Signature Version 4).
 *
 *   dt_aws_client *client;
 *   dt_aws_answer answer;
 *   DT_TRY(dt_aws_client_create(&credentials, &(dt_aws_options){0}, &client, err));
 *   DT_TRY(dt_aws_call(client, &(dt_aws_request){.service = DT_AWS_EC2, .region = "us-east-1",
 *                                                .action = "DescribeRegions"}, &answer, err));
 *   dt_aws_answer_free(&answer);
 *   dt_aws_client_destroy(client);
 *
 * A request goes to the service's address in the region, over HTTPS with the server's certificate checked and
 * without following redirections, or to the address that the environment names (aws_service.h). The proxies
 * of the environment (https_proxy) are used, and AWS_CA_BUNDLE, a file of certificates that are trusted. One
 * thread at a time may use a client.
 *
 * Answers 429, 500, 502, 503, 504, those whose code says that there were too many requests, and a missing
 * answer are tried again, after a random wait of up to twice as long each time.
 */
#ifndef DT_LAUNCH_CLOUD_AWS_REQUEST_H
#define DT_LAUNCH_CLOUD_AWS_REQUEST_H

#include "core/base/error.h"
#include "launch/cloud/aws_credentials.h"
#include "launch/cloud/aws_service.h"

#include <stddef.h>

typedef struct dt_aws_client dt_aws_client;

typedef struct dt_aws_options {
    double timeout_s; /* of one request; 0: 30 */
    double wait_s;    /* the longest first wait before a request is tried again; 0: 0.5 */
    int max_tries;    /* of a request; 0: 5 */
} dt_aws_options;

typedef struct dt_aws_request {
    dt_aws_service service;
    const char *region;     /* "us-east-1" */
    const char *action;     /* "DescribeSpotPriceHistory" */
    const char *parameters; /* EC2, IAM: a form, "&Name=value..." (dt_aws_form_add); others: a JSON object;
                                       NULL: none */
    const char *const *error_codes; /* AWS's errors that are answers for the caller ("NoSuchEntity"), a list
                                       ended by NULL; NULL: none */
} dt_aws_request;

typedef struct dt_aws_answer {
    char *text; /* ended by a zero byte */
    size_t bytes;
    char error_code[64]; /* one of the request's error_codes; "": the request succeeded */
    char message[256];   /* of that error */
} dt_aws_answer;

/* Why this build cannot make requests ("this build has no libcurl: ..."); NULL: it can. */
const char *dt_aws_why_not(void);

/* Does not connect yet. Borrows `credentials`. DT_ERR_UNSUPPORTED, DT_ERR_MEMORY. */
dt_status dt_aws_client_create(const dt_aws_credentials *credentials, const dt_aws_options *options,
                               dt_aws_client **client, dt_error *err);
void dt_aws_client_destroy(dt_aws_client *client); /* NULL is fine */

/* Blocks until the answer is complete, or the tries are used up. The caller frees *answer.
 * DT_ERR_USAGE: the region is no region's name, AWS does not accept the credentials or does not allow the
 * action to them, or this machine's clock is wrong; DT_ERR_IO: no answer, or another error of AWS;
 * DT_ERR_INTERRUPTED: the program is asked to stop; DT_ERR_MEMORY. */
dt_status dt_aws_call(dt_aws_client *client, const dt_aws_request *request, dt_aws_answer *answer,
                      dt_error *err);
void dt_aws_answer_free(dt_aws_answer *answer);

/* Appends "&name=value", with the value percent-encoded, to *form, which is NULL at the beginning. The caller
 * frees it with dt_free. DT_ERR_MEMORY: *form is unchanged. */
dt_status dt_aws_form_add(char **form, const char *name, const char *value, dt_error *err);

#endif
