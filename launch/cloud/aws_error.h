/* aws_error.h: what AWS says when it refuses a request. For aws_request.c. */
#ifndef DT_LAUNCH_CLOUD_AWS_ERROR_H
#define DT_LAUNCH_CLOUD_AWS_ERROR_H

#include "core/base/error.h"

#include <stddef.h>

typedef struct dt_aws_refusal {
    char code[64];     /* "UnauthorizedOperation"; "": the answer names none */
    char message[256]; /* its first line, cut */
} dt_aws_refusal;

typedef enum dt_aws_refusal_kind {
    DT_AWS_REFUSES_NOW,         /* too many requests, or a fault on AWS's side: try again */
    DT_AWS_REFUSES_CREDENTIALS, /* the key, the signature, or the time in it */
    DT_AWS_REFUSES_ACTION,      /* the credentials may not do it */
    DT_AWS_REFUSES              /* anything else */
} dt_aws_refusal_kind;

/* Reads the answer of HTTP status `status` (400 or more), XML or JSON. The signed text that some services
 * repeat in further lines, with the session token in it, is left out. */
dt_aws_refusal_kind dt_aws_refusal_parse(int status, const char *text, size_t bytes, dt_aws_refusal *refusal);

#endif
